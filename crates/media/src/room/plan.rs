//! By which way each member gets what it hears: worked out anew whenever somebody comes, goes or is to hear
//! somebody else, so that a packet only follows it.
//!
//! ```text
//! one speaker, the same codec      Straight: each frame as it comes, undecoded
//! a leg and the agent alone        Agent: the agent's packets, by the clock; or forwarded by itself
//! several, none, another codec     Mix: samples, by the clock
//! a sound                          Sound: that and nothing else, by the clock
//! ```

use trunkline_sdp::{Hearing, Member, Members};

use super::floor::{Floor, LEGS};

/// Shortest step of the clock, milliseconds: where packet times differ.
const SHORT_STEP: u32 = 10;

/// How a member gets what it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Agent,
    Straight(Member),
    Mix(Members),
    Sound,
}

/// Where what a leg says goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outs {
    /// Each frame to the agent.
    pub(super) agent: bool,
    /// Each payload to these legs.
    pub(super) legs: Members,
    /// The samples to the mix.
    pub(super) voice: bool,
}

/// The ways of all members.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) ways: [Way; Member::COUNT],
    pub(super) outs: [Outs; LEGS],
    /// Those whose samples are wanted.
    pub(super) mixed: Members,
    /// The leg to which an agent without a clock forwards what it hears of it.
    pub(super) echo: Option<usize>,
    /// The leg that the agent talks to first of all.
    pub(super) partner: usize,
    /// Something goes by the clock, keys left aside.
    pub(super) clocked: bool,
    /// The clock's step, milliseconds.
    pub(super) step: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            ways: [Way::Mix(Members::NONE); Member::COUNT],
            outs: [Outs::default(); LEGS],
            mixed: Members::NONE,
            echo: None,
            partner: 0,
            clocked: false,
            step: 20,
        }
    }
}

impl Floor {
    /// Works the plan out.
    pub(super) fn replan(&mut self) {
        let before = self.plan;
        let plan = self.planned();
        for (place, way) in plan.ways.iter().enumerate() {
            if self.started && *way != before.ways[place] {
                let outlet = match self.lines.get_mut(place) {
                    Some(None) => continue,
                    Some(Some(line)) => {
                        line.leg.follow_anew();
                        &mut line.outlet
                    }
                    None => &mut self.seat.outlet,
                };
                outlet.cut();
            }
        }
        for (place, line) in self.lines.iter_mut().enumerate() {
            let Some(line) = line else { continue };
            if !plan.outs[place].voice {
                line.voice = None;
            } else if line.voice.is_none() {
                line.give_voice();
            }
        }
        // Of an agent that forwards past its queue, a recording wants what it forwards.
        if !(self.tap.is_some() && plan.echo.is_some()) {
            self.seat.voice = None;
        } else if self.seat.voice.is_none() {
            self.seat.voice = Some(Box::default());
        }
        if plan.mixed.is_empty() {
            self.frames = None;
        } else {
            self.frames.get_or_insert_default();
        }
        self.plan = plan;
    }

    fn planned(&self) -> Plan {
        let mut plan = Plan::default();
        let legs = (0..LEGS).filter(|place| self.lines[*place].is_some());
        let legs = legs.filter_map(Member::leg).fold(Members::NONE, Members::with);
        let present = if self.seat.agent.is_some() { legs.with(Member::AGENT) } else { legs };
        for member in present.iter() {
            plan.ways[member.place()] = self.way(member, &self.hearing, present);
        }
        let of_agent = self.hearing.listeners(Member::AGENT);
        let partner = legs.iter().find(|leg| of_agent.contains(*leg)).or_else(|| legs.iter().next());
        plan.partner = partner.map_or(0, Member::place);
        let talks_with_itself = plan.ways[plan.partner] == Way::Agent
            && partner.is_some_and(|leg| plan.ways[Member::AGENT.place()] == Way::Straight(leg));
        plan.echo = (talks_with_itself && !self.seat.is_paced()).then_some(plan.partner);
        for member in present.iter() {
            match plan.ways[member.place()] {
                Way::Straight(speaker) if member.is_agent() => plan.outs[speaker.place()].agent = true,
                Way::Straight(speaker) => {
                    let outs = &mut plan.outs[speaker.place()];
                    outs.legs = outs.legs.with(member);
                }
                Way::Mix(speakers) => {
                    plan.clocked = true;
                    plan.mixed = speakers.iter().fold(plan.mixed, Members::with);
                }
                Way::Sound => plan.clocked = true,
                Way::Agent => {}
            }
        }
        if self.tap.is_some() {
            plan.clocked = true;
            plan.mixed = present;
        }
        for leg in plan.mixed.without(Member::AGENT).iter() {
            plan.outs[leg.place()].voice = true;
        }
        // An agent's words are played even where nobody hears them: its marks come back.
        plan.clocked |= self.seat.agent.is_some() && plan.echo.is_none();
        plan.step = self.step_of();
        plan
    }

    fn way(&self, listener: Member, hearing: &Hearing, present: Members) -> Way {
        let speakers = hearing.of(listener).iter().filter(|speaker| present.contains(*speaker));
        let speakers = speakers.fold(Members::NONE, Members::with);
        let line = |member: Member| self.lines.get(member.place()).and_then(Option::as_deref);
        if line(listener).is_some_and(|line| line.sound.is_some()) {
            return Way::Sound;
        }
        let mut all = speakers.iter();
        let (Some(speaker), None) = (all.next(), all.next()) else {
            return Way::Mix(speakers);
        };
        match (line(listener), line(speaker)) {
            (Some(_), None) => Way::Agent,
            (None, Some(_)) => Way::Straight(speaker),
            (Some(to), Some(from)) if from.cleaner.is_none() && to.leg.takes_payloads_of(&from.leg) => {
                Way::Straight(speaker)
            }
            (Some(_), Some(_)) | (None, None) => Way::Mix(speakers),
        }
    }

    /// The packet time of all legs, or a short one that all have room for.
    fn step_of(&self) -> u32 {
        let mut times = self.lines.iter().flatten().filter(|line| line.leg.is_agreed());
        let Some(first) = times.next().map(|line| line.leg.ptime()) else { return Self::USUAL_STEP };
        times
            .map(|line| line.leg.ptime())
            .fold(first, |step, ptime| if step == ptime { step } else { step.min(ptime).min(SHORT_STEP) })
    }
}
