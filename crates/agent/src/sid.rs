//! Identifiers as Twilio's clients expect them: two letters and 32 hexadecimal digits.

use hmac::{Hmac, Mac};
use sha1::Sha1;

/// The identifiers of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sids {
    /// `AC…`: the same for every call of the node.
    pub account: String,
    /// `CA…`.
    pub call: String,
    /// `MZ…`.
    pub stream: String,
}

impl Sids {
    /// The identifiers that stand for our id of a call on that node.
    #[must_use]
    pub fn of(node: &str, call_id: &str) -> Self {
        Self { account: sid("AC", node), call: sid("CA", call_id), stream: sid("MZ", call_id) }
    }
}

fn sid(letters: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(letters.as_bytes()).expect("HMAC takes any key");
    mac.update(text.as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{letters}{hex}")
}
