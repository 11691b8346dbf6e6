//! Flows: the path a message came by, by which its answers and its dialog go back (RFC 5626 §3).

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Host, Scheme, Transport, Uri, parse_host_port};

/// The path between a peer and one of our sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// UDP, TCP or TLS.
    pub transport: Transport,
    /// Our address on this path: where the peer reached us or, on a connection that we opened, where we
    /// listen for that transport; never unspecified.
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

/// The DNS names in a peer's verified certificate; `None` where it showed none.
pub type PeerNames = Option<Arc<[String]>>;

/// A next hop that RFC 3263 still has to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Name or address.
    pub host: Host,
    /// Port, where one was named.
    pub port: Option<u16>,
    /// Transport, where one was named.
    pub transport: Option<Transport>,
    /// The name that the peer's certificate must hold over TLS; the host's where absent.
    pub name: Option<String>,
}

impl Hop {
    /// The hop that a URI names; nothing where it names no host.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Self> {
        let host = match uri.param("maddr") {
            Some(maddr) => parse_host_port(&maddr)?.host,
            None => uri.host()?.clone(),
        };
        let sips = (*uri.scheme() == Scheme::Sips).then_some(Transport::Tls);
        let transport = uri.param("transport").and_then(|name| name.parse().ok()).or(sips);
        Some(Self { host, port: uri.port(), transport, name: None })
    }

    /// The same hop, whose certificate holds that name where the hop itself is written as an address:
    /// no carrier has a certificate for those.
    #[must_use]
    pub fn known_as(self, name: Option<&str>) -> Self {
        let is_address = matches!(self.host, Host::IpAddr(_));
        Self { name: name.filter(|_| is_address).map(str::to_owned), ..self }
    }
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
