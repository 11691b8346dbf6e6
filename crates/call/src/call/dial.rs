//! A call that we place: to the trunk's addresses in their order, until one takes it.

use std::collections::VecDeque;

use bytes::Bytes;
use trunkline_routing::{Privacy, may_follow};
use trunkline_sdp::Selection;
use trunkline_signalling::dialog::{Account, Cx, Ended, Leg, Placing};
use trunkline_sip::text::OneLine;
use trunkline_sip::{Flow, HeaderName, Hop, format_host};

use super::{Call, Phase};
use crate::{CallHandle, CallStart, EndedBy, Output, PlaceCall, ShardConfig};

/// An INVITE without its target (which stands in it three times), own fields, codecs and credentials: what
/// it takes with IPv6 addresses and our longest tokens. The size decides between UDP and TCP before
/// there is a way, and so before there is a Via (RFC 3261 §18.1.1).
const INVITE_BYTES: usize = 640;
/// A codec in an offer, with its rtpmap.
const CODEC_BYTES: usize = 40;
/// The answer to a challenge.
const CREDENTIALS_BYTES: usize = 320;

/// What a call that we place keeps beside its leg.
#[derive(Debug)]
pub(super) struct Dialing {
    /// The places to try, the first at the end: the trunk's addresses, and before them what a
    /// redirection named.
    places: Vec<Place>,
    /// The place in use, and how many of its addresses were tried.
    place: Place,
    tried: usize,
    /// How large the INVITE will be, at most.
    bytes: usize,
    /// Request-URIs of redirections that were followed.
    followed: Vec<String>,
    /// The way that was found, and whether the address has more places.
    flow: Option<Flow>,
    more: bool,
    /// The callee's side has said that it works on the call: it is not tried elsewhere any more.
    progressed: bool,
    pub(super) variables: Vec<(String, String)>,
    /// Keys to press once it is answered.
    dtmf_prefix: Option<String>,
}

/// Redirections that one call follows (RFC 3261 §8.1.3.4); of what is behind them nothing is tried.
const MAX_FOLLOWED: usize = 5;

/// Somewhere to call: a hop, and what it is asked for.
#[derive(Debug, Clone)]
struct Place {
    hop: Hop,
    request_uri: String,
}

impl Dialing {
    /// The way to the trunk, once it is known.
    pub(super) const fn flow(&self) -> Option<Flow> {
        self.flow
    }
}

impl Call {
    /// A call to be placed; [`Self::dial`] sets it going. Nothing where its trunk has no address.
    pub(crate) fn outgoing(
        handle: CallHandle,
        place: PlaceCall,
        cx: &mut Cx<'_>,
        config: &ShardConfig,
    ) -> Option<Self> {
        let PlaceCall { id, sip_call_id, route, variables, fields, dtmf_prefix } = place;
        let trunk = &route.trunk;
        let mut places = ordered(&route, cx);
        let place = places.pop()?;
        let own = trunk.headers.iter().chain(&fields);
        let fields_bytes: usize = own.clone().map(|(name, value)| name.len() + value.len() + 4).sum();
        let credentials = trunk.auth.as_ref().map_or(0, |_| CREDENTIALS_BYTES);
        let codecs = config.codecs.len() * CODEC_BYTES;
        let bytes = INVITE_BYTES + 3 * place.request_uri.len() + fields_bytes + codecs + credentials;
        let account = trunk.auth.as_ref().map(|auth| Account {
            username: auth.username.clone(),
            password: auth.password.reveal().clone(),
            realm: auth.realm.clone(),
        });
        let plan = Placing {
            call_id: sip_call_id,
            target: place.request_uri.clone(),
            policy: config.in_dialog,
            fields: own.map(|(name, value)| (HeaderName::from_token(name), value.clone())).collect(),
            account: account.map(Into::into),
        };
        let leg = Leg::placing(cx, plan);
        let mut call = Self::new(handle, leg, route, false, cx, config);
        call.id = id;
        call.phase = Phase::Finding;
        call.dialing = Some(Box::new(Dialing {
            places,
            place,
            tried: 0,
            bytes,
            followed: Vec::new(),
            flow: None,
            more: false,
            progressed: false,
            variables,
            dtmf_prefix,
        }));
        Some(call)
    }

    /// Asks for the way to the trunk.
    pub(crate) fn dial(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        self.step("a call is placed");
        self.deadline = Some(cx.now.mono + self.route.ringing_timeout);
        self.find(out);
    }

    fn find(&mut self, out: &mut VecDeque<Output>) {
        let Some(dialing) = &self.dialing else { return };
        self.phase = Phase::Finding;
        out.push_back(Output::FindFlow {
            call: self.handle,
            hop: dialing.place.hop.clone(),
            bytes: dialing.bytes,
            skip: dialing.tried,
        });
    }

