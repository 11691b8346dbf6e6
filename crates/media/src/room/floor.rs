//! The floor of a room: its members, and who of them hears whom.

use std::time::{Duration, Instant};

use trunkline_sdp::media::RoomEvent;
use trunkline_sdp::{Hearing, Member, Members};

use super::line::Line;
use super::mix::Frames;
use super::plan::Plan;
use super::seat::Seat;
use crate::participant::{Outcome, Participant, RoomIo, Told};
use crate::recorder::Tap;
use crate::speech::Ear;

/// Places for legs in a room.
pub(crate) const LEGS: usize = Member::COUNT - 1;

/// The members of a room.
#[derive(Default)]
pub(crate) struct Floor {
    pub(crate) lines: [Option<Box<Line>>; LEGS],
    pub(crate) seat: Seat,
    pub(crate) told: Told,
    pub(super) hearing: Hearing,
    /// Whom the call is with: the first leg, or who has its place.
    pub(super) party: Member,
    /// The legs whose key presses go to the call.
    pub(super) listened: Members,
    pub(super) plan: Plan,
    /// Where the samples of a step are put together, in a room where that is done.
    pub(super) frames: Option<Box<Frames>>,
    /// The recording.
    pub(super) tap: Option<Tap>,
    pub(super) started: bool,
}

impl Floor {
    /// The step of a clock that nothing else sets.
    pub(super) const USUAL_STEP: u32 = 20;

    /// Listens to the party's speech for an agent that wants to know and hears it.
    pub(super) fn listen_for_speech(&mut self, now: Instant) {
        let wanted = self.seat.agent.as_ref().is_some_and(|agent| agent.wants_speech())
            && self.hearing.of(Member::AGENT).contains(self.party);
        if let Some(line) = self.line(self.party) {
            let ear = line.ear.take();
            line.ear = wanted.then(|| ear.unwrap_or_else(|| Ear::new(now)));
        }
    }

    pub(super) fn line(&mut self, member: Member) -> Option<&mut Line> {
        self.lines.get_mut(member.place())?.as_deref_mut()
    }

    /// The agent, and what it can do. `heard` is the timestamp of the frame that it is given.
    pub(super) fn agent(&mut self, heard: u32, now: Instant) -> Option<(&mut dyn Participant, RoomIo<'_>)> {
        let Seat { agent, playout, outcome, again, voice, .. } = &mut self.seat;
        let agent = agent.as_deref_mut()?;
        let (line, echoes) = (self.lines[self.plan.partner].as_deref_mut(), self.plan.echo.is_some());
        Some((
            agent,
            RoomIo { line, echoes, heard, voice, playout, outcome, again, told: &mut self.told, now },
        ))
    }

    pub(super) fn with_agent(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut dyn Participant, &mut RoomIo<'_>),
    ) {
        if let Some((agent, mut io)) = self.agent(0, now) {
            work(agent, &mut io);
            self.settle(now);
        }
    }

    /// Gives marks back and lets an agent go whose words were all played.
    pub(super) fn settle(&mut self, now: Instant) {
        while let Some(mark) = self.seat.playout.reached() {
            let Some((agent, mut io)) = self.agent(0, now) else { break };
            agent.reached(mark, &mut io);
        }
        let Outcome::LeavesWhenPlayed { until, lost } = self.seat.outcome else { return };
        let pressed = self.lines[self.plan.partner].as_ref().is_none_or(|line| line.keypad.is_idle());
        let said = self.seat.playout.is_empty() && pressed;
        if !self.seat.over && (said || until.is_some_and(|until| until <= now) || !self.started) {
            self.seat.over = true;
            self.told.push(if lost { RoomEvent::AgentLost } else { RoomEvent::AgentLeft });
        }
    }

    /// A key press of a leg's peer: for the call where it listens, else for those who hear the leg. What
    /// was `heard` as tones they have heard already.
    pub(super) fn pressed(&mut self, place: usize, digit: char, heard: bool, now: Instant) {
        let Some(member) = Member::leg(place) else { return };
        if self.listened.contains(member) {
            return self.told.pass(RoomEvent::Digit(member, digit));
        }
        let listeners = self.hearing.listeners(member);
        if listeners.contains(Member::AGENT) && self.seat.listens() {
            self.with_agent(now, |agent, room| agent.digit(digit, room));
        }
        for listener in listeners.iter().filter(|_| !heard) {
            if let Some(line) = self.line(listener) {
                line.keypad.press(digit.encode_utf8(&mut [0; 4]));
            }
        }
        self.told.pass(RoomEvent::Heard(member, digit));
    }

    /// The clock's step.
    pub(super) fn period(&self) -> Duration {
        Duration::from_millis(u64::from(self.plan.step))
    }

    /// Whether there is something to be sent by the clock.
    pub(super) fn is_clocked(&self) -> bool {
        self.started && (self.plan.clocked || self.lines.iter().flatten().any(|line| !line.keypad.is_idle()))
    }
}
