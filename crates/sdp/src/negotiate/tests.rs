use super::*;

const BOTH: &[Codec] = &[Codec::Pcmu, Codec::Pcma];

fn local() -> LocalMedia {
    LocalMedia {
        address: "192.0.2.9".parse().expect("address"),
        port: 10_000,
        session_id: 7,
        session_version: 1,
    }
}

fn parse(text: &str) -> Description {
    Description::parse(text.as_bytes()).expect(text)
}

#[test]
fn a_plain_offer_is_answered_in_kind() {
    let offer = parse(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:30\r\n",
    );
    let chosen = select(&offer, BOTH).expect("fits");
    assert_eq!((chosen.codec, chosen.events, chosen.ptime), (Codec::Pcmu, Some(101), 30));
    assert_eq!(chosen.remote, Some("192.0.2.1:4000".parse().expect("address")));
    assert_eq!(chosen.remote_rtcp, Some("192.0.2.1:4001".parse().expect("address")));
    assert_eq!(
        answer(&offer, &chosen, &local()),
        "v=0\r\no=- 7 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 10000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:30\r\na=sendrecv\r\n",
    );
}

#[test]
fn every_line_is_answered_in_order_and_unknown_media_refused() {
    let offer = parse(
        "v=0\no=x\ns=\nm=image 5000 udptl t38\nm=video 6000 RTP/AVP 31\nm=audio 7000 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\nm=audio 4000 RTP/AVP 96\nc=IN IP6 2001:db8::1\na=rtpmap:96 pcma/8000\na=rtcp:4009\na=sendonly\nm=audio 4100 RTP/AVP 0\n",
    );
    let chosen = select(&offer, BOTH).expect("fits");
    assert_eq!((chosen.line, chosen.codec, chosen.payload_type), (3, Codec::Pcma, 96));
    assert_eq!(chosen.remote_rtcp, Some("[2001:db8::1]:4009".parse().expect("address")));
    let reply = parse(&answer(&offer, &chosen, &local()));
    let ports: Vec<_> = reply.media.iter().map(|m| (m.kind.as_str(), m.port)).collect();
    assert_eq!(ports, [("image", 0), ("video", 0), ("audio", 0), ("audio", 10_000), ("audio", 0)]);
    assert_eq!(reply.media[3].direction(&reply), Direction::RecvOnly);
}

#[test]
fn hold_is_seen_in_both_its_forms() {
    for (address, attribute, ours) in [
        ("192.0.2.1", "a=sendonly\n", Direction::RecvOnly),
        ("192.0.2.1", "a=inactive\n", Direction::Inactive),
        ("0.0.0.0", "", Direction::RecvOnly),
        ("192.0.2.1", "a=recvonly\n", Direction::SendOnly),
    ] {
        let offer = parse(&format!("v=0\nc=IN IP4 {address}\nm=audio 4000 RTP/AVP 0\n{attribute}"));
        assert_eq!(select(&offer, BOTH).expect("fits").direction, ours, "{address} {attribute}");
    }
}

#[test]
fn what_does_not_fit_says_why() {
    let refuse = |text: &str| select(&parse(text), BOTH).expect_err(text);
    assert_eq!(refuse("v=0\nm=video 1 RTP/AVP 31\n"), NegotiateError::NoAudio);
    assert_eq!(refuse("v=0\nm=audio 0 RTP/AVP 0\n"), NegotiateError::NoAudio);
    assert_eq!(refuse("v=0\nm=audio 1 RTP/SAVP 0\n"), NegotiateError::OnlyEncrypted);
    assert_eq!(refuse("v=0\nm=audio 1 RTP/AVP 18\n"), NegotiateError::NoCodec);
    assert_eq!(refuse("v=0\nm=audio 1 RTP/AVP 0\na=rtpmap:0 PCMU/16000\n"), NegotiateError::NoCodec);
}

#[test]
fn our_offer_is_accepted_by_ourselves() {
    let text = offer(BOTH, Direction::SendRecv, &local());
    let chosen = select(&parse(&text), &[Codec::Pcma]).expect("fits");
    let reply = answer(&parse(&text), &chosen, &local());
    let accepted = accept(&parse(&reply), BOTH).expect("fits");
    assert_eq!((accepted.codec, accepted.events), (Codec::Pcma, Some(101)));
}

#[test]
fn broken_descriptions_are_refused_and_nothing_panics() {
    use crate::SdpError;
    assert_eq!(Description::parse(b""), Err(SdpError::NoVersion));
    assert_eq!(Description::parse(b"v=0\nm=audio 70000 RTP/AVP 0\n"), Err(SdpError::BadMedia(2)));
    assert_eq!(Description::parse(b"v=0\nxx\n"), Err(SdpError::BadLine(2)));
    let whole = b"v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\nc=IN IP4 1.1.1.1/127/2\r\nm=audio 65535/2 RTP/AVP 0 x\r\na=rtpmap:0 PCMU/8000\r\na=ptime:x\r\na=rtcp:99999 IN IP6 ::g\r\n";
    for cut in 0..whole.len() {
        if let Ok(description) = Description::parse(&whole[..cut]) {
            let _ = select(&description, BOTH).map(|chosen| answer(&description, &chosen, &local()));
        }
    }
}
