//! SRTP of a call: who may have it, over which transport, and that no re-INVITE takes it away.

use trunkline_sdp::media::MediaSpec;

use super::outgoing::{ANSWER, flow, methods, response, ring_by};
use super::*;

const KEY: &str = "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";
const OTHER_KEY: &str =
    "a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVy\r\n";
const KIND: &str = "Content-Type: application/sdp\r\n";

/// A shard whose trunk encrypts so.
fn bench(policy: &str) -> Bench {
    let trunk = format!("name = \"t\"\nmedia_encryption = \"{policy}\"");
    let text = TABLE.replacen("name = \"t\"", &trunk, 1);
    let (table, _) = load(&[Source { name: "t".to_owned(), text }], None).expect("loads");
    let mut bench = Bench::new();
    bench.input(Input::Reload(Arc::new(table)));
    bench
}

fn encrypted(profile: &str, key: &str) -> String {
    format!("{}{key}", SDP.replace("RTP/AVP", profile))
}

fn receive(bench: &mut Bench, text: &str, transport: Transport) -> Said {
    let message = read::datagram(&Bytes::copy_from_slice(text.as_bytes())).expect("a message");
    bench.receive_message(message, "192.0.2.20:5062", transport)
}

fn offering(id: &str, offer: &str) -> String {
    let text = invite(id, "+14155550100", "").replace(SDP, offer);
    text.replace(&format!("Content-Length: {}", SDP.len()), &format!("Content-Length: {}", offer.len()))
}

