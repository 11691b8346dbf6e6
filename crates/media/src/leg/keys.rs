//! Key presses of the peer: as telephone events, in INFO requests, as tones.
//!
//! Some peers send a press in two ways at once. The first way in which one is heard is the way of the leg
//! from then on, so that each press is told once. Tones are listened for only where no events were
//! negotiated.

use crate::events::DigitReader;
use crate::tones::ToneReader;

/// How a press came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Event,
    Info,
    Tone,
}

/// The presses that one leg hears.
#[derive(Debug, Default)]
pub(super) struct Keys {
    way: Option<Way>,
    events: DigitReader,
    /// The source whose events these are.
    source: u32,
    tones: Option<Box<ToneReader>>,
    heard: u32,
}

impl Keys {
    /// A telephone event.
    pub(super) fn event(&mut self, source: u32, timestamp: u32, payload: &[u8]) -> Option<char> {
        if self.source != source {
            // Another source counts its time anew.
            self.events = DigitReader::default();
            self.source = source;
        }
        let digit = self.events.read(timestamp, payload);
        self.by(Way::Event, digit)
    }

    /// A press that an INFO request told.
    pub(super) fn info(&mut self, digit: char) -> Option<char> {
        self.by(Way::Info, Some(digit))
    }

    /// Audio at 8 kHz, in order.
    pub(super) fn audio(&mut self, samples: impl Iterator<Item = i16>) -> Option<char> {
        if matches!(self.way, Some(Way::Event | Way::Info)) {
            return None;
        }
        let digit = self.tones.get_or_insert_default().hear(samples);
        self.by(Way::Tone, digit)
    }

    /// How many were told.
    pub(super) const fn heard(&self) -> u32 {
        self.heard
    }

    fn by(&mut self, way: Way, digit: Option<char>) -> Option<char> {
        let digit = digit?;
        if *self.way.get_or_insert(way) != way {
            return None;
        }
        self.heard += 1;
        Some(digit)
    }
}
