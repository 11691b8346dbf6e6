//! The side that calls: INVITE, CANCEL, ACK (RFC 3261 §9.1, §13.2), redirections (§8.1.3.4).
//!
//! ```text
//!       INVITE              1xx: an early dialog for each To tag
//! New ─────────▶ Calling ───────────────────────────────────────▶ Calling
//!   ▲              │ │ 401, 407 (answered once each), 422 (once): INVITE again, the next CSeq
//!   │              │ ├── 2xx: ACK; its early dialog is the dialog ─▶ Confirmed; other branches' 2xx: ACK, BYE
//!   │ reopen       │ └── 3xx to 6xx, no answer ─▶ Ended
//!   └──────────────┼──────────────────────────────┘ the line tries another place (`call/line/dialing.rs`)
//!                  ▼ given up
//!             Cancelling ── at the first 1xx: CANCEL ── 487 ─▶ Ended
//!                  └── 2xx that crossed it: ACK, BYE ─▶ Leaving
//! ```

use std::sync::Arc;

use bytes::Bytes;
use trunkline_sip::headers::addresses;
use trunkline_sip::{Flow, HeaderName, Method, NameAddr, Request, Response, Target, Uri, check};

use super::account::{Account, Answering};
use super::early::EarlyDialogs;
use super::late::LateAnswers;
use super::leg::{Answered, Cx, Ended, Leg, LegEvent, State};
use super::policy::{InDialogPolicy, takes_updates};
use super::session_timer::SessionTimer;
use super::state::{Dialog, LocalAddress};
use crate::ClientId;

/// Places that one redirection may name; what else it lists is not looked at.
const MAX_REDIRECTS: usize = 5;
/// How long a session is that we ask for: half an hour, RFC 4028 §4's own suggestion.
const SESSION_EXPIRES: u32 = 1800;

/// A call to be placed.
#[derive(Debug, Clone)]
pub struct Placing {
    /// Call-ID.
    pub call_id: String,
    /// Request-URI, and To without its brackets.
    pub target: String,
    /// Which requests of the peer are taken.
    pub policy: InDialogPolicy,
    /// More fields of the INVITE.
    pub fields: Vec<(HeaderName, String)>,
    /// How challenges are answered.
    pub account: Option<Arc<Account>>,
    /// Hops that its requests may take.
    pub max_forwards: u8,
}

/// What a leg that we place keeps beside its dialog.
#[derive(Debug)]
pub(super) struct PlacingState {
    fields: Vec<(HeaderName, String)>,
    /// Where the INVITE goes.
    target: Option<Target>,
    /// The dialogs that provisional responses have made.
    pub(super) early: EarlyDialogs,
    /// Who calls, as the trunk is told beside From.
    identity: Vec<(HeaderName, String)>,
    /// Where a 3xx points, the preferred first.
    redirects: Vec<Uri>,
    /// Min-SE that a 422 asked for.
    min_se: Option<u32>,
    /// Answers of other branches of a fork, or that came too late.
    late: LateAnswers,
}

impl Leg {
    /// A leg for a call that we place, once it is known where to.
    #[must_use]
    pub fn placing(cx: &mut Cx<'_>, plan: Placing) -> Self {
        let nowhere = Flow {
            transport: trunkline_sip::Transport::Udp,
            local: ([0, 0, 0, 0], 0).into(),
            remote: ([0, 0, 0, 0], 0).into(),
            connection: None,
        };
        let address = LocalAddress { sent_by: String::new(), transport: nowhere.transport };
        let (tag, to) = (cx.tokens.token(), format!("<{}>", plan.target));
        let mut dialog =
            Dialog::of_invite(plan.call_id, tag, String::new(), to, plan.target, nowhere, address);
        dialog.max_forwards = plan.max_forwards;
        let mut leg = Self::with(dialog, State::New, plan.policy);
        leg.answering = plan.account.map(|account| Box::new(Answering::new(account)));
        leg.placing = Some(Box::new(PlacingState {
            fields: plan.fields,
            target: None,
            early: EarlyDialogs::default(),
            identity: Vec::new(),
            redirects: Vec::new(),
            min_se: None,
            late: LateAnswers::default(),
        }));
        leg
    }

