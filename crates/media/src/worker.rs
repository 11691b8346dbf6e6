//! One media thread: its ports, its rooms, its clock.
//!
//! It sleeps until a packet, a command (`commands.rs`) or the time that a room is to be woken.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use trunkline_sdp::media::RoomEvent;

use crate::participant::Readiness;
use crate::pool::Report;
use crate::ports::Ports;
use crate::recorder::Recorders;
use crate::room::{LEGS, Room};

/// Where a thread tells what happened.
pub(crate) type Sink = Arc<dyn Fn(Report) + Send + Sync>;

const SLOW: Duration = Duration::from_secs(1);
/// Packets read from one socket before the others get their turn.
const BURST: usize = 32;
const WAKE: Token = Token(usize::MAX);
/// Longest packet read; longer ones are no telephone audio.
const MAX_PACKET: usize = 2048;

mod commands;

pub(crate) use commands::Command;

pub(crate) struct Worker {
    pub(crate) poll: Poll,
    /// Kept open: were it closed behind the pool's last word, the poll would forget that it was woken.
    pub(crate) _waker: Arc<Waker>,
    /// `None` once the pool is gone.
    pub(crate) commands: Receiver<Option<(u64, Command)>>,
    pub(crate) sink: Sink,
    pub(crate) ports: Arc<Mutex<Ports>>,
    pub(crate) recorders: Recorders,
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

/// Which of a room's sockets a token names: the RTP and RTCP ports of each leg by its place, then the agent's.
const KINDS: usize = 2 * LEGS + 1;
const AGENT: usize = 2 * LEGS;

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
            let unread = std::mem::take(&mut self.unread);
            for token in &unread {
                self.socket(*token, Readiness { readable: true, writable: false }, now);
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
                        // What had its turn a moment ago does not get another at the cost of the rest.
                        let readable = (event.is_readable() || gone) && !unread.contains(&token);
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

    fn socket(&mut self, token: Token, readiness: Readiness, now: Instant) {
        let key = token.0 / KINDS;
        if self.rooms.get(key).is_none_or(Option::is_none) {
            return;
        }
        match token.0 % KINDS {
            AGENT => self.guarded(key, now, |room| room.ready(readiness, now)),
            port => {
                for _ in 0..BURST {
                    if !self.read_one(key, port / 2, port % 2 == 0, now) {
                        return;
                    }
                }
                self.read_again(token);
            }
        }
    }

    /// Puts a socket in line behind the others, once: it may be in line and have news as well.
    fn read_again(&mut self, token: Token) {
        if !self.unread.contains(&token) {
            self.unread.push(token);
        }
    }

    /// Reads one packet; false where there is none.
    fn read_one(&mut self, key: usize, place: usize, rtp: bool, now: Instant) -> bool {
        let Some(line) = self.rooms[key].as_ref().and_then(|room| room.floor.lines[place].as_ref()) else {
            return false;
        };
        let socket = if rtp { &line.leg.pair.rtp } else { &line.leg.pair.rtcp };
        let mut packet = [0; MAX_PACKET];
        let (length, from) = match socket.recv_from(&mut packet) {
            Ok(received) => received,
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        };
        self.guarded(key, now, |room| match rtp {
            true => room.packet(place, &packet[..length], from, now),
            false => room.control(place, &packet[..length], from, now),
        });
        true
    }

    fn run_ticks(&mut self, now: Instant) {
        while let Some(Reverse((at, key, call))) = self.ticks.peek().copied() {
            if at > now {
                return;
            }
            self.ticks.pop();
            // A room that was to wake earlier since then, or another one in its place, has its own entry.
            let due = |room: &Room| room.call == call && room.scheduled == Some(at);
            if let Some(room) = self.rooms[key].as_mut().filter(|room| due(room)) {
                room.scheduled = None;
                self.guarded(key, now, |room| room.tick(now));
            }
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
                self.guarded(key, now, |room| room.slow_tick(no_media, now));
            }
        }
    }

    /// Lets a room work, tells what came of it and sees to it that it is woken. A panic in a room costs that
    /// room only: it does nothing more but wait to be closed.
    fn guarded(&mut self, key: usize, now: Instant, work: impl FnOnce(&mut Room)) {
        let Some(room) = &mut self.rooms[key] else {
            return;
        };
        if room.broken {
            return;
        }
        let call = room.call;
        if catch_unwind(AssertUnwindSafe(|| work(room))).is_err() {
            room.broken = true;
            room.floor.told.push(RoomEvent::Failed("its room panicked"));
        }
        while let Some(event) = room.floor.told.next() {
            (self.sink)(Report::Room(call, event));
        }
        if let Some(at) = room.wake_at(now)
            && room.scheduled.is_none_or(|scheduled| at < scheduled)
        {
            room.scheduled = Some(at);
            self.ticks.push(Reverse((at, key, call)));
        }
        // An agent's socket that has more to read.
        if room.reads_again() {
            self.read_again(Token(key * KINDS + AGENT));
        }
    }
}
