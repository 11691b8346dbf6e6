//! Values that must not be read over an operator's shoulder.

use std::fmt;

/// A secret: prints as stars, always.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself, for the one place that needs it.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A telephone number or name of a person: prints with all but its last two characters as stars,
/// unless `shown` was asked for where logging was set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pii<T> {
    value: T,
    shown: bool,
}

impl<T: fmt::Display> Pii<T> {
    /// A value that prints in full only where `shown`.
    pub const fn new(value: T, shown: bool) -> Self {
        Self { value, shown }
    }
}

impl<T: fmt::Display> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.value.to_string();
        f.write_str(&if self.shown { text } else { mask(&text) })
    }
}

/// `text` with all but its last two characters as stars.
#[must_use]
pub fn mask(text: &str) -> String {
    let shown = text.chars().count().saturating_sub(2);
    text.chars().enumerate().map(|(at, c)| if at < shown { '*' } else { c }).collect()
}
