//! Non-INVITE client transaction (RFC 3261 §17.1.2).
//!
//! ```text
//! request ─▶ Trying ── 1xx ─▶ Proceeding ── final ─▶ Completed ── K ──▶ gone
//!               └──────────────── final ───────────────▲
//! E sends again in the first two states, F ends them.
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::Action;
use crate::time::{Mono, Timers};

#[derive(Debug)]
enum State {
    /// Timers E (on unreliable transports) and F run.
    Waiting { provisional: bool, resend: Option<(Mono, Duration)>, until: Mono },
    /// Timer K runs.
    Completed { until: Mono },
}

#[derive(Debug)]
pub(super) struct NonInviteClient {
    state: State,
    request: Bytes,
    reliable: bool,
}

impl NonInviteClient {
    pub(super) const fn awaits_answer(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
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
        Self { state: State::Waiting { provisional: false, resend, until }, request, reliable }
    }

    pub(super) fn response(&mut self, code: u16, timers: &Timers, now: Mono, out: &mut Vec<Action>) {
        match &mut self.state {
            State::Waiting { provisional, .. } if code < 200 => {
                *provisional = true;
                out.push(Action::Pass);
            }
            State::Waiting { .. } => {
                out.push(Action::Pass);
                match self.reliable {
                    true => out.push(Action::Terminate),
                    false => self.state = State::Completed { until: now + timers.t4 },
                }
            }
            State::Completed { .. } => {}
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        match &self.state {
            State::Waiting { resend, until, .. } => Some(resend.map_or(*until, |(at, _)| at.min(*until))),
            State::Completed { until } => Some(*until),
        }
    }

    pub(super) fn timeout(&mut self, timers: &Timers, now: Mono, out: &mut Vec<Action>) {
        match &mut self.state {
            State::Waiting { until, .. } if *until <= now => {
                out.extend([Action::TimedOut, Action::Terminate]);
            }
            State::Waiting { provisional, resend: Some((at, interval)), .. } if *at <= now => {
                out.push(Action::Send(self.request.clone()));
                *interval = if *provisional { timers.t2 } else { timers.backed_off(*interval) };
                *at = now + *interval;
            }
            State::Completed { until } if *until <= now => out.push(Action::Terminate),
            State::Waiting { .. } | State::Completed { .. } => {}
        }
    }
}
