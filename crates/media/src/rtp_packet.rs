//! RTP headers (RFC 3550 §5.1), read and written with the `rtp` crate behind a guard: its reader
//! trusts extension lengths and any version, so both are dealt with before it sees the bytes.

use rtp::header::Header;
use webrtc_util::marshal::{Marshal, Unmarshal};

/// What we use of an RTP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Source.
    pub ssrc: u32,
}

/// Bytes of a header without contributing sources and extension.
pub(crate) const FIXED: usize = 12;
/// A header with the most contributing sources.
const LONGEST: usize = FIXED + 15 * 4;

impl RtpHeader {
    /// Reads a packet: its header and its payload without padding. `None` for what is no RTP.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<(Self, &[u8])> {
        let first = *packet.first()?;
        if first >> 6 != 2 {
            return None;
        }
        let sources = usize::from(first & 0x0f);
        let plain = FIXED + sources * 4;
        let mut start = plain;
        if first & 0x10 != 0 {
            let length = packet.get(plain + 2..plain + 4)?;
            start += 4 + usize::from(u16::from_be_bytes([length[0], length[1]])) * 4;
        }
        let mut end = packet.len();
        if first & 0x20 != 0 {
            let padding = usize::from(*packet.last()?);
            end = end.checked_sub(padding.max(1))?;
        }
        let payload = packet.get(start..end)?;
        let mut head = [0; LONGEST];
        head[..plain].copy_from_slice(packet.get(..plain)?);
        head[0] &= !0x30;
        let header = Header::unmarshal(&mut &head[..plain]).ok()?;
        Some((Self::of(&header), payload))
    }

    const fn of(header: &Header) -> Self {
        Self {
            marker: header.marker,
            payload_type: header.payload_type,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
        }
    }
}

/// Writes a packet into `out`; gives its length, 0 where it does not fit.
#[must_use]
pub fn write_rtp(header: &RtpHeader, payload: &[u8], out: &mut [u8]) -> usize {
    let head = Header {
        version: 2,
        marker: header.marker,
        payload_type: header.payload_type,
        sequence_number: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
        ..Header::default()
    };
    let Ok(length) = head.marshal_to(out) else {
        return 0;
    };
    match out.get_mut(length..length + payload.len()) {
        Some(place) => {
            place.copy_from_slice(payload);
            length + payload.len()
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_round_trips() {
        let header = RtpHeader { marker: true, payload_type: 0, sequence: 65_535, timestamp: 7, ssrc: 9 };
        let mut out = [0; 200];
        let length = write_rtp(&header, &[1, 2, 3], &mut out);
        assert_eq!(RtpHeader::read(&out[..length]), Some((header, &[1, 2, 3][..])));
        assert_eq!(write_rtp(&header, &[0; 200], &mut out), 0);
    }

    #[test]
    fn extensions_sources_and_padding_are_stepped_over() {
        let packet = [
            0xb1, 0x80, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 0xff, 0xff, 0xff, 0xff,
            5, 6, 0, 2,
        ];
        let (header, payload) = RtpHeader::read(&packet).expect("reads");
        assert_eq!((header.sequence, payload), (1, &[5, 6][..]));
    }

    #[test]
    fn no_bytes_panic() {
        for first in 0..=255u8 {
            for length in 0..40 {
                let mut packet = vec![0xff; length];
                if let Some(place) = packet.first_mut() {
                    *place = first;
                }
                let _ = RtpHeader::read(&packet);
            }
        }
        assert_eq!(RtpHeader::read(&[0; 20]), None, "version 0 is STUN or noise");
    }
}
