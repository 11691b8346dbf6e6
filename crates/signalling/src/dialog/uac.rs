//! The side that calls: INVITE, CANCEL, ACK (RFC 3261 §9.1, §13.2).

use bytes::Bytes;
use trunkline_sip::{HeaderName, Method, Request, Response, Target, check};

use super::leg::{Answered, Cx, Ended, InDialogPolicy, Leg, LegEvent, METHODS, State};
use super::session_timer::SessionTimer;
use super::state::Dialog;
use crate::ClientId;

impl Leg {
    /// Places a call: sends the INVITE with our offer to `target`.
    #[must_use]
    pub fn outgoing(
        cx: &mut Cx<'_>,
        mut dialog: Dialog,
        target: Target,
        sdp: &str,
        policy: InDialogPolicy,
    ) -> Self {
        let mut invite = dialog.request(Method::Invite, cx.tokens);
        invite.headers.push(HeaderName::Allow, check::allow(METHODS));
        invite.headers.push(HeaderName::Supported, "timer");
        if !sdp.is_empty() {
            invite.headers.push(HeaderName::ContentType, "application/sdp");
            invite.body = Bytes::copy_from_slice(sdp.as_bytes());
        }
        let cseq = invite.cseq().map_or(1, |cseq| cseq.number);
        let tx = cx.transactions.request(invite, target, cx.now.mono);
        let mut leg = Self::with(dialog, State::Calling { tx, provisional: false }, policy);
        leg.local_sdp = sdp.to_owned();
        leg.invite_cseq = cseq;
        leg
    }

    /// Gives up before an answer. The CANCEL waits for a provisional response (RFC 3261 §9.1).
    pub(super) fn cancel(&mut self, cx: &mut Cx<'_>) {
        let State::Calling { tx, provisional } = self.state else {
            return;
        };
        self.state = State::Cancelling { tx, sent: provisional };
        if provisional {
            self.send_cancel(cx, tx);
        }
    }

    pub(super) fn invite_response(&mut self, cx: &mut Cx<'_>, tx: ClientId, response: &Response) {
        let code = response.code();
        match (&self.state, code) {
            (State::Calling { .. }, 100..=199) => {
                self.state = State::Calling { tx, provisional: true };
                if code > 100 {
                    cx.events.push(LegEvent::Progress(code, response.body.clone()));
                }
            }
            (State::Cancelling { sent: false, .. }, 100..=199) => {
                self.state = State::Cancelling { tx, sent: true };
                self.send_cancel(cx, tx);
            }
            (State::Calling { .. }, 200..=299) => self.answered(cx, response),
            (State::Cancelling { .. }, 200..=299) => {
                // The 200 crossed our CANCEL: acknowledge it, then hang up (RFC 3261 §15).
                self.dialog.take_response(response);
                self.send_ack(cx);
                self.send_bye(cx);
            }
            (State::Calling { .. } | State::Cancelling { .. }, 300..) => {
                self.end(cx, Ended::Refused(code));
            }
            _ => {}
        }
    }

    /// A 2xx that its transaction no longer knows: a copy of the one we took is acknowledged again;
    /// one of another branch of a fork is not ours to keep (RFC 3261 §13.2.2.4).
    pub fn handle_stray_ok(&mut self, cx: &mut Cx<'_>, response: &Response) {
        let tag = response.to().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
        let number = response.cseq().map_or(self.invite_cseq, |cseq| cseq.number);
        if tag == self.dialog.remote_tag {
            let ack = self.dialog.ack(number, cx.tokens);
            return cx.transactions.send(ack.to_bytes(), self.dialog.target());
        }
        let mut other = self.dialog.clone();
        other.take_response(response);
        let ack = other.ack(number, cx.tokens);
        cx.transactions.send(ack.to_bytes(), other.target());
        let bye = other.request(Method::Bye, cx.tokens);
        cx.transactions.request(bye, other.target(), cx.now.mono);
    }

    pub(super) fn send_ack(&self, cx: &mut Cx<'_>) {
        let ack = self.dialog.ack(self.invite_cseq, cx.tokens);
        cx.transactions.send(ack.to_bytes(), self.dialog.target());
    }

    fn answered(&mut self, cx: &mut Cx<'_>, response: &Response) {
        self.dialog.take_response(response);
        self.state = State::Confirmed;
        self.peer_updates = response.headers.lists(&HeaderName::Allow, "UPDATE");
        self.timer = SessionTimer::of_response(&response.headers, cx.now.mono);
        self.send_ack(cx);
        cx.events.push(LegEvent::Answered(Answered { body: response.body.clone() }));
    }

    /// CANCEL goes where its INVITE went, under the same branch (RFC 3261 §9.1).
    fn send_cancel(&self, cx: &mut Cx<'_>, tx: ClientId) {
        let Some((invite, target)) = cx.transactions.client(tx) else {
            return;
        };
        let target = target.clone();
        let mut cancel = Request::new(Method::Cancel, invite.target.clone());
        let copied = [
            HeaderName::Via,
            HeaderName::Route,
            HeaderName::MaxForwards,
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
        ];
        for name in copied {
            for header in invite.headers.all(&name) {
                cancel.headers.push(name.clone(), header.value.clone());
            }
        }
        cancel.headers.push(HeaderName::CSeq, format!("{} CANCEL", self.invite_cseq));
        cx.transactions.request(cancel, target, cx.now.mono);
    }
}
