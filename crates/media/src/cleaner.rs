//! Noise suppression, by nnnoiseless (a recurrent network after RNNoise), which works on 10 ms at 48 kHz:
//! samples go up to that rate and back.
//!
//! It delays by 14 ms: a frame of the network's, and 2 ms of the resampling, twice.

use nnnoiseless::DenoiseState;

use crate::resample::Resampler;

/// Samples of a frame at 8 kHz.
const FRAME: usize = 80;
/// Samples of a frame at 48 kHz.
const WIDE: usize = DenoiseState::FRAME_SIZE;
/// Frames that wait at most: longer packets than 60 ms are none of ours.
const WAITING: usize = 8 * FRAME;

/// Cleans the audio of one leg.
pub(crate) struct Cleaner {
    state: Box<DenoiseState<'static>>,
    up: Resampler,
    down: Resampler,
    input: Queue,
    output: Queue,
}

/// Samples that wait.
struct Queue {
    samples: [i16; WAITING],
    length: usize,
}

impl Cleaner {
    pub(crate) fn new() -> Self {
        Self {
            state: DenoiseState::new(),
            up: Resampler::new(8000, 48_000),
            down: Resampler::new(48_000, 8000),
            input: Queue { samples: [0; WAITING], length: 0 },
            output: Queue { samples: [0; WAITING], length: 0 },
        }
    }

    /// Cleans samples at 8 kHz in their place. Where packets are no whole frames, it delays by one more.
    pub(crate) fn clean(&mut self, samples: &mut [i16]) {
        self.input.push(samples);
        while self.input.length >= FRAME {
            let mut frame = [0; FRAME];
            self.input.take(&mut frame);
            self.frame(&mut frame);
            self.output.push(&frame);
        }
        self.output.take(samples);
    }

    fn frame(&mut self, frame: &mut [i16; FRAME]) {
        let (mut loud, mut clean) = ([0.0; WIDE], [0.0; WIDE]);
        let mut places = loud.iter_mut();
        self.up.run(frame.iter().copied(), |sample| {
            if let Some(place) = places.next() {
                *place = f32::from(sample);
            }
        });
        self.state.process_frame(&mut clean, &loud);
        let wide = clean.iter().map(|value| value.round().clamp(-32_768.0, 32_767.0) as i16);
        let mut places = frame.iter_mut();
        self.down.run(wide, |sample| {
            if let Some(place) = places.next() {
                *place = sample;
            }
        });
    }
}

impl Queue {
    fn push(&mut self, samples: &[i16]) {
        let count = samples.len().min(WAITING - self.length);
        self.samples[self.length..self.length + count].copy_from_slice(&samples[..count]);
        self.length += count;
    }

    /// Takes as many as there is place for; silence first where there are fewer.
    fn take(&mut self, out: &mut [i16]) {
        let count = out.len().min(self.length);
        let missing = out.len() - count;
        out[..missing].fill(0);
        out[missing..].copy_from_slice(&self.samples[..count]);
        self.samples.copy_within(count..self.length, 0);
        self.length -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loudness(samples: &[i16]) -> f64 {
        (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    fn noise(seed: &mut u32) -> f64 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(*seed as i32) / f64::from(i32::MAX)
    }

    /// Something like a vowel: a pulse every 8 ms or so through two formants.
    fn vowel(n: usize) -> f64 {
        let time = n as f64 / 8000.0;
        let pitch = 120.0 + 15.0 * (time * 4.0).sin();
        let formants = |harmonic: f64| {
            let hertz = harmonic * pitch;
            let near = |centre: f64, width: f64| 1.0 / (1.0 + ((hertz - centre) / width).powi(2));
            near(600.0, 100.0) + 0.6 * near(1200.0, 150.0)
        };
        let voice = |harmonic: u32| {
            let harmonic = f64::from(harmonic);
            formants(harmonic) * (std::f64::consts::TAU * harmonic * 120.0 * time).sin()
        };
        let syllable = (0.5 - 0.5 * (std::f64::consts::TAU * 3.0 * time).cos()).powf(0.5);
        3000.0 * syllable * (1..25).map(voice).sum::<f64>()
    }

    #[test]
    fn noise_is_taken_away_and_a_voice_stays() {
        let mut seed = 1;
        let mut only_noise = Cleaner::new();
        let hiss: Vec<i16> = (0..24_000).map(|_| (800.0 * noise(&mut seed)) as i16).collect();
        let mut cleaned = hiss.clone();
        cleaned.chunks_mut(160).for_each(|packet| only_noise.clean(packet));
        let (before, after) = (loudness(&hiss[16_000..]), loudness(&cleaned[16_000..]));
        assert!(after < before / 5.0, "noise: {before} {after}");
        let mut voice = Cleaner::new();
        let said: Vec<i16> = (0..24_000).map(|n| (vowel(n) + 200.0 * noise(&mut seed)) as i16).collect();
        let mut cleaned = said.clone();
        cleaned.chunks_mut(160).for_each(|packet| voice.clean(packet));
        let (before, after) = (loudness(&said[16_000..]), loudness(&cleaned[16_000..]));
        assert!(after > before / 2.0, "voice: {before} {after}");
    }

    #[test]
    fn packets_of_any_length_keep_theirs() {
        for length in [80, 100, 160, 240, 480] {
            let mut cleaner = Cleaner::new();
            let said: Vec<i16> = (0..length * 40).map(|n| vowel(n) as i16).collect();
            let mut cleaned = said.clone();
            cleaned.chunks_mut(length).for_each(|packet| cleaner.clean(packet));
            assert!(loudness(&cleaned[length * 20..]) > 500.0, "{length}");
            // No holes: nothing waits for ever, nothing runs dry.
            assert!(cleaner.output.length < FRAME && cleaner.input.length < FRAME, "{length}");
        }
    }

    #[test]
    fn a_packet_costs_no_allocation() {
        let mut cleaner = Cleaner::new();
        let mut packet: [i16; 160] = std::array::from_fn(|n| vowel(n) as i16);
        (0..10).for_each(|_| cleaner.clean(&mut packet));
        let counted = allocation_counter::measure(|| (0..200).for_each(|_| cleaner.clean(&mut packet)));
        assert_eq!((counted.count_total, counted.count_current), (0, 0), "{counted:?}");
    }
}