    /// Sends the INVITE with our offer over a flow; `from` is the From value without a tag.
    pub fn place(&mut self, cx: &mut Cx<'_>, flow: Flow, address: LocalAddress, from: String, sdp: &str) {
        if !matches!(self.state, State::New) {
            return;
        }
        self.dialog.begin_at(flow, address, from);
        self.local_sdp = sdp.to_owned();
        if let Some(placing) = &mut self.placing {
            placing.target = Some(Target::Flow { flow, fallback: None });
        }
        // Another place has challenges of its own.
        if let Some(answering) = &mut self.answering {
            answering.restart();
        }
        self.send_invite(cx);
    }

    /// Fields that say who calls, for the next INVITE: they name us, so they depend on the flow.
    pub fn identify(&mut self, fields: Vec<(HeaderName, String)>) {
        if let Some(placing) = &mut self.placing {
            placing.identity = fields;
        }
    }

    /// After a refusal the leg may be placed elsewhere, under another Request-URI.
    pub fn reopen(&mut self, request_uri: String) {
        if matches!(self.state, State::Ended) {
            self.state = State::New;
        }
        self.dialog.aim_at(request_uri);
    }

    /// Where the 3xx that refused the INVITE points, the preferred first; told once.
    pub fn redirects(&mut self) -> Vec<Uri> {
        self.placing.as_mut().map(|placing| std::mem::take(&mut placing.redirects)).unwrap_or_default()
    }

    /// Places a call at once: sends the INVITE with our offer to `target`.
    #[must_use]
    pub fn outgoing(
        cx: &mut Cx<'_>,
        dialog: Dialog,
        target: Target,
        sdp: &str,
        policy: InDialogPolicy,
    ) -> Self {
        let mut leg = Self::with(dialog, State::New, policy);
        sdp.clone_into(&mut leg.local_sdp);
        leg.placing = Some(Box::new(PlacingState {
            fields: Vec::new(),
            target: Some(target),
            early: EarlyDialogs::default(),
            identity: Vec::new(),
            redirects: Vec::new(),
            min_se: None,
            late: LateAnswers::default(),
        }));
        leg.send_invite(cx);
        leg
    }

    fn send_invite(&mut self, cx: &mut Cx<'_>) {
        let mut invite = self.dialog.request(Method::Invite, cx.tokens);
        invite.headers.push(HeaderName::Allow, check::allow(self.policy.methods()));
        invite.headers.push(HeaderName::Supported, self.policy.extensions());
        let Some(placing) = &mut self.placing else { return };
        placing.early.clear();
        for (name, value) in placing.identity.iter().chain(&placing.fields) {
            invite.headers.push(name.clone(), value.clone());
        }
        let seconds = placing.min_se.unwrap_or(0).max(SESSION_EXPIRES);
        invite.headers.push(HeaderName::SessionExpires, seconds.to_string());
        if let Some(seconds) = placing.min_se {
            invite.headers.push(HeaderName::MinSe, seconds.to_string());
        }
        let Some(target) = placing.target.clone() else { return };
        if !self.local_sdp.is_empty() {
            invite.headers.push(HeaderName::ContentType, "application/sdp");
            invite.body = Bytes::copy_from_slice(self.local_sdp.as_bytes());
        }
        self.sign(&mut invite, cx);
        self.invite_cseq = invite.cseq().map_or(1, |cseq| cseq.number);
        let tx = cx.transactions.request(invite, target, cx.now.mono);
        self.state = State::Calling { tx, provisional: false };
    }

    /// Whether a 422 asks for a longer session, so that the INVITE goes out again, once.
    fn wants_longer_session(&mut self, response: &Response) -> bool {
        let Some(placing) = self.placing.as_mut().filter(|_| response.code() == 422) else {
            return false;
        };
        let first = placing.min_se.is_none();
        placing.min_se = Some(super::session_timer::min_se(&response.headers));
        first
    }

    /// Gives up before an answer. The CANCEL waits for a provisional response (RFC 3261 §9.1).
    pub(super) fn cancel(&mut self, cx: &mut Cx<'_>) {
        let State::Calling { tx, provisional } = self.state else {
            return;
        };
        self.state = State::Cancelling { tx, sent: provisional };
        cx.transactions.give_up(tx, cx.now.mono);
        if provisional {
            self.send_cancel(cx, tx);
        }
    }

