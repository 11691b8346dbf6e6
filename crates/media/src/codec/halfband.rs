//! Between 16 and 8 kHz: a half-band filter, every other of whose taps is nothing.
//!
//! Flat to 3.4 kHz, 40 dB and more down from 4.6 kHz; it delays by 1.4 ms.

use std::f32::consts::PI;
use std::sync::LazyLock;

/// Taps; an odd number of the form 4k - 1.
const TAPS: usize = 47;
const MIDDLE: usize = TAPS / 2;

/// A sinc in a Hamming window, which adds up to one.
static FILTER: LazyLock<[f32; TAPS]> = LazyLock::new(|| {
    let tap = |at: usize| {
        let x = at as f32 - MIDDLE as f32;
        let sinc = if at == MIDDLE { 0.5 } else { (PI * x / 2.0).sin() / (PI * x) };
        sinc * (0.54 - 0.46 * (2.0 * PI * at as f32 / (TAPS - 1) as f32).cos())
    };
    let taps: [f32; TAPS] = std::array::from_fn(tap);
    let sum: f32 = taps.iter().sum();
    taps.map(|tap| tap / sum)
});

/// The filter with what it heard last.
pub(crate) struct HalfBand {
    history: [f32; TAPS],
    newest: usize,
}

impl Default for HalfBand {
    fn default() -> Self {
        Self { history: [0.0; TAPS], newest: 0 }
    }
}

impl HalfBand {
    /// From 16 to 8 kHz; gives the number of samples.
    pub(super) fn halve(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let mut count = 0;
        for (pair, place) in input.chunks_exact(2).zip(out) {
            self.take(f32::from(pair[0]));
            self.take(f32::from(pair[1]));
            *place = self.value(1.0);
            count += 1;
        }
        count
    }

    /// From 8 to 16 kHz; gives the number of samples.
    pub(super) fn double(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let mut count = 0;
        for (sample, pair) in input.iter().zip(out.chunks_exact_mut(2)) {
            self.take(f32::from(*sample));
            pair[0] = self.value(2.0);
            self.take(0.0);
            pair[1] = self.value(2.0);
            count += 2;
        }
        count
    }

    fn take(&mut self, sample: f32) {
        self.newest = (self.newest + 1) % TAPS;
        self.history[self.newest] = sample;
    }

    fn value(&self, gain: f32) -> i16 {
        let (late, early) = self.history.split_at(self.newest + 1);
        let order = late.iter().rev().chain(early.iter().rev());
        let sum: f32 = order.zip(FILTER.iter()).map(|(sample, tap)| sample * tap).sum();
        (sum * gain).round().clamp(-32_768.0, 32_767.0) as i16
    }
}
