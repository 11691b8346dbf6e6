//! The side that is called: ring, answer, refuse (RFC 3261 §13.3, RFC 3262 §3).

use bytes::Bytes;
use trunkline_sip::{HeaderName, Request, Response, check, headers::RAck, reply};

use super::leg::{Cx, Ended, InDialogPolicy, Leg, LegEvent, METHODS, State, respond};
use super::reliable::{Due, Reliable};
use super::session_timer::SessionTimer;
use super::state::{Dialog, LocalAddress};
use super::unacked::Unacked;
use crate::ServerId;

impl Leg {
    /// A leg for an INVITE that opened a transaction.
    #[must_use]
    pub fn incoming(
        cx: &mut Cx<'_>,
        tx: ServerId,
        invite: Request,
        address: LocalAddress,
        policy: InDialogPolicy,
    ) -> Option<Self> {
        let (_, flow) = cx.transactions.path(tx)?;
        let dialog = Dialog::of_request(&invite, flow, address, cx.tokens.token());
        let requires = |tag| invite.headers.lists(&HeaderName::Require, tag);
        let cseq = invite.cseq().map_or(1, |cseq| cseq.number);
        let reliable = requires("100rel").then(|| {
            let first = u32::try_from(cx.tokens.number() >> 33).unwrap_or(1).max(1);
            Reliable::new(first, cseq)
        });
        let mut leg = Self::with(dialog, State::Incoming { tx, invite: Box::new(invite) }, policy);
        leg.reliable = reliable;
        let State::Incoming { invite, .. } = &leg.state else {
            return None;
        };
        leg.peer_updates = invite.headers.lists(&HeaderName::Allow, "UPDATE");
        match SessionTimer::of_request(&invite.headers, cx.now.mono) {
            Ok(timer) => leg.timer = timer,
            Err(min_se) => leg.reject(cx, 422, &[(HeaderName::MinSe, min_se.to_string())]),
        }
        Some(leg)
    }

    /// The INVITE, while it has no final response.
    #[must_use]
    pub fn invite(&self) -> Option<&Request> {
        match &self.state {
            State::Incoming { invite, .. } => Some(invite),
            _ => None,
        }
    }

    /// Sends a provisional response; 101 to 199 make the dialog early.
    pub fn ring(&mut self, cx: &mut Cx<'_>, code: u16, sdp: Option<&str>) {
        let State::Incoming { tx, invite } = &self.state else {
            return;
        };
        let tx = *tx;
        let mut response = reply::to(invite, code, (code > 100).then_some(&*self.dialog.local_tag));
        if code == 100 {
            return cx.transactions.respond(tx, &response, cx.now.mono);
        }
        reply::copy_record_route(invite, &mut response);
        self.put_dialog_fields(&mut response);
        if let Some(sdp) = sdp {
            put_sdp(&mut response, sdp);
            self.local_sdp = sdp.to_owned();
        }
        self.send_provisional(cx, tx, response);
    }

    /// Accepts the call. `sdp` answers the INVITE's offer, or is our offer where it had none.
    pub fn answer(&mut self, cx: &mut Cx<'_>, sdp: &str) {
        if self.reliable.as_ref().is_some_and(Reliable::holds_final) {
            self.held_answer = Some(sdp.to_owned());
            return;
        }
        let State::Incoming { tx, invite } = std::mem::replace(&mut self.state, State::Confirmed) else {
            return;
        };
        let mut response = reply::to(&invite, 200, Some(&self.dialog.local_tag));
        reply::copy_record_route(&invite, &mut response);
        self.put_dialog_fields(&mut response);
        if let Some(timer) = &mut self.timer {
            timer.restart(cx.now.mono);
            timer.announce(&mut response);
        }
        put_sdp(&mut response, sdp);
        self.local_sdp = sdp.to_owned();
        if let Some(reliable) = &mut self.reliable {
            reliable.stop();
        }
        self.send_ok(cx, tx, &invite, &response);
    }

