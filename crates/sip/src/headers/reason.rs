//! Reason (RFC 3326): why a request was sent, in SIP or Q.850 terms.

use crate::{HeaderName, Headers, Params, text};

/// One reason value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850`, or another protocol's name.
    pub protocol: String,
    /// Its code.
    pub cause: Option<u32>,
    /// Its words.
    pub text: Option<String>,
}

impl Reason {
    /// Reads one value.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let cut = text::find_outside(value, b';').unwrap_or(value.len());
        let protocol = value[..cut].trim();
        let params = Params::parse(&value[cut..]);
        text::is_token(protocol).then(|| Self {
            protocol: protocol.to_owned(),
            cause: params.value("cause").and_then(text::number),
            text: params.value("text").map(text::unquote),
        })
    }

    /// Every readable reason of a message.
    #[must_use]
    pub fn of(headers: &Headers) -> Vec<Self> {
        headers.elements(&HeaderName::Reason).filter_map(|value| Self::parse(&value)).collect()
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(words) => write!(f, ";text={}", text::quote(words)),
            None => Ok(()),
        }
    }
}
