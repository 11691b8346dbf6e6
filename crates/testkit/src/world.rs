//! One gateway shard, one peer that calls it or is called, one clock.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use trunkline_call::{
    Advertised, CallHandle, CallPlan, CallRecord, Caller, CallerEvent, CallerOutput, Input, MediaStats,
    Output, PlaceCall, RoomEvent, Shard, ShardConfig, Spread,
};
use trunkline_routing::{OutboundCall, Pii, RouteTable, Source, UnknownPeers, decide_outbound, load};
use trunkline_sdp::control::TransferResult;
use trunkline_sdp::{Codec, Member};
use trunkline_signalling::dialog::InDialogPolicy;
use trunkline_signalling::{KeyedHash, Mono, Now, Timers};
use trunkline_sip::{Flow, Message, Method, Transport, read};

use crate::callee::Callee;
use crate::network::{Network, Side};
use crate::plan::{AgentPlan, Plan};
use crate::taker::Taker;
use crate::transfers::Act;

/// The gateway's peer.
pub enum Far {
    /// It calls.
    Caller(Box<Caller>),
    /// It is called.
    Callee(Box<Callee>),
}

/// Something an edge will answer later.
#[derive(Debug)]
struct Later(Mono, Input);

/// A world.
pub struct World {
    /// The shard under test.
    pub shard: Shard,
    /// The peer.
    pub far: Far,
    /// What the caller was told.
    pub caller_events: Vec<CallerEvent>,
    /// Records of ended calls.
    pub records: Vec<CallRecord>,
    /// The ladder, for reading a failure.
    pub ladder: Vec<String>,
    pub(crate) network: Network,
    later: Vec<Later>,
    pub(crate) now: Mono,
    pub(crate) plan: Plan,
    caller_left: bool,
    /// INVITEs that reached the gateway: where none did, it knows of no call.
    pub invites_arrived: usize,
    /// The call of the shard.
    call: Option<CallHandle>,
    /// Rooms that are open.
    pub rooms: Vec<CallHandle>,
    /// What came of each wish for a transfer.
    pub transfers: Vec<TransferResult>,
    /// Callees of second legs, by their Call-IDs.
    pub seconds: Vec<(Vec<u8>, Callee)>,
    pub(crate) acts: Vec<(Mono, Act)>,
    /// Who asks for the caller's place, and whether it was given.
    pub(crate) taker: Option<Taker>,
    pub(crate) taken: bool,
}

/// Our address.
#[must_use]
pub fn gateway_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 10], 5060))
}

pub(crate) fn caller_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 20], 5062))
}

/// The usual table: a trunk for the caller's network, a number with an echo agent.
#[must_use]
pub fn table() -> Arc<RouteTable> {
    let text = "[[trunk]]\nname = \"carrier\"\nallowed_addresses = [\"192.0.2.0/24\"]\naddress = \"192.0.2.20:5062\"\ndirection = \"both\"\naccept_refer = true\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\nallowed_destinations = [\"+1415*\"]\n[[number]]\nnumber = \"+14155550101\"\n";
    static TABLE: OnceLock<Arc<RouteTable>> = OnceLock::new();
    let read = || {
        let source = Source { name: "test".to_owned(), text: text.to_owned() };
        Arc::new(load(&[source], None).expect("the table is good").0)
    };
    Arc::clone(TABLE.get_or_init(read))
}

