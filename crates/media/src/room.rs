//! A room: the legs and the agent of one call, exchanging frames.
//!
//! ```text
//! packet ─▶ RtpLeg ─▶ Receiver ─▶ incoming.rs ─┬ straight on ─▶ the agent, legs of the same codec
//!                                              └ samples ─▶ voice.rs ─┐
//! clock ──▶ mix.rs: a step ◀── playout of the agent, sounds, keys ◀───┴ each gets whom it hears
//! ```
//! Which member gets what by which way is worked out when something changes (`plan.rs`), not for a packet.
//! Frames pass undecoded where both sides have the same codec, and through a table where one has µ-law and
//! the other A-law. What goes out by the clock goes out one packet at a time, with silence where there is
//! nothing to say, so that timestamps and sequence numbers run on whoever comes and goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_sdp::control::AgentNews;
use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};
use trunkline_sdp::{Hearing, Member, Members};

use crate::cleaner::Cleaner;
use crate::leg::{Heard, RtpLeg};
use crate::participant::{Outcome, Participant, Readiness};
use crate::pool::LegStats;
use crate::receiver::Receiver;
use crate::recorder::Tap;
use floor::Floor;
use sound::Playing;

mod floor;
mod incoming;
mod line;
mod mix;
mod outlet;
mod plan;
mod seat;
mod sound;
mod voice;

pub(crate) use floor::LEGS;
pub(crate) use line::Line;
pub(crate) use voice::Voice;

/// How often reports are sent (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// How many steps a late tick may catch up with; what is older is skipped.
const MAX_CATCH_UP: usize = 5;
/// Longest encrypted packet read.
const MAX_PACKET: usize = 2048;
/// How long a missing packet is waited for.
const MAX_WAIT: Duration = Duration::from_millis(60);
/// Rooms wake on points of time so far apart, so that a thread with many of them wakes a few times per
/// packet time and not once for each.
const GRID: Duration = Duration::from_millis(5);

pub(crate) struct Room {
    pub(crate) call: u64,
    /// The grid begins here.
    epoch: Instant,
    receivers: [Receiver; LEGS],
    pub(crate) floor: Floor,
    /// The call is answered; the room starts once its party is agreed on.
    begun: bool,
    next_step: Option<Instant>,
    next_report: Instant,
    /// When its thread wakes it.
    pub(crate) scheduled: Option<Instant>,
    /// It panicked.
    pub(crate) broken: bool,
    /// The figures of the first leg, which has left.
    first: Option<MediaStats>,
}

impl Room {
    /// An empty room, whose first leg and agent are to hear each other.
    pub(crate) fn new(call: u64, epoch: Instant, now: Instant) -> Self {
        let mut room = Self {
            call,
            epoch,
            receivers: Default::default(),
            floor: Floor::default(),
            begun: false,
            next_step: None,
            next_report: now + REPORT_INTERVAL,
            scheduled: None,
            broken: false,
            first: None,
        };
        room.floor.hearing = Hearing::among(Members::of(&[Member::FIRST, Member::AGENT]));
        room
    }

    /// A leg comes; false where its place is taken.
    pub(crate) fn add(&mut self, member: Member, leg: RtpLeg) -> bool {
        let Some(place @ None) = self.floor.lines.get_mut(member.place()) else { return false };
        *place = Some(Box::new(Line::new(leg)));
        self.receivers[member.place()] = Receiver::default();
        self.floor.replan();
        true
    }

    /// A leg goes; gives it with its port.
    pub(crate) fn remove(&mut self, member: Member) -> Option<Box<Line>> {
        let line = self.floor.lines.get_mut(member.place())?.take()?;
        if member == Member::FIRST {
            self.first = Some(line.leg.stats());
        }
        // Whoever has the place next is not listened to.
        self.floor.listened = self.floor.listened.without(member);
        self.floor.replan();
        Some(line)
    }

    pub(crate) fn update(&mut self, member: Member, spec: MediaSpec, now: Instant) {
        if let Some(line) = self.floor.line(member) {
            line.leg.update(spec, now);
            line.silent = false;
        }
        if self.begun {
            self.start(now);
        }
        self.floor.replan();
    }

    /// The call is answered. Where it is not agreed on yet how the party sends, because the peer's
    /// answer comes with its ACK, the agent waits for that.
    pub(crate) fn start(&mut self, now: Instant) {
        self.begun = true;
        let agreed = self.floor.line(self.floor.party).is_some_and(|line| line.leg.is_agreed());
        if self.floor.started || !agreed {
            return;
        }
        self.floor.started = true;
        self.floor.lines.iter_mut().flatten().for_each(|line| line.leg.last_heard = now);
        self.floor.replan();
        self.floor.with_agent(now, |agent, room| agent.start(room));
    }

