//! An agent on a WebSocket: what its protocols have in common.
//!
//! ```text
//! to the agent:   a greeting, audio, key presses, marks, news of the call, an end
//! from the agent: audio, marks, clear, keys, hangup, what it asks of the call
//! ```
//! A [`Wire`] gives these the protocol's words. What the agent says before its call is answered waits.
//! What is not understood is passed over and counted, and told of once in the log. Closing the
//! socket ends the call once what was said has been played; so does `hangup`.

use std::collections::VecDeque;

use trunkline_media::{Frame, Participant, Readiness, RoomIo};
use trunkline_sdp::Codec;
use trunkline_sdp::control::AgentNews;
use tungstenite::Utf8Bytes;

use crate::link::{Link, Received};
use crate::said::FromAgent;
use crate::sid::CallNames;
use crate::timeline::Timeline;

/// Messages read at one wake-up before others get their turn.
const BURST: usize = 64;
/// Bytes of them: one that floods with large messages takes no more of the thread than one with small.
const BURST_BYTES: usize = 32 * 1024;
/// Longest name of a mark that is kept.
const MAX_MARK: usize = 256;
/// Most messages kept of an agent that speaks before the call is answered; the rest is lost.
const MAX_EARLY: usize = 64;
/// Most bytes of them.
const MAX_EARLY_BYTES: usize = 1 << 20;

/// A protocol's words. What it sends goes into the link; false where that is broken.
pub trait Wire: Send {
    /// The call is answered.
    fn greet(&mut self, link: &mut Link) -> bool;

    /// The caller said this, in µ-law, so many milliseconds into the call.
    fn media(&mut self, audio: &[u8], at: u64, link: &mut Link) -> bool;

    /// The caller pressed a key.
    fn digit(&mut self, digit: char) -> Utf8Bytes;

    /// A mark was reached: what stood before it was played, or cleared.
    fn mark(&mut self, mark: &Mark, cleared: bool) -> Utf8Bytes;

    /// The last message, where there is one.
    fn stop(&mut self) -> Option<Utf8Bytes>;

    /// Reads a text message; audio in it is decoded into `audio`.
    fn read<'a>(&mut self, text: &'a str, audio: &mut Vec<u8>) -> FromAgent<'a>;

    /// Reads a binary message; false where the protocol has none.
    fn read_binary(&mut self, bytes: &[u8], audio: &mut Vec<u8>) -> bool;
}

/// How an agent wants to be treated, whatever its protocol.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// It is told what happens in its call beside what its protocol has words for.
    pub events: bool,
    /// It is sought where its connection breaks: what it had said is not played then.
    pub comes_again: bool,
}

/// What waits for its place in the queue to be reached.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark {
    /// A mark with the agent's name for it.
    Named(String),
    /// The end of a sound with the agent's id of it.
    SoundPlayed(String),
}

/// A participant on a WebSocket.
pub struct SocketAgent<W> {
    link: Link,
    call: CallNames,
    wire: W,
    /// Marks that were not given back, with their ids.
    marks: VecDeque<(u64, Mark)>,
    next_mark: u64,
    /// Marks up to this one were cleared.
    cleared: u64,
    timeline: Timeline,
    manner: Manner,
    decoded: Vec<u8>,
    started: bool,
    gone: bool,
    early: Early,
    /// Messages that were not understood.
    unknown: u64,
}

/// What an agent says before its call is answered.
#[derive(Default)]
struct Early {
    messages: VecDeque<Received>,
    bytes: usize,
}

impl Early {
    fn keep(&mut self, message: Received) {
        let length = message.bytes();
        if self.messages.len() < MAX_EARLY && self.bytes + length <= MAX_EARLY_BYTES {
            self.bytes += length;
            self.messages.push_back(message);
        }
    }
}

impl<W: Wire> SocketAgent<W> {
    /// An agent on an open link.
    #[must_use]
    pub fn new(link: Link, call: CallNames, wire: W, manner: Manner) -> Self {
        Self {
            link,
            call,
            wire,
            marks: VecDeque::new(),
            next_mark: 0,
            cleared: 0,
            timeline: Timeline::default(),
            manner,
            decoded: Vec::new(),
            started: false,
            gone: false,
            early: Early::default(),
            unknown: 0,
        }
    }

    fn read(&mut self, room: &mut RoomIo<'_>) {
        let mut bytes = 0;
        for _ in 0..BURST {
            if bytes > BURST_BYTES {
                break;
            }
            match self.link.receive() {
                message @ (Received::Text(_) | Received::Binary(_)) if self.started => {
                    bytes += message.bytes();
                    self.take(&message, room);
                }
                message @ (Received::Text(_) | Received::Binary(_)) => self.early.keep(message),
                Received::Other => {}
                Received::Nothing => return,
                Received::Closed => {
                    self.gone = true;
                    return room.leave_when_played();
                }
                Received::Broken => return self.sent(false, room),
            }
        }
        room.read_again();
    }

