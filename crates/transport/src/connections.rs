//! TCP and TLS connections: accepted and opened, read through a framer, written through a bounded
//! queue, found again by number.
//!
//! A connection that begins a message must end it within [`MESSAGE_TIME`]; one that says nothing is
//! closed after ten minutes. A double CRLF is answered by a single one (RFC 5626 §4.4.1).

mod inbox;
mod opened;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};
use trunkline_sip::stream::{FrameError, Framed};
use trunkline_sip::{Flow, PeerNames, Request, Transport as Kind, reply};

use self::inbox::{Inbox, MESSAGE_TIME};
use self::opened::{Opened, Opening};
use crate::caps::{Caps, Place};
use crate::tls::{self, LiveTls};
use crate::{Guard, Received, Sink};

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
    caps: Arc<Caps>,
    writers: DashMap<u64, mpsc::Sender<Bytes>>,
    /// Connections that we opened, to be used again (RFC 5923).
    by_remote: DashMap<Opened, Flow>,
    /// Connections that are being opened: whoever wants one to the same place waits for it. Each has a
    /// place under the caps.
    opening: DashMap<Opened, Opening>,
    /// Where we listen: what peers of connections that we open reach us by later.
    listeners: RwLock<Vec<(Kind, SocketAddr)>>,
}

