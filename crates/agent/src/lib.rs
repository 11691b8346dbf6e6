//! Agents: how a room's participant reaches what speaks for us.
//!
//! ```text
//! connect (tokio: TCP, TLS, WebSocket handshake) ──▶ Link ──▶ SocketAgent ──▶ Pool::join
//! resolve, BorrowedPort ─────────────────────────────────────▶ RtpAgent ─────▶ Pool::join
//! builtin ──────────────────────────────────────────────────▶ Participant ──▶ Pool::join
//! ```
//! Connecting is slow and runs on the async edge; once the socket is up it moves to the room's media
//! thread, which reads and writes it without blocking, so that a frame crosses no thread.

mod builtin;
mod connect;
pub mod l16;
mod link;
mod prompt;
mod rtp;
mod said;
mod sid;
mod socket;
mod timeline;
pub mod twilio;

pub use builtin::{Announce, Echo, Silence, Tone};
pub use connect::{ConnectError, Dialer, Greeting, accept_dial_in};
pub use link::Link;
pub use prompt::{Prompt, PromptError};
pub use rtp::RtpAgent;
pub use said::FromAgent;
pub use sid::{CallNames, Sids};
pub use socket::{Manner, Mark, SocketAgent, Wire};
