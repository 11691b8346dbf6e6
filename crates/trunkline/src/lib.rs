//! The daemon put together: configuration, shards with their drivers, edges, operation.
//!
//! ```text
//! Transport ─▶ Dispatcher ─▶ shard task (Shard) ─▶ Transport, Pool, Dialer, records
//!                 ▲ admission        ▲ reports of Pool and Dialer
//! ```

mod agents;
pub mod clock;
pub mod command;
pub mod config;
mod driver;
mod gateway;
mod metrics;
mod records;

pub use gateway::{Gateway, Options};
