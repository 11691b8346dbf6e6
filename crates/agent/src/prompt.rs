//! Audio files: 8 kHz mono 16-bit WAV, kept as µ-law and shared by every call that plays them.

use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use trunkline_media::linear_to_ulaw;
use trunkline_sdp::media::Sound;

/// Longest file read: ten minutes.
const MAX_SAMPLES: usize = 8000 * 600;

/// A file ready to be played.
#[derive(Debug, Clone)]
pub struct Prompt(Arc<[u8]>);

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// It cannot be read.
    #[error("cannot read the file: {0}")]
    Read(#[from] hound::Error),
    /// It has another format.
    #[error(
        "the file must be 16-bit WAV with one channel at 8000 Hz; it has {bits} bits, {channels} channels, {rate} Hz"
    )]
    Format {
        /// Bits a sample.
        bits: u16,
        /// Channels.
        channels: u16,
        /// Sampling rate.
        rate: u32,
    },
}

/// A file that comes with us.
macro_rules! shipped {
    ($name:literal) => {
        LazyLock::new(|| {
            let file = include_bytes!(concat!("../assets/", $name, ".wav"));
            Prompt::of(hound::WavReader::new(Cursor::new(&file[..])).map_err(PromptError::from))
                .expect("a shipped sound is a good file, which a test reads")
        })
    };
}

static NOT_IN_SERVICE: LazyLock<Prompt> = shipped!("not-in-service");
static MUSIC: LazyLock<Prompt> = shipped!("music");
static RINGBACK: LazyLock<Prompt> = shipped!("ringback");
static PRESS_ANY_KEY: LazyLock<Prompt> = shipped!("press-any-key");
static ENTER_PASSCODE: LazyLock<Prompt> = shipped!("enter-passcode");
static WRONG_PASSCODE: LazyLock<Prompt> = shipped!("wrong-passcode");

impl Prompt {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`PromptError`].
    pub fn load(path: &Path) -> Result<Self, PromptError> {
        Self::of(hound::WavReader::open(path).map_err(PromptError::from))
    }

    /// "The number you have called is not in service."
    #[must_use]
    pub fn not_in_service() -> Self {
        NOT_IN_SERVICE.clone()
    }

    /// The sound that comes with us; `None` for a file of the operator's.
    #[must_use]
    pub fn shipped(sound: &Sound) -> Option<Self> {
        let prompt = match sound {
            Sound::Music => &MUSIC,
            Sound::Ringback => &RINGBACK,
            Sound::PressAnyKey => &PRESS_ANY_KEY,
            Sound::EnterPasscode => &ENTER_PASSCODE,
            Sound::WrongPasscode => &WRONG_PASSCODE,
            Sound::File(_) => return None,
        };
        Some((*prompt).clone())
    }

    /// The audio in µ-law, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.0)
    }

    /// The audio in µ-law.
    #[must_use]
    pub fn audio(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of_ulaw(audio: &[u8]) -> Self {
        Self(audio.into())
    }

    fn of<R: std::io::Read>(reader: Result<hound::WavReader<R>, PromptError>) -> Result<Self, PromptError> {
        let mut reader = reader?;
        let spec = reader.spec();
        if (spec.bits_per_sample, spec.channels, spec.sample_rate) != (16, 1, 8000) {
            return Err(PromptError::Format {
                bits: spec.bits_per_sample,
                channels: spec.channels,
                rate: spec.sample_rate,
            });
        }
        let samples: Result<Vec<i16>, _> = reader.samples::<i16>().take(MAX_SAMPLES).collect();
        Ok(Self(samples?.into_iter().map(linear_to_ulaw).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_sounds_are_some_seconds_long() {
        let sounds =
            [Sound::Music, Sound::Ringback, Sound::PressAnyKey, Sound::EnterPasscode, Sound::WrongPasscode];
        for prompt in sounds.iter().filter_map(Prompt::shipped).chain([Prompt::not_in_service()]) {
            let seconds = prompt.audio().len() / 8000;
            assert!((2..20).contains(&seconds), "{seconds} s");
            assert!(prompt.audio().iter().any(|byte| trunkline_media::ulaw_to_linear(*byte) > 2000));
        }
    }
}
