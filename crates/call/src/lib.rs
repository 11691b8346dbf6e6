//! The call: its leg, its room, its agent, from INVITE to record; and the shard that owns every
//! call whose Call-ID hashes to it. Pure: inputs in, outputs out, time as an argument.
//!
//! ```text
//! Input ─▶ Shard ─▶ Transactions ─▶ Leg ─▶ Call ─▶ Output
//!            ▲                                │ OpenMedia, ConnectAgent, StartRoom, CloseRoom …
//!            └───── MediaOpened, AgentReady, RoomClosed … ◀── edges
//! ```

mod account;
mod call;
mod caller;
mod challenge;
mod config;
mod io;
mod record;
mod shard;
mod timestamp;
mod trunk;

pub use call::call_id;
pub use caller::{CallPlan, Caller, CallerEvent, CallerOutput};
pub use challenge::{Challenger, NonceBook};
pub use config::{Advertised, ListenerNames, ShardConfig, Spread};
pub use io::{Again, AgentRequest, CallHandle, CallStart, Input, LegStart, Output, PlaceCall};
pub use record::{CallRecord, EndedBy, Status};
pub use shard::Shard;
pub use timestamp::Timestamp;
pub use trunk::{AddressState, Purpose, RegistrationState, TrunkCharge, TrunkState, TrunkTask};
pub use trunkline_sdp::media::{MediaSpec, MediaStats, RoomEvent};
