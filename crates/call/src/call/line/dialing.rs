//! A leg that we place: to its trunk's addresses in their order, until one takes it.
//!
//! ```text
//! find ──── way found ──▶ invite ── 1xx of the callee's side ─▶ progressed ── 2xx ─▶ answered
//!  ▲ │                      │                                      └── refused ─▶ over
//!  │ └ none ─┐              ├── 415, 488, 606 to RTP/SAVP, where the trunk goes on in plain ─▶ the same place
//!  │         │              ├── 503, no answer ─▶ the next of the address's hosts (SRV), then the next address
//!  │         ▼              ├── 300 to 302, where the trunk follows ─▶ the places named, then the others
//!  └── another place ◀──────┘── any other refusal, or no place left ─▶ over
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use trunkline_routing::{Destination, Privacy, Route, Trunk, may_follow};
use trunkline_sdp::{MediaEncryption, Member};
use trunkline_signalling::dialog::{Cx, Ended, InDialogPolicy, Leg, Placing};
use trunkline_sip::{Flow, HeaderName, Hop, format_host};

use super::Line;
use crate::{CallHandle, Output, ShardConfig, account};

/// An INVITE without its target (which stands in it three times), own fields, codecs and credentials: what
/// it takes with IPv6 addresses and our longest tokens. The size decides between UDP and TCP before
/// there is a way, and so before there is a Via (RFC 3261 §18.1.1).
const INVITE_BYTES: usize = 640;
/// A codec in an offer, with its rtpmap.
const CODEC_BYTES: usize = 40;
/// The answer to a challenge.
const CREDENTIALS_BYTES: usize = 320;

/// Redirections that one leg follows (RFC 3261 §8.1.3.4); of what is behind them nothing is tried.
const MAX_FOLLOWED: usize = 5;

/// A leg to be placed.
#[derive(Debug)]
pub(in crate::call) struct PlaceLine {
    /// Its place in the room, and its number among the call's legs.
    pub(in crate::call) member: Member,
    pub(in crate::call) nth: u32,
    /// Its Call-ID.
    pub(in crate::call) sip_call_id: String,
    /// What routing decided.
    pub(in crate::call) route: Arc<Route>,
    /// Fields of the INVITE, beside the trunk's own.
    pub(in crate::call) fields: Vec<(String, String)>,
    /// Hops that its requests may take.
    pub(in crate::call) max_forwards: u8,
}

/// What a leg that we place keeps beside its dialog.
#[derive(Debug)]
pub(in crate::call) struct Dialing {
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
    /// What a trunk is offered that has encryption in its own profile first.
    pub(super) offered: Option<Offered>,
}

/// What is offered where encryption is allowed, and wanted in its own profile first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// RTP/SAVP.
    Savp,
    /// That was refused: RTP/AVP without keys.
    Plain,
}

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

    /// The callee's side works on it.
    pub(in crate::call) const fn progressed(&mut self) {
        self.progressed = true;
    }
}

impl Line {
    /// A leg that we place; [`Self::find`] sets it going. Nothing where its trunk has no address.
    pub(in crate::call) fn placing(
        call: CallHandle,
        place: PlaceLine,
        cx: &mut Cx<'_>,
        config: &Arc<ShardConfig>,
    ) -> Option<Self> {
        let PlaceLine { member, nth, sip_call_id, route, fields, max_forwards } = place;
        let trunk = &route.trunk;
        let mut places = ordered(&route, cx);
        let place = places.pop()?;
        let own = trunk.headers.reveal().iter().chain(&fields);
        let fields_bytes: usize = own.clone().map(|(name, value)| name.len() + value.len() + 4).sum();
        let credentials = trunk.auth.as_ref().map_or(0, |_| CREDENTIALS_BYTES);
        let codecs = config.codecs.len() * CODEC_BYTES;
        let bytes = INVITE_BYTES + 3 * place.request_uri.len() + fields_bytes + codecs + credentials;
        let plan = Placing {
            call_id: sip_call_id,
            target: place.request_uri.clone(),
            policy: InDialogPolicy { refer: trunk.accept_refer, ..config.in_dialog },
            fields: own.map(|(name, value)| (HeaderName::from_token(name), value.clone())).collect(),
            account: account::of_ours(trunk),
            max_forwards,
        };
        let leg = Leg::placing(cx, plan);
        let offered = trunk.savp_then_plain.then_some(Offered::Savp);
        let mut line = Self::new(call, (member, nth), leg, route, config);
        line.dialing = Some(Box::new(Dialing {
            places,
            place,
            tried: 0,
            bytes,
            followed: Vec::new(),
            flow: None,
            more: false,
            progressed: false,
            offered,
        }));
        Some(line)
    }

