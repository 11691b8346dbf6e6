//! How a leg comes to its end: our BYE, the peer's, a connection that is gone (RFC 3261 §15).

use trunkline_sip::{Method, Request, reply};

use super::leg::{Cx, Ended, Leg, LegEvent, State, respond};
use crate::ServerId;

impl Leg {
    /// Tells the call why, and sends the BYE.
    pub(super) fn leave(&mut self, cx: &mut Cx<'_>, why: Ended) {
        if matches!(self.state, State::Confirmed) {
            self.send_bye(cx);
            cx.events.push(LegEvent::Ended(why));
        }
    }

    pub(super) fn send_bye(&mut self, cx: &mut Cx<'_>) {
        self.unacked = None;
        self.drop_refresh(cx);
        let mut bye = self.dialog.request(Method::Bye, cx.tokens);
        self.sign(&mut bye, cx);
        let bye = cx.transactions.request(bye, self.dialog.target(), cx.now.mono);
        self.state = State::Leaving { bye };
    }

    /// A connection is gone. A dialog that stuck to it goes on over a new one to its next hop; one
    /// that names no hop is lost.
    pub fn connection_lost(&mut self, cx: &mut Cx<'_>, connection: u64) {
        if self.dialog.flow.connection != Some(connection) {
            return;
        }
        self.dialog.flow.connection = None;
        if matches!(self.state, State::Confirmed) && !self.dialog.has_hop() {
            self.drop_refresh(cx);
            self.end(cx, Ended::Lost);
        }
    }

    /// Ends the dialog at once, whatever it waits for: its call is gone.
    pub fn abandon(&mut self, cx: &mut Cx<'_>, code: u16) {
        self.unacked = None;
        if let Some(pending) = self.offer.take() {
            pending.refuse(cx, code, &self.dialog.local_tag);
        }
        self.hang_up(cx, code);
    }

    pub(super) fn end(&mut self, cx: &mut Cx<'_>, why: Ended) {
        if !matches!(self.state, State::Ended) {
            self.state = State::Ended;
            cx.events.push(LegEvent::Ended(why));
        }
        self.drop_refresh(cx);
        self.reliable = None;
        self.unacked = None;
    }

    pub(super) fn peer_bye(&mut self, cx: &mut Cx<'_>, tx: ServerId, request: &Request) {
        respond(cx, tx, request, 200, "");
        if let State::Incoming { tx, invite } = &self.state {
            // A BYE in an early dialog also ends its INVITE (RFC 3261 §15.1.2).
            let response = reply::to(invite, 487, Some(&self.dialog.local_tag));
            cx.transactions.respond(*tx, &response, cx.now.mono);
        }
        if let Some(pending) = self.offer.take() {
            pending.refuse(cx, 487, &self.dialog.local_tag);
        }
        self.end(cx, Ended::PeerBye);
    }
}