/// The codes of an INVITE with that offer up to the 200, our answer and our tag.
fn talk(bench: &mut Bench, offer: &str, transport: Transport) -> Result<(MediaSpec, String, String), u16> {
    let said = receive(bench, &offering("a", offer), transport);
    let opened = said.outputs.iter().find_map(|output| match output {
        Output::OpenMedia { spec, .. } => Some(spec.expect("terms")),
        _ => None,
    });
    let Some(spec) = opened else { return Err(*said.codes().last().expect("a code")) };
    let call = said.call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some("192.0.2.10:10000".parse().expect("address"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    receive(bench, &in_dialog("a", "ACK", 1, &tag, "", ""), transport);
    Ok((spec, String::from_utf8_lossy(&said.responses[0].body).into_owned(), tag))
}

#[test]
fn keys_are_exchanged_over_tls_and_nowhere_else() {
    use Transport::{Tls, Udp};
    // Policy, transport, offer, code or whether it is encrypted.
    let (savp, avp) = (encrypted("RTP/SAVP", KEY), encrypted("RTP/AVP", KEY));
    let cases = [
        ("disable", Tls, &savp, Err(488)),
        ("disable", Tls, &avp, Ok(false)),
        ("allow", Tls, &savp, Ok(true)),
        ("allow", Tls, &avp, Ok(true)),
        ("allow", Udp, &avp, Ok(false)),
        ("allow", Udp, &savp, Err(488)),
        ("require", Tls, &savp, Ok(true)),
        ("require", Tls, &avp, Ok(true)),
        ("require", Tls, &SDP.to_owned(), Err(488)),
        ("require", Udp, &savp, Err(488)),
        ("require\"\nsdes_over_plaintext = true\ndtmf = \"auto", Udp, &savp, Ok(true)),
    ];
    for (policy, transport, offer, outcome) in cases {
        let mut bench = bench(policy);
        let seen = talk(&mut bench, offer, transport);
        let secured = seen.as_ref().map(|(spec, ..)| spec.srtp.is_some()).map_err(|code| *code);
        assert_eq!(secured, outcome, "{policy} {transport}");
        let Ok((spec, answer, _)) = seen else { continue };
        assert_eq!(
            answer.matches("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:").count(),
            usize::from(secured == Ok(true))
        );
        assert!(!answer.contains("WVNf"), "the key is our own");
        assert!(!format!("{spec:?}").contains("WVNf"));
    }
}

#[test]
fn no_reinvite_takes_encryption_away_and_only_a_move_or_a_new_key_changes_ours() {
    let tls = Transport::Tls;
    let mut bench = bench("require");
    let (first, answer, tag) = talk(&mut bench, &encrypted("RTP/SAVP", KEY), tls).expect("answered");
    let mut sequence = 1;
    let mut again = |offer: &str| {
        sequence += 1;
        let said = receive(&mut bench, &in_dialog("a", "INVITE", sequence, &tag, KIND, offer), tls);
        receive(&mut bench, &in_dialog("a", "ACK", sequence, &tag, "", ""), tls);
        let spec = said.outputs.iter().find_map(|output| match output {
            Output::UpdateMedia(_, _, spec) => Some(spec.srtp.expect("keys")),
            _ => None,
        });
        (said.codes()[0], spec, String::from_utf8_lossy(&said.responses[0].body).into_owned())
    };
    assert_eq!(again(SDP).0, 488, "in the clear");
    let (code, keys, same) = again(&encrypted("RTP/SAVP", KEY));
    assert_eq!((code, keys, &same), (200, first.srtp, &answer), "a refresh changes nothing");
    let moved = encrypted("RTP/SAVP", KEY).replace("4000", "4100");
    let (_, moved, _) = again(&moved);
    assert_ne!(moved.map(|keys| keys.local), first.srtp.map(|keys| keys.local));
    let rekeyed = encrypted("RTP/SAVP", OTHER_KEY).replace("4000", "4100");
    let (_, rekeyed, _) = again(&rekeyed);
    assert_ne!(rekeyed.map(|keys| keys.local), moved.map(|keys| keys.local));
    assert_ne!(rekeyed.map(|keys| keys.remote), moved.map(|keys| keys.remote));
}

#[test]
fn two_calls_have_keys_of_their_own() {
    let mut bench = bench("allow");
    let offer = encrypted("RTP/SAVP", KEY);
    let mut key = |id: &str| {
        let said = receive(&mut bench, &offering(id, &offer), Transport::Tls);
        said.outputs.iter().find_map(|output| match output {
            Output::OpenMedia { spec, .. } => spec.and_then(|spec| spec.srtp).map(|keys| keys.local),
            _ => None,
        })
    };
    let (one, two) = (key("a").expect("keys"), key("b").expect("keys"));
    assert_ne!(one, two);
}

#[test]
fn the_next_address_is_offered_another_key_than_the_first_one_has_seen() {
    let mut bench = Bench::new();
    let encrypts = "media_encryption = \"require\"\nsdes_over_plaintext = true\nauth_username";
    let (call, invite) = ring_by(&mut bench, |tables| tables.replacen("auth_username", encrypts, 1));
    let key = |request: &trunkline_sip::Request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        body.lines().find(|line| line.starts_with("a=crypto:")).map(str::to_owned).expect("a key")
    };
    bench.receive(&response(&invite, 503, "t", "").to_bytes());
    let said = bench.input(Input::FlowFound(call, Member::FIRST, Ok((flow("192.0.2.30:5060"), false))));
    assert_eq!(methods(&said), ["INVITE"]);
    assert_ne!(key(&said.requests[0]), key(&invite));
    bench.input(Input::HangUp(call));
}

#[test]
fn encryption_is_offered_in_its_own_profile_first_and_the_call_placed_again_in_plain_where_that_is_refused() {
    let text = |request: &trunkline_sip::Request| String::from_utf8_lossy(&request.body).into_owned();
    let wants =
        "media_encryption = \"allow\"\nsavp_then_plain = true\nsdes_over_plaintext = true\nauth_username";
    for (code, goes_on) in [(488, true), (415, true), (606, true), (486, false)] {
        let mut bench = Bench::new();
        let (call, invite) = ring_by(&mut bench, |tables| tables.replacen("auth_username", wants, 1));
        assert!(text(&invite).contains("RTP/SAVP ") && text(&invite).contains("a=crypto:"), "{code}");
        let said = bench.receive(&response(&invite, code, "t", "").to_bytes());
        let finds = |output: &Output| matches!(output, Output::FindFlow { skip: 0, .. });
        assert_eq!(said.outputs.iter().any(finds), goes_on, "{code}");
        if !goes_on {
            continue;
        }
        let said = bench.input(Input::FlowFound(call, Member::FIRST, Ok((flow("192.0.2.20:5060"), false))));
        assert_eq!(methods(&said), ["INVITE"]);
        let again = &said.requests[0];
        assert!(text(again).contains("RTP/AVP ") && !text(again).contains("a=crypto:"), "{}", text(again));
        // A second refusal is the callee's.
        let said = bench.receive(&response(again, code, "u", "").to_bytes());
        assert!(!said.outputs.iter().any(finds), "{code}");
    }
    // Where it is taken, it stays.
    let mut bench = Bench::new();
    let (call, invite) = ring_by(&mut bench, |tables| tables.replacen("auth_username", wants, 1));
    let key =
        text(&invite).lines().find(|line| line.starts_with("a=crypto:1 ")).map(str::to_owned).expect("a key");
    let answer = format!("{}{key}\r\n", ANSWER.replace("RTP/AVP", "RTP/SAVP"));
    let said = bench.receive(&response(&invite, 200, "t", &answer).to_bytes());
    assert_eq!(methods(&said), ["ACK"]);
    let srtp = said.outputs.iter().any(|output| match output {
        Output::UpdateMedia(_, _, spec) => spec.srtp.is_some(),
        _ => false,
    });
    assert!(srtp, "{:?}", said.outputs);
    bench.input(Input::HangUp(call));
}
