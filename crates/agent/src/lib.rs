//! Agents: how a room's participant reaches what speaks for us.
//!
//! ```text
//! connect (tokio: TCP, TLS, WebSocket handshake) ──▶ Link ──▶ TwilioAgent ──▶ Pool::join
//! builtin ──────────────────────────────────────────────────▶ Participant ──▶ Pool::join
//! ```
//! Connecting is slow and runs on the async edge; once the socket is up it moves to the room's media
//! thread, which reads and writes it without blocking, so that a frame crosses no thread.

mod builtin;
mod connect;
mod link;
mod prompt;
mod sid;
mod timeline;
pub mod twilio;

pub use builtin::{Announce, Echo, Silence, Tone};
pub use connect::{ConnectError, Dialer, accept_dial_in};
pub use link::Link;
pub use prompt::{Prompt, PromptError};
pub use sid::Sids;
