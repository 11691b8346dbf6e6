//! An agent on plain RTP (RFC 3550), with nothing of a protocol around it.
//!
//! The first packet, of silence, shows the agent where we are; it talks back to there. What comes is taken
//! from the address that is configured, or from the first port of its host that talks, which is then
//! also where we send. Keys pass both ways as telephone events (RFC 4733). There is no end in RTP: the
//! call ends when the caller or the API ends it.

use std::net::SocketAddr;

use trunkline_media::{
    BorrowedPort, DigitReader, Frame, Ordered, Participant, Readiness, Receiver, Resampler, RoomIo,
    RtpHeader, linear_to_ulaw, silence, ulaw_to_linear, write_rtp,
};
use trunkline_sdp::{Codec, RtpFormat};

use crate::sid::CallNames;
use crate::timeline::Timeline;

/// Packets read at one wake-up before others get their turn.
const BURST: usize = 32;
/// Longest packet either way: 20 ms at 24 kHz and more, and what a network carries in one piece.
const MAX_PACKET: usize = 2048;
/// Samples of a packet to the agent at 8000 Hz: 20 ms, whatever the caller's packets are.
const PIECE: usize = 160;
const PIECE_MS: u32 = 20;
/// Payload type of telephone events.
const EVENTS: u8 = 101;
/// How long a key press is said to have lasted: 100 ms.
const PRESS_MS: u32 = 100;
/// A press is told once and its end three times, as RFC 4733 §2.5.1.4 wants it for losses.
const ENDS: usize = 3;
/// Event codes in their order (RFC 4733 §3.2).
const KEYS: &str = "0123456789*#ABCD";

/// A participant that speaks RTP.
pub struct RtpAgent {
    port: BorrowedPort,
    call: CallNames,
    format: RtpFormat,
    /// Where packets go.
    peer: SocketAddr,
    /// The agent has talked from there.
    proven: bool,
    up: Resampler,
    out: Outgoing,
    incoming: Incoming,
    timeline: Timeline,
    started: bool,
    /// Packets from elsewhere.
    strangers: u64,
}

/// The stream to the agent.
struct Outgoing {
    ssrc: u32,
    sequence: u16,
    /// The timestamp of the call's beginning.
    base: u32,
    payload: Vec<u8>,
}

/// The stream from the agent, on its way to the room.
struct Incoming {
    receiver: Receiver,
    digits: DigitReader,
    down: Resampler,
    audio: Vec<u8>,
}

impl RtpAgent {
    /// An agent at an address. `seed` is what the stream's numbers are made from.
    #[must_use]
    pub fn new(port: BorrowedPort, call: CallNames, format: RtpFormat, peer: SocketAddr, seed: u64) -> Self {
        let rate = format.rate().max(8000);
        let factor = (rate / 8000) as usize;
        Self {
            port,
            call,
            format,
            peer,
            proven: false,
            up: Resampler::new(8000, rate),
            out: Outgoing {
                ssrc: seed as u32,
                sequence: (seed >> 48) as u16,
                base: (seed >> 16) as u32,
                payload: Vec::with_capacity(PIECE * factor * 2),
            },
            incoming: Incoming {
                receiver: Receiver::default(),
                digits: DigitReader::default(),
                down: Resampler::new(rate, 8000),
                audio: Vec::new(),
            },
            timeline: Timeline::default(),
            started: false,
            strangers: 0,
        }
    }

    /// What stands so many milliseconds into the call.
    const fn timestamp(&self, at: u64) -> u32 {
        self.out.base.wrapping_add((at as u32).wrapping_mul(self.format.rate() / 1000))
    }

    /// Sends audio that stands so many milliseconds into the call.
    fn say(&mut self, audio: &[u8], at: u64) {
        let begin = self.timestamp(at);
        for (piece, index) in audio.chunks(PIECE).zip(0u32..) {
            let timestamp = begin.wrapping_add(index * PIECE_MS * self.format.rate() / 1000);
            self.out.payload.clear();
            match self.format {
                RtpFormat::Pcmu | RtpFormat::Pcma => self.out.payload.extend_from_slice(piece),
                RtpFormat::L16 { .. } => {
                    let narrow = piece.iter().map(|byte| ulaw_to_linear(*byte));
                    let payload = &mut self.out.payload;
                    self.up.run(narrow, |sample| payload.extend(sample.to_be_bytes()));
                }
            }
            let payload = std::mem::take(&mut self.out.payload);
            self.send(self.format.payload_type(), false, timestamp, &payload);
            self.out.payload = payload;
        }
    }

