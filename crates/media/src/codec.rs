//! Codecs between payloads and linear samples, one direction each, without allocation for a frame.
//!
//! Each works at a rate that its user chooses among those of its codec: G.722 and Opus give 8 kHz by
//! themselves, so a room of G.711 has them without more ado. What is lost is concealed: Opus
//! knows how, the others repeat what they had, fading.

mod opus;

use std::fmt;

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};
use trunkline_sdp::Codec;

use crate::g711::{decode as decode_g711, encode as encode_g711};
use crate::resample::Resampler;

/// Longest frame in samples: 120 ms at 48 kHz, Opus's longest.
pub(crate) const MAX_SAMPLES: usize = 5760;
/// What is remembered to be repeated: 20 ms at 16 kHz.
const REMEMBERED: usize = 320;
/// Longest frame of G.722 in samples: 120 ms at 16 kHz.
const MAX_G722: usize = 1920;
/// After so many lost frames in a row there is silence.
const MAX_REPEATS: u32 = 3;

/// Payloads to samples.
pub(crate) enum Decoder {
    /// G.711 of either law, at 8 kHz.
    G711 { codec: Codec, last: Last },
    /// At 16 kHz, or brought down to 8.
    G722 { decoder: Box<G722Decoder>, down: Option<Resampler>, last: Last },
    /// At 8, 12, 16, 24 or 48 kHz.
    Opus(Box<opus::Decoder>),
}

impl Decoder {
    /// One of what a room carries of a leg with that codec: G.711.
    pub(crate) fn new(codec: Codec) -> Self {
        let codec = if codec.is_g711() { codec } else { Codec::Pcmu };
        Self::G711 { codec, last: Last::default() }
    }

    /// A decoder at a rate in hertz; `None` where the codec has no such rate.
    pub(crate) fn at(codec: Codec, rate: u32) -> Option<Self> {
        match (codec, rate) {
            (Codec::Pcmu | Codec::Pcma, 8000) => Some(Self::new(codec)),
            (Codec::G722, 8000 | 16_000) => {
                let down = (rate == 8000).then(|| Resampler::new(16_000, 8000));
                Some(Self::G722 { decoder: Box::default(), down, last: Last::default() })
            }
            (Codec::Opus, _) => opus::Decoder::new(rate).map(Box::new).map(Self::Opus),
            (Codec::Pcmu | Codec::Pcma | Codec::G722, _) => None,
        }
    }

    /// The codec of its payloads.
    pub(crate) const fn codec(&self) -> Codec {
        match self {
            Self::G711 { codec, .. } => *codec,
            Self::G722 { .. } => Codec::G722,
            Self::Opus(_) => Codec::Opus,
        }
    }

    /// Decodes a payload; gives the number of samples, 0 for what is no payload of the codec or longer than
    /// `out`.
    pub(crate) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::G711 { codec, last } => {
                let Some(out) = out.get_mut(..payload.len()) else { return 0 };
                let count = decode_g711(payload, *codec, out);
                last.heard(out);
                count
            }
            Self::G722 { decoder, down: None, last } => {
                let count = decoder.decode_into(payload, out).unwrap_or(0);
                last.heard(&out[..count]);
                count
            }
            Self::G722 { decoder, down: Some(down), last } => {
                let mut wide = [0; MAX_G722];
                let count = decoder.decode_into(payload, &mut wide).unwrap_or(0);
                let count = resample(down, &wide[..count], out);
                last.heard(&out[..count]);
                count
            }
            Self::Opus(decoder) => decoder.decode(payload, out),
        }
    }

    /// Fills `out` with what may stand for a lost frame of that length.
    pub(crate) fn conceal(&mut self, out: &mut [i16]) {
        match self {
            Self::G711 { last, .. } | Self::G722 { last, .. } => last.repeat(out),
            Self::Opus(decoder) => decoder.conceal(out),
        }
    }
}

/// Samples to payloads.
pub(crate) enum Encoder {
    /// G.711 of either law, at 8 kHz.
    G711(Codec),
    /// At 16 kHz, or brought up from 8.
    G722 { encoder: Box<G722Encoder>, up: Option<Resampler> },
    /// At 8, 12, 16, 24 or 48 kHz.
    Opus(Box<opus::Encoder>),
}

