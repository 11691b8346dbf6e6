use trunkline_sdp::{KeySeed, Suite};

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("hex");
    digits.chunks(2).map(byte).collect()
}

fn key(suite: Suite, text: &str) -> MasterKey {
    MasterKey::new(suite, &hex(text)).expect("a key of the suite's length")
}

/// Two ends that share their keys.
fn ends(suite: Suite) -> (Srtp, Srtp) {
    let (a, b) = (KeySeed::new([1; 32]).master_key(suite), KeySeed::new([2; 32]).master_key(suite));
    (
        Srtp::new(&SrtpKeys { tag: 1, local: a, remote: b }),
        Srtp::new(&SrtpKeys { tag: 1, local: b, remote: a }),
    )
}

fn rtp(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([sequence as u8; 160]);
    packet
}

fn protected(end: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD, 0);
    let length = end.protect(&mut buffer, packet.len()).expect("room");
    buffer.truncate(length);
    buffer
}

fn opened(end: &mut Srtp, packet: &[u8]) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    let length = end.open(&mut packet)?;
    packet.truncate(length);
    Some(packet)
}

#[test]
fn packets_are_those_of_the_reference_implementation() {
    // The packets of libsrtp's own validation, under the master key of RFC 3711 B.3.
    let master = key(Suite::AesCm128Sha1_80, "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let mut end = Srtp::new(&SrtpKeys { tag: 1, local: master, remote: master });
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let sealed = hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
    assert_eq!(protected(&mut end, &plain), sealed);
    assert_eq!(opened(&mut end, &sealed), Some(plain));
    let mut report = hex("81c8000bcafebabe abababababababababababababababab");
    let length = report.len();
    report.resize(length + OVERHEAD, 0);
    let sealed_length = end.protect_rtcp(&mut report, length).expect("room");
    let sealed = "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798";
    assert_eq!(report[..sealed_length], hex(sealed));
    assert_eq!(end.open_rtcp(&mut report[..sealed_length]), Some(length));
    assert_eq!(report[8..length], [0xab; 16]);
}

#[test]
fn every_suite_carries_packets_both_ways_and_short_tags_are_short() {
    for suite in Suite::ALL {
        let (mut here, mut there) = ends(suite);
        let plain = rtp(9, 5);
        let sealed = protected(&mut here, &plain);
        let tag = match suite {
            Suite::AesCm128Sha1_32 => 4,
            Suite::AesCm128Sha1_80 | Suite::AesCm256Sha1_80 => 10,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        };
        assert_eq!(sealed.len(), plain.len() + tag);
        assert_eq!(sealed[..12], plain[..12], "the head is readable");
        assert_ne!(sealed[12..172], plain[12..]);
        assert_eq!(opened(&mut here, &sealed), None, "each direction has its own key");
        assert_eq!(opened(&mut there, &sealed), Some(plain));
        let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 5, 1, 2, 3, 4];
        report.resize(12 + OVERHEAD, 0);
        let length = there.protect_rtcp(&mut report, 12).expect("room");
        let mut copy = report.clone();
        assert_eq!(here.open_rtcp(&mut report[..length]), Some(12));
        assert_eq!(report[..12], [0x80, 201, 0, 1, 0, 0, 0, 5, 1, 2, 3, 4]);
        assert_eq!(here.open_rtcp(&mut copy[..length]), None, "a replay");
    }
}

#[test]
fn loss_disorder_and_the_wrap_of_the_sequence_number_are_followed() {
    for suite in [Suite::AesCm128Sha1_80, Suite::AeadAes256Gcm] {
        let (mut here, mut there) = ends(suite);
        let mut packets: Vec<_> = (0..400u16)
            .map(|n| {
                let packet = rtp(65_300u16.wrapping_add(n), 5);
                (packet.clone(), protected(&mut here, &packet))
            })
            .collect();
        // One in ten is lost, neighbours are swapped, also over the wrap.
        packets.retain(|(plain, _)| plain[3] % 10 != 4);
        for pair in packets.chunks_mut(2) {
            pair.reverse();
        }
        for (plain, sealed) in &packets {
            assert_eq!(opened(&mut there, sealed).as_ref(), Some(plain));
        }
        for (_, sealed) in &packets {
            assert_eq!(opened(&mut there, sealed), None, "a replay");
        }
        // A second time round.
        for n in (164u16..=65_535).chain(0..100) {
            let packet = rtp(n, 5);
            let sealed = protected(&mut here, &packet);
            if n % 16_000 == 7 || n < 100 {
                assert_eq!(opened(&mut there, &sealed), Some(packet), "{n}");
            }
        }
    }
}

