//! What goes into a shard and what comes out of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use trunkline_routing::{Agent, RouteTable};
use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};
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
