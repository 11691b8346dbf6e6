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
fn rtcp_shares_the_port_only_where_the_offer_says_so() {
    let muxed = parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=rtcp-mux\n");
    let chosen = select(&muxed, BOTH).expect("fits");
    assert!(chosen.rtcp_mux);
    assert_eq!(chosen.remote_rtcp, chosen.remote);
    assert!(answer(&muxed, &chosen, &local()).contains("a=rtcp-mux"));
    let plain = parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n");
    let chosen = select(&plain, BOTH).expect("fits");
    assert!(!chosen.rtcp_mux && !answer(&plain, &chosen, &local()).contains("rtcp-mux"));
    assert_eq!(chosen.remote_rtcp, Some("192.0.2.1:4001".parse().expect("address")));
}

#[test]
fn an_answer_cannot_share_a_port_that_we_did_not_offer_to_share() {
    let reply = parse("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=rtcp-mux\n");
    let accepted = accept(&reply, BOTH).expect("fits");
    assert!(!accepted.rtcp_mux);
    assert_eq!(accepted.remote_rtcp, Some("192.0.2.1:4001".parse().expect("address")));
}

#[test]
fn packet_times_stay_within_ten_and_sixty() {
    for (asked, got) in [("0", 10), ("5", 10), ("10", 10), ("25", 20), ("60", 60), ("200", 60), ("x", 20)] {
        let offer = parse(&format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=ptime:{asked}\n"));
        assert_eq!(select(&offer, BOTH).expect("fits").ptime, got, "{asked}");
    }
}

#[test]
fn an_address_mapped_into_ipv6_is_the_one_that_it_means() {
    let offer =
        parse("v=0\nc=IN IP6 ::ffff:127.0.0.1\nm=audio 4000 RTP/AVP 0\na=rtcp:4001 IN IP6 ::ffff:10.0.0.1\n");
    let chosen = select(&offer, BOTH).expect("fits");
    assert_eq!(chosen.remote, Some("127.0.0.1:4000".parse().expect("address")));
    assert_eq!(chosen.remote_rtcp, Some("10.0.0.1:4001".parse().expect("address")));
    let held = parse("v=0\nc=IN IP6 ::ffff:0.0.0.0\nm=audio 4000 RTP/AVP 0\n");
    assert_eq!(select(&held, BOTH).expect("fits").remote, None);
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

#[test]
fn an_m_line_holds_tokens_only() {
    // A vertical tab is no blank to one reader and one to the next: our answer would not read back.
    for line in ["m=audio 4004 RTP \u{b} x", "m=audio 4004 RTP/AVP \u{a0}", "m=audio 4004 RTP/AVP 0 \0"] {
        let body = format!("v=0\r\nm=audio 10000 RTP/AVP 0\r\n{line}\r\n");
        assert_eq!(Description::parse(body.as_bytes()), Err(crate::SdpError::BadMedia(3)), "{line:?}");
    }
}

const SEED: &KeySeed = &KeySeed::new([7; 32]);
const INLINE: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

fn encrypted(encryption: MediaEncryption) -> Terms<'static> {
    Terms { codecs: BOTH, encryption, keys: SEED }
}

fn audio(profile: &str, lines: &str) -> Description {
    parse(&format!("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 {profile} 0\n{lines}"))
}

#[test]
fn encryption_is_by_policy_and_by_what_is_offered() {
    use MediaEncryption::{Allow, Disable, Require};
    use NegotiateError::{NotEncrypted, OnlyEncrypted};
    let key = format!("a=crypto:3 AES_CM_128_HMAC_SHA1_80 {INLINE}\n");
    let broken = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short\n";
    // Profile, lines, policy, whether it is encrypted.
    let cases = [
        ("RTP/AVP", "", Disable, Ok(false)),
        ("RTP/AVP", &key, Disable, Ok(false)),
        ("RTP/SAVP", &key, Disable, Err(OnlyEncrypted)),
        ("RTP/AVP", "", Allow, Ok(false)),
        ("RTP/AVP", &key, Allow, Ok(true)),
        ("RTP/AVP", broken, Allow, Ok(false)),
        ("RTP/SAVP", &key, Allow, Ok(true)),
        ("RTP/SAVP", broken, Allow, Err(OnlyEncrypted)),
        ("RTP/SAVP", "", Allow, Err(OnlyEncrypted)),
        ("RTP/AVP", "", Require, Err(NotEncrypted)),
        ("RTP/AVP", broken, Require, Err(NotEncrypted)),
        ("RTP/AVP", &key, Require, Ok(true)),
        ("RTP/SAVPF", &key, Require, Ok(true)),
        ("RTP/SAVP", broken, Require, Err(OnlyEncrypted)),
    ];
    for (profile, lines, policy, outcome) in cases {
        let offer = audio(profile, lines);
        let chosen = select(&offer, encrypted(policy));
        let seen = chosen.as_ref().map(|chosen| chosen.srtp.is_some()).map_err(|error| *error);
        assert_eq!(seen, outcome, "{profile} {lines} {policy:?}");
        let Ok(chosen) = chosen else { continue };
        let reply = parse(&answer(&offer, &chosen, &local()));
        assert_eq!(reply.media[0].protocol, profile, "answered in the profile of the offer");
        let ours: Vec<_> = CryptoLine::all(&reply.media[0]).collect();
        assert_eq!(reply.media[0].attributes.iter().filter(|a| a.name == "crypto").count(), ours.len());
        match chosen.srtp {
            Some(keys) => {
                assert_eq!(ours, [CryptoLine { tag: 3, key: keys.local }], "one line, with the tag");
                assert_ne!(keys.local, keys.remote, "a key of our own");
            }
            None => assert_eq!(ours, []),
        }
    }
}

#[test]
fn the_first_keys_that_fit_are_taken_and_others_passed_over() {
    let lines = format!(
        "a=crypto:1 F8_128_HMAC_SHA1_80 {INLINE}\na=crypto:2 AES_CM_128_HMAC_SHA1_80 {INLINE}|2^31|1:1\na=crypto:3 AES_CM_128_HMAC_SHA1_32 {INLINE}|2^31\na=crypto:4 AES_CM_128_HMAC_SHA1_80 {INLINE}\n"
    );
    let chosen = select(&audio("RTP/SAVP", &lines), encrypted(MediaEncryption::Allow)).expect("fits");
    let keys = chosen.srtp.expect("keys");
    assert_eq!((keys.tag, keys.remote.suite()), (3, Suite::AesCm128Sha1_32));
}

#[test]
fn our_encrypted_offer_is_one_line_and_only_a_true_answer_is_taken() {
    use MediaEncryption::{Allow, Require};
    for (policy, profile) in [(Allow, "RTP/AVP"), (Require, "RTP/SAVP")] {
        let ours = parse(&offer(encrypted(policy), Direction::SendRecv, &local()));
        assert_eq!((ours.media.len(), ours.media[0].protocol.as_str()), (1, profile));
        assert_eq!(CryptoLine::all(&ours.media[0]).count(), 5);
        let theirs = Terms { codecs: BOTH, encryption: Require, keys: &KeySeed::new([9; 32]) };
        let chosen = select(&ours, theirs).expect("fits");
        let accepted = accept(&parse(&answer(&ours, &chosen, &local())), encrypted(policy)).expect("fits");
        let (here, there) = (accepted.srtp.expect("keys"), chosen.srtp.expect("keys"));
        assert_eq!((here.local, here.remote), (there.remote, there.local));
        assert_eq!(here.local, CryptoLine::all(&ours.media[0]).next().expect("a line").key);
        // An answer in the clear, with keys of another tag, with keys that cannot be read.
        let plain = accept(&audio("RTP/AVP", ""), encrypted(policy)).map(|accepted| accepted.srtp);
        assert_eq!(plain, if policy == Allow { Ok(None) } else { Err(NegotiateError::NotEncrypted) });
        let other = audio(profile, &format!("a=crypto:2 AES_CM_128_HMAC_SHA1_80 {INLINE}\n"));
        assert_eq!(accept(&other, encrypted(policy)), Err(NegotiateError::BadAnswer));
        let broken = audio(profile, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\n");
        assert!(accept(&broken, encrypted(policy)).is_err());
    }
}

#[test]
fn wideband_codecs_are_negotiated_with_events_of_their_clock() {
    let all = &[Codec::Opus, Codec::G722, Codec::Pcmu];
    let ours = offer(all, Direction::SendRecv, &local());
    for line in [
        "m=audio 10000 RTP/AVP 111 9 0 101 110",
        "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:110 telephone-event/48000",
    ] {
        assert!(ours.contains(line), "{line} in {ours}");
    }
    let offer = parse(
        "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 96 9 101 97\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/8000\na=rtpmap:97 telephone-event/48000\n",
    );
    let chosen = |codecs: &[Codec]| {
        let chosen = select(&offer, codecs).expect("fits");
        (chosen.codec, chosen.payload_type, chosen.events)
    };
    assert_eq!(chosen(all), (Codec::Opus, 96, Some(97)));
    let narrow = parse(
        "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 96 101\na=rtpmap:96 opus/48000/2\na=rtpmap:101 telephone-event/8000\n",
    );
    let narrow = select(&narrow, all).expect("fits");
    assert_eq!((narrow.events, narrow.events_rate), (Some(101), 8000), "all that the peer has");
    assert_eq!(chosen(&[Codec::G722, Codec::Opus]), (Codec::G722, 9, Some(101)), "by its static type");
    assert!(!offer_of(&[Codec::Pcmu]).contains("48000") && !offer_of(&[Codec::Pcmu]).contains("maxptime"));
    assert!(ours.contains("a=maxptime:60"));
    for (asked, got) in [(10, 10), (30, 20), (40, 40), (50, 40), (60, 60)] {
        let offer = parse(&format!(
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 96\na=rtpmap:96 OPUS/48000/2\na=ptime:{asked}\n"
        ));
        assert_eq!(select(&offer, all).expect("fits").ptime, got, "Opus has no frames of {asked} ms");
    }
}

fn offer_of(codecs: &[Codec]) -> String {
    offer(codecs, Direction::SendRecv, &local())
}
