//! One gateway shard, one caller, one clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline_call::{
    Advertised, CallHandle, CallPlan, CallRecord, Caller, CallerEvent, CallerOutput, Input, MediaStats,
    Output, RoomEvent, Shard, ShardConfig,
};
use trunkline_routing::{RouteTable, Source, UnknownPeers, load};
use trunkline_sdp::Codec;
use trunkline_signalling::dialog::InDialogPolicy;
use trunkline_signalling::{Mono, Now, Timers};
use trunkline_sip::{Flow, Message, Transport, read};

use crate::network::{Faults, Network, Side};

/// What the agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentPlan {
    /// It is there after so long.
    Comes(Duration),
    /// It cannot be reached after so long.
    Fails(Duration),
    /// It never says a word.
    Never,
}

/// What happens in a world.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The network.
    pub faults: Faults,
    /// Its seed.
    pub seed: u64,
    /// The agent.
    pub agent: AgentPlan,
    /// Media ports are free.
    pub ports: bool,
    /// The caller hangs up, or gives up, so long after its INVITE.
    pub caller_leaves: Duration,
    /// The agent leaves so long after the answer.
    pub agent_leaves: Option<Duration>,
}

/// Something an edge will answer later.
#[derive(Debug)]
struct Later(Mono, Input);

/// A world.
pub struct World {
    /// The shard under test.
    pub shard: Shard,
    /// The caller.
    pub caller: Caller,
    /// What the caller was told.
    pub caller_events: Vec<CallerEvent>,
    /// Records of ended calls.
    pub records: Vec<CallRecord>,
    /// The ladder, for reading a failure.
    pub ladder: Vec<String>,
    network: Network,
    later: Vec<Later>,
    now: Mono,
    plan: Plan,
    caller_left: bool,
    /// Rooms that are open.
    pub rooms: Vec<CallHandle>,
}

/// Our address.
#[must_use]
pub fn gateway_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 10], 5060))
}

fn caller_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 20], 5062))
}

/// The usual table: a trunk for the caller's network, a number with an echo agent.
#[must_use]
pub fn table() -> Arc<RouteTable> {
    let text = "[[trunk]]\nname = \"carrier\"\nallowed_addresses = [\"192.0.2.0/24\"]\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n[[number]]\nnumber = \"+14155550101\"\n";
    let source = Source { name: "test".to_owned(), text: text.to_owned() };
    let (table, _) = load(&[source], None).expect("the table is good");
    Arc::new(table)
}

impl World {
    /// A world in which the caller has sent its INVITE.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let config = ShardConfig {
            shard: 0,
            key: (plan.seed, 7),
            timers: Timers::default(),
            advertised: Advertised::default(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            unknown_peers: UnknownPeers::Drop,
            in_dialog: InDialogPolicy::default(),
            edge_timeout: Duration::from_secs(5),
        };
        let call = CallPlan {
            target: "sip:+14155550100@192.0.2.10".to_owned(),
            from: "<sip:+14155550199@192.0.2.20>".to_owned(),
            flow: flow(caller_address(), gateway_address()),
            media: SocketAddr::from(([192, 0, 2, 20], 4000)),
            codecs: vec![Codec::Pcmu],
            timers: Timers::default(),
            key: (plan.seed, 9),
        };
        let now = Mono(Duration::from_secs(1));
        let mut world = Self {
            shard: Shard::new(config, table()),
            caller: Caller::place(call, moment(now)),
            caller_events: Vec::new(),
            records: Vec::new(),
            ladder: Vec::new(),
            network: Network::new(plan.faults, plan.seed),
            later: Vec::new(),
            now,
            plan,
            caller_left: false,
            rooms: Vec::new(),
        };
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
        self.shard.is_idle() && self.caller.is_idle()
    }

    fn next_event(&self) -> Option<Mono> {
        let leave = (!self.caller_left).then_some(Mono(Duration::from_secs(1)) + self.plan.caller_leaves);
        [
            self.network.next_arrival(),
            self.shard.poll_timeout(),
            self.caller.poll_timeout(),
            self.later.iter().map(|later| later.0).min(),
            leave,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some((side, payload)) = self.network.arrived(now) {
            let Ok(message) = read::datagram(&payload) else {
                continue;
            };
            match side {
                Side::Gateway => {
                    let flow = flow(gateway_address(), caller_address());
                    self.shard.handle(Input::Message(Box::new(message), flow), moment(now));
                }
                Side::Caller => {
                    self.note("<-", &message);
                    self.caller.receive(message, flow(caller_address(), gateway_address()), moment(now));
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
            self.caller.hang_up(moment(now));
        }
        if self.shard.poll_timeout().is_some_and(|at| at <= now) {
            self.shard.handle_timeout(moment(now));
        }
        if self.caller.poll_timeout().is_some_and(|at| at <= now) {
            self.caller.handle_timeout(moment(now));
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            self.edge(output);
        }
        while let Some(output) = self.caller.poll_output() {
            match output {
                CallerOutput::Transmit(transmit) => {
                    if let Ok(message) = read::datagram(&transmit.payload) {
                        self.note("->", &message);
                    }
                    self.network.send(Side::Gateway, &transmit.payload, self.now);
                }
                CallerOutput::Event(event) => self.caller_events.push(event),
            }
        }
    }

    /// What the edges of a daemon would do.
    fn edge(&mut self, output: Output) {
        let soon = self.now + Duration::from_millis(1);
        match output {
            Output::Transmit(transmit) => self.network.send(Side::Caller, &transmit.payload, self.now),
            Output::OpenMedia { call, .. } => {
                let at = self.plan.ports.then_some(SocketAddr::from(([192, 0, 2, 10], 10_000)));
                if at.is_some() {
                    self.rooms.push(call);
                }
                self.later.push(Later(soon, Input::MediaOpened(call, at)));
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
                if let Some(after) = self.plan.agent_leaves {
                    self.later.push(Later(self.now + after, Input::Room(call, RoomEvent::AgentLeft)));
                }
            }
            Output::CloseRoom(call) => {
                self.rooms.retain(|room| *room != call);
                self.later.push(Later(soon, Input::RoomClosed(call, MediaStats::default())));
            }
            Output::Ended(record) => self.records.push(*record),
            Output::UpdateMedia(..) | Output::Began(_) | Output::Answered(..) | Output::Refused { .. } => {}
        }
    }

    fn note(&mut self, arrow: &str, message: &Message) {
        let line = match message {
            Message::Request(request) => request.method.to_string(),
            Message::Response(response) => response.code().to_string(),
        };
        self.ladder.push(format!("{arrow} {line}"));
    }
}

fn flow(local: SocketAddr, remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Udp, local, remote, connection: None }
}

fn moment(now: Mono) -> Now {
    Now { mono: now, utc: Duration::from_secs(1_800_000_000) + now.0 }
}
