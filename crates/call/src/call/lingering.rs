//! The consultation of an attended transfer outlives the call where the carrier hangs up right behind its 202: what it
//! was asked to take over must be there yet when its INVITE with Replaces comes (RFC 5589 §7).
//!
//! ```text
//! Referring ── the party's BYE ─▶ the call closes, the consultation lingers ── its peer's BYE: taken over ─▶ gone
//!                                                                          └── ours after 4 s ────────────▶ gone
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_sdp::Member;
use trunkline_signalling::Mono;
use trunkline_signalling::dialog::Cx;

use super::Call;
use crate::Output;

/// How long it is kept: many round trips for the carrier's INVITE, and less than a drain waits for the last BYE.
const LINGER: Duration = Duration::from_secs(4);

impl Call {
    /// The leg that the party was asked to take over stays for a while.
    pub(super) fn linger(&mut self, now: Mono) {
        let consult = self.transfer.as_ref().and_then(|transfer| transfer.member());
        self.lingers = consult.map(|member| (member, now + LINGER));
    }

    /// Whether a leg outlives its call.
    pub(super) fn lingers(&self, member: Member) -> bool {
        self.lingers.is_some_and(|(lingering, _)| lingering == member)
    }

    /// It has waited long enough.
    pub(super) fn linger_timeout(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        if self.lingers.is_some_and(|(_, until)| until <= cx.now.mono) {
            self.linger_no_more(cx, out);
        }
    }

    /// Whatever lingers is ended.
    pub(super) fn linger_no_more(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        if let Some((member, _)) = self.lingers.take() {
            self.on_line(member, cx, |line, cx| line.leg.hang_up(cx, 487));
            self.act(cx, out);
        }
    }
}
