//! Call-IDs that hash to another shard and whose messages belong here: of legs that came by Replaces (RFC 3891), since
//! these join a call that is here already. The dispatcher is told before anything is sent that could bring such a
//! message, and again once nothing more can come.
//!
//! ```text
//! claim ─▶ told: stands ── the leg is gone, 64×T1 ─▶ told: stands no more
//! ```

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use trunkline_signalling::Mono;

use crate::Output;

/// Aliases of one shard. A carrier's attended transfers are a few a second, and each alias lasts as long as its leg.
/// Beyond it such an INVITE gets 503.
const MAX_ALIASES: usize = 1024;

/// A dialog as the dispatcher tells it from others before it is looked up: Call-ID, and the peer's tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alias {
    pub(super) call_id: Bytes,
    pub(super) tag: String,
}

/// The aliases of one shard.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    /// How many dialogs each stands for: an INVITE that is refused may come again with the same names.
    standing: BTreeMap<Alias, u32>,
    /// When one dialog less needs it.
    ends: VecDeque<(Mono, Alias)>,
    outputs: VecDeque<Output>,
}

impl Aliases {
    /// Whether another one finds room.
    pub(super) fn has_room(&self) -> bool {
        self.standing.len() < MAX_ALIASES
    }

    /// Messages with those names belong here from now on.
    pub(super) fn claim(&mut self, alias: Alias) {
        let count = self.standing.entry(alias.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.tell(alias, true);
        }
    }

    /// Its leg is gone; what its peer sends again may come until then.
    pub(super) fn release(&mut self, alias: Alias, until: Mono) {
        self.ends.push_back((until, alias));
    }

    pub(super) fn timeout(&mut self, now: Mono) {
        while let Some((_, alias)) = self.ends.pop_front_if(|(at, _)| *at <= now) {
            let Some(count) = self.standing.get_mut(&alias) else { continue };
            *count -= 1;
            if *count == 0 {
                self.standing.remove(&alias);
                self.tell(alias, false);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.ends.front().map(|(at, _)| *at)
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    fn tell(&mut self, Alias { call_id, tag }: Alias, stands: bool) {
        self.outputs.push_back(Output::Alias { call_id, tag, stands });
    }
}
