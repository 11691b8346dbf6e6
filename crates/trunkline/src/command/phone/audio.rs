//! The sound of a [`Phone`]: packets of 20 ms out, key presses among them, what comes back in.

use std::net::IpAddr;
use std::time::Instant;

use trunkline_media::{RtpHeader, alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear, write_rtp};
use trunkline_sdp::{Codec, Selection};

use super::Phone;

/// Samples in a packet.
const FRAME: usize = 160;

/// A key press on its way.
pub(super) struct Digit {
    left: String,
    event: u8,
    timestamp: u32,
    packets: u16,
}

/// Packets of a key press: 100 ms, then its end three times (RFC 4733 §2.5.1.4).
const PRESS: u16 = 5;
/// Packets of silence between two key presses.
const PAUSE: u16 = 5;

impl Phone {
    pub(super) async fn send_frame(&mut self) {
        let Some(selection) = self.selection.clone() else {
            return;
        };
        let Some(remote) = selection.remote.filter(|_| self.report.answered_after.is_some()) else {
            return;
        };
        let mut out = [0; 400];
        let length = match self.next_event(&selection) {
            Some((payload, marker, timestamp)) => {
                let payload_type = selection.events.unwrap_or(101);
                self.rtp_packet(payload_type, marker, timestamp, &payload, &mut out)
            }
            None => {
                let frame = self.next_audio(selection.codec);
                let timestamp = self.timestamp;
                self.rtp_packet(selection.payload_type, self.played <= FRAME, timestamp, &frame, &mut out)
            }
        };
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        self.first_sent.get_or_insert_with(Instant::now);
        if self.rtp.send_to(&out[..length], remote).await.is_ok() {
            self.report.sent += 1;
        }
    }

    fn rtp_packet(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
        out: &mut [u8],
    ) -> usize {
        let header =
            RtpHeader { marker, payload_type, sequence: self.sequence, timestamp, ssrc: 0x7472_756e };
        self.sequence = self.sequence.wrapping_add(1);
        write_rtp(&header, payload, out)
    }

    fn next_audio(&mut self, codec: Codec) -> [u8; FRAME] {
        let encode = match codec {
            Codec::Pcma => linear_to_alaw,
            // Nothing else is offered.
            Codec::Pcmu | Codec::G722 | Codec::Opus => linear_to_ulaw,
        };
        let mut frame = [encode(0); FRAME];
        for (place, sample) in frame.iter_mut().zip(self.plan.audio.iter().skip(self.played)) {
            *place = encode(*sample);
        }
        self.played += FRAME;
        // Digits follow half a second into the audio.
        if self.digit.is_none() && self.played >= FRAME * 25 && !self.plan.dtmf.is_empty() {
            let left = std::mem::take(&mut self.plan.dtmf);
            self.digit = Some(Digit { left, event: 0, timestamp: 0, packets: PRESS + 3 + PAUSE });
        }
        frame
    }

    /// The next packet of a key press, its marker and its timestamp.
    fn next_event(&mut self, selection: &Selection) -> Option<([u8; 4], bool, u32)> {
        selection.events?;
        let digit = self.digit.as_mut()?;
        if digit.packets >= PRESS + 3 {
            if digit.packets < PRESS + 3 + PAUSE {
                digit.packets += 1;
                return None;
            }
            let Some(next) = digit.left.chars().next() else {
                self.digit = None;
                return None;
            };
            digit.left.remove(0);
            digit.event = match next {
                '0'..='9' => next as u8 - b'0',
                '*' => 10,
                '#' => 11,
                'A'..='D' => next as u8 - b'A' + 12,
                _ => return None,
            };
            digit.timestamp = self.timestamp;
            digit.packets = 0;
        }
        let ended = digit.packets >= PRESS;
        let [high, low] = ((digit.packets + 1).min(PRESS) * FRAME as u16).to_be_bytes();
        let marker = digit.packets == 0;
        digit.packets += 1;
        let flags = if ended { 0x8a } else { 0x0a };
        Some(([digit.event, flags, high, low], marker, digit.timestamp))
    }

    /// Hears the peer, and nobody else; its key presses are counted as packets and are no sound.
    pub(super) fn hear(&mut self, packet: &[u8], from: IpAddr) {
        let (Some((header, payload)), Some(selection)) = (RtpHeader::read(packet), &self.selection) else {
            return;
        };
        let is_sound = header.payload_type == selection.payload_type;
        let is_peer = selection.remote.is_none_or(|remote| remote.ip() == from);
        if !is_peer || !(is_sound || Some(header.payload_type) == selection.events) {
            return;
        }
        let decode = match selection.codec {
            Codec::Pcma => alaw_to_linear,
            Codec::Pcmu | Codec::G722 | Codec::Opus => ulaw_to_linear,
        };
        if let Some(first) = self.first_sent {
            self.report.first_audio_after.get_or_insert(first.elapsed());
        }
        let arrival = (self.placed.elapsed().as_micros() / 125) as u32;
        self.quality.received(header.ssrc, header.sequence, header.timestamp, arrival);
        if is_sound {
            self.report.heard.extend(payload.iter().map(|byte| decode(*byte)));
        }
    }
}