    /// The way is found, or this address has none.
    pub(crate) fn flow_found(
        &mut self,
        cx: &mut Cx<'_>,
        found: Result<(Flow, bool), String>,
        out: &mut VecDeque<Output>,
    ) {
        let (Some(dialing), Phase::Finding) = (&mut self.dialing, self.phase) else {
            return;
        };
        match found {
            Ok((flow, more)) => {
                dialing.flow = Some(flow);
                dialing.more = more;
                if self.local.is_some() {
                    self.phase = Phase::SettingUp;
                    return self.invite(cx, out);
                }
                self.phase = Phase::SettingUp;
                out.push_back(Output::OpenMedia { call: self.handle, local: flow.local.ip(), spec: None });
            }
            Err(reason) => {
                let sip_call_id = &self.leg.dialog().call_id;
                tracing::info!(call = %self.id, sip_call_id = %OneLine(sip_call_id), %reason, "an address of the trunk cannot be reached");
                dialing.more = false;
                if !self.next_address(out) {
                    let reason = format!("trunk {} cannot be reached: {reason}", self.route.trunk.name);
                    self.fail(cx, out, 503, EndedBy::Gateway, &reason);
                }
            }
        }
    }

    /// Goes on to the next place of the address, or to the next address; false where there is none.
    fn next_address(&mut self, out: &mut VecDeque<Output>) -> bool {
        let Some(dialing) = &mut self.dialing else { return false };
        if dialing.more {
            dialing.tried += 1;
        } else if let Some(next) = dialing.places.pop() {
            (dialing.place, dialing.tried) = (next, 0);
        } else {
            return false;
        }
        self.find(out);
        true
    }

    /// Room and agent are there: the INVITE goes out.
    pub(super) fn invite(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        let (Some(local), Some(dialing)) = (self.local, &self.dialing) else { return };
        let Some(flow) = dialing.flow else { return };
        let address = self.advertised.on(&flow);
        let host = address.sent_by.rsplit_once(':').map_or(&*address.sent_by, |(host, _)| host);
        let ours = format!("<sip:{}@{host}>", self.route.caller);
        let trunk = &self.route.trunk;
        let mut identity = Vec::new();
        if trunk.asserted_identity {
            identity.push((HeaderName::PAssertedIdentity, ours.clone()));
        }
        let from = match trunk.privacy {
            Privacy::None => ours,
            // RFC 3323 §4.1, RFC 3325 §7: the callee learns nothing, the network what it needs.
            Privacy::Id => {
                identity.push((HeaderName::Privacy, "id".to_owned()));
                "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned()
            }
        };
        self.leg.identify(identity);
        let sdp = match self.offer_of_ours(&local) {
            Ok(sdp) => sdp,
            Err(reason) => return self.fail(cx, out, 503, EndedBy::Gateway, &reason),
        };
        self.last_sdp.clone_from(&sdp);
        self.phase = Phase::Ringing;
        self.step("the INVITE goes out");
        self.leg.place(cx, flow, address, from, &sdp);
        self.deadline = Some(cx.now.mono + self.route.ringing_timeout);
        self.drain_events(cx, out);
    }

    /// The callee's side works on it; what it plays meanwhile is agreed on already.
    pub(super) fn progress(&mut self, code: u16, body: &Bytes, out: &mut VecDeque<Output>) {
        let Some(dialing) = self.dialing.as_mut().filter(|_| self.phase == Phase::Ringing) else { return };
        dialing.progressed = true;
        tracing::debug!(call = %self.id, sip_call_id = %OneLine(&self.leg.dialog().call_id), code, "progress");
        if let Some(selection) = self.accepted(body) {
            self.agree(selection, out);
        }
    }

    /// The callee has answered; the leg has acknowledged it.
    pub(super) fn callee_answered(&mut self, cx: &mut Cx<'_>, body: &Bytes, out: &mut VecDeque<Output>) {
        if self.phase != Phase::Ringing {
            return;
        }
        // A 200 may repeat the answer of a reliable 183, or leave it out (RFC 3262 §5).
        let selection = self.accepted(body).or_else(|| self.selection.clone());
        let Some(selection) = selection else {
            return self.fail(cx, out, 488, EndedBy::Gateway, "the callee's answer does not fit our offer");
        };
        self.agree(selection, out);
        self.step("the callee answered");
        self.phase = Phase::Talking;
        self.sip_code = 200;
        self.answered = Some(cx.now);
        self.deadline = Some(cx.now.mono + self.route.max_call_duration);
        out.push_back(Output::Answered(self.handle, cx.now.mono.since(self.started.mono)));
        out.push_back(Output::StartRoom(self.handle));
        if let Some(keys) = self.dialing.as_mut().and_then(|dialing| dialing.dtmf_prefix.take()) {
            self.press(keys, out);
        }
    }

