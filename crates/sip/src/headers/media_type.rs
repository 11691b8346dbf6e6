//! Content-Type and the media ranges of Accept (RFC 3261 §20.1, §20.15).

use crate::{HeaderName, Headers, Params};

/// A media type with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype` in lower case.
    pub essence: String,
    /// Parameters such as `boundary`.
    pub params: Params,
}

impl MediaType {
    /// Reads `type/subtype;params`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let cut = value.find(';').unwrap_or(value.len());
        let (kind, subtype) = value[..cut].split_once('/')?;
        let (kind, subtype) = (kind.trim(), subtype.trim());
        let valid = crate::text::is_token(kind) && crate::text::is_token(subtype);
        valid.then(|| Self {
            essence: format!("{kind}/{subtype}").to_ascii_lowercase(),
            params: Params::parse(&value[cut..]),
        })
    }

    /// The Content-Type of a message.
    #[must_use]
    pub fn of(headers: &Headers) -> Option<Self> {
        Self::parse(&headers.text(&HeaderName::ContentType)?)
    }

    /// Whether Accept lets us answer with `essence`; no Accept lets everything
    /// (RFC 3261 §20.1 makes `application/sdp` the default).
    #[must_use]
    pub fn is_acceptable(headers: &Headers, essence: &str) -> bool {
        if headers.first(&HeaderName::Accept).is_none() {
            return true;
        }
        let group = essence.split('/').next().unwrap_or("");
        headers.elements(&HeaderName::Accept).any(|range| {
            Self::parse(&range).is_some_and(|range| {
                range.essence == essence || range.essence == "*/*" || range.essence == format!("{group}/*")
            })
        })
    }
}
