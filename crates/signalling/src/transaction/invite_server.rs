//! INVITE server transaction (RFC 3261 §17.2.1 as changed by RFC 6026 §7.1).
//!
//! ```text
//!             1xx                    3xx-6xx              ACK
//! INVITE ─▶ Proceeding ───────────▶ Completed ─────────▶ Confirmed ── I ──▶ gone
//!               │ 2xx                  │ G: send again
//!               ▼                      │ H: no ACK, tell the user, gone
//!            Accepted ── L ──▶ gone
//! ```
//! A 2xx is sent again by the dialog, not here; Accepted only absorbs INVITEs that come again.

use std::time::Duration;

use bytes::Bytes;

use super::Action;
use crate::time::{Mono, Timers};

#[derive(Debug)]
pub(super) enum State {
    /// The last provisional response, which a retransmitted INVITE is answered with.
    Proceeding { last: Option<Bytes> },
    /// Timer L runs.
    Accepted { until: Mono },
    /// Timers G and H run; on reliable transports only H.
    Completed { last: Bytes, resend: Option<(Mono, Duration)>, until: Mono },
    /// Timer I runs.
    Confirmed { until: Mono },
}

#[derive(Debug)]
pub(super) struct InviteServer {
    pub(super) state: State,
    reliable: bool,
}

impl InviteServer {
    pub(super) const fn new(reliable: bool) -> Self {
        Self { state: State::Proceeding { last: None }, reliable }
    }

    /// Whether a final response was given.
    pub(super) const fn is_final(&self) -> bool {
        !matches!(self.state, State::Proceeding { .. })
    }

    /// The response that a retransmitted INVITE would be answered with.
    pub(super) const fn last(&self) -> Option<&Bytes> {
        match &self.state {
            State::Proceeding { last } => last.as_ref(),
            State::Completed { last, .. } => Some(last),
            State::Accepted { .. } | State::Confirmed { .. } => None,
        }
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
        let State::Proceeding { last } = &mut self.state else {
            return;
        };
        out.push(Action::Send(bytes.clone()));
        let timeout = now + timers.transaction_timeout();
        match code {
            100..=199 => *last = Some(bytes.clone()),
            200..=299 => self.state = State::Accepted { until: timeout },
            _ => {
                let resend = (!self.reliable).then(|| (now + timers.t1, timers.t1));
                self.state = State::Completed { last: bytes.clone(), resend, until: timeout };
            }
        }
    }

    /// The INVITE came again.
    pub(super) fn retransmitted(&self, out: &mut Vec<Action>) {
        match &self.state {
            State::Proceeding { last: Some(last) } | State::Completed { last, .. } => {
                out.push(Action::Send(last.clone()));
            }
            State::Proceeding { last: None } | State::Accepted { .. } | State::Confirmed { .. } => {}
        }
    }

    /// The ACK of a final response other than 2xx.
    pub(super) fn acknowledged(&mut self, timers: &Timers, now: Mono, out: &mut Vec<Action>) {
        match self.state {
            State::Completed { .. } if self.reliable => out.push(Action::Terminate),
            State::Completed { .. } => self.state = State::Confirmed { until: now + timers.t4 },
            State::Proceeding { .. } | State::Accepted { .. } | State::Confirmed { .. } => {}
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Proceeding { .. } => None,
            State::Accepted { until } | State::Confirmed { until } => Some(*until),
            State::Completed { resend, until, .. } => Some(resend.map_or(*until, |(at, _)| at.min(*until))),
        }
    }

    pub(super) fn timeout(&mut self, timers: &Timers, now: Mono, out: &mut Vec<Action>) {
        match &mut self.state {
            State::Completed { until, .. } if *until <= now => {
                out.extend([Action::TimedOut, Action::Terminate]);
            }
            State::Completed { last, resend: Some((at, interval)), .. } if *at <= now => {
                out.push(Action::Send(last.clone()));
                *interval = timers.backed_off(*interval);
                *at = now + *interval;
            }
            State::Accepted { until } | State::Confirmed { until } if *until <= now => {
                out.push(Action::Terminate);
            }
            State::Proceeding { .. }
            | State::Accepted { .. }
            | State::Completed { .. }
            | State::Confirmed { .. } => {}
        }
    }
}
