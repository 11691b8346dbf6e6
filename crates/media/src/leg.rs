//! An RTP leg: one port pair, one peer (RFC 3550, symmetric RTP by RFC 4961).
//!
//! The peer is the one that was negotiated, or the address it first proves (`latch.rs`). Packets from
//! anywhere else are counted and dropped.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkline_sdp::Codec;
use trunkline_sdp::media::{DtmfMethod, MediaSpec, MediaStats};

use crate::codec::Decoder;
use crate::g711::{encode, silence, ulaw_to_linear};
use crate::keypad::tone;
use crate::latch::Latch;
use crate::ports::Pair;
use crate::quality::Quality;
use crate::rtp_packet::{FIXED, RtpHeader, write_rtp};
use crate::srtp::{OVERHEAD, Srtp};
use carried::Translator;
use keys::Keys;

mod carried;
mod keys;
mod reports;

/// Longest payload sent: 60 ms of G.711.
pub(crate) const MAX_PAYLOAD: usize = 480;
/// Samples in a second of what a room carries.
const ROOM_RATE: u32 = 8000;
/// Payload type of comfort noise (RFC 3389).
const COMFORT_NOISE: u8 = 13;

/// What a packet from the caller is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// Audio of the negotiated codec.
    Audio { header: RtpHeader, payload: &'a [u8] },
    /// A packet that counts and says nothing, perhaps with a key press that began.
    Quiet { header: RtpHeader, digit: Option<char> },
    /// Dropped.
    Nothing,
}

/// A peer's side of a room.
pub(crate) struct RtpLeg {
    pub(crate) pair: Pair,
    spec: Option<MediaSpec>,
    srtp: Option<Box<Srtp>>,
    /// Where the codec is not G.711.
    translator: Option<Box<Translator>>,
    /// Where G.711 is wanted as samples.
    decoder: Option<Box<Decoder>>,
    latch: Latch,
    /// Timestamp of the key press that is being sent.
    event_began: u32,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    sent: u64,
    octets: u64,
    /// Our timestamp minus that of the frames that are sent straight on.
    offset: Option<u32>,
    pub(crate) last_heard: Instant,
    quality: Quality,
    keys: Keys,
    strangers: u64,
    unauthentic: u64,
    started: Instant,
    /// Middle 32 bits of the peer's last sender report and when it came.
    last_sr: Option<(u32, Instant)>,
}

impl RtpLeg {
    pub(crate) fn new(pair: Pair, spec: Option<MediaSpec>, seed: u64, now: Instant) -> Self {
        let [a, b, c, d, e, f, g, h] = seed.to_be_bytes();
        Self {
            pair,
            srtp: spec.and_then(|spec| spec.srtp).map(|keys| Box::new(Srtp::new(&keys))),
            translator: spec.and_then(|spec| Translator::new(spec.codec)),
            decoder: None,
            spec,
            latch: Latch::default(),
            event_began: 0,
            sequence: u16::from_be_bytes([a, b]) >> 1,
            timestamp: u32::from_be_bytes([c, d, a, b]),
            ssrc: u32::from_be_bytes([e, f, g, h]),
            sent: 0,
            octets: 0,
            offset: None,
            last_heard: now,
            quality: Quality::new(clock(spec.as_ref())),
            keys: Keys::default(),
            strangers: 0,
            unauthentic: 0,
            started: now,
            last_sr: None,
        }
    }

    /// New terms: by an answer that came late, or a re-INVITE.
    pub(crate) fn update(&mut self, spec: MediaSpec, now: Instant) {
        self.latch.terms(self.spec.as_ref(), &spec, now);
        match (&mut self.srtp, &spec.srtp) {
            (Some(srtp), Some(keys)) => srtp.rekey(keys),
            (srtp, keys) => *srtp = keys.as_ref().map(|keys| Box::new(Srtp::new(keys))),
        }
        if self.translator.as_ref().map_or(self.codec(), |translator| translator.codec()) != spec.codec {
            self.translator = Translator::new(spec.codec);
            self.quality.count_in(spec.codec.clock_rate());
            self.offset = None;
        }
        self.spec = Some(spec);
        self.last_heard = now;
    }

    /// Whether nothing came for `limit` while something should. A caller that holds the call hears
    /// nothing and owes us nothing.
    pub(crate) fn is_silent(&self, limit: Duration, now: Instant) -> bool {
        self.spec.is_some_and(|spec| spec.receives && spec.sends)
            && now.duration_since(self.last_heard) >= limit
    }

    /// Packet time in milliseconds.
    #[must_use]
    pub(crate) const fn ptime(&self) -> u32 {
        match self.spec {
            Some(spec) => spec.ptime,
            None => 20,
        }
    }

    /// Codec of what the room gets and gives: G.711 as negotiated, µ-law for every other codec and before
    /// anything is agreed on.
    #[must_use]
    pub(crate) const fn codec(&self) -> Codec {
        match self.spec {
            Some(spec) if spec.codec.is_g711() => spec.codec,
            Some(_) | None => Codec::Pcmu,
        }
    }