impl Connections {
    pub(crate) fn new(tls: Option<Arc<LiveTls>>, guard: Arc<Guard>, sink: Sink) -> Self {
        Self {
            tls,
            guard,
            sink,
            next: AtomicU64::new(1),
            caps: Arc::default(),
            writers: DashMap::new(),
            by_remote: DashMap::new(),
            opening: DashMap::new(),
            listeners: RwLock::default(),
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
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push((kind, bound));
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
        let stranger = !self.guard.is_peer(remote.ip(), &None);
        let Some(place) = self.caps.place(remote.ip(), stranger) else {
            return;
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut place = place;
            let Ok(flow) = this.flow(kind, &stream, remote) else {
                return;
            };
            match (kind, &this.tls) {
                (Kind::Tls, Some(tls)) => match timeout(CONNECT_TIME, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let names = tls::names(stream.get_ref().1.peer_certificates());
                        // Whoever is known by its certificate leaves the strangers' places.
                        if this.guard.is_peer(remote.ip(), &names)
                            && let Some(own) = this.caps.place(remote.ip(), false)
                        {
                            place = own;
                        }
                        let queue = this.writer(flow);
                        this.run(stream, Path { flow, names }, queue).await;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%remote, %error, "a TLS handshake failed")
                    }
                    Err(_) => tracing::debug!(%remote, "a TLS handshake took too long"),
                },
                (Kind::Tls, None) => {}
                _ => {
                    let queue = this.writer(flow);
                    this.run(stream, Path { flow, names: None }, queue).await;
                }
            }
            drop(place);
        });
    }

    fn flow(&self, kind: Kind, stream: &TcpStream, remote: SocketAddr) -> io::Result<Flow> {
        stream.set_nodelay(true)?;
        let connection = Some(self.next.fetch_add(1, Ordering::Relaxed));
        Ok(Flow { transport: kind, local: stream.local_addr()?, remote, connection })
    }

    /// The flow of a connection that we open. Its own port is gone with it, so its local address is where
    /// we listen: what Contact and Via are to say, and what a peer reconnects to.
    fn own_flow(&self, kind: Kind, stream: &TcpStream, remote: SocketAddr) -> io::Result<Flow> {
        let mut flow = self.flow(kind, stream, remote)?;
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let own = listeners.iter().filter(|(own, _)| *own == kind).map(|(_, address)| *address);
        if let Some(listener) = nearest(own, flow.local) {
            flow.local.set_port(listener.port());
            if !listener.ip().is_unspecified() {
                flow.local.set_ip(listener.ip());
            }
        }
        Ok(flow)
    }

    /// Opens a connection and gives its flow.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        kind: Kind,
        remote: SocketAddr,
        name: &str,
    ) -> io::Result<Flow> {
        let full = || io::Error::other("too many connections");
        let place = self.caps.place(remote.ip(), false).ok_or_else(full)?;
        let stream = timeout(CONNECT_TIME, TcpStream::connect(remote)).await??;
        let flow = self.own_flow(kind, &stream, remote)?;
        if kind != Kind::Tls {
            self.serve(stream, flow, None, place);
            return Ok(flow);
        }
        let none = || io::Error::other("no [sip.tls] is configured");
        let connector = self.tls.as_ref().ok_or_else(none)?.connector();
        // Its certificate is checked against the name, so the peer is who it names, for the calls
        // that come back over this connection too.
        let verified = Some([name.to_owned()].into());
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let stream = timeout(CONNECT_TIME, connector.connect(name, stream)).await??;
        self.serve(stream, flow, verified, place);
        Ok(flow)
    }

    /// Serves a connection that we opened; messages to the same place go over it.
    fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: &Arc<Self>,
        stream: S,
        flow: Flow,
        names: PeerNames,
        place: Place,
    ) {
        let Some(connection) = flow.connection else { return };
        let opened = Opened::of(flow.transport, flow.remote, names.as_deref().and_then(|n| n.first()));
        let queue = self.writer(flow);
        self.by_remote.insert(opened.clone(), flow);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let _place = place;
            this.run(stream, Path { flow, names }, queue).await;
            this.by_remote.remove_if(&opened, |_, known| known.connection == Some(connection));
        });
    }

    /// The queue of what is to be written to a connection.
    fn writer(&self, flow: Flow) -> mpsc::Receiver<Bytes> {
        let (writer, queue) = mpsc::channel(QUEUE);
        if let Some(connection) = flow.connection {
            self.writers.insert(connection, writer);
        }
        queue
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
    pub(crate) fn tell_lost(self: &Arc<Self>, flow: Flow) {
        let Some(connection) = flow.connection else { return };
        if let Err(refused) = (self.sink)(Received::ConnectionLost(connection)) {
            // One for a message that a shard sent, so no peer can have many of them wait.
            let sink = Arc::clone(&self.sink);
            tokio::spawn(async move { inbox::deliver(&sink, refused).await });
        }
    }

    /// Serves a connection to its end.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        self: &Arc<Self>,
        stream: S,
        path: Path,
        mut queue: mpsc::Receiver<Bytes>,
    ) {
        let flow = path.flow;
        let (mut reader, mut writer) = tokio::io::split(stream);
        self.exchange(&mut reader, &mut writer, &path, &mut queue).await;
        if let Some(connection) = flow.connection {
            self.writers.remove(&connection);
            // It keeps its place under the caps until this is taken: losses that wait are bounded.
            inbox::deliver(&self.sink, Received::ConnectionLost(connection)).await;
        }
        // A peer that does not read does not hear this either.
        let _ = timeout(GOODBYE_TIME, writer.shutdown()).await;
    }

    /// Reads and writes until either side is done.
    async fn exchange<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &self,
        reader: &mut R,
        writer: &mut W,
        path: &Path,
        queue: &mut mpsc::Receiver<Bytes>,
    ) {
        let mut inbox = Inbox::new();
        let mut buffer = vec![0; READ];
        loop {
            tokio::select! {
                outgoing = queue.recv() => {
                    let Some(bytes) = outgoing else { return };
                    if !put(writer, &bytes).await {
                        return;
                    }
                    inbox.keep();
                }
                read = timeout_at(inbox.until(), reader.read(&mut buffer)), if !inbox.is_full() => {
                    let Ok(Ok(count @ 1..)) = read else { return };
                    inbox.push(&buffer[..count]);
                    if !self.hand_on(&mut inbox, writer, path).await {
                        return;
                    }
                }
                () = tokio::time::sleep_until(inbox.again()), if inbox.is_full() => {
                    if !self.hand_on(&mut inbox, writer, path).await || inbox.is_stuck() {
                        return;
                    }
                }
            }
        }
    }

    /// Hands on what has come, as far as it is taken, and answers pings; false where the connection is
    /// to be closed.
    async fn hand_on<W: AsyncWrite + Unpin>(&self, inbox: &mut Inbox, writer: &mut W, path: &Path) -> bool {
        let last_words = match self.frames(inbox, path) {
            Ok(0) => None,
            Ok(pings) => Some((b"\r\n".repeat(pings).into(), true)),
            Err(last_words) => Some((last_words, false)),
        };
        let goes_on = match last_words {
            None => true,
            Some((bytes, goes_on)) => put(writer, &bytes).await && goes_on,
        };
        // Strangers' keep-alives do not keep a place for ever.
        inbox.rest(self.is_peer(path));
        goes_on
    }

    /// Hands on every whole message for as long as they are taken; gives the number of pings to answer,
    /// or what to say before the connection is closed.
    fn frames(&self, inbox: &mut Inbox, path: &Path) -> Result<usize, Bytes> {
        let mut pings = 0;
        while inbox.empties(&self.sink) {
            match inbox.next_frame() {
                Ok(Some(Framed::Message(message))) => {
                    if self.guard.admits(path.flow.remote.ip(), &path.names) {
                        inbox.hold(Received::Message(message, path.flow, path.names.clone()));
                    }
                }
                Ok(Some(Framed::Ping)) => pings += 1,
                Ok(Some(Framed::Pong)) => {}
                Ok(None) => break,
                Err(FrameError::Answer(request)) => {
                    return Err(self.last_words(&request, 400, path));
                }
                Err(FrameError::TooLarge(Some(request))) => {
                    return Err(self.last_words(&request, 513, path));
                }
                Err(FrameError::TooLarge(None) | FrameError::Garbage(_)) => {
                    return Err(Bytes::new());
                }
            }
        }
        Ok(pings)
    }

    fn is_peer(&self, path: &Path) -> bool {
        self.guard.is_peer(path.flow.remote.ip(), &path.names)
    }

    /// The answer to a request that ruins the framing; strangers get none.
    fn last_words(&self, request: &Request, code: u16, path: &Path) -> Bytes {
        let answerable = request.via().is_some() && self.is_peer(path);
        if answerable { reply::to(request, code, Some("framing")).to_bytes() } else { Bytes::new() }
    }
}

/// A connection, and who is at its other end.
struct Path {
    flow: Flow,
    names: PeerNames,
}

/// Of our addresses of that family, the one to be known by where we have `local`: the same, or one that
/// stands for all, or any.
pub(crate) fn nearest(own: impl Iterator<Item = SocketAddr>, local: SocketAddr) -> Option<SocketAddr> {
    let distance = |address: &SocketAddr| match address.ip() {
        ip if ip == local.ip() => 0,
        ip if ip.is_unspecified() => 1,
        _ => 2,
    };
    own.filter(|address| address.is_ipv4() == local.is_ipv4()).min_by_key(distance)
}

/// Writes within the time that a message may take; false where the peer does not read.
async fn put<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> bool {
    let written = timeout(MESSAGE_TIME, async {
        writer.write_all(bytes).await?;
        writer.flush().await
    });
    matches!(written.await, Ok(Ok(())))
}

#[cfg(test)]
mod tests;
