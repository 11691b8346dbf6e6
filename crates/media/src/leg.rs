//! The caller's RTP leg: one port pair, one peer (RFC 3550, symmetric RTP by RFC 4961).
//!
//! The peer is the one that was negotiated, or the address it first proves, and then locked; a
//! re-INVITE that moves the media unlocks it. Packets from anywhere else are counted and dropped.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use mio::net::UdpSocket;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use trunkline_sdp::Codec;
use trunkline_sdp::media::{MediaSpec, MediaStats};
use webrtc_util::marshal::{Marshal, Unmarshal};

use crate::events::DigitReader;
use crate::ports::Pair;
use crate::quality::Quality;
use crate::rtp_packet::{FIXED, RtpHeader, write_rtp};

/// Longest payload sent: 60 ms of G.711.
pub(crate) const MAX_PAYLOAD: usize = 480;
/// Payload type of comfort noise (RFC 3389).
const COMFORT_NOISE: u8 = 13;

/// What a packet from the caller is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// Audio of the negotiated codec.
    Audio { header: RtpHeader, payload: &'a [u8] },
    /// A packet that counts and says nothing, perhaps with a key press that began.
    Quiet { header: RtpHeader, digit: Option<char> },
    /// Dropped.
    Nothing,
}

/// The caller's side of a room.
pub(crate) struct RtpLeg {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) port: u16,
    spec: Option<MediaSpec>,
    /// The source that was proved.
    locked: Option<SocketAddr>,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    sent: u64,
    octets: u64,
    /// Our timestamp minus the caller's, while frames are forwarded.
    offset: Option<u32>,
    /// Timestamp of the frame that is being delivered.
    pub(crate) heard_timestamp: u32,
    pub(crate) last_heard: Instant,
    quality: Quality,
    digits: DigitReader,
    dtmf_digits: u32,
    strangers: u64,
    started: Instant,
    /// Middle 32 bits of the peer's last sender report and when it came.
    last_sr: Option<(u32, Instant)>,
}

impl RtpLeg {
    pub(crate) fn new(pair: Pair, spec: Option<MediaSpec>, seed: u64, now: Instant) -> Self {
        let [a, b, c, d, e, f, g, h] = seed.to_be_bytes();
        Self {
            rtp: pair.rtp,
            rtcp: pair.rtcp,
            port: pair.port,
            spec,
            locked: None,
            sequence: u16::from_be_bytes([a, b]) >> 1,
            timestamp: u32::from_be_bytes([c, d, a, b]),
            ssrc: u32::from_be_bytes([e, f, g, h]),
            sent: 0,
            octets: 0,
            offset: None,
            heard_timestamp: 0,
            last_heard: now,
            quality: Quality::default(),
            digits: DigitReader::default(),
            dtmf_digits: 0,
            strangers: 0,
            started: now,
            last_sr: None,
        }
    }

    /// New terms: by an answer that came late, or a re-INVITE.
    pub(crate) fn update(&mut self, spec: MediaSpec, now: Instant) {
        let moved = self.spec.is_none_or(|old| old.remote != spec.remote);
        if moved {
            self.locked = None;
        }
        self.spec = Some(spec);
        self.last_heard = now;
    }

    /// Whether nothing came for `limit` while something should.
    pub(crate) fn is_silent(&self, limit: Duration, now: Instant) -> bool {
        self.spec.is_some_and(|spec| spec.receives) && now.duration_since(self.last_heard) >= limit
    }

    /// Packet time in milliseconds.
    #[must_use]
    pub(crate) const fn ptime(&self) -> u32 {
        match self.spec {
            Some(spec) => spec.ptime,
            None => 20,
        }
    }

    /// Codec; µ-law before anything is agreed on.
    #[must_use]
    pub(crate) const fn codec(&self) -> Codec {
        match self.spec {
            Some(spec) => spec.codec,
            None => Codec::Pcmu,
        }
    }

