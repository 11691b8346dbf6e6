//! Ladders of calls that we place.

use trunkline_routing::{OutboundCall, Pii, decide_outbound};
use trunkline_sip::{HeaderName, Request, reply};

use super::*;
use crate::{PlaceCall, Status};

pub(super) const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["192.0.2.0/24"]
addresses = [ { address = "sip:192.0.2.20:5062", priority = 1 }, { address = "192.0.2.30", priority = 2 } ]
auth_username = "acme"
auth_password = "s3cret"
auth_realm = "carrier.example"
headers = { "X-Tenant" = "acme" }
ringing_timeout_seconds = 20
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

pub(super) const ANSWER: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

pub(super) fn flow(remote: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "192.0.2.10:5060".parse().expect("address"),
        remote: remote.parse().expect("address"),
        connection: None,
    }
}

/// Places a call and gives its handle.
fn place(bench: &mut Bench) -> CallHandle {
    place_by(bench, TABLES.to_owned())
}

fn place_by(bench: &mut Bench, text: String) -> CallHandle {
    let source = Source { name: "t".to_owned(), text };
    let (table, _) = load(&[source], None).expect("loads");
    let wanted = OutboundCall { to: "+442079460000", from: "+14155550100", agent: None, trunk: None };
    let route = decide_outbound(&table, &wanted).expect("goes out");
    let said = bench.input(Input::Place(Box::new(PlaceCall {
        id: "call_1".to_owned(),
        sip_call_id: "out1".to_owned(),
        route,
        variables: Pii::new(vec![("customer".to_owned(), "42".to_owned())]),
        fields: vec![("X-Order".to_owned(), "7".to_owned())],
        dtmf_prefix: Some("1w2".to_owned()),
    })));
    let found = said.outputs.iter().find_map(|output| match output {
        Output::FindFlow { hop, skip, .. } => Some((hop.port, *skip)),
        _ => None,
    });
    assert_eq!(found, Some((Some(5062), 0)), "the first of the trunk's addresses");
    said.call()
}

/// The same as far as the INVITE.
pub(super) fn ring(bench: &mut Bench) -> (CallHandle, Request) {
    ring_by(bench, str::to_owned)
}

/// The same with other tables.
pub(super) fn ring_by(bench: &mut Bench, change: impl FnOnce(&str) -> String) -> (CallHandle, Request) {
    let call = place_by(bench, change(TABLES));
    let said = bench.input(Input::FlowFound(call, Member::FIRST, Ok((flow("192.0.2.20:5062"), false))));
    assert!(said.outputs.iter().any(|output| matches!(output, Output::OpenMedia { spec: None, .. })));
    let said = bench.input(Input::MediaOpened(
        call,
        Member::FIRST,
        Some("192.0.2.10:10000".parse().expect("address")),
    ));
    let variables = said.outputs.into_iter().find_map(|output| match output {
        Output::ConnectAgent(_, request) => Some(request.parameters.into_inner()),
        _ => None,
    });
    let variables = variables.expect("the agent comes before the callee's telephone rings");
    for (name, value) in [("customer", "42"), ("from_number", "+14155550100"), ("to_number", "+442079460000")]
    {
        assert!(variables.contains(&(name.to_owned(), value.to_owned())), "{name} in {variables:?}");
    }
    let mut said = bench.input(Input::AgentConnected(call, Ok(())));
    (call, said.requests.remove(0))
}

pub(super) fn response(request: &Request, code: u16, tag: &str, sdp: &str) -> Response {
    let mut response = reply::to(request, code, Some(tag));
    response.headers.push(HeaderName::Contact, "<sip:callee@192.0.2.20:5062>");
    if !sdp.is_empty() {
        response.headers.push(HeaderName::ContentType, "application/sdp");
        response.body = Bytes::copy_from_slice(sdp.as_bytes());
    }
    response
}

pub(super) fn methods(said: &Said) -> Vec<&str> {
    said.requests.iter().map(|request| request.method.as_str()).collect()
}

pub(super) fn starts(said: &Said) -> bool {
    said.outputs.iter().any(|output| matches!(output, Output::StartRoom(_)))
}

