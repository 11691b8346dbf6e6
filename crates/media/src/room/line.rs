//! A leg as a member of its room: its port, what it says, what it is given.

use std::time::Instant;

use trunkline_sdp::Codec;

use super::outlet::Outlet;
use super::sound::Playing;
use super::voice::Voice;
use crate::cleaner::Cleaner;
use crate::g711::{decode, linear, silence, transcode};
use crate::keypad::{Due, Keypad, key};
use crate::leg::{MAX_PAYLOAD, RtpLeg};
use crate::speech::Ear;

/// Samples of a frame before one was heard: 20 ms.
const USUAL_FRAME: usize = 160;

pub(crate) struct Line {
    pub(crate) leg: RtpLeg,
    pub(super) keypad: Keypad,
    /// A key whose press has begun and is for the call to send: the trunk takes keys in INFO requests.
    pub(super) pressing: Option<char>,
    /// What it hears instead of the others.
    pub(super) sound: Option<Playing>,
    /// Takes the noise out of what it says.
    pub(super) cleaner: Option<Box<Cleaner>>,
    /// Listens for speech.
    pub(super) ear: Option<Ear>,
    /// What it says, where that is wanted as samples.
    pub(super) voice: Option<Box<Voice>>,
    pub(super) outlet: Outlet,
    /// Timestamp of the frame that is being delivered.
    pub(super) heard: u32,
    frame: usize,
    /// The last frame of G.711 that it said.
    recent: [u8; USUAL_FRAME],
    /// A packet is missing that others wait for: which, and until when.
    pub(super) gap: Option<(u16, Instant)>,
    /// Its silence was told.
    pub(super) silent: bool,
}

impl Line {
    pub(super) fn new(leg: RtpLeg) -> Self {
        Self {
            leg,
            keypad: Keypad::default(),
            pressing: None,
            sound: None,
            cleaner: None,
            ear: None,
            voice: None,
            outlet: Outlet::default(),
            heard: 0,
            frame: USUAL_FRAME,
            recent: [silence(Codec::Pcmu); USUAL_FRAME],
            gap: None,
            silent: false,
        }
    }

    /// Samples of a packet to the peer.
    pub(super) fn packet(&self) -> usize {
        (self.leg.ptime() as usize * 8).min(MAX_PAYLOAD)
    }

    /// Samples of a payload that goes on as it is.
    pub(super) fn length_of(&self, payload: &[u8], codec: Codec) -> usize {
        match codec {
            Codec::Opus => self.packet(),
            // 64 kbit/s: a byte each eighth of a millisecond.
            Codec::Pcmu | Codec::Pcma | Codec::G722 => payload.len(),
        }
    }

    /// What it says is wanted as samples from now on. It begins with what it said last, which stands for what
    /// is to be held.
    pub(super) fn give_voice(&mut self) {
        let voice = self.voice.insert(Box::default());
        if self.leg.is_plain() {
            let mut recent = [0; USUAL_FRAME];
            decode(&self.recent, self.leg.codec(), &mut recent);
            voice.begin(&recent);
        }
    }

    /// A payload that came, in order.
    pub(super) fn came(&mut self, payload: &[u8], timestamp: u32) {
        self.heard = timestamp;
        if let Some(tail) = payload.last_chunk() {
            self.recent = *tail;
        }
    }

    /// What a payload says, or one that was lost, as the room carries it; with the samples, where they are
    /// wanted.
    pub(super) fn says<'b>(
        &mut self,
        payload: Option<&'b [u8]>,
        samples_wanted: bool,
        samples: &mut [i16; MAX_PAYLOAD],
        carried: &'b mut [u8; MAX_PAYLOAD],
    ) -> (&'b [u8], usize) {
        if let Some(payload) = payload {
            self.frame = payload.len().min(MAX_PAYLOAD);
        }
        let samples_wanted = samples_wanted || self.cleaner.is_some() || self.ear.is_some();
        if self.leg.is_plain() && !samples_wanted {
            let audio = payload.unwrap_or_else(|| {
                carried.fill(silence(self.leg.codec()));
                &carried[..self.frame]
            });
            return (audio, 0);
        }
        let count = self.leg.samples(payload, self.frame, samples);
        if let Some(cleaner) = &mut self.cleaner {
            cleaner.clean(&mut samples[..count]);
        }
        match payload.filter(|_| self.leg.is_plain() && self.cleaner.is_none()) {
            Some(payload) => (payload, count),
            None => (self.leg.carried(&samples[..count], carried), count),
        }
    }

    /// A packet of what the agent says.
    pub(super) fn say(&mut self, words: &[u8], codec: Codec) {
        let mut packet = [0; MAX_PAYLOAD];
        let packet = &mut packet[..words.len().min(MAX_PAYLOAD)];
        packet.copy_from_slice(&words[..packet.len()]);
        transcode(packet, codec, self.leg.codec());
        self.outlet.join_encoded(packet, self.leg.codec());
        self.leg.send(packet);
    }

    /// A step's samples for the peer; its packet goes out once it is whole.
    pub(super) fn give(&mut self, samples: &mut [i16]) {
        let packet = self.packet();
        self.outlet.push(samples);
        if self.outlet.due(samples.len(), packet) {
            let mut whole = [0; MAX_PAYLOAD];
            self.outlet.take(&mut whole[..packet]);
            self.leg.send_samples(&whole[..packet]);
        }
    }

    /// A frame of another leg's that goes straight on.
    pub(super) fn relay(&mut self, payload: &[u8], heard: u32, samples: usize) {
        if self.leg.is_plain() && self.outlet.is_cut() {
            let mut packet = [0; MAX_PAYLOAD];
            let packet = &mut packet[..payload.len().min(MAX_PAYLOAD)];
            packet.copy_from_slice(&payload[..packet.len()]);
            self.outlet.join_encoded(packet, self.leg.codec());
            return self.leg.relay(packet, heard, samples);
        }
        if self.leg.is_plain() {
            let codec = self.leg.codec();
            self.outlet.passed(payload.last().map(|byte| linear(*byte, codec)));
        }
        self.leg.relay(payload, heard, samples);
    }

    /// Presses keys towards the peer.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keypad.press(keys);
    }

    /// Presses no more keys.
    pub(crate) fn press_no_more(&mut self) {
        self.keypad.cut();
    }

    /// A packet of the keys that are pressed.
    pub(super) fn press_one(&mut self) {
        let samples = self.packet();
        match self.keypad.step(samples as u32) {
            Due::Event { payload, first } => {
                if first && self.leg.presses_by_info() {
                    self.pressing = key(payload[0]);
                }
                self.leg.send_event(payload, first, samples);
            }
            Due::Quiet => self.leg.send(&[silence(self.leg.codec()); MAX_PAYLOAD][..samples]),
        }
    }
}
