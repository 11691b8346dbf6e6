//! One SIP dialog of a call, from INVITE to BYE.
//!
//! ```text
//! UAS:  Incoming ── answer ─▶ Confirmed ── BYE sent ─▶ Leaving ──▶ Ended
//!          └──── reject / CANCEL ──────────────────────────────────▲
//! UAC:  New ── place ─▶ Calling ── 2xx ─▶ Confirmed …
//!                         │ ▲ 401, 407: once more with the answer
//!          └── cancel ─▶ Cancelling ── 487 ─────────────────────────▲
//!                             └── 2xx: ACK and BYE ─▶ Leaving ──────▲
//! ```
//! While a 2xx of ours is unacknowledged the leg is Confirmed with `unacked` set; a hang-up then
//! waits for the ACK (RFC 3261 §15).

use bytes::Bytes;
use trunkline_sip::{HeaderName, Method, Request, Response, check, reply};

use super::account::Answering;
use super::info::Informing;
use super::late::is_ok_to_invite;
use super::offers::PendingOffer;
use super::policy::InDialogPolicy;
use super::refer::{ReferIn, Referrals, Referred};
use super::reliable::Reliable;
use super::reoffer::Reoffer;
use super::session_timer::{Due as TimerDue, SessionTimer};
use super::state::Dialog;
use super::uac::PlacingState;
use super::unacked::{Due, Unacked};
use crate::time::{Mono, Now};
use crate::{ClientId, ServerId, Tokens, Transactions};

/// What a leg works with while it handles one input.
pub struct Cx<'a> {
    /// The shard's transactions.
    pub transactions: &'a mut Transactions,
    /// Source of tags and branches.
    pub tokens: &'a mut Tokens,
    /// The present.
    pub now: Now,
    /// What the call is told.
    pub events: &'a mut Vec<LegEvent>,
}

/// An offer that the call has to answer, or to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferIn {
    /// The peer's offer.
    Given(Bytes),
    /// A re-INVITE without a body: an offer of ours is wanted.
    Wanted,
}

/// How the peer's 2xx answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its body.
    pub body: Bytes,
}

/// How a leg came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// CANCEL before our answer.
    Cancelled,
    /// The peer's BYE.
    PeerBye,
    /// Our BYE was answered, or given up.
    OurBye,
    /// We refused the INVITE, with that code.
    Rejected(u16),
    /// The peer refused our INVITE.
    Refused(u16),
    /// Our 2xx was never acknowledged.
    NoAck,
    /// Our reliable provisional response was never acknowledged.
    NoPrack,
    /// The session timer ran out.
    SessionExpired,
    /// No response to our request, or the peer says that the dialog is gone.
    Lost,
}

/// What a leg tells its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegEvent {
    /// The dialog is over; BYE or refusal are under way already.
    Ended(Ended),
    /// The ACK of our answer; with the peer's answer where we made the offer.
    Acknowledged(Option<Bytes>),
    /// A re-INVITE or UPDATE; to be settled by `accept_offer` or `refuse_offer`.
    Offer(OfferIn),
    /// A provisional response to our INVITE, with early media where it has a body.
    Progress(u16, Bytes),
    /// A 2xx to our INVITE, acknowledged already.
    Answered(Answered),
    /// INFO, taken.
    Info(Box<Request>),
    /// MESSAGE, taken.
    Message(Box<Request>),
    /// How a REFER of ours goes.
    Referred(Referred),
    /// A REFER of the peer's; to be settled by `answer_refer`.
    Refer(ReferIn),
    /// The answer to an offer of ours in mid-call, or the code of its refusal.
    Reoffered(Result<Bytes, u16>),
}

#[derive(Debug)]
pub(super) enum State {
    /// UAS without a final response.
    Incoming { tx: ServerId, invite: Box<Request> },
    /// UAC that has not found its peer.
    New,
    /// UAC without a final response.
    Calling { tx: ClientId, provisional: bool },
    /// UAC that gave up; CANCEL goes out with the first provisional response.
    Cancelling { tx: ClientId, sent: bool },
    /// Up.
    Confirmed,
    /// Our BYE is under way.
    Leaving { bye: ClientId },
    /// Over.
    Ended,
}

