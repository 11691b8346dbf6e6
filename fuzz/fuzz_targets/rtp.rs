//! RTP: packets of any bytes in any order through the order keeper, the digit reader, the quality
//! figures and the codecs' tables.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_media::{DigitReader, Quality, Receiver, RtpHeader, transcode, write_rtp};
use trunkline_sdp::Codec;

fuzz_target!(|data: &[u8]| {
    let mut receiver = Receiver::default();
    let mut digits = DigitReader::default();
    let mut quality = Quality::default();
    let mut rest = data;
    let mut arrival = 0u32;
    // Each packet is led by its length.
    while let Some((length, tail)) = rest.split_first() {
        let cut = usize::from(*length).min(tail.len());
        let (packet, next) = tail.split_at(cut);
        rest = next;
        arrival = arrival.wrapping_add(160);
        let Some((header, payload)) = RtpHeader::read(packet) else { continue };
        assert!(payload.len() <= packet.len());
        quality.received(header.ssrc, header.sequence, header.timestamp, arrival);
        let _ = digits.read(header.timestamp, payload);
        receiver.push(&header, payload, |_| {});
        let mut audio = payload.to_vec();
        transcode(&mut audio, Codec::Pcmu, Codec::Pcma);
        assert_eq!(audio.len(), payload.len());
        let mut out = [0; 2048];
        let written = write_rtp(&header, payload, &mut out);
        assert!(written == 0 || RtpHeader::read(&out[..written]).is_some(), "our own packet reads");
    }
    let stats = quality.stats();
    assert!((0.0..=4.6).contains(&stats.mos), "{stats:?}");
});
