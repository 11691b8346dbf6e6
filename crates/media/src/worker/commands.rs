//! What the pool asks of a thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use mio::{Interest, Token};
use trunkline_sdp::control::AgentNews;
use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};
use trunkline_sdp::{Hearing, Member};

use super::{AGENT, KINDS, SLOW, Worker};
use crate::leg::RtpLeg;
use crate::participant::Participant;
use crate::pool::{LegStats, Report};
use crate::ports::{Pair, locked};
use crate::recorder::RecordTask;
use crate::room::{Line, Room};

/// What is asked, for one room.
pub(crate) enum Command {
    Open {
        member: Member,
        pair: Pair,
        spec: Option<MediaSpec>,
        seed: u64,
    },
    Update(Member, MediaSpec),
    CloseLeg(Member),
    Join(Box<dyn Participant>),
    DropAgent,
    Start,
    Arrange(Hearing),
    Party(Member),
    Listen(Member, bool),
    Play {
        member: Member,
        audio: Arc<[u8]>,
        repeat: bool,
    },
    Hush(Member),
    Press(Member, String),
    PressNoMore(Member),
    Digit(Member, char),
    Tell(AgentNews),
    Clean(Member, bool),
    Record(RecordTask),
    /// What its legs' media came to so far.
    Stats(Box<dyn FnOnce(Vec<LegStats>) + Send>),
    Close,
}

impl Worker {
    /// False once the pool is gone.
    pub(super) fn run_commands(&mut self, now: Instant) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(None) | Err(TryRecvError::Disconnected) => return false,
                Ok(Some((call, command))) => self.command(call, command, now),
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    fn command(&mut self, call: u64, command: Command, now: Instant) {
        match (command, self.by_call.get(&call).copied()) {
            (Command::Open { member, pair, spec, seed }, _) => {
                let port = pair.port;
                if !self.open(call, member, RtpLeg::new(pair, spec, seed, now), now) {
                    locked(&self.ports).release(port, now);
                    (self.sink)(Report::Room(call, RoomEvent::Failed("its media port cannot be polled")));
                }
            }
            (Command::Close, _) => {
                let stats = self.close(call, now);
                (self.sink)(Report::Closed(call, stats));
            }
            (Command::CloseLeg(member), key) => {
                let stats = key.and_then(|key| self.close_leg(key, member, now)).unwrap_or_default();
                (self.sink)(Report::LegClosed(call, member, stats));
            }
            (Command::Join(agent), Some(key)) => self.join(key, agent, now),
            (Command::Join(mut agent), None) => agent.leave(),
            (Command::DropAgent, Some(key)) => self.drop_agent(key, now),
            (Command::Record(RecordTask::Start(file)), Some(key)) => {
                let recorders = self.recorders.clone();
                self.guarded(key, now, |room| room.record(|| recorders.record(call, file)));
            }
            (command, Some(key)) => self.guarded(key, now, |room| command.done_in(room, now)),
            (_, None) => {}
        }
    }

    /// Puts a leg into its room, which the first one makes; false where the system cannot poll its ports, its
    /// place is taken or the room is gone. Whatever became of it, its ports are closed then.
    fn open(&mut self, call: u64, member: Member, mut leg: RtpLeg, now: Instant) -> bool {
        let known = self.by_call.get(&call).copied();
        let key = known.unwrap_or_else(|| {
            self.free.pop().unwrap_or_else(|| {
                self.rooms.push(None);
                self.rooms.len() - 1
            })
        });
        let registry = self.poll.registry();
        let token = key * KINDS + 2 * member.place();
        let welcome = if known.is_none() { member == Member::FIRST } else { !member.is_agent() };
        let registered = welcome
            && registry.register(&mut leg.pair.rtp, Token(token), Interest::READABLE).is_ok()
            && registry.register(&mut leg.pair.rtcp, Token(token + 1), Interest::READABLE).is_ok();
        if !registered {
            if known.is_none() {
                self.free.push(key);
            }
            return false;
        }
        if known.is_none() {
            self.rooms[key] = Some(Box::new(Room::new(call, self.epoch, now)));
            self.by_call.insert(call, key);
            self.next_slow.get_or_insert(now + SLOW);
        }
        let mut added = false;
        self.guarded(key, now, |room| added = room.add(member, leg));
        added
    }

