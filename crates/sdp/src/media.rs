//! What a call and its room tell each other: values that both the machine and the media threads
//! know.

use std::net::SocketAddr;

use crate::Codec;

/// How the caller's leg sends and receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaSpec {
    /// Codec of both directions.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// Payload type of telephone events.
    pub events: Option<u8>,
    /// Packet time towards the peer, milliseconds.
    pub ptime: u32,
    /// Where RTP goes; `None` sends nothing until the peer was heard.
    pub remote: Option<SocketAddr>,
    /// Where RTCP goes.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP on the RTP port.
    pub rtcp_mux: bool,
    /// We send.
    pub sends: bool,
    /// The peer sends.
    pub receives: bool,
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
    /// Interarrival jitter at the end, milliseconds.
    pub jitter_ms: f64,
    /// Round trip from RTCP, milliseconds, where the peer reports.
    pub round_trip_ms: Option<f64>,
    /// Key presses heard.
    pub dtmf_digits: u32,
    /// Mean opinion score, estimated from loss and jitter.
    pub mos: f64,
}

/// What a room tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomEvent {
    /// The agent left and all that it had said was played.
    AgentLeft,
    /// The agent's connection broke.
    AgentLost,
    /// Nothing came from the caller for the configured time.
    NoMedia,
    /// Something in the room failed badly; the room is closed.
    Failed,
}
