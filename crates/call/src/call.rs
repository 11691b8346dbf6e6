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

mod asks;
mod consultation;
mod dial;
mod floor;
mod line;
mod lingering;
mod log;
mod media;
mod outcome;
mod proof;
mod reconnect;
mod referred;
mod replaced;
mod second;
mod setup;
mod sip_agent;
mod teardown;
mod told;
mod transfer;

use std::collections::VecDeque;
use std::sync::Arc;

use trunkline_routing::{Caller, Route, Trunk};
use trunkline_sdp::control::{Transcript, TransferResult};
use trunkline_sdp::{Hearing, Member, Members};
use trunkline_signalling::dialog::{Cx, Dialog, LateAnswers, Leg, LegEvent, MAX_FORWARDS, ReferIn};
use trunkline_signalling::{ClientId, Mono, Now};
use trunkline_sip::Request;
use trunkline_sip::headers::max_forwards;

use crate::{CallHandle, EndedBy, MediaStats, Output, ShardConfig};

use dial::Outgoing;
use line::Line;
use reconnect::Search;
pub(crate) use second::Gone;
pub(crate) use setup::announcement_route;
use sip_agent::AgentLeg;
use transfer::Transferring;

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
    /// The leg that the call began with.
    first: Line,
    /// Those that came later.
    others: Vec<Line>,
    /// How many there were.
    legs: u32,
    /// What legs have told and is not yet acted on.
    told: VecDeque<(Member, LegEvent)>,
    route: Arc<Route>,
    config: Arc<ShardConfig>,
    phase: Phase,
    /// The call only announces that the number is not in service.
    announce: bool,
    /// Hops that its INVITE had left.
    hops: u8,
    /// What a call that we place has beside.
    outgoing: Option<Box<Outgoing>>,
    agent_ready: bool,
    /// Its leg, where it is a SIP endpoint.
    agent_leg: Option<AgentLeg>,
    /// It is in the room, or about to come: it has not left for good.
    agent_here: bool,
    /// The transfer under way.
    transfer: Option<Box<Transferring>>,
    /// The leg of the party that the call is with: the caller or the callee, or who has taken its place.
    party: Member,
    /// The party is held by us, and whom nobody hears.
    held: bool,
    muted: Members,
    /// Who hears whom as last arranged, mute aside.
    hearing: Hearing,
    /// The party holds us.
    holds: bool,
    /// The leg that the caller was joined with.
    joined: Option<Member>,
    /// How many transfers have begun.
    transfers: u8,
    /// How the last transfer came out, and to whom the caller went.
    transfer_result: Option<TransferResult>,
    transferred_to: Option<String>,
    /// Whom the peer wants us to call, until the shard brings the tables.
    asked: Option<(Member, ReferIn)>,
    /// Legs that are gone and whose dialogs the shard still knows.
    gone: Vec<Gone>,
    /// It was there and is sought.
    agent_away: bool,
    search: Option<Search>,
    /// What was said, as the agent tells it.
    transcript: Vec<Transcript>,
    /// How often its recording was begun.
    recordings: u8,
    started: Now,
    answered: Option<Now>,
    /// A leg that outlives the call, and until when.
    lingers: Option<(Member, Mono)>,
    /// Ringing timeout, then the longest duration, then the wait for the room to close.
    deadline: Option<Mono>,
    ending: Option<Ending>,
    sip_code: u16,
    stats: MediaStats,
}

impl Call {
    /// A call for an INVITE; [`Self::begin`] sets it going.
    pub(crate) fn incoming(
        handle: CallHandle,
        leg: Leg,
        route: Route,
        announce: bool,
        cx: &mut Cx<'_>,
        config: &Arc<ShardConfig>,
    ) -> Self {
        let route = Arc::new(route);
        let hops = leg.invite().and_then(|invite| max_forwards(&invite.headers)).unwrap_or(MAX_FORWARDS);
        let first = Line::new(handle, (Member::FIRST, 0), leg, route, config);
        let id = call_id(cx.now, cx.tokens.number());
        Self { announce, hops, ..Self::of(handle, id, first, cx.now, config) }
    }

