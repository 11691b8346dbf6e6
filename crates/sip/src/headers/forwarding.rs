//! How a call came to be forwarded: Diversion (RFC 5806) and History-Info (RFC 7044).

use crate::{HeaderName, Headers, NameAddr};

/// One forwarding step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The party that was called before.
    pub from: NameAddr,
    /// `reason` (Diversion) or `index` (History-Info), as written.
    pub detail: Option<String>,
}

/// The diversions of a call, the latest first as the header orders them.
#[must_use]
pub fn diversions(headers: &Headers) -> Vec<Forwarded> {
    forwarded(headers, &HeaderName::Diversion, "reason")
}

/// The history of a call, oldest first.
#[must_use]
pub fn history(headers: &Headers) -> Vec<Forwarded> {
    forwarded(headers, &HeaderName::HistoryInfo, "index")
}

fn forwarded(headers: &Headers, name: &HeaderName, detail: &str) -> Vec<Forwarded> {
    super::addresses(headers, name)
        .map(|from| {
            let detail = from.params.value(detail).map(crate::text::unquote);
            Forwarded { from, detail }
        })
        .collect()
}
