//! A room: the caller's leg and an agent, exchanging frames; or a sound, played to the leg instead.
//!
//! Frames pass undecoded where both sides have the same codec, and through a table where one has
//! µ-law and the other A-law. What the agent says waits in the playout and goes out one packet at a
//! time by the room's clock, with silence where there is nothing to say, so that timestamps and
//! sequence numbers run on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_sdp::control::AgentNews;
use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};
use trunkline_sdp::{Codec, Hearing, Member, Members};

use crate::g711::{silence, transcode};
use crate::keypad::{Due, Keypad};
use crate::leg::{Heard, MAX_PAYLOAD, RtpLeg};
use crate::participant::{Frame, Outcome, Participant, Readiness, RoomIo, Told};
use crate::playout::Playout;
use crate::receiver::{Ordered, Receiver};
use sound::Playing;

mod sound;

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
    pub(crate) told: Told,
    hearing: Hearing,
    /// The legs whose key presses go to the call.
    listened: Members,
    sound: Option<Playing>,
    /// The agent's socket has more to read than one turn took.
    pub(crate) again: bool,
    started: bool,
    frame_length: usize,
    pub(crate) next_tick: Option<Instant>,
    next_report: Instant,
    /// It panicked.
    pub(crate) broken: bool,
    /// The room told of its end; it is not told twice.
    over: bool,
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
            told: Told::default(),
            hearing: Hearing::among(Members::of(&[Member::FIRST, Member::AGENT])),
            listened: Members::NONE,
            sound: None,
            again: false,
            started: false,
            frame_length: 160,
            next_tick: None,
            next_report: now + REPORT_INTERVAL,
            broken: false,
            over: false,
        }
    }

    pub(crate) fn update(&mut self, spec: MediaSpec, now: Instant) {
        self.leg.update(spec, now);
    }

    /// The call is answered. `tick` is when the first packet is due.
    pub(crate) fn start(&mut self, now: Instant, tick: Instant) {
        self.started = true;
        self.leg.last_heard = now;
        self.wind(tick);
        self.with_agent(now, |agent, room| agent.start(room));
    }

    /// Who hears whom from now on.
    pub(crate) fn arrange(&mut self, hearing: Hearing, tick: Instant) {
        self.hearing = hearing;
        self.wind(tick);
    }

    /// Whether the call hears the leg's key presses.
    pub(crate) fn listen(&mut self, member: Member, on: bool) {
        self.listened = if on { self.listened.with(member) } else { self.listened.without(member) };
    }

    /// Plays a sound to the leg instead of the agent.
    pub(crate) fn play(&mut self, audio: Arc<[u8]>, repeat: bool, tick: Instant) {
        self.sound = Some(Playing::new(audio, repeat));
        self.wind(tick);
    }

    pub(crate) fn hush(&mut self) {
        self.sound = None;
    }

    /// News for the agent.
    pub(crate) fn tell(&mut self, news: &AgentNews, now: Instant) {
        if self.outcome == Outcome::Stays {
            self.with_agent(now, |agent, room| agent.tell(news, room));
        }
    }

    /// An agent comes, in place of the one that is there.
    pub(crate) fn join(&mut self, agent: Box<dyn Participant>, now: Instant, tick: Instant) {
        self.drop_agent();
        self.agent = Some(agent);
        if self.started {
            self.wind(tick);
            self.with_agent(now, |agent, room| agent.start(room));
        }
    }

    /// The agent leaves; the room lives on.
    pub(crate) fn drop_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.leave();
        }
        self.playout.clear();
        while self.playout.reached().is_some() {}
        self.outcome = Outcome::Stays;
        self.over = false;
    }

    /// Presses keys towards the caller. `tick` is when the first packet of them is due in a room whose
    /// clock stands still.
    pub(crate) fn press(&mut self, keys: &str, tick: Instant) {
        self.keypad.press(keys);
        self.wind(tick);
    }

    /// A key press that an INFO request told.
    pub(crate) fn info(&mut self, digit: char, now: Instant) {
        if let Some(digit) = self.leg.digit_by_info(digit) {
            self.pressed(digit, now);
        }
    }

    /// Sets the clock going where there is something to be sent by it.
    fn wind(&mut self, tick: Instant) {
        if self.started && (!self.keypad.is_idle() || self.sound.is_some() || self.is_paced()) {
            self.next_tick.get_or_insert(tick);
        }
    }

    fn is_paced(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.is_paced())
    }

    /// A key press of the leg's peer.
    fn pressed(&mut self, digit: char, now: Instant) {
        if self.listened.contains(Member::FIRST) {
            self.told.pass(RoomEvent::Digit(Member::FIRST, digit));
        } else if self.outcome == Outcome::Stays {
            self.with_agent(now, |agent, room| agent.digit(digit, room));
        }
    }

    /// Takes a packet off the RTP port.
    pub(crate) fn packet(&mut self, packet: &[u8], from: std::net::SocketAddr, now: Instant) {
        let mut plain = [0; MAX_PACKET];
        let Some(packet) = self.leg.opened(packet, from, &mut plain) else { return };
        let (header, payload, digit) = match self.leg.accept(packet, from, now) {
            Heard::Audio { header, payload } => (header, payload, None),
            Heard::Quiet { header, digit } => (header, &[][..], digit),
            Heard::Nothing => return,
        };
        if !self.started {
            return;
        }
        if !payload.is_empty() {
            self.frame_length = payload.len().min(MAX_PAYLOAD);
        }
        // What would go straight back would come between the packets of a press.
        let stands = !(self.is_paced() || self.keypad.is_idle() && self.sound.is_none());
        if let Some(digit) = digit.filter(|_| !stands) {
            self.pressed(digit, now);
        }
        let heard = self.hearing.of(Member::AGENT).contains(Member::FIRST) && self.outcome == Outcome::Stays;
        let Some(agent) = self.agent.as_mut().filter(|_| !stands) else { return };
        let mut io = RoomIo {
            leg: &mut self.leg,
            playout: &mut self.playout,
            outcome: &mut self.outcome,
            told: &mut self.told,
            again: &mut self.again,
            keypad: &mut self.keypad,
            now,
        };
        let length = self.frame_length;
        let mut tone = None;
        self.receiver.push(&header, payload, |ordered| match ordered {
            Ordered::Audio([], _) => {}
            Ordered::Audio(audio, timestamp) => {
                let mut carried = [0; MAX_PAYLOAD];
                let audio = io.leg.carried(audio, &mut carried);
                tone = io.leg.pressed_in(audio).or(tone);
                io.leg.heard_timestamp = timestamp;
                if heard {
                    deliver(&mut **agent, audio, false, &mut io);
                }
            }
            Ordered::Gap(count) => {
                for _ in 0..count {
                    let mut carried = [0; MAX_PAYLOAD];
                    let audio = io.leg.missed(length, &mut carried);
                    if heard {
                        deliver(&mut **agent, audio, true, &mut io);
                    }
                }
            }
        });
        if let Some(digit) = tone {
            self.pressed(digit, now);
        }
        self.settle(now);
    }

    /// Sends what is due by the room's clock.
    pub(crate) fn tick(&mut self, now: Instant) {
        let period = Duration::from_millis(u64::from(self.leg.ptime()));
        for _ in 0..MAX_CATCH_UP {
            let Some(due) = self.next_tick.filter(|due| *due <= now) else { return };
            self.next_tick = Some(due + period);
            if !self.keypad.is_idle() {
                self.press_one();
                continue;
            }
            if self.sound.is_some() {
                self.sound_one();
                continue;
            }
            if !self.is_paced() {
                // The clock ran for the keys alone.
                self.next_tick = None;
                return;
            }
            self.play_one(now);
        }
        // Further behind than is worth catching up with.
        if self.next_tick.is_some_and(|due| due <= now) {
            self.next_tick = Some(now + period);
        }
    }

    fn press_one(&mut self) {
        let samples = (self.leg.ptime() as usize * 8).min(MAX_PAYLOAD);
        match self.keypad.step(samples as u32) {
            Due::Event { payload, first } => self.leg.send_event(payload, first, samples),
            Due::Quiet => self.leg.send(&[silence(self.leg.codec()); MAX_PAYLOAD][..samples]),
        }
    }

    fn sound_one(&mut self) {
        let length = (self.leg.ptime() as usize * 8).min(MAX_PAYLOAD);
        let mut packet = [silence(Codec::Pcmu); MAX_PAYLOAD];
        let over = self.sound.as_mut().is_none_or(|sound| sound.take(&mut packet[..length]));
        transcode(&mut packet[..length], Codec::Pcmu, self.leg.codec());
        self.leg.send(&packet[..length]);
        if over {
            self.sound = None;
            self.told.push(RoomEvent::Played(Member::FIRST));
        }
    }

    fn play_one(&mut self, now: Instant) {
        let length = (self.leg.ptime() as usize * 8).min(MAX_PAYLOAD);
        let mut packet = [0; MAX_PAYLOAD];
        let packet = &mut packet[..length];
        let codec = self.agent.as_ref().and_then(|agent| agent.codec()).unwrap_or(self.leg.codec());
        // Who generates audio is asked for more before the queue runs dry: what comes into an empty one
        // would wait for its prefill.
        if self.playout.len() <= length && self.outcome == Outcome::Stays {
            self.with_agent(now, |agent, room| agent.fill(room));
        }
        let said = self.playout.take(packet, silence(codec), now);
        if !said || !self.hearing.of(Member::FIRST).contains(Member::AGENT) {
            packet.fill(silence(codec));
        }
        transcode(packet, codec, self.leg.codec());
        self.leg.send(packet);
        self.settle(now);
    }

    /// Once a second: reports, and whether the caller has gone silent.
    pub(crate) fn slow_tick(&mut self, no_media: Duration, now: Instant) {
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            self.leg.report(now);
        }
        let unheard = self.told.second();
        if unheard > 0 {
            tracing::warn!(
                call = self.call,
                unheard,
                "an agent or a peer asks too much; it is not passed on"
            );
        }
        if self.started && !self.over && self.leg.is_silent(no_media, now) {
            self.over = true;
            self.told.push(RoomEvent::NoMedia(Member::FIRST));
        }
    }

    pub(crate) fn ready(&mut self, readiness: Readiness, now: Instant) {
        self.with_agent(now, |agent, room| agent.ready(readiness, room));
    }

    /// The room closes.
    pub(crate) fn close(&mut self) -> MediaStats {
        if let Some(agent) = &mut self.agent {
            agent.leave();
        }
        MediaStats { agent_bytes_dropped: self.playout.dropped(), ..self.leg.stats() }
    }

    fn with_agent(&mut self, now: Instant, work: impl FnOnce(&mut dyn Participant, &mut RoomIo<'_>)) {
        let Some(agent) = self.agent.as_mut() else { return };
        let mut io = RoomIo {
            leg: &mut self.leg,
            playout: &mut self.playout,
            outcome: &mut self.outcome,
            told: &mut self.told,
            again: &mut self.again,
            keypad: &mut self.keypad,
            now,
        };
        work(&mut **agent, &mut io);
        self.settle(now);
    }

    /// Gives marks back and lets an agent go whose words were all played.
    fn settle(&mut self, now: Instant) {
        while let Some(mark) = self.playout.reached() {
            let Some(agent) = &mut self.agent else { break };
            let mut io = RoomIo {
                leg: &mut self.leg,
                playout: &mut self.playout,
                outcome: &mut self.outcome,
                told: &mut self.told,
                again: &mut self.again,
                keypad: &mut self.keypad,
                now,
            };
            agent.reached(mark, &mut io);
        }
        let Outcome::LeavesWhenPlayed { until, lost } = self.outcome else { return };
        let said = self.playout.is_empty() && self.keypad.is_idle();
        if !self.over && (said || until.is_some_and(|until| until <= now) || !self.started) {
            self.over = true;
            self.told.push(if lost { RoomEvent::AgentLost } else { RoomEvent::AgentLeft });
        }
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