    /// Who hears whom from now on.
    pub(crate) fn arrange(&mut self, hearing: Hearing, now: Instant) {
        self.floor.hearing = hearing;
        self.floor.replan();
        self.floor.listen_for_speech(now);
    }

    /// Whom the call is with from now on.
    pub(crate) fn party(&mut self, member: Member, now: Instant) {
        let before = std::mem::replace(&mut self.floor.party, member);
        if let Some(line) = self.floor.line(before) {
            line.ear = None;
        }
        self.floor.listen_for_speech(now);
    }

    /// Whether the call hears a leg's key presses.
    pub(crate) fn listen(&mut self, member: Member, on: bool) {
        let listened = self.floor.listened;
        self.floor.listened = if on { listened.with(member) } else { listened.without(member) };
    }

    /// Plays a sound to a leg instead of what it would hear.
    pub(crate) fn play(&mut self, member: Member, audio: Arc<[u8]>, repeat: bool) {
        if let Some(line) = self.floor.line(member) {
            // One sound behind another is an edge too.
            line.outlet.cut();
            line.sound = Some(Playing::new(audio, repeat));
            self.floor.replan();
        }
    }

    pub(crate) fn hush(&mut self, member: Member) {
        if let Some(line) = self.floor.line(member) {
            line.sound = None;
            self.floor.replan();
        }
    }

    /// News for the agent.
    pub(crate) fn tell(&mut self, news: &AgentNews, now: Instant) {
        if self.floor.seat.outcome == Outcome::Stays {
            self.floor.with_agent(now, |agent, room| agent.tell(news, room));
        }
    }

    /// An agent comes, in place of the one that is there.
    pub(crate) fn join(&mut self, agent: Box<dyn Participant>, now: Instant) {
        self.floor.seat.leave();
        self.floor.seat.agent = Some(agent);
        self.floor.replan();
        self.floor.listen_for_speech(now);
        if self.floor.started {
            self.floor.with_agent(now, |agent, room| agent.start(room));
        }
    }

    /// The agent leaves; the room lives on.
    pub(crate) fn drop_agent(&mut self, now: Instant) {
        self.floor.seat.leave();
        self.floor.replan();
        self.floor.listen_for_speech(now);
    }

    /// Whether noise is taken out of what a leg says.
    pub(crate) fn clean(&mut self, member: Member, on: bool) {
        if let Some(line) = self.floor.line(member) {
            line.cleaner = on.then(|| Box::new(Cleaner::new()));
            self.floor.replan();
        }
    }

    /// Begins a recording, unless one is under way.
    pub(crate) fn record(&mut self, begin: impl FnOnce() -> Tap) {
        self.floor.tap.get_or_insert_with(begin);
        self.floor.replan();
    }

    pub(crate) const fn pause(&mut self, paused: bool) {
        if let Some(tap) = &mut self.floor.tap {
            tap.pause(paused);
        }
    }

    /// Ends the recording.
    pub(crate) fn stop(&mut self) {
        self.floor.tap = None;
        self.floor.replan();
    }

    /// Presses keys towards a leg's peer.
    pub(crate) fn press(&mut self, member: Member, keys: &str) {
        if let Some(line) = self.floor.line(member) {
            line.press(keys);
        }
    }

    /// Presses no more keys towards a leg's peer.
    pub(crate) fn press_no_more(&mut self, member: Member) {
        if let Some(line) = self.floor.line(member) {
            line.press_no_more();
        }
    }

    /// A key press that an INFO request told.
    pub(crate) fn info(&mut self, member: Member, digit: char, now: Instant) {
        let digit = self.floor.line(member).and_then(|line| line.leg.digit_by_info(digit));
        if let Some(digit) = digit {
            self.floor.pressed(member.place(), digit, false, now);
        }
    }

    /// Takes a packet off a leg's RTP port.
    pub(crate) fn packet(&mut self, place: usize, packet: &[u8], from: SocketAddr, now: Instant) {
        let Some(line) = self.floor.lines[place].as_deref_mut() else { return };
        let mut plain = [0; MAX_PACKET];
        let Some(packet) = line.leg.opened(packet, from, &mut plain) else { return };
        let (header, payload, digit) = match line.leg.accept(packet, from, now) {
            Heard::Audio { header, payload } => (header, payload, None),
            Heard::Quiet { header, digit } => (header, &[][..], digit),
            Heard::Nothing => return,
        };
        if !self.floor.started {
            return;
        }
        let (receiver, floor) = (&mut self.receivers[place], &mut self.floor);
        if let Some(digit) = digit {
            floor.pressed(place, digit, false, now);
        }
        receiver.push(&header, payload, |ordered| floor.spoken(place, ordered, now));
        self.watch_gap(place, now);
        self.floor.settle(now);
    }

