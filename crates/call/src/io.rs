//! What goes into a shard and what comes out of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_routing::{Agent, Pii, Route, RouteTable, Trunk};
use trunkline_sdp::control::{AgentAsk, AgentNews, Recording, Transfer, TransferResult};
use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent, Sound};
use trunkline_sdp::{Hearing, Member};
use trunkline_signalling::Now;
use trunkline_sip::{Flow, Hop, Message, PeerNames, Request, Transmit};

use crate::{CallRecord, Timestamp, TrunkCharge, TrunkState, TrunkTask};

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
    /// The Call-ID, for the log.
    pub sip_call_id: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// What it is told: `from_number`, `to_number`, `system__…`, metadata, attributes.
    pub parameters: Pii<Vec<(String, String)>>,
    /// It was lost in mid-call and is sought.
    pub again: Option<Again>,
}

/// How an agent is sought that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// For so long, over and over.
    pub window: Duration,
    /// It was found and lost again at once: not without a pause.
    pub repeated: bool,
}

/// A call to be placed.
#[derive(Debug)]
pub struct PlaceCall {
    /// Our id of it, given to whom asked for it.
    pub id: String,
    /// Its Call-ID, which belongs to the shard that gets this.
    pub sip_call_id: String,
    /// What routing decided.
    pub route: Route,
    /// Told to the agent beside what every agent is told.
    pub variables: Pii<Vec<(String, String)>>,
    /// Fields of the INVITE, checked by routing.
    pub fields: Vec<(String, String)>,
    /// Keys that are pressed once the call is answered.
    pub dtmf_prefix: Option<String>,
}

/// A call as it begins, for lists of calls in progress.
#[derive(Debug, Clone, PartialEq)]
pub struct CallStart {
    /// Our id.
    pub call_id: String,
    /// The SIP header.
    pub sip_call_id: String,
    /// Which way.
    pub direction: &'static str,
    /// Who calls, as records show it.
    pub from: Pii<String>,
    /// Who is called.
    pub to: Pii<String>,
    /// Trunk.
    pub trunk: String,
    /// Agent.
    pub agent: String,
    /// INVITE.
    pub started_at: Timestamp,
}

/// A further leg as it comes, for lists of calls in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegStart {
    /// Its place in the room.
    pub member: Member,
    /// The SIP header.
    pub sip_call_id: String,
    /// `inbound` where it came by Replaces, `outbound` where we call it.
    pub direction: &'static str,
    /// Trunk.
    pub trunk: String,
}

