//! Whether somebody speaks: by loudness above the noise of the line.
//!
//! ```text
//! quiet ── 60 ms well above the noise ─▶ speaking ── 500 ms that are not ─▶ quiet
//! ```

use std::time::{Duration, Instant};

/// Samples that are judged at a time: 10 ms.
const FRAME: usize = 80;
/// Frames that begin speech, and that end it.
const BEGINS: u32 = 6;
const ENDS: u32 = 50;
/// Speech is so many times as loud as the noise, 10 dB, and at least so loud, -50 dBFS.
const ABOVE: f32 = 3.2;
const FAINTEST: f32 = 100.0;
/// The noise is followed downwards quickly and upwards slowly: tenfold in 10 s or so.
const DOWN: f32 = 0.1;
const UP: f32 = 1.0025;
/// A leg that sends nothing while nobody speaks is quiet after as long.
const SILENCE: Duration = Duration::from_millis(10 * ENDS as u64);

/// Listens to one leg.
#[derive(Debug)]
pub(crate) struct Ear {
    /// Loudness of the noise.
    noise: f32,
    sum: f32,
    count: usize,
    speaking: bool,
    /// Frames in a row that say otherwise.
    otherwise: u32,
    heard: Instant,
}

impl Ear {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { noise: FAINTEST, sum: 0.0, count: 0, speaking: false, otherwise: 0, heard: now }
    }

    /// Takes samples at 8 kHz; tells where speech began (true) or ended.
    pub(crate) fn hear(&mut self, samples: &[i16], now: Instant) -> Option<bool> {
        self.heard = now;
        let mut change = None;
        for sample in samples {
            self.sum += f32::from(*sample) * f32::from(*sample);
            self.count += 1;
            if self.count == FRAME {
                let loudness = (self.sum / FRAME as f32).sqrt();
                (self.sum, self.count) = (0.0, 0);
                change = self.frame(loudness).or(change);
            }
        }
        change
    }

    fn frame(&mut self, loudness: f32) -> Option<bool> {
        let voiced = loudness > (self.noise * ABOVE).max(FAINTEST);
        if loudness < self.noise {
            self.noise += (loudness - self.noise) * DOWN;
        } else {
            self.noise = (self.noise.max(1.0) * UP).min(loudness);
        }
        self.otherwise = if voiced == self.speaking { 0 } else { self.otherwise + 1 };
        let enough = if self.speaking { ENDS } else { BEGINS };
        (self.otherwise == enough).then(|| self.turn())
    }

    /// True where speech ended because nothing came any more.
    pub(crate) fn has_faded(&mut self, now: Instant) -> bool {
        self.speaking && now.duration_since(self.heard) > SILENCE && !self.turn()
    }

    const fn turn(&mut self) -> bool {
        self.otherwise = 0;
        self.speaking = !self.speaking;
        self.speaking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White noise of that loudness.
    fn noise(seed: &mut u32, loudness: f64) -> Vec<i16> {
        (0..160)
            .map(|_| {
                *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (f64::from(*seed as i32) / f64::from(i32::MAX) * loudness * 3f64.sqrt()) as i16
            })
            .collect()
    }

    /// What is told in which packet of 20 ms.
    fn told(
        ear: &mut Ear,
        from: usize,
        count: usize,
        mut say: impl FnMut(usize) -> Vec<i16>,
    ) -> Vec<(usize, bool)> {
        let now = Instant::now();
        (from..from + count).filter_map(|n| Some((n, ear.hear(&say(n), now)?))).collect()
    }

    #[test]
    fn speech_begins_and_ends_above_any_noise_and_noise_is_none() {
        for loudness in [0.0, 30.0, 300.0, 1000.0] {
            let (mut seed, mut ear) = (1, Ear::new(Instant::now()));
            // Until the noise is known it may be taken for speech.
            told(&mut ear, 0, 1000, |_| noise(&mut seed, loudness));
            assert_eq!(
                told(&mut ear, 0, 500, |_| noise(&mut seed, loudness)),
                [],
                "{loudness}: steady noise"
            );
            let mut word = |n: usize| {
                let tone = |at: usize| 9000.0 * ((n * 160 + at) as f64 * 0.3).sin();
                let noise = noise(&mut seed, loudness);
                noise.iter().enumerate().map(|(at, noise)| (tone(at) + f64::from(*noise)) as i16).collect()
            };
            assert_eq!(told(&mut ear, 0, 50, &mut word), [(2, true)], "{loudness}");
            // A pause between words is no end.
            assert_eq!(told(&mut ear, 0, 15, |_| vec![0; 160]), [], "{loudness}");
            assert_eq!(told(&mut ear, 0, 20, &mut word), [], "{loudness}");
            assert_eq!(told(&mut ear, 0, 50, |_| vec![0; 160]), [(24, false)], "{loudness}");
        }
    }

    #[test]
    fn a_click_is_no_speech_and_a_leg_that_falls_silent_has_ended_its_own() {
        let start = Instant::now();
        let mut ear = Ear::new(start);
        assert_eq!(ear.hear(&[8000; 240], start), None, "30 ms");
        assert_eq!(ear.hear(&[0; 800], start), None);
        assert_eq!(ear.hear(&[8000; 800], start), Some(true));
        assert!(!ear.has_faded(start + SILENCE));
        let later = start + SILENCE + Duration::from_millis(1);
        assert!(ear.has_faded(later) && !ear.has_faded(later), "told once");
    }
}
