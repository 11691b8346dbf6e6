//! TCP and TLS connections: accepted and opened, read through a framer, written through a bounded
//! queue, found again by number.
//!
//! A connection that begins a message must end it within [`MESSAGE_TIME`]; one that says nothing is
//! closed after [`IDLE_TIME`]. A double CRLF is answered by a single one (RFC 5626 §4.4.1).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use trunkline_sip::stream::{FrameError, Framed, Framer};
use trunkline_sip::{Flow, Request, Transport as Kind, reply};

use crate::tls::LiveTls;
use crate::{Guard, Received, Sink};

/// Most connections of one stranger.
const MAX_PER_STRANGER: usize = 8;
/// Most connections in all, of which strangers may hold half; further ones are closed as they come.
const MAX_CONNECTIONS: usize = 10_000;
/// How long one message may take from its first byte to its last.
const MESSAGE_TIME: Duration = Duration::from_secs(10);
/// How long a connection may say nothing; carriers close theirs after about two minutes.
const IDLE_TIME: Duration = Duration::from_secs(600);
/// How long a handshake or a connect may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the end of a connection may take.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// Messages that wait for a peer that does not read; then the connection is closed.
const QUEUE: usize = 256;
/// Bytes read at once.
const READ: usize = 16 * 1024;

/// The table of connections.
pub(crate) struct Connections {
    tls: Option<Arc<LiveTls>>,
    guard: Arc<Guard>,
    sink: Sink,
    next: AtomicU64,
    open: AtomicUsize,
    per_source: DashMap<IpAddr, usize>,
    writers: DashMap<u64, mpsc::Sender<Bytes>>,
    /// Connections that we opened, by transport and peer, to be used again (RFC 5923).
    by_remote: DashMap<(u8, SocketAddr), u64>,
}

impl Connections {
    pub(crate) fn new(tls: Option<Arc<LiveTls>>, guard: Arc<Guard>, sink: Sink) -> Self {
        Self {
            tls,
            guard,
            sink,
            next: AtomicU64::new(1),
            open: AtomicUsize::new(0),
            per_source: DashMap::new(),
            writers: DashMap::new(),
            by_remote: DashMap::new(),
        }
    }

