//! The call: its leg, its room, its agent, from INVITE to record; and the shard that owns every
//! call whose Call-ID hashes to it. Pure: inputs in, outputs out, time as an argument.
//!
//! ```text
//! Input ─▶ Shard ─▶ Transactions ─▶ Leg ─▶ Call ─▶ Output
//!            ▲                                │ OpenMedia, ConnectAgent, StartRoom, CloseRoom …
//!            └───── MediaOpened, AgentReady, RoomClosed … ◀── edges
//! ```

mod call;
mod caller;
mod config;
mod io;
mod record;
mod shard;

pub use caller::{CallPlan, Caller, CallerEvent, CallerOutput};
pub use config::{Advertised, ShardConfig};
pub use io::{AgentRequest, CallHandle, Input, Output};
pub use record::{CallRecord, EndedBy};
pub use shard::Shard;
pub use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};
