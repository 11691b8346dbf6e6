//! Programs of events: any bytes are read as what a peer, the edges and the clock do to a shard, in
//! any order, sensible or not. Whatever the program, the shard must not panic, must answer every
//! call with one record, close every room that it opened, and end idle.

mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use trunkline_call::{
    Advertised, CallHandle, Input, MediaStats, Output, RoomEvent, Shard, ShardConfig, Spread,
};
use trunkline_routing::UnknownPeers;
use trunkline_sdp::control::{Fallback, Transfer, TransferMode};
use trunkline_sdp::{Codec, Member};
use trunkline_signalling::dialog::InDialogPolicy;
use trunkline_signalling::{KeyedHash, Mono, Now, Timers};
use trunkline_sip::{Flow, Message, Method, read};

use crate::world::{gateway_address, table};
use wire::{request, sdp};

/// Most events of one program.
const MAX_EVENTS: usize = 300;
/// Calls that a program talks about.
const CALLS: u8 = 6;
/// Longest life of a transaction and of what a call waits for, several times over.
const REST: Duration = Duration::from_secs(400);
/// Timers that may fire in one stretch of time; more is a timer that never moves.
const MAX_TIMERS: usize = 200_000;

/// What a program left behind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Calls that began.
    pub began: usize,
    /// Records written.
    pub records: usize,
    /// Legs that took the place of others.
    pub replaced: usize,
    /// Messages sent.
    pub sent: usize,
}

struct Machine {
    shard: Shard,
    now: Mono,
    /// The To tag that each of the program's calls was answered with.
    tags: HashMap<u8, String>,
    last: Vec<u8>,
    opening: Vec<(CallHandle, Member)>,
    connecting: Vec<CallHandle>,
    /// Rooms open, and calls, by their handles.
    rooms: Vec<CallHandle>,
    calls: Vec<CallHandle>,
    /// The last of the program's calls that was answered.
    answered: Option<u8>,
    /// The last call that the shard has placed, as a Replaces names it once it is answered.
    placed: Option<String>,
    /// Requests of the shard's that wait for an answer.
    asked: Vec<trunkline_sip::Request>,
    outcome: Outcome,
}

/// Runs a program to its end.
///
/// # Panics
/// Where an invariant is broken.
#[must_use]
pub fn run(program: &[u8]) -> Outcome {
    let mut machine = Machine::new();
    let mut bytes = program.iter().copied();
    for _ in 0..MAX_EVENTS {
        let Some(kind) = bytes.next() else { break };
        let argument = bytes.next().unwrap_or(0);
        machine.event(kind, argument);
    }
    machine.finish()
}

/// The way between the gateway and its only peer.
fn way() -> Flow {
    crate::world::flow(gateway_address(), crate::world::caller_address())
}