    /// Whether it is agreed on how it sends and receives.
    pub(crate) const fn is_agreed(&self) -> bool {
        self.spec.is_some()
    }

    /// Steps of the leg's RTP clock in so many samples of the room's.
    const fn steps(&self, samples: u32) -> u32 {
        samples * (clock(self.spec.as_ref()) / ROOM_RATE)
    }

    /// Opens a packet off the RTP port, where the stream is encrypted; the plain one lies in `buffer` then.
    /// `None` for what is not the peer's. RTCP on this port is passed on as it is.
    pub(crate) fn opened<'a>(
        &mut self,
        packet: &'a [u8],
        from: SocketAddr,
        buffer: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let Some(srtp) = &mut self.srtp else { return Some(packet) };
        if self.spec.is_some_and(|spec| spec.rtcp_mux && is_control(packet)) {
            return Some(packet);
        }
        // Whoever is not even at the right place is not worth the arithmetic.
        if self.latch.excludes(from) {
            self.strangers += 1;
            return None;
        }
        let buffer = buffer.get_mut(..packet.len())?;
        buffer.copy_from_slice(packet);
        let Some(length) = srtp.open(buffer) else {
            self.unauthentic += 1;
            return None;
        };
        Some(&buffer[..length])
    }

    /// Takes a packet off the RTP port, opened.
    pub(crate) fn accept<'a>(&mut self, packet: &'a [u8], from: SocketAddr, now: Instant) -> Heard<'a> {
        let Some(spec) = self.spec else {
            return Heard::Nothing;
        };
        if spec.rtcp_mux && is_control(packet) {
            self.rtcp_packet(packet, from, now);
            return Heard::Nothing;
        }
        let Some((header, payload)) = RtpHeader::read(packet) else {
            return Heard::Nothing;
        };
        let audio = header.payload_type == spec.payload_type;
        let event = Some(header.payload_type) == spec.events;
        if !(audio || event || header.payload_type == COMFORT_NOISE) {
            return Heard::Nothing;
        }
        if !self.latch.is_peer(from, &spec, now) {
            self.strangers += 1;
            return Heard::Nothing;
        }
        self.last_heard = now;
        let rate = u128::from(spec.codec.clock_rate());
        let arrival = (now.duration_since(self.started).as_micros() * rate / 1_000_000) as u32;
        self.quality.received(header.ssrc, header.sequence, header.timestamp, arrival);
        if event {
            let digit = self.keys.event(header.ssrc, header.timestamp, payload);
            return Heard::Quiet { header, digit };
        }
        if audio && !payload.is_empty() {
            Heard::Audio { header, payload }
        } else {
            Heard::Quiet { header, digit: None }
        }
    }

    /// Where RTP goes: to the source that was proved, else to the negotiated address.
    fn remote(&self) -> Option<SocketAddr> {
        let spec = self.spec.filter(|spec| spec.sends)?;
        self.latch.target().or(spec.remote)
    }

    /// Finds the place in our time of a frame that is sent straight on: with the spacing of its own
    /// timestamps.
    fn follow(&mut self, heard: u32) {
        let expected = self.timestamp;
        let offset = *self.offset.get_or_insert(expected.wrapping_sub(heard));
        let timestamp = heard.wrapping_add(offset);
        // Another source, or a jump: go on from where we are.
        let jump = timestamp.wrapping_sub(expected) as i32;
        if jump.unsigned_abs() > clock(self.spec.as_ref()) {
            self.offset = Some(expected.wrapping_sub(heard));
        } else {
            self.timestamp = timestamp;
        }
    }

    /// Other frames than those of before are sent straight on from now, or none.
    pub(crate) const fn follow_anew(&mut self) {
        self.offset = None;
    }

    /// Sends a frame straight on as the room carries it; `heard` is its timestamp.
    pub(crate) fn forward(&mut self, audio: &[u8], heard: u32) {
        self.follow(heard);
        self.send(audio);
    }

    /// Sends a payload of another leg's straight on: of the same codec, so many samples of the room's long.
    pub(crate) fn relay(&mut self, payload: &[u8], heard: u32, samples: usize) {
        self.follow(heard);
        self.emit(payload, samples);
    }

    /// Sends a packet of audio as the room carries it.
    pub(crate) fn send(&mut self, audio: &[u8]) {
        if self.translator.is_none() {
            return self.emit(audio, audio.len());
        }
        let mut pcm = [0; MAX_PAYLOAD];
        for (sample, byte) in pcm.iter_mut().zip(audio) {
            *sample = ulaw_to_linear(*byte);
        }
        self.send_samples(&pcm[..audio.len().min(MAX_PAYLOAD)]);
    }

    /// Sends a packet of samples.
    pub(crate) fn send_samples(&mut self, samples: &[i16]) {
        let mut encoded = [0; MAX_PAYLOAD];
        let codec = self.codec();
        let length = match &mut self.translator {
            Some(translator) => translator.encode(samples, &mut encoded),
            None => {
                for (byte, sample) in encoded.iter_mut().zip(samples) {
                    *byte = encode(*sample, codec);
                }
                samples.len().min(MAX_PAYLOAD)
            }
        };
        self.emit(&encoded[..length], samples.len());
    }

    /// Sends a payload in the leg's codec and steps sequence and timestamp on.
    fn emit(&mut self, payload: &[u8], samples: usize) {
        let Some(spec) = self.spec else { return };
        if let Some(remote) = self.remote().filter(|_| !payload.is_empty()) {
            let header = RtpHeader {
                marker: self.sent == 0,
                payload_type: spec.payload_type,
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: self.ssrc,
            };
            self.transmit(&header, payload, remote);
        }
        self.timestamp = self.timestamp.wrapping_add(self.steps(samples as u32));
    }

    /// Whether keys are pressed towards its peer in INFO requests, which the call sends.
    pub(crate) fn presses_by_info(&self) -> bool {
        self.spec.is_some_and(|spec| spec.dtmf == DtmfMethod::Info)
    }

    /// Sends a telephone event, or its tones where the trunk says so or the peer takes none. All packets of
    /// a press carry the time of its beginning (RFC 4733 §2.5.1.2); the clock of the stream goes on
    /// meanwhile. Durations come in the room's samples and go out in steps of the events' clock.
    pub(crate) fn send_event(&mut self, payload: [u8; 4], first: bool, samples: usize) {
        let samples = samples.min(MAX_PAYLOAD);
        let Some(spec) = self.spec else { return };
        let events = match (spec.dtmf, spec.events) {
            (DtmfMethod::Auto | DtmfMethod::Rfc4733, Some(events)) => events,
            (DtmfMethod::Auto, None) | (DtmfMethod::Inband, _) => {
                return self.send_tone(payload, samples, self.codec());
            }
            // Presses in INFO requests do not come here; what cannot be sent as wished is silence.
            (DtmfMethod::Rfc4733, None) | (DtmfMethod::Info, _) => {
                return self.send(&[silence(self.codec()); MAX_PAYLOAD][..samples]);
            }
        };
        let [event, flags, high, low] = payload;
        let duration = u32::from(u16::from_be_bytes([high, low])) * (spec.events_rate / ROOM_RATE);
        let [high, low] = (duration.min(u32::from(u16::MAX)) as u16).to_be_bytes();
        let payload = [event, flags, high, low];
        // What is forwarded next finds its place in time anew.
        self.offset = None;
        if first {
            self.event_began = self.timestamp;
        }
        if let Some(remote) = self.remote() {
            let header = RtpHeader {
                marker: first,
                payload_type: events,
                sequence: self.sequence,
                timestamp: self.event_began,
                ssrc: self.ssrc,
            };
            self.transmit(&header, &payload, remote);
        }
        self.timestamp = self.timestamp.wrapping_add(self.steps(samples as u32));
    }

    fn transmit(&mut self, header: &RtpHeader, payload: &[u8], remote: SocketAddr) {
        let mut packet = [0; FIXED + MAX_PAYLOAD + OVERHEAD];
        let mut length = write_rtp(header, payload, &mut packet);
        if let Some(srtp) = &mut self.srtp {
            length = srtp.protect(&mut packet, length).unwrap_or(0);
        }
        // A full socket buffer or an ICMP error costs this packet, as the network might.
        if length > 0 && self.pair.rtp.send_to(&packet[..length], remote).is_ok() {
            self.sent += 1;
            self.octets += payload.len() as u64;
        }
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn send_tone(&mut self, [event, flags, high, low]: [u8; 4], samples: usize, codec: Codec) {
        let mut packet = [silence(codec); MAX_PAYLOAD];
        // The end is said three times; it sounds once.
        if flags & 0x80 == 0 {
            let mut linear = [0; MAX_PAYLOAD];
            let offset = u32::from(u16::from_be_bytes([high, low])).saturating_sub(samples as u32);
            tone(event, offset, &mut linear[..samples]);
            for (byte, sample) in packet.iter_mut().zip(linear) {
                *byte = encode(sample, codec);
            }
        }
        self.send(&packet[..samples]);
    }

    /// The figures for the record.
    pub(crate) fn stats(&self) -> MediaStats {
        MediaStats {
            packets_sent: self.sent,
            strangers_dropped: self.strangers,
            unauthentic_dropped: self.unauthentic,
            dtmf_digits: self.keys.heard(),
            ..self.quality.stats()
        }
    }
}

/// Steps of a leg's RTP clock in a second.
const fn clock(spec: Option<&MediaSpec>) -> u32 {
    match spec {
        Some(spec) => spec.codec.clock_rate(),
        None => ROOM_RATE,
    }
}

/// Whether a packet on a shared port is RTCP (RFC 5761 §4).
fn is_control(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

#[cfg(test)]
mod tests;