/// An input of a shard.
#[derive(Debug)]
pub enum Input {
    /// Place a call.
    Place(Box<PlaceCall>),
    /// The way to a leg's hop, and whether there are more behind it; or why there is none.
    FlowFound(CallHandle, Member, Result<(Flow, bool), String>),
    /// A message from the wire, and who its peer has proved to be.
    Message(Box<Message>, Flow, PeerNames),
    /// A connection is gone.
    ConnectionLost(u64),
    /// A request of ours could not be sent: no hop of its was to be reached.
    Unsent(Box<Request>),
    /// A leg's media port is open, and with the first one the room; `None` where no port was free.
    MediaOpened(CallHandle, Member, Option<SocketAddr>),
    /// The agent is in the room, or cannot be reached.
    AgentConnected(CallHandle, Result<(), String>),
    /// Something happened in the room.
    Room(CallHandle, RoomEvent),
    /// A leg has left the room, and what it came to.
    LegClosed(CallHandle, Member, MediaStats),
    /// The room is closed.
    RoomClosed(CallHandle, MediaStats),
    /// End the call, for this reason; from the API or the agent's own REST call.
    HangUp(CallHandle),
    /// Hold the party, or come back to it.
    Hold(CallHandle, bool),
    /// Put the caller through.
    Transfer(CallHandle, Box<Transfer>),
    /// End the consultation of a warm transfer: join the caller; whether the agent stays.
    CompleteTransfer(CallHandle, bool),
    /// Give a transfer up.
    CancelTransfer(CallHandle),
    /// Press these keys towards the caller or the callee.
    Press(CallHandle, String),
    /// Press no more keys: those that wait are dropped, the one that is pressed is let go.
    PressNoMore(CallHandle),
    /// What the agent could ask too: the recording, a sound.
    Ask(CallHandle, Box<AgentAsk>),
    /// Look after a trunk; told again after new tables.
    KeepTrunk(Box<TrunkCharge>),
    /// The way to a trunk's address, and whether there are more behind it; or why there is none.
    TrunkFlowFound(TrunkTask, Result<(Flow, bool), String>),
    /// What the link of a trunk came to, on whichever shard it is.
    TrunkState(Arc<TrunkState>),
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
    /// Open a media port for a leg, on an address that its peer can reach; with the first one the room.
    OpenMedia {
        /// The call.
        call: CallHandle,
        /// The leg.
        member: Member,
        /// Our address on the signalling flow.
        local: IpAddr,
        /// How the leg sends and receives; `None` for a late offer.
        spec: Option<MediaSpec>,
    },
    /// A further leg of a call is placed, or comes to take another's place.
    LegBegan(CallHandle, Box<LegStart>),
    /// A leg has the place of another, which is about to go.
    Replaced {
        /// The call.
        call: CallHandle,
        /// Who had it.
        old: Member,
        /// Who has it.
        new: Member,
    },
    /// Whom the call is with: it is recorded on the left, and its speech is listened for.
    Party(CallHandle, Member),
    /// Whether messages with that Call-ID and that tag of the peer's belong to this shard, whichever the Call-ID
    /// hashes to.
    Alias {
        /// The Call-ID.
        call_id: Bytes,
        /// The peer's tag: in From of what it asks, in To of what it answers.
        tag: String,
        /// Whether they do from now on.
        stands: bool,
    },
    /// A leg's media changed.
    UpdateMedia(CallHandle, Member, MediaSpec),
    /// Bring the agent into the room.
    ConnectAgent(CallHandle, Box<AgentRequest>),
    /// The call is answered: let the agent hear and speak.
    StartRoom(CallHandle),
    /// Press these keys towards a leg's peer.
    Press(CallHandle, Member, String),
    /// Press no more keys towards a leg's peer.
    PressNoMore(CallHandle, Member),
    /// Have a leg leave the room and free its port.
    CloseLeg(CallHandle, Member),
    /// Have the agent leave the room, or let it come no more; the room lives on.
    DropAgent(CallHandle),
    /// Who hears whom from now on.
    Arrange(CallHandle, Hearing),
    /// Whether a leg's key presses come as room events, or go to those who hear it.
    Listen(CallHandle, Member, bool),
    /// Play a sound to a leg instead of what it would hear. The end of one that does not repeat is told.
    Play {
        /// The call.
        call: CallHandle,
        /// Who hears it.
        member: Member,
        /// What.
        sound: Sound,
        /// Over and over.
        repeat: bool,
    },
    /// Play no more to a leg.
    Hush(CallHandle, Member),
    /// A key press of a leg's peer that came by INFO.
    Digit(CallHandle, char, Member),
    /// Take the noise out of what a leg says.
    SuppressNoise(CallHandle, Member),
    /// What becomes of the call's recording.
    Record {
        /// The call.
        call: CallHandle,
        /// Our id of it, which names the file.
        call_id: String,
        /// What.
        task: Recording,
    },
    /// News for the agent.
    Tell(CallHandle, Box<AgentNews>),
    /// What came of a transfer, or of the wish for one.
    TransferEnded(CallHandle, Box<TransferResult>),
    /// Close the room, if there is one, and say what it came to.
    CloseRoom(CallHandle),
    /// Find the way to a hop: its `skip`th place, by RFC 3263.
    FindFlow {
        /// The call.
        call: CallHandle,
        /// The leg.
        member: Member,
        /// The hop.
        hop: Hop,
        /// How large the request will be, at most.
        bytes: usize,
        /// Places that were tried already.
        skip: usize,
        /// The leg's number among the call's, and the trunk whose limits it counts towards; nothing for
        /// the leg that the call began with. A trunk that takes no more is answered like one without a way.
        counts: Option<(u32, Arc<Trunk>)>,
    },
    /// A leg is gone that its trunk may have counted; without a number, all of the call's are.
    LegGone(CallHandle, Option<u32>),
    /// The same as [`Self::FindFlow`] for a link of a trunk.
    FindTrunkFlow {
        /// Who asks.
        task: TrunkTask,
        /// The hop.
        hop: Hop,
        /// How large the request will be, at most.
        bytes: usize,
        /// Places that were tried already.
        skip: usize,
    },
    /// A trunk's registration or health has changed: every shard is to know.
    TrunkState(Box<TrunkState>),
    /// A call began.
    Began(CallHandle, Box<CallStart>),
    /// A call was answered at that time, so long after its INVITE.
    Answered(CallHandle, Now, Duration),
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
        /// The trunk that it came by, where routing knows it.
        trunk: Option<String>,
    },
}
