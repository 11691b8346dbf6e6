//! Requests as they reach a shard: what is refused before there is state, what finds its dialog,
//! and what becomes a call.

use trunkline_routing::{Decision, InboundCall, UnknownPeers, decide};
use trunkline_signalling::dialog::{Cx, Leg, METHODS};
use trunkline_signalling::{Now, ServerId};
use trunkline_sip::check::{self, Capabilities, Rejection};
use trunkline_sip::limits::MAX_VIA;
use trunkline_sip::{Flow, HeaderName, Message, Method, Request, Response, reply};

use super::Shard;
use crate::call::Call;
use crate::{CallHandle, Output};

/// What we can do, for Allow, Unsupported and Accept.
const CAPABILITIES: Capabilities<'static> =
    Capabilities { methods: METHODS, extensions: &["100rel", "timer"], bodies: &["application/sdp"] };

impl Shard {
    /// Whether a message would begin a call: an INVITE outside any dialog whose transaction is not
    /// known. The edge asks this before it admits one.
    #[must_use]
    pub fn would_begin_call(&self, message: &Message) -> bool {
        match message {
            Message::Request(request) if request.method == Method::Invite => {
                request.to().is_some_and(|to| to.tag().is_none()) && !self.transactions.knows(request)
            }
            Message::Request(_) | Message::Response(_) => false,
        }
    }

    /// Answers a request without keeping any state (RFC 3261 §8.2.7).
    pub fn refuse_stateless(&mut self, request: &Request, flow: Flow, code: u16, retry_after: Option<u32>) {
        if request.method == Method::Ack {
            return;
        }
        let mut response = reply::to(request, code, Some("stateless"));
        if let Some(seconds) = retry_after {
            response.headers.push(HeaderName::RetryAfter, seconds.to_string());
        }
        self.transactions.send_stateless(request, flow, &response);
    }

    pub(super) fn receive(&mut self, message: Message, flow: Flow, now: Now) {
        let mut message = message;
        if let Message::Request(request) = &mut message {
            record_source(request, flow);
            if let Err(rejection) = check::request(request) {
                return self.refuse_malformed(request, flow, &rejection);
            }
            let known = match request.method {
                Method::Ack => true,
                Method::Cancel => self.transactions.knows_invite_of(request),
                _ => self.transactions.knows(request) || self.in_dialog_of(request).is_some(),
            };
            if !known && !self.table.is_peer(flow.remote.ip()) {
                match self.config.unknown_peers {
                    UnknownPeers::Drop => {}
                    UnknownPeers::Reject => self.refuse_stateless(request, flow, 403, None),
                }
                return;
            }
        }
        self.transactions.receive(message, flow, now.mono);
    }

    /// A malformed request is answered as well as it can be, without state; an ACK never is.
    fn refuse_malformed(&mut self, request: &Request, flow: Flow, rejection: &Rejection) {
        let is_peer = self.table.is_peer(flow.remote.ip());
        if request.method == Method::Ack || !is_peer {
            return;
        }
        let response = rejection.response(request, "malformed");
        self.transactions.send_stateless(request, flow, &response);
    }

    pub(super) fn dialog_of(&self, request: &Request) -> Option<CallHandle> {
        let call_id = String::from_utf8_lossy(request.call_id()?).into_owned();
        let tag = request.to()?.tag()?.to_owned();
        self.dialogs.get(&format!("{call_id}|{tag}")).copied()
    }

    /// The call whose dialog a request belongs to, by both tags.
    fn in_dialog_of(&self, request: &Request) -> Option<CallHandle> {
        let owns = |handle: &CallHandle| self.calls.get(handle).is_some_and(|call| call.owns(request));
        self.dialog_of(request).filter(owns)
    }

    /// The call whose dialog a response to a request of ours belongs to.
    pub(super) fn dialog_of_response(&self, response: &Response) -> Option<CallHandle> {
        let call_id = String::from_utf8_lossy(response.call_id()?).into_owned();
        let tag = response.from()?.tag()?.to_owned();
        self.dialogs.get(&format!("{call_id}|{tag}")).copied()
    }

