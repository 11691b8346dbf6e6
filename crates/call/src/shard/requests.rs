//! Requests as they reach a shard: what is refused before there is state, what finds its dialog,
//! and what becomes a call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use trunkline_routing::{Connect, Decision, InboundCall, Route, Trunk, UnknownPeers, decide};
use trunkline_sdp::Member;
use trunkline_signalling::dialog::{Cx, Draft, InDialogPolicy, LegTerms};
use trunkline_signalling::{Now, ServerId};
use trunkline_sip::check::{self, Capabilities, Rejection};
use trunkline_sip::headers::max_forwards;
use trunkline_sip::{
    Flow, HeaderName, Message, Method, PeerNames, Request, Response, Transport, reply, text,
};

use super::replacing::wants_place;
use super::{Held, LegOf, Shard};
use crate::call::Call;
use crate::{CallHandle, Output, PlaceCall, account};

/// Option tags that may stand in Require, and media types of bodies that are understood.
const EXTENSIONS: &[&str] = &["100rel", "timer", "replaces"];
const BODIES: &[&str] = &["application/sdp"];

impl Shard {
    /// Whether a message would begin a call: an INVITE outside any dialog, whose transaction is not known,
    /// from a peer that need not be asked who it is. The edge asks this before it admits one.
    #[must_use]
    pub fn would_begin_call(&self, message: &Message, flow: Flow, names: &PeerNames, now: Now) -> bool {
        let names = names.as_deref().unwrap_or_default();
        match message {
            Message::Request(request) if request.method == Method::Invite => {
                request.to().is_some_and(|to| to.tag().is_none())
                    // It comes into a call that there is.
                    && request.headers.first(&HeaderName::Replaces).is_none()
                    && !self.transactions.knows(request)
                    && self.is_peer(flow, names)
                    && !self.lacks_proof(request, flow, names, now)
            }
            Message::Request(_) | Message::Response(_) => false,
        }
    }