pub(super) fn field(request: &Request, name: &HeaderName) -> String {
    request.headers.text(name).unwrap_or_default().into_owned()
}

pub(super) fn end(bench: &mut Bench, call: CallHandle) -> crate::CallRecord {
    let record = bench.input(Input::RoomClosed(call, MediaStats::default())).record().clone();
    bench.pass(Duration::from_secs(70));
    assert!(bench.shard.is_idle());
    record
}

#[test]
fn a_call_goes_out_is_answered_and_ends() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    assert_eq!(invite.target, "sip:+442079460000@192.0.2.20:5062");
    assert!(field(&invite, &HeaderName::From).starts_with("<sip:+14155550100@192.0.2.10>;tag="));
    assert_eq!(field(&invite, &HeaderName::To), "<sip:+442079460000@192.0.2.20:5062>");
    assert_eq!(field(&invite, &HeaderName::Contact), "<sip:192.0.2.10:5060>");
    for (name, value) in [("X-Tenant", "acme"), ("X-Order", "7")] {
        assert_eq!(field(&invite, &HeaderName::from_token(name)), value);
    }
    assert!(String::from_utf8_lossy(&invite.body).contains("m=audio 10000 RTP/AVP 0 8 101"));
    for code in [100, 180] {
        let said = bench.receive(&response(&invite, code, "t", "").to_bytes());
        assert!(said.requests.is_empty() && !starts(&said));
    }
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(methods(&said), ["ACK"]);
    assert!(starts(&said) && said.outputs.iter().any(|o| matches!(o, Output::Answered(..))));
    assert!(
        said.outputs.iter().any(|o| matches!(o, Output::UpdateMedia(_, _, spec) if spec.payload_type == 8))
    );
    let pressed = |said: &Said| {
        said.outputs.iter().find_map(|output| match output {
            Output::Press(_, _, keys) => Some(keys.clone()),
            _ => None,
        })
    };
    assert_eq!(pressed(&said).as_deref(), Some("1w2"), "the prefix, behind the answer");
    assert_eq!(pressed(&bench.input(Input::Press(call, "9".to_owned()))).as_deref(), Some("9"));
    // The 200 again: its ACK was lost.
    assert_eq!(methods(&bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes())), ["ACK"]);
    let from = field(&invite, &HeaderName::From);
    let tag = from.split_once("tag=").expect("a tag").1;
    let bye = format!(
        "BYE sip:192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bKbye\r\nMax-Forwards: 70\r\nFrom: <sip:+442079460000@192.0.2.20:5062>;tag=t\r\nTo: <sip:x@192.0.2.10>;tag={tag}\r\nCall-ID: out1\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(bench.receive(bye.as_bytes()).codes(), [200]);
    let record = end(&mut bench, call);
    assert_eq!((record.direction, record.status, record.sip_code), ("outbound", Status::Completed, 200));
    assert_eq!((record.call_id.as_str(), record.sip_call_id.as_str()), ("call_1", "out1"));
    assert_eq!(
        (record.from.reveal().as_str(), record.to.reveal().as_str()),
        ("+14155550100", "+442079460000")
    );
    assert_eq!((record.ended_by, record.reason.as_str()), (crate::EndedBy::Callee, "the callee hung up"));
    assert_eq!(record.codec, Some("PCMA"));
}

pub(super) fn challenge(request: &Request, code: u16, realm: &str, more: &str) -> Vec<u8> {
    let mut refusal = response(request, code, "c", "");
    let name = if code == 401 { HeaderName::WwwAuthenticate } else { HeaderName::ProxyAuthenticate };
    refusal.headers.push(name, format!("Digest realm=\"{realm}\",nonce=\"n{more}\",qop=\"auth\"{more}"));
    refusal.to_bytes().to_vec()
}

#[test]
fn the_size_that_the_way_is_asked_for_covers_the_invite() {
    let mut bench = Bench::new();
    let call = place(&mut bench);
    let said = bench.input(Input::FlowFound(call, Member::FIRST, Err("refused".to_owned())));
    let asked = said.outputs.iter().find_map(|output| match output {
        Output::FindFlow { bytes, .. } => Some(*bytes),
        _ => None,
    });
    let asked = asked.expect("the next address");
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    let said = bench.receive(&challenge(&invite, 401, "carrier.example", ""));
    let sent = said.requests[1].to_bytes().len();
    assert!((sent..sent + 350).contains(&asked), "{sent} sent, {asked} expected");
}

