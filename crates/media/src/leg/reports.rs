//! The leg's RTCP: reports sent and taken (RFC 3550 §6).

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use webrtc_util::marshal::{Marshal, Unmarshal};

use super::RtpLeg;

/// Longest encrypted report that is read.
const MAX_CONTROL: usize = 1500;

impl RtpLeg {
    /// Takes a packet off the RTCP port: a sender report for our next report, the round trip from a
    /// report on us (RFC 3550 §6.4.1).
    pub(crate) fn rtcp_packet(&mut self, packet: &[u8], from: SocketAddr, now: Instant) {
        let spec = self.spec.as_ref();
        let reports_from = spec.and_then(|spec| spec.remote_rtcp);
        let known = [self.latch.source().or(spec.and_then(|spec| spec.remote)), reports_from];
        if packet.first().is_none_or(|first| first >> 6 != 2)
            || known.iter().flatten().all(|peer| peer.ip() != from.ip())
        {
            return;
        }
        let mut plain = [0; MAX_CONTROL];
        let mut rest = packet;
        if let Some(srtp) = &mut self.srtp {
            let Some(copy) = plain.get_mut(..packet.len()) else { return };
            copy.copy_from_slice(packet);
            let Some(length) = srtp.open_rtcp(copy) else {
                self.unauthentic += 1;
                return;
            };
            rest = &plain[..length];
        }
        // Only reports are handed to the crate: its readers of other packets trust their lengths.
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
        let Some(target) = self.report_target() else { return };
        let mut buffer = [0; 256];
        let Some(mut length) = self.write_report(now, &mut buffer) else {
            return;
        };
        if let Some(srtp) = &mut self.srtp {
            length = srtp.protect_rtcp(&mut buffer, length).unwrap_or(0);
        }
        let socket = if spec.rtcp_mux { &self.pair.rtp } else { &self.pair.rtcp };
        let _ = socket.send_to(&buffer[..length], target);
    }

    /// Where reports go: where the peer says; of a peer that was only proved, the port beside its RTP.
    pub(super) fn report_target(&self) -> Option<SocketAddr> {
        let spec = self.spec?;
        if spec.rtcp_mux {
            return self.remote();
        }
        let beside = |rtp: SocketAddr| Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
        spec.remote_rtcp.or_else(|| self.latch.source().and_then(beside))
    }

    pub(super) fn write_report(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
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
}

/// NTP time: seconds since 1900 in the upper half.
pub(super) fn ntp_now() -> u64 {
    /// From 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
    ((unix.as_secs() + EPOCH) << 32) | fraction
}
