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
/// Most connections in all; further ones are closed as they come.
const MAX_CONNECTIONS: usize = 10_000;
/// How long one message may take from its first byte to its last.
const MESSAGE_TIME: Duration = Duration::from_secs(10);
/// How long a connection may say nothing; carriers close theirs after about two minutes.
const IDLE_TIME: Duration = Duration::from_secs(600);
/// How long a handshake or a connect may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
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
        let mut own = self.per_source.entry(source).or_insert(0);
        let stranger = !self.guard.is_peer(source);
        let full = self.open.load(Ordering::Relaxed) >= MAX_CONNECTIONS;
        if full || (stranger && *own >= MAX_PER_STRANGER) {
            return None;
        }
        *own += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        drop(own);
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
        let this = Arc::clone(self);
        let (writer, queue) = mpsc::channel(QUEUE);
        if let Some(connection) = flow.connection {
            self.writers.insert(connection, writer);
        }
        if kind != Kind::Tls {
            tokio::spawn(async move { this.run_with(stream, flow, first, queue).await });
            return Ok(flow);
        }
        let none = || io::Error::other("no [sip.tls] is configured");
        let connector = self.tls.as_ref().ok_or_else(none)?.connector();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let stream = timeout(CONNECT_TIME, connector.connect(name, stream)).await??;
        tokio::spawn(async move { this.run_with(stream, flow, first, queue).await });
        Ok(flow)
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

    /// Opens a connection and sends.
    pub(crate) async fn open_and_send(
        self: &Arc<Self>,
        kind: Kind,
        remote: SocketAddr,
        name: &str,
        payload: Bytes,
    ) -> io::Result<()> {
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
        if let Some(first) = first {
            // A failure shows when the loop reads.
            let _ = writer.write_all(&first).await;
        }
        let mut framer = Framer::default();
        let mut buffer = vec![0; READ];
        let mut message_ends = None;
        loop {
            let until = message_ends.unwrap_or_else(|| Instant::now() + IDLE_TIME);
            tokio::select! {
                outgoing = queue.recv() => match outgoing {
                    Some(bytes) => {
                        let sent = timeout(MESSAGE_TIME, writer.write_all(&bytes)).await;
                        if !matches!(sent, Ok(Ok(()))) || writer.flush().await.is_err() {
                            break;
                        }
                    }
                    None => break,
                },
                read = timeout_at(until, reader.read(&mut buffer)) => match read {
                    Ok(Ok(count)) if count > 0 => {
                        framer.push(&buffer[..count]);
                        match self.frames(&mut framer, flow) {
                            Ok(pong) if pong > 0 => {
                                let pongs = b"\r\n".repeat(pong);
                                if writer.write_all(&pongs).await.is_err() {
                                    break;
                                }
                            }
                            Ok(_) => {}
                            Err(last_words) => {
                                let _ = timeout(MESSAGE_TIME, writer.write_all(&last_words)).await;
                                let _ = writer.flush().await;
                                break;
                            }
                        }
                        let begun = message_ends.filter(|_| !framer.took_message());
                        message_ends = framer
                            .is_partial()
                            .then(|| begun.unwrap_or_else(|| Instant::now() + MESSAGE_TIME));
                    }
                    _ => break,
                },
            }
        }
        let _ = writer.shutdown().await;
        if let Some(connection) = flow.connection {
            self.writers.remove(&connection);
            (self.sink)(Received::ConnectionLost(connection));
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