impl World {
    /// A world in which the caller has sent its INVITE.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let config = ShardConfig {
            shard: 0,
            spread: Spread::over(1, KeyedHash::new((1, 2))),
            key: (plan.seed, 7),
            key_seed: trunkline_sdp::KeySeed::new([9; 32]),
            timers: Timers::default(),
            advertised: Advertised::default(),
            challenger: Default::default(),
            own_addresses: [].into(),
            media_addresses: [].into(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            unknown_peers: UnknownPeers::Drop,
            in_dialog: InDialogPolicy::default(),
            edge_timeout: Duration::from_secs(5),
        };
        let now = Mono(Duration::from_secs(1));
        let mut world = Self {
            shard: Shard::new(config, table()),
            far: far(&plan, now),
            caller_events: Vec::new(),
            records: Vec::new(),
            ladder: Vec::new(),
            network: Network::new(plan.faults, plan.seed),
            later: Vec::new(),
            now,
            plan,
            caller_left: false,
            invites_arrived: 0,
            call: None,
            rooms: Vec::new(),
            transfers: Vec::new(),
            seconds: Vec::new(),
            acts: Vec::new(),
            taker: None,
            taken: false,
        };
        if plan.callee.is_some() {
            world.shard.handle(Input::Place(Box::new(placed())), moment(now));
        }
        world.drain();
        world
    }

    /// Runs until nothing is left to happen, at most for `limit` of virtual time.
    pub fn run(&mut self, limit: Duration) {
        let end = self.now + limit;
        while let Some(next) = self.next_event() {
            if next > end {
                return;
            }
            self.now = self.now.max(next);
            self.step();
        }
    }

    /// Whether both sides have nothing left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let seconds = self.seconds.iter().all(|(_, callee)| callee.is_idle());
        self.shard.is_idle()
            && self.far.is_idle()
            && seconds
            && self.taker.as_ref().is_none_or(Taker::is_idle)
    }

    fn next_event(&self) -> Option<Mono> {
        let leave = (!self.caller_left).then_some(Mono(Duration::from_secs(1)) + self.plan.caller_leaves);
        [
            self.network.next_arrival(),
            self.shard.poll_timeout(),
            self.far.poll_timeout(),
            self.later.iter().map(|later| later.0).min(),
            leave,
            self.next_of_transfer(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some((side, payload)) = self.network.arrived(now) {
            let Ok(mut message) = read::datagram(&payload) else {
                continue;
            };
            self.plan.terms.put_into(&mut message);
            match side {
                Side::Gateway => {
                    let invite =
                        matches!(&message, Message::Request(request) if request.method == Method::Invite);
                    self.invites_arrived += usize::from(invite);
                    let flow = flow(gateway_address(), caller_address());
                    self.shard.handle(Input::Message(Box::new(message), flow, None), moment(now));
                }
                Side::Caller => {
                    self.note("<-", &message);
                    if self.reaches_taker(&message) || self.reaches_second(&message) {
                        self.drain();
                        continue;
                    }
                    let flow = flow(caller_address(), gateway_address());
                    match &mut self.far {
                        Far::Caller(caller) => caller.receive(message, flow, moment(now)),
                        Far::Callee(callee) => callee.receive(message, flow, moment(now)),
                    }
                }
            }
            self.drain();
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.later).into_iter().partition(|later| later.0 <= now);
        self.later = later;
        for Later(_, input) in due {
            self.shard.handle(input, moment(now));
            self.drain();
        }
        if !self.caller_left && now >= Mono(Duration::from_secs(1)) + self.plan.caller_leaves {
            self.caller_left = true;
            self.taker_leaves();
            match (&mut self.far, self.call) {
                (Far::Caller(caller), _) => caller.hang_up(moment(now)),
                (Far::Callee(_), Some(call)) => self.shard.handle(Input::HangUp(call), moment(now)),
                (Far::Callee(_), None) => {}
            }
        }
        self.act();
        self.others_time_out();
        if self.shard.poll_timeout().is_some_and(|at| at <= now) {
            self.shard.handle_timeout(moment(now));
        }
        if self.far.poll_timeout().is_some_and(|at| at <= now) {
            match &mut self.far {
                Far::Caller(caller) => caller.handle_timeout(moment(now)),
                Far::Callee(callee) => callee.handle_timeout(moment(now)),
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            self.edge(output);
        }
        self.others_send();
        loop {
            let payload = match &mut self.far {
                Far::Caller(caller) => match caller.poll_output() {
                    Some(CallerOutput::Transmit(transmit)) => transmit.payload,
                    Some(CallerOutput::Event(CallerEvent::Refer)) => {
                        self.caller_referred();
                        continue;
                    }
                    Some(CallerOutput::Event(event)) => {
                        self.caller_events.push(event);
                        continue;
                    }
                    None => return,
                },
                Far::Callee(callee) => match callee.poll_transmit() {
                    Some(transmit) => transmit.payload,
                    None => return,
                },
            };
            if let Ok(message) = read::datagram(&payload) {
                self.note("->", &message);
            }
            self.network.send(Side::Gateway, &payload, self.now);
        }
    }

    /// What the edges of a daemon would do.
    fn edge(&mut self, output: Output) {
        let soon = self.now + Duration::from_millis(1);
        match output {
            Output::Transmit(transmit) => self.network.send(Side::Caller, &transmit.payload, self.now),
            Output::OpenMedia { call, member, .. } => {
                let at = self.plan.ports.then_some(SocketAddr::from(([192, 0, 2, 10], 10_000)));
                if at.is_some() && member == Member::FIRST {
                    self.rooms.push(call);
                }
                self.later.push(Later(soon, Input::MediaOpened(call, member, at)));
            }
            Output::ConnectAgent(call, _) => match self.plan.agent {
                AgentPlan::Comes(after) => {
                    self.later.push(Later(self.now + after, Input::AgentConnected(call, Ok(()))));
                }
                AgentPlan::Fails(after) => {
                    let outcome = Err("refused".to_owned());
                    self.later.push(Later(self.now + after, Input::AgentConnected(call, outcome)));
                }
                AgentPlan::Never => {}
            },
            Output::StartRoom(call) => {
                self.plan_transfer(call);
                if let Some(after) = self.plan.agent_leaves {
                    self.later.push(Later(self.now + after, Input::Room(call, RoomEvent::AgentLeft)));
                }
            }
            Output::CloseRoom(call) => {
                self.rooms.retain(|room| *room != call);
                self.later.push(Later(soon, Input::RoomClosed(call, MediaStats::default())));
            }
            Output::Ended(record) => self.records.push(*record),
            Output::FindFlow { call, member, .. } => {
                let found = Ok((flow(gateway_address(), caller_address()), false));
                self.later.push(Later(soon, Input::FlowFound(call, member, found)));
            }
            Output::Began(call, _) => self.call = Some(call),
            Output::CloseLeg(call, member) => {
                self.later.push(Later(soon, Input::LegClosed(call, member, MediaStats::default())));
            }
            Output::Listen(call, member, true) => self.plan_key(call, member),
            Output::TransferEnded(_, result) => self.transfers.push(*result),
            Output::Replaced { .. } => self.taken = true,
            Output::Listen(_, _, false) => {}
            Output::UpdateMedia(..)
            | Output::FindTrunkFlow { .. }
            | Output::TrunkState(_)
            | Output::Press(..)
            | Output::PressNoMore(..)
            | Output::DropAgent(_)
            | Output::Arrange(..)
            | Output::Play { .. }
            | Output::Hush(..)
            | Output::Digit(..)
            | Output::Tell(..)
            | Output::Record { .. }
            | Output::SuppressNoise(..)
            | Output::Answered(..)
            | Output::LegBegan(..)
            | Output::Party(..)
            | Output::Alias { .. }
            | Output::LegGone(..)
            | Output::Refused { .. } => {}
        }
    }

    /// An input for the shard, so long from now.
    pub(crate) fn soon(&mut self, after: Duration, input: Input) {
        self.later.push(Later(self.now + after, input));
    }

    fn note(&mut self, arrow: &str, message: &Message) {
        let line = match message {
            Message::Request(request) => request.method.to_string(),
            Message::Response(response) => response.code().to_string(),
        };
        self.ladder.push(format!("{arrow} {line}"));
    }
}

impl Far {
    fn poll_timeout(&self) -> Option<Mono> {
        match self {
            Self::Caller(caller) => caller.poll_timeout(),
            Self::Callee(callee) => callee.poll_timeout(),
        }
    }

    fn is_idle(&self) -> bool {
        match self {
            Self::Caller(caller) => caller.is_idle(),
            Self::Callee(callee) => callee.is_idle(),
        }
    }
}

fn far(plan: &Plan, now: Mono) -> Far {
    if let Some(callee) = plan.callee {
        return Far::Callee(Box::new(Callee::new(callee, caller_address(), plan.seed)));
    }
    let call = CallPlan {
        target: "sip:+14155550100@192.0.2.10".to_owned(),
        from: "<sip:+14155550199@192.0.2.20>".to_owned(),
        flow: flow(caller_address(), gateway_address()),
        media: SocketAddr::from(([192, 0, 2, 20], 4000)),
        codecs: vec![Codec::Pcmu],
        timers: Timers::default(),
        key: (plan.seed, 9),
        refer: plan.transfer.is_some(),
    };
    Far::Caller(Box::new(Caller::place(call, moment(now))))
}

/// The call that the shard places.
fn placed() -> PlaceCall {
    let wanted =
        OutboundCall { to: "+442079460000", from: "+14155550100", agent: None, trunk: Some("carrier") };
    PlaceCall {
        id: "call_1".to_owned(),
        sip_call_id: "placed".to_owned(),
        route: decide_outbound(&table(), &wanted).expect("it may go out"),
        variables: Pii::default(),
        fields: Vec::new(),
        dtmf_prefix: None,
    }
}

pub(crate) fn flow(local: SocketAddr, remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Udp, local, remote, connection: None }
}

pub(crate) fn moment(now: Mono) -> Now {
    Now { mono: now, utc: Duration::from_secs(1_800_000_000) + now.0 }
}
