//! The SIP message (RFC 3261 §7, §19, §20, §25): a tolerant reader, a strict writer, URIs and
//! typed headers.
//!
//! This crate is values only. It shows one set of types to the rest of the workspace; where
//! `rsip`'s vocabulary holds what the wire says ([`StatusCode`], [`Transport`], [`Host`]) it is that
//! vocabulary, elsewhere our own type replaces it (`docs/decisions/0002-where-rsip-ends.md`).
//!
//! ```text
//! bytes ── read::datagram / stream::Framer ──▶ Message ── typed headers ──▶ Via, NameAddr, CSeq …
//! bytes ◀────────────── write ◀─────────────── Message ◀── reply::to ─────── Request
//! ```

pub mod check;
pub mod digest;
mod flow;
mod header;
pub mod headers;
mod host;
pub mod limits;
mod message;
mod method;
mod multipart;
mod name_addr;
mod params;
pub mod read;
pub mod reply;
mod status;
pub mod stream;
pub mod text;
mod uri;
mod write;

pub use flow::{Flow, Hop, PeerNames, Target, Transmit};
pub use header::{Header, HeaderName, Headers};
pub use host::{HostPort, format_host, parse_host, parse_host_port};
pub use message::{Message, Request, Response};
pub use method::Method;
pub use name_addr::NameAddr;
pub use params::{Param, Params};
pub use rsip::common::uri::host_with_port::Host;
pub use rsip::{StatusCode, Transport};
pub use status::reason_phrase;
pub use uri::{Scheme, Uri, UriError};
