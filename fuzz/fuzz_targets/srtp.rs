//! SRTP and SRTCP: a stranger's bytes in every suite, and what became of a packet of ours on its way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_media::{RtpHeader, Srtp, write_rtp};
use trunkline_sdp::{KeySeed, SrtpKeys, Suite};

/// Longest packet that is tried.
const LONGEST: usize = 1024;

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let suite = Suite::ALL[usize::from(*choice) % Suite::ALL.len()];
    let key = KeySeed::new([7; 32]).master_key(suite);
    let keys = SrtpKeys { tag: 1, local: key, remote: key };
    let (mut ours, mut peer) = (Srtp::new(&keys), Srtp::new(&keys));
    let mut rest = rest;
    let mut sequence = 65_530u16;
    // Each packet is led by its length. Whatever strangers send, our own packets go on being opened.
    while let Some((length, tail)) = rest.split_first() {
        let (bytes, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        let mut packet = bytes.to_vec();
        assert_eq!(peer.open(&mut packet), None, "bytes without our key were taken for a packet");
        let mut packet = bytes.to_vec();
        assert_eq!(peer.open_rtcp(&mut packet), None, "bytes without our key were taken for a report");
        let mut buffer = [0; LONGEST];
        let header = RtpHeader { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc: 99 };
        sequence = sequence.wrapping_add(1);
        let length = write_rtp(&header, bytes, &mut buffer[..LONGEST - 64]);
        let plain = buffer[..length].to_vec();
        let sealed = ours.protect(&mut buffer, length).expect("there is room for the tag");
        if let Some(at) = bytes.first() {
            let mut bent = buffer[..sealed].to_vec();
            bent[usize::from(*at) % sealed] ^= 1;
            assert_eq!(peer.open(&mut bent), None, "a packet that was changed on its way was opened");
        }
        let opened = peer.open(&mut buffer[..sealed]).expect("our own packet opens");
        assert_eq!(&buffer[..opened], &plain[..]);
        let mut again = buffer[..sealed].to_vec();
        assert_eq!(peer.open(&mut again), None);
    }
});
