//! CSeq (RFC 3261 §20.16).

use crate::{Method, text};

/// Sequence number and method of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// Less than 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// Method.
    pub method: Method,
}

impl CSeq {
    /// Reads `number method`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let word = words.next()?;
        let digits = word.trim_start_matches('0');
        let zero = digits.is_empty() && !word.is_empty();
        let number = if zero { 0 } else { text::number(digits)? };
        let method = words.next().filter(|word| text::is_token(word))?;
        let valid = number < 1 << 31 && words.next().is_none();
        valid.then(|| Self { number, method: Method::from_token(method) })
    }
}

impl std::fmt::Display for CSeq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}
