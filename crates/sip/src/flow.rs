//! Flows: the path a message came by, by which its answers and its dialog go back (RFC 5626 §3).

use std::net::SocketAddr;

use crate::{Host, Transport};

/// The path between a peer and one of our sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// UDP, TCP or TLS.
    pub transport: Transport,
    /// Our address on this path: where the peer reached us, never unspecified.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The connection, on transports that have one.
    pub connection: Option<u64>,
}

impl Flow {
    /// Whether the transport delivers or says that it cannot, so that no retransmission is needed.
    #[must_use]
    pub const fn is_reliable(&self) -> bool {
        !matches!(self.transport, Transport::Udp)
    }
}

/// A next hop that RFC 3263 still has to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Name or address.
    pub host: Host,
    /// Port, where one was named.
    pub port: Option<u16>,
    /// Transport, where one was named.
    pub transport: Option<Transport>,
}

/// Where a message is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Back along a flow; over a lost connection, to `fallback` where there is one.
    Flow {
        /// The flow.
        flow: Flow,
        /// Where to connect if the flow's connection is gone.
        fallback: Option<Hop>,
    },
    /// To a hop that the transport resolves.
    Hop(Hop),
}

/// A message on its way out, written once and sent as often as its transaction asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub target: Target,
    /// The bytes.
    pub payload: bytes::Bytes,
}
