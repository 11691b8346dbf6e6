//! What a recording holds: the stretches of sound in it.

use std::path::Path;

use trunkline::command::analysis::peak_frequency;

/// Rate of the recordings.
const RATE: f64 = 8000.0;
/// Samples of 20 ms.
const STEP: usize = 160;
/// A sample louder than this is sound.
const LOUD: u16 = 1000;

/// Sound between two silences of at least 60 ms.
#[derive(Debug)]
pub struct Stretch {
    /// When it begins, in seconds.
    pub at: f64,
    /// Its length.
    pub seconds: f64,
    /// Its loudest frequency.
    pub hertz: f64,
}

impl Stretch {
    /// When it ends, in seconds.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.at + self.seconds
    }
}

/// How many seconds of a recording are sound, from `from` to `until` in seconds: a tone that is broken in
/// two by somebody's pause is as long as one that is whole.
#[must_use]
pub fn sound(wav: &Path, from: f64, until: f64) -> f64 {
    // 5 ms: more than two periods of what the tests play.
    const GRAIN: usize = 40;
    let samples = samples(wav);
    let place = |seconds: f64| ((seconds * RATE) as usize).min(samples.len());
    let grains = samples[place(from)..place(until)].chunks(GRAIN);
    let loud = grains.filter(|grain| grain.iter().any(|sample| sample.unsigned_abs() > LOUD)).count();
    (loud * GRAIN) as f64 / RATE
}

/// The loudest frequency of a part of a recording, from `from` to `until` in seconds.
#[must_use]
pub fn hertz(wav: &Path, from: f64, until: f64) -> f64 {
    let samples = samples(wav);
    let place = |seconds: f64| ((seconds * RATE) as usize).min(samples.len());
    peak_frequency(&samples[place(from)..place(until)]).unwrap_or(0.0)
}

fn samples(wav: &Path) -> Vec<i16> {
    let bytes = std::fs::read(wav).expect("what was heard");
    bytes[44..].chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

/// The stretches of sound in a WAV file of 8000 Hz, mono, 16 bit.
#[must_use]
pub fn stretches(wav: &Path) -> Vec<Stretch> {
    let samples = samples(wav);
    let loud: Vec<bool> =
        samples.chunks(STEP).map(|step| step.iter().any(|sample| sample.unsigned_abs() > LOUD)).collect();
    let mut found = Vec::new();
    let mut start = None;
    for at in 0..=loud.len() {
        let quiet = loud.get(at..(at + 3).min(loud.len())).is_none_or(|next| !next.contains(&true));
        match start {
            None if !quiet && loud[at] => start = Some(at),
            Some(from) if quiet => {
                found.push(stretch(&samples, from, at));
                start = None;
            }
            _ => {}
        }
    }
    found
}

fn stretch(samples: &[i16], from: usize, to: usize) -> Stretch {
    let sound = &samples[from * STEP..samples.len().min(to * STEP)];
    Stretch {
        at: (from * STEP) as f64 / RATE,
        seconds: sound.len() as f64 / RATE,
        hertz: peak_frequency(sound).unwrap_or(0.0),
    }
}
