//! Twilio Media Streams, byte for byte as an agent that Twilio calls expects it.
//!
//! ```text
//! to the agent:   connected, start, media, dtmf, mark, stop
//! from the agent: media, mark, clear — and the events that are the same on every socket
//! ```

mod messages;

use tungstenite::Utf8Bytes;

use crate::link::Link;
use crate::said::FromAgent;
use crate::sid::Sids;
use crate::socket::{Mark, SocketAgent, Wire};
pub use messages::{Writer, read};

/// A participant that speaks Twilio Media Streams.
pub type TwilioAgent = SocketAgent<Twilio>;

/// The protocol's words for one call.
pub struct Twilio {
    writer: Writer,
    parameters: Vec<(String, String)>,
}

impl Twilio {
    /// For a call of these ids; the agent is told these parameters.
    #[must_use]
    pub fn new(sids: Sids, parameters: Vec<(String, String)>) -> Self {
        Self { writer: Writer::new(sids), parameters }
    }
}

impl Wire for Twilio {
    fn greet(&mut self, link: &mut Link) -> bool {
        let connected = self.writer.connected();
        let start = self.writer.start(&self.parameters);
        link.send(connected) && link.send(start)
    }

    fn media(&mut self, audio: &[u8], at: u64, link: &mut Link) -> bool {
        link.send(self.writer.media(audio, at))
    }

    fn digit(&mut self, digit: char) -> Utf8Bytes {
        self.writer.dtmf(digit)
    }

    fn mark(&mut self, mark: &Mark, _cleared: bool) -> Utf8Bytes {
        let (Mark::Named(name) | Mark::SoundPlayed(name)) = mark;
        self.writer.mark(name)
    }

    fn stop(&mut self) -> Option<Utf8Bytes> {
        Some(self.writer.stop())
    }

    fn read<'a>(&mut self, text: &'a str, audio: &mut Vec<u8>) -> FromAgent<'a> {
        read(text, audio)
    }

    fn read_binary(&mut self, _bytes: &[u8], _audio: &mut Vec<u8>) -> bool {
        false
    }
}
