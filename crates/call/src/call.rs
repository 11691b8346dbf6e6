//! One call: a caller's leg, a room, an agent.
//!
//! ```text
//!            OpenMedia, ConnectAgent       both there: 200, StartRoom
//! INVITE ─▶ SettingUp ────────────────────────────────────▶ Talking
//!              │ CANCEL, no port, no agent, time-out          │ BYE, agent gone, limits
//!              ▼                                              ▼
//!           Closing: CloseRoom asked; late results are released ── RoomClosed ─▶ Over (record)
//! ```
//! A number without an agent is announced: SettingUp plays into a 183 and ends in 480.
//!
//! ```text
//!          FindFlow         OpenMedia, ConnectAgent    both there: INVITE       2xx: StartRoom
//! Place ─▶ Finding ─▶ SettingUp ──────────────────────▶ Ringing ───────────────▶ Talking ─▶ …
//!             ▲            refused for now, or nobody there: the next address     │
//!             └────────────────────────────────────────────┴───────────────────┘
//! ```

mod dial;
mod media;
mod setup;
mod teardown;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline_routing::{Caller, Route, Trunk};
use trunkline_sdp::{Codec, Description, KeySeed, LocalMedia, Selection};
use trunkline_signalling::dialog::{Cx, Dialog, LateAnswers, Leg, LegEvent};
use trunkline_signalling::{ClientId, Mono, Now};
use trunkline_sip::Request;
use trunkline_sip::text::OneLine;

use crate::config::Advertised;
use crate::{CallHandle, EndedBy, MediaStats, Output, ShardConfig};

use dial::Dialing;
pub(crate) use setup::announcement_route;

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A call that we place: looking for the way to the trunk.
    Finding,
    /// Waiting for the room and the agent.
    SettingUp,
    /// The agent speaks in a 183: "not in service".
    Announcing,
    /// Our INVITE is out.
    Ringing,
    /// Answered.
    Talking,
    /// The room is being closed.
    Closing,
    /// The record is written.
    Over,
}

/// Why and by whom a call ended.
#[derive(Debug, Clone)]
struct Ending {
    by: EndedBy,
    reason: String,
    at: Now,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    handle: CallHandle,
    id: String,
    leg: Leg,
    route: Route,
    phase: Phase,
    /// The call only announces that the number is not in service.
    announce: bool,
    /// What a call that we place has beside.
    dialing: Option<Box<Dialing>>,
    codecs: Vec<Codec>,
    /// What our SRTP keys are made from, until the stream moves.
    keys: KeySeed,
    advertised: Advertised,
    own_addresses: Arc<[IpAddr]>,
    media_addresses: Arc<[IpAddr]>,
    edge_timeout: Duration,
    /// The peer's description, while it is to be answered.
    offer: Option<Description>,
    selection: Option<Selection>,
    local: Option<LocalMedia>,
    /// Our description as last sent.
    last_sdp: String,
    agent_ready: bool,
    started: Now,
    answered: Option<Now>,
    /// Ringing timeout, then the longest duration, then the wait for the room to close.
    deadline: Option<Mono>,
    ending: Option<Ending>,
    sip_code: u16,
    stats: MediaStats,
}

impl Call {
    /// A call for an INVITE; [`Self::begin`] sets it going.
    pub(crate) fn new(
        handle: CallHandle,
        leg: Leg,
        route: Route,
        announce: bool,
        cx: &mut Cx<'_>,
        config: &ShardConfig,
    ) -> Self {
        Self {
            handle,
            id: call_id(cx.now, cx.tokens.number()),
            leg,
            route,
            phase: Phase::SettingUp,
            announce,
            dialing: None,
            codecs: config.codecs.clone(),
            keys: config.key_seed.of_call(handle.0),
            advertised: config.advertised.clone(),
            own_addresses: Arc::clone(&config.own_addresses),
            media_addresses: Arc::clone(&config.media_addresses),
            edge_timeout: config.edge_timeout,
            offer: None,
            selection: None,
            local: None,
            last_sdp: String::new(),
            agent_ready: false,
            started: cx.now,
            answered: None,
            deadline: None,
            ending: None,
            sip_code: 0,
            stats: MediaStats::default(),
        }
    }

    pub(crate) const fn handle(&self) -> CallHandle {
        self.handle
    }

