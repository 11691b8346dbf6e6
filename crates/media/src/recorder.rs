//! Recordings: what the caller says in the left channel, what the agent and everybody else says in the
//! right.
//!
//! ```text
//! room's clock ─▶ Tap: blocks of 200 ms ── full ─▶ a thread of its own ─▶ NAME.part ─▶ NAME
//!                      ▲────────────────── empty ──┘
//! ```
//! A room has a fixed number of blocks, so a disk that is slow costs it nothing: where no block is empty,
//! the time that passes is counted and becomes silence, in both channels alike. A disk that is full ends
//! the recording and is told; the call goes on.

mod ogg_opus;
mod tap;
mod wav;
mod writer;

use std::path::PathBuf;

pub(crate) use tap::Tap;
pub(crate) use writer::{Open, Recorders, open_file};

/// What becomes of a room's recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordTask {
    /// Begin; nothing where one is under way.
    Start(Box<RecordFile>),
    /// Leave out what follows.
    Pause,
    /// Go on.
    Resume,
    /// End.
    Stop,
}

/// Where a recording goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFile {
    /// The file, which has this name once it is whole; with a number behind it where there is one already.
    /// Its folder is made.
    pub path: PathBuf,
    /// What is in it.
    pub format: RecordFormat,
}

/// What is in a recording's file: two channels at 8 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordFormat {
    /// WAV, 16 bits a sample: 115 MB an hour.
    #[default]
    Wav,
    /// Opus in Ogg (RFC 7845): 15 MB an hour.
    Opus,
}

#[cfg(test)]
mod tests;
