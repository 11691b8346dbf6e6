//! Identifiers as Twilio's clients expect them: two letters and 32 hexadecimal digits.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

/// A call's ids, for the log.
#[derive(Debug, Clone)]
pub struct CallNames {
    /// Ours.
    pub call: String,
    /// The SIP header, as a log may show it.
    pub sip_call_id: String,
}

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
        Self { account: sid("AC", node), call: Self::call_of(call_id), stream: sid("MZ", call_id) }
    }

    /// A number that stands for our id of a call: what a stream's own numbers begin with.
    #[must_use]
    pub fn number_of(call_id: &str) -> u64 {
        fingerprint("RTP", call_id) as u64
    }

    /// The `CA…` identifier alone.
    #[must_use]
    pub fn call_of(call_id: &str) -> String {
        sid("CA", call_id)
    }
}

/// The text's fingerprint behind the letters. It is a name, not a secret.
fn sid(letters: &str, text: &str) -> String {
    format!("{letters}{:032x}", fingerprint(letters, text))
}

fn fingerprint(letters: &str, text: &str) -> u128 {
    let mut hasher = SipHasher24::new();
    hasher.write(letters.as_bytes());
    hasher.write(text.as_bytes());
    hasher.finish128().as_u128()
}
