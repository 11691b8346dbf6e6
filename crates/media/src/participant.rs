//! The room contract: what a member of a room is, what it hears, what it can do.
//!
//! A room has the caller's RTP leg and an agent; later mixing, recording, LiveKit peers and
//! supervisors come in through the same trait. A participant lives on the room's media thread: its
//! methods are called one at a time, must not block, and should not allocate for a frame. It may
//! bring one non-blocking socket, which the thread polls for it.
//!
//! Order of calls: `start` once, when the call is answered; then `hear`, `digit`, `tell`, `reached`, `fill`
//! and `ready` in any order; `leave` once, when it is dropped or the room closes. After it has told
//! [`RoomIo::leave_when_played`] or [`RoomIo::lost`] it hears no more, neither audio nor keys nor news.

use std::collections::VecDeque;
use std::time::Instant;

use mio::event::Source;
use trunkline_sdp::Codec;
use trunkline_sdp::control::{AgentAsk, AgentNews};
use trunkline_sdp::media::RoomEvent;

use crate::playout::Playout;
use crate::room::{Line, Voice};

/// A frame of audio in order.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Encoded audio, as long as the caller's packets are.
    pub payload: &'a [u8],
    /// Its codec: the one that [`Participant::codec`] asks for, else the leg's.
    pub codec: Codec,
    /// The frame stands for one that never came.
    pub lost: bool,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
pub struct Readiness {
    /// There is something to read, or the other side has closed.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
}

/// A member of a room beside the caller's leg.
pub trait Participant: Send {
    /// The codec it speaks and wants to hear; `None` for whatever the leg has.
    fn codec(&self) -> Option<Codec> {
        None
    }

    /// Whether what it plays is paced by the room's clock. One that only forwards is not.
    fn is_paced(&self) -> bool {
        true
    }