#[test]
fn a_challenge_is_answered_once() {
    for (code, name) in [(401, HeaderName::Authorization), (407, HeaderName::ProxyAuthorization)] {
        let mut bench = Bench::new();
        let (call, invite) = ring(&mut bench);
        let said = bench.receive(&challenge(&invite, code, "carrier.example", ""));
        assert_eq!(methods(&said), ["ACK", "INVITE"]);
        let again = &said.requests[1];
        assert_eq!(again.cseq().map(|cseq| cseq.number), Some(2));
        let answer = field(again, &name);
        assert!(answer.contains("username=\"acme\"") && answer.contains("nc=00000001"), "{answer}");
        assert!(answer.contains("uri=\"sip:+442079460000@192.0.2.20:5062\""), "{answer}");
        assert!(!again.to_bytes().windows(6).any(|bytes| bytes == b"s3cret"));
        // The same again: the password is wrong.
        let said = bench.receive(&challenge(again, code, "carrier.example", ""));
        assert_eq!(methods(&said), ["ACK"]);
        let record = end(&mut bench, call);
        assert_eq!((record.sip_code, record.status), (code, Status::Failed));
    }
}

#[test]
fn another_realm_gets_nothing_and_an_old_nonce_one_more_try() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let said = bench.receive(&challenge(&invite, 401, "evil.example", ""));
    assert_eq!(methods(&said), ["ACK"]);
    assert_eq!(end(&mut bench, call).sip_code, 401);
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    let mut said = bench.receive(&challenge(&invite, 401, "carrier.example", ""));
    let second = said.requests.remove(1);
    let mut said = bench.receive(&challenge(&second, 401, "carrier.example", ",stale=true"));
    assert_eq!(methods(&said), ["ACK", "INVITE"]);
    let third = said.requests.remove(1);
    let said = bench.receive(&challenge(&third, 401, "carrier.example", ",stale=true"));
    assert_eq!(methods(&said), ["ACK"], "not for ever");
}

#[test]
fn our_bye_is_signed_and_a_caller_that_challenges_gets_nothing() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let mut said = bench.receive(&challenge(&invite, 401, "carrier.example", ""));
    let again = said.requests.remove(1);
    bench.receive(&response(&again, 200, "t", ANSWER).to_bytes());
    let said = bench.input(Input::HangUp(call));
    assert_eq!(methods(&said), ["BYE"]);
    assert!(field(&said.requests[0], &HeaderName::Authorization).contains("nc=00000002"));
    // A call that came in by a trunk without credentials has no account, whoever asks.
    let mut bench = Bench::new();
    let (call, _) = bench.talk("a", "+14155550100");
    let bye = bench.input(Input::HangUp(call)).requests.remove(0);
    let said = bench.receive(&challenge(&bye, 401, "carrier.example", ""));
    assert!(said.requests.is_empty());
}