    /// Opens a listener and starts accepting.
    pub(crate) fn listen(self: &Arc<Self>, kind: Kind, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        let listener = TcpListener::from_std(socket.into())?;
        let bound = listener.local_addr()?;
        let this = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, remote)) => this.accept(kind, stream, remote),
                    // Out of descriptors: let connections end before the next try.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        Ok(bound)
    }

    fn accept(self: &Arc<Self>, kind: Kind, stream: TcpStream, remote: SocketAddr) {
        let Some(place) = self.place(remote.ip()) else {
            return;
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let _place = place;
            let Ok(flow) = this.flow(kind, &stream, remote) else {
                return;
            };
            match (kind, &this.tls) {
                (Kind::Tls, Some(tls)) => match timeout(CONNECT_TIME, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => this.run(stream, flow, None).await,
                    Ok(Err(error)) => {
                        tracing::debug!(%remote, %error, "a TLS handshake failed")
                    }
                    Err(_) => tracing::debug!(%remote, "a TLS handshake took too long"),
                },
                (Kind::Tls, None) => {}
                _ => this.run(stream, flow, None).await,
            }
        });
    }

    /// Takes a place under the caps; it is given back when dropped.
    fn place(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        let stranger = !self.guard.is_peer(source);
        let source = subscriber(source);
        let limit = if stranger { MAX_CONNECTIONS / 2 } else { MAX_CONNECTIONS };
        let held = self.per_source.get(&source).map_or(0, |held| *held);
        if self.open.load(Ordering::Relaxed) >= limit || (stranger && held >= MAX_PER_STRANGER) {
            return None;
        }
        *self.per_source.entry(source).or_insert(0) += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Place { connections: Arc::clone(self), source })
    }

    fn flow(&self, kind: Kind, stream: &TcpStream, remote: SocketAddr) -> io::Result<Flow> {
        stream.set_nodelay(true)?;
        let connection = Some(self.next.fetch_add(1, Ordering::Relaxed));
        Ok(Flow { transport: kind, local: stream.local_addr()?, remote, connection })
    }

    /// Opens a connection and gives its flow.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        kind: Kind,
        remote: SocketAddr,
        name: &str,
    ) -> io::Result<Flow> {
        self.open_with(kind, remote, name, None).await
    }

    async fn open_with(
        self: &Arc<Self>,
        kind: Kind,
        remote: SocketAddr,
        name: &str,
        first: Option<Bytes>,
    ) -> io::Result<Flow> {
        let stream = timeout(CONNECT_TIME, TcpStream::connect(remote)).await??;
        let flow = self.flow(kind, &stream, remote)?;
        if kind != Kind::Tls {
            self.serve(stream, flow, first);
            return Ok(flow);
        }
        let none = || io::Error::other("no [sip.tls] is configured");
        let connector = self.tls.as_ref().ok_or_else(none)?.connector();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let stream = timeout(CONNECT_TIME, connector.connect(name, stream)).await??;
        self.serve(stream, flow, first);
        Ok(flow)
    }

    /// Serves a connection that we opened; messages to the same place go over it.
    fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: &Arc<Self>,
        stream: S,
        flow: Flow,
        first: Option<Bytes>,
    ) {
        let (writer, queue) = mpsc::channel(QUEUE);
        let Some(connection) = flow.connection else { return };
        self.writers.insert(connection, writer);
        self.by_remote.insert((flow.transport as u8, flow.remote), connection);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            this.run_with(stream, flow, first, queue).await;
            this.by_remote.remove_if(&(flow.transport as u8, flow.remote), |_, known| *known == connection);
        });
    }

    /// Sends on a flow's connection; gives the message back where that is gone.
    pub(crate) fn send(&self, flow: Flow, payload: Bytes) -> Option<Bytes> {
        let connection = flow.connection?;
        let Some(writer) = self.writers.get(&connection).map(|writer| writer.clone()) else {
            return Some(payload);
        };
        if writer.try_send(payload).is_err() {
            // The peer does not read: its connection is given up.
            self.writers.remove(&connection);
        }
        None
    }

    /// Tells that a flow's connection is gone.
    pub(crate) fn tell_lost(&self, flow: Flow) {
        if let Some(connection) = flow.connection {
            (self.sink)(Received::ConnectionLost(connection));
        }
    }

    /// Sends over a connection that is open to that place, or opens one.
    pub(crate) async fn open_and_send(
        self: &Arc<Self>,
        kind: Kind,
        remote: SocketAddr,
        name: &str,
        payload: Bytes,
    ) -> io::Result<()> {
        let open = self.by_remote.get(&(kind as u8, remote)).map(|known| *known);
        let writer = open.and_then(|known| self.writers.get(&known).map(|writer| writer.clone()));
        if writer.is_some_and(|writer| writer.try_send(payload.clone()).is_ok()) {
            return Ok(());
        }
        let bare = name.trim_matches(['[', ']']);
        self.open_with(kind, remote, bare, Some(payload)).await.map(|_| ())
    }

    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Arc<Self>,
        stream: S,
        flow: Flow,
        first: Option<Bytes>,
    ) {
        let (writer, queue) = mpsc::channel(QUEUE);
        if let Some(connection) = flow.connection {
            self.writers.insert(connection, writer);
        }
        self.run_with(stream, flow, first, queue).await;
    }

    /// Serves a connection to its end.
    async fn run_with<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Arc<Self>,
        stream: S,
        flow: Flow,
        first: Option<Bytes>,
        mut queue: mpsc::Receiver<Bytes>,
    ) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let alive = match first {
            Some(first) => put(&mut writer, &first).await,
            None => true,
        };
        if alive {
            self.exchange(&mut reader, &mut writer, flow, &mut queue).await;
        }
        if let Some(connection) = flow.connection {
            self.writers.remove(&connection);
            (self.sink)(Received::ConnectionLost(connection));
        }
        // A peer that does not read does not hear this either.
        let _ = timeout(GOODBYE_TIME, writer.shutdown()).await;
    }

    /// Reads and writes until either side is done.
    async fn exchange<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &self,
        reader: &mut R,
        writer: &mut W,
        flow: Flow,
        queue: &mut mpsc::Receiver<Bytes>,
    ) {
        let mut framer = Framer::default();
        let mut buffer = vec![0; READ];
        let mut message_ends = None;
        let mut idle_ends = Instant::now() + IDLE_TIME;
        loop {
            let until = message_ends.map_or(idle_ends, |ends: Instant| ends.min(idle_ends));
            tokio::select! {
                outgoing = queue.recv() => {
                    let Some(bytes) = outgoing else { return };
                    if !put(writer, &bytes).await {
                        return;
                    }
                    idle_ends = Instant::now() + IDLE_TIME;
                }
                read = timeout_at(until, reader.read(&mut buffer)) => {
                    let Ok(Ok(count @ 1..)) = read else { return };
                    framer.push(&buffer[..count]);
                    match self.frames(&mut framer, flow) {
                        Ok(0) => {}
                        Ok(pings) => {
                            if !put(writer, &b"\r\n".repeat(pings)).await {
                                return;
                            }
                        }
                        Err(last_words) => {
                            put(writer, &last_words).await;
                            return;
                        }
                    }
                    let whole = framer.took_message();
                    // Strangers' keep-alives do not keep a place for ever.
                    if whole || self.guard.is_peer(flow.remote.ip()) {
                        idle_ends = Instant::now() + IDLE_TIME;
                    }
                    let begun = message_ends.filter(|_| !whole);
                    message_ends = framer
                        .is_partial()
                        .then(|| begun.unwrap_or_else(|| Instant::now() + MESSAGE_TIME));
                }
            }
        }
    }

    /// Hands on every whole message; gives the number of pings to answer, or what to say before the
    /// connection is closed.
    fn frames(&self, framer: &mut Framer, flow: Flow) -> Result<usize, Bytes> {
        let mut pings = 0;
        loop {
            match framer.next_frame() {
                Ok(Some(Framed::Message(message))) => {
                    if self.guard.admits(flow.remote.ip()) {
                        (self.sink)(Received::Message(message, flow));
                    }
                }
                Ok(Some(Framed::Ping)) => pings += 1,
                Ok(Some(Framed::Pong)) => {}
                Ok(None) => return Ok(pings),
                Err(FrameError::Answer(request)) => {
                    return Err(self.last_words(&request, 400, flow));
                }
                Err(FrameError::TooLarge(Some(request))) => {
                    return Err(self.last_words(&request, 513, flow));
                }
                Err(FrameError::TooLarge(None) | FrameError::Garbage(_)) => {
                    return Err(Bytes::new());
                }
            }
        }
    }

    /// The answer to a request that ruins the framing; strangers get none.
    fn last_words(&self, request: &Request, code: u16, flow: Flow) -> Bytes {
        let answerable = request.via().is_some() && self.guard.is_peer(flow.remote.ip());
        if answerable { reply::to(request, code, Some("framing")).to_bytes() } else { Bytes::new() }
    }
}

/// Whom an address counts for: an IPv6 subscriber has a whole /64.
fn subscriber(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
        IpAddr::V4(_) => source,
    }
}

/// Writes within the time that a message may take; false where the peer does not read.
async fn put<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> bool {
    let written = timeout(MESSAGE_TIME, async {
        writer.write_all(bytes).await?;
        writer.flush().await
    });
    matches!(written.await, Ok(Ok(())))
}

/// A place under the caps.
struct Place {
    connections: Arc<Connections>,
    source: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let left = self.connections.per_source.get_mut(&self.source).map(|mut own| {
            *own -= 1;
            *own
        });
        if left == Some(0) {
            self.connections.per_source.remove_if(&self.source, |_, own| *own == 0);
        }
    }
}