    fn close_leg(&mut self, key: usize, member: Member, now: Instant) -> Option<MediaStats> {
        let mut line = None;
        self.guarded(key, now, |room| line = room.remove(member));
        let line = line?;
        let stats = line.leg.stats();
        self.free_port(line, now);
        Some(stats)
    }

    fn join(&mut self, key: usize, mut agent: Box<dyn Participant>, now: Instant) {
        self.drop_agent(key, now);
        let mut polled = true;
        if let Some(socket) = agent.socket() {
            let both = Interest::READABLE | Interest::WRITABLE;
            polled = self.poll.registry().register(socket, Token(key * KINDS + AGENT), both).is_ok();
        }
        self.guarded(key, now, |room| {
            if !polled {
                room.floor.told.push(RoomEvent::Failed("its agent's socket cannot be polled"));
            }
            room.join(agent, now);
        });
    }

    fn drop_agent(&mut self, key: usize, now: Instant) {
        if let Some(room) = &mut self.rooms[key]
            && let Some(socket) = room.floor.seat.agent.as_mut().and_then(|agent| agent.socket())
        {
            let _ = self.poll.registry().deregister(socket);
        }
        self.guarded(key, now, |room| room.drop_agent(now));
    }

    fn close(&mut self, call: u64, now: Instant) -> MediaStats {
        let Some(key) = self.by_call.remove(&call) else {
            return MediaStats::default();
        };
        let Some(mut room) = self.rooms[key].take() else {
            return MediaStats::default();
        };
        if let Some(socket) = room.floor.seat.agent.as_mut().and_then(|agent| agent.socket()) {
            let _ = self.poll.registry().deregister(socket);
        }
        let stats = catch_unwind(AssertUnwindSafe(|| room.close())).unwrap_or_default();
        for line in room.floor.lines.iter_mut().filter_map(Option::take) {
            self.free_port(line, now);
        }
        self.free.push(key);
        if self.by_call.is_empty() {
            self.next_slow = None;
        }
        stats
    }

    /// Closed, and with that out of the poll, before another call may have the port.
    fn free_port(&self, line: Box<Line>, now: Instant) {
        let port = line.leg.pair.port;
        drop(line);
        locked(&self.ports).release(port, now);
    }
}

impl Command {
    /// What concerns one room alone.
    fn done_in(self, room: &mut Room, now: Instant) {
        match self {
            Self::Update(member, spec) => room.update(member, spec, now),
            Self::Start => room.start(now),
            Self::Arrange(hearing) => room.arrange(hearing, now),
            Self::Party(member) => room.party(member, now),
            Self::Listen(member, on) => room.listen(member, on),
            Self::Play { member, audio, repeat } => room.play(member, audio, repeat),
            Self::Hush(member) => room.hush(member),
            Self::Press(member, keys) => room.press(member, &keys),
            Self::PressNoMore(member) => room.press_no_more(member),
            Self::Digit(member, digit) => room.info(member, digit, now),
            Self::Tell(news) => room.tell(&news, now),
            Self::Clean(member, on) => room.clean(member, on),
            Self::Record(RecordTask::Pause) => room.pause(true),
            Self::Record(RecordTask::Resume) => room.pause(false),
            Self::Record(RecordTask::Stop) => room.stop(),
            Self::Stats(reply) => reply(room.stats()),
            // Done by the thread.
            Self::Open { .. }
            | Self::Record(RecordTask::Start(_))
            | Self::CloseLeg(_)
            | Self::Join(_)
            | Self::DropAgent
            | Self::Close => {}
        }
    }
}