/// One SIP dialog of a call.
#[derive(Debug)]
pub struct Leg {
    pub(super) dialog: Dialog,
    pub(super) state: State,
    pub(super) policy: InDialogPolicy,
    pub(super) reliable: Option<Reliable>,
    /// A 2xx held back until the provisional answer is acknowledged.
    pub(super) held_answer: Option<String>,
    pub(super) unacked: Option<Unacked>,
    /// We want to hang up as soon as our 2xx is acknowledged.
    pub(super) bye_wanted: bool,
    pub(super) offer: Option<PendingOffer>,
    pub(super) timer: Option<SessionTimer>,
    /// A refresh of ours that is under way.
    pub(super) refresh: Option<ClientId>,
    /// The peer allows UPDATE.
    pub(super) peer_updates: bool,
    /// Session description last sent, which a refreshing re-INVITE repeats.
    pub(super) local_sdp: String,
    /// CSeq of our INVITE, which ACKs repeat.
    pub(super) invite_cseq: u32,
    /// How challenges of the peer are answered.
    pub(super) answering: Option<Box<Answering>>,
    /// What a leg that we place has beside.
    pub(super) placing: Option<Box<PlacingState>>,
    /// An offer of ours in mid-call.
    pub(super) reoffer: Option<Reoffer>,
    /// REFERs, once there was one.
    pub(super) referrals: Option<Box<Referrals>>,
    /// INFOs of ours, once there was one.
    pub(super) informing: Option<Box<Informing>>,
}

impl Leg {
    pub(super) const fn with(dialog: Dialog, state: State, policy: InDialogPolicy) -> Self {
        Self {
            dialog,
            state,
            policy,
            reliable: None,
            held_answer: None,
            unacked: None,
            bye_wanted: false,
            offer: None,
            timer: None,
            refresh: None,
            peer_updates: false,
            local_sdp: String::new(),
            invite_cseq: 0,
            answering: None,
            placing: None,
            reoffer: None,
            referrals: None,
            informing: None,
        }
    }

    /// The dialog's state.
    #[must_use]
    pub const fn dialog(&self) -> &Dialog {
        &self.dialog
    }

