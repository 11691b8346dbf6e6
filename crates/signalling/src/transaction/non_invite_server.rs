//! Non-INVITE server transaction (RFC 3261 §17.2.2).
//!
//! ```text
//! request ─▶ Trying ── 1xx ─▶ Proceeding ── final ─▶ Completed ── J ──▶ gone
//!               └──────────────── final ───────────────▲
//! ```

use bytes::Bytes;

use super::Action;
use crate::time::{Mono, Timers};

#[derive(Debug)]
enum State {
    Trying,
    Proceeding { last: Bytes },
    Completed { last: Bytes, until: Mono },
}

#[derive(Debug)]
pub(super) struct NonInviteServer {
    state: State,
    reliable: bool,
}

impl NonInviteServer {
    pub(super) const fn new(reliable: bool) -> Self {
        Self { state: State::Trying, reliable }
    }

    /// The user answers. Responses after a final one are ignored.
    pub(super) fn respond(
        &mut self,
        code: u16,
        bytes: &Bytes,
        timers: &Timers,
        now: Mono,
        out: &mut Vec<Action>,
    ) {
        if matches!(self.state, State::Completed { .. }) {
            return;
        }
        out.push(Action::Send(bytes.clone()));
        if code < 200 {
            self.state = State::Proceeding { last: bytes.clone() };
        } else if self.reliable {
            out.push(Action::Terminate);
        } else {
            let until = now + timers.transaction_timeout();
            self.state = State::Completed { last: bytes.clone(), until };
        }
    }

    /// The request came again.
    pub(super) fn retransmitted(&self, out: &mut Vec<Action>) {
        match &self.state {
            State::Trying => {}
            State::Proceeding { last } | State::Completed { last, .. } => {
                out.push(Action::Send(last.clone()));
            }
        }
    }

    pub(super) const fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Trying | State::Proceeding { .. } => None,
            State::Completed { until, .. } => Some(*until),
        }
    }

    pub(super) fn timeout(&self, now: Mono, out: &mut Vec<Action>) {
        match &self.state {
            State::Completed { until, .. } if *until <= now => out.push(Action::Terminate),
            State::Trying | State::Proceeding { .. } | State::Completed { .. } => {}
        }
    }
}
