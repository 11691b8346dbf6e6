use std::net::IpAddr;

use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use webrtc_util::marshal::{Marshal, Unmarshal};

use super::reports::ntp_now;
use super::*;
use crate::ports::Ports;

fn leg(remote: Option<&str>) -> RtpLeg {
    // Any pair will do; each test asks the system for a place of its own.
    let probe = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = probe.local_addr().expect("an address").port() & !1;
    drop(probe);
    let mut ports = Ports::new(&(port..=port + 40));
    let now = Instant::now();
    let pair = ports.open(IpAddr::from([127, 0, 0, 1]), now).expect("a pair");
    let remote = remote.map(|remote| remote.parse().expect("address"));
    let spec = MediaSpec {
        codec: Codec::Pcmu,
        payload_type: 0,
        events: Some(101),
        events_rate: 8000,
        ptime: 20,
        remote,
        written: remote,
        signalling: remote.map_or(Some(IpAddr::from([127, 0, 0, 1])), |remote| Some(remote.ip())),
        remote_rtcp: remote.map(|remote| SocketAddr::new(remote.ip(), remote.port() + 1)),
        rtcp_mux: false,
        sends: true,
        receives: true,
        srtp: None,
        dtmf: trunkline_sdp::media::DtmfMethod::Auto,
    };
    RtpLeg::new(pair, Some(spec), 7, now)
}

fn packet(sequence: u16, payload_type: u8) -> Vec<u8> {
    let header =
        RtpHeader { marker: false, payload_type, sequence, timestamp: u32::from(sequence) * 160, ssrc: 1 };
    let mut out = vec![0; 200];
    let length = write_rtp(&header, &[0xff; 160], &mut out);
    out.truncate(length);
    out
}

fn heard(leg: &mut RtpLeg, bytes: &[u8], from: &str) -> bool {
    !matches!(leg.accept(bytes, from.parse().expect("address"), Instant::now()), Heard::Nothing)
}

#[test]
fn the_first_source_of_the_right_address_is_locked_and_others_are_counted() {
    let mut leg = leg(Some("192.0.2.1:4000"));
    assert!(!heard(&mut leg, &packet(1, 0), "192.0.2.66:4000"), "another address");
    assert!(heard(&mut leg, &packet(1, 0), "192.0.2.1:9999"), "NAT changed the port");
    assert!(!heard(&mut leg, &packet(2, 0), "192.0.2.1:4000"), "locked by then");
    assert_eq!(leg.stats().strangers_dropped, 2);
    let moved = MediaSpec { remote: "192.0.2.2:4000".parse().ok(), ..leg.spec.expect("a spec") };
    leg.update(moved, Instant::now());
    assert!(heard(&mut leg, &packet(3, 0), "192.0.2.2:4000"), "a re-INVITE moved it");
}

#[test]
fn a_caller_behind_nat_is_latched_and_hears_nothing_before() {
    let mut leg = leg(None);
    leg.send(&[0xff; 160]);
    assert_eq!(leg.stats().packets_sent, 0);
    assert!(heard(&mut leg, &packet(1, 0), "127.0.0.1:9"));
    leg.send(&[0xff; 160]);
    assert_eq!(leg.stats().packets_sent, 1);
}