#[test]
fn a_reliable_ringing_is_acknowledged_once_for_each_branch() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let reliable = |tag: &str, rseq: u32, sdp: &str| {
        let mut ringing = response(&invite, 183, tag, sdp);
        ringing.headers.push(HeaderName::Require, "100rel");
        ringing.headers.push(HeaderName::RSeq, rseq.to_string());
        ringing.to_bytes()
    };
    let said = bench.receive(&reliable("a", 9, ANSWER));
    assert_eq!(methods(&said), ["PRACK"]);
    assert_eq!(field(&said.requests[0], &HeaderName::RAck), "9 1 INVITE");
    assert!(field(&said.requests[0], &HeaderName::To).ends_with(";tag=a"));
    assert!(said.outputs.iter().any(|o| matches!(o, Output::UpdateMedia(..))), "early media is agreed on");
    assert!(bench.receive(&reliable("a", 9, ANSWER)).requests.is_empty(), "a copy");
    assert!(bench.receive(&reliable("a", 11, "")).requests.is_empty(), "one before it is missing");
    assert_eq!(methods(&bench.receive(&reliable("a", 10, ""))), ["PRACK"]);
    let said = bench.receive(&reliable("b", 3, ""));
    assert_eq!(field(&said.requests[0], &HeaderName::RAck), "3 1 INVITE");
    assert!(field(&said.requests[0], &HeaderName::To).ends_with(";tag=b"), "another branch of a fork");
    // One branch wins without a body of its own; the other's answer comes too late.
    let said = bench.receive(&response(&invite, 200, "a", "").to_bytes());
    assert!(methods(&said) == ["ACK"] && starts(&said));
    let said = bench.receive(&response(&invite, 200, "b", ANSWER).to_bytes());
    assert_eq!(methods(&said), ["ACK", "BYE"]);
    assert!(said.requests.iter().all(|request| field(request, &HeaderName::To).ends_with(";tag=b")));
    bench.input(Input::HangUp(call));
}

#[test]
fn a_prack_that_is_challenged_goes_out_once_more() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let mut ringing = response(&invite, 183, "a", ANSWER);
    ringing.headers.push(HeaderName::Require, "100rel");
    ringing.headers.push(HeaderName::RSeq, "9");
    let said = bench.receive(&ringing.to_bytes());
    let said = bench.receive(&challenge(&said.requests[0], 407, "carrier.example", ""));
    assert_eq!(methods(&said), ["PRACK"]);
    let again = &said.requests[0];
    assert_eq!(
        (field(again, &HeaderName::RAck), again.cseq().map(|cseq| cseq.number)),
        ("9 1 INVITE".into(), Some(3))
    );
    assert!(field(again, &HeaderName::ProxyAuthorization).contains("username=\"acme\""));
    assert!(
        methods(&bench.receive(&challenge(again, 407, "carrier.example", ""))).is_empty(),
        "the password is wrong"
    );
    let said = bench.receive(&response(&invite, 200, "a", "").to_bytes());
    assert_eq!(methods(&said), ["ACK"]);
    bench.input(Input::HangUp(call));
}

#[test]
fn a_503_goes_to_the_next_address_and_a_busy_callee_does_not() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let said = bench.receive(&response(&invite, 503, "x", "").to_bytes());
    assert_eq!(methods(&said), ["ACK"]);
    let next = said.outputs.iter().find_map(|output| match output {
        Output::FindFlow { hop, skip, .. } => Some((hop.host.clone(), *skip)),
        _ => None,
    });
    assert_eq!(next, Some((trunkline_sip::Host::IpAddr([192, 0, 2, 30].into()), 0)));
    let mut said = bench.input(Input::FlowFound(call, Member::FIRST, Ok((flow("192.0.2.30:5060"), false))));
    let second = said.requests.remove(0);
    assert_eq!(said.targets, ["192.0.2.30:5060".parse().expect("address")]);
    assert_eq!(second.cseq().map(|cseq| cseq.number), Some(2));
    let said = bench.receive_from(&response(&second, 486, "y", "").to_bytes(), "192.0.2.30:5060");
    assert!(methods(&said) == ["ACK"] && !said.outputs.iter().any(|o| matches!(o, Output::FindFlow { .. })));
    let record = end(&mut bench, call);
    assert_eq!((record.status, record.sip_code), (Status::Busy, 486));
    assert_eq!(record.reason, "the callee's side refused: 486 Busy Here");
}

#[test]
fn a_trunk_that_cannot_be_reached_fails_the_call() {
    let mut bench = Bench::new();
    let call = place(&mut bench);
    let said = bench.input(Input::FlowFound(call, Member::FIRST, Err("refused".to_owned())));
    assert!(
        said.outputs.iter().any(|output| matches!(output, Output::FindFlow { .. })),
        "the second address"
    );
    bench.input(Input::FlowFound(call, Member::FIRST, Err("refused".to_owned())));
    let record = end(&mut bench, call);
    assert_eq!((record.status, record.sip_code), (Status::Failed, 503));
    assert!(record.reason.contains("trunk carrier cannot be reached: refused"), "{}", record.reason);
}

