//! What legs say: each frame, in order, to those who get it as it comes and to the mix.

use std::time::Instant;

use trunkline_sdp::Codec;
use trunkline_sdp::control::AgentNews;

use super::floor::Floor;
use crate::g711::transcode;
use crate::leg::MAX_PAYLOAD;
use crate::participant::Frame;
use crate::receiver::Ordered;

impl Floor {
    /// A frame of a leg, or several that were lost.
    pub(super) fn spoken(&mut self, place: usize, ordered: Ordered<'_>, now: Instant) {
        match ordered {
            Ordered::Audio([], _) => {}
            Ordered::Audio(payload, timestamp) => {
                if let Some(line) = self.lines[place].as_deref_mut() {
                    line.came(payload, timestamp);
                }
                self.relay(place, payload, timestamp);
                self.frame(place, Some(payload), now);
            }
            // To a leg that gets the frames as they come, what was lost is lost.
            Ordered::Gap(count) => (0..count).for_each(|_| self.frame(place, None, now)),
        }
    }

    /// Straight on to other legs.
    fn relay(&mut self, place: usize, payload: &[u8], timestamp: u32) {
        let legs = self.plan.outs[place].legs;
        if legs.is_empty() {
            return;
        }
        let Some(codec) = self.lines[place].as_ref().and_then(|line| line.leg.spoken()) else { return };
        for listener in legs.iter() {
            if let Some(line) = self.line(listener)
                && line.keypad.is_idle()
            {
                let samples = line.length_of(payload, codec);
                line.relay(payload, timestamp, samples);
            }
        }
    }

    /// To the agent and to the mix.
    fn frame(&mut self, place: usize, payload: Option<&[u8]>, now: Instant) {
        let outs = self.plan.outs[place];
        let Some(line) = self.lines[place].as_deref_mut() else { return };
        let tones = line.leg.hears_tones();
        if !(outs.agent || outs.voice || tones || line.ear.is_some()) {
            return;
        }
        let (mut samples, mut carried) = ([0; MAX_PAYLOAD], [0; MAX_PAYLOAD]);
        let (audio, count) = line.says(payload, outs.voice, &mut samples, &mut carried);
        if let Some(voice) = &mut line.voice {
            voice.push(&samples[..count]);
        }
        let speaks = line.ear.as_mut().and_then(|ear| ear.hear(&samples[..count], now));
        let (heard, codec) = (line.heard, line.leg.codec());
        let digit = if tones { line.leg.pressed_in(audio) } else { None };
        if outs.agent {
            self.deliver(audio, codec, payload.is_none(), heard, now);
        }
        if let Some(digit) = digit {
            self.pressed(place, digit, true, now);
        }
        if let Some(began) = speaks {
            self.speech(began, now);
        }
    }

    /// The caller began to speak, or has stopped.
    fn speech(&mut self, began: bool, now: Instant) {
        let news = if began { AgentNews::SpeechStarted } else { AgentNews::SpeechStopped };
        if self.seat.listens()
            && let Some((agent, mut io)) = self.agent(0, now)
        {
            agent.tell(&news, &mut io);
        }
    }

    /// A caller that sends nothing while it does not speak has stopped too.
    pub(super) fn speech_faded(&mut self, now: Instant) {
        let mut ears = self.lines.iter_mut().flatten().filter_map(|line| line.ear.as_mut());
        if ears.any(|ear| ear.has_faded(now)) {
            self.speech(false, now);
        }
    }

    /// Hands a frame of G.711 to the agent, in the codec that it wants.
    pub(super) fn deliver(&mut self, audio: &[u8], ours: Codec, lost: bool, heard: u32, now: Instant) {
        if !self.seat.listens() {
            return;
        }
        // What would go straight back would come between the packets of a press.
        let echo = self.plan.echo.and_then(|place| self.lines[place].as_deref());
        if echo.is_some_and(|line| !line.keypad.is_idle()) {
            return;
        }
        let wanted = self.seat.codec().unwrap_or(ours);
        let mut converted = [0; MAX_PAYLOAD];
        let mut payload = audio;
        let cut = self.seat.outlet.is_cut();
        if wanted != ours || cut {
            let length = audio.len().min(MAX_PAYLOAD);
            let converted = &mut converted[..length];
            converted.copy_from_slice(&audio[..length]);
            transcode(converted, ours, wanted);
            if cut {
                self.seat.outlet.join_encoded(converted, wanted);
            }
            payload = converted;
        }
        if let Some(last) = payload.last() {
            self.seat.outlet.passed(Some(crate::g711::linear(*last, wanted)));
        }
        if let Some((agent, mut io)) = self.agent(heard, now) {
            agent.hear(Frame { payload, codec: wanted, lost }, &mut io);
        }
    }
}
