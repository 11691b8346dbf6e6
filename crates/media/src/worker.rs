//! One media thread: its ports, its rooms, its clock.
//!
//! It sleeps until a packet, a command or a tick. Rooms that play are ticked on a grid of 5 ms, so
//! that a thread with many of them wakes a few times per packet time and not once for each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use trunkline_sdp::control::AgentNews;
use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};
use trunkline_sdp::{Hearing, Member};

use crate::leg::RtpLeg;
use crate::participant::{Participant, Readiness};
use crate::pool::Report;
use crate::ports::{Pair, Ports, locked};
use crate::room::Room;

/// What the pool asks of a thread, for one room.
pub(crate) enum Command {
    Open { member: Member, pair: Pair, spec: Option<MediaSpec>, seed: u64 },
    Update(Member, MediaSpec),
    CloseLeg(Member),
    Join(Box<dyn Participant>),
    DropAgent,
    Start,
    Arrange(Hearing),
    Listen(Member, bool),
    Play { member: Member, audio: Arc<[u8]>, repeat: bool },
    Hush(Member),
    Press(Member, String),
    Digit(Member, char),
    Tell(AgentNews),
    Close,
}

/// Where a thread tells what happened.
pub(crate) type Sink = Arc<dyn Fn(Report) + Send + Sync>;

const GRID: Duration = Duration::from_millis(5);
const SLOW: Duration = Duration::from_secs(1);
/// Packets read from one socket before the others get their turn.
const BURST: usize = 32;
const WAKE: Token = Token(usize::MAX);
/// Longest packet read; longer ones are no telephone audio.
const MAX_PACKET: usize = 2048;

pub(crate) struct Worker {
    pub(crate) poll: Poll,
    /// `None` once the pool is gone.
    pub(crate) commands: Receiver<Option<(u64, Command)>>,
    pub(crate) sink: Sink,
    pub(crate) ports: Arc<Mutex<Ports>>,
    pub(crate) no_media: Duration,
    pub(crate) rooms: Vec<Option<Box<Room>>>,
    pub(crate) free: Vec<usize>,
    pub(crate) by_call: HashMap<u64, usize>,
    pub(crate) ticks: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    pub(crate) epoch: Instant,
    pub(crate) next_slow: Option<Instant>,
    /// Sockets that had more than a burst.
    pub(crate) unread: Vec<Token>,
}

/// Which of a room's sockets a token names.
const KINDS: usize = 3;
const RTP: usize = 0;
const RTCP: usize = 1;
const AGENT: usize = 2;

pub(crate) fn wake_token() -> Token {
    WAKE
}