    fn take(&mut self, message: &Received, room: &mut RoomIo<'_>) {
        match message {
            Received::Text(text) => {
                let said = self.wire.read(text, &mut self.decoded);
                self.obey(said, room);
            }
            Received::Binary(bytes) if self.wire.read_binary(bytes, &mut self.decoded) => {
                room.play(&self.decoded);
            }
            Received::Binary(_) => self.not_understood("a binary message"),
            Received::Other | Received::Nothing | Received::Closed | Received::Broken => {}
        }
    }

    fn obey(&mut self, said: FromAgent<'_>, room: &mut RoomIo<'_>) {
        match said {
            FromAgent::Media => room.play(&self.decoded),
            FromAgent::Sound { id, queued } => {
                if !queued {
                    self.clear(room);
                }
                room.play(&self.decoded);
                if let Some(id) = id {
                    self.mark(Mark::SoundPlayed(short(&id)), room);
                }
            }
            FromAgent::Mark(name) => self.mark(Mark::Named(short(&name)), room),
            FromAgent::Clear => self.clear(room),
            FromAgent::ClearMarks => {
                // Their places in the queue are reached later and find nothing here.
                while let Some((_, mark)) = self.marks.pop_front() {
                    self.give_back(&mark, true);
                }
            }
            FromAgent::Dtmf(keys) => room.press(&keys),
            FromAgent::DtmfEnd => room.press_no_more(),
            FromAgent::Hangup => room.leave_when_played(),
            FromAgent::Ask(ask) => room.ask(*ask),
            FromAgent::Unknown(why) => self.not_understood(&why),
        }
    }

    fn clear(&mut self, room: &mut RoomIo<'_>) {
        self.cleared = self.next_mark;
        room.clear();
    }

    fn mark(&mut self, mark: Mark, room: &mut RoomIo<'_>) {
        self.next_mark += 1;
        if room.mark(self.next_mark) {
            self.marks.push_back((self.next_mark, mark));
        } else {
            self.give_back(&mark, false);
        }
    }

    fn give_back(&mut self, mark: &Mark, cleared: bool) {
        let message = self.wire.mark(mark, cleared);
        self.link.send(message);
    }

    fn not_understood(&mut self, why: &str) {
        self.unknown += 1;
        if self.unknown == 1 {
            let CallNames { call, sip_call_id } = &self.call;
            tracing::warn!(%call, %sip_call_id, why, "a message of the agent was not understood; more of them are only counted");
        }
    }

    fn sent(&mut self, sent: bool, room: &mut RoomIo<'_>) {
        if !sent {
            self.gone = true;
            if self.manner.comes_again {
                room.clear();
            }
            room.lost();
        }
    }
}

/// A name that the agent gave, as far as it is kept.
fn short(name: &str) -> String {
    name.chars().take(MAX_MARK).collect()
}

impl<W: Wire> Participant for SocketAgent<W> {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, room: &mut RoomIo<'_>) {
        if !self.wire.greet(&mut self.link) {
            return self.sent(false, room);
        }
        self.started = true;
        self.timeline.begin(room.now);
        while let Some(message) = self.early.messages.pop_front() {
            self.take(&message, room);
        }
        self.read(room);
    }

    fn hear(&mut self, frame: Frame<'_>, room: &mut RoomIo<'_>) {
        if self.gone || !self.started {
            return;
        }
        let at = self.timeline.pass(frame.payload.len() as u64 / 8, room.now);
        let sent = self.wire.media(frame.payload, at, &mut self.link);
        self.sent(sent, room);
    }

    fn digit(&mut self, digit: char, room: &mut RoomIo<'_>) {
        if !self.gone {
            let sent = self.link.send(self.wire.digit(digit));
            self.sent(sent, room);
        }
    }

    fn wants_speech(&self) -> bool {
        self.manner.events
    }

    fn tell(&mut self, news: &AgentNews, room: &mut RoomIo<'_>) {
        if self.gone || !self.started || !self.manner.events {
            return;
        }
        match serde_json::to_string(news) {
            Ok(text) => {
                let sent = self.link.send(text.into());
                self.sent(sent, room);
            }
            Err(why) => {
                let CallNames { call, sip_call_id } = &self.call;
                tracing::error!(%call, %sip_call_id, %why, "news for an agent cannot be written");
            }
        }
    }

    fn reached(&mut self, mark: u64, _room: &mut RoomIo<'_>) {
        if let Some(at) = self.marks.iter().position(|(id, _)| *id == mark)
            && let Some((id, mark)) = self.marks.remove(at)
            && !self.gone
        {
            self.give_back(&mark, id <= self.cleared);
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
        if self.started
            && !self.gone
            && let Some(stop) = self.wire.stop()
        {
            self.link.send(stop);
        }
        self.link.close();
        let CallNames { call, sip_call_id } = &self.call;
        if self.link.dropped() > 0 {
            let messages = self.link.dropped();
            tracing::warn!(%call, %sip_call_id, messages, "an agent read too slowly; audio was dropped");
        }
        if self.unknown > 0 {
            let messages = self.unknown;
            tracing::info!(%call, %sip_call_id, messages, "messages of the agent were not understood");
        }
    }
}
