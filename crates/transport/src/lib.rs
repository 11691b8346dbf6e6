//! SIP transport (RFC 3261 §18): UDP, TCP and TLS sockets, framing, flows, the flood guard.
//!
//! ```text
//! sockets ─▶ guard ─▶ reader / Framer ─▶ sink(Received)
//! sockets ◀───────────────────────────── Transport::send(Transmit)
//! ```
//! Everything that arrives is handed to one sink; everything that leaves is found a socket by its
//! flow, or a new connection where the flow's is gone.

mod caps;
mod connections;
mod guard;
pub mod resolver;
mod tls;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use resolver::{Dns, SystemDns, resolve};
use trunkline_sip::{
    Flow, Hop, Message, PeerNames, Request, Target, Transmit, Transport as Kind, format_host, read,
};

use connections::{Connections, nearest};
pub use guard::{Guard, GuardLimits};
pub use tls::{LiveTls, Roots, TlsError, TlsFiles};
use udp::UdpListener;

/// What the transport hands up.
#[derive(Debug)]
pub enum Received {
    /// A message, the flow it came by, and who the peer has proved to be.
    Message(Box<Message>, Flow, PeerNames),
    /// A connection is gone.
    ConnectionLost(u64),
    /// A request that had to find its hop was not sent.
    Unsent(Box<Request>),
}

/// Where it hands it; called on the async edge, must not block. What it cannot take now it gives back:
/// that connection is not read for a moment, so that its peer slows down.
pub type Sink = Arc<dyn Fn(Received) -> Result<(), Received> + Send + Sync>;

/// Listeners to open.
#[derive(Clone)]
pub struct Listen {
    /// UDP, TCP or TLS.
    pub kind: Kind,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
}

/// The sockets of a node.
pub struct Transport {
    udp: Vec<Arc<UdpListener>>,
    connections: Arc<Connections>,
    local: Vec<(Kind, SocketAddr)>,
    sink: Sink,
    dns: Arc<dyn Dns>,
    dice: AtomicU64,
    /// Messages whose hop is being found.
    unsent: AtomicUsize,
}

