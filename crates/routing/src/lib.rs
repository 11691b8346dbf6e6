//! Routing: the operators' TOML files as an immutable snapshot, and the decision for one call.
//!
//! ```text
//! files ── load ──▶ RouteTable (or every problem, with file, line, column, what to write)
//! RouteTable + InboundCall ── decide ──▶ Decision, and the steps that led to it
//! ```

mod caller;
mod candidates;
mod decide;
mod e164;
mod load;
mod node;
mod outbound;
mod private;
mod problem;
mod replaces;
mod table;
mod transfer;

pub use caller::{Called, Caller, called_number};
pub use candidates::asks_for_proof;
pub use decide::{Decision, InboundCall, Route, Steps, decide, hides};
pub use e164::{Destination, E164, NumberPattern};
pub use ipnet::IpNet;
pub use load::{Source, is_own_parameter, load, load_part, load_with};
pub use node::{
    ApiKey, ApiScope, ApiSettings, ListenAddress, MediaSettings, Node, NodeError, RecordingFormat,
    RecordingSettings, RouteSettings, SipSettings, TlsSettings, UnknownPeers, key_changes, load_node,
};
pub use outbound::{
    OutboundCall, OutboundRefusal, decide_outbound, is_dialable, may_be_set, may_dial, may_follow,
    read_numbering_plans,
};
pub use private::{AgentUrl, Pii, Secret, mask};
pub use problem::{Place, Problem, ReadSecret, SecretSource, Severity};
pub use replaces::decide_replaces;
pub use table::{
    Agent, Builtin, CallLimits, Connect, Direction, Mode, Number, Privacy, Protocol, RouteTable, RtpAddress,
    SipPlace, Transport, Trunk, TrunkAddress, TrunkAuth,
};
pub use transfer::{DestinationPattern, ReferForm, TransferRefusal, TransferRoute, decide_transfer};
pub use trunkline_sdp::media::DtmfMethod;
pub use trunkline_sdp::{MediaEncryption, RtpFormat};
