//! A room: the caller's leg and an agent, exchanging frames.
//!
//! Frames pass undecoded where both sides have the same codec, and through a table where one has
//! µ-law and the other A-law. What the agent says waits in the playout and goes out one packet at a
//! time by the room's clock, with silence where there is nothing to say, so that timestamps and
//! sequence numbers run on.

use std::time::{Duration, Instant};

use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};

use crate::g711::{silence, transcode};
use crate::keypad::{Due, Keypad};
use crate::leg::{Heard, MAX_PAYLOAD, RtpLeg};
use crate::participant::{Frame, Outcome, Participant, Readiness, RoomIo};
use crate::playout::Playout;
use crate::receiver::{Ordered, Receiver};

/// How often reports are sent (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// How many packets a late tick may catch up with; what is older is skipped.
const MAX_CATCH_UP: usize = 5;
/// Longest encrypted packet read.
const MAX_PACKET: usize = 2048;

pub(crate) struct Room {
    pub(crate) call: u64,
    pub(crate) leg: RtpLeg,
    receiver: Receiver,
    playout: Playout,
    keypad: Keypad,
    pub(crate) agent: Option<Box<dyn Participant>>,
    outcome: Outcome,
    /// The agent's socket has more to read than one turn took.
    pub(crate) again: bool,
    started: bool,
    frame_length: usize,
    pub(crate) next_tick: Option<Instant>,
    next_report: Instant,
    /// The room told of its end; it is not told twice.
    told: bool,
}

impl Room {
    pub(crate) fn new(call: u64, leg: RtpLeg, now: Instant) -> Self {
        Self {
            call,
            leg,
            receiver: Receiver::default(),
            playout: Playout::default(),
            keypad: Keypad::default(),
            agent: None,
            outcome: Outcome::Stays,
            again: false,
            started: false,
            frame_length: 160,
            next_tick: None,
            next_report: now + REPORT_INTERVAL,
            told: false,
        }
    }

    pub(crate) fn update(&mut self, spec: MediaSpec, now: Instant) {
        self.leg.update(spec, now);
    }

    /// The call is answered. `tick` is when the first packet is due.
    pub(crate) fn start(&mut self, now: Instant, tick: Instant) -> Option<RoomEvent> {
        self.started = true;
        self.leg.last_heard = now;
        if !self.keypad.is_idle() || self.agent.as_ref().is_some_and(|agent| agent.is_paced()) {
            self.next_tick = Some(tick);
        }
        self.with_agent(now, |agent, room| agent.start(room))
    }

    /// Presses keys towards the caller. `tick` is when the first packet of them is due in a room whose
    /// clock stands still.
    pub(crate) fn press(&mut self, keys: &str, tick: Instant) {
        self.keypad.press(keys);
        if self.started && !self.keypad.is_idle() {
            self.next_tick.get_or_insert(tick);
        }
    }

    /// Takes a packet off the RTP port.
    pub(crate) fn packet(
        &mut self,
        packet: &[u8],
        from: std::net::SocketAddr,
        now: Instant,
    ) -> Option<RoomEvent> {
        let mut plain = [0; MAX_PACKET];
        let packet = self.leg.opened(packet, from, &mut plain)?;
        let (header, payload, digit) = match self.leg.accept(packet, from, now) {
            Heard::Audio { header, payload } => (header, payload, None),
            Heard::Quiet { header, digit } => (header, &[][..], digit),
            Heard::Nothing => return None,
        };
        if !self.started {
            return None;
        }
        if !payload.is_empty() {
            self.frame_length = payload.len().min(MAX_PAYLOAD);
        }
        let pressing = !self.keypad.is_idle();
        let Some(agent) = &mut self.agent else {
            return None;
        };
        // What would go straight back would come between the packets of a press.
        if pressing && !agent.is_paced() {
            return None;
        }
        let mut io = RoomIo {
            leg: &mut self.leg,
            playout: &mut self.playout,
            outcome: &mut self.outcome,
            again: &mut self.again,
            keypad: &mut self.keypad,
            now,
        };
        if let Some(digit) = digit {
            agent.digit(digit, &mut io);
        }
        let length = self.frame_length;
        self.receiver.push(&header, payload, |ordered| match ordered {
            Ordered::Audio([], _) => {}
            Ordered::Audio(audio, timestamp) => {
                let mut carried = [0; MAX_PAYLOAD];
                let audio = io.leg.carried(audio, &mut carried);
                if let Some(digit) = io.leg.pressed_in(audio) {
                    agent.digit(digit, &mut io);
                }
                io.leg.heard_timestamp = timestamp;
                deliver(&mut **agent, audio, false, &mut io);
            }
            Ordered::Gap(count) => {
                for _ in 0..count {
                    let mut carried = [0; MAX_PAYLOAD];
                    let audio = io.leg.missed(length, &mut carried);
                    deliver(&mut **agent, audio, true, &mut io);
                }
            }
        });
        self.settle(now)
    }

