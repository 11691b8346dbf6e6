//! Telephone numbers in E.164 (ITU-T E.164 §6.2): a plus sign and 7 to 15 digits.

use std::fmt;

use crate::mask;

/// A telephone number that is valid by its form. `{:?}` masks it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(u64);

/// Shortest number taken for an international one; shorter ones are short codes.
pub(crate) const MIN_DIGITS: usize = 7;
const MAX_DIGITS: usize = 15;

impl E164 {
    /// Reads `+14155550100`; the plus sign is needed. Visual separators are taken.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_digits(&digits(text.trim().strip_prefix('+')?)?)
    }

    /// A number from its digits with the country code.
    #[must_use]
    pub fn from_digits(digits: &str) -> Option<Self> {
        let fits = (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len());
        (fits && !digits.starts_with('0')).then(|| digits.parse().ok().map(Self)).flatten()
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.to_string()))
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

/// Whom a call reaches. A short code is no person's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A number.
    Number(E164),
    /// An emergency number or another short code, dialled as it is over a trunk that names it.
    Short(String),
    /// A SIP address, at a host of the trunk's.
    Address(String),
}

impl From<E164> for Destination {
    fn from(number: E164) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Short(text) | Self::Address(text) => f.write_str(text),
        }
    }
}

/// The digits of a number without visual separators (RFC 3966 §3); `None` for anything else in it.
pub(crate) fn digits(text: &str) -> Option<String> {
    let plain = text.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' '));
    let plain: String = plain.collect();
    (!plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit())).then_some(plain)
}

/// A number, or every number that starts so: `+14155550100`, `+1415*`, `*`. `{:?}` masks a number.
#[derive(Clone, PartialEq, Eq)]
pub struct NumberPattern {
    digits: String,
    prefix: bool,
}

impl NumberPattern {
    /// Reads a pattern.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self { digits: String::new(), prefix: true });
        }
        let (number, prefix) = text.strip_suffix('*').map_or((text, false), |number| (number, true));
        let digits = digits(number.strip_prefix('+')?)?;
        (prefix || E164::from_digits(&digits).is_some()).then_some(Self { digits, prefix })
    }

    /// How many digits it names.
    #[must_use]
    pub fn length(&self) -> usize {
        self.digits.len()
    }

    /// Whether the pattern holds that number.
    #[must_use]
    pub fn matches(&self, number: E164) -> bool {
        let text = number.0.to_string();
        if self.prefix { text.starts_with(&self.digits) } else { text == self.digits }
    }
}

impl fmt::Debug for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        f.write_str(&if self.prefix { text } else { mask(&text) })
    }
}

impl fmt::Display for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plus, star) =
            (if self.digits.is_empty() { "" } else { "+" }, if self.prefix { "*" } else { "" });
        write!(f, "{plus}{}{star}", self.digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_plus_and_seven_to_fifteen_digits() {
        assert_eq!(E164::parse("+1 (415) 555-0100").map(|n| n.to_string()).as_deref(), Some("+14155550100"));
        for bad in ["14155550100", "+911", "+0123456789", "+1234567890123456", "+1415555010x", "+", ""] {
            assert_eq!(E164::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn patterns_are_numbers_or_prefixes() {
        let number = E164::parse("+14155550100").expect("number");
        for (pattern, fits) in [("+1415*", true), ("+14155550100", true), ("*", true), ("+1416*", false)] {
            assert_eq!(NumberPattern::parse(pattern).expect(pattern).matches(number), fits, "{pattern}");
        }
        assert_eq!(NumberPattern::parse("+14"), None);
        assert_eq!(NumberPattern::parse("1415*"), None);
    }
}
