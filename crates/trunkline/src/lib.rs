//! The daemon put together: configuration, shards with their drivers, edges, operation.
//!
//! ```text
//! Transport ─▶ Dispatcher ─▶ shard task (Shard) ─▶ Transport, Pool, Dialer, records
//!                 ▲ admission        ▲ reports of Pool and Dialer
//! ```

mod admission;
mod agents;
mod alarm;
mod aliases;
mod calls;
mod certificates;
pub mod clock;
pub mod command;
pub mod config;
mod dispatcher;
mod driver;
mod gateway;
mod ladders;
mod links;
mod masking;
mod metrics;
mod nonces;
mod placing;
mod pulse;
mod random;
mod recordings;
mod records;
mod sealed;
mod sounds;
mod spool;
mod trunks;

pub use gateway::{Gateway, Options};
pub use pulse::Pulse;