    /// Presses keys, while the call is up.
    pub(crate) fn press(&self, keys: String, out: &mut VecDeque<Output>) {
        if self.phase == Phase::Talking {
            self.step("keys are pressed");
            out.push_back(Output::Press(self.handle, keys));
        }
    }

    fn agree(&mut self, selection: Selection, out: &mut VecDeque<Output>) {
        if self.selection.as_ref() != Some(&selection) {
            out.push_back(Output::UpdateMedia(self.handle, self.spec(&selection)));
            self.selection = Some(selection);
        }
    }

    fn accepted(&self, body: &Bytes) -> Option<Selection> {
        self.accept(body).ok()
    }

    /// A refusal that says nothing of the callee (503, or no answer at all): the trunk's next place is
    /// tried, unless the call is ending or something has worked on it.
    pub(super) fn goes_elsewhere(&mut self, cx: &mut Cx<'_>, why: Ended, out: &mut VecDeque<Output>) -> bool {
        let elsewhere = matches!(why, Ended::Refused(503) | Ended::Lost);
        let fresh = self.dialing.as_ref().is_some_and(|dialing| !dialing.progressed);
        let redirected = matches!(why, Ended::Refused(300..=302)) && self.redirected();
        if !((redirected || (elsewhere && fresh)) && self.phase == Phase::Ringing && self.next_address(out)) {
            return false;
        }
        self.step("the trunk's next place is tried");
        if let Some(dialing) = &self.dialing {
            self.leg.reopen(dialing.place.request_uri.clone());
        }
        self.deadline = Some(cx.now.mono + self.route.ringing_timeout);
        true
    }

    /// Puts the places of a redirection, as far as they may be followed, before the trunk's other
    /// addresses; false where there is none.
    fn redirected(&mut self) -> bool {
        let uris = self.leg.redirects();
        let Some(dialing) = &mut self.dialing else { return false };
        let kind = self.route.trunk.transport.kind();
        let mut found = Vec::new();
        for uri in uris {
            let request_uri = uri.without_headers().to_owned();
            let fine = may_follow(&self.route.trunk, &uri) && !dialing.followed.contains(&request_uri);
            if fine
                && dialing.followed.len() < MAX_FOLLOWED
                && let Some(hop) = Hop::of(&uri)
            {
                dialing.followed.push(request_uri.clone());
                found.push(Place { hop: Hop { transport: hop.transport.or(kind), ..hop }, request_uri });
            }
        }
        let any = !found.is_empty();
        dialing.places.extend(found.into_iter().rev());
        // What the redirection names comes before the other addresses of a place that sent us away.
        dialing.more &= !any;
        any
    }

    /// Whether the call goes out.
    pub(super) const fn is_outgoing(&self) -> bool {
        self.dialing.is_some()
    }

    /// The call as lists of calls in progress show it.
    pub(crate) fn start(&self) -> CallStart {
        CallStart {
            call_id: self.id.clone(),
            sip_call_id: self.leg.dialog().call_id.clone(),
            direction: self.direction(),
            from: super::caller_text(&self.route.caller, self.route.hide_phone_number),
            to: self.route.called.to_string(),
            trunk: self.route.trunk.name.clone(),
            agent: self.route.agent.name.clone(),
            started_at: self.started.utc.as_secs_f64(),
        }
    }

    pub(super) const fn direction(&self) -> &'static str {
        if self.is_outgoing() { "outbound" } else { "inbound" }
    }
}

/// `sip:+14155550199@sip.example.com:5080`.
fn target(called: &str, hop: &Hop) -> String {
    let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("sip:{called}@{}{port}", format_host(&hop.host))
}

/// The trunk's addresses, the first to try at the end: by priority, and within one by chance and weight.
fn ordered(route: &trunkline_routing::Route, cx: &mut Cx<'_>) -> Vec<Place> {
    let called = route.called.to_string();
    let kind = route.trunk.transport.kind();
    let mut addresses: Vec<_> = route
        .trunk
        .addresses
        .iter()
        .map(|address| {
            // The largest of (chance to the power of 1/weight) first draws in proportion to the weights.
            let chance = (cx.tokens.number() >> 11) as f64 / (1u64 << 53) as f64;
            let draw = chance.powf(1.0 / f64::from(address.weight.max(1)));
            (address.priority, draw, &address.hop)
        })
        .collect();
    addresses.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
    addresses
        .into_iter()
        .map(|(_, _, hop)| Place {
            request_uri: target(&called, hop),
            hop: Hop { transport: hop.transport.or(kind), ..hop.clone() },
        })
        .collect()
}
