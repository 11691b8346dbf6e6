//! What a leg says, as samples, on its way into a mix: it comes by the network's clock and is taken by the
//! room's.
//!
//! Some of it is held before the first is taken, so that packets may come unevenly. Where it runs dry it
//! fades out within 5 ms and more is held the next time; where too much has gathered, the oldest is left
//! out. No edge clicks.

use trunkline_sdp::Codec;

use super::outlet::smooth;
use crate::g711::decode;
use crate::leg::MAX_PAYLOAD;

/// Samples that fit: a quarter of a second.
const CAPACITY: usize = 2048;
/// Held at first: 40 ms.
const FIRST_HELD: usize = 320;
/// More is held after each time that it ran dry, 10 ms at a time, up to 100 ms.
const MORE_HELD: usize = 80;
const MAX_HELD: usize = 800;
/// So much above what is held, 60 ms, is delay that nobody needs.
const SLACK: usize = 480;

/// A queue of samples at 8 kHz.
pub(crate) struct Voice {
    samples: [i16; CAPACITY],
    at: usize,
    length: usize,
    held: usize,
    filling: bool,
    last: i16,
    seam: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            samples: [0; CAPACITY],
            at: 0,
            length: 0,
            held: FIRST_HELD,
            filling: true,
            last: 0,
            seam: false,
        }
    }
}

impl Voice {
    /// What was said.
    pub(super) fn push(&mut self, samples: &[i16]) {
        if self.length + samples.len() > CAPACITY {
            self.skip(self.length.saturating_sub(self.held));
        }
        let count = samples.len().min(CAPACITY - self.length);
        let end = (self.at + self.length) % CAPACITY;
        // The ring's end, and what goes on at its beginning.
        let (here, there) = samples[..count].split_at(count.min(CAPACITY - end));
        self.samples[end..end + here.len()].copy_from_slice(here);
        self.samples[..there.len()].copy_from_slice(there);
        self.length += count;
    }

    /// What was said before this began, over and over up to what is to be held: so a voice that was heard on
    /// another way goes on.
    pub(super) fn begin(&mut self, recent: &[i16; 160]) {
        let mut last = recent[159];
        while self.length < self.held {
            let mut again = *recent;
            smooth(last, &mut again);
            self.push(&again);
            last = again[159];
        }
    }

    /// What was said, in G.711.
    pub(crate) fn push_encoded(&mut self, audio: &[u8], codec: Codec) {
        let mut samples = [0; MAX_PAYLOAD];
        let count = decode(audio, codec, &mut samples);
        self.push(&samples[..count]);
    }

    /// The next of it; false where there is nothing, and `out` is silence.
    pub(super) fn take(&mut self, out: &mut [i16]) -> bool {
        out.fill(0);
        if self.filling {
            if self.length < self.held.max(out.len()) {
                return self.fade(out);
            }
            self.filling = false;
            self.seam = true;
        } else if self.length > self.held + SLACK + out.len() {
            self.skip(self.length - self.held - out.len());
        }
        let count = out.len().min(self.length);
        let (here, there) = out[..count].split_at_mut(count.min(CAPACITY - self.at));
        here.copy_from_slice(&self.samples[self.at..self.at + here.len()]);
        there.copy_from_slice(&self.samples[..there.len()]);
        self.at = (self.at + count) % CAPACITY;
        self.length -= count;
        if count > 0 && std::mem::take(&mut self.seam) {
            smooth(self.last, &mut out[..count]);
        }
        self.last = out[..count].last().copied().unwrap_or(self.last);
        if count < out.len() {
            self.filling = true;
            self.held = (self.held + MORE_HELD).min(MAX_HELD);
            self.fade(&mut out[count..]);
        }
        true
    }

    /// From the last sample to silence; false where that was reached before.
    fn fade(&mut self, out: &mut [i16]) -> bool {
        let spoke = self.last != 0;
        smooth(self.last, out);
        self.last = 0;
        spoke
    }

    fn skip(&mut self, count: usize) {
        self.at = (self.at + count) % CAPACITY;
        self.length -= count;
        self.seam = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_some_then_gives_all_in_order_and_fades_where_it_ends() {
        let mut voice = Voice::default();
        let mut out = [9; 160];
        let said: Vec<i16> = (1..=800).collect();
        voice.push(&said[..160]);
        assert!(!voice.take(&mut out) && out == [0; 160], "20 ms are not enough");
        said[160..].chunks(160).for_each(|part| voice.push(part));
        let mut taken = Vec::new();
        for _ in 0..5 {
            assert!(voice.take(&mut out));
            taken.extend(out);
        }
        assert_eq!(taken[40..], said[40..], "all but the first edge as it was said");
        assert!(voice.take(&mut out), "the end fades");
        assert!(out[0] > 700 && out[39] < 30 && out[40..] == [0; 120], "{out:?}");
        assert!(!voice.take(&mut out));
    }

    #[test]
    fn what_gathers_is_left_out_and_no_step_is_larger_than_the_sounds_own() {
        let mut voice = Voice::default();
        let tone = |n: usize| (8000.0 * (n as f64 * 0.1).sin()) as i16;
        let (mut n, mut last, mut steepest) = (0, 0i16, 0);
        for round in 0..200 {
            // Every tenth time two packets come for one that is taken.
            for _ in 0..if round % 10 == 0 { 2 } else { 1 } {
                let said: Vec<i16> = (n..n + 160).map(tone).collect();
                n += 160;
                voice.push(&said);
            }
            let mut out = [0; 160];
            voice.take(&mut out);
            for sample in out {
                steepest = steepest.max((i32::from(sample) - i32::from(last)).abs());
                last = sample;
            }
            assert!(voice.length <= MAX_HELD + SLACK + 160, "{}", voice.length);
        }
        assert!(steepest < 1300, "{steepest}: a click");
    }
}
