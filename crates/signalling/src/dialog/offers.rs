//! Offers inside a dialog: re-INVITE and UPDATE from the peer (RFC 3261 §14.2, RFC 3311), and our
//! own refreshes (RFC 4028 §7).

use std::time::Duration;

use bytes::Bytes;
use trunkline_sip::{HeaderName, Method, Request, Response, reply};

use super::leg::{Cx, Ended, Leg, LegEvent, OfferIn, State, respond};
use super::reliable::Reliable;
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
    /// The early dialog of a call of ours that it came in, by its tag.
    early: Option<String>,
}

impl PendingOffer {
    pub(super) fn new(tx: ServerId, request: Request, timer: Option<SessionTimer>) -> Self {
        Self { tx, request: Box::new(request), timer, early: None }
    }

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
        let body = request.body_of("application/sdp");
        let has_offer = body.is_some();
        // Two offers at once: ours is open (491), or the peer's own is not settled (500).
        let too_early = early && (!is_update || (has_offer && !self.first_offer_is_answered()));
        let calling = matches!(self.state, State::Calling { .. });
        if self.refresh.is_some() || self.reoffer_transaction().is_some() || (calling && too_early) {
            return respond(cx, tx, &request, 491, "");
        }
        if self.offer.is_some() || too_early || self.awaits_answer() {
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
        let mut pending = PendingOffer::new(tx, request, timer);
        pending.early = calling.then(|| self.dialog.remote_tag.clone());
        if is_update && !has_offer {
            return self.settle(cx, &pending, None);
        }
        self.offer = Some(pending);
        cx.events.push(LegEvent::Offer(body.map_or(OfferIn::Wanted, OfferIn::Given)));
    }

    /// Settles the peer's offer with our answer, or gives the offer that it wanted.
    pub fn accept_offer(&mut self, cx: &mut Cx<'_>, sdp: &str) {
        let Some(pending) = self.offer.take() else { return };
        let Some(tag) = &pending.early else { return self.settle(cx, &pending, Some(sdp)) };
        if !self.within(tag, |leg| leg.settle(cx, &pending, Some(sdp))) {
            return pending.refuse(cx, 481, &self.dialog.local_tag);
        }
        if let Some(placing) = &mut self.placing {
            placing.early.described_anew(tag);
        }
    }

    /// Refuses the peer's offer; what was agreed on before stays in force (RFC 6141).
    pub fn refuse_offer(&mut self, cx: &mut Cx<'_>, code: u16) {
        if let Some(pending) = self.offer.take() {
            pending.refuse(cx, code, &self.dialog.local_tag);
            if pending.request.method == Method::Prack {
                self.after_prack(cx);
            }
        }
    }

    fn settle(&mut self, cx: &mut Cx<'_>, pending: &PendingOffer, sdp: Option<&str>) {
        let mut response = reply::to(&pending.request, 200, None);
        if pending.request.method == Method::Prack {
            return self.settle_prack(cx, pending, response, sdp);
        }
        self.dialog.refresh_target(pending.request.contact());
        self.put_dialog_fields(&mut response);
        // What the INVITE asked for is not settled by what comes before its answer.
        if matches!(self.state, State::Confirmed) {
            self.timer = pending.timer;
            if let Some(timer) = &self.timer {
                timer.announce(&mut response);
            }
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

    /// PRACK refreshes neither target nor session.
    fn settle_prack(
        &mut self,
        cx: &mut Cx<'_>,
        pending: &PendingOffer,
        mut response: Response,
        sdp: Option<&str>,
    ) {
        if let Some(sdp) = sdp {
            put_sdp(&mut response, sdp);
            self.local_sdp = sdp.to_owned();
        }
        cx.transactions.respond(pending.tx, &response, cx.now.mono);
        self.after_prack(cx);
    }

    /// Whether the INVITE's offer was answered before its final response: in a provisional one whose
    /// PRACK came (RFC 3311 §5.1).
    fn first_offer_is_answered(&self) -> bool {
        self.dialog.answered_early || self.reliable.as_ref().is_some_and(Reliable::has_answered)
    }

    /// Our offer went out in a 2xx whose ACK has not brought the answer.
    fn awaits_answer(&self) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.wants_answer)
    }

    /// Refreshes the dialog: UPDATE where the peer takes it, else a re-INVITE with the description
    /// that it already has, so that nothing changes.
    pub(super) fn send_refresh(&mut self, cx: &mut Cx<'_>) {
        let Some(mut timer) = self.timer else { return };
        if self.reoffer_transaction().is_some() {
            // Its answer refreshes too.
            timer.retry = Some(cx.now.mono + Duration::from_secs(1));
            self.timer = Some(timer);
            return;
        }
        let method = if self.peer_updates { Method::Update } else { Method::Invite };
        let mut request = self.dialog.request(method, cx.tokens);
        request.headers.push(HeaderName::Supported, "timer");
        request.headers.push(HeaderName::SessionExpires, format!("{};refresher=uac", timer.interval));
        if request.method == Method::Invite {
            request.headers.push(HeaderName::ContentType, "application/sdp");
            request.body = Bytes::copy_from_slice(self.local_sdp.as_bytes());
            self.invite_cseq = request.cseq().map_or(0, |cseq| cseq.number);
        }
        self.sign(&mut request, cx);
        self.refresh = Some(cx.transactions.request(request, self.dialog.target(), cx.now.mono));
    }

    /// Nobody waits for the answer to a refresh once the dialog ends.
    pub(super) fn drop_refresh(&mut self, cx: &mut Cx<'_>) {
        self.drop_reoffer(cx);
        if let Some(refresh) = self.refresh.take() {
            cx.transactions.give_up(refresh, cx.now.mono);
        }
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
        // So that the two sides of a glare do not meet again, who owns the Call-ID waits longer
        // (RFC 3261 §14.1); every other refusal asks for the longer wait too.
        let longer = self.placing.is_some() || code != 491;
        let (from, steps) = if longer { (2100, 191) } else { (0, 201) };
        let wait = Duration::from_millis(from + cx.tokens.number() % steps * 10);
        timer.retry = Some(cx.now.mono + wait);
    }

    pub(super) fn refresh_response(&mut self, cx: &mut Cx<'_>, response: &Response) {
        let code = response.code();
        if code < 200 {
            return;
        }
        self.refresh = None;
        if self.challenged(response) {
            return self.send_refresh(cx);
        }
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
