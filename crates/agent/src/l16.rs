//! Linear audio in binary messages with JSON beside it, as jambonz's `listen` and FreeSWITCH's
//! mod_audio_fork speak it to their servers.
//!
//! ```text
//! to the agent:   metadata, then binary 16-bit samples; dtmf, mark, playDone
//! from the agent: binary samples; playAudio, killAudio, mark, clearMarks, disconnect
//!                 and the events that are the same on every socket
//! ```
//! Samples are little-endian, one channel, at the agent's rate both ways.

mod messages;

use bytes::{BufMut, Bytes, BytesMut};
use trunkline_media::{Resampler, linear_to_ulaw, ulaw_to_linear};
use tungstenite::Utf8Bytes;

use crate::link::Link;
use crate::said::FromAgent;
use crate::socket::{Mark, SocketAgent, Wire};
pub use messages::{Metadata, read};

/// The subprotocols that servers of this kind know; any of them will do.
pub const SUBPROTOCOLS: [&str; 2] = ["audio.jambonz.org", "audio.drachtio.org"];

/// Samples a second of what a room carries.
const ROOM_RATE: u32 = 8000;
/// Room for a message of 20 ms at 24 kHz.
const USUAL_BYTES: usize = 960;

/// A participant that speaks linear audio.
pub type L16Agent = SocketAgent<L16>;

/// The protocol's words for one call.
pub struct L16 {
    metadata: Metadata,
    up: Resampler,
    down: Resampler,
    factor: usize,
    buffer: BytesMut,
    /// The first byte of a sample whose second comes with the next message.
    half: Option<u8>,
}

impl L16 {
    /// For a call with this metadata; its rate is a multiple of 8000.
    #[must_use]
    pub fn new(metadata: Metadata) -> Self {
        let rate = metadata.rate.max(ROOM_RATE);
        let factor = (rate / ROOM_RATE) as usize;
        Self {
            metadata,
            up: Resampler::new(ROOM_RATE, rate),
            down: Resampler::new(rate, ROOM_RATE),
            factor,
            buffer: BytesMut::with_capacity(4 * USUAL_BYTES),
            half: None,
        }
    }

    /// µ-law as a message of samples at the agent's rate.
    fn samples(&mut self, audio: &[u8]) -> Bytes {
        self.buffer.reserve(audio.len() * self.factor * 2);
        let narrow = audio.iter().map(|byte| ulaw_to_linear(*byte));
        self.up.run(narrow, |sample| self.buffer.put_i16_le(sample));
        self.buffer.split().freeze()
    }
}

impl Wire for L16 {
    fn greet(&mut self, link: &mut Link) -> bool {
        link.send(self.metadata.message())
    }

    fn media(&mut self, audio: &[u8], _at: u64, link: &mut Link) -> bool {
        let message = self.samples(audio);
        link.send_binary(message)
    }

    fn digit(&mut self, digit: char) -> Utf8Bytes {
        messages::digit(digit)
    }

    fn mark(&mut self, mark: &Mark, cleared: bool) -> Utf8Bytes {
        messages::mark(mark, cleared)
    }

    fn stop(&mut self) -> Option<Utf8Bytes> {
        None
    }

    fn read<'a>(&mut self, text: &'a str, audio: &mut Vec<u8>) -> FromAgent<'a> {
        messages::read(text, audio)
    }

    fn read_binary(&mut self, bytes: &[u8], audio: &mut Vec<u8>) -> bool {
        audio.clear();
        let half = &mut self.half;
        let wide = bytes.iter().filter_map(|byte| match half.take() {
            None => {
                *half = Some(*byte);
                None
            }
            Some(low) => Some(i16::from_le_bytes([low, *byte])),
        });
        self.down.run(wide, |sample| audio.push(linear_to_ulaw(sample)));
        true
    }
}

#[cfg(test)]
mod tests;
