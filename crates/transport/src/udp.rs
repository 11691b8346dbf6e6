//! UDP listeners: many datagrams a system call in, each with the local address that it reached, so
//! that on `0.0.0.0` the answer leaves from there.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Ipv6DontFrag;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use trunkline_sip::{Flow, Transport as Kind, read};

use crate::{Guard, Received, Sink};

/// Room in the kernel for a burst while a shard is busy.
const SOCKET_BUFFER: usize = 4 << 20;
/// Longest datagram.
const MAX_DATAGRAM: usize = 65_536;

/// How long a message waits for a full socket to drain before it is tried once more.
const FULL: Duration = Duration::from_millis(2);

pub(crate) struct UdpListener {
    /// Polled for reading only: news of room to write would come after every datagram sent.
    socket: AsyncFd<UdpSocket>,
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
        let socket: UdpSocket = socket.into();
        let state = UdpSocketState::new((&socket).into())?;
        may_fragment(&socket, address)?;
        let local = socket.local_addr()?;
        #[expect(deprecated, reason = "its successor is unsafe; a UdpSocket never changes its descriptor")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
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

    /// Sends at once; where the socket is full, a moment later. Responses beyond the path's MTU go
    /// as fragments.
    pub(crate) fn send(self: &Arc<Self>, flow: Flow, payload: Bytes) {
        match self.try_send(&flow, &payload) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let listener = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(FULL).await;
                    // Still full: the transaction sends it again.
                    let _ = listener.try_send(&flow, &payload);
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
        self.state.try_send(self.socket.get_ref().into(), &transmit)
    }

    /// The local address that a datagram reached.
    fn reached(&self, destination: Option<IpAddr>) -> SocketAddr {
        match destination {
            Some(ip) if self.local.ip().is_unspecified() => SocketAddr::new(ip, self.local.port()),
            _ => self.local,
        }
    }
}

/// Undoes what `quinn-udp` sets for QUIC: there no datagram may be fragmented, here an answer that is
/// longer than the path's MTU must be.
fn may_fragment(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::DONT)?;
    } else {
        sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::DONT)?;
        setsockopt(socket.as_raw_fd(), Ipv6DontFrag, &false)?;
    }
    Ok(())
}

/// Reads a listener for as long as the runtime lives.
pub(crate) async fn receive(listener: Arc<UdpListener>, guard: Arc<Guard>, sink: Sink) {
    let mut store: Vec<Vec<u8>> = (0..BATCH_SIZE).map(|_| vec![0; MAX_DATAGRAM]).collect();
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    loop {
        let Ok(mut ready) = listener.socket.readable().await else { return };
        let mut buffers: Vec<IoSliceMut<'_>> = store.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let received = listener.state.recv(listener.socket.get_ref().into(), &mut buffers, &mut metas);
        let count = match received {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // An ICMP error of an earlier datagram of ours.
            Err(_) => continue,
        };
        // Fewer than asked for: the socket was empty, and tells when it no longer is.
        if count < BATCH_SIZE {
            ready.clear_ready();
        }
        for (meta, buffer) in metas[..count].iter().zip(&store) {
            let local = listener.reached(meta.dst_ip);
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                datagram_in(datagram, meta.addr, local, &guard, &sink);
            }
        }
    }
}

fn datagram_in(datagram: &[u8], remote: SocketAddr, local: SocketAddr, guard: &Guard, sink: &Sink) {
    if !guard.admits(remote.ip(), &None) {
        return;
    }
    match read::datagram(&Bytes::copy_from_slice(datagram)) {
        Ok(message) => {
            let flow = Flow { transport: Kind::Udp, local, remote, connection: None };
            // What there is no room for is lost, like any datagram, and sent again.
            let _ = sink(Received::Message(Box::new(message), flow, None));
        }
        Err(read::Garbage::Empty) => {}
        Err(garbage) => tracing::debug!(%remote, %garbage, "a datagram was not read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_longer_than_the_mtu_may_go_as_fragments() {
        let v4 = UdpListener::bind(([127, 0, 0, 1], 0).into()).expect("bound");
        let found = sockopt::ip_mtu_discover(v4.socket.get_ref()).expect("the option");
        assert_eq!(found, sockopt::Ipv4PathMtuDiscovery::DONT);
        let v6 = UdpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0).into()).expect("bound");
        let found = sockopt::ipv6_mtu_discover(v6.socket.get_ref()).expect("the option");
        assert_eq!(found, sockopt::Ipv6PathMtuDiscovery::DONT);
        let unbroken = nix::sys::socket::getsockopt(v6.socket.as_raw_fd(), Ipv6DontFrag);
        assert_eq!(unbroken, Ok(false));
    }
}
