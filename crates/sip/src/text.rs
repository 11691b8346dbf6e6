//! Scanners for the grammar all headers share (RFC 3261 §25): tokens, quoted strings, lists and
//! parameters. Each makes one pass over its input, so the time is linear whatever the bytes are.

use std::fmt::{self, Write as _};

/// Whether `byte` may stand in a token (RFC 3261 §25.1).
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// Whether `text` is a token.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Tracks whether a scan stands inside a quoted string or angle brackets.
#[derive(Default)]
struct Nesting {
    quoted: bool,
    escaped: bool,
    angle: bool,
}

impl Nesting {
    /// Takes the next byte; true where the byte stands outside quotes and brackets.
    fn outside(&mut self, byte: u8) -> bool {
        if self.quoted {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.quoted = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' if !self.angle => self.quoted = true,
            b'<' => self.angle = true,
            b'>' => self.angle = false,
            _ => return !self.angle,
        }
        false
    }
}

/// The parts of `text` between separators that stand outside quotes and angle brackets, trimmed.
pub fn split_outside(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let cut = if current.as_bytes().contains(&separator) {
            let mut nesting = Nesting::default();
            current.bytes().position(|byte| nesting.outside(byte) && byte == separator)
        } else {
            None
        };
        match cut {
            Some(at) => {
                rest = Some(&current[at + 1..]);
                Some(current[..at].trim())
            }
            None => {
                rest = None;
                Some(current.trim())
            }
        }
    })
}

/// The elements of a comma list. Empty elements are left out, as RFC 3261 §7.3.1 readers do.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    split_outside(text, b',').filter(|element| !element.is_empty())
}

/// Position of the first `wanted` byte outside quotes and angle brackets.
#[must_use]
pub fn find_outside(text: &str, wanted: u8) -> Option<usize> {
    if !text.as_bytes().contains(&wanted) {
        return None;
    }
    let mut nesting = Nesting::default();
    text.bytes().position(|byte| nesting.outside(byte) && byte == wanted)
}

/// Whether every quoted string in `text` ends.
#[must_use]
pub fn quotes_balance(text: &str) -> bool {
    if !text.contains('"') {
        return true;
    }
    let mut nesting = Nesting::default();
    for byte in text.bytes() {
        nesting.outside(byte);
    }
    !nesting.quoted
}

/// A quoted string without its quotes and escapes; any other text as it is.
#[must_use]
pub fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

/// `text` as a quoted string; line ends and other control characters become spaces.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Percent escapes resolved (RFC 3261 §19.1.2). Bytes that are not UTF-8 are replaced, broken
/// escapes stay as they are.
#[must_use]
pub fn unescape(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes.get(at + 1..at + 3).and_then(hex_pair);
        match (bytes[at], escaped) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 3;
            }
            (byte, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let high = char::from(pair[0]).to_digit(16)?;
    let low = char::from(pair[1]).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// `text` with everything but unreserved characters percent-escaped, fit for the user part of a URI.
#[must_use]
pub fn escape_user(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte);
        if plain {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A decimal number of at most ten digits; anything else is `None`.
#[must_use]
pub fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Longest text shown of what came from the wire, in characters.
const MAX_SHOWN: usize = 256;

/// Text from the wire as it may stand in a log: on one line, nothing in it that moves a terminal's
/// cursor or turns the reading direction, not longer than a line is read.
#[derive(Debug, Clone, Copy)]
pub struct OneLine<'a>(pub &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = |c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let shown = |c: char| if c.is_control() || turns(c) { '?' } else { c };
        self.0.chars().take(MAX_SHOWN).try_for_each(|c| f.write_char(shown(c)))
    }
}

#[cfg(test)]
mod tests;
