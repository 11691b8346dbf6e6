//! User-to-User (RFC 7433): data that an application handed the carrier for us.

use crate::{HeaderName, Headers, Params, text};

/// One piece of user-to-user data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserToUser {
    /// The data as written, without quotes.
    pub data: String,
    /// `encoding` (usually `hex`).
    pub encoding: Option<String>,
    /// `purpose`.
    pub purpose: Option<String>,
}

impl UserToUser {
    /// Every value of a message.
    #[must_use]
    pub fn of(headers: &Headers) -> Vec<Self> {
        headers.elements(&HeaderName::UserToUser).map(|value| Self::parse(&value)).collect()
    }

    fn parse(value: &str) -> Self {
        let cut = text::find_outside(value, b';').unwrap_or(value.len());
        let params = Params::parse(&value[cut..]);
        Self {
            data: text::unquote(value[..cut].trim()),
            encoding: params.value("encoding").map(str::to_owned),
            purpose: params.value("purpose").map(str::to_owned),
        }
    }
}
