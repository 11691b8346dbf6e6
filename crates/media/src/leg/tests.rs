use std::net::IpAddr;

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
        ptime: 20,
        remote,
        remote_rtcp: remote,
        rtcp_mux: false,
        sends: true,
        receives: true,
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
