//! Values that must not be read over an operator's shoulder.

use std::fmt;

use serde::Serialize;

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

/// What tells of a person: telephone numbers, names, what a call's parties say of themselves. Prints as
/// stars; in a log as [`Pii::in_log`] has it; is written in full where it is serialized, which records are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for who has to act on it.
    pub const fn reveal(&self) -> &T {
        &self.0
    }

    /// The value itself, to be changed.
    pub const fn reveal_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// The value itself, where it leaves for the outside.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: fmt::Display> Pii<T> {
    /// For a line of the log: all but the last two characters as stars, unless `shown` was asked for where
    /// logging was set up.
    pub fn in_log(&self, shown: bool) -> impl fmt::Display {
        let text = self.0.to_string();
        if shown { text } else { mask(&text) }
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `text` with all but its last two characters as stars.
#[must_use]
pub fn mask(text: &str) -> String {
    let shown = text.chars().count().saturating_sub(2);
    text.chars().enumerate().map(|(at, c)| if at < shown { '*' } else { c }).collect()
}

/// The address of an agent. What stands before an `@` or behind a question mark is often a token, so it
/// prints without these.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentUrl(String);

impl AgentUrl {
    /// Wraps an address.
    #[must_use]
    pub const fn new(url: String) -> Self {
        Self(url)
    }

    /// All of it, to be dialled.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.split(['?', '#']).next().unwrap_or(&self.0);
        let (scheme, rest) = plain.split_once("://").unwrap_or(("", plain));
        let authority = rest.find('/').unwrap_or(rest.len());
        let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
        let colon = if scheme.is_empty() { "" } else { "://" };
        write!(f, "{scheme}{colon}{}", &rest[host..])
    }
}

impl fmt::Debug for AgentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests;
