//! Key presses as tones in the audio (ITU-T Q.23, Q.24), found by Goertzel's algorithm.
//!
//! ```text
//! samples ─▶ blocks of 12.75 ms ─▶ power at the eight frequencies, and of all ─▶ a pair, or none
//!                                                 two alike in a row: pressed; two without it: let go
//! ```
//! A pair counts where both are loud enough, not too different from one another (twist), well above
//! the others of their group, and together almost all there is: speech, which has tones too, has
//! always more beside them (talk-off).

use std::f32::consts::TAU;
use std::sync::LazyLock;

/// Samples of a block, at 8 kHz. A press of 40 ms, the shortest that counts (Q.24), fills two whole.
const BLOCK: usize = 102;
const RATE: f32 = 8000.0;
const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
/// Amplitude of the quietest tone that counts: about -40 dBm0.
const QUIETEST: f32 = 230.0;
/// By how much the column may be louder than the row: 4 dB; telephones send it louder by 2.
const COLUMN_LOUDER: f32 = 2.51;
/// By how much the row may be louder: 8 dB; lines weaken high tones.
const ROW_LOUDER: f32 = 6.31;
/// By how much a tone stands above the others of its group: 8 dB.
const ABOVE_OTHERS: f32 = 6.31;
/// The share of all power that the pair has: -1.3 dB, since one that is off by 1.5 % loses one by itself.
const SHARE: f32 = 0.74;
/// The same while the key is held: -3 dB. A press does not fall apart into several.
const SHARE_HELD: f32 = 0.5;

static COEFFICIENTS: LazyLock<[[f32; 4]; 2]> = LazyLock::new(|| {
    [ROWS, COLUMNS].map(|group| group.map(|frequency| 2.0 * (TAU * frequency / RATE).cos()))
});

/// Finds key presses in audio.
#[derive(Debug)]
pub(crate) struct ToneReader {
    /// Goertzel's two last values for each frequency.
    states: [[(f32, f32); 4]; 2],
    power: f32,
    count: usize,
    /// What the last block held.
    before: Option<char>,
    pressed: Option<char>,
}

impl Default for ToneReader {
    fn default() -> Self {
        Self { states: [[(0.0, 0.0); 4]; 2], power: 0.0, count: 0, before: None, pressed: None }
    }
}

impl ToneReader {
    /// Hears samples at 8 kHz; gives a key where a press of it begins. Of several in one piece of audio,
    /// which only one longer than any packet can hold, the last.
    pub(crate) fn hear(&mut self, samples: impl Iterator<Item = i16>) -> Option<char> {
        let coefficients = &*COEFFICIENTS;
        let mut digit = None;
        for sample in samples {
            let sample = f32::from(sample);
            for (group, coefficients) in self.states.iter_mut().zip(coefficients) {
                for ((one, two), coefficient) in group.iter_mut().zip(coefficients) {
                    let value = sample + coefficient * *one - *two;
                    (*one, *two) = (value, *one);
                }
            }
            self.power += sample * sample;
            self.count += 1;
            if self.count == BLOCK {
                digit = self.block().or(digit);
            }
        }
        digit
    }

    fn block(&mut self) -> Option<char> {
        let found = self.key();
        self.states = Self::default().states;
        (self.power, self.count) = (0.0, 0);
        let twice = found == self.before;
        self.before = found;
        if !twice || found == self.pressed {
            return None;
        }
        self.pressed = found;
        found
    }

