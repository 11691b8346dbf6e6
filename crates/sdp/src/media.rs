//! What a call and its room tell each other: values that both the machine and the media threads
//! know.

use std::net::{IpAddr, SocketAddr};

use crate::control::AgentAsk;
use crate::{Codec, Member, SrtpKeys};

/// How keys are pressed towards a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtmfMethod {
    /// As telephone events where they were negotiated, else as tones.
    #[default]
    Auto,
    /// As telephone events (RFC 4733) and in no other way.
    Rfc4733,
    /// In INFO requests.
    Info,
    /// As tones.
    Inband,
}

/// How the caller's leg sends and receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaSpec {
    /// Codec of both directions.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// Payload type of telephone events.
    pub events: Option<u8>,
    /// Their clock rate.
    pub events_rate: u32,
    /// Packet time towards the peer, milliseconds.
    pub ptime: u32,
    /// Where RTP goes; `None` sends nothing until the peer was heard.
    pub remote: Option<SocketAddr>,
    /// What the peer wrote as its address, reachable or not.
    pub written: Option<SocketAddr>,
    /// Where the peer's signalling comes from.
    pub signalling: Option<IpAddr>,
    /// Where RTCP goes.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP on the RTP port.
    pub rtcp_mux: bool,
    /// We send.
    pub sends: bool,
    /// The peer sends.
    pub receives: bool,
    /// Keys, where the stream is encrypted.
    pub srtp: Option<SrtpKeys>,
    /// How keys are pressed.
    pub dtmf: DtmfMethod,
}

/// What the media of a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct MediaStats {
    /// RTP packets from the caller.
    pub packets_received: u64,
    /// RTP packets to the caller.
    pub packets_sent: u64,
    /// Packets from the caller that never came.
    pub packets_lost: u64,
    /// Packets from elsewhere, thrown away.
    pub strangers_dropped: u64,
    /// Encrypted packets with a wrong tag, or that came before, thrown away.
    pub unauthentic_dropped: u64,
    /// Interarrival jitter at the end, milliseconds.
    pub jitter_ms: f64,
    /// Round trip from RTCP, milliseconds, where the peer reports.
    pub round_trip_ms: Option<f64>,
    /// Key presses heard.
    pub dtmf_digits: u32,
    /// Bytes that the agent sent beyond what its queue holds, thrown away.
    pub agent_bytes_dropped: u64,
    /// Mean opinion score, estimated from loss and jitter.
    pub mos: f64,
}

/// Most key presses and pauses of one request.
const MAX_KEYS: usize = 128;

/// Whether a text is a row of key presses: `0` to `9`, `*`, `#`, `A` to `D`, with `w` for a pause of half
/// a second and `W` for one of a second.
#[must_use]
pub fn are_keys(text: &str) -> bool {
    let fine = |byte: u8| matches!(byte, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D' | b'w' | b'W');
    !text.is_empty() && text.len() <= MAX_KEYS && text.bytes().all(fine)
}

/// What may be played to a member instead of what it would hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sound {
    /// Music on hold.
    Music,
    /// The other side rings.
    Ringback,
    /// "Press any key to take the call."
    PressAnyKey,
    /// "Enter the passcode."
    EnterPasscode,
    /// "That passcode is wrong."
    WrongPasscode,
    /// A WAV file, below the folder of sounds.
    File(String),
}

impl Sound {
    /// The sound that an agent or the API names: `music`, `ringback`, else a file.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "music" => Self::Music,
            "ringback" => Self::Ringback,
            file => Self::File(file.to_owned()),
        }
    }
}

/// What a room tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomEvent {
    /// The agent left and all that it had said was played.
    AgentLeft,
    /// The agent's connection broke.
    AgentLost,
    /// Nothing came from a leg for the configured time.
    NoMedia(Member),
    /// A leg whose presses the call listens for pressed a key.
    Digit(Member, char),
    /// A key is to be pressed towards a leg's peer whose trunk takes them in INFO requests: now, in the pace of all
    /// presses.
    Pressing(Member, char),
    /// A leg's peer pressed a key, which those who hear it have heard; for lists and events only.
    Heard(Member, char),
    /// A sound was played to its end, or could not be played.
    Played(Member),
    /// A sound cannot be played to a leg, and why: it is over.
    Unplayed(Member, String),
    /// So many wishes and key presses of the last second were too many and were not passed on.
    Unheard(u32),
    /// The agent asks something of the call.
    Ask(Box<AgentAsk>),
    /// A recording has ended: by request, with the room, or because of a problem.
    RecordingEnded {
        /// The name of its file.
        file: String,
        /// How long it is.
        milliseconds: u64,
        /// What went wrong; what was written before is kept.
        problem: Option<String>,
    },
    /// Something in the room failed badly, and what; the room does nothing more and is to be closed.
    Failed(&'static str),
}
