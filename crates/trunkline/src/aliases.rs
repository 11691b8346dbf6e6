//! Dialogs whose Call-ID hashes to another shard than the one that has them: of legs that came by Replaces
//! (RFC 3891). A shard claims such a dialog once it has checked the INVITE, and gives it up when nothing more can come;
//! each shard bounds its own, so strangers put nothing in here. Nearly always there is none, and then it costs one load.

use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use trunkline_signalling::{Fingerprint, KeyedHash};
use trunkline_sip::headers::Replaces;
use trunkline_sip::{HeaderName, Message, Method, Request};

/// Shards by dialog: Call-ID and the peer's tag.
pub(crate) struct Aliases {
    shards: DashMap<Fingerprint, usize, KeyedHash>,
    count: AtomicUsize,
    hash: KeyedHash,
}

impl Aliases {
    pub(crate) fn new(hash: KeyedHash) -> Self {
        Self { shards: DashMap::with_hasher(hash), count: AtomicUsize::new(0), hash }
    }

    /// A shard claims a dialog, or gives it up.
    pub(crate) fn set(&self, shard: usize, call_id: &[u8], tag: &str, stands: bool) {
        let dialog = self.dialog(call_id, tag);
        if stands {
            if self.shards.insert(dialog, shard).is_none() {
                self.count.fetch_add(1, Ordering::Release);
            }
        // Another shard may have claimed the same names since.
        } else if self.shards.remove_if(&dialog, |_, owner| *owner == shard).is_some() {
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    /// Whether there is none: then nothing of a message need be read but its Call-ID.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The shard that has claimed a dialog.
    pub(crate) fn of(&self, call_id: &[u8], tag: &str) -> Option<usize> {
        self.shards.get(&self.dialog(call_id, tag)).map(|shard| *shard)
    }

    fn dialog(&self, call_id: &[u8], tag: &str) -> Fingerprint {
        let mut print = self.hash.fingerprint();
        print.part(call_id);
        print.part(tag);
        print.finish()
    }
}

/// The peer's tag of a message that came: in From of a request, in To of a response.
pub(crate) fn peer_tag(message: &Message) -> &str {
    let party = match message {
        Message::Request(request) => request.from(),
        Message::Response(response) => response.to(),
    };
    party.and_then(|party| party.tag()).unwrap_or_default()
}

/// The dialog that an INVITE is to replace: it goes where that is, whatever its own Call-ID.
pub(crate) fn replaced(message: &Message) -> Option<Replaces> {
    let Message::Request(request) = message else { return None };
    let outside = |request: &Request| request.to().is_some_and(|to| to.tag().is_none());
    if request.method != Method::Invite || !outside(request) {
        return None;
    }
    Replaces::parse(&request.headers.text(&HeaderName::Replaces)?)
}