    /// Whether the dialog is over and nothing of it is under way.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Ended) && self.unacked.is_none()
    }

    /// Whether the dialog is up.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        matches!(self.state, State::Confirmed)
    }

    /// The client transactions whose responses the leg waits for.
    pub fn client_transactions(&self) -> impl Iterator<Item = ClientId> + use<> {
        let own = match self.state {
            State::Calling { tx, .. } | State::Cancelling { tx, .. } => Some(tx),
            State::Leaving { bye } => Some(bye),
            State::New | State::Incoming { .. } | State::Confirmed | State::Ended => None,
        };
        let (told, informed) = (self.notify_transaction(), self.info_transaction());
        let asked = [self.refresh, self.refer_transaction(), self.reoffer_transaction()];
        [own, told, informed].into_iter().chain(asked).chain(self.pracks()).flatten()
    }

    /// A request inside the dialog.
    pub(super) fn request_inside(&mut self, cx: &mut Cx<'_>, tx: ServerId, request: Request) {
        let number = request.cseq().map_or(0, |cseq| cseq.number);
        if !self.dialog.accepts_cseq(number) {
            return respond(cx, tx, &request, 500, "CSeq Out Of Order");
        }
        if let Some((_, flow)) = cx.transactions.path(tx)
            && flow.transport == self.dialog.flow.transport
        {
            self.dialog.follow(flow);
        }
        let late = matches!(request.method, Method::Bye | Method::Notify);
        if matches!(self.state, State::Ended | State::Leaving { .. }) && !late {
            return respond(cx, tx, &request, 481, "");
        }
        match &request.method {
            // A callee refuses its INVITE; it has no dialog to end yet (RFC 3261 §15).
            Method::Bye if matches!(self.state, State::Calling { .. }) => {
                respond(cx, tx, &request, 481, "");
            }
            Method::Bye => self.peer_bye(cx, tx, &request),
            Method::Invite | Method::Update => self.peer_offer(cx, tx, request),
            Method::Prack => self.prack(cx, tx, request),
            Method::Notify => self.notified(cx, tx, &request),
            Method::Refer => self.referred(cx, tx, request),
            Method::Options => self.respond_with_allow(cx, tx, &request, 200),
            Method::Info if self.policy.info => {
                respond(cx, tx, &request, 200, "");
                cx.events.push(LegEvent::Info(Box::new(request)));
            }
            Method::Message if self.policy.message => {
                respond(cx, tx, &request, 200, "");
                cx.events.push(LegEvent::Message(Box::new(request)));
            }
            _ => self.respond_with_allow(cx, tx, &request, 405),
        }
    }

    fn respond_with_allow(&self, cx: &mut Cx<'_>, tx: ServerId, request: &Request, code: u16) {
        let mut response = reply::to(request, code, None);
        response.headers.push(HeaderName::Allow, check::allow(self.policy.methods()));
        cx.transactions.respond(tx, &response, cx.now.mono);
    }

    /// An ACK of a 2xx.
    pub fn handle_ack(&mut self, cx: &mut Cx<'_>, ack: &Request) {
        let number = ack.cseq().map_or(0, |cseq| cseq.number);
        let Some(unacked) = self.unacked.take_if(|unacked| unacked.cseq == number) else {
            return;
        };
        let answer = ack.body_of("application/sdp").filter(|_| unacked.wants_answer);
        if self.bye_wanted {
            return self.send_bye(cx);
        }
        cx.events.push(LegEvent::Acknowledged(answer));
        self.refer_after_ack(cx);
        self.send_info(cx);
    }

    /// A response to a request of ours.
    pub fn handle_response(&mut self, cx: &mut Cx<'_>, tx: ClientId, response: &Response) {
        match self.state {
            State::Calling { tx: invite, .. } | State::Cancelling { tx: invite, .. } if invite == tx => {
                self.invite_response(cx, tx, response);
            }
            State::Leaving { bye } if bye == tx && response.code() >= 200 => {
                if self.challenged(response) {
                    return self.send_bye(cx);
                }
                self.end(cx, Ended::OurBye);
            }
            _ if self.refresh == Some(tx) => self.refresh_response(cx, response),
            _ if self.refer_transaction() == Some(tx) => self.refer_response(cx, response),
            _ if self.reoffer_transaction() == Some(tx) => self.reoffer_response(cx, response),
            _ if self.notify_transaction() == Some(tx) => self.notify_response(cx, response),
            _ if self.info_transaction() == Some(tx) => self.info_response(cx, response),
            _ if self.pracks().contains(&Some(tx)) => self.prack_response(cx, tx, response),
            // A copy of the 2xx to our INVITE: its ACK was lost.
            _ if is_ok_to_invite(response) => self.handle_stray_ok(cx, response),
            _ => {}
        }
    }

    /// A request of ours got no answer.
    pub fn handle_no_response(&mut self, cx: &mut Cx<'_>, tx: ClientId) {
        match self.state {
            State::Calling { tx: invite, .. } | State::Cancelling { tx: invite, .. } if invite == tx => {
                self.end(cx, Ended::Lost);
            }
            State::Leaving { bye } if bye == tx => self.end(cx, Ended::OurBye),
            _ if self.refresh == Some(tx) => {
                // RFC 4028 §10: a refresh that times out ends the dialog.
                self.refresh = None;
                self.leave(cx, Ended::Lost);
            }
            _ if self.refer_transaction() == Some(tx) => self.refer_unanswered(cx),
            _ if self.reoffer_transaction() == Some(tx) => self.leave(cx, Ended::Lost),
            _ if self.info_transaction() == Some(tx) => self.info_done(cx, false),
            _ => {}
        }
    }

    /// Ends the dialog from our side, whatever state it is in. `code` refuses an INVITE that has no
    /// final response yet.
    pub fn hang_up(&mut self, cx: &mut Cx<'_>, code: u16) {
        match self.state {
            State::New => self.end(cx, Ended::OurBye),
            State::Incoming { .. } => self.reject(cx, code, &[]),
            State::Calling { .. } => self.cancel(cx),
            State::Confirmed if self.unacked.is_some() => self.bye_wanted = true,
            State::Confirmed => self.send_bye(cx),
            State::Cancelling { .. } | State::Leaving { .. } | State::Ended => {}
        }
    }

    /// The next deadline of this dialog.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let up = matches!(self.state, State::Confirmed);
        let refreshing = self.refresh.is_some();
        [
            self.reliable.as_ref().and_then(Reliable::deadline),
            self.unacked.as_ref().map(Unacked::deadline),
            self.timer.as_ref().filter(|_| up).map(|timer| timer.deadline(refreshing)),
            self.reoffer.as_ref().filter(|_| up).and_then(Reoffer::deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        self.reliable_timeout(cx);
        let timers = *cx.transactions.timers();
        match self.unacked.as_mut().map(|unacked| unacked.timeout(&timers, cx.now.mono)) {
            Some(Due::Resend(bytes, target)) => cx.transactions.send(bytes, target),
            Some(Due::GiveUp) => {
                self.unacked = None;
                self.leave(cx, Ended::NoAck);
            }
            Some(Due::Nothing) | None => {}
        }
        if !matches!(self.state, State::Confirmed) {
            return;
        }
        self.send_reoffer(cx);
        let refreshing = self.refresh.is_some();
        match self.timer.map(|timer| timer.timeout(cx.now.mono, refreshing)) {
            Some(TimerDue::Refresh) => self.send_refresh(cx),
            Some(TimerDue::Expired) => self.leave(cx, Ended::SessionExpired),
            Some(TimerDue::Nothing) | None => {}
        }
    }
}

/// Answers a request inside the dialog.
pub(super) fn respond(cx: &mut Cx<'_>, tx: ServerId, request: &Request, code: u16, phrase: &str) {
    let mut response = reply::to(request, code, None);
    response.reason = phrase.to_owned();
    cx.transactions.respond(tx, &response, cx.now.mono);
}
