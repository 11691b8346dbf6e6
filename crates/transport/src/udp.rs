//! UDP listeners: many datagrams a system call in, each with the local address that it reached, so
//! that on `0.0.0.0` the answer leaves from there.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use trunkline_sip::{Flow, Transport as Kind, read};

use crate::{Guard, Received, Sink};

/// Room in the kernel for a burst while a shard is busy.
const SOCKET_BUFFER: usize = 4 << 20;
/// Longest datagram.
const MAX_DATAGRAM: usize = 65_536;

pub(crate) struct UdpListener {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl UdpListener {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The system may allow less; that costs bursts, not calls.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?;
        Ok(Self { socket, state, local })
    }

    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether a flow with that local address belongs to this socket.
    pub(crate) fn owns(&self, local: SocketAddr) -> bool {
        let any = self.local.ip().is_unspecified() && self.local.is_ipv4() == local.is_ipv4();
        self.local.port() == local.port() && (any || self.local.ip() == local.ip())
    }

    /// Sends at once; where the socket is full, as soon as it is not. Responses beyond the path's
    /// MTU go as fragments, sent by the plain call that leaves fragmenting to the system.
    pub(crate) fn send(self: &Arc<Self>, flow: Flow, payload: Bytes) {
        match self.try_send(&flow, &payload) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let listener = Arc::clone(self);
                tokio::spawn(async move {
                    if listener.socket.writable().await.is_ok() {
                        // Still full: the transaction sends it again.
                        let _ = listener.try_send(&flow, &payload);
                    }
                });
            }
            Err(error) => tracing::debug!(%error, remote = %flow.remote, "a datagram was not sent"),
        }
    }

    fn try_send(&self, flow: &Flow, payload: &Bytes) -> io::Result<()> {
        let any = self.local.ip().is_unspecified();
        let transmit = Transmit {
            destination: flow.remote,
            ecn: None,
            contents: payload,
            segment_size: None,
            src_ip: any.then_some(flow.local.ip()),
        };
        let sent =
            self.socket.try_io(Interest::WRITABLE, || self.state.try_send((&self.socket).into(), &transmit));
        match sent {
            Err(error) if quinn_udp::is_msg_size_err(&error) => {
                let socket = SockRef::from(&self.socket);
                socket.send_to(payload, &flow.remote.into()).map(|_| ())
            }
            outcome => outcome,
        }
    }

    /// The local address that a datagram reached.
    fn reached(&self, destination: Option<IpAddr>) -> SocketAddr {
        match destination {
            Some(ip) if self.local.ip().is_unspecified() => SocketAddr::new(ip, self.local.port()),
            _ => self.local,
        }
    }
}

/// Reads a listener for as long as the runtime lives.
pub(crate) async fn receive(listener: Arc<UdpListener>, guard: Arc<Guard>, sink: Sink) {
    let mut store: Vec<Vec<u8>> = (0..BATCH_SIZE).map(|_| vec![0; MAX_DATAGRAM]).collect();
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    loop {
        if listener.socket.readable().await.is_err() {
            return;
        }
        let mut buffers: Vec<IoSliceMut<'_>> = store.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let received = listener.socket.try_io(Interest::READABLE, || {
            listener.state.recv((&listener.socket).into(), &mut buffers, &mut metas)
        });
        // WouldBlock, or an ICMP error of an earlier datagram of ours.
        let Ok(count) = received else { continue };
        for (meta, buffer) in metas[..count].iter().zip(&store) {
            let local = listener.reached(meta.dst_ip);
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                datagram_in(datagram, meta.addr, local, &guard, &sink);
            }
        }
    }
}

fn datagram_in(datagram: &[u8], remote: SocketAddr, local: SocketAddr, guard: &Guard, sink: &Sink) {
    if !guard.admits(remote.ip()) {
        return;
    }
    match read::datagram(&Bytes::copy_from_slice(datagram)) {
        Ok(message) => {
            let flow = Flow { transport: Kind::Udp, local, remote, connection: None };
            sink(Received::Message(Box::new(message), flow));
        }
        Err(read::Garbage::Empty) => {}
        Err(garbage) => tracing::debug!(%remote, %garbage, "a datagram was not read"),
    }
}