impl Worker {
    /// Runs until the pool is dropped.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let wait = self.wait();
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "a media thread cannot poll");
                    return;
                }
                Ok(()) => {}
            }
            let now = Instant::now();
            for token in std::mem::take(&mut self.unread) {
                self.socket(token, Readiness { readable: true, writable: false }, now);
            }
            for event in &events {
                match event.token() {
                    WAKE => {
                        if !self.run_commands(now) {
                            return;
                        }
                    }
                    token => {
                        let gone = event.is_read_closed() || event.is_error();
                        let readable = event.is_readable() || gone;
                        self.socket(token, Readiness { readable, writable: event.is_writable() }, now);
                    }
                }
            }
            self.run_ticks(now);
            self.run_slow(now);
        }
    }

    fn wait(&self) -> Option<Duration> {
        if !self.unread.is_empty() {
            return Some(Duration::ZERO);
        }
        let tick = self.ticks.peek().map(|Reverse((at, ..))| *at);
        let next = [tick, self.next_slow].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// False once the pool is gone.
    fn run_commands(&mut self, now: Instant) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(None) | Err(TryRecvError::Disconnected) => return false,
                Ok(Some((call, command))) => self.command(call, command, now),
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn command(&mut self, call: u64, command: Command, now: Instant) {
        let key = self.by_call.get(&call).copied();
        match (command, key) {
            (Command::Open { member, pair, spec, seed }, _) => {
                if !self.open(call, member, pair, spec, seed, now) {
                    (self.sink)(Report::Room(call, RoomEvent::Failed("its media port cannot be polled")));
                }
            }
            (Command::Close, _) => {
                let stats = self.close(call, now);
                (self.sink)(Report::Closed(call, stats));
            }
            (Command::CloseLeg(member), _) => {
                (self.sink)(Report::LegClosed(call, member, MediaStats::default()));
            }
            (Command::Join(agent), Some(key)) => self.join(key, agent, now),
            (Command::Join(mut agent), None) => agent.leave(),
            (Command::DropAgent, Some(key)) => self.drop_agent(key),
            (command, Some(key)) => self.in_room(key, command, now),
            (_, None) => {}
        }
    }

    /// What concerns one room alone.
    fn in_room(&mut self, key: usize, command: Command, now: Instant) {
        let tick = self.on_grid(now);
        let stood = self.rooms[key].as_ref().is_some_and(|room| room.next_tick.is_none());
        self.guarded(key, |room| match command {
            Command::Update(Member::FIRST, spec) => room.update(spec, now),
            Command::Start => room.start(now, tick),
            Command::Arrange(hearing) => room.arrange(hearing, tick),
            Command::Listen(member, on) => room.listen(member, on),
            Command::Play { member: Member::FIRST, audio, repeat } => room.play(audio, repeat, tick),
            Command::Hush(Member::FIRST) => room.hush(),
            Command::Press(Member::FIRST, keys) => room.press(&keys, tick),
            Command::Digit(Member::FIRST, digit) => room.info(digit, now),
            Command::Tell(news) => room.tell(&news, now),
            // Of legs that are not there; the rest is done by the thread.
            Command::Update(..)
            | Command::Play { .. }
            | Command::Hush(_)
            | Command::Press(..)
            | Command::Digit(..)
            | Command::Open { .. }
            | Command::CloseLeg(_)
            | Command::Join(_)
            | Command::DropAgent
            | Command::Close => {}
        });
        self.read_again(key);
        if stood {
            self.schedule(key);
        }
    }

    /// Puts a room on this thread; false where the system cannot poll its ports.
    fn open(
        &mut self,
        call: u64,
        member: Member,
        pair: Pair,
        spec: Option<MediaSpec>,
        seed: u64,
        now: Instant,
    ) -> bool {
        let port = pair.port;
        if member != Member::FIRST {
            drop(pair);
            locked(&self.ports).release(port, now);
            return false;
        }
        let mut room = Box::new(Room::new(call, RtpLeg::new(pair, spec, seed, now), now));
        let key = self.free.pop().unwrap_or_else(|| {
            self.rooms.push(None);
            self.rooms.len() - 1
        });
        let registry = self.poll.registry();
        let registered = registry
            .register(&mut room.leg.pair.rtp, Token(key * KINDS + RTP), Interest::READABLE)
            .and_then(|()| {
                registry.register(&mut room.leg.pair.rtcp, Token(key * KINDS + RTCP), Interest::READABLE)
            });
        if registered.is_err() {
            self.free.push(key);
            drop(room);
            locked(&self.ports).release(port, now);
            return false;
        }
        self.rooms[key] = Some(room);
        self.by_call.insert(call, key);
        self.next_slow.get_or_insert(now + SLOW);
        true
    }

    fn join(&mut self, key: usize, mut agent: Box<dyn Participant>, now: Instant) {
        self.drop_agent(key);
        if let Some(socket) = agent.socket() {
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(socket, Token(key * KINDS + AGENT), both).is_err() {
                let failed = RoomEvent::Failed("its agent's socket cannot be polled");
                let call = self.rooms[key].as_ref().map(|room| room.call);
                call.into_iter().for_each(|call| (self.sink)(Report::Room(call, failed.clone())));
            }
        }
        let tick = self.on_grid(now);
        let stood = self.rooms[key].as_ref().is_some_and(|room| room.next_tick.is_none());
        self.guarded(key, |room| room.join(agent, now, tick));
        self.read_again(key);
        if stood {
            self.schedule(key);
        }
    }

    fn drop_agent(&mut self, key: usize) {
        if let Some(room) = &mut self.rooms[key]
            && let Some(socket) = room.agent.as_mut().and_then(|agent| agent.socket())
        {
            let _ = self.poll.registry().deregister(socket);
        }
        self.guarded(key, Room::drop_agent);
    }

    fn close(&mut self, call: u64, now: Instant) -> MediaStats {
        let Some(key) = self.by_call.remove(&call) else {
            return MediaStats::default();
        };
        let Some(mut room) = self.rooms[key].take() else {
            return MediaStats::default();
        };
        let stats = catch_unwind(AssertUnwindSafe(|| room.close())).unwrap_or_default();
        let registry = self.poll.registry();
        if let Some(socket) = room.agent.as_mut().and_then(|agent| agent.socket()) {
            let _ = registry.deregister(socket);
        }
        let port = room.leg.pair.port;
        // Closed, and with that out of the poll, before another call may have the port.
        drop(room);
        locked(&self.ports).release(port, now);
        self.free.push(key);
        if self.by_call.is_empty() {
            self.next_slow = None;
        }
        stats
    }

    fn socket(&mut self, token: Token, readiness: Readiness, now: Instant) {
        let key = token.0 / KINDS;
        if self.rooms.get(key).is_none_or(Option::is_none) {
            return;
        }
        match token.0 % KINDS {
            AGENT => {
                self.guarded(key, |room| room.ready(readiness, now));
                self.read_again(key);
            }
            kind => {
                for _ in 0..BURST {
                    if !self.read_one(key, kind, now) {
                        return;
                    }
                }
                self.unread.push(token);
            }
        }
    }

    /// Puts an agent's socket that has more to read in line behind the others.
    fn read_again(&mut self, key: usize) {
        if let Some(room) = &mut self.rooms[key]
            && std::mem::take(&mut room.again)
        {
            self.unread.push(Token(key * KINDS + AGENT));
        }
    }

    /// Reads one packet; false where there is none.
    fn read_one(&mut self, key: usize, kind: usize, now: Instant) -> bool {
        let Some(room) = &mut self.rooms[key] else {
            return false;
        };
        let socket = if kind == RTP { &room.leg.pair.rtp } else { &room.leg.pair.rtcp };
        let mut packet = [0; MAX_PACKET];
        let (length, from) = match socket.recv_from(&mut packet) {
            Ok(received) => received,
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        };
        match kind {
            RTP => self.guarded(key, |room| room.packet(&packet[..length], from, now)),
            _ => self.guarded(key, |room| room.leg.rtcp_packet(&packet[..length], from, now)),
        }
        true
    }

    fn run_ticks(&mut self, now: Instant) {
        while let Some(Reverse((at, key, call))) = self.ticks.peek().copied() {
            if at > now {
                return;
            }
            self.ticks.pop();
            let same = self.rooms[key].as_ref().is_some_and(|room| room.call == call);
            if same {
                self.guarded(key, |room| room.tick(now));
                self.schedule(key);
            }
        }
    }

    fn schedule(&mut self, key: usize) {
        if let Some(room) = &self.rooms[key]
            && let Some(at) = room.next_tick
        {
            self.ticks.push(Reverse((at, key, room.call)));
        }
    }

    fn run_slow(&mut self, now: Instant) {
        if self.next_slow.is_none_or(|at| at > now) {
            return;
        }
        self.next_slow = Some(now + SLOW);
        let no_media = self.no_media;
        for key in 0..self.rooms.len() {
            if self.rooms[key].is_some() {
                self.guarded(key, |room| room.slow_tick(no_media, now));
            }
        }
    }

    /// Lets a room work and tells what came of it. A panic in a room costs that room only: it does nothing
    /// more but wait to be closed.
    fn guarded(&mut self, key: usize, work: impl FnOnce(&mut Room)) {
        let Some(room) = &mut self.rooms[key] else {
            return;
        };
        if room.broken {
            return;
        }
        let call = room.call;
        if catch_unwind(AssertUnwindSafe(|| work(room))).is_err() {
            room.broken = true;
            room.told.push(RoomEvent::Failed("its room panicked"));
        }
        while let Some(event) = room.told.next() {
            (self.sink)(Report::Room(call, event));
        }
    }

    /// The next point of the grid.
    fn on_grid(&self, now: Instant) -> Instant {
        let steps = now.duration_since(self.epoch).as_micros() / GRID.as_micros() + 1;
        self.epoch + GRID * u32::try_from(steps).unwrap_or(u32::MAX)
    }
}
