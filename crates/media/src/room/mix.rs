//! What goes out by the clock: a step at a time, whose samples each member gets of those that it hears.

use std::time::Instant;

use trunkline_sdp::media::RoomEvent;
use trunkline_sdp::{Codec, Member, Members};

use super::floor::{Floor, LEGS};
use super::line::Line;
use super::plan::Way;
use crate::g711::{decode, encode, silence};
use crate::leg::MAX_PAYLOAD;

/// Samples of a frame to an agent that hears a mix: 20 ms.
const AGENT_FRAME: usize = 160;

/// What everybody says in one step, of whom samples are wanted.
pub(super) struct Frames {
    samples: [[i16; MAX_PAYLOAD]; Member::COUNT],
    /// Those who say something.
    speaking: Members,
}

/// What the agent says in one step, and in which codec.
#[derive(Clone, Copy)]
struct Words<'a> {
    audio: &'a [u8],
    codec: Codec,
}

impl Floor {
    /// Sends what is due in a step of the clock.
    pub(super) fn step(&mut self, now: Instant) {
        let length = (self.plan.step as usize * 8).min(MAX_PAYLOAD);
        let partner = self.lines[self.plan.partner].as_ref().map(|line| line.leg.codec());
        let codec = self.seat.codec().or(partner).unwrap_or(Codec::Pcmu);
        let mut audio = [0; MAX_PAYLOAD];
        let said = self.words(&mut audio[..length], codec, now);
        let words = Words { audio: &audio[..length], codec };
        let mut frames = self.frames.take();
        if let Some(frames) = &mut frames {
            frames.gather(self, words, said);
        }
        self.turns(words, frames.as_deref(), now);
        self.record(frames.as_deref(), length);
        self.frames = frames;
        self.settle(now);
    }

    /// What the agent says in this step; false where that is silence.
    fn words(&mut self, words: &mut [u8], codec: Codec, now: Instant) -> bool {
        // While keys are pressed towards the leg that it talks with, it waits.
        let waits = |line: &&Line| !line.keypad.is_idle();
        let pressing = self
            .lines
            .iter()
            .zip(self.plan.ways)
            .any(|(line, way)| way == Way::Agent && line.as_deref().as_ref().is_some_and(waits));
        if pressing || self.seat.agent.is_none() {
            words.fill(silence(codec));
            return false;
        }
        // Who generates audio is asked for more before the queue runs dry: what comes into an empty one
        // would wait for its prefill.
        if self.seat.playout.len() <= words.len()
            && self.seat.listens()
            && let Some((agent, mut io)) = self.agent(0, now)
        {
            agent.fill(&mut io);
        }
        let said = self.seat.playout.take(words, silence(codec), now);
        if !said {
            words.fill(silence(codec));
        }
        said
    }

    /// Everybody gets what is due to it.
    fn turns(&mut self, words: Words<'_>, frames: Option<&Frames>, now: Instant) {
        let (mut played, plan) = (Members::NONE, self.plan);
        for place in 0..LEGS {
            let Some(line) = self.lines[place].as_deref_mut() else { continue };
            let echoes = plan.echo == Some(place);
            if line.turn(plan.ways[place], echoes, words, frames) {
                line.sound = None;
                played = Member::leg(place).map_or(played, |member| played.with(member));
            }
            if let (Some(key), Some(member)) = (line.pressing.take(), Member::leg(place)) {
                self.told.push(RoomEvent::Pressing(member, key));
            }
        }
        if let Way::Mix(speakers) = plan.ways[Member::AGENT.place()] {
            self.mix_to_agent(words, speakers, frames, now);
        }
        if !played.is_empty() {
            played.iter().for_each(|member| self.told.push(RoomEvent::Played(member)));
            self.replan();
        }
    }

    /// The party on the left of the recording, everybody else on the right.
    fn record(&mut self, frames: Option<&Frames>, length: usize) {
        let Some(tap) = &mut self.tap else { return };
        let (mut left, mut right) = ([0; MAX_PAYLOAD], [0; MAX_PAYLOAD]);
        let others = self.plan.mixed.without(self.party);
        sum(frames, Members::of(&[self.party]), &mut left[..length]);
        sum(frames, others, &mut right[..length]);
        if !tap.hear(&left[..length], &right[..length]) {
            self.tap = None;
            self.replan();
        }
    }