    /// Takes a packet off the RTP port.
    pub(crate) fn accept<'a>(&mut self, packet: &'a [u8], from: SocketAddr, now: Instant) -> Heard<'a> {
        let Some(spec) = self.spec else {
            return Heard::Nothing;
        };
        let second = packet.get(1).copied().unwrap_or(0);
        if spec.rtcp_mux && (192..=223).contains(&second) {
            self.rtcp_packet(packet, from, now);
            return Heard::Nothing;
        }
        let Some((header, payload)) = RtpHeader::read(packet) else {
            return Heard::Nothing;
        };
        let audio = header.payload_type == spec.payload_type;
        let event = Some(header.payload_type) == spec.events;
        if !(audio || event || header.payload_type == COMFORT_NOISE) {
            return Heard::Nothing;
        }
        if !self.is_peer(from, &spec) {
            self.strangers += 1;
            return Heard::Nothing;
        }
        self.last_heard = now;
        let arrival = (now.duration_since(self.started).as_micros() / 125) as u32;
        self.quality.received(header.ssrc, header.sequence, header.timestamp, arrival);
        if event {
            let digit = self.digits.read(header.timestamp, payload);
            self.dtmf_digits += u32::from(digit.is_some());
            return Heard::Quiet { header, digit };
        }
        if audio && !payload.is_empty() {
            Heard::Audio { header, payload }
        } else {
            Heard::Quiet { header, digit: None }
        }
    }

    /// Whether a source is the peer; the first that may be is locked.
    fn is_peer(&mut self, from: SocketAddr, spec: &MediaSpec) -> bool {
        if let Some(locked) = self.locked {
            return locked == from;
        }
        let fits = spec.remote.is_none_or(|remote| remote.ip() == from.ip());
        if fits {
            self.locked = Some(from);
        }
        fits
    }

    /// Where RTP goes: to the source that was proved, else to the negotiated address.
    fn remote(&self) -> Option<SocketAddr> {
        let spec = self.spec.filter(|spec| spec.sends)?;
        self.locked.or(spec.remote)
    }

    /// Sends a frame straight on, with the caller's own spacing of timestamps.
    pub(crate) fn forward(&mut self, payload: &[u8]) {
        let expected = self.timestamp;
        let offset = *self.offset.get_or_insert(expected.wrapping_sub(self.heard_timestamp));
        let timestamp = self.heard_timestamp.wrapping_add(offset);
        // Another source, or a jump: go on from where we are.
        let jump = timestamp.wrapping_sub(expected) as i32;
        if jump.unsigned_abs() > 8000 {
            self.offset = Some(expected.wrapping_sub(self.heard_timestamp));
        } else {
            self.timestamp = timestamp;
        }
        self.send(payload);
    }

    /// Sends a packet and steps sequence and timestamp on.
    pub(crate) fn send(&mut self, payload: &[u8]) {
        let Some(spec) = self.spec else { return };
        let samples = payload.len() as u32;
        if let Some(remote) = self.remote() {
            let header = RtpHeader {
                marker: self.sent == 0,
                payload_type: spec.payload_type,
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: self.ssrc,
            };
            let mut packet = [0; FIXED + MAX_PAYLOAD];
            let length = write_rtp(&header, payload, &mut packet);
            // A full socket buffer or an ICMP error costs this packet, as the network might.
            if length > 0 && self.rtp.send_to(&packet[..length], remote).is_ok() {
                self.sent += 1;
                self.octets += payload.len() as u64;
            }
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.timestamp = self.timestamp.wrapping_add(samples);
    }

    /// Takes a packet off the RTCP port: a sender report for our next report, the round trip from a
    /// report on us (RFC 3550 §6.4.1).
    pub(crate) fn rtcp_packet(&mut self, packet: &[u8], from: SocketAddr, now: Instant) {
        let known = self.locked.or(self.spec.and_then(|spec| spec.remote));
        if packet.first().is_none_or(|first| first >> 6 != 2)
            || known.is_none_or(|peer| peer.ip() != from.ip())
        {
            return;
        }
        // Only reports are handed to the crate: its readers of other packets trust their lengths.
        let mut rest = packet;
        while let Some(&[_, kind, high, low]) = rest.first_chunk::<4>() {
            let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
            let Some((mut one, tail)) = rest.split_at_checked(length) else { return };
            rest = tail;
            match kind {
                200 => {
                    let Ok(report) = SenderReport::unmarshal(&mut one) else { return };
                    self.last_sr = Some(((report.ntp_time >> 16) as u32, now));
                    report.reports.iter().for_each(|block| self.reception(block));
                }
                201 => {
                    let Ok(report) = ReceiverReport::unmarshal(&mut one) else { return };
                    report.reports.iter().for_each(|block| self.reception(block));
                }
                _ => {}
            }
        }
    }

    fn reception(&mut self, block: &ReceptionReport) {
        if block.ssrc != self.ssrc || block.last_sender_report == 0 {
            return;
        }
        let middle = (ntp_now() >> 16) as u32;
        let trip = middle.wrapping_sub(block.last_sender_report).wrapping_sub(block.delay);
        if trip < 10 << 16 {
            self.quality.round_trip(Duration::from_secs_f64(f64::from(trip) / 65_536.0));
        }
    }

    /// Sends a compound report (RFC 3550 §6.1).
    pub(crate) fn report(&mut self, now: Instant) {
        let Some(spec) = self.spec else { return };
        let target = match (spec.rtcp_mux, self.locked) {
            (true, _) => self.remote(),
            (false, Some(locked)) if spec.remote_rtcp.is_none_or(|r| r.ip() != locked.ip()) => {
                Some(SocketAddr::new(locked.ip(), locked.port().wrapping_add(1)))
            }
            (false, _) => spec.remote_rtcp,
        };
        let Some(target) = target else { return };
        let mut buffer = [0; 256];
        let Some(length) = self.write_report(now, &mut buffer) else {
            return;
        };
        let socket = if spec.rtcp_mux { &self.rtp } else { &self.rtcp };
        let _ = socket.send_to(&buffer[..length], target);
    }

    fn write_report(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        let reports = self.quality.ssrc().map(|ssrc| ReceptionReport {
            ssrc,
            fraction_lost: self.quality.fraction_lost(),
            total_lost: u32::try_from(self.quality.lost()).unwrap_or(u32::MAX).min(0x7f_ffff),
            last_sequence_number: self.quality.highest(),
            jitter: self.quality.jitter(),
            last_sender_report: self.last_sr.map_or(0, |(middle, _)| middle),
            delay: self.last_sr.map_or(0, |(_, at)| (now.duration_since(at).as_secs_f64() * 65_536.0) as u32),
        });
        let report = SenderReport {
            ssrc: self.ssrc,
            ntp_time: ntp_now(),
            rtp_time: self.timestamp,
            packet_count: self.sent as u32,
            octet_count: self.octets as u32,
            reports: reports.into_iter().collect(),
            ..SenderReport::default()
        };
        let name = SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: self.ssrc,
                items: vec![SourceDescriptionItem {
                    sdes_type: SdesType::SdesCname,
                    text: bytes::Bytes::from(format!("{:08x}", self.ssrc)),
                }],
            }],
        };
        let first = report.marshal_to(buffer).ok()?;
        let second = name.marshal_to(&mut buffer[first..]).ok()?;
        Some(first + second)
    }

    /// The figures for the record.
    pub(crate) fn stats(&self) -> MediaStats {
        MediaStats {
            packets_sent: self.sent,
            strangers_dropped: self.strangers,
            dtmf_digits: self.dtmf_digits,
            ..self.quality.stats()
        }
    }
}

/// NTP time: seconds since 1900 in the upper half.
fn ntp_now() -> u64 {
    /// From 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
    ((unix.as_secs() + EPOCH) << 32) | fraction
}

#[cfg(test)]
mod tests;
