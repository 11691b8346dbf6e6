//! A port of the range that a participant has for itself: an agent that speaks RTP.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mio::event::Source;

use crate::ports::{Pair, Ports, locked};

/// A bound port. It goes back into the range when it is dropped.
#[derive(Debug)]
pub struct BorrowedPort {
    /// `None` only while it is dropped.
    pair: Option<Pair>,
    ports: Arc<Mutex<Ports>>,
}

impl BorrowedPort {
    pub(crate) const fn new(pair: Pair, ports: Arc<Mutex<Ports>>) -> Self {
        Self { pair: Some(pair), ports }
    }

    /// Sends a packet; one that the system does not take is lost, as packets are.
    pub fn send(&self, packet: &[u8], to: SocketAddr) {
        if let Some(pair) = &self.pair {
            let _ = pair.rtp.send_to(packet, to);
        }
    }

    /// The next packet and its source; `None` where there is none now.
    pub fn receive(&self, packet: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let pair = self.pair.as_ref()?;
        loop {
            match pair.rtp.recv_from(packet) {
                Ok(received) => return Some(received),
                // A report of an earlier packet that came to nobody is no end.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// What to poll.
    pub fn source(&mut self) -> Option<&mut dyn Source> {
        self.pair.as_mut().map(|pair| &mut pair.rtp as &mut dyn Source)
    }
}

impl Drop for BorrowedPort {
    fn drop(&mut self) {
        if let Some(pair) = self.pair.take() {
            let port = pair.port;
            // Closed, and with that out of the poll, before another call may have the port.
            drop(pair);
            locked(&self.ports).release(port, Instant::now());
        }
    }
}
