//! Session-Expires and Min-SE (RFC 4028 §4, §5), and delta-seconds in general.

use crate::Params;

/// Who refreshes the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answered it.
    Uas,
}

/// A session interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds.
    pub seconds: u32,
    /// Who refreshes; absent where the other side may choose.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads `seconds[;refresher=uac|uas]`.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (seconds, params) = value.split_once(';').unwrap_or((value, ""));
        let params = Params::parse(params);
        let refresher = match params.value("refresher").map(str::to_ascii_lowercase).as_deref() {
            Some("uac") => Some(Refresher::Uac),
            Some("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(Self { seconds: parse_delta(seconds)?, refresher })
    }
}

impl std::fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let refresher = match self.refresher {
            Some(Refresher::Uac) => ";refresher=uac",
            Some(Refresher::Uas) => ";refresher=uas",
            None => "",
        };
        write!(f, "{}{refresher}", self.seconds)
    }
}

/// Delta-seconds (Expires, Min-SE, Retry-After); a number too large to hold means "very long".
#[must_use]
pub fn parse_delta(value: &str) -> Option<u32> {
    let value = value.split(';').next().unwrap_or("").trim();
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u32::MAX))
}
