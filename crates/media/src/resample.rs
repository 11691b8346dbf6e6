//! Between sample rates, by rubato: a sinc in a Hann window, which takes as many samples at a time as there
//! are and holds none of them back.
//!
//! From 8 to 16 kHz and back it is flat to 3.4 kHz and 55 dB down from 4.6 kHz, as it is with other multiples
//! of 8 kHz; it delays by 2 ms. `docs/decisions/0012-resampling-by-rubato.md` has what else was measured.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, Resizable as _, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

/// Samples at the lower rate that each new one is made of.
const REACH: usize = 32;
/// Where the filter falls, as a part of half the lower rate.
const CUTOFF: f32 = 0.95;
/// Samples at the lower rate that go through at a time: 20 ms of a telephone's.
const BLOCK: u32 = 160;
/// So much faster than told it goes to a multiple: a sample too many in days.
const EXCESS: f64 = 1e-10;
/// Points between two samples, where neither rate is a multiple of the other.
const POINTS: usize = 128;

/// From one rate to another, without allocation once it is made.
pub struct Resampler(Option<Box<Filter>>);

struct Filter {
    filter: Async<f32>,
    /// Samples that wait for their block.
    input: Vec<f32>,
    block: usize,
    output: Vec<f32>,
}

impl Resampler {
    /// Between rates in hertz, neither of which is 0; equal ones change nothing.
    #[must_use]
    pub fn new(from: u32, to: u32) -> Self {
        if from == to {
            return Self(None);
        }
        let lower = from.min(to).max(1);
        let reach = REACH * from.div_ceil(lower) as usize;
        let is_multiple = from.is_multiple_of(lower) && to.is_multiple_of(lower);
        let (points, interpolation) = match is_multiple {
            true => (to.div_ceil(lower) as usize, SincInterpolationType::Nearest),
            false => (POINTS, SincInterpolationType::Linear),
        };
        let parameters = SincInterpolationParameters::new(reach, WindowFunction::Hann)
            .f_cutoff(CUTOFF)
            .oversampling_factor(points)
            .interpolation(interpolation);
        // The steps between new samples are rarely exact. A little too short, they never come short of a block.
        let excess = if is_multiple && to > from { EXCESS } else { 0.0 };
        let ratio = f64::from(to) / f64::from(from) * (1.0 + excess);
        let block = (BLOCK * from.div_ceil(lower)) as usize;
        let filter = Async::new_sinc(ratio, 1.0, &parameters, block, 1, FixedAsync::Input);
        // Refused are rates of 0 only.
        let filter = filter.ok().map(|filter| {
            let output = vec![0.0; filter.output_frames_max()];
            Box::new(Filter { filter, input: Vec::with_capacity(block), block, output })
        });
        let mut made = Self(filter);
        // Its first samples give fewer than they should: they are these.
        made.run((0..REACH / 4 * from.div_ceil(lower) as usize).map(|_| 0), |_| {});
        made
    }

    /// Takes samples, and gives those that they became. Of multiples each call gives exactly its share.
    pub fn run(&mut self, samples: impl IntoIterator<Item = i16>, mut out: impl FnMut(i16)) {
        let Some(filter) = &mut self.0 else { return samples.into_iter().for_each(out) };
        for sample in samples {
            filter.input.push(f32::from(sample));
            if filter.input.len() == filter.block {
                filter.pass(&mut out);
            }
        }
        filter.pass(&mut out);
    }
}

impl Filter {
    fn pass(&mut self, out: &mut impl FnMut(i16)) {
        let (given, room) = (self.input.len(), self.output.len());
        if given == 0 || self.filter.set_chunk_size(given).is_err() {
            return;
        }
        let input = InterleavedSlice::new(&self.input[..], 1, given);
        let output = InterleavedSlice::new_mut(&mut self.output[..], 1, room);
        if let (Ok(input), Ok(mut output)) = (input, output)
            && let Ok((_, made)) = self.filter.process_into_buffer(&input, &mut output, None)
        {
            self.output[..made].iter().for_each(|value| out(sample(*value)));
        }
        self.input.clear();
    }
}

