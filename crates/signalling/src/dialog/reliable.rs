//! Reliable provisional responses, as UAS (RFC 3262 §3): one at a time, sent again until its PRACK.
//!
//! ```text
//!                 send                    PRACK with its RSeq
//! nothing ─────────────────▶ pending ──────────────────────────▶ nothing, or the next that waited is pending
//!   pending: another send waits (4 at most)   │ T1, doubling: sent again
//!                                             │ 64×T1: the INVITE is refused
//!                                             ▼ a final response: stopped, a PRACK under way is still taken
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use trunkline_sip::{HeaderName, Response, Target, headers::RAck};

use crate::time::{Mono, Timers};

#[derive(Debug)]
struct Pending {
    rseq: u32,
    has_offer_or_answer: bool,
    bytes: Bytes,
    target: Target,
    resend: Mono,
    interval: Duration,
    until: Mono,
}

/// The reliable responses of one INVITE.
#[derive(Debug)]
pub(super) struct Reliable {
    next_rseq: u32,
    invite_cseq: u32,
    pending: Option<Pending>,
    waiting: VecDeque<Response>,
    /// The INVITE has its final response: nothing is sent again, a PRACK under way is still taken.
    stopped: bool,
    /// A session description of ours was acknowledged.
    answered: bool,
}

/// Most provisional responses that wait behind one without its PRACK; later ones are dropped.
const MAX_WAITING: usize = 4;

/// What a due timer asks for.
pub(super) enum Due {
    Nothing,
    Resend(Bytes, Target),
    /// 64×T1 without a PRACK: the INVITE is refused with a 5xx (RFC 3262 §3).
    GiveUp,
}

impl Reliable {
    /// `first` is the first RSeq, 1 to 2^31 - 1.
    pub(super) const fn new(first: u32, invite_cseq: u32) -> Self {
        Self {
            next_rseq: first,
            invite_cseq,
            pending: None,
            waiting: VecDeque::new(),
            stopped: false,
            answered: false,
        }
    }

    /// Prepares a response; `None` where it must wait for the PRACK of the one before.
    pub(super) fn send(
        &mut self,
        mut response: Response,
        target: Target,
        timers: &Timers,
        now: Mono,
    ) -> Option<Response> {
        if self.pending.is_some() {
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push_back(response);
            }
            return None;
        }
        let rseq = self.next_rseq;
        self.next_rseq += 1;
        response.headers.push(HeaderName::Require, "100rel");
        response.headers.push(HeaderName::RSeq, rseq.to_string());
        self.pending = Some(Pending {
            rseq,
            has_offer_or_answer: !response.body.is_empty(),
            bytes: response.to_bytes(),
            target,
            resend: now + timers.t1,
            interval: timers.t1,
            until: now + timers.transaction_timeout(),
        });
        Some(response)
    }

    /// A PRACK came: whether it acknowledges the pending response.
    pub(super) fn acknowledge(&mut self, rack: &RAck) -> bool {
        let matches = self
            .pending
            .as_ref()
            .is_some_and(|p| p.rseq == rack.rseq && rack.cseq.number == self.invite_cseq);
        if let Some(acknowledged) = self.pending.take_if(|_| matches) {
            self.answered |= acknowledged.has_offer_or_answer;
        }
        matches
    }

    /// Whether the peer has acknowledged a session description of ours.
    pub(super) const fn has_answered(&self) -> bool {
        self.answered
    }

    /// The response that may go out now that the one before is acknowledged.
    pub(super) fn next_waiting(&mut self) -> Option<Response> {
        self.pending.is_none().then(|| self.waiting.pop_front()).flatten()
    }

    /// Whether a 2xx must wait: a session description is not acknowledged yet (RFC 3262 §3).
    pub(super) fn holds_final(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.has_offer_or_answer)
    }

    /// The INVITE got its final response.
    pub(super) fn stop(&mut self) {
        self.waiting.clear();
        self.stopped = true;
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.pending.as_ref().filter(|_| !self.stopped).map(|pending| pending.resend.min(pending.until))
    }

    pub(super) fn timeout(&mut self, now: Mono) -> Due {
        let Some(pending) = self.pending.as_mut().filter(|_| !self.stopped) else {
            return Due::Nothing;
        };
        if pending.until <= now {
            self.pending = None;
            return Due::GiveUp;
        }
        if pending.resend > now {
            return Due::Nothing;
        }
        pending.interval *= 2;
        pending.resend = now + pending.interval;
        Due::Resend(pending.bytes.clone(), pending.target.clone())
    }
}