impl Encoder {
    /// One of what a room carries to a leg with that codec: G.711.
    pub(crate) const fn new(codec: Codec) -> Self {
        Self::G711(if codec.is_g711() { codec } else { Codec::Pcmu })
    }

    /// An encoder at a rate in hertz; `None` where the codec has no such rate.
    pub(crate) fn at(codec: Codec, rate: u32) -> Option<Self> {
        match (codec, rate) {
            (Codec::Pcmu | Codec::Pcma, 8000) => Some(Self::new(codec)),
            (Codec::G722, 8000 | 16_000) => {
                let up = (rate == 8000).then(|| Resampler::new(8000, 16_000));
                Some(Self::G722 { encoder: Box::default(), up })
            }
            (Codec::Opus, _) => opus::Encoder::new(rate).map(Box::new).map(Self::Opus),
            (Codec::Pcmu | Codec::Pcma | Codec::G722, _) => None,
        }
    }

    /// The codec of its payloads.
    pub(crate) const fn codec(&self) -> Codec {
        match self {
            Self::G711(codec) => *codec,
            Self::G722 { .. } => Codec::G722,
            Self::Opus(_) => Codec::Opus,
        }
    }

    /// Encodes a frame; gives the length of the payload, 0 where it does not fit or the codec has no frames of
    /// that length. Opus has 10, 20, 40 and 60 ms among its own.
    pub(crate) fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match self {
            Self::G711(codec) => {
                let Some(out) = out.get_mut(..pcm.len()) else { return 0 };
                for (byte, sample) in out.iter_mut().zip(pcm) {
                    *byte = encode_g711(*sample, *codec);
                }
                pcm.len()
            }
            Self::G722 { encoder, up: None } => encoder.encode_into(pcm, out).unwrap_or(0),
            Self::G722 { encoder, up: Some(up) } => {
                let mut wide = [0; MAX_G722];
                if pcm.len() * 2 > MAX_G722 {
                    return 0;
                }
                let count = resample(up, pcm, &mut wide);
                encoder.encode_into(&wide[..count], out).unwrap_or(0)
            }
            Self::Opus(encoder) => encoder.encode(pcm, out),
        }
    }
}

/// Gives the number of samples that it made.
fn resample(resampler: &mut Resampler, input: &[i16], out: &mut [i16]) -> usize {
    let (mut places, mut count) = (out.iter_mut(), 0);
    resampler.run(input.iter().copied(), |sample| {
        if let Some(place) = places.next() {
            *place = sample;
            count += 1;
        }
    });
    count
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({})", self.codec().name())
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({})", self.codec().name())
    }
}

/// The end of what was heard last.
pub(crate) struct Last {
    samples: [i16; REMEMBERED],
    length: usize,
    repeats: u32,
}

impl Default for Last {
    fn default() -> Self {
        Self { samples: [0; REMEMBERED], length: 0, repeats: 0 }
    }
}

impl Last {
    fn heard(&mut self, samples: &[i16]) {
        let tail = &samples[samples.len().saturating_sub(REMEMBERED)..];
        self.samples[..tail.len()].copy_from_slice(tail);
        self.length = tail.len();
        self.repeats = 0;
    }

    /// Repeats it at half the loudness, then at a quarter, fading within the frame; then there is silence.
    fn repeat(&mut self, out: &mut [i16]) {
        out.fill(0);
        if self.length == 0 || self.repeats == MAX_REPEATS {
            return;
        }
        let count = out.len().max(1) as i32;
        let heard = self.samples[..self.length].iter().cycle();
        for (at, (place, sample)) in (0i32..).zip(out.iter_mut().zip(heard)) {
            // From one half of the level at the frame's beginning to a quarter at its end.
            let level = 2 * count - at;
            *place = ((i32::from(*sample) * level / (4 * count)) >> self.repeats) as i16;
        }
        self.repeats += 1;
    }
}

#[cfg(test)]
mod tests;
