//! SIP transactions and dialogs as pure machines (RFC 3261 §12, §13, §17; RFC 6026, 3262, 4028).
//!
//! Nothing here reads a clock, a socket or a random source. [`Now`] comes in with every input;
//! outputs are pushed into lists that the caller drains; the next deadline can be asked for.
//!
//! ```text
//!  message ──▶ Transactions ──▶ Inbound (new request, response, timeout) ──▶ Leg ──▶ LegEvent
//!  bytes   ◀── Transactions ◀── respond / request ◀──────────────────────── Leg ◀── commands
//! ```

pub mod dialog;
mod time;
mod tokens;
pub mod transaction;

pub use time::{Mono, Now, Timers};
pub use tokens::{Fingerprint, KeyedHash, Printing, Tokens};
pub use transaction::{ClientId, Inbound, ServerId, Transactions};
