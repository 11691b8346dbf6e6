//! The harness of the end-to-end tests: the daemon as a process, its log as events, peers as
//! processes. Peers are installed by `cargo xtask test`.

pub mod baresip;
pub mod certificates;
pub mod daemon;
pub mod endpoints;
pub mod heard;
pub mod http;
pub mod peers;

pub use daemon::{Daemon, Setup};