    /// A request that opened a transaction.
    pub(super) fn request(&mut self, tx: ServerId, request: Request, flow: Flow, now: Now) {
        if let Err(rejection) = check::capabilities(&request, &CAPABILITIES) {
            let tag = self.tokens.token();
            let response = rejection.response(&request, &tag);
            return self.transactions.respond(tx, &response, now.mono);
        }
        let in_dialog = request.to().is_some_and(|to| to.tag().is_some());
        if in_dialog {
            let Some(handle) = self.in_dialog_of(&request) else {
                return self.answer(tx, &request, 481, now);
            };
            self.with_call(handle, now, |call, cx, out| {
                call.with_leg(cx, out, |leg, cx| leg.handle_request(cx, tx, request));
            });
            return;
        }
        match request.method {
            Method::Invite => self.invite(tx, request, flow, now),
            Method::Options if self.draining => self.answer(tx, &request, 503, now),
            Method::Options => self.answer(tx, &request, 200, now),
            Method::Message => self.answer(tx, &request, 405, now),
            _ => self.answer(tx, &request, 481, now),
        }
    }

    fn answer(&mut self, tx: ServerId, request: &Request, code: u16, now: Now) {
        let tag = self.tokens.token();
        let mut response = reply::to(request, code, Some(&tag));
        if matches!(code, 200 | 405) {
            response.headers.push(HeaderName::Allow, check::allow(CAPABILITIES.methods));
            response.headers.push(HeaderName::Accept, "application/sdp");
            response.headers.push(HeaderName::Supported, CAPABILITIES.extensions.join(", "));
        }
        self.transactions.respond(tx, &response, now.mono);
    }

    /// INVITE → route → a call, or a refusal with the code the decision names.
    fn invite(&mut self, tx: ServerId, request: Request, flow: Flow, now: Now) {
        if request.headers.first(&HeaderName::Replaces).is_some() {
            return self.refuse(tx, &request, flow, 481, "Replaces names no dialog of ours", now);
        }
        let call = InboundCall { source: flow.remote.ip(), names: &[], request: &request };
        let decision = decide(&self.table, &call, &mut None);
        let (route, announce) = match decision {
            Decision::Route(route) => (route, false),
            Decision::NotInService { number, trunk } => {
                (crate::call::announcement_route(&request, number, trunk), true)
            }
            Decision::Refuse { code, reason } => {
                return self.refuse(tx, &request, flow, code, &reason, now);
            }
            Decision::Stranger => {
                return self.refuse(tx, &request, flow, 403, "no trunk holds the source", now);
            }
        };
        self.serial += 1;
        let handle = CallHandle((u64::from(self.config.shard) << 48) | self.serial);
        let address = self.config.advertised.on(&flow);
        let mut events = Vec::new();
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        let policy = self.config.in_dialog;
        let Some(leg) = Leg::incoming(&mut cx, tx, request, address, policy) else {
            return;
        };
        let call = Call::new(handle, leg, *route, announce, &mut cx, &self.config);
        self.dialogs.insert(call.dialog_key().to_owned(), handle);
        self.servers.insert(tx, handle);
        self.outputs.push_back(Output::Began(handle));
        self.calls.insert(handle, Box::new(call));
        self.with_call(handle, now, Call::begin);
    }

    fn refuse(&mut self, tx: ServerId, request: &Request, flow: Flow, code: u16, reason: &str, now: Now) {
        self.answer(tx, request, code, now);
        let id = request.call_id().map(|id| String::from_utf8_lossy(id).into_owned());
        self.outputs.push_back(Output::Refused {
            sip_call_id: id.unwrap_or_default(),
            code,
            reason: reason.to_owned(),
            source: flow.remote,
        });
    }
}

/// Writes `received` and `rport` into the top Via (RFC 3261 §18.2.1, RFC 3581 §4).
fn record_source(request: &mut Request, flow: Flow) {
    let Some(mut via) = request.via() else { return };
    via.record_source(flow.remote);
    // One more than may be, so that the check still sees too many.
    let mut rest: Vec<String> = request.headers.elements(&HeaderName::Via).skip(1).take(MAX_VIA).collect();
    rest.insert(0, via.to_string());
    request.headers.remove(&HeaderName::Via);
    for value in rest.into_iter().rev() {
        request.headers.push_front(HeaderName::Via, value);
    }
}
