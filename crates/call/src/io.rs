//! What goes into a shard and what comes out of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use trunkline_routing::{Agent, RouteTable};
use trunkline_sdp::Codec;
use trunkline_sip::{Flow, Message, Transmit};

use crate::CallRecord;

/// Our handle of a call: its shard in the upper 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallHandle(pub u64);

impl CallHandle {
    /// The shard that owns the call.
    #[must_use]
    pub const fn shard(self) -> usize {
        (self.0 >> 48) as usize
    }
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

/// An agent to be brought into the room.
#[derive(Debug, Clone)]
pub struct AgentRequest {
    /// The agent.
    pub agent: Arc<Agent>,
    /// Our id of the call.
    pub call_id: String,
    /// What it is told: `from_number`, `to_number`, `system__…`, metadata, attributes.
    pub parameters: Vec<(String, String)>,
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

/// An input of a shard.
#[derive(Debug)]
pub enum Input {
    /// A message from the wire.
    Message(Box<Message>, Flow),
    /// A connection is gone.
    ConnectionLost(u64),
    /// The room is open; `None` where no port was free.
    MediaOpened(CallHandle, Option<SocketAddr>),
    /// The agent is in the room, or cannot be reached.
    AgentConnected(CallHandle, Result<(), String>),
    /// Something happened in the room.
    Room(CallHandle, RoomEvent),
    /// The room is closed.
    RoomClosed(CallHandle, MediaStats),
    /// End the call, for this reason; from the API or the agent's own REST call.
    HangUp(CallHandle),
    /// New tables.
    Reload(Arc<RouteTable>),
    /// Take no new calls.
    Drain,
    /// End every call: the drain has run out of time.
    EndAll,
}

/// An output of a shard.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Open a room with a port for the caller, on an address that this peer can reach.
    OpenMedia {
        /// The call.
        call: CallHandle,
        /// Our address on the signalling flow.
        local: IpAddr,
        /// How the leg sends and receives; `None` for a late offer.
        spec: Option<MediaSpec>,
    },
    /// The leg's media changed.
    UpdateMedia(CallHandle, MediaSpec),
    /// Bring the agent into the room.
    ConnectAgent(CallHandle, Box<AgentRequest>),
    /// The call is answered: let the agent hear and speak.
    StartRoom(CallHandle),
    /// Close the room, if there is one, and say what it came to.
    CloseRoom(CallHandle),
    /// A call began.
    Began(CallHandle),
    /// A call was answered, that many milliseconds after its INVITE.
    Answered(CallHandle, u64),
    /// A call is over.
    Ended(Box<CallRecord>),
    /// A request was refused before it became a call.
    Refused {
        /// SIP Call-ID.
        sip_call_id: String,
        /// SIP code.
        code: u16,
        /// Why.
        reason: String,
        /// Where it came from.
        source: SocketAddr,
    },
}