    /// Refuses the call. `fields` are added to the response.
    pub fn reject(&mut self, cx: &mut Cx<'_>, code: u16, fields: &[(HeaderName, String)]) {
        let State::Incoming { tx, invite } = &self.state else {
            return;
        };
        let mut response = reply::to(invite, code, Some(&self.dialog.local_tag));
        for (name, value) in fields {
            response.headers.push(name.clone(), value.clone());
        }
        cx.transactions.respond(*tx, &response, cx.now.mono);
        self.end(cx, Ended::Rejected(code));
    }

    /// The CANCEL of the INVITE; the transaction layer answered it.
    pub fn handle_cancel(&mut self, cx: &mut Cx<'_>) {
        let State::Incoming { tx, invite } = &self.state else {
            return;
        };
        let response = reply::to(invite, 487, Some(&self.dialog.local_tag));
        cx.transactions.respond(*tx, &response, cx.now.mono);
        self.end(cx, Ended::Cancelled);
    }

    /// PRACK (RFC 3262 §3).
    pub(super) fn prack(&mut self, cx: &mut Cx<'_>, tx: ServerId, request: &Request) {
        let rack = request.headers.text(&HeaderName::RAck).and_then(|text| RAck::parse(&text));
        let Some(reliable) = &mut self.reliable else {
            return respond(cx, tx, request, 481, "");
        };
        if !rack.is_some_and(|rack| reliable.acknowledge(&rack)) {
            return respond(cx, tx, request, 481, "");
        }
        respond(cx, tx, request, 200, "");
        if let Some(next) = reliable.next_waiting()
            && let State::Incoming { tx, .. } = self.state
        {
            self.send_provisional(cx, tx, next);
        }
        if let Some(sdp) = self.held_answer.take() {
            self.answer(cx, &sdp);
        }
    }

    pub(super) fn reliable_timeout(&mut self, cx: &mut Cx<'_>) {
        match self.reliable.as_mut().map(|reliable| reliable.timeout(cx.now.mono)) {
            Some(Due::Resend(bytes, target)) => cx.transactions.send(bytes, target),
            Some(Due::GiveUp) => {
                if let State::Incoming { tx, invite } = &self.state {
                    let response = reply::to(invite, 504, Some(&self.dialog.local_tag));
                    cx.transactions.respond(*tx, &response, cx.now.mono);
                }
                self.end(cx, Ended::NoPrack);
            }
            Some(Due::Nothing) | None => {}
        }
    }

    fn send_provisional(&mut self, cx: &mut Cx<'_>, tx: ServerId, response: Response) {
        let timers = *cx.transactions.timers();
        let Some(reliable) = &mut self.reliable else {
            return cx.transactions.respond(tx, &response, cx.now.mono);
        };
        let Some((target, _)) = cx.transactions.path(tx) else {
            return;
        };
        let target = target.clone();
        if let Some(response) = reliable.send(response, target, &timers, cx.now.mono) {
            cx.transactions.respond(tx, &response, cx.now.mono);
        }
    }

    /// Sends a 2xx to an INVITE or re-INVITE and watches for its ACK.
    pub(super) fn send_ok(&mut self, cx: &mut Cx<'_>, tx: ServerId, invite: &Request, response: &Response) {
        let Some((target, _)) = cx.transactions.path(tx) else {
            return;
        };
        let target = target.clone();
        let cseq = invite.cseq().map_or(1, |cseq| cseq.number);
        let (timers, now) = (*cx.transactions.timers(), cx.now.mono);
        cx.transactions.respond(tx, response, now);
        let wants_answer = !invite.has_body_of("application/sdp");
        let bytes = response.to_bytes();
        self.unacked = Some(Unacked::new(cseq, wants_answer, bytes, target, &timers, now));
    }

    /// The fields that a response which makes or refreshes a dialog carries.
    pub(super) fn put_dialog_fields(&self, response: &mut Response) {
        response.headers.push(HeaderName::Contact, self.dialog.address.contact());
        response.headers.push(HeaderName::Allow, check::allow(METHODS));
        response.headers.push(HeaderName::Supported, "100rel, timer");
    }
}

/// Puts a session description into a response.
pub(super) fn put_sdp(response: &mut Response, sdp: &str) {
    response.headers.push(HeaderName::ContentType, "application/sdp");
    response.body = Bytes::copy_from_slice(sdp.as_bytes());
}

impl LegEvent {
    /// Whether the event ends the leg.
    #[must_use]
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}