    /// The call is answered.
    fn start(&mut self, room: &mut RoomIo<'_>);

    /// The caller said something.
    fn hear(&mut self, frame: Frame<'_>, room: &mut RoomIo<'_>);

    /// The caller pressed a key.
    fn digit(&mut self, _digit: char, _room: &mut RoomIo<'_>) {}

    /// Whether it is told when the caller begins to speak and stops.
    fn wants_speech(&self) -> bool {
        false
    }

    /// Its call has news for it.
    fn tell(&mut self, _news: &AgentNews, _room: &mut RoomIo<'_>) {}

    /// A mark of its own was played or cleared.
    fn reached(&mut self, _mark: u64, _room: &mut RoomIo<'_>) {}

    /// A packet is due and the queue holds less than one.
    fn fill(&mut self, _room: &mut RoomIo<'_>) {}

    /// The socket to poll.
    fn socket(&mut self) -> Option<&mut dyn Source> {
        None
    }

    /// Its socket is ready.
    fn ready(&mut self, _readiness: Readiness, _room: &mut RoomIo<'_>) {}

    /// The room closes.
    fn leave(&mut self) {}
}

/// What a participant can do to its room.
pub struct RoomIo<'a> {
    /// The leg that it talks to first of all.
    pub(crate) line: Option<&'a mut Line>,
    /// What it forwards goes straight to that leg.
    pub(crate) echoes: bool,
    /// Timestamp of the frame that it is given.
    pub(crate) heard: u32,
    pub(crate) voice: &'a mut Option<Box<Voice>>,
    pub(crate) playout: &'a mut Playout,
    pub(crate) outcome: &'a mut Outcome,
    pub(crate) told: &'a mut Told,
    pub(crate) again: &'a mut bool,
    /// The time of this wake-up.
    pub now: Instant,
}

/// Asks and key presses that a room passes to its call in a second. More is a fault or an attack; what is
/// beyond it is not passed on.
const MAX_PASSED: u32 = 50;

/// What a room has to tell its call.
#[derive(Debug, Default)]
pub(crate) struct Told {
    events: VecDeque<RoomEvent>,
    /// Asks and key presses of this second.
    passed: u32,
}

impl Told {
    pub(crate) fn push(&mut self, event: RoomEvent) {
        self.events.push_back(event);
    }

    /// What the other side can cause at will.
    pub(crate) fn pass(&mut self, event: RoomEvent) {
        self.passed += 1;
        if self.passed <= MAX_PASSED {
            self.events.push_back(event);
        }
    }

    pub(crate) fn next(&mut self) -> Option<RoomEvent> {
        self.events.pop_front()
    }

    /// A second is over; gives what was not passed on in it.
    pub(crate) fn second(&mut self) -> u32 {
        std::mem::take(&mut self.passed).saturating_sub(MAX_PASSED)
    }
}

/// How a participant wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Outcome {
    #[default]
    Stays,
    LeavesWhenPlayed {
        /// `None` for as long as it takes.
        until: Option<Instant>,
        /// Its connection broke.
        lost: bool,
    },
}

/// Packet time where there is no leg, milliseconds.
const USUAL_PTIME: u32 = 20;
/// Longest play-out after an agent left.
const MAX_PLAY_OUT: std::time::Duration = std::time::Duration::from_secs(10);

impl RoomIo<'_> {
    /// Sends a frame that it was given back to where it came from, at once and past the queue. Where it
    /// hears several, or others hear it, the frame takes the way of what it plays.
    pub fn forward(&mut self, payload: &[u8]) {
        match &mut self.line {
            Some(line) if self.echoes => {
                line.leg.forward(payload, self.heard);
                if let Some(voice) = self.voice {
                    voice.push_encoded(payload, line.leg.codec());
                }
            }
            _ => self.playout.push(payload, self.now),
        }
    }

    /// Queues audio in the participant's codec.
    pub fn play(&mut self, audio: &[u8]) {
        self.playout.push(audio, self.now);
    }

    /// Sets a mark behind what is queued; false where it is reached already.
    pub fn mark(&mut self, id: u64) -> bool {
        self.playout.mark(id)
    }

    /// Presses keys towards the leg that it talks to, behind those that wait: `0` to `9`, `*`, `#`, `A` to `D`, `w` and
    /// `W` for pauses. What the participant says meanwhile waits.
    pub fn press(&mut self, keys: &str) {
        if let Some(line) = &mut self.line {
            line.press(keys);
        }
    }

    /// Presses no more keys: those that wait are dropped, the one that is pressed is let go.
    pub fn press_no_more(&mut self) {
        if let Some(line) = &mut self.line {
            line.press_no_more();
        }
    }

    /// Asks something of the call.
    pub fn ask(&mut self, ask: AgentAsk) {
        self.told.pass(RoomEvent::Ask(Box::new(ask)));
    }

    /// Throws the queue away.
    pub fn clear(&mut self) {
        self.playout.clear();
    }

    /// Leaves once what is queued was played, at most 10 s from now.
    pub fn leave_when_played(&mut self) {
        if *self.outcome == Outcome::Stays {
            *self.outcome = Outcome::LeavesWhenPlayed { until: Some(self.now + MAX_PLAY_OUT), lost: false };
        }
    }

    /// Leaves once all that is queued was played, however long that takes.
    pub fn leave_after_queue(&mut self) {
        if *self.outcome == Outcome::Stays {
            *self.outcome = Outcome::LeavesWhenPlayed { until: None, lost: false };
        }
    }

    /// There was more to read than one turn allows; `ready` is called again.
    pub fn read_again(&mut self) {
        *self.again = true;
    }

    /// The participant's connection broke. What it had said is played, at most 10 s from now.
    pub fn lost(&mut self) {
        *self.outcome = Outcome::LeavesWhenPlayed { until: Some(self.now + MAX_PLAY_OUT), lost: true };
    }

    /// The packet time towards the leg that it talks to, in milliseconds.
    #[must_use]
    pub fn ptime(&self) -> u32 {
        self.line.as_ref().map_or(USUAL_PTIME, |line| line.leg.ptime())
    }

    /// That leg's codec, as the room carries it.
    #[must_use]
    pub fn leg_codec(&self) -> Codec {
        self.line.as_ref().map_or(Codec::Pcmu, |line| line.leg.codec())
    }
}
