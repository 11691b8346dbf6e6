//! Port pairs: RTP on the even port, RTCP on the next. All media threads take from one pool, under a
//! lock that is held when a call opens and closes, never for a packet. A pair that was used
//! rests, so that the late packets of one call are not heard by the next.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

/// How long a pair rests after use.
const QUARANTINE: Duration = Duration::from_secs(2);
/// How many pairs are tried where another process holds some.
const MAX_TRIES: usize = 32;

/// The free pairs.
#[derive(Debug)]
pub(crate) struct Ports {
    free: VecDeque<(u16, Option<Instant>)>,
}

/// A bound pair.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) port: u16,
}

impl Ports {
    /// Every pair of a range.
    pub(crate) fn new(range: &RangeInclusive<u16>) -> Self {
        let even = range.clone().filter(|port| port % 2 == 0 && *port < *range.end());
        Self { free: even.map(|port| (port, None)).collect() }
    }

    /// Takes and binds a pair; `None` where none is free and rested.
    pub(crate) fn open(&mut self, address: IpAddr, now: Instant) -> Option<Pair> {
        for _ in 0..MAX_TRIES {
            let (port, used) = *self.free.front()?;
            if used.is_some_and(|at| now.duration_since(at) < QUARANTINE) {
                return None;
            }
            self.free.pop_front();
            match bind(address, port).and_then(|rtp| Ok((rtp, bind(address, port + 1)?))) {
                Ok((rtp, rtcp)) => return Some(Pair { rtp, rtcp, port }),
                Err(_) => self.free.push_back((port, None)),
            }
        }
        None
    }

    /// Gives a pair back.
    pub(crate) fn release(&mut self, port: u16, now: Instant) {
        self.free.push_back((port, Some(now)));
    }

    /// Pairs that are free, rested or not.
    #[cfg(test)]
    fn free(&self) -> usize {
        self.free.len()
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_pairs_rest() {
        let mut first = Ports::new(&(40_000..=40_003));
        assert_eq!(first.free(), 2);
        let now = Instant::now();
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let one = first.open(loopback, now).expect("free");
        let two = first.open(loopback, now).expect("free");
        assert!(first.open(loopback, now).is_none(), "exhausted");
        let port = one.port;
        drop((one, two));
        first.release(port, now);
        assert!(first.open(loopback, now).is_none(), "resting");
        assert!(first.open(loopback, now + QUARANTINE).is_some());
    }
}