    /// Answers a request without keeping any state (RFC 3261 §8.2.7).
    pub fn refuse_stateless(&mut self, request: &Request, flow: Flow, code: u16, retry_after: Option<u32>) {
        if request.method == Method::Ack {
            return;
        }
        let mut request = request.clone();
        record_source(&mut request, flow);
        let mut response = reply::to(&request, code, Some("stateless"));
        if let Some(seconds) = retry_after {
            response.headers.push(HeaderName::RetryAfter, seconds.to_string());
        }
        self.transactions.send_stateless(&request, flow, &response);
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
            if !known && !self.is_peer(flow, self.names.as_deref().unwrap_or_default()) {
                match self.config.unknown_peers {
                    UnknownPeers::Drop => {}
                    UnknownPeers::Reject => self.refuse_stateless(request, flow, 403, None),
                }
                return;
            }
            if !known && !self.authenticate(request, flow, now) {
                return;
            }
            if !known && wants_place(request) && self.refuses_place(request, flow) {
                return;
            }
        }
        self.transactions.receive(message, flow, now.mono);
    }

    /// What we can do, for Allow, Unsupported and Accept.
    pub(super) fn capabilities(&self) -> Capabilities<'static> {
        // Whether a REFER is obeyed depends on its leg.
        let policy = InDialogPolicy { refer: true, ..self.config.in_dialog };
        Capabilities { methods: policy.methods(), extensions: EXTENSIONS, bodies: BODIES }
    }

    /// A malformed request is answered as well as it can be, without state; an ACK never is.
    fn refuse_malformed(&mut self, request: &Request, flow: Flow, rejection: &Rejection) {
        let is_peer = self.is_peer(flow, self.names.as_deref().unwrap_or_default());
        if request.method == Method::Ack || !is_peer {
            return;
        }
        let response = rejection.response(request, "malformed");
        self.transactions.send_stateless(request, flow, &response);
        // A call to urn:service:sos, or to what is no address at all; an operator wants to know.
        if request.method == Method::Invite && rejection.code == 416 {
            let id = request.call_id().map(|id| String::from_utf8_lossy(id).into_owned());
            self.outputs.push_back(Output::Refused {
                sip_call_id: id.unwrap_or_default(),
                code: rejection.code,
                reason: format!("{} as Request-URI is not served", request.target),
                source: flow.remote,
                trunk: None,
            });
        }
    }

    pub(super) fn dialog_of(&self, request: &Request) -> Option<LegOf> {
        let key = self.dialog_key(request.call_id()?, request.to()?.tag()?);
        self.dialogs.get(&key).copied()
    }

    /// The leg whose dialog a request belongs to, by both tags.
    fn in_dialog_of(&self, request: &Request) -> Option<LegOf> {
        let owns = |(handle, member): &LegOf| {
            self.calls.get(handle).is_some_and(|held| held.call.owns(*member, request))
        };
        self.dialog_of(request).filter(owns)
    }

    /// The leg whose dialog a response to a request of ours belongs to.
    pub(super) fn dialog_of_response(&self, response: &Response) -> Option<LegOf> {
        let key = self.dialog_key(response.call_id()?, response.from()?.tag()?);
        self.dialogs.get(&key).copied()
    }

    /// A request that opened a transaction.
    pub(super) fn request(&mut self, tx: ServerId, request: Request, flow: Flow, now: Now) {
        if let Err(rejection) = check::capabilities(&request, &self.capabilities()) {
            let tag = self.tokens.token();
            let response = rejection.response(&request, &tag);
            return self.transactions.respond(tx, &response, now.mono);
        }
        if let Some(name) = self.peer_name(flow) {
            self.transactions.name_peer(tx, &name);
        }
        // RFC 3891 §3.
        if request.method != Method::Invite && request.headers.first(&HeaderName::Replaces).is_some() {
            return self.answer(tx, &request, 400, now);
        }
        let in_dialog = request.to().is_some_and(|to| to.tag().is_some());
        if in_dialog {
            return match self.in_dialog_of(&request) {
                Some(leg) => self.with_leg(leg, now, |leg, cx| leg.handle_request(cx, tx, request)),
                None => self.answer(tx, &request, 481, now),
            };
        }
        match request.method {
            Method::Invite => self.invite(tx, request, flow, now),
            Method::Options if self.draining => self.answer(tx, &request, 503, now),
            Method::Options => self.answer(tx, &request, 200, now),
            // As inside a dialog; no call holds it, so it goes no further than the log.
            Method::Message if self.config.in_dialog.message => {
                tracing::info!(source = %flow.remote, bytes = request.body.len(), "a MESSAGE outside any call was taken");
                self.answer(tx, &request, 200, now);
            }
            Method::Message => self.answer(tx, &request, 405, now),
            _ => self.answer(tx, &request, 481, now),
        }
    }

    pub(super) fn answer(&mut self, tx: ServerId, request: &Request, code: u16, now: Now) {
        let tag = self.tokens.token();
        let mut response = reply::to(request, code, Some(&tag));
        if matches!(code, 200 | 405) {
            let refer = self.table.trunks.iter().any(|trunk| trunk.accept_refer);
            let policy = InDialogPolicy { refer, ..self.config.in_dialog };
            response.headers.push(HeaderName::Allow, check::allow(policy.methods()));
            response.headers.push(HeaderName::Accept, "application/sdp");
            response.headers.push(HeaderName::Supported, policy.extensions());
        }
        self.transactions.respond(tx, &response, now.mono);
    }

    /// INVITE → route → a call, or a refusal with the code the decision names.
    fn invite(&mut self, tx: ServerId, request: Request, flow: Flow, now: Now) {
        if request.headers.first(&HeaderName::Replaces).is_some() {
            return self.replace(tx, request, flow, now);
        }
        // What an INVITE does to routing or to a leg in the making, it does to its own call only.
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge(tx, &request, flow, now)));
        let (route, announce, draft) = match judged {
            Ok(Ok(Some(judged))) => judged,
            Ok(Ok(None)) => return,
            Ok(Err(refusal)) => return self.refuse(tx, &request, flow, refusal, now),
            Err(_) => return self.refuse(tx, &request, flow, Refusal::of(500, "internal error"), now),
        };
        let handle = self.next_handle();
        let mut events = Vec::new();
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        let leg = draft.becomes_leg(&mut cx, tx, request);
        let call = Call::incoming(handle, leg, *route, announce, &mut cx, &self.config);
        self.servers.insert(tx, (handle, Member::FIRST));
        self.take_in(call, Some(tx));
        self.with_call(handle, now, Call::begin);
    }

    /// What routing makes of an INVITE: its route, whether it hears the announcement only, and the leg
    /// to be. Nothing where its transaction is gone.
    fn judge(
        &mut self,
        tx: ServerId,
        request: &Request,
        flow: Flow,
        now: Now,
    ) -> Result<Option<(Box<Route>, bool, Draft)>, Refusal> {
        #[cfg(test)]
        assert!(!self.request_fault.is_some_and(|fault| fault(request)), "planted fault");
        let call = InboundCall {
            source: flow.remote.ip(),
            names: self.names.as_deref().unwrap_or_default(),
            proved: self.proved.as_deref(),
            request,
        };
        let (route, announce) = match decide(&self.table, &call, &mut None) {
            // It would leave again by a SIP leg (RFC 3261 §16.3 step 3).
            Decision::Route(route)
                if matches!(route.agent.connect, Connect::Sip(_))
                    && max_forwards(&request.headers) == Some(0) =>
            {
                return Err(Refusal {
                    trunk: Some(route.trunk.name.clone()),
                    ..Refusal::of(483, "no hop is left")
                });
            }
            Decision::Route(route) => (route, false),
            Decision::NotInService { number, trunk } => {
                (crate::call::announcement_route(request, number, trunk), true)
            }
            Decision::Refuse { code, reason, trunk } => {
                let trunk = trunk.map(|trunk| trunk.name.clone());
                return Err(Refusal { code, reason: reason.into_inner(), trunk });
            }
            Decision::Stranger => return Err(Refusal::of(403, "no trunk holds the source")),
        };
        let terms = self.terms(&route.trunk, flow);
        let mut events = Vec::new();
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        if let Some(name) = &terms.peer_name {
            cx.transactions.name_peer(tx, name);
        }
        Ok(Draft::of(&mut cx, tx, request, terms).map(|draft| (route, announce, draft)))
    }

    /// What a leg is told that comes by a trunk.
    pub(super) fn terms(&self, trunk: &Trunk, flow: Flow) -> LegTerms {
        LegTerms {
            address: self.config.advertised.on(&flow),
            policy: InDialogPolicy { refer: trunk.accept_refer, ..self.config.in_dialog },
            peer_name: named(trunk).or_else(|| proved(&self.names)),
            account: account::of_callers(trunk),
        }
    }

    /// The name that the certificate at the other end of a flow should hold, should we have to connect to
    /// it: the one that it has shown, or the one in the address of a trunk that holds it.
    fn peer_name(&self, flow: Flow) -> Option<String> {
        if flow.transport != Transport::Tls {
            return None;
        }
        let source = flow.remote.ip();
        let holds = |trunk: &&Arc<Trunk>| trunk.takes_calls() && trunk.claims(source).is_some();
        proved(&self.names).or_else(|| self.table.trunks.iter().filter(holds).find_map(|trunk| named(trunk)))
    }

    /// A call that somebody wants placed.
    pub(super) fn place(&mut self, mut place: PlaceCall, now: Now) {
        self.trunks.prefer_healthy(&mut place.route);
        let handle = self.next_handle();
        let mut events = Vec::new();
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        if let Some(call) = Call::outgoing(handle, place, &mut cx, &self.config) {
            self.take_in(call, None);
            self.with_call(handle, now, Call::dial);
        }
    }

    /// A request of ours could not be sent: its transaction ends, and its call knows why.
    pub(super) fn unsent(&mut self, request: &Request) {
        let key = request.from().and_then(|from| Some(self.dialog_key(request.call_id()?, from.tag()?)));
        let leg = key.and_then(|key| self.dialogs.get(&key));
        if let Some(held) = leg.and_then(|(call, _)| self.calls.get(call)) {
            held.call.step("a request of ours was not sent: its hop cannot be reached");
        }
        self.transactions.unsent(request);
    }

    fn next_handle(&mut self) -> CallHandle {
        self.serial += 1;
        CallHandle((u64::from(self.config.shard) << 48) | self.serial)
    }

    /// Keeps a new call where its messages find it.
    fn take_in(&mut self, call: Call, invite: Option<ServerId>) {
        let handle = call.handle();
        self.outputs.push_back(Output::Began(handle, Box::new(call.start())));
        let mut held = Held {
            call,
            dialogs: Vec::new(),
            invite,
            replacing: Vec::new(),
            aliases: Vec::new(),
            clients: Vec::new(),
            scheduled: None,
        };
        self.follow_legs(&mut held, Now::default());
        self.calls.insert(handle, Box::new(held));
    }

    /// Answers with a code and tells the edges why.
    pub(super) fn refuse(&mut self, tx: ServerId, request: &Request, flow: Flow, refusal: Refusal, now: Now) {
        self.answer(tx, request, refusal.code, now);
        self.tell_refusal(request, flow, refusal);
    }

    /// Tells the edges why an INVITE is refused, and by which trunk it came.
    pub(super) fn tell_refusal(&mut self, request: &Request, flow: Flow, refusal: Refusal) {
        let Refusal { code, reason, trunk } = refusal;
        let id = request.call_id().map(|id| String::from_utf8_lossy(id).into_owned());
        self.outputs.push_back(Output::Refused {
            sip_call_id: id.unwrap_or_default(),
            code,
            reason,
            source: flow.remote,
            trunk,
        });
    }
}

/// Why an INVITE became no call.
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) trunk: Option<String>,
}

impl Refusal {
    pub(super) fn of(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), trunk: None }
    }
}

/// The name of a trunk's address. A certificate holds names; an address that is a number says nothing
/// of it.
fn named(trunk: &Trunk) -> Option<String> {
    let is_name = |host: &String| host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[');
    trunk.address_host().filter(is_name)
}

/// A name in the peer's verified certificate that another certificate can be checked against.
fn proved(names: &PeerNames) -> Option<String> {
    names.as_deref().unwrap_or_default().iter().find(|name| !name.contains('*')).cloned()
}

/// Writes `received` and `rport` into the top Via (RFC 3261 §18.2.1, RFC 3581 §4).
fn record_source(request: &mut Request, flow: Flow) {
    let Some(mut via) = request.via().cloned() else { return };
    if !via.record_source(flow.remote) {
        return;
    }
    let field = request.headers.text(&HeaderName::Via).unwrap_or_default();
    let others = text::find_outside(&field, b',').map_or("", |comma| &field[comma..]);
    let value = format!("{via}{others}");
    request.headers.set_first(HeaderName::Via, value);
}