#[test]
fn a_new_source_is_heard_at_once_and_old_packets_of_any_are_replays() {
    let (mut here, mut there) = ends(Suite::AesCm128Sha1_80);
    let first = protected(&mut here, &rtp(60_000, 1));
    assert!(opened(&mut there, &first).is_some());
    // Another sender under the same key, with numbers of its own: ringback, then the answer.
    let (mut other, _) = ends(Suite::AesCm128Sha1_80);
    let second = protected(&mut other, &rtp(3, 2));
    assert!(opened(&mut there, &second).is_some());
    assert_eq!((opened(&mut there, &first), opened(&mut there, &second)), (None, None));
    let next = protected(&mut here, &rtp(60_001, 1));
    assert!(opened(&mut there, &next).is_some(), "the first goes on");
    // As many sources as one likes: the table does not grow.
    for ssrc in 10..100 {
        let (mut other, _) = ends(Suite::AesCm128Sha1_80);
        assert!(opened(&mut there, &protected(&mut other, &rtp(1, ssrc))).is_some());
    }
}

#[test]
fn ten_thousand_bad_packets_change_nothing() {
    for suite in [Suite::AesCm128Sha1_32, Suite::AeadAes128Gcm] {
        let (mut here, mut there) = ends(suite);
        assert!(opened(&mut there, &protected(&mut here, &rtp(100, 5))).is_some());
        let next = protected(&mut here, &rtp(101, 5));
        for n in 0..10_000usize {
            // Wrong in one bit, cut short, in the clear, far ahead.
            let mut bad = next.clone();
            match n % 4 {
                0 => bad[n / 4 % next.len()] ^= 1 << (n % 8),
                1 => bad.truncate(n % next.len()),
                2 => bad = rtp(n as u16, 5),
                _ => bad[2..4].copy_from_slice(&(n as u16 + 5000).to_be_bytes()),
            }
            // A bit of the two upper ones of the first byte makes it no RTP; all others are authenticated.
            assert_eq!(opened(&mut there, &bad).filter(|_| bad != next), None, "{n}");
            let _ = there.open_rtcp(&mut bad);
        }
        assert!(opened(&mut there, &next).is_some());
        let (mut stranger, _) = ends(suite);
        stranger.rekey(&SrtpKeys {
            tag: 1,
            local: KeySeed::new([9; 32]).master_key(suite),
            remote: KeySeed::new([9; 32]).master_key(suite),
        });
        assert_eq!(opened(&mut there, &protected(&mut stranger, &rtp(102, 5))), None, "a wrong key");
        assert!(opened(&mut there, &protected(&mut here, &rtp(102, 5))).is_some());
    }
}

#[test]
fn terms_with_the_same_keys_go_on_and_new_keys_begin_anew() {
    let suite = Suite::AesCm128Sha1_80;
    let (mut here, mut there) = ends(suite);
    for sequence in [65_535u16, 0] {
        assert!(opened(&mut there, &protected(&mut here, &rtp(sequence, 5))).is_some());
    }
    let keys = here.keys;
    here.rekey(&keys);
    let packet = rtp(1, 5);
    let sealed = protected(&mut here, &packet);
    assert_eq!(opened(&mut there, &sealed), Some(packet), "the rollover counter stayed");
    let fresh = KeySeed::new([3; 32]).master_key(suite);
    here.rekey(&SrtpKeys { local: fresh, ..here.keys });
    let rekeyed = protected(&mut here, &rtp(2, 5));
    assert_eq!(opened(&mut there, &rekeyed), None);
    there.rekey(&SrtpKeys { remote: fresh, ..there.keys });
    assert!(opened(&mut there, &rekeyed).is_some());
    assert!(!format!("{here:?}").contains("03"), "{here:?}");
}

#[test]
fn a_packet_costs_no_allocation() {
    for suite in Suite::ALL {
        let (mut here, mut there) = ends(suite);
        let mut buffer = rtp(1, 5);
        buffer.resize(172 + OVERHEAD, 0);
        let spent = allocation_counter::measure(|| {
            for sequence in 1..200u16 {
                buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
                let length = here.protect(&mut buffer, 172).expect("room");
                assert_eq!(there.open(&mut buffer[..length]), Some(172));
            }
            let mut report = [0; 28 + OVERHEAD];
            report[0] = 0x80;
            let length = here.protect_rtcp(&mut report, 28).expect("room");
            assert_eq!(there.open_rtcp(&mut report[..length]), Some(28));
        });
        assert_eq!(spent.count_total, 0, "{suite:?}");
    }
}