    fn mix_to_agent(&mut self, words: Words<'_>, speakers: Members, frames: Option<&Frames>, now: Instant) {
        if !self.seat.listens() {
            return;
        }
        let mut samples = [0; MAX_PAYLOAD];
        let samples = &mut samples[..words.audio.len()];
        sum(frames, speakers, samples);
        self.seat.outlet.push(samples);
        while self.seat.outlet.len() >= AGENT_FRAME {
            let (mut frame, mut encoded) = ([0; AGENT_FRAME], [0; AGENT_FRAME]);
            self.seat.outlet.take(&mut frame);
            for (byte, sample) in encoded.iter_mut().zip(frame) {
                *byte = encode(sample, words.codec);
            }
            self.deliver(&encoded, words.codec, false, 0, now);
        }
    }
}

impl Line {
    /// A step of the clock for the peer; true at the end of a sound.
    fn turn(&mut self, way: Way, echoes: bool, words: Words<'_>, frames: Option<&Frames>) -> bool {
        let length = words.audio.len();
        if !self.keypad.is_idle() {
            self.outlet.clear();
            if self.outlet.due(length, self.packet()) {
                self.press_one();
            }
            return false;
        }
        let mut samples = [0; MAX_PAYLOAD];
        let samples = &mut samples[..length];
        match way {
            Way::Straight(_) => self.outlet.rest(),
            Way::Agent if echoes => self.outlet.rest(),
            Way::Agent if self.packet() == length && self.outlet.is_empty() => {
                self.say(words.audio, words.codec);
            }
            Way::Agent => {
                decode(words.audio, words.codec, samples);
                self.give(samples);
            }
            Way::Mix(speakers) => {
                sum(frames, speakers, samples);
                self.give(samples);
            }
            Way::Sound => {
                let over = self.sound.as_mut().is_none_or(|sound| sound.take(samples));
                self.give(samples);
                return over;
            }
        }
        false
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self { samples: [[0; MAX_PAYLOAD]; Member::COUNT], speaking: Members::NONE }
    }
}

impl Frames {
    /// Takes what everybody says of whom samples are wanted.
    fn gather(&mut self, floor: &mut Floor, words: Words<'_>, said: bool) {
        let length = words.audio.len();
        self.speaking = Members::NONE;
        for speaker in floor.plan.mixed.iter() {
            let frame = &mut self.samples[speaker.place()];
            let speaks = match floor.lines.get_mut(speaker.place()) {
                Some(line) => {
                    let voice = line.as_deref_mut().and_then(|line| line.voice.as_deref_mut());
                    voice.is_some_and(|voice| voice.take(&mut frame[..length]))
                }
                None => match &mut floor.seat.voice {
                    Some(voice) => voice.take(&mut frame[..length]),
                    None => said && decode(words.audio, words.codec, frame) > 0,
                },
            };
            if speaks {
                self.speaking = self.speaking.with(speaker);
            }
        }
    }
}

/// What these say together.
fn sum(frames: Option<&Frames>, speakers: Members, out: &mut [i16]) {
    let Some(frames) = frames else { return };
    let mut speaking = speakers.iter().filter(|speaker| frames.speaking.contains(*speaker));
    if let (Some(only), None) = (speaking.next(), speaking.next()) {
        return out.copy_from_slice(&frames.samples[only.place()][..out.len()]);
    }
    let mut total = [0i32; MAX_PAYLOAD];
    let total = &mut total[..out.len()];
    for speaker in speakers.iter().filter(|speaker| frames.speaking.contains(*speaker)) {
        for (sum, sample) in total.iter_mut().zip(&frames.samples[speaker.place()]) {
            *sum += i32::from(*sample);
        }
    }
    for (sample, sum) in out.iter_mut().zip(total) {
        *sample = (*sum).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
    }
}