    fn of(handle: CallHandle, id: String, first: Line, now: Now, config: &Arc<ShardConfig>) -> Self {
        Self {
            handle,
            id,
            route: Arc::clone(&first.route),
            first,
            others: Vec::new(),
            legs: 0,
            told: VecDeque::new(),
            config: Arc::clone(config),
            phase: Phase::SettingUp,
            announce: false,
            hops: MAX_FORWARDS,
            outgoing: None,
            agent_ready: false,
            agent_leg: None,
            agent_here: true,
            transfer: None,
            party: Member::FIRST,
            asked: None,
            held: false,
            muted: Members::NONE,
            // As a room begins.
            hearing: Hearing::among(Members::of(&[Member::FIRST, Member::AGENT])),
            holds: false,
            joined: None,
            transfers: 0,
            transfer_result: None,
            transferred_to: None,
            gone: Vec::new(),
            agent_away: false,
            search: None,
            transcript: Vec::new(),
            recordings: 0,
            started: now,
            answered: None,
            lingers: None,
            deadline: None,
            ending: None,
            sip_code: 0,
            stats: MediaStats::default(),
        }
    }

    pub(crate) const fn handle(&self) -> CallHandle {
        self.handle
    }

    /// Its legs.
    fn lines(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn lines_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    fn line(&self, member: Member) -> Option<&Line> {
        self.lines().find(|line| line.member == member)
    }

    fn line_mut(&mut self, member: Member) -> Option<&mut Line> {
        self.lines_mut().find(|line| line.member == member)
    }

    /// The places of its legs.
    fn members(&self) -> Vec<Member> {
        self.lines().map(|line| line.member).collect()
    }

    /// Its dialogs: place, Call-ID and local tag.
    pub(crate) fn dialogs(&self) -> impl Iterator<Item = (Member, &str, &str)> {
        self.lines().map(|line| {
            let dialog = line.leg.dialog();
            (line.member, &*dialog.call_id, &*dialog.local_tag)
        })
    }

    /// The number that was called.
    #[cfg(test)]
    pub(crate) fn called(&self) -> &trunkline_routing::Destination {
        &self.route.called
    }

    /// Whether a request belongs to the dialog of that leg, by both tags.
    pub(crate) fn owns(&self, member: Member, request: &Request) -> bool {
        self.line(member).is_some_and(|line| line.leg.owns(request))
    }

    /// Whether the record is written and no dialog needs anything more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over) && self.lines().all(|line| line.leg.is_over())
    }

    /// What the shard keeps of the legs when the call is forgotten.
    pub(crate) fn remains(&mut self) -> Vec<(Member, Dialog, LateAnswers)> {
        let of = |line: &mut Line| line.leg.remains().map(|(dialog, late)| (line.member, dialog, late));
        self.lines_mut().filter_map(of).collect()
    }

    /// The client transactions whose responses its legs wait for.
    pub(crate) fn client_transactions(&self) -> impl Iterator<Item = (Member, ClientId)> {
        self.lines().flat_map(|line| line.leg.client_transactions().map(|tx| (line.member, tx)))
    }

    /// The call's own deadline and its legs'.
    pub(crate) fn poll_timeout(&self) -> Option<Mono> {
        let legs = self.lines().filter_map(|line| line.leg.poll_timeout()).min();
        let transfer = self.transfer.as_ref().and_then(|transfer| transfer.deadline);
        let lingers = self.lingers.map(|(_, until)| until);
        [self.deadline, transfer, lingers, legs].into_iter().flatten().min()
    }

    /// Runs what is due.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        if self.deadline.is_some_and(|at| at <= cx.now.mono) {
            self.deadline = None;
            self.own_timeout(cx, out);
        }
        self.transfer_timeout(cx, out);
        self.linger_timeout(cx, out);
        for member in self.members() {
            self.with_leg(member, cx, out, |leg, cx| leg.handle_timeout(cx));
        }
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

    /// A connection is gone.
    pub(crate) fn connection_lost(&mut self, cx: &mut Cx<'_>, connection: u64, out: &mut VecDeque<Output>) {
        for member in self.members() {
            self.with_leg(member, cx, out, |leg, cx| leg.connection_lost(cx, connection));
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
