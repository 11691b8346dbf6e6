//! The built-in agents.

use std::f64::consts::TAU;

use trunkline_media::{Frame, Participant, RoomIo, linear_to_ulaw};
use trunkline_sdp::Codec;

use crate::Prompt;

/// Sends back what it hears, at once and undecoded.
#[derive(Debug, Default)]
pub struct Echo;

impl Participant for Echo {
    fn is_paced(&self) -> bool {
        false
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, frame: Frame<'_>, room: &mut RoomIo<'_>) {
        if !frame.lost {
            room.forward(frame.payload);
        }
    }
}

/// Hears and says nothing.
#[derive(Debug, Default)]
pub struct Silence;

impl Participant for Silence {
    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, _frame: Frame<'_>, _room: &mut RoomIo<'_>) {}
}

/// Says 440 Hz.
#[derive(Debug, Default)]
pub struct Tone {
    at: u32,
}

/// Its amplitude: a quarter of full scale.
const AMPLITUDE: f64 = 8192.0;

impl Participant for Tone {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, _frame: Frame<'_>, _room: &mut RoomIo<'_>) {}

    fn fill(&mut self, room: &mut RoomIo<'_>) {
        // 440 Hz at 8000 Hz repeats every 200 samples, 11 whole periods.
        let mut audio = [0; 200];
        for (offset, byte) in (0u32..).zip(audio.iter_mut()) {
            let phase = f64::from((self.at + offset) % 200) * 440.0 / 8000.0;
            *byte = linear_to_ulaw((AMPLITUDE * (TAU * phase).sin()) as i16);
        }
        // More than the prefill, so that it starts at once.
        for _ in 0..5 {
            room.play(&audio);
        }
        self.at = (self.at + 1000) % 200;
    }
}

/// Plays a file and leaves.
#[derive(Debug)]
pub struct Announce {
    prompt: Prompt,
    /// Bytes of it that were queued.
    queued: usize,
}

/// How much of a file is queued at a time: half a second, well more than the prefill. A file may be
/// longer than what the queue holds.
const PIECE: usize = 4000;

impl Announce {
    /// An agent that plays `prompt`.
    #[must_use]
    pub const fn new(prompt: Prompt) -> Self {
        Self { prompt, queued: 0 }
    }

    fn queue_next(&mut self, room: &mut RoomIo<'_>) {
        let (piece, is_last) = self.next_piece();
        room.play(piece);
        if is_last {
            room.leave_after_queue();
        }
    }

    fn next_piece(&mut self) -> (&[u8], bool) {
        let rest = self.prompt.audio().get(self.queued..).unwrap_or_default();
        let piece = &rest[..rest.len().min(PIECE)];
        self.queued += piece.len();
        (piece, piece.len() == rest.len())
    }
}

impl Participant for Announce {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, room: &mut RoomIo<'_>) {
        self.queue_next(room);
    }

    fn hear(&mut self, _frame: Frame<'_>, _room: &mut RoomIo<'_>) {}

    fn fill(&mut self, room: &mut RoomIo<'_>) {
        self.queue_next(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ten_minutes_is_played_to_its_end() {
        let samples = (0..8000 * 600).map(|n: u32| (n % 251) as u8).collect::<Vec<u8>>();
        let mut announce = Announce::new(Prompt::of_ulaw(&samples));
        let mut played = Vec::new();
        loop {
            let (piece, is_last) = announce.next_piece();
            assert!(!piece.is_empty() && piece.len() <= PIECE);
            played.extend_from_slice(piece);
            if is_last {
                break;
            }
        }
        assert!(played == samples, "{} of {} bytes", played.len(), samples.len());
    }
}