    /// The key that the block holds.
    fn key(&self) -> Option<char> {
        let mut best = [(0, 0.0); 2];
        for ((group, coefficients), best) in self.states.iter().zip(&*COEFFICIENTS).zip(&mut best) {
            let powers: [f32; 4] = std::array::from_fn(|at| {
                let (one, two) = group[at];
                one * one + two * two - coefficients[at] * one * two
            });
            let (at, loudest) = (0..4).map(|at| (at, powers[at])).max_by(|a, b| a.1.total_cmp(&b.1))?;
            if powers.iter().enumerate().any(|(other, power)| other != at && power * ABOVE_OTHERS > loudest) {
                return None;
            }
            *best = (at, loudest);
        }
        let [(row, low), (column, high)] = best;
        // A tone of amplitude a has the power (a · n / 2)².
        let least = (QUIETEST * BLOCK as f32 / 2.0).powi(2);
        let loud = low > least && high > least;
        let level = high < low * COLUMN_LOUDER && low < high * ROW_LOUDER;
        let key = KEYS[row][column];
        let share = if self.pressed == Some(key) { SHARE_HELD } else { SHARE };
        let alone = 2.0 * (low + high) > share * BLOCK as f32 * self.power;
        (loud && level && alone).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: usize = 8;

    /// A sound of tones with their amplitudes.
    fn sound(milliseconds: usize, tones: &[(f32, f32)]) -> Vec<i16> {
        let at =
            |n: usize| tones.iter().map(move |(f, a)| a * (TAU * f * n as f32 / RATE).sin()).sum::<f32>();
        (0..milliseconds * MS).map(|n| at(n) as i16).collect()
    }

    /// What is found in sounds one after the other, heard 20 ms at a time.
    fn read(sounds: &[Vec<i16>]) -> String {
        let mut reader = ToneReader::default();
        sounds.concat().chunks(160).filter_map(|frame| reader.hear(frame.iter().copied())).collect()
    }

    fn quiet(milliseconds: usize) -> Vec<i16> {
        vec![0; milliseconds * MS]
    }

    #[test]
    fn every_key_is_heard_once_for_short_and_long_presses_at_any_loudness() {
        for (row, low) in ROWS.into_iter().enumerate() {
            for (column, high) in COLUMNS.into_iter().enumerate() {
                for (length, amplitude) in [(45, 7000.0), (100, 400.0), (2000, 12_000.0)] {
                    // A line may be off by 1.5 % and twist by some decibels.
                    for (detune, twist) in [(1.0, 1.0), (1.015, 0.75), (0.985, 1.4)] {
                        let tones = [(low * detune, amplitude), (high * detune, amplitude * twist)];
                        let heard = read(&[quiet(33), sound(length, &tones), quiet(60)]);
                        assert_eq!(
                            heard,
                            KEYS[row][column].to_string(),
                            "{length} {amplitude} {detune} {twist}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_key_twice_is_two_presses_and_a_dropout_is_not() {
        let five = || sound(80, &[(770.0, 5000.0), (1336.0, 5000.0)]);
        assert_eq!(read(&[five(), quiet(45), five(), quiet(45)]), "55");
        assert_eq!(read(&[five(), quiet(6), five(), quiet(45)]), "5");
        let nine = sound(80, &[(852.0, 5000.0), (1477.0, 5000.0)]);
        assert_eq!(read(&[five(), quiet(45), nine, quiet(45)]), "59");
    }

    #[test]
    fn what_is_no_press_is_not_taken_for_one() {
        let pair = |low, high| vec![sound(500, &[(770.0, low), (1336.0, high)])];
        assert_eq!(read(&pair(100.0, 100.0)), "", "too quiet");
        assert_eq!(read(&pair(8000.0, 2500.0)), "", "row too loud");
        assert_eq!(read(&pair(3000.0, 6000.0)), "", "column too loud");
        assert_eq!(read(&[sound(500, &[(770.0, 8000.0)])]), "", "one tone");
        assert_eq!(read(&[sound(500, &[(350.0, 5000.0), (440.0, 5000.0)])]), "", "a dial tone");
        assert_eq!(read(&[sound(20, &[(770.0, 5000.0), (1336.0, 5000.0)]), quiet(50)]), "", "too short");
        let voice = [(770.0, 5000.0), (1336.0, 5000.0), (385.0, 4000.0), (1925.0, 2500.0)];
        assert_eq!(read(&[sound(500, &voice)]), "", "a pair among other tones");
        let mut noise = 0x2545_f491_u32;
        let hiss: Vec<i16> = (0..80_000)
            .map(|_| {
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                (noise >> 18) as i16
            })
            .collect();
        assert_eq!(read(&[hiss]), "", "ten seconds of noise");
    }

    #[test]
    fn our_own_tones_are_heard() {
        for (event, key) in (0u8..).zip("0123456789*#ABCD".chars()) {
            let mut pressed = [0; 1280];
            for (at, frame) in (0u32..).zip(pressed.chunks_mut(160)) {
                crate::keypad::tone(event, at * 160, frame);
            }
            assert_eq!(read(&[pressed.to_vec(), quiet(40)]), key.to_string());
        }
    }
}
