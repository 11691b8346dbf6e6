//! What remains of calls that we placed and that are forgotten: a 2xx may still come, from a callee
//! that answered as we gave up or from another branch of a fork. It is acknowledged and ended, or the
//! callee would talk to nobody (RFC 3261 §13.2.2.4).

use std::collections::{HashMap, VecDeque};

use trunkline_signalling::dialog::{Cx, Dialog, LateAnswers};
use trunkline_signalling::{Fingerprint, KeyedHash, Mono, Now};
use trunkline_sip::{Method, Response};

use super::Shard;

/// Dialogs that are remembered; 64×T1 at 128 calls a second. The oldest go first: their late 2xx is
/// left to its sender, whose own timers end it.
const MAX_DEPARTED: usize = 4096;

/// The dialogs of forgotten calls, each for 64×T1.
#[derive(Debug)]
pub(super) struct Departed {
    dialogs: HashMap<Fingerprint, (Dialog, LateAnswers), KeyedHash>,
    /// In the order of their ends.
    ends: VecDeque<(Mono, Fingerprint)>,
}

impl Departed {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self { dialogs: HashMap::with_hasher(hash), ends: VecDeque::new() }
    }

    pub(super) fn keep(&mut self, key: Fingerprint, remains: (Dialog, LateAnswers), until: Mono) {
        if self.ends.len() == MAX_DEPARTED
            && let Some((_, oldest)) = self.ends.pop_front()
        {
            self.dialogs.remove(&oldest);
        }
        self.dialogs.insert(key, remains);
        self.ends.push_back((until, key));
    }

    /// A 2xx of a dialog that no call holds. One whose tag of ours is unknown gets nothing, or anyone
    /// could have us send requests to where its Contact points.
    pub(super) fn answered(&mut self, cx: &mut Cx<'_>, key: Fingerprint, response: &Response) {
        if let Some((dialog, late)) = self.dialogs.get_mut(&key) {
            late.handle(cx, dialog, response);
        }
    }

    /// Whether there is a dialog under that key with that tag of the peer's.
    pub(super) fn has(&self, key: Fingerprint, remote_tag: &str) -> bool {
        self.dialogs.get(&key).is_some_and(|(dialog, _)| dialog.remote_tag == remote_tag)
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.ends.front().map(|(at, _)| *at)
    }

    pub(super) fn timeout(&mut self, now: Mono) {
        while let Some((_, key)) = self.ends.pop_front_if(|(at, _)| *at <= now) {
            self.dialogs.remove(&key);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl Shard {
    /// A 2xx whose call is forgotten.
    pub(super) fn answered_too_late(&mut self, response: &Response, now: Now) {
        let tag = response.from().and_then(|from| from.tag());
        let key = response.call_id().zip(tag).map(|(call_id, tag)| self.dialog_key(call_id, tag));
        let is_ok = (200..300).contains(&response.code())
            && response.cseq().is_some_and(|cseq| cseq.method == Method::Invite);
        if let Some(key) = key.filter(|_| is_ok) {
            let (mut events, transactions) = (Vec::new(), &mut self.transactions);
            let mut cx = Cx { transactions, tokens: &mut self.tokens, now, events: &mut events };
            self.departed.answered(&mut cx, key, response);
        }
    }
}
