//! Media: rooms with their participants, the caller's RTP leg, playout and telephone events.
//!
//! A few threads, each owning its ports, its rooms and its agents' sockets; nothing on them takes a
//! lock or, in the steady state, allocates for a packet.
//!
//! ```text
//! commands ─▶ Pool ─▶ worker thread: poll ─▶ RtpLeg ─▶ Receiver (order, digits) ─▶ Participant
//! reports  ◀─ sink ◀──────────────────────── RtpLeg ◀─ Playout (paced, marks) ◀─── Participant
//! ```

mod borrowed;
mod cleaner;
mod codec;
mod events;
mod g711;
mod keypad;
mod latch;
mod leg;
mod participant;
mod playout;
mod pool;
mod ports;
mod quality;
mod receiver;
mod recorder;
#[doc(hidden)]
pub mod rehearsal;
mod resample;
mod room;
mod rtp_packet;
mod speech;
mod srtp;
mod tones;
mod worker;

pub use borrowed::BorrowedPort;
pub use events::DigitReader;
pub use g711::{alaw_to_linear, linear_to_alaw, linear_to_ulaw, silence, transcode, ulaw_to_linear};
pub use participant::{Frame, Participant, Readiness, RoomIo};
pub use playout::{MAX_QUEUED_BYTES, Playout};
pub use pool::{LegStats, Pool, PoolConfig, Report};
pub use quality::Quality;
pub use receiver::{Ordered, Receiver};
pub use recorder::{RecordFile, RecordFormat, RecordTask};
pub use resample::Resampler;
pub use rtp_packet::{RtpHeader, write_rtp};
pub use srtp::Srtp;