fn sample(value: f32) -> i16 {
    value.round().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use std::f32::consts::PI;

    use super::*;

    const LEVEL: f32 = 8000.0;

    fn tone(hertz: f32, rate: u32, count: usize) -> Vec<i16> {
        (0..count).map(|at| (LEVEL * (2.0 * PI * hertz * at as f32 / rate as f32).sin()) as i16).collect()
    }

    /// The amplitude of a frequency, as a part of the tone's own; the beginning is left out.
    fn level(samples: &[i16], hertz: f32, rate: u32) -> f32 {
        let samples = &samples[samples.len() / 4..];
        let mut sums = (0.0, 0.0);
        for (at, sample) in samples.iter().enumerate() {
            let phase = 2.0 * PI * hertz * at as f32 / rate as f32;
            sums.0 += f32::from(*sample) * phase.cos();
            sums.1 += f32::from(*sample) * phase.sin();
        }
        2.0 * sums.0.hypot(sums.1) / samples.len() as f32 / LEVEL
    }

    fn resampled(samples: &[i16], from: u32, to: u32, piece: usize) -> Vec<i16> {
        let (mut resampler, mut out) = (Resampler::new(from, to), Vec::new());
        for piece in samples.chunks(piece) {
            resampler.run(piece.iter().copied(), |sample| out.push(sample));
        }
        out
    }

    #[test]
    fn a_voice_passes_both_ways_as_loud_as_it_was_in_pieces_of_any_size() {
        for rate in [8000, 16_000, 24_000, 32_000, 48_000, 44_100, 22_050, 11_025] {
            for (hertz, piece) in [(300.0, 1), (1000.0, 7), (3400.0, 160), (3000.0, 5000)] {
                let wide = resampled(&tone(hertz, 8000, 4000), 8000, rate, piece);
                let narrow = resampled(&wide, rate, 8000, piece);
                let expected = 4000 * rate as usize / 8000;
                assert!(wide.len().abs_diff(expected) <= 8, "{rate}: {} of {expected}", wide.len());
                assert!(narrow.len().abs_diff(4000) <= 2, "{rate}: {} of 4000", narrow.len());
                for (samples, rate) in [(&wide, rate), (&narrow, 8000)] {
                    let heard = level(samples, hertz, rate);
                    assert!((0.96..1.04).contains(&heard), "{rate}, {hertz} Hz: {heard}");
                }
            }
        }
    }

    #[test]
    fn of_multiples_each_piece_gives_exactly_its_share_from_the_first_on() {
        for factor in [2usize, 3, 4, 5, 6] {
            let rate = 8000 * factor as u32;
            let (mut up, mut down) = (Resampler::new(8000, rate), Resampler::new(rate, 8000));
            for piece in [160, 80, 1, 240, 7].into_iter().cycle().take(5000) {
                let mut count = 0;
                up.run(std::iter::repeat_n(100, piece), |_| count += 1);
                assert_eq!(count, piece * factor, "{factor} times, {piece}");
                count = 0;
                down.run(std::iter::repeat_n(100, piece * factor), |_| count += 1);
                assert_eq!(count, piece, "{factor} times, {piece}");
            }
        }
    }

    #[test]
    fn what_a_telephone_cannot_carry_does_not_come_back_as_something_else() {
        for rate in [16_000, 24_000, 48_000] {
            // 6 kHz would be heard as 2, and 1 kHz made wider as 7.
            let narrow = resampled(&tone(6000.0, rate, 4000), rate, 8000, 160);
            assert!(level(&narrow, 2000.0, 8000) < 0.002, "{rate}: {}", level(&narrow, 2000.0, 8000));
            let wide = resampled(&tone(1000.0, 8000, 4000), 8000, rate, 160);
            assert!(level(&wide, 7000.0, rate) < 0.002, "{rate}: {}", level(&wide, 7000.0, rate));
        }
    }

    #[test]
    fn nothing_is_allocated_for_a_frame() {
        let (mut up, mut down) = (Resampler::new(8000, 24_000), Resampler::new(48_000, 8000));
        let info = allocation_counter::measure(|| {
            for _ in 0..10 {
                up.run(std::iter::repeat_n(5, 160), |_| {});
                down.run(std::iter::repeat_n(5, 960), |_| {});
            }
        });
        assert_eq!(info.count_total, 0);
    }
}
