//! INVITE client transaction (RFC 3261 §17.1.1 as changed by RFC 6026 §7.2).
//!
//! ```text
//!            A: send again, B: time-out
//! INVITE ─▶ Calling ── 1xx ─▶ Proceeding ── 3xx-6xx: ACK ─▶ Completed ── D ──▶ gone
//!              └── 2xx ─▶ Accepted ◀── 2xx ──┘  (every 2xx passes up) ── M ──▶ gone
//! ```
//! A callee may ring for as long as it likes: Proceeding has no timer of its own. Once the user gives
//! up it is waited for 64×T1 more (§9.1).

use std::time::Duration;

use bytes::Bytes;

use super::Action;
use crate::time::{Mono, Timers};

#[derive(Debug)]
enum State {
    /// Timers A (on unreliable transports) and B run.
    Calling { resend: Option<(Mono, Duration)>, until: Mono },
    /// A provisional response came; the deadline is there once the user has given up.
    Proceeding { until: Option<Mono> },
    /// Timer D runs; the ACK answers every further copy of the response.
    Completed { ack: Bytes, until: Mono },
    /// Timer M runs.
    Accepted { until: Mono },
}

/// Timer D on unreliable transports: at least 32 s (RFC 3261 Table 4).
const TIMER_D: Duration = Duration::from_secs(32);

#[derive(Debug)]
pub(super) struct InviteClient {
    state: State,
    request: Bytes,
    reliable: bool,
    /// The user waits for no answer any more.
    given_up: bool,
}

impl InviteClient {
    pub(super) const fn awaits_answer(&self) -> bool {
        matches!(self.state, State::Calling { .. } | State::Proceeding { .. })
    }

    pub(super) fn start(
        request: Bytes,
        reliable: bool,
        timers: &Timers,
        now: Mono,
        out: &mut Vec<Action>,
    ) -> Self {
        out.push(Action::Send(request.clone()));
        let resend = (!reliable).then(|| (now + timers.t1, timers.t1));
        let until = now + timers.transaction_timeout();
        Self { state: State::Calling { resend, until }, request, reliable, given_up: false }
    }

    /// The user cancels, or is gone: a final response is waited for 64×T1 from now, or from the first
    /// provisional one, behind which the CANCEL goes (RFC 3261 §9.1).
    pub(super) fn give_up(&mut self, timers: &Timers, now: Mono) {
        self.given_up = true;
        if let State::Proceeding { until } = &mut self.state {
            until.get_or_insert(now + timers.transaction_timeout());
        }
    }

    /// A response came; `ack` is the ACK that a final one other than 2xx is answered with.
    pub(super) fn response(
        &mut self,
        code: u16,
        ack: impl FnOnce() -> Bytes,
        timers: &Timers,
        now: Mono,
        out: &mut Vec<Action>,
    ) {
        match (&self.state, code) {
            (State::Calling { .. }, 100..=199) => {
                let until = self.given_up.then(|| now + timers.transaction_timeout());
                self.state = State::Proceeding { until };
                out.push(Action::Pass);
            }
            (State::Proceeding { .. }, 100..=199) => out.push(Action::Pass),
            (State::Calling { .. } | State::Proceeding { .. }, 200..=299) => {
                self.state = State::Accepted { until: now + timers.transaction_timeout() };
                out.push(Action::Pass);
            }
            (State::Accepted { .. }, 200..=299) => out.push(Action::Pass),
            (State::Calling { .. } | State::Proceeding { .. }, _) => {
                let ack = ack();
                out.extend([Action::Send(ack.clone()), Action::Pass]);
                match self.reliable {
                    true => out.push(Action::Terminate),
                    false => self.state = State::Completed { ack, until: now + TIMER_D },
                }
            }
            (State::Completed { ack, .. }, 300..) => out.push(Action::Send(ack.clone())),
            (State::Completed { .. } | State::Accepted { .. }, _) => {}
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Calling { resend, until } => Some(resend.map_or(*until, |(at, _)| at.min(*until))),
            State::Proceeding { until } => *until,
            State::Completed { until, .. } | State::Accepted { until } => Some(*until),
        }
    }

    pub(super) fn timeout(&mut self, now: Mono, out: &mut Vec<Action>) {
        match &mut self.state {
            State::Calling { until, .. } | State::Proceeding { until: Some(until) } if *until <= now => {
                out.extend([Action::TimedOut, Action::Terminate]);
            }
            State::Calling { resend: Some((at, interval)), .. } if *at <= now => {
                out.push(Action::Send(self.request.clone()));
                *interval *= 2;
                *at = now + *interval;
            }
            State::Completed { until, .. } | State::Accepted { until } if *until <= now => {
                out.push(Action::Terminate);
            }
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Accepted { .. } => {}
        }
    }
}