#[test]
fn reports_go_where_the_peer_says_and_come_from_there() {
    let base = leg(Some("192.0.2.1:4000")).spec.expect("a spec");
    let rtcp = |text: &str| MediaSpec { remote_rtcp: text.parse().ok(), ..base };
    let cases = [
        (base, "192.0.2.1:4000", "192.0.2.1:4001"),
        (rtcp("192.0.2.1:4711"), "192.0.2.1:4000", "192.0.2.1:4711"),
        (rtcp("192.0.2.77:4711"), "192.0.2.1:4000", "192.0.2.77:4711"),
        (MediaSpec { rtcp_mux: true, ..base }, "192.0.2.1:4000", "192.0.2.1:4000"),
        (MediaSpec { rtcp_mux: true, ..base }, "192.0.2.1:9000", "192.0.2.1:9000"),
        (MediaSpec { remote: None, remote_rtcp: None, ..base }, "192.0.2.1:9000", "192.0.2.1:9001"),
        (MediaSpec { remote: None, remote_rtcp: None, ..base }, "192.0.2.1:65535", "none"),
    ];
    for (spec, source, target) in cases {
        let mut leg = leg(Some("192.0.2.1:4000"));
        leg.update(spec, Instant::now());
        assert!(heard(&mut leg, &packet(1, 0), source));
        assert_eq!(leg.report_target(), target.parse().ok(), "{spec:?}");
        let block = ReceptionReport {
            ssrc: leg.ssrc,
            last_sender_report: ((ntp_now() >> 16) as u32).wrapping_sub(6554),
            ..ReceptionReport::default()
        };
        let theirs = ReceiverReport { ssrc: 1, reports: vec![block], ..ReceiverReport::default() };
        let mut out = [0; 64];
        let length = theirs.marshal_to(&mut out).expect("fits");
        leg.rtcp_packet(&out[..length], "192.0.2.78:4711".parse().expect("address"), Instant::now());
        assert_eq!(leg.stats().round_trip_ms, None, "a stranger's");
        let from = leg.report_target().or_else(|| source.parse().ok()).expect("an address");
        leg.rtcp_packet(&out[..length], from, Instant::now());
        assert!(leg.stats().round_trip_ms.is_some(), "{spec:?}");
    }
}

#[test]
fn other_payloads_noise_and_comfort_noise_do_no_harm() {
    let mut leg = leg(Some("192.0.2.1:4000"));
    assert!(!heard(&mut leg, &packet(1, 18), "192.0.2.1:4000"));
    assert!(!heard(&mut leg, &[0; 12], "192.0.2.1:4000"));
    let from = "192.0.2.1:4000".parse().expect("address");
    assert!(matches!(leg.accept(&packet(1, 13), from, Instant::now()), Heard::Quiet { digit: None, .. }));
}

#[test]
fn no_control_packet_panics() {
    let mut leg = leg(Some("192.0.2.1:4000"));
    let from = "192.0.2.1:4001".parse().expect("address");
    for kind in 192..=223u8 {
        for count in 0..32u8 {
            for words in 0..8u16 {
                let mut packet = vec![0x80 | count, kind];
                packet.extend(words.to_be_bytes());
                for length in 0..36 {
                    packet.truncate(4);
                    packet.resize(4 + length, count.wrapping_mul(37));
                    leg.rtcp_packet(&packet, from, Instant::now());
                }
            }
        }
    }
}

#[test]
fn a_report_names_loss_and_gives_the_round_trip() {
    let mut leg = leg(Some("192.0.2.1:4000"));
    for sequence in [1, 2, 4, 5] {
        heard(&mut leg, &packet(sequence, 0), "192.0.2.1:4000");
    }
    let mut buffer = [0; 256];
    let length = leg.write_report(Instant::now(), &mut buffer).expect("a report");
    let report = SenderReport::unmarshal(&mut &buffer[..52]).expect("reads");
    assert_eq!((report.reports[0].total_lost, report.reports[0].last_sequence_number), (1, 5));
    assert!(length > 52, "with a name behind it");
    let block = ReceptionReport {
        ssrc: leg.ssrc,
        last_sender_report: ((ntp_now() >> 16) as u32).wrapping_sub(6554),
        delay: 0,
        ..ReceptionReport::default()
    };
    let theirs = ReceiverReport { ssrc: 1, reports: vec![block], ..ReceiverReport::default() };
    let mut out = [0; 64];
    let length = theirs.marshal_to(&mut out).expect("fits");
    leg.rtcp_packet(&out[..length], "192.0.2.1:4001".parse().expect("address"), Instant::now());
    let trip = leg.stats().round_trip_ms.expect("measured");
    assert!((99.0..120.0).contains(&trip), "{trip}");
}