    fn send(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let sequence = self.out.sequence;
        self.out.sequence = sequence.wrapping_add(1);
        let header = RtpHeader { marker, payload_type, sequence, timestamp, ssrc: self.out.ssrc };
        let mut packet = [0; MAX_PACKET];
        let length = write_rtp(&header, payload, &mut packet);
        if length > 0 {
            self.port.send(&packet[..length], self.peer);
        }
    }

    fn read(&mut self, room: &mut RoomIo<'_>) {
        let mut packet = [0; MAX_PACKET];
        for _ in 0..BURST {
            let Some((length, from)) = self.port.receive(&mut packet) else { return };
            if self.is_from_agent(from) {
                self.incoming.take(&packet[..length], self.format, room);
            } else {
                self.strangers += 1;
            }
        }
        room.read_again();
    }

    fn is_from_agent(&mut self, from: SocketAddr) -> bool {
        if !self.proven && from.ip() == self.peer.ip() {
            self.proven = true;
            self.peer = from;
        }
        from == self.peer
    }
}

/// What the room carries to and from it.
const fn carried(format: RtpFormat) -> Codec {
    match format {
        RtpFormat::Pcma => Codec::Pcma,
        RtpFormat::Pcmu | RtpFormat::L16 { .. } => Codec::Pcmu,
    }
}

impl Incoming {
    fn take(&mut self, packet: &[u8], format: RtpFormat, room: &mut RoomIo<'_>) {
        let Some((header, payload)) = RtpHeader::read(packet) else { return };
        let is_audio = header.payload_type == format.payload_type();
        if header.payload_type == EVENTS {
            if let Some(digit) = self.digits.read(header.timestamp, payload) {
                room.press(digit.encode_utf8(&mut [0; 4]));
            }
        } else if !is_audio {
            return;
        }
        let Self { receiver, down, audio, .. } = self;
        // Events have numbers too: without them there would be gaps.
        receiver.push(&header, if is_audio { payload } else { &[] }, |ordered| match ordered {
            Ordered::Audio(payload, _) => match format {
                RtpFormat::Pcmu | RtpFormat::Pcma => room.play(payload),
                RtpFormat::L16 { .. } => {
                    audio.clear();
                    let samples = payload.chunks_exact(2).map(|two| i16::from_be_bytes([two[0], two[1]]));
                    down.run(samples, |sample| audio.push(linear_to_ulaw(sample)));
                    room.play(audio);
                }
            },
            // What is lost is not made up: the queue goes on with what comes next.
            Ordered::Gap(_) => {}
        });
    }
}

impl Participant for RtpAgent {
    fn codec(&self) -> Option<Codec> {
        Some(carried(self.format))
    }

    fn start(&mut self, room: &mut RoomIo<'_>) {
        self.started = true;
        self.timeline.begin(room.now);
        let at = self.timeline.pass(u64::from(PIECE_MS), room.now);
        self.say(&[silence(carried(self.format)); PIECE], at);
        self.read(room);
    }

    fn hear(&mut self, frame: Frame<'_>, room: &mut RoomIo<'_>) {
        if self.started {
            let at = self.timeline.pass(frame.payload.len() as u64 / 8, room.now);
            self.say(frame.payload, at);
        }
    }

    fn digit(&mut self, digit: char, room: &mut RoomIo<'_>) {
        let Some(code) = KEYS.find(digit).and_then(|at| u8::try_from(at).ok()) else { return };
        let at = self.timeline.pass(0, room.now);
        let timestamp = self.timestamp(at);
        let [high, low] = ((PRESS_MS * self.format.rate() / 1000) as u16).to_be_bytes();
        // Volume -10 dBm0, and the end bit.
        self.send(EVENTS, true, timestamp, &[code, 10, high, low]);
        for _ in 0..ENDS {
            self.send(EVENTS, false, timestamp, &[code, 0x80 | 10, high, low]);
        }
    }

    fn socket(&mut self) -> Option<&mut dyn mio::event::Source> {
        self.port.source()
    }

    fn ready(&mut self, readiness: Readiness, room: &mut RoomIo<'_>) {
        if readiness.readable && self.started {
            self.read(room);
        }
    }

    fn leave(&mut self) {
        if self.strangers > 0 {
            let CallNames { call, sip_call_id } = &self.call;
            let packets = self.strangers;
            tracing::warn!(%call, %sip_call_id, packets, "packets to the agent's port came from elsewhere and were dropped");
        }
    }
}