#[test]
fn a_call_that_is_given_up_is_cancelled_and_a_200_that_crosses_is_ended() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    assert!(bench.input(Input::HangUp(call)).requests.is_empty(), "not before a response");
    let mut said = bench.receive(&response(&invite, 180, "t", "").to_bytes());
    assert_eq!(methods(&said), ["CANCEL"]);
    let cancel = said.requests.remove(0);
    assert_eq!(cancel.via().and_then(|via| via.branch()), invite.via().and_then(|via| via.branch()));
    bench.receive(&reply::to(&cancel, 200, Some("t")).to_bytes());
    assert_eq!(methods(&bench.receive(&response(&invite, 487, "t", "").to_bytes())), ["ACK"]);
    let record = end(&mut bench, call);
    assert_eq!((record.status, record.reason.as_str()), (Status::Canceled, "hung up by request"));
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    bench.receive(&response(&invite, 180, "t", "").to_bytes());
    assert_eq!(methods(&bench.input(Input::HangUp(call))), ["CANCEL"]);
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(methods(&said), ["ACK", "BYE"]);
    assert!(!starts(&said));
    end(&mut bench, call);
}

#[test]
fn nobody_answers_in_time() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    bench.receive(&response(&invite, 180, "t", "").to_bytes());
    let said = bench.pass(Duration::from_secs(21));
    assert_eq!(methods(&said)[..1], ["CANCEL"]);
    bench.receive(&response(&invite, 487, "t", "").to_bytes());
    let record = end(&mut bench, call);
    assert_eq!((record.status, record.reason.as_str()), (Status::NoAnswer, "nobody answered in time"));
}

#[test]
fn a_session_that_is_too_short_for_the_callee_is_asked_for_anew() {
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    let mut refusal = response(&invite, 422, "x", "");
    refusal.headers.push(HeaderName::MinSe, "2000");
    let said = bench.receive(&refusal.to_bytes());
    assert_eq!(methods(&said), ["ACK", "INVITE"]);
    assert_eq!(field(&said.requests[1], &HeaderName::SessionExpires), "2000");
}

#[test]
fn an_outgoing_call_offers_keys_over_tls_and_takes_only_an_encrypted_answer() {
    let tables = TABLES.replace("auth_realm", "media_encryption = \"require\"\nauth_realm");
    for (transport, answer, outcome) in [
        (Transport::Udp, "", "no INVITE"),
        (Transport::Tls, ANSWER, "BYE"),
        (
            Transport::Tls,
            "RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n",
            "talks",
        ),
    ] {
        let mut bench = Bench::new();
        let call = place_by(&mut bench, tables.clone());
        let way = Flow { transport, ..flow("192.0.2.20:5062") };
        bench.input(Input::FlowFound(call, Member::FIRST, Ok((way, false))));
        bench.input(Input::MediaOpened(
            call,
            Member::FIRST,
            Some("192.0.2.10:10000".parse().expect("address")),
        ));
        let mut said = bench.input(Input::AgentConnected(call, Ok(())));
        if outcome == "no INVITE" {
            assert!(said.requests.is_empty());
            assert!(end(&mut bench, call).reason.contains("SRTP"));
            continue;
        }
        let invite = said.requests.remove(0);
        let offer = String::from_utf8_lossy(&invite.body).into_owned();
        assert!(
            offer.contains("RTP/SAVP") && offer.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80"),
            "{offer}"
        );
        let answer =
            if outcome == "talks" { ANSWER.replace("RTP/AVP 8\r\n", answer) } else { answer.to_owned() };
        let message = read::datagram(&response(&invite, 200, "t", &answer).to_bytes()).expect("a message");
        let said = bench.input(Input::Message(Box::new(message), way, None));
        let secured =
            said.outputs.iter().any(|o| matches!(o, Output::UpdateMedia(_, _, spec) if spec.srtp.is_some()));
        assert_eq!(starts(&said), outcome == "talks");
        assert_eq!(secured, outcome == "talks");
        assert_eq!(methods(&said).contains(&"BYE"), outcome == "BYE", "{:?}", methods(&said));
    }
}
