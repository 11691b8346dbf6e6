use trunkline_sdp::Codec;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn at(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

fn spec(remote: Option<&str>, written: &str) -> MediaSpec {
    let remote = remote.map(at);
    MediaSpec {
        codec: Codec::Pcmu,
        payload_type: 0,
        events: None,
        events_rate: 8000,
        ptime: 20,
        remote,
        written: Some(at(written)),
        signalling: Some(at("203.0.113.1:5060").ip()),
        remote_rtcp: None,
        rtcp_mux: false,
        sends: true,
        receives: true,
        srtp: None,
        dtmf: trunkline_sdp::media::DtmfMethod::Auto,
    }
}

/// Terms of a caller that wrote an address behind its NAT.
fn behind_nat() -> MediaSpec {
    spec(None, "10.0.0.5:4000")
}

#[test]
fn without_an_address_the_signalling_path_is_believed_at_once_and_others_after_a_while() {
    let (start, terms) = (Instant::now(), behind_nat());
    let mut latch = Latch::default();
    latch.terms(None, &terms, start);
    assert!(!latch.is_peer(at("198.51.100.66:9"), &terms, start), "a stranger is first");
    assert!(!latch.is_peer(at("198.51.100.66:9"), &terms, start + 199 * MS));
    assert!(latch.is_peer(at("203.0.113.1:7000"), &terms, start + 199 * MS), "the caller wins");
    assert!(!latch.is_peer(at("198.51.100.66:9"), &terms, start + 500 * MS));

    let mut latch = Latch::default();
    assert!(!latch.is_peer(at("198.51.100.7:9"), &terms, start), "a media gateway beside the proxy");
    assert!(latch.is_peer(at("198.51.100.7:9"), &terms, start + GRACE));
    assert_eq!(latch.source(), Some(at("198.51.100.7:9")));
}

#[test]
fn a_refresh_does_not_unlock_a_peer_that_speaks() {
    for terms in [behind_nat(), spec(Some("203.0.113.1:4000"), "203.0.113.1:4000")] {
        let start = Instant::now();
        let mut latch = Latch::default();
        assert!(latch.is_peer(at("203.0.113.1:7000"), &terms, start));
        latch.terms(Some(&terms), &terms, start);
        assert!(
            !latch.is_peer(at("203.0.113.1:8000"), &terms, start + 20 * MS),
            "not while the other speaks"
        );
        assert!(latch.is_peer(at("203.0.113.1:7000"), &terms, start + 180 * MS));
        assert!(!latch.is_peer(at("203.0.113.1:8000"), &terms, start + 379 * MS));
        assert!(latch.is_peer(at("203.0.113.1:7000"), &terms, start + 379 * MS));
        assert_eq!(latch, Latch::Locked(at("203.0.113.1:7000")), "no doubt is left");
        assert!(!latch.is_peer(at("203.0.113.1:8000"), &terms, start + 10_000 * MS));
    }
}

#[test]
fn a_caller_whose_nat_moved_it_is_found_again_and_a_stranger_is_not() {
    let (start, terms) = (Instant::now(), behind_nat());
    let mut latch = Latch::default();
    assert!(latch.is_peer(at("203.0.113.1:7000"), &terms, start));
    latch.terms(Some(&terms), &terms, start);
    assert!(latch.is_peer(at("203.0.113.1:7000"), &terms, start + 20 * MS), "still under way");
    assert!(!latch.is_peer(at("198.51.100.66:9"), &terms, start + 900 * MS));
    assert!(latch.is_peer(at("203.0.113.1:8000"), &terms, start + 900 * MS));
    // Another network: its signalling comes from there too.
    let moved = MediaSpec { signalling: Some(at("192.0.2.9:5060").ip()), ..terms };
    latch.terms(Some(&terms), &moved, start + 1000 * MS);
    assert!(latch.is_peer(at("192.0.2.9:4000"), &moved, start + 1300 * MS));
}

#[test]
fn terms_that_move_the_media_unlock_at_once() {
    let (start, terms) = (Instant::now(), behind_nat());
    let mut latch = Latch::default();
    assert!(latch.is_peer(at("203.0.113.1:7000"), &terms, start));
    let moved = spec(None, "10.0.0.5:4100");
    latch.terms(Some(&terms), &moved, start);
    assert_eq!((latch.source(), latch.target()), (None, Some(at("203.0.113.1:7000"))), "heard on");
    assert!(latch.is_peer(at("203.0.113.1:7100"), &moved, start));
    let known = spec(Some("192.0.2.2:4000"), "192.0.2.2:4000");
    latch.terms(Some(&moved), &known, start);
    assert_eq!(latch.target(), None, "the terms say where to");
    assert!(!latch.is_peer(at("203.0.113.1:7100"), &known, start + 10_000 * MS));
    assert!(latch.is_peer(at("192.0.2.2:9999"), &known, start + 10_000 * MS));
}