    pub(super) fn invite_response(&mut self, cx: &mut Cx<'_>, tx: ClientId, response: &Response) {
        let code = response.code();
        match (&self.state, code) {
            (State::Calling { .. }, 100..=199) => {
                self.state = State::Calling { tx, provisional: true };
                if code > 100 && self.early_response(cx, response) {
                    cx.events.push(LegEvent::Progress(
                        code,
                        response.body_of("application/sdp").unwrap_or_default(),
                    ));
                }
            }
            (State::Cancelling { sent: false, .. }, 100..=199) => {
                self.state = State::Cancelling { tx, sent: true };
                self.send_cancel(cx, tx);
            }
            (State::Calling { .. }, 200..=299) => self.answered(cx, response),
            (State::Cancelling { .. }, 200..=299) => {
                // The 200 crossed our CANCEL: acknowledge it, then hang up (RFC 3261 §15).
                self.take_winner(response);
                self.send_ack(cx);
                self.send_bye(cx);
            }
            (State::Calling { .. }, 300..) => {
                // Both sides may have had their say already.
                if self.challenged(response) || self.wants_longer_session(response) {
                    return self.send_invite(cx);
                }
                if let Some(placing) = self.placing.as_mut().filter(|_| code < 303) {
                    placing.redirects = redirects(response);
                }
                self.end(cx, Ended::Refused(code));
            }
            (State::Cancelling { .. }, 300..) => self.end(cx, Ended::Refused(code)),
            _ => {}
        }
    }

    /// A 2xx that its transaction no longer knows: a copy of the one we took is acknowledged again;
    /// one of another branch of a fork is not ours to keep (RFC 3261 §13.2.2.4).
    pub fn handle_stray_ok(&mut self, cx: &mut Cx<'_>, response: &Response) {
        match &mut self.placing {
            Some(placing) => placing.late.handle(cx, &self.dialog, response),
            None if response.to().and_then(|to| to.tag()) == Some(&*self.dialog.remote_tag) => {
                self.send_ack(cx);
            }
            None => {}
        }
    }

    /// What remains of a leg that we placed once its call is forgotten, so that a 2xx which comes too
    /// late is ended. Nothing where no INVITE went out.
    #[must_use]
    pub fn remains(&mut self) -> Option<(Dialog, LateAnswers)> {
        let placing = self.placing.as_mut().filter(|_| self.invite_cseq > 0)?;
        Some((self.dialog.clone(), std::mem::take(&mut placing.late)))
    }

    pub(super) fn send_ack(&self, cx: &mut Cx<'_>) {
        let ack = self.dialog.ack(self.invite_cseq, cx.tokens);
        cx.transactions.send(ack.to_bytes(), self.dialog.target());
    }

    fn answered(&mut self, cx: &mut Cx<'_>, response: &Response) {
        self.challenged(response);
        let body = self.take_winner(response);
        self.state = State::Confirmed;
        self.peer_updates = takes_updates(&response.headers);
        self.timer = SessionTimer::of_response(&response.headers, cx.now.mono);
        self.send_ack(cx);
        cx.events.push(LegEvent::Answered(Answered { body }));
    }

    /// The dialog of a 2xx becomes ours; what its peer has described. A description in the 2xx counts
    /// only where none was acknowledged before it (RFC 3261 §13.2.1).
    fn take_winner(&mut self, response: &Response) -> Bytes {
        let tag = response.to().and_then(|to| to.tag()).unwrap_or_default();
        let won = self.placing.as_mut().and_then(|placing| placing.early.win(tag));
        let mut described = Bytes::new();
        if let Some((mut dialog, early)) = won {
            dialog.count_from(&self.dialog);
            (self.dialog, described) = (dialog, early);
        }
        self.dialog.take_response(response);
        match response.body_of("application/sdp") {
            Some(body) if !self.dialog.answered_early => body,
            Some(_) | None => described,
        }
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
                cancel.headers.push(name.clone(), header.value().clone());
            }
        }
        cancel.headers.push(HeaderName::CSeq, format!("{} CANCEL", self.invite_cseq));
        cx.transactions.request(cancel, target, cx.now.mono);
    }
}

/// The contacts of a 3xx that can be called, by their q values (RFC 3261 §20.10).
fn redirects(response: &Response) -> Vec<Uri> {
    let q = |contact: &NameAddr| contact.params.value("q").and_then(|q| q.parse().ok()).unwrap_or(1.0_f32);
    let all = addresses(&response.headers, &HeaderName::Contact).take(MAX_REDIRECTS);
    let mut contacts: Vec<NameAddr> = all.filter(|contact| contact.uri.host().is_some()).collect();
    contacts.sort_by(|a, b| q(b).total_cmp(&q(a)));
    contacts.into_iter().map(|contact| contact.uri).collect()
}