    /// Asks for the way to the place in use.
    pub(in crate::call) fn find(&self, out: &mut VecDeque<Output>) {
        let Some(dialing) = &self.dialing else { return };
        out.push_back(Output::FindFlow {
            call: self.call,
            member: self.member,
            hop: dialing.place.hop.clone(),
            bytes: dialing.bytes,
            skip: dialing.tried,
            counts: self.counts(),
        });
    }

    /// What a further leg of the call counts as on its trunk. The first one counts as the call that it
    /// is, before there is a shard that holds it.
    fn counts(&self) -> Option<(u32, Arc<Trunk>)> {
        (self.nth > 0).then(|| (self.nth, Arc::clone(&self.route.trunk)))
    }

    /// The number of a leg that we place, which its trunk may count.
    pub(in crate::call) fn placed(&self) -> Option<u32> {
        self.dialing.as_ref().map(|_| self.nth)
    }

    /// The way is found, and whether there are more behind it; or this address has none.
    pub(in crate::call) fn way(&mut self, found: Option<(Flow, bool)>) {
        if let Some(dialing) = &mut self.dialing {
            dialing.more = found.is_some_and(|(_, more)| more);
            dialing.flow = found.map(|(flow, _)| flow).or(dialing.flow);
        }
    }

    /// Goes on to the next place of the address, or to the next address; false where there is none.
    pub(in crate::call) fn next_address(&mut self, out: &mut VecDeque<Output>) -> bool {
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

    /// Sends the INVITE with our offer.
    ///
    /// # Errors
    /// Where there can be no offer.
    pub(in crate::call) fn invite(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let (Some(local), Some(dialing)) = (self.local, &self.dialing) else { return Ok(()) };
        let Some(flow) = dialing.flow else { return Ok(()) };
        let address = self.config.advertised.on(&flow);
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
        let sdp = self.offer_of_ours(&local)?;
        self.last_sdp.clone_from(&sdp);
        self.leg.place(cx, flow, address, from, &sdp);
        Ok(())
    }

    /// A refusal that says nothing of the callee (503, or no answer at all): the trunk's next place is
    /// tried, unless something has worked on the call. False where it is over.
    pub(in crate::call) fn goes_elsewhere(&mut self, why: Ended, out: &mut VecDeque<Output>) -> bool {
        let elsewhere = matches!(why, Ended::Refused(503) | Ended::Lost);
        let fresh = self.dialing.as_ref().is_some_and(|dialing| !dialing.progressed);
        let redirected = matches!(why, Ended::Refused(300..=302)) && self.redirected();
        let in_plain = fresh && matches!(why, Ended::Refused(415 | 488 | 606)) && self.in_plain(out);
        if !(in_plain || (redirected || (elsewhere && fresh)) && self.next_address(out)) {
            return false;
        }
        // Who was offered these keys is not to read what another hears.
        self.keys = self.keys.next();
        if let Some(dialing) = &self.dialing {
            self.leg.reopen(dialing.place.request_uri.clone());
        }
        true
    }

    /// Goes on at the same place without encryption, where its own profile was offered first and that can be the
    /// reason for a refusal; false where it was not.
    fn in_plain(&mut self, out: &mut VecDeque<Output>) -> bool {
        // Where keys would be readable, it was in plain already.
        let encrypted = self.terms().is_ok_and(|terms| terms.encryption == MediaEncryption::Require);
        let offered = |dialing: &&mut Box<Dialing>| encrypted && dialing.offered == Some(Offered::Savp);
        let Some(dialing) = self.dialing.as_mut().filter(offered) else { return false };
        dialing.offered = Some(Offered::Plain);
        self.find(out);
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
}

/// `sip:+14155550199@sip.example.com:5080`.
fn target(called: &str, hop: &Hop) -> String {
    let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("sip:{called}@{}{port}", format_host(&hop.host))
}

/// The trunk's addresses, the first to try at the end: by priority, and within one by chance and weight.
fn ordered(route: &Route, cx: &mut Cx<'_>) -> Vec<Place> {
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
            request_uri: match &route.called {
                Destination::Address(uri) => uri.clone(),
                Destination::Number(_) | Destination::Short(_) => target(&called, hop),
            },
            hop: Hop { transport: hop.transport.or(kind), ..hop.clone() },
        })
        .collect()
}