    /// Call-ID and local tag.
    pub(crate) fn dialog_id(&self) -> (&str, &str) {
        let dialog = self.leg.dialog();
        (&dialog.call_id, &dialog.local_tag)
    }

    /// The number that was called.
    #[cfg(test)]
    pub(crate) const fn called(&self) -> &trunkline_routing::Destination {
        &self.route.called
    }

    /// A step in the log, at the level debug; every line of a call carries both of its ids.
    pub(crate) fn step(&self, what: &str) {
        let sip_call_id = &self.leg.dialog().call_id;
        tracing::debug!(call = %self.id, sip_call_id = %OneLine(sip_call_id), "{what}");
    }

    pub(crate) fn owns(&self, request: &Request) -> bool {
        self.leg.owns(request)
    }

    /// Whether the record is written and the dialog needs nothing more.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over) && self.leg.is_over()
    }

    /// What the shard keeps of the leg when the call is forgotten.
    pub(crate) fn remains(&mut self) -> Option<(Dialog, LateAnswers)> {
        self.leg.remains()
    }

    /// The client transaction whose response the call waits for.
    pub(crate) const fn client_transaction(&self) -> Option<ClientId> {
        self.leg.client_transaction()
    }

    /// The call's own deadline and its leg's.
    pub(crate) fn poll_timeout(&self) -> Option<Mono> {
        [self.deadline, self.leg.poll_timeout()].into_iter().flatten().min()
    }

    /// Runs what is due.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        if self.deadline.is_some_and(|at| at <= cx.now.mono) {
            self.deadline = None;
            self.own_timeout(cx, out);
        }
        self.with_leg(cx, out, |leg, cx| leg.handle_timeout(cx));
    }

    fn own_timeout(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        match self.phase {
            Phase::Finding => self.fail(cx, out, 503, EndedBy::Gateway, "the trunk was not found in time"),
            Phase::SettingUp => self.fail(cx, out, 480, EndedBy::Gateway, "the agent did not answer in time"),
            Phase::Ringing => self.fail(cx, out, 480, EndedBy::Gateway, "nobody answered in time"),
            Phase::Announcing | Phase::Talking => {
                self.fail(cx, out, 480, EndedBy::Gateway, "longest duration reached");
            }
            // The room never said that it closed: the record is written without its figures.
            Phase::Closing => self.write_record(cx.now, out),
            Phase::Over => {}
        }
    }

    /// Lets the leg work, then does what it tells.
    pub(crate) fn with_leg(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut VecDeque<Output>,
        work: impl FnOnce(&mut Leg, &mut Cx<'_>),
    ) {
        work(&mut self.leg, cx);
        self.drain_events(cx, out);
    }

    fn drain_events(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        while !cx.events.is_empty() {
            match cx.events.remove(0) {
                LegEvent::Ended(why) => {
                    tracing::debug!(call = %self.id, sip_call_id = %OneLine(&self.leg.dialog().call_id), ?why, "the leg is over");
                    if !self.goes_elsewhere(cx, why, out) {
                        self.leg_ended(cx.now, why, out);
                    }
                }
                LegEvent::Acknowledged(answer) => self.acknowledged(cx, answer, out),
                LegEvent::Offer(offer) => self.peer_offer(cx, offer, out),
                // Taken and answered where configuration says so; no agent protocol of today carries them.
                LegEvent::Info(_) | LegEvent::Message(_) => {}
                LegEvent::Progress(code, body) => self.progress(code, &body, out),
                LegEvent::Answered(answer) => self.callee_answered(cx, &answer.body, out),
            }
        }
    }
}

/// Our id of a call: when it began, and chance.
#[must_use]
pub fn call_id(now: Now, chance: u64) -> String {
    format!("call_{:014x}{:08x}", now.utc.as_micros(), chance >> 32)
}

/// The caller as records and agents see it.
fn caller_text(caller: &Caller, hide: bool) -> String {
    match caller {
        Caller::Number(number) if hide => trunkline_routing::mask(&number.to_string()),
        Caller::Other(text) if hide => trunkline_routing::mask(text),
        shown => shown.to_string(),
    }
}

/// Names a trunk in a record.
fn trunk_name(trunk: &Trunk) -> String {
    trunk.name.clone()
}
