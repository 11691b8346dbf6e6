//! Opus in Ogg (RFC 7845): the two channels are two streams of one voice each (channel mapping family 1,
//! two streams, none coupled), so that nothing of one side is heard in the other.
//!
//! A packet holds 20 ms of both. All streams of a packet but the last say how long they are (RFC 6716
//! appendix B).

use std::borrow::Cow;
use std::io::{self, Write};

use ogg::writing::{PacketWriteEndInfo, PacketWriter};
use trunkline_sdp::Codec;

use super::writer::{Format, Medium};
use crate::codec::Encoder;

/// Samples of a packet: 20 ms at 8 kHz.
const FRAME: usize = 160;
/// The same at 48 kHz, which is how Ogg counts Opus.
const GRANULES: u64 = 960;
/// Samples at 48 kHz that a decoder leaves out at the beginning: the encoder's delay.
const PRE_SKIP: u16 = 312;
/// Packets of a page: a second.
const PACKETS: u64 = 50;
/// Longest packet of one stream.
const MAX_PACKET: usize = 400;
/// The file has one logical stream.
const SERIAL: u32 = 1;

pub(super) struct OggOpus {
    writer: PacketWriter<'static, Medium>,
    encoders: [Encoder; 2],
    /// Frames that wait for their packet, channel by channel.
    waiting: [Vec<i16>; 2],
    /// The packet that was made last: whether it ends the file is known with the next.
    last: Option<Vec<u8>>,
    packets: u64,
    /// Samples of a channel so far.
    samples: u64,
}

impl OggOpus {
    pub(super) fn new(medium: Medium) -> io::Result<Self> {
        let encoder = || Encoder::at(Codec::Opus, 8000).ok_or_else(|| io::Error::other("no Opus at 8 kHz"));
        let encoders = [encoder()?, encoder()?];
        let mut writer = PacketWriter::new(medium);
        let mut head = b"OpusHead\x01\x02".to_vec();
        head.extend(PRE_SKIP.to_le_bytes());
        head.extend(8000u32.to_le_bytes());
        // Gain 0, family 1; two streams, none coupled, in their order.
        head.extend([0, 0, 1, 2, 0, 0, 1]);
        let vendor = b"trunkline";
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor);
        tags.extend(0u32.to_le_bytes());
        writer.write_packet(head, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        writer.write_packet(tags, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        Ok(Self { writer, encoders, waiting: [Vec::new(), Vec::new()], last: None, packets: 0, samples: 0 })
    }

    /// Makes a packet of what waits, and writes the one before.
    fn packet(&mut self) -> io::Result<()> {
        let mut packet = Vec::new();
        for (at, (encoder, waiting)) in self.encoders.iter_mut().zip(&mut self.waiting).enumerate() {
            let mut encoded = [0; MAX_PACKET];
            waiting.resize(waiting.len().max(FRAME), 0);
            let length = encoder.encode(&waiting[..FRAME], &mut encoded);
            waiting.drain(..FRAME);
            let (Some((toc, frame)), true) = (encoded[..length].split_first(), at == 0) else {
                packet.extend_from_slice(&encoded[..length]);
                continue;
            };
            // One frame, whose length stands behind the first byte.
            if toc & 3 != 0 {
                return Err(io::Error::other("an Opus packet of several frames"));
            }
            packet.push(*toc);
            let short = frame.len().min(252 + (frame.len() & 3));
            packet.push(short as u8);
            if frame.len() >= 252 {
                packet.push(((frame.len() - short) >> 2) as u8);
            }
            packet.extend_from_slice(frame);
        }
        if let Some(before) = self.last.replace(packet) {
            self.packets += 1;
            let ends = self.packets.is_multiple_of(PACKETS);
            let info = if ends { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            self.writer.write_packet(Cow::Owned(before), SERIAL, info, self.packets * GRANULES)?;
        }
        Ok(())
    }
}

impl Format for OggOpus {
    fn write(&mut self, frames: &[i16]) -> io::Result<()> {
        for pair in frames.chunks_exact(2) {
            self.waiting[0].push(pair[0]);
            self.waiting[1].push(pair[1]);
        }
        self.samples += frames.len() as u64 / 2;
        while self.waiting[0].len() >= FRAME {
            self.packet()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        // The delay has to come out too; the last position says where the audio ends.
        let end = u64::from(PRE_SKIP) + self.samples * 6;
        while (self.packets + u64::from(self.last.is_some())) * GRANULES < end || self.last.is_none() {
            self.packet()?;
        }
        let last = self.last.take().unwrap_or_default();
        self.writer.write_packet(Cow::Owned(last), SERIAL, PacketWriteEndInfo::EndStream, end)?;
        self.writer.inner_mut().flush()
    }
}
