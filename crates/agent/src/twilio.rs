//! Twilio Media Streams over a [`Link`], byte for byte as an agent that Twilio calls expects it.
//!
//! ```text
//! to the agent:   connected, start, media, dtmf, mark, stop
//! from the agent: media, mark, clear — and `hangup`, which is ours
//! ```
//! Unknown events, binary messages and broken JSON are passed over. Closing the socket ends the
//! call once what was said has been played; so does `{"event":"hangup"}`.

mod messages;

use std::collections::VecDeque;

use trunkline_media::{Frame, Participant, Readiness, RoomIo};
use trunkline_sdp::Codec;

use crate::link::{Link, Received};
use crate::sid::Sids;
use crate::timeline::Timeline;
pub use messages::{FromAgent, Writer};

/// Messages read at one wake-up before others get their turn.
const BURST: usize = 64;
/// Longest name of a mark that is kept.
const MAX_MARK: usize = 256;

/// A call's ids, for the log.
#[derive(Debug, Clone)]
pub struct CallNames {
    /// Ours.
    pub call: String,
    /// The SIP header, as a log may show it.
    pub sip_call_id: String,
}

/// A participant that speaks Twilio Media Streams.
pub struct TwilioAgent {
    link: Link,
    call: CallNames,
    writer: Writer,
    parameters: Vec<(String, String)>,
    /// Names of marks that were not given back, with their ids.
    marks: VecDeque<(u64, String)>,
    next_mark: u64,
    timeline: Timeline,
    decoded: Vec<u8>,
    started: bool,
    gone: bool,
    /// Messages of the agent that wait for the call to be answered.
    early: VecDeque<tungstenite::Utf8Bytes>,
}

/// Most messages kept of an agent that speaks before the call is answered.
const MAX_EARLY: usize = 64;

impl TwilioAgent {
    /// An agent on an open link.
    #[must_use]
    pub fn new(link: Link, sids: Sids, call: CallNames, parameters: Vec<(String, String)>) -> Self {
        Self {
            link,
            call,
            writer: Writer::new(sids),
            parameters,
            marks: VecDeque::new(),
            next_mark: 0,
            timeline: Timeline::default(),
            decoded: Vec::new(),
            started: false,
            gone: false,
            early: VecDeque::new(),
        }
    }

    fn read(&mut self, room: &mut RoomIo<'_>) {
        for _ in 0..BURST {
            match self.link.receive() {
                Received::Text(text) if self.started => self.take(&text, room),
                Received::Text(text) => {
                    if self.early.len() < MAX_EARLY {
                        self.early.push_back(text);
                    }
                }
                Received::Other => {}
                Received::Nothing => return,
                Received::Closed => {
                    self.gone = true;
                    return room.leave_when_played();
                }
                Received::Broken => {
                    self.gone = true;
                    return room.lost();
                }
            }
        }
        room.read_again();
    }

    fn take(&mut self, text: &str, room: &mut RoomIo<'_>) {
        match FromAgent::read(text, &mut self.decoded) {
            FromAgent::Media => room.play(&self.decoded),
            FromAgent::Mark(name) => {
                let name: String = name.chars().take(MAX_MARK).collect();
                self.next_mark += 1;
                if room.mark(self.next_mark) {
                    self.marks.push_back((self.next_mark, name));
                } else {
                    self.send_mark(&name);
                }
            }
            FromAgent::Clear => room.clear(),
            FromAgent::Dtmf(keys) => room.press(&keys),
            FromAgent::Hangup => room.leave_when_played(),
            FromAgent::Other => {}
        }
    }

    fn send_mark(&mut self, name: &str) {
        let message = self.writer.mark(name);
        self.link.send(message);
    }
}

impl Participant for TwilioAgent {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, room: &mut RoomIo<'_>) {
        let connected = self.writer.connected();
        let start = self.writer.start(&self.parameters);
        let sent = self.link.send(connected) && self.link.send(start);
        if !sent {
            self.gone = true;
            return room.lost();
        }
        self.started = true;
        self.timeline.begin(room.now);
        while let Some(text) = self.early.pop_front() {
            self.take(&text, room);
        }
        self.read(room);
    }

    fn hear(&mut self, frame: Frame<'_>, room: &mut RoomIo<'_>) {
        if self.gone || !self.started {
            return;
        }
        let at = self.timeline.pass(frame.payload.len() as u64 / 8, room.now);
        let message = self.writer.media(frame.payload, at);
        if !self.link.send(message) {
            self.gone = true;
            room.lost();
        }
    }

    fn digit(&mut self, digit: char, room: &mut RoomIo<'_>) {
        let message = self.writer.dtmf(digit);
        if !self.gone && !self.link.send(message) {
            self.gone = true;
            room.lost();
        }
    }

    fn reached(&mut self, mark: u64, _room: &mut RoomIo<'_>) {
        if let Some(at) = self.marks.iter().position(|(id, _)| *id == mark)
            && let Some((_, name)) = self.marks.remove(at)
            && !self.gone
        {
            self.send_mark(&name);
        }
    }

    fn socket(&mut self) -> Option<&mut dyn mio::event::Source> {
        Some(self.link.source())
    }

    fn ready(&mut self, readiness: Readiness, room: &mut RoomIo<'_>) {
        if self.gone {
            return;
        }
        if readiness.writable {
            self.link.flush();
        }
        if readiness.readable {
            self.read(room);
        }
    }

    fn leave(&mut self) {
        if self.started && !self.gone {
            let stop = self.writer.stop();
            self.link.send(stop);
        }
        self.link.close();
        if self.link.dropped() > 0 {
            let CallNames { call, sip_call_id } = &self.call;
            let messages = self.link.dropped();
            tracing::warn!(%call, %sip_call_id, messages, "an agent read too slowly; audio was dropped");
        }
    }
}
