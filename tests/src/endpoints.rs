//! Many media ends on one thread: each says its own tone in PCMU and keeps what it hears.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// Samples of a packet of 20 ms.
const SAMPLES: usize = 160;

/// One end.
pub struct Endpoint {
    socket: UdpSocket,
    /// Its port.
    pub port: u16,
    /// What it says, in hertz.
    pub hertz: f64,
    to: Option<SocketAddr>,
    sent: u32,
    /// What it heard, as it came.
    pub heard: Vec<i16>,
}

impl Endpoint {
    /// An end on a port.
    #[must_use]
    pub fn new(port: u16, hertz: f64) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", port)).expect("a port");
        socket.set_nonblocking(true).expect("set");
        Self { socket, port, hertz, to: None, sent: 0, heard: Vec::new() }
    }

    fn turn(&mut self) {
        let mut packet = [0; 2048];
        while let Ok(length) = self.socket.recv(&mut packet) {
            // PCMU without extensions is all that was offered.
            if length > 12 && packet[1] & 0x7f == 0 {
                self.heard.extend(packet[12..length].iter().map(|byte| decoded(*byte)));
            }
        }
        let Some(to) = self.to else { return };
        let mut packet = vec![0x80, 0];
        packet.extend((self.sent as u16).to_be_bytes());
        packet.extend((self.sent * SAMPLES as u32).to_be_bytes());
        packet.extend(u32::from(self.port).to_be_bytes());
        let first = self.sent as usize * SAMPLES;
        packet.extend((first..first + SAMPLES).map(|n| {
            encoded((8000.0 * (std::f64::consts::TAU * self.hertz * n as f64 / 8000.0).sin()) as i16)
        }));
        // A call that is over refuses it.
        let _ = self.socket.send_to(&packet, to);
        self.sent += 1;
    }
}

/// Runs the ends for a while; `told` gets a line `port address:port` for each whose call is answered.
pub fn run(endpoints: &mut [Endpoint], told: &Path, span: Duration) {
    let start = Instant::now();
    let (_keep, pause) = std::sync::mpsc::channel::<()>();
    let mut turns = 0;
    while start.elapsed() < span {
        let answered = answered(told);
        for endpoint in &mut *endpoints {
            endpoint.to = endpoint.to.or_else(|| answered.get(&endpoint.port).copied());
            endpoint.turn();
        }
        turns += 1;
        let next = start + Duration::from_millis(20) * turns;
        // Nothing ever comes: this is the clock of the packets.
        let _ = pause.recv_timeout(next.saturating_duration_since(Instant::now()));
    }
}

fn answered(told: &Path) -> BTreeMap<u16, SocketAddr> {
    let text = std::fs::read_to_string(told).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (own, remote) = line.split_once(' ')?;
            Some((own.parse().ok()?, remote.parse().ok()?))
        })
        .collect()
}

/// µ-law by the book (ITU-T G.711), independent of the daemon's.
fn encoded(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = u32::from(sample.unsigned_abs()).min(32_635) + 0x84;
    let exponent = 31 - magnitude.leading_zeros() - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 15;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

fn decoded(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((i32::from(byte & 15) << 3) + 0x84) << (byte >> 4 & 7)) - 0x84;
    (if byte & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}
