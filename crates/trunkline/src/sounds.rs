//! The sounds that calls have played: those that come with us, and the operator's WAV files in the folder
//! `sounds` beside the configuration.
//!
//! A file is read once, off the shard's task, and kept: what was played is likely to be played again.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use dashmap::DashMap;
use trunkline_agent::Prompt;
use trunkline_call::{CallHandle, Input};
use trunkline_sdp::Member;
use trunkline_sdp::media::{RoomEvent, Sound};

use crate::agents::Agents;
use crate::driver::Dispatcher;

/// Files kept, each of at most 4.8 MB. One more is read anew each time that it is played.
const MAX_KEPT: usize = 64;

/// Finds sounds.
#[derive(Clone)]
pub(crate) struct Sounds {
    folder: PathBuf,
    kept: Arc<DashMap<String, Prompt>>,
}

impl Sounds {
    /// Those of a folder of configuration.
    pub(crate) fn of(configuration: &Path) -> Self {
        Self { folder: configuration.join("sounds"), kept: Arc::default() }
    }

    /// A sound that needs no disk.
    pub(crate) fn at_hand(&self, sound: &Sound) -> Option<Prompt> {
        match sound {
            Sound::File(file) => self.kept.get(file).map(|prompt| prompt.clone()),
            shipped => Prompt::shipped(shipped),
        }
    }

    /// Reads a sound; blocks.
    pub(crate) fn read(&self, sound: &Sound) -> Result<Prompt, String> {
        let Sound::File(file) = sound else {
            return self.at_hand(sound).ok_or_else(|| "there is no such sound".to_owned());
        };
        // A name comes from an agent or from the API: it never leads out of the folder.
        let path = Path::new(file);
        if file.is_empty() || path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err("a sound is a file below the folder of sounds".to_owned());
        }
        let prompt = Prompt::load(&self.folder.join(path)).map_err(|error| error.to_string())?;
        if self.kept.len() < MAX_KEPT {
            self.kept.insert(file.clone(), prompt.clone());
        }
        Ok(prompt)
    }

    /// Files that have changed are read anew.
    pub(crate) fn forget(&self) {
        self.kept.clear();
    }
}

impl Agents {
    /// Plays a sound to a leg. One that cannot be read is over at once.
    pub(crate) fn play(
        &self,
        call: CallHandle,
        member: Member,
        sound: Sound,
        repeat: bool,
        dispatcher: &Dispatcher,
    ) {
        if let Some(prompt) = self.sounds.at_hand(&sound) {
            return self.pool.play(call.0, member, prompt.shared(), repeat);
        }
        let (sounds, pool) = (self.sounds.clone(), Arc::clone(&self.pool));
        let dispatcher = dispatcher.clone();
        tokio::task::spawn_blocking(move || match sounds.read(&sound) {
            Ok(prompt) => {
                pool.play(call.0, member, prompt.shared(), repeat);
                pool.flush();
            }
            Err(error) => {
                let why = format!("{sound:?}: {error}");
                dispatcher.reply(call, Input::Room(call, RoomEvent::Unplayed(member, why)));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_once_and_only_from_below_their_folder() {
        let folder = std::env::temp_dir().join(format!("trunkline-sounds-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("sounds/de")).expect("a folder");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        for name in ["sounds/de/hello.wav", "outside.wav"] {
            let mut writer = hound::WavWriter::create(folder.join(name), spec).expect("a file");
            (0..800).for_each(|n| writer.write_sample(n as i16).expect("written"));
            writer.finalize().expect("whole");
        }
        let sounds = Sounds::of(&folder);
        let hello = Sound::File("de/hello.wav".to_owned());
        assert!(sounds.at_hand(&hello).is_none());
        assert_eq!(sounds.read(&hello).expect("there").audio().len(), 800);
        assert!(sounds.at_hand(&hello).is_some());
        sounds.forget();
        assert!(sounds.at_hand(&hello).is_none());
        let absolute = folder.join("outside.wav").display().to_string();
        for name in ["../outside.wav", "de/../../outside.wav", "", "nothing.wav", &absolute] {
            assert!(sounds.read(&Sound::File(name.to_owned())).is_err(), "{name}");
        }
        assert!(sounds.at_hand(&Sound::Music).is_some());
        std::fs::remove_dir_all(&folder).expect("gone");
    }
}
