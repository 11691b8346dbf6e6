//! A 2xx that waits for its ACK (RFC 3261 §13.3.1.4): sent again at T1, doubling to T2, over every
//! transport; given up after 64×T1.
//!
//! ```text
//!            ┌─ T1, 2×T1, … T2: sent again ─┐
//! 2xx sent ─▶ unacked ◀─────────────────────┘
//!              ├── ACK ─▶ gone; a hang-up that waited goes out
//!              └── 64×T1 ─▶ given up: BYE
//! ```

use std::time::Duration;

use bytes::Bytes;
use trunkline_sip::Target;

use crate::time::{Mono, Timers};

#[derive(Debug)]
pub(super) struct Unacked {
    /// CSeq of the INVITE.
    pub(super) cseq: u32,
    /// The ACK must carry the answer to our offer.
    pub(super) wants_answer: bool,
    bytes: Bytes,
    target: Target,
    resend: Mono,
    interval: Duration,
    until: Mono,
}

/// What a due timer of an [`Unacked`] asks for.
#[derive(Debug)]
pub(super) enum Due {
    Nothing,
    Resend(Bytes, Target),
    GiveUp,
}

impl Unacked {
    pub(super) fn new(
        cseq: u32,
        wants_answer: bool,
        bytes: Bytes,
        target: Target,
        timers: &Timers,
        now: Mono,
    ) -> Self {
        Self {
            cseq,
            wants_answer,
            bytes,
            target,
            resend: now + timers.t1,
            interval: timers.t1,
            until: now + timers.transaction_timeout(),
        }
    }

    pub(super) fn deadline(&self) -> Mono {
        self.resend.min(self.until)
    }

    pub(super) fn timeout(&mut self, timers: &Timers, now: Mono) -> Due {
        if self.until <= now {
            return Due::GiveUp;
        }
        if self.resend > now {
            return Due::Nothing;
        }
        self.interval = timers.backed_off(self.interval);
        self.resend = now + self.interval;
        Due::Resend(self.bytes.clone(), self.target.clone())
    }
}
