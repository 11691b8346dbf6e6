//! A re-INVITE of ours with a new offer (RFC 3261 §14.1): hold and resume.
//!
//! ```text
//! reoffer ─▶ Waiting ── nothing else is open ─▶ Asked ── 2xx: ACK ─▶ over (the answer)
//!              ▲ 491: back-off, five times        │ 401, 407: once more with the answer
//!              └──────────────────────────────────┤
//!                                                 ├── refused ─▶ over; what was agreed on stays (RFC 6141)
//!                                                 └── 408, 481, no answer ─▶ the dialog is lost
//! ```

use std::time::Duration;

use bytes::Bytes;
use trunkline_sip::{HeaderName, Method, Response, check};

use super::leg::{Cx, Ended, Leg, LegEvent};
use super::session_timer::SessionTimer;
use crate::ClientId;
use crate::time::Mono;

/// While another offer is open ours waits so long before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often a 491 is followed by another try.
const MAX_TRIES: u8 = 5;

/// An offer of ours in mid-call.
#[derive(Debug)]
pub(super) struct Reoffer {
    sdp: String,
    tx: Option<ClientId>,
    /// When it goes out, where it waits.
    at: Option<Mono>,
    tries: u8,
}

impl Reoffer {
    pub(super) const fn deadline(&self) -> Option<Mono> {
        self.at
    }
}

impl Leg {
    /// Offers something new, in place of an offer of ours that waits; false where the dialog is not up.
    pub fn reoffer(&mut self, cx: &mut Cx<'_>, sdp: &str) -> bool {
        if !self.is_confirmed() {
            return false;
        }
        // One that is under way is followed by the new one.
        let tx = self.reoffer_transaction();
        let at = Some(cx.now.mono);
        self.reoffer = Some(Reoffer { sdp: sdp.to_owned(), tx, at, tries: 0 });
        self.send_reoffer(cx);
        true
    }

    pub(super) fn reoffer_transaction(&self) -> Option<ClientId> {
        self.reoffer.as_ref().and_then(|reoffer| reoffer.tx)
    }

    /// Sends it where no other offer is open, in either direction.
    pub(super) fn send_reoffer(&mut self, cx: &mut Cx<'_>) {
        let open = self.refresh.is_some() || self.offer.is_some() || self.unacked.is_some();
        let up = self.is_confirmed();
        let Some(reoffer) = self.reoffer.as_mut().filter(|reoffer| up && reoffer.at.is_some()) else {
            return;
        };
        if reoffer.at.is_some_and(|at| at > cx.now.mono) {
            return;
        }
        if open || reoffer.tx.is_some() {
            reoffer.at = Some(cx.now.mono + LOOK_AGAIN);
            return;
        }
        let body = Bytes::copy_from_slice(reoffer.sdp.as_bytes());
        let mut request = self.dialog.request(Method::Invite, cx.tokens);
        request.headers.push(HeaderName::Allow, check::allow(self.policy.methods()));
        request.headers.push(HeaderName::Supported, "timer");
        if let Some(timer) = &self.timer {
            let refresher = if timer.ours { "uac" } else { "uas" };
            let value = format!("{};refresher={refresher}", timer.interval);
            request.headers.push(HeaderName::SessionExpires, value);
        }
        request.headers.push(HeaderName::ContentType, "application/sdp");
        request.body = body;
        self.invite_cseq = request.cseq().map_or(0, |cseq| cseq.number);
        self.sign(&mut request, cx);
        let tx = cx.transactions.request(request, self.dialog.target(), cx.now.mono);
        if let Some(reoffer) = &mut self.reoffer {
            (reoffer.tx, reoffer.at) = (Some(tx), None);
        }
    }

    pub(super) fn reoffer_response(&mut self, cx: &mut Cx<'_>, response: &Response) {
        let code = response.code();
        if code < 200 {
            return;
        }
        let again = self.challenged(response);
        let longer = self.placing.is_some();
        let Some(reoffer) = &mut self.reoffer else { return };
        reoffer.tx = None;
        let superseded = reoffer.at.is_some();
        match code {
            200..=299 => {
                let body = response.body_of("application/sdp").unwrap_or_default();
                let sdp = std::mem::take(&mut reoffer.sdp);
                self.dialog.refresh_target(response.contact());
                self.timer = SessionTimer::of_response(&response.headers, cx.now.mono).or(self.timer);
                if let Some(timer) = &mut self.timer {
                    timer.restart(cx.now.mono);
                }
                self.send_ack(cx);
                if superseded {
                    // Nobody wants to know any more; the newer one is the one that counts.
                    if let Some(reoffer) = &mut self.reoffer {
                        reoffer.sdp = sdp;
                    }
                    return self.send_reoffer(cx);
                }
                self.reoffer = None;
                self.local_sdp = sdp;
                cx.events.push(LegEvent::Reoffered(Ok(body)));
            }
            408 | 481 => {
                self.reoffer = None;
                self.leave(cx, Ended::Lost);
            }
            _ if again || superseded => {
                reoffer.at = Some(cx.now.mono);
                self.send_reoffer(cx);
            }
            491 if reoffer.tries < MAX_TRIES => {
                reoffer.tries += 1;
                // Who owns the Call-ID waits longer (RFC 3261 §14.1).
                let (from, steps) = if longer { (2100, 191) } else { (0, 201) };
                let wait = Duration::from_millis(from + cx.tokens.number() % steps * 10);
                reoffer.at = Some(cx.now.mono + wait);
            }
            _ => {
                self.reoffer = None;
                cx.events.push(LegEvent::Reoffered(Err(code)));
            }
        }
    }

    /// Nobody waits for its answer once the dialog ends.
    pub(super) fn drop_reoffer(&mut self, cx: &mut Cx<'_>) {
        if let Some(tx) = self.reoffer.take().and_then(|reoffer| reoffer.tx) {
            cx.transactions.give_up(tx, cx.now.mono);
        }
    }
}
