//! The side that is called: ring, answer, refuse (RFC 3261 §13.3, RFC 3262 §3).

use std::sync::Arc;

use bytes::Bytes;
use trunkline_sip::{HeaderName, Request, Response, check, headers::RAck, reply};

use super::account::{Account, Answering};
use super::leg::{Cx, Ended, Leg, LegEvent, OfferIn, State, respond};
use super::offers::PendingOffer;
use super::policy::{InDialogPolicy, takes_updates};
use super::reliable::{Due, Reliable};
use super::session_timer::SessionTimer;
use super::state::{Dialog, LocalAddress};
use super::unacked::Unacked;
use crate::ServerId;

/// What a leg is told of the peer and of ourselves.
#[derive(Debug, Clone)]
pub struct LegTerms {
    /// How we name ourselves towards the peer.
    pub address: LocalAddress,
    /// Which requests of the peer are taken.
    pub policy: InDialogPolicy,
    /// The name that the peer's certificate holds, for a connection that we open to it anew.
    pub peer_name: Option<String>,
    /// How challenges of its are answered, as long as our requests go back to where it called from.
    pub account: Option<Arc<Account>>,
}

/// A leg in the making: all that is read of its INVITE.
#[derive(Debug)]
pub struct Draft {
    leg: Leg,
    /// The session interval is too short; the shortest that we take.
    min_se: Option<u32>,
}

impl Draft {
    /// Reads an INVITE that opened a transaction. Nothing where that is gone.
    #[must_use]
    pub fn of(cx: &mut Cx<'_>, tx: ServerId, invite: &Request, terms: LegTerms) -> Option<Self> {
        let (_, flow) = cx.transactions.path(tx)?;
        let mut dialog = Dialog::of_request(invite, flow, terms.address, cx.tokens.token());
        dialog.peer_name = terms.peer_name;
        let requires = |tag| invite.headers.lists(&HeaderName::Require, tag);
        let cseq = invite.cseq().map_or(1, |cseq| cseq.number);
        let reliable = requires("100rel").then(|| {
            let first = u32::try_from(cx.tokens.number() >> 33).unwrap_or(1).max(1);
            Reliable::new(first, cseq)
        });
        let mut leg = Leg::with(dialog, State::New, terms.policy);
        let home = flow.remote.ip();
        leg.answering = terms.account.map(|account| Box::new(Answering::from_home(account, home)));
        leg.reliable = reliable;
        leg.peer_updates = takes_updates(&invite.headers);
        let min_se = match SessionTimer::of_request(&invite.headers, cx.now.mono) {
            Ok(timer) => {
                leg.timer = timer;
                None
            }
            Err(min_se) => Some(min_se),
        };
        Some(Self { leg, min_se })
    }

    /// The leg, which answers the INVITE from now on.
    #[must_use]
    pub fn becomes_leg(self, cx: &mut Cx<'_>, tx: ServerId, invite: Request) -> Leg {
        let mut leg = self.leg;
        leg.state = State::Incoming { tx, invite: Box::new(invite) };
        if let Some(min_se) = self.min_se {
            leg.reject(cx, 422, &[(HeaderName::MinSe, min_se.to_string())]);
        }
        leg
    }
}

impl Leg {
    /// A leg for an INVITE that opened a transaction.
    #[must_use]
    pub fn incoming(cx: &mut Cx<'_>, tx: ServerId, invite: Request, terms: LegTerms) -> Option<Self> {
        let draft = Draft::of(cx, tx, &invite, terms)?;
        Some(draft.becomes_leg(cx, tx, invite))
    }

    /// Whether the peer asked for reliable provisional responses (RFC 3262).
    #[must_use]
    pub const fn rings_reliably(&self) -> bool {
        self.reliable.is_some()
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
        // One that was cancelled meanwhile stays over.
        if self.invite().is_none() {
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
    pub(super) fn prack(&mut self, cx: &mut Cx<'_>, tx: ServerId, request: Request) {
        let rack = request.headers.text(&HeaderName::RAck).and_then(|text| RAck::parse(&text));
        let Some(reliable) = &mut self.reliable else {
            return respond(cx, tx, &request, 481, "");
        };
        if !rack.is_some_and(|rack| reliable.acknowledge(&rack)) {
            return respond(cx, tx, &request, 481, "");
        }
        match request.body_of("application/sdp") {
            // The INVITE's offer is answered already, so this is one more (RFC 3262 §5).
            Some(body) if !self.local_sdp.is_empty() && self.offer.is_none() => {
                self.offer = Some(PendingOffer::new(tx, request, self.timer));
                cx.events.push(LegEvent::Offer(OfferIn::Given(body)));
            }
            // An offer while another waits for its answer.
            Some(_) => {
                respond(cx, tx, &request, 488, "");
                self.after_prack(cx);
            }
            None => {
                respond(cx, tx, &request, 200, "");
                self.after_prack(cx);
            }
        }
    }

    /// What waited for a PRACK: the next provisional response, and the answer.
    pub(super) fn after_prack(&mut self, cx: &mut Cx<'_>) {
        let Some(reliable) = &mut self.reliable else {
            return;
        };
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
        let wants_answer = invite.body_of("application/sdp").is_none();
        let bytes = response.to_bytes();
        self.unacked = Some(Unacked::new(cseq, wants_answer, bytes, target, &timers, now));
    }

    /// The fields that a response which makes or refreshes a dialog carries.
    pub(super) fn put_dialog_fields(&self, response: &mut Response) {
        response.headers.push(HeaderName::Contact, self.dialog.contact());
        response.headers.push(HeaderName::Allow, check::allow(self.policy.methods()));
        response.headers.push(HeaderName::Supported, self.policy.extensions());
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