#[test]
fn a_caller_that_holds_the_call_is_not_missed() {
    let mut leg = leg(Some("127.0.0.1:4000"));
    let later = Instant::now() + Duration::from_secs(61);
    assert!(leg.is_silent(Duration::from_secs(60), later));
    let held = MediaSpec { sends: false, ..leg.spec.expect("terms") };
    leg.update(held, Instant::now());
    assert!(!leg.is_silent(Duration::from_secs(60), later));
}

#[test]
fn keys_of_a_new_source_are_heard_though_its_time_is_earlier() {
    let mut leg = leg(Some("127.0.0.1:4000"));
    let mut press = |ssrc, timestamp| {
        let header = RtpHeader { marker: true, payload_type: 101, sequence: 1, timestamp, ssrc };
        let mut out = [0; 64];
        let length = write_rtp(&header, &[5, 10, 0, 160], &mut out);
        match leg.accept(&out[..length], "127.0.0.1:4000".parse().expect("address"), Instant::now()) {
            Heard::Quiet { digit, .. } => digit,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(press(1, 900_000), Some('5'));
    assert_eq!(press(1, 900_000), None, "a copy");
    assert_eq!(press(2, 1000), Some('5'));
}

#[test]
fn an_encrypted_leg_hears_its_peer_and_nothing_in_the_clear() {
    use trunkline_sdp::{KeySeed, SrtpKeys, Suite};

    let far = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let there = far.local_addr().expect("an address").to_string();
    let key = |seed| KeySeed::new([seed; 32]).master_key(Suite::AesCm128Sha1_80);
    let keys = SrtpKeys { tag: 1, local: key(1), remote: key(2) };
    let mut peer = Srtp::new(&SrtpKeys { tag: 1, local: key(2), remote: key(1) });
    let mut leg = leg(Some(&there));
    let plain = leg.spec.expect("a spec");
    leg.update(MediaSpec { srtp: Some(keys), ..plain }, Instant::now());

    leg.send(&[0x55; 160]);
    let mut bytes = [0; 300];
    let length = far.recv(&mut bytes).expect("a packet");
    assert_eq!(peer.open(&mut bytes[..length]), Some(172));
    assert_eq!(bytes[12..172], [0x55; 160]);

    let from: SocketAddr = there.parse().expect("an address");
    let mut buffer = [0; 300];
    assert_eq!(leg.opened(&packet(1, 0), from, &mut buffer), None, "in the clear");
    let mut sealed = packet(2, 0);
    sealed.resize(172 + OVERHEAD, 0);
    let length = peer.protect(&mut sealed, 172).expect("room");
    assert_eq!(leg.opened(&sealed[..length], from, &mut buffer), Some(&packet(2, 0)[..]));
    assert_eq!(leg.opened(&sealed[..length], from, &mut buffer), None, "a replay");
    assert_eq!(leg.stats().unauthentic_dropped, 2);

    // RTCP too.
    assert!(heard(&mut leg, &packet(2, 0), &there));
    let report = ReceiverReport {
        ssrc: 1,
        reports: vec![ReceptionReport {
            ssrc: leg.ssrc,
            last_sender_report: ((ntp_now() >> 16) as u32).wrapping_sub(6554),
            ..ReceptionReport::default()
        }],
        ..ReceiverReport::default()
    };
    let mut out = [0; 64 + OVERHEAD];
    let length = report.marshal_to(&mut out).expect("fits");
    leg.rtcp_packet(&out[..length], from, Instant::now());
    assert_eq!(leg.stats().round_trip_ms, None, "in the clear");
    let length = peer.protect_rtcp(&mut out, length).expect("room");
    leg.rtcp_packet(&out[..length], from, Instant::now());
    assert!(leg.stats().round_trip_ms.is_some());

    // Back in the clear, where the terms say so.
    leg.update(plain, Instant::now());
    assert_eq!(leg.opened(&packet(3, 0), from, &mut buffer), Some(&packet(3, 0)[..]));
}

/// A leg of another codec and the socket of its peer.
fn wideband(codec: Codec, events: Option<u8>) -> (RtpLeg, std::net::UdpSocket) {
    let far = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut leg = leg(Some(&far.local_addr().expect("an address").to_string()));
    let payload_type = if codec == Codec::Opus { 96 } else { 9 };
    let spec = MediaSpec {
        codec,
        payload_type,
        events,
        events_rate: codec.clock_rate(),
        ..leg.spec.expect("a spec")
    };
    leg.update(spec, Instant::now());
    (leg, far)
}

#[test]
fn a_leg_of_another_codec_looks_like_one_of_ulaw_to_its_room() {
    use crate::codec::{Decoder, Encoder};
    use crate::g711::{linear_to_ulaw, ulaw_to_linear};

    let tone = |n: usize| ((n as f64 * std::f64::consts::TAU * 440.0 / 8000.0).sin() * 8000.0) as i16;
    let loud =
        |samples: &[i16]| samples.iter().map(|s| f64::from(*s).abs()).sum::<f64>() / samples.len() as f64;
    for (codec, step) in [(Codec::G722, 160), (Codec::Opus, 960)] {
        let (mut leg, far) = wideband(codec, None);
        assert_eq!(leg.codec(), Codec::Pcmu);
        // Out: a tone in µ-law frames comes as the codec's packets, in steps of its clock.
        let mut decoder = Decoder::at(codec, 8000).expect("a decoder");
        let (mut bytes, mut pcm) = ([0; 600], [0; 960]);
        let (mut last, mut heard) = (None::<u32>, Vec::new());
        for frame in 0..20 {
            let audio: [u8; 160] = std::array::from_fn(|n| linear_to_ulaw(tone(frame * 160 + n)));
            leg.send(&audio);
            let length = far.recv(&mut bytes).expect("a packet");
            let (header, payload) = RtpHeader::read(&bytes[..length]).expect("RTP");
            if let Some(last) = last {
                assert_eq!(header.timestamp.wrapping_sub(last), step, "{codec:?}");
            }
            last = Some(header.timestamp);
            let count = decoder.decode(payload, &mut pcm);
            assert_eq!(count, 160);
            heard.extend(&pcm[..count]);
        }
        assert!((4000.0..6500.0).contains(&loud(&heard[1600..])), "{codec:?}: {}", loud(&heard[1600..]));
        // In: the codec's payloads come as µ-law, a lost one and a silent one have their length.
        let mut encoder = Encoder::at(codec, 8000).expect("an encoder");
        let mut heard = Vec::new();
        let (mut samples, mut carried) = ([0; MAX_PAYLOAD], [0; MAX_PAYLOAD]);
        for frame in 0..20 {
            let audio: [i16; 160] = std::array::from_fn(|n| tone(frame * 160 + n));
            let length = encoder.encode(&audio, &mut bytes);
            let count = leg.samples(Some(&bytes[..length]), 0, &mut samples);
            let audio = leg.carried(&samples[..count], &mut carried);
            assert_eq!(audio.len(), 160);
            heard.extend(audio.iter().map(|byte| ulaw_to_linear(*byte)));
        }
        assert!((4000.0..6500.0).contains(&loud(&heard[1600..])), "{codec:?}: {}", loud(&heard[1600..]));
        assert!(!leg.is_plain() && leg.samples(None, 7, &mut samples) == 160);
        // Back to G.711: frames pass as they are.
        leg.update(
            MediaSpec { codec: Codec::Pcma, payload_type: 8, ..leg.spec.expect("a spec") },
            Instant::now(),
        );
        assert!(leg.codec() == Codec::Pcma && leg.is_plain());
    }
}

#[test]
fn events_run_by_the_clock_of_the_codec() {
    let (mut leg, far) = wideband(Codec::Opus, Some(97));
    let mut bytes = [0; 600];
    for (first, duration) in [(true, 160u16), (false, 320)] {
        let [high, low] = duration.to_be_bytes();
        leg.send_event([5, 10, high, low], first, 160);
        let length = far.recv(&mut bytes).expect("a packet");
        let (header, payload) = RtpHeader::read(&bytes[..length]).expect("RTP");
        assert_eq!((header.payload_type, header.marker), (97, first));
        assert_eq!(u16::from_be_bytes([payload[2], payload[3]]), duration * 6);
    }
}

#[test]
fn the_first_way_in_which_a_key_is_heard_is_the_way_of_the_leg() {
    let mut press = [0; 1280];
    crate::keypad::tone(5, 0, &mut press);
    let tones: Vec<u8> = press.iter().map(|sample| crate::g711::linear_to_ulaw(*sample)).collect();
    let event = |leg: &mut RtpLeg, timestamp| {
        let header = RtpHeader { marker: true, payload_type: 101, sequence: 1, timestamp, ssrc: 1 };
        let mut out = [0; 64];
        let length = write_rtp(&header, &[5, 10, 0, 160], &mut out);
        match leg.accept(&out[..length], "192.0.2.1:4000".parse().expect("address"), Instant::now()) {
            Heard::Quiet { digit, .. } => digit,
            other => panic!("{other:?}"),
        }
    };
    let mut by_event = leg(Some("192.0.2.1:4000"));
    assert_eq!(event(&mut by_event, 1000), Some('5'));
    assert_eq!((by_event.digit_by_info('5'), by_event.pressed_in(&tones)), (None, None));
    assert_eq!(event(&mut by_event, 9000), Some('5'));
    let mut by_info = leg(Some("192.0.2.1:4000"));
    assert_eq!(by_info.digit_by_info('5'), Some('5'));
    assert_eq!(event(&mut by_info, 1000), None);
    assert_eq!(by_info.digit_by_info('5'), Some('5'), "each request is a press");
    // Tones are listened for only where no events were negotiated.
    let mut by_tone = leg(Some("192.0.2.1:4000"));
    assert_eq!(by_tone.pressed_in(&tones), None);
    by_tone.update(MediaSpec { events: None, ..by_tone.spec.expect("a spec") }, Instant::now());
    assert_eq!(by_tone.pressed_in(&tones), Some('5'));
    assert_eq!(by_tone.digit_by_info('5'), None);
    assert_eq!(by_tone.stats().dtmf_digits, 1);
}

#[test]
fn keys_are_pressed_as_the_trunk_says() {
    use crate::tones::ToneReader;

    // Method, whether events were negotiated, what arrives: events, tones or silence.
    for (dtmf, events, seen) in [
        (DtmfMethod::Auto, Some(101), "events"),
        (DtmfMethod::Auto, None, "tones"),
        (DtmfMethod::Rfc4733, Some(101), "events"),
        (DtmfMethod::Rfc4733, None, "silence"),
        (DtmfMethod::Inband, Some(101), "tones"),
        (DtmfMethod::Info, Some(101), "silence"),
    ] {
        let far = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut leg = leg(Some(&far.local_addr().expect("an address").to_string()));
        leg.update(MediaSpec { dtmf, events, ..leg.spec.expect("a spec") }, Instant::now());
        let (mut reader, mut bytes, mut kinds) = (ToneReader::default(), [0; 300], Vec::new());
        for n in 1..=8u16 {
            let [high, low] = (n * 160).to_be_bytes();
            leg.send_event([5, 10, high, low], n == 1, 160);
            let length = far.recv(&mut bytes).expect("a packet");
            let (header, payload) = RtpHeader::read(&bytes[..length]).expect("RTP");
            let tone = reader.hear(payload.iter().map(|byte| crate::g711::ulaw_to_linear(*byte)));
            kinds.push((header.payload_type, tone));
        }
        let saw = match (kinds[0].0, kinds.iter().find_map(|(_, tone)| *tone)) {
            (101, _) => "events",
            (_, Some('5')) => "tones",
            _ => "silence",
        };
        assert_eq!(saw, seen, "{dtmf:?} {events:?}");
    }
}
