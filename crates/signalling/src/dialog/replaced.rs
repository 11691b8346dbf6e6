//! What a Replaces field (RFC 3891 §3) names: a dialog of ours, by its tags, and where that stands.

use trunkline_sip::headers::Replaces;

use super::leg::{Leg, State};

/// Where a dialog stands that a Replaces field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is up.
    Confirmed,
    /// It is early, and the INVITE is ours.
    Ringing,
    /// It is early, and the INVITE is the peer's.
    Unanswered,
    /// It is over, or its BYE or CANCEL is under way or will be.
    Over,
}

impl Leg {
    /// Where the dialog stands that a Replaces field names; nothing where that is none of this leg's.
    #[must_use]
    pub fn named_by(&self, replaces: &Replaces) -> Option<Standing> {
        // A tag of 0 stands for none too, as peers of RFC 2543 have it.
        let is_remote = |tag: &str| replaces.from_tag == tag || (replaces.from_tag == "0" && tag.is_empty());
        let dialog = &self.dialog;
        if dialog.call_id != replaces.call_id || dialog.local_tag != replaces.to_tag {
            return None;
        }
        let standing = match self.state {
            State::New => return None,
            State::Calling { .. } => {
                let early = self.placing.as_ref()?.early.has(is_remote);
                return early.then_some(Standing::Ringing);
            }
            State::Incoming { .. } => Standing::Unanswered,
            State::Confirmed if self.bye_wanted => Standing::Over,
            State::Confirmed => Standing::Confirmed,
            State::Cancelling { .. } => {
                let early = self.placing.as_ref()?.early.has(is_remote);
                return early.then_some(Standing::Over);
            }
            State::Leaving { .. } | State::Ended => Standing::Over,
        };
        is_remote(&dialog.remote_tag).then_some(standing)
    }
}
