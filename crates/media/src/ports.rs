//! Port pairs: RTP on the even port, RTCP on the next. All media threads take from one pool, under a
//! lock that is held when a call opens and closes, never for a packet. A pair that was used
//! rests, so that the late packets of one call are not heard by the next.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

/// How long a pair rests after use.
const QUARANTINE: Duration = Duration::from_secs(2);
/// How many pairs are tried where another process holds some.
const MAX_TRIES: usize = 256;

/// The pool, for as long as it takes to give or take a pair. A thread that panicked with it left it
/// whole.
pub(crate) fn locked(ports: &Mutex<Ports>) -> MutexGuard<'_, Ports> {
    ports.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The free pairs.
#[derive(Debug)]
pub(crate) struct Ports {
    free: VecDeque<u16>,
    /// Those that rest, and since when.
    resting: VecDeque<(u16, Instant)>,
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
        Self { free: even.collect(), resting: VecDeque::new() }
    }

    /// Takes and binds a pair; `None` where none is free and rested.
    pub(crate) fn open(&mut self, address: IpAddr, now: Instant) -> Option<Pair> {
        while let Some((port, _)) =
            self.resting.pop_front_if(|(_, since)| now.duration_since(*since) >= QUARANTINE)
        {
            self.free.push_back(port);
        }
        for _ in 0..self.free.len().min(MAX_TRIES) {
            let port = self.free.pop_front()?;
            match bind(address, port).and_then(|rtp| Ok((rtp, bind(address, port + 1)?))) {
                Ok((rtp, rtcp)) => return Some(Pair { rtp, rtcp, port }),
                // Somebody else has it: tried again when its turn comes.
                Err(_) => self.free.push_back(port),
            }
        }
        None
    }

    /// Gives a pair back.
    pub(crate) fn release(&mut self, port: u16, now: Instant) {
        self.resting.push_back((port, now));
    }

    /// Pairs that are free, rested or not.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.len() + self.resting.len()
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, port);
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
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

    #[test]
    fn a_pair_that_another_process_holds_does_not_hide_the_free_ones() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let mut ports = Ports::new(&(40_100..=40_107));
        let theirs = std::net::UdpSocket::bind((loopback, 40_100)).expect("free");
        let now = Instant::now();
        // One was used and rests, one is held by another, two are free.
        ports.release(40_102, now);
        ports.free.retain(|port| *port != 40_102);
        let opened: Vec<_> =
            std::iter::from_fn(|| ports.open(loopback, now)).map(|pair| (pair.port, pair)).collect();
        assert_eq!(opened.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [40_104, 40_106]);
        drop(theirs);
        assert_eq!(ports.open(loopback, now).map(|pair| pair.port), Some(40_100), "given back by its holder");
        assert_eq!(ports.open(loopback, now + QUARANTINE).map(|pair| pair.port), Some(40_102));
    }
}