impl Machine {
    fn new() -> Self {
        let config = ShardConfig {
            shard: 0,
            spread: Spread::over(1, KeyedHash::new((1, 2))),
            key: (11, 7),
            key_seed: trunkline_sdp::KeySeed::new([9; 32]),
            timers: Timers::default(),
            advertised: Advertised::default(),
            challenger: Default::default(),
            own_addresses: [].into(),
            media_addresses: [].into(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            unknown_peers: UnknownPeers::Reject,
            in_dialog: InDialogPolicy::default(),
            edge_timeout: Duration::from_secs(5),
        };
        Self {
            shard: Shard::new(config, table()),
            now: Mono(Duration::from_secs(1)),
            tags: HashMap::new(),
            last: Vec::new(),
            opening: Vec::new(),
            connecting: Vec::new(),
            rooms: Vec::new(),
            calls: Vec::new(),
            answered: None,
            placed: None,
            asked: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    fn event(&mut self, kind: u8, argument: u8) {
        let id = argument % CALLS;
        let variant = argument / CALLS;
        match kind % 15 {
            0 => self.invite(id, variant),
            1 => self.in_dialog("ACK", id, variant),
            2 => self.in_dialog("BYE", id, variant),
            3 => self.in_dialog("CANCEL", id, variant),
            4 => self.wire(self.last.clone()),
            5 => self.media_opens(!variant.is_multiple_of(4)),
            6 => self.agent_comes(!variant.is_multiple_of(4)),
            7 => self.room_event(argument),
            8 => self.pass(Duration::from_millis(u64::from(argument) * 40)),
            9 => self.in_dialog(if variant.is_multiple_of(2) { "INVITE" } else { "UPDATE" }, id, variant),
            10 => self.answer_request(argument),
            11 => self.mangled(argument),
            12 => {
                self.in_dialog(["PRACK", "OPTIONS", "INFO", "MESSAGE"][usize::from(variant % 4)], id, variant)
            }
            13 => self.replaces(id, variant),
            _ => self.node_event(argument),
        }
    }

    fn invite(&mut self, id: u8, variant: u8) {
        let number = ["+14155550100", "+14155550101", "+14155550199", "911"][usize::from(variant % 4)];
        let extra = match variant / 4 % 4 {
            0 => "",
            1 => "Require: 100rel\r\n",
            2 => "Supported: timer\r\nSession-Expires: 90;refresher=uas\r\n",
            _ => "Session-Expires: 30\r\nSupported: timer\r\n",
        };
        let body = if variant & 16 == 0 { sdp(variant) } else { String::new() };
        self.wire(request("INVITE", id, number, "", 1, extra, &body));
    }

    /// An INVITE that is to take over a leg: of the program's calls, or one that the shard has placed.
    fn replaces(&mut self, id: u8, variant: u8) {
        let named = self.answered.filter(|_| variant & 4 == 4).unwrap_or(variant / 8 % CALLS);
        let tag = self.tags.get(&named).map_or("none", String::as_str);
        let call = match &self.placed {
            Some(placed) if variant & 1 == 1 => placed.clone(),
            _ => format!("program-{named};to-tag={tag};from-tag=c{named}"),
        };
        let early = if variant & 2 == 2 { ";early-only" } else { "" };
        let extra = format!("Replaces: {call}{early}\r\n");
        let cseq = 1 + u32::from(variant % 3);
        self.wire(request("INVITE", id, "+14155550100", "", cseq, &extra, &sdp(variant)));
    }

    fn in_dialog(&mut self, method: &str, id: u8, variant: u8) {
        let tag = self.tags.get(&id).map_or(String::new(), |tag| format!(";tag={tag}"));
        let cseq = match method {
            "ACK" | "CANCEL" => 1 + u32::from(variant % 3),
            _ => 2 + u32::from(variant % 5),
        };
        let tag = if method == "CANCEL" { String::new() } else { tag };
        let (extra, body) = match method {
            "INVITE" | "UPDATE" => ("", sdp(variant)),
            "PRACK" => ("RAck: 1 1 INVITE\r\n", String::new()),
            "ACK" if variant % 2 == 1 => ("", sdp(variant)),
            _ => ("", String::new()),
        };
        self.wire(request(method, id, "+14155550100", &tag, cseq, extra, &body));
    }

    /// The last message with one byte changed.
    fn mangled(&mut self, argument: u8) {
        let mut bytes = self.last.clone();
        let length = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(usize::from(argument) * 7 % length) {
            *byte ^= argument | 1;
        }
        self.wire(bytes);
    }

    fn media_opens(&mut self, works: bool) {
        if let Some((call, member)) = self.opening.pop() {
            if works && !self.rooms.contains(&call) {
                self.rooms.push(call);
            }
            let at = works.then(|| SocketAddr::from(([192, 0, 2, 10], 10_000)));
            self.input(Input::MediaOpened(call, member, at));
        }
    }

    fn agent_comes(&mut self, works: bool) {
        if let Some(call) = self.connecting.pop() {
            let outcome = if works { Ok(()) } else { Err("refused".to_owned()) };
            self.input(Input::AgentConnected(call, outcome));
        }
    }

    fn room_event(&mut self, argument: u8) {
        let events = [
            RoomEvent::AgentLeft,
            RoomEvent::AgentLost,
            RoomEvent::NoMedia(Member::FIRST),
            RoomEvent::Failed("failed"),
        ];
        let calls = self.calls.len().max(1);
        if let Some(call) = self.calls.get(usize::from(argument / 4) % calls).copied() {
            self.input(Input::Room(call, events[usize::from(argument % 4)].clone()));
        }
    }

    fn node_event(&mut self, argument: u8) {
        match argument % 8 {
            0 => self.input(Input::Drain),
            1 => self.input(Input::Reload(table())),
            2 => self.input(Input::EndAll),
            3 => self.input(Input::ConnectionLost(u64::from(argument))),
            // Calls that are long gone, or never were.
            4 => self.input(Input::MediaOpened(CallHandle(u64::from(argument)), Member::FIRST, None)),
            5 => self.input(Input::RoomClosed(CallHandle(u64::from(argument)), MediaStats::default())),
            _ => {
                if let Some(call) = self.calls.last().copied() {
                    self.wish(call, argument / 8);
                }
            }
        }
    }

    /// What an agent or the API wishes of a call.
    fn wish(&mut self, call: CallHandle, argument: u8) {
        let modes = [TransferMode::Cold, TransferMode::Bridge, TransferMode::Warm, TransferMode::Attended];
        let transfer = |at: u8| Transfer {
            to: "+14155550177".to_owned(),
            mode: modes[usize::from(at % 4)],
            fallback: if at & 4 == 0 { Fallback::None } else { Fallback::Bridge },
            ..Transfer::default()
        };
        self.input(match argument % 16 {
            0 | 1 => Input::HangUp(call),
            2 => Input::Hold(call, true),
            3 => Input::Hold(call, false),
            4 => Input::CancelTransfer(call),
            5 => Input::CompleteTransfer(call, argument & 16 == 0),
            at => Input::Transfer(call, Box::new(transfer(at))),
        });
    }

    /// Answers what the shard asked of the peer.
    fn answer_request(&mut self, argument: u8) {
        let Some(request) = self.asked.pop() else { return };
        let code = [200, 481, 180, 500, 408, 491][usize::from(argument % 6)];
        let response = trunkline_sip::reply::to(&request, code, Some("t"));
        self.wire(response.to_bytes().to_vec());
    }

    fn wire(&mut self, bytes: Vec<u8>) {
        let message = read::datagram(&Bytes::copy_from_slice(&bytes));
        self.last = bytes;
        if let Ok(message) = message {
            let flow = way();
            let _ = self.shard.would_begin_call(&message, flow, &None, moment(self.now));
            self.input(Input::Message(Box::new(message), flow, None));
        }
    }

    fn input(&mut self, input: Input) {
        self.shard.handle(input, moment(self.now));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Transmit(transmit) => self.sent(&transmit.payload),
                Output::OpenMedia { call, member, .. } => self.opening.push((call, member)),
                Output::ConnectAgent(call, _) => self.connecting.push(call),
                Output::CloseRoom(call) => {
                    self.rooms.retain(|open| *open != call);
                    self.opening.retain(|(open, _)| *open != call);
                    self.shard.handle(Input::RoomClosed(call, MediaStats::default()), moment(self.now));
                }
                Output::Began(call, _) => {
                    self.outcome.began += 1;
                    self.calls.push(call);
                }
                Output::CloseLeg(call, member) => {
                    let closed = Input::LegClosed(call, member, MediaStats::default());
                    self.shard.handle(closed, moment(self.now));
                }
                Output::FindFlow { call, member, .. } => {
                    let found = Ok((way(), false));
                    self.shard.handle(Input::FlowFound(call, member, found), moment(self.now));
                }
                Output::Ended(_) => self.outcome.records += 1,
                Output::Replaced { .. } => self.outcome.replaced += 1,
                Output::UpdateMedia(..)
                | Output::StartRoom(_)
                | Output::FindTrunkFlow { .. }
                | Output::TrunkState(_)
                | Output::Press(..)
                | Output::PressNoMore(..)
                | Output::DropAgent(_)
                | Output::Arrange(..)
                | Output::Listen(..)
                | Output::Play { .. }
                | Output::Hush(..)
                | Output::Digit(..)
                | Output::Tell(..)
                | Output::Record { .. }
                | Output::SuppressNoise(..)
                | Output::TransferEnded(..)
                | Output::Answered(..)
                | Output::LegBegan(..)
                | Output::Party(..)
                | Output::Alias { .. }
                | Output::LegGone(..)
                | Output::Refused { .. } => {}
            }
        }
    }

    fn sent(&mut self, payload: &Bytes) {
        self.outcome.sent += 1;
        match read::datagram(payload) {
            Ok(Message::Response(response)) => {
                let id = response.call_id().and_then(|id| id.last()).map(|last| last.wrapping_sub(b'0'));
                let tag = response.to().and_then(|to| to.tag());
                if let (Some(id), Some(tag), 101..) = (id, tag, response.code()) {
                    self.tags.insert(id, tag.to_owned());
                    let invite = response.cseq().is_some_and(|cseq| cseq.method == Method::Invite);
                    self.answered = Some(id).filter(|_| invite && response.code() == 200).or(self.answered);
                }
            }
            Ok(Message::Request(request)) => {
                let names = request.call_id().zip(request.from().and_then(|from| from.tag()));
                if let (Some((call_id, tag)), Method::Invite) = (names, &request.method) {
                    let call_id = String::from_utf8_lossy(call_id);
                    self.placed = Some(format!("{call_id};to-tag={tag};from-tag=t"));
                }
                self.asked.push(request);
            }
            Err(garbage) => panic!("the shard sent garbage: {garbage}"),
        }
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        for _ in 0..MAX_TIMERS {
            let Some(at) = self.shard.poll_timeout().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            self.shard.handle_timeout(moment(self.now));
            self.drain();
        }
        panic!("a timer never moves");
    }

    /// Ends every call, answers what is open and lets time pass.
    fn finish(mut self) -> Outcome {
        self.input(Input::EndAll);
        while !self.opening.is_empty() || !self.connecting.is_empty() {
            self.media_opens(true);
            self.agent_comes(true);
        }
        self.pass(REST);
        assert!(self.shard.is_idle(), "the shard is not idle: {:?}", self.outcome);
        assert_eq!(self.outcome.began, self.outcome.records, "calls and records");
        assert!(self.rooms.is_empty(), "rooms were left open: {:?}", self.rooms);
        self.outcome
    }
}

fn moment(now: Mono) -> Now {
    Now { mono: now, utc: now.0 }
}