impl Transport {
    /// Opens every listener and starts reading.
    ///
    /// # Errors
    /// Where an address cannot be bound, with the address in the message.
    pub fn bind(
        listeners: &[Listen],
        tls: Option<Arc<LiveTls>>,
        guard: Arc<Guard>,
        name_servers: &[SocketAddr],
        sink: Sink,
    ) -> io::Result<Arc<Self>> {
        let connections = Arc::new(Connections::new(tls, Arc::clone(&guard), Arc::clone(&sink)));
        let mut udp = Vec::new();
        let mut local = Vec::new();
        for listen in listeners {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{} {}: {error}", listen.kind, listen.address))
            };
            let bound = match listen.kind {
                Kind::Udp => {
                    let listener = Arc::new(UdpListener::bind(listen.address).map_err(named)?);
                    let bound = listener.local();
                    udp.push(Arc::clone(&listener));
                    tokio::spawn(udp::receive(listener, Arc::clone(&guard), Arc::clone(&sink)));
                    bound
                }
                kind => connections.listen(kind, listen.address).map_err(named)?,
            };
            local.push((listen.kind, bound));
        }
        let dns: Arc<dyn Dns> = match SystemDns::new(name_servers) {
            Ok(dns) => Arc::new(dns),
            Err(error) => {
                tracing::warn!(%error, "no name server; only addresses can be reached");
                Arc::new(NoDns)
            }
        };
        Ok(Arc::new(Self {
            udp,
            connections,
            local,
            sink,
            dns,
            dice: AtomicU64::new(1),
            unsent: AtomicUsize::new(0),
        }))
    }

    /// The listeners with the ports that they got.
    #[must_use]
    pub fn local(&self) -> &[(Kind, SocketAddr)] {
        &self.local
    }

    /// Sends. Failures are logged; what is lost is sent again by its transaction or told by
    /// [`Received::ConnectionLost`].
    pub fn send(self: &Arc<Self>, transmit: Transmit) {
        match transmit.target {
            Target::Flow { flow, .. } if flow.transport == Kind::Udp => self.send_udp(flow, transmit.payload),
            Target::Flow { flow, fallback } => {
                let lost = self.connections.send(flow, transmit.payload);
                match (lost, fallback) {
                    (None, _) => {}
                    (Some(payload), Some(hop)) => self.send_hop(hop, payload),
                    (Some(_), None) => self.connections.tell_lost(flow),
                }
            }
            Target::Hop(hop) => self.send_hop(hop, transmit.payload),
        }
    }

    /// A UDP flow to a peer, with the local address that the system routes it by.
    ///
    /// # Errors
    /// Where there is no UDP listener of that family, or no route.
    pub fn udp_flow(&self, remote: SocketAddr) -> io::Result<Flow> {
        let none = || io::Error::new(io::ErrorKind::AddrNotAvailable, "no UDP listener of that family");
        let own = || self.udp.iter().map(|listener| listener.local());
        let routed = SocketAddr::new(route_to(remote)?, 0);
        let mut local = nearest(own(), routed).ok_or_else(none)?;
        if local.ip().is_unspecified() {
            local.set_ip(routed.ip());
        }
        Ok(Flow { transport: Kind::Udp, local, remote, connection: None })
    }

    /// The way to a hop's `skip`th place, in the order of RFC 3263, and whether there are more behind it.
    /// Places that cannot be reached are passed over.
    ///
    /// # Errors
    /// Where there is no such place, or none that can be reached.
    pub async fn flow_to(&self, hop: &Hop, bytes: usize, skip: usize) -> io::Result<(Flow, bool)> {
        let name = hop.name.clone().unwrap_or_else(|| format_host(&hop.host));
        let found = self.find(hop, bytes).await?;
        let count = found.len();
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{name} has no further address"));
        for (at, (kind, remote)) in found.into_iter().enumerate().skip(skip) {
            let flow = match kind {
                Kind::Udp => self.udp_flow(remote),
                kind => self.connections.flow_to(kind, remote, &name).await,
            };
            match flow {
                Ok(flow) => return Ok((flow, at + 1 < count)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Opens a connection to a peer.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn connect(&self, kind: Kind, remote: SocketAddr, name: &str) -> io::Result<Flow> {
        self.connections.connect(kind, remote, name).await
    }

    fn send_udp(&self, flow: Flow, payload: bytes::Bytes) {
        let listener = self.udp.iter().find(|listener| listener.owns(flow.local));
        match listener.or(self.udp.first()) {
            Some(listener) => listener.send(flow, payload),
            None => tracing::warn!("a UDP message has no socket to leave by"),
        }
    }

    /// Finds a hop and sends to the first of its addresses that takes the message.
    fn send_hop(self: &Arc<Self>, hop: Hop, payload: bytes::Bytes) {
        let this = Arc::clone(self);
        this.unsent.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            this.find_and_send(hop, payload).await;
            this.unsent.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Messages whose hop is still being found.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    async fn find_and_send(self: &Arc<Self>, hop: Hop, payload: bytes::Bytes) {
        let name = hop.name.clone().unwrap_or_else(|| format_host(&hop.host));
        let found = self.find(&hop, payload.len()).await.unwrap_or_else(|error| {
            tracing::warn!(sip_call_id = %call_id_of(&payload), %name, %error, "a hop cannot be found");
            Vec::new()
        });
        for (kind, remote) in found {
            let sent = match kind {
                Kind::Udp => self.udp_flow(remote).map(|flow| self.send_udp(flow, payload.clone())),
                kind => self.connections.open_and_send(kind, remote, &name, payload.clone()).await,
            };
            match sent {
                Ok(()) => return,
                Err(error) => {
                    let sip_call_id = call_id_of(&payload);
                    tracing::warn!(%sip_call_id, %name, %remote, %error, "a hop cannot be reached");
                }
            }
        }
        // An answer is sent again by its transaction, for as long as somebody may want it.
        if let Ok(Message::Request(request)) = read::datagram(&payload) {
            let _ = (self.sink)(Received::Unsent(Box::new(request)));
        }
    }

    /// Where a hop may be reached, in the order to try.
    ///
    /// # Errors
    /// Where it has no address, or no name server answers.
    pub async fn find(&self, hop: &Hop, bytes: usize) -> io::Result<Vec<(Kind, SocketAddr)>> {
        let mut seed = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut dice = move || {
            seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
            seed >> 16
        };
        resolve(&*self.dns, hop, bytes, &mut dice).await.map_err(io::Error::other)
    }
}

/// The Call-ID of a message that is on its way out, for the log.
fn call_id_of(payload: &bytes::Bytes) -> String {
    let message = read::datagram(payload).ok();
    let call_id = message.as_ref().and_then(Message::call_id);
    call_id.map_or_else(String::new, |id| String::from_utf8_lossy(id).escape_debug().to_string())
}

/// For a machine without name servers.
struct NoDns;

impl Dns for NoDns {
    fn naptr<'a>(&'a self, _: &'a str) -> resolver::Answer<'a, resolver::Naptr> {
        Box::pin(async { Err(resolver::DnsError::Unavailable) })
    }
    fn srv<'a>(&'a self, _: &'a str) -> resolver::Answer<'a, resolver::Srv> {
        Box::pin(async { Err(resolver::DnsError::Unavailable) })
    }
    fn addresses<'a>(&'a self, _: &'a str) -> resolver::Answer<'a, IpAddr> {
        Box::pin(async { Err(resolver::DnsError::Unavailable) })
    }
}

/// The local address from which the system would reach `remote`.
fn route_to(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let probe = std::net::UdpSocket::bind(any)?;
    probe.connect(remote)?;
    Ok(probe.local_addr()?.ip())
}

#[cfg(test)]
mod tests;
