//! Routing: the operators' TOML files as an immutable snapshot, and the decision for one call.
//!
//! ```text
//! files ── load ──▶ RouteTable (or every problem, with file, line, column, what to write)
//! RouteTable + InboundCall ── decide ──▶ Decision, and the steps that led to it
//! ```

mod caller;
mod decide;
mod e164;
mod load;
mod node;
mod private;
mod problem;
mod table;

pub use caller::{Called, Caller, called_number};
pub use decide::{Decision, InboundCall, Route, Steps, decide};
pub use e164::{E164, NumberPattern};
pub use ipnet::IpNet;
pub use load::{Source, load};
pub use node::{
    ListenAddress, MediaSettings, Node, NodeError, SipSettings, TlsSettings, UnknownPeers, load_node,
};
pub use private::{Pii, Secret, mask};
pub use problem::{Problem, Severity};
pub use table::{
    Agent, Builtin, CallLimits, Connect, Direction, MediaEncryption, Mode, Number, RouteTable, Transport,
    Trunk,
};
