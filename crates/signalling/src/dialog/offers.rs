//! Offers inside a dialog: re-INVITE and UPDATE from the peer (RFC 3261 §14.2, RFC 3311), and our
//! own refreshes (RFC 4028 §7).

use std::time::Duration;

use bytes::Bytes;
use trunkline_sip::{HeaderName, Method, Request, Response, reply};

use super::leg::{Cx, Ended, Leg, LegEvent, OfferIn, State, respond};
use super::session_timer::SessionTimer;
use super::uas::put_sdp;
use crate::ServerId;

/// A re-INVITE or UPDATE whose offer the call has not settled.
#[derive(Debug)]
pub(super) struct PendingOffer {
    tx: ServerId,
    request: Box<Request>,
    /// The session timer that it asks for, in force once it is accepted.
    timer: Option<SessionTimer>,
}

impl PendingOffer {
    pub(super) fn refuse(&self, cx: &mut Cx<'_>, code: u16, local_tag: &str) {
        let response = reply::to(&self.request, code, Some(local_tag));
        cx.transactions.respond(self.tx, &response, cx.now.mono);
    }
}

impl Leg {
    /// A re-INVITE or an UPDATE came.
    pub(super) fn peer_offer(&mut self, cx: &mut Cx<'_>, tx: ServerId, request: Request) {
        let is_update = request.method == Method::Update;
        let early = matches!(self.state, State::Incoming { .. } | State::Calling { .. });
        let has_offer = request.has_body_of("application/sdp");
        // Two offers at once: ours is open (491), or the peer's own is not settled (500).
        if self.refresh.is_some() {
            return respond(cx, tx, &request, 491, "");
        }
        if self.offer.is_some() || (early && (has_offer || !is_update)) || self.awaits_answer() {
            let mut response = reply::to(&request, 500, None);
            response.headers.push(HeaderName::RetryAfter, (cx.tokens.number() % 10).to_string());
            return cx.transactions.respond(tx, &response, cx.now.mono);
        }
        let timer = match SessionTimer::of_request(&request.headers, cx.now.mono) {
            Ok(timer) => timer,
            Err(min_se) => {
                let mut response = reply::to(&request, 422, None);
                response.headers.push(HeaderName::MinSe, min_se.to_string());
                return cx.transactions.respond(tx, &response, cx.now.mono);
            }
        };
        let body = request.body.clone();
        let pending = PendingOffer { tx, request: Box::new(request), timer };
        if is_update && !has_offer {
            return self.settle(cx, &pending, None);
        }
        self.offer = Some(pending);
        let offer = if has_offer { OfferIn::Given(body) } else { OfferIn::Wanted };
        cx.events.push(LegEvent::Offer(offer));
    }

    /// Settles the peer's offer with our answer, or gives the offer that it wanted.
    pub fn accept_offer(&mut self, cx: &mut Cx<'_>, sdp: &str) {
        if let Some(pending) = self.offer.take() {
            self.settle(cx, &pending, Some(sdp));
        }
    }

    /// Refuses the peer's offer; what was agreed on before stays in force (RFC 6141).
    pub fn refuse_offer(&mut self, cx: &mut Cx<'_>, code: u16) {
        if let Some(pending) = self.offer.take() {
            pending.refuse(cx, code, &self.dialog.local_tag);
        }
    }

    fn settle(&mut self, cx: &mut Cx<'_>, pending: &PendingOffer, sdp: Option<&str>) {
        self.dialog.refresh_target(pending.request.contact());
        self.timer = pending.timer;
        let mut response = reply::to(&pending.request, 200, None);
        self.put_dialog_fields(&mut response);
        if let Some(timer) = &self.timer {
            timer.announce(&mut response);
        }
        if let Some(sdp) = sdp {
            put_sdp(&mut response, sdp);
            self.local_sdp = sdp.to_owned();
        }
        match pending.request.method {
            Method::Invite => self.send_ok(cx, pending.tx, &pending.request, &response),
            _ => cx.transactions.respond(pending.tx, &response, cx.now.mono),
        }
    }

    /// Our offer went out in a 2xx whose ACK has not brought the answer.
    fn awaits_answer(&self) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.wants_answer)
    }

    /// Refreshes the dialog: UPDATE where the peer takes it, else a re-INVITE with the description
    /// that it already has, so that nothing changes.
    pub(super) fn send_refresh(&mut self, cx: &mut Cx<'_>) {
        let Some(timer) = self.timer else { return };
        let method = if self.peer_updates { Method::Update } else { Method::Invite };
        let mut request = self.dialog.request(method, cx.tokens);
        request.headers.push(HeaderName::Supported, "timer");
        request.headers.push(HeaderName::SessionExpires, format!("{};refresher=uac", timer.interval));
        if request.method == Method::Invite {
            request.headers.push(HeaderName::ContentType, "application/sdp");
            request.body = Bytes::copy_from_slice(self.local_sdp.as_bytes());
            self.invite_cseq = request.cseq().map_or(0, |cseq| cseq.number);
        }
        self.refresh = Some(cx.transactions.request(request, self.dialog.target(), cx.now.mono));
    }

    /// A refusal leaves the dialog as it is; the refresh is tried again, at last the timer decides.
    fn refresh_refused(&mut self, cx: &mut Cx<'_>, code: u16, response: &Response) {
        let Some(timer) = &mut self.timer else { return };
        if code == 422 && !timer.raised {
            timer.raised = true;
            timer.interval = timer.interval.max(super::session_timer::min_se(&response.headers));
            return self.send_refresh(cx);
        }
        if matches!(code, 405 | 501) {
            self.peer_updates = false;
        }
        // RFC 3261 §14.1: who owns the Call-ID waits 2.1 to 4 s after a 491, the other side less; the
        // longer wait suits both and every other refusal.
        let wait = Duration::from_millis(2100 + cx.tokens.number() % 1900);
        timer.retry = Some(cx.now.mono + wait);
    }

    pub(super) fn refresh_response(&mut self, cx: &mut Cx<'_>, response: &Response) {
        let code = response.code();
        if code < 200 {
            return;
        }
        self.refresh = None;
        match code {
            200..=299 => {
                self.dialog.refresh_target(response.contact());
                self.timer = SessionTimer::of_response(&response.headers, cx.now.mono).or(self.timer);
                if let Some(timer) = &mut self.timer {
                    timer.restart(cx.now.mono);
                }
                if response.cseq().is_some_and(|cseq| cseq.method == Method::Invite) {
                    self.send_ack(cx);
                }
            }
            // The dialog is gone at the peer (RFC 4028 §7.4, RFC 5057).
            408 | 481 => self.leave(cx, Ended::Lost),
            _ => self.refresh_refused(cx, code, response),
        }
    }
}
