//! Opus (RFC 6716), mono, by `opus-rs`: its encoder and decoder hold a few hundred kilobytes each, so only
//! legs that speak it have them.

use opus_rs::{Application, OpusDecoder, OpusEncoder};

use super::MAX_SAMPLES;

/// Bits a second and a kilohertz of bandwidth: 16 kbit/s for telephone speech, 32 for wideband.
const BITS_PER_HERTZ: u32 = 2;
/// Most bits a second.
const MAX_BITRATE: u32 = 48_000;
/// Half of the steps that libopus has: near the same quality for speech at two thirds of the work.
const COMPLEXITY: i32 = 5;
/// Loss that redundancy is made for, in percent.
const EXPECTED_LOSS: i32 = 5;
const RATES: [u32; 5] = [8000, 12_000, 16_000, 24_000, 48_000];

pub(crate) struct Decoder {
    inner: OpusDecoder,
    scratch: Box<[f32; MAX_SAMPLES]>,
}

impl Decoder {
    pub(super) fn new(rate: u32) -> Option<Self> {
        let inner = RATES.contains(&rate).then(|| OpusDecoder::new(rate as i32, 1))?.ok()?;
        Some(Self { inner, scratch: Box::new([0.0; MAX_SAMPLES]) })
    }

    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        // One byte and less stands for a frame that was not sent: that is for `conceal`.
        if payload.len() < 2 {
            return 0;
        }
        let room = out.len().min(MAX_SAMPLES);
        let count = self.inner.decode(payload, room, &mut self.scratch[..room]).unwrap_or(0);
        self.give(count.min(room), out)
    }

    pub(super) fn conceal(&mut self, out: &mut [i16]) {
        let room = out.len().min(MAX_SAMPLES);
        let count = self.inner.decode(&[], room, &mut self.scratch[..room]).unwrap_or(0);
        let count = self.give(count.min(room), out);
        out[count..].fill(0);
    }

    fn give(&self, count: usize, out: &mut [i16]) -> usize {
        for (sample, float) in out.iter_mut().zip(&self.scratch[..count]) {
            *sample = (float * 32_768.0).clamp(-32_768.0, 32_767.0) as i16;
        }
        count
    }
}

pub(crate) struct Encoder {
    inner: OpusEncoder,
}

impl Encoder {
    pub(super) fn new(rate: u32) -> Option<Self> {
        let make = || OpusEncoder::new(rate as i32, 1, Application::Voip);
        let mut inner = RATES.contains(&rate).then(make)?.ok()?;
        inner.bitrate_bps = (rate * BITS_PER_HERTZ).min(MAX_BITRATE) as i32;
        inner.complexity = COMPLEXITY;
        inner.use_inband_fec = true;
        inner.packet_loss_perc = EXPECTED_LOSS;
        Some(Self { inner })
    }

    pub(super) fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        self.inner.encode_i16(pcm, pcm.len(), out).unwrap_or(0)
    }
}
