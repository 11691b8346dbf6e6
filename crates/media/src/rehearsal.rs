//! A room driven by hand, for benchmarks: real ports and packets, and a clock that goes as fast as it can.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use trunkline_sdp::media::{DtmfMethod, MediaSpec};
use trunkline_sdp::{Codec, Hearing, Member, Members};

use crate::leg::RtpLeg;
use crate::participant::Participant;
use crate::ports::Ports;
use crate::room::Room;
use crate::{RtpHeader, write_rtp};

/// Ports that rehearsals use.
const PORTS: std::ops::RangeInclusive<u16> = 47_000..=47_999;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A packet of 20 ms of µ-law.
const PACKET: usize = 172;

/// A room and the peers of its legs, who say noise and read nothing.
pub struct Rehearsal {
    room: Room,
    peers: Vec<UdpSocket>,
    now: Instant,
    sequence: u16,
}

impl Rehearsal {
    /// A room of so many legs of µ-law and perhaps an agent, who all hear one another.
    ///
    /// # Errors
    /// Where the system gives no ports.
    pub fn new(legs: usize, agent: Option<Box<dyn Participant>>) -> io::Result<Self> {
        let now = Instant::now();
        let (mut room, mut peers, mut all) = (Room::new(1, now, now), Vec::new(), Members::NONE);
        for member in (0..legs).filter_map(Member::leg) {
            let peer = UdpSocket::bind((HERE, 0))?;
            let pair = Ports::new(&PORTS).open(HERE, now).ok_or(io::ErrorKind::AddrInUse)?;
            room.add(member, RtpLeg::new(pair, Some(spec(peer.local_addr()?)), 7, now));
            peers.push(peer);
            all = all.with(member);
        }
        if let Some(agent) = agent {
            room.join(agent, now);
            all = all.with(Member::AGENT);
        }
        room.arrange(Hearing::among(all), now);
        room.start(now);
        Ok(Self { room, peers, now, sequence: 0 })
    }

    /// 20 ms: a packet of each leg, and what is due to each.
    pub fn packet_time(&mut self) {
        let (sequence, timestamp) = (self.sequence, u32::from(self.sequence) * 160);
        let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 };
        let mut bytes = [0; PACKET];
        let noise: [u8; 160] = std::array::from_fn(|n| (n as u8).wrapping_mul(73) | 0x20);
        let length = write_rtp(&header, &noise, &mut bytes);
        for (place, peer) in self.peers.iter().enumerate() {
            if let Ok(from) = peer.local_addr() {
                self.room.packet(place, &bytes[..length], from, self.now);
            }
        }
        self.room.wake_at(self.now);
        self.sequence = self.sequence.wrapping_add(1);
        self.now += Duration::from_millis(20);
        self.room.tick(self.now);
    }
}

const fn spec(remote: SocketAddr) -> MediaSpec {
    MediaSpec {
        codec: Codec::Pcmu,
        payload_type: 0,
        events: Some(101),
        events_rate: 8000,
        ptime: 20,
        remote: Some(remote),
        written: Some(remote),
        signalling: Some(HERE),
        remote_rtcp: None,
        rtcp_mux: false,
        sends: true,
        receives: true,
        srtp: None,
        dtmf: DtmfMethod::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leg_is_sent_a_packet_in_each_packet_time() {
        for legs in [2, 3] {
            let mut rehearsal = Rehearsal::new(legs, None).expect("ports");
            (0..20).for_each(|_| rehearsal.packet_time());
            for peer in &rehearsal.peers {
                peer.set_nonblocking(true).expect("a mode");
                let packets = std::iter::from_fn(|| peer.recv(&mut [0; 400]).ok()).count();
                assert!((19..=20).contains(&packets), "{legs} legs: {packets}");
            }
        }
    }
}
