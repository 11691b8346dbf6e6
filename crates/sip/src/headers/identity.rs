//! Who the network says is calling: P-Asserted-Identity and Privacy (RFC 3325, RFC 3323).

use crate::{HeaderName, Headers, NameAddr};

/// The asserted identities; a network may give one `sip:` and one `tel:` (RFC 3325 §9.1).
#[must_use]
pub fn asserted_identities(headers: &Headers) -> Vec<NameAddr> {
    super::addresses(headers, &HeaderName::PAssertedIdentity).collect()
}

/// Whether Privacy names `value` (`id`, `user`, `header`, …). Values are split at semicolons and,
/// as some peers write them, at commas.
#[must_use]
pub fn privacy(headers: &Headers, value: &str) -> bool {
    headers
        .all(&HeaderName::Privacy)
        .any(|header| header.text().split([';', ',']).any(|part| part.trim().eq_ignore_ascii_case(value)))
}