    /// Sends what is due by the room's clock.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<RoomEvent> {
        let period = Duration::from_millis(u64::from(self.leg.ptime()));
        for _ in 0..MAX_CATCH_UP {
            let due = self.next_tick.filter(|due| *due <= now)?;
            self.next_tick = Some(due + period);
            if !self.keypad.is_idle() {
                self.press_one();
                continue;
            }
            if !self.agent.as_ref().is_some_and(|agent| agent.is_paced()) {
                // The clock ran for the keys alone.
                self.next_tick = None;
                return None;
            }
            if let Some(event) = self.play_one(now) {
                return Some(event);
            }
        }
        // Further behind than is worth catching up with.
        if self.next_tick.is_some_and(|due| due <= now) {
            self.next_tick = Some(now + period);
        }
        None
    }

    fn press_one(&mut self) {
        let samples = (self.leg.ptime() as usize * 8).min(MAX_PAYLOAD);
        match self.keypad.step(samples as u32) {
            Due::Event { payload, first } => self.leg.send_event(payload, first, samples),
            Due::Quiet => self.leg.send(&[silence(self.leg.codec()); MAX_PAYLOAD][..samples]),
        }
    }

    fn play_one(&mut self, now: Instant) -> Option<RoomEvent> {
        let length = (self.leg.ptime() as usize * 8).min(MAX_PAYLOAD);
        let mut packet = [0; MAX_PAYLOAD];
        let packet = &mut packet[..length];
        let codec = self.agent.as_ref().and_then(|agent| agent.codec()).unwrap_or(self.leg.codec());
        // Who generates audio is asked for more before the queue runs dry: what comes into an empty one
        // would wait for its prefill.
        if self.playout.len() <= length && self.outcome == Outcome::Stays {
            let event = self.with_agent(now, |agent, room| agent.fill(room));
            if event.is_some() {
                return event;
            }
        }
        let said = self.playout.take(packet, silence(codec), now);
        if !said {
            packet.fill(silence(codec));
        }
        transcode(packet, codec, self.leg.codec());
        self.leg.send(packet);
        self.settle(now)
    }

    /// Once a second: reports, and whether the caller has gone silent.
    pub(crate) fn slow_tick(&mut self, no_media: Duration, now: Instant) -> Option<RoomEvent> {
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            self.leg.report(now);
        }
        let silent = self.started && !self.told && self.leg.is_silent(no_media, now);
        silent.then(|| {
            self.told = true;
            RoomEvent::NoMedia
        })
    }

    pub(crate) fn ready(&mut self, readiness: Readiness, now: Instant) -> Option<RoomEvent> {
        self.with_agent(now, |agent, room| agent.ready(readiness, room))
    }

    /// The room closes.
    pub(crate) fn close(&mut self) -> MediaStats {
        if let Some(agent) = &mut self.agent {
            agent.leave();
        }
        MediaStats { agent_bytes_dropped: self.playout.dropped(), ..self.leg.stats() }
    }

    fn with_agent(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut dyn Participant, &mut RoomIo<'_>),
    ) -> Option<RoomEvent> {
        let agent = self.agent.as_mut()?;
        let mut io = RoomIo {
            leg: &mut self.leg,
            playout: &mut self.playout,
            outcome: &mut self.outcome,
            again: &mut self.again,
            keypad: &mut self.keypad,
            now,
        };
        work(&mut **agent, &mut io);
        self.settle(now)
    }

    /// Gives marks back and lets an agent go whose words were all played.
    fn settle(&mut self, now: Instant) -> Option<RoomEvent> {
        while let Some(mark) = self.playout.reached() {
            let Some(agent) = &mut self.agent else { break };
            let mut io = RoomIo {
                leg: &mut self.leg,
                playout: &mut self.playout,
                outcome: &mut self.outcome,
                again: &mut self.again,
                keypad: &mut self.keypad,
                now,
            };
            agent.reached(mark, &mut io);
        }
        if self.told {
            return None;
        }
        let event = match self.outcome {
            Outcome::Stays => None,
            Outcome::LeavesWhenPlayed { until, event } => {
                let said = self.playout.is_empty() && self.keypad.is_idle();
                let over = said || until.is_some_and(|until| until <= now) || !self.started;
                over.then_some(event)
            }
        };
        self.told = event.is_some();
        event
    }
}

/// Hands a frame to the agent in the codec that it wants.
fn deliver(agent: &mut dyn Participant, audio: &[u8], lost: bool, io: &mut RoomIo<'_>) {
    let ours = io.leg.codec();
    match agent.codec() {
        Some(wanted) if wanted != ours => {
            let mut converted = [0; MAX_PAYLOAD];
            let length = audio.len().min(MAX_PAYLOAD);
            let converted = &mut converted[..length];
            converted.copy_from_slice(&audio[..length]);
            transcode(converted, ours, wanted);
            agent.hear(Frame { payload: converted, codec: wanted, lost }, io);
        }
        _ => agent.hear(Frame { payload: audio, codec: ours, lost }, io),
    }
}

#[cfg(test)]
mod tests;