    /// Takes a packet off a leg's RTCP port.
    pub(crate) fn control(&mut self, place: usize, packet: &[u8], from: SocketAddr, now: Instant) {
        if let Some(line) = self.floor.lines[place].as_deref_mut() {
            line.leg.rtcp_packet(packet, from, now);
        }
    }

    /// A gap is waited for from when it was seen.
    fn watch_gap(&mut self, place: usize, now: Instant) {
        let Some(line) = self.floor.lines[place].as_deref_mut() else { return };
        line.gap = match (self.receivers[place].waits_for(), line.gap) {
            (None, _) => None,
            (Some(missing), Some((known, until))) if missing == known => Some((known, until)),
            (Some(missing), _) => Some((missing, now + MAX_WAIT)),
        };
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.gaps(now);
        for _ in 0..MAX_CATCH_UP {
            let Some(due) = self.next_step.filter(|due| *due <= now) else { return };
            if !self.floor.is_clocked() {
                self.next_step = None;
                return;
            }
            self.next_step = Some(due + self.floor.period());
            self.floor.step(now);
        }
        // Further behind than is worth catching up with.
        if self.next_step.is_some_and(|due| due <= now) {
            self.next_step = Some(now + self.floor.period());
        }
    }

    /// What was waited for long enough never comes.
    fn gaps(&mut self, now: Instant) {
        for place in 0..LEGS {
            let gap = self.floor.lines[place].as_ref().and_then(|line| line.gap);
            if gap.is_some_and(|(_, until)| until <= now) {
                let floor = &mut self.floor;
                self.receivers[place].give_up(|ordered| floor.spoken(place, ordered, now));
                self.watch_gap(place, now);
                self.floor.settle(now);
            }
        }
    }

    /// When [`Self::tick`] is next wanted. Sets the clock going where there is something to be sent by it.
    pub(crate) fn wake_at(&mut self, now: Instant) -> Option<Instant> {
        if self.next_step.is_none() && self.floor.is_clocked() {
            self.next_step = Some(self.on_grid(now));
        }
        let gaps = self.floor.lines.iter().flatten().filter_map(|line| line.gap);
        gaps.map(|(_, until)| self.on_grid(until)).chain(self.next_step).min()
    }

    /// The next point of the grid.
    fn on_grid(&self, now: Instant) -> Instant {
        let steps = now.duration_since(self.epoch).as_micros() / GRID.as_micros() + 1;
        self.epoch + GRID * u32::try_from(steps).unwrap_or(u32::MAX)
    }

    /// Once a second: reports, and whether a leg has gone silent that somebody hears or that hears somebody.
    pub(crate) fn slow_tick(&mut self, no_media: Duration, now: Instant) {
        let report = now >= self.next_report;
        if report {
            self.next_report = now + REPORT_INTERVAL;
        }
        let unheard = self.floor.told.second();
        if unheard > 0 {
            self.floor.told.push(RoomEvent::Unheard(unheard));
        }
        self.floor.speech_faded(now);
        let Floor { lines, hearing, told, started, seat, .. } = &mut self.floor;
        for (place, line) in lines.iter_mut().enumerate() {
            let (Some(line), Some(member)) = (line, Member::leg(place)) else { continue };
            if report {
                line.leg.report(now);
            }
            let takes_part = !(hearing.of(member).is_empty() && hearing.listeners(member).is_empty());
            let watched = *started && !seat.over && !line.silent && takes_part;
            if watched && line.leg.is_silent(no_media, now) {
                line.silent = true;
                told.push(RoomEvent::NoMedia(member));
            }
        }
    }

    pub(crate) fn ready(&mut self, readiness: Readiness, now: Instant) {
        self.floor.with_agent(now, |agent, room| agent.ready(readiness, room));
    }

    /// The room closes; gives the figures of the leg that it began with.
    pub(crate) fn close(&mut self) -> MediaStats {
        let dropped = self.floor.seat.playout.dropped();
        self.floor.seat.leave();
        let here = self.floor.line(Member::FIRST).map(|line| line.leg.stats());
        MediaStats { agent_bytes_dropped: dropped, ..here.or(self.first).unwrap_or_default() }
    }

    /// What the media of its legs came to so far.
    pub(crate) fn stats(&self) -> Vec<LegStats> {
        let lines = self.floor.lines.iter().enumerate();
        let stats = |(place, line): (usize, &Option<Box<Line>>)| {
            let leg = &line.as_deref()?.leg;
            Some(LegStats { member: Member::leg(place)?, codec: leg.spoken(), stats: leg.stats() })
        };
        lines.filter_map(stats).collect()
    }

    /// Whether the agent's socket has more to read than one turn took.
    pub(crate) fn reads_again(&mut self) -> bool {
        std::mem::take(&mut self.floor.seat.again)
    }
}

#[cfg(test)]
mod tests;
