//! What a recording holds: its loudest frequency, its length, when it begins.

use std::f64::consts::TAU;

/// Sampling rate of telephone audio.
pub const RATE: f64 = 8000.0;
/// A sample louder than this is sound.
const LOUD: i16 = 500;

/// The loudest frequency between 100 and 3500 Hz, to half a hertz; `None` for silence.
pub fn peak_frequency(samples: &[i16]) -> Option<f64> {
    let window = &samples[..samples.len().min(8000)];
    if window.len() < 400 || !window.iter().any(|sample| sample.unsigned_abs() > LOUD.unsigned_abs()) {
        return None;
    }
    let coarse = loudest(window, (50..1750).map(|step| f64::from(step) * 2.0));
    Some(loudest(window, (-8..=8).map(|step| coarse + f64::from(step) * 0.25)))
}

/// When the first sound comes, in samples.
pub fn first_sound(samples: &[i16]) -> Option<usize> {
    samples.iter().position(|sample| sample.unsigned_abs() > LOUD.unsigned_abs())
}

/// A sine of that frequency and length.
pub fn sine(hertz: f64, seconds: f64) -> Vec<i16> {
    let count = (seconds * RATE) as u32;
    (0..count).map(|n| (8000.0 * (TAU * hertz * f64::from(n) / RATE).sin()) as i16).collect()
}

fn loudest(samples: &[i16], frequencies: impl Iterator<Item = f64>) -> f64 {
    frequencies
        .map(|hertz| (power(samples, hertz), hertz))
        .fold((0.0, 0.0), |best, next| if next.0 > best.0 { next } else { best })
        .1
}

/// Power at one frequency (Goertzel).
fn power(samples: &[i16], hertz: f64) -> f64 {
    let factor = 2.0 * (TAU * hertz / RATE).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        let next = f64::from(*sample) + factor * one - two;
        two = one;
        one = next;
    }
    one * one + two * two - factor * one * two
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_found_to_half_a_hertz() {
        for hertz in [440.0, 600.0, 1004.5] {
            let found = peak_frequency(&sine(hertz, 1.0)).expect("a tone");
            assert!((found - hertz).abs() <= 0.5, "{hertz}: {found}");
        }
        assert_eq!(peak_frequency(&[0; 8000]), None);
        assert_eq!(first_sound(&[0, 0, 9000]), Some(2));
    }
}
