//! Ladders of calls that we place: forks, challenges, redirections, session timers, identities.

use trunkline_sip::{HeaderName, Host, Request, reply};

use super::ladders::{KIND, address, body_of, updates};
use super::outgoing::{ANSWER, end, field, flow, methods, response, ring, ring_by, starts};
use super::*;
use crate::Status;

/// A request of the callee inside the dialog of that tag.
fn from_callee(invite: &Request, method: &str, cseq: u32, tag: &str, more: &str, body: &str) -> Vec<u8> {
    let from = field(invite, &HeaderName::From);
    let call_id = field(invite, &HeaderName::CallId);
    format!(
        "{method} sip:192.0.2.10:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bK{tag}{method}{cseq}\r\nMax-Forwards: 70\r\nFrom: {};tag={tag}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:callee@192.0.2.20:5062>\r\n{more}Content-Length: {}\r\n\r\n{body}",
        field(invite, &HeaderName::To),
        body.len()
    )
    .into_bytes()
}

fn reliable(invite: &Request, code: u16, tag: &str, rseq: u32, sdp: &str) -> Vec<u8> {
    let mut ringing = response(invite, code, tag, sdp);
    ringing.headers.push(HeaderName::Require, "100rel");
    ringing.headers.push(HeaderName::RSeq, rseq.to_string());
    ringing.to_bytes().to_vec()
}

/// The same description with another port.
fn at_port(port: u16) -> String {
    ANSWER.replace("m=audio 4000", &format!("m=audio {port}"))
}

fn media_port(said: &Said) -> Option<u16> {
    updates(said).last().and_then(|spec| spec.remote).map(|remote| remote.port())
}

#[test]
fn forks_ring_side_by_side_and_the_winner_is_heard() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    for (tag, rseq, port) in [("a", 1, 4100), ("b", 77, 4200)] {
        let said = bench.receive(&reliable(&invite, 183, tag, rseq, &at_port(port)));
        assert_eq!((methods(&said), media_port(&said)), (vec!["PRACK"], Some(port)));
    }
    // Both live: each answers for itself, under its own tag.
    for tag in ["a", "b"] {
        let said = bench.receive(&from_callee(&invite, "OPTIONS", 5, tag, "", ""));
        assert_eq!(said.codes(), [200], "{tag}");
    }
    let foreign = bench.receive(&from_callee(&invite, "OPTIONS", 5, "z", "", ""));
    assert_eq!(foreign.codes(), [481]);
    let early = bench.receive(&from_callee(&invite, "BYE", 6, "a", "", ""));
    assert_eq!(early.codes(), [481], "a callee refuses, it does not hang up");
    // The first one wins. What its 200 describes is old: the answer was the 183's.
    let said = bench.receive(&response(&invite, 200, "a", &at_port(4999)).to_bytes());
    assert_eq!((methods(&said), media_port(&said)), (vec!["ACK"], Some(4100)));
    assert!(starts(&said));
    assert_eq!(bench.receive(&from_callee(&invite, "OPTIONS", 7, "b", "", "")).codes(), [481]);
    let late = bench.receive(&response(&invite, 200, "b", ANSWER).to_bytes());
    assert_eq!(methods(&late), ["ACK", "BYE"]);
    let bye = bench.input(Input::HangUp(call)).requests.remove(0);
    assert!(field(&bye, &HeaderName::To).ends_with(";tag=a"));
    // Two PRACKs went before it, and the loser's BYE has a dialog of its own.
    assert_eq!(bye.cseq().map(|cseq| cseq.number), Some(4));
}

#[test]
fn a_branch_that_ends_is_forgotten_and_the_others_go_on() {
    // RFC 6228.
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    bench.receive(&response(&invite, 180, "a", "").to_bytes());
    assert_eq!(bench.receive(&from_callee(&invite, "OPTIONS", 5, "a", "", "")).codes(), [200]);
    bench.receive(&response(&invite, 199, "a", "").to_bytes());
    assert_eq!(bench.receive(&from_callee(&invite, "OPTIONS", 6, "a", "", "")).codes(), [481]);
    assert_eq!(methods(&bench.receive(&response(&invite, 200, "b", ANSWER).to_bytes())), ["ACK"]);
}

#[test]
fn forks_without_end_are_not_kept() {
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    let pracks: usize =
        (0..40).map(|i| bench.receive(&reliable(&invite, 183, &format!("f{i}"), 1, "")).requests.len()).sum();
    assert_eq!(pracks, 8);
    assert_eq!(methods(&bench.receive(&response(&invite, 200, "f39", ANSWER).to_bytes())), ["ACK"]);
}

#[test]
fn a_callee_changes_its_media_while_it_rings() {
    // RFC 3311 §5.2: not while our own offer is open.
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    bench.receive(&response(&invite, 180, "a", "").to_bytes());
    let update = |cseq, port| from_callee(&invite, "UPDATE", cseq, "a", KIND, &at_port(port));
    assert_eq!(bench.receive(&update(1, 4300)).codes(), [491]);
    assert_eq!(bench.receive(&from_callee(&invite, "UPDATE", 2, "a", "", "")).codes(), [200], "no offer");
    bench.receive(&reliable(&invite, 183, "a", 1, ANSWER));
    let said = bench.receive(&update(3, 4300));
    assert_eq!((said.codes(), media_port(&said)), (vec![200], Some(4300)));
    assert!(body_of(&said.responses[0]).contains("m=audio 10000"));
    let reinvite = bench.receive(&from_callee(&invite, "INVITE", 4, "a", KIND, ANSWER));
    assert_eq!(reinvite.codes(), [491], "RFC 3261 §14.2");
    bench.receive(&from_callee(&invite, "ACK", 4, "a", "", ""));
    let said = bench.receive(&response(&invite, 200, "a", ANSWER).to_bytes());
    assert!(methods(&said) == ["ACK"] && starts(&said));
    assert!(updates(&said).is_empty(), "what the UPDATE agreed on stays");
    assert_eq!(bench.receive(&from_callee(&invite, "BYE", 9, "a", "", "")).codes(), [200]);
    end(&mut bench, call);
}

#[test]
fn early_media_of_an_unreliable_183_is_answered_by_the_200() {
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    assert_eq!(
        media_port(&bench.receive(&response(&invite, 183, "a", &at_port(4100)).to_bytes())),
        Some(4100)
    );
    let said = bench.receive(&response(&invite, 200, "a", &at_port(4200)).to_bytes());
    assert_eq!(media_port(&said), Some(4200), "the first answer that arrives reliably is the 200's");
    // Without one in the 200 it is what the winner said, not who spoke last.
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    for (tag, port) in [("a", 4100), ("b", 4200)] {
        bench.receive(&response(&invite, 183, tag, &at_port(port)).to_bytes());
    }
    let said = bench.receive(&response(&invite, 200, "a", "").to_bytes());
    assert_eq!((media_port(&said), starts(&said)), (Some(4100), true));
}

fn challenged(request: &Request, code: u16, values: &[(&str, &str)]) -> Vec<u8> {
    let mut refusal = response(request, code, "c", "");
    for (name, value) in values {
        refusal.headers.push(HeaderName::from_token(name), (*value).to_owned());
    }
    refusal.to_bytes().to_vec()
}

#[test]
fn a_proxy_and_the_server_behind_it_both_ask() {
    // RFC 3261 §22.3.
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    let proxy = "Digest realm=\"carrier.example\",nonce=\"p\",qop=\"auth\"";
    let mut said = bench.receive(&challenged(&invite, 407, &[("Proxy-Authenticate", proxy)]));
    let second = said.requests.remove(1);
    let server = "Digest realm=\"carrier.example\",nonce=\"s\",qop=\"auth\",algorithm=SHA-256";
    let mut said = bench.receive(&challenged(&second, 401, &[("WWW-Authenticate", server)]));
    assert_eq!(methods(&said), ["ACK", "INVITE"]);
    let third = said.requests.remove(1);
    let (proxy, server) =
        (field(&third, &HeaderName::ProxyAuthorization), field(&third, &HeaderName::Authorization));
    assert!(proxy.contains("nonce=\"p\"") && proxy.contains("nc=00000002"), "{proxy}");
    assert!(server.contains("nonce=\"s\"") && server.contains("algorithm=SHA-256"), "{server}");
    let again = "Digest realm=\"carrier.example\",nonce=\"s2\",qop=\"auth\"";
    let said = bench.receive(&challenged(&third, 401, &[("WWW-Authenticate", again)]));
    assert_eq!(methods(&said), ["ACK"], "one retry each");
}

#[test]
fn of_several_challenges_the_strongest_of_our_realm_is_answered() {
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    let said = bench.receive(&challenged(
        &invite,
        401,
        &[
            ("WWW-Authenticate", "Digest realm=\"carrier.example\",nonce=\"1\",qop=\"auth\",algorithm=MD5"),
            ("WWW-Authenticate", "Digest realm=\"evil.example\",nonce=\"2\",algorithm=SHA-512-256"),
            (
                "WWW-Authenticate",
                "Digest realm=\"carrier.example\",nonce=\"3\",qop=\"auth-int\",algorithm=SHA-512-256-sess",
            ),
        ],
    ));
    let answer = field(&said.requests[1], &HeaderName::Authorization);
    assert!(answer.contains("nonce=\"3\"") && answer.contains("qop=auth-int"), "{answer}");
    assert!(answer.contains("algorithm=SHA-512-256-sess"), "{answer}");
}

#[test]
fn the_next_address_is_not_shown_what_the_first_one_asked_for() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let asks = "Digest realm=\"carrier.example\",nonce=\"1\",qop=\"auth\"";
    let mut said = bench.receive(&challenged(&invite, 401, &[("WWW-Authenticate", asks)]));
    let second = said.requests.remove(1);
    bench.receive(&response(&second, 503, "x", "").to_bytes());
    let third = bench
        .input(Input::FlowFound(call, Member::FIRST, Ok((flow("192.0.2.30:5060"), false))))
        .requests
        .remove(0);
    assert_eq!(field(&third, &HeaderName::Authorization), "");
    assert_eq!(third.target, "sip:+442079460000@192.0.2.30", "it is asked by its own name");
    let said = bench.receive_from(&challenged(&third, 401, &[("WWW-Authenticate", asks)]), "192.0.2.30:5060");
    assert_eq!(methods(&said), ["ACK", "INVITE"], "and may ask itself");
}

const REDIRECTS: &str = "follow_redirects = true\n[[agent]]";

fn moved(request: &Request, contacts: &str) -> Vec<u8> {
    let mut refusal = reply::to(request, 302, Some("m"));
    refusal.headers.push(HeaderName::Contact, contacts.to_owned());
    refusal.to_bytes().to_vec()
}

fn sought(said: &Said) -> Option<Hop> {
    said.outputs.iter().find_map(|output| match output {
        Output::FindFlow { hop, .. } => Some(hop.clone()),
        _ => None,
    })
}

#[test]
fn a_redirection_is_not_followed_unless_the_trunk_says_so() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let said = bench.receive(&moved(&invite, "<sip:+442079460001@192.0.2.30>"));
    assert_eq!((methods(&said), sought(&said)), (vec!["ACK"], None));
    let record = end(&mut bench, call);
    assert_eq!((record.sip_code, record.status), (302, Status::of_code(302)));
}

#[test]
fn redirections_are_followed_to_hosts_of_the_trunk_only() {
    let mut bench = Bench::new();
    let (call, invite) = ring_by(&mut bench, |tables| tables.replacen("[[agent]]", REDIRECTS, 1));
    // The strange host comes first by its q, the other of the trunk's hosts second; the own one last.
    let contacts = "<sip:+442079460002@192.0.2.20:5062>;q=0.1, <sip:+442079460001@203.0.113.66>, \
         <sip:desk@192.0.2.30:5090?X=y>;q=0.7, <sip:x@192.0.2.30;maddr=203.0.113.66>, <tel:+442079460009>";
    let said = bench.receive(&moved(&invite, contacts));
    let hop = sought(&said).expect("followed");
    assert_eq!((hop.host, hop.port), (Host::IpAddr([192, 0, 2, 30].into()), Some(5090)));
    let second = bench
        .input(Input::FlowFound(call, Member::FIRST, Ok((flow("192.0.2.30:5090"), false))))
        .requests
        .remove(0);
    assert_eq!(second.target, "sip:desk@192.0.2.30:5090");
    for name in [HeaderName::CallId, HeaderName::From, HeaderName::To] {
        assert_eq!(field(&second, &name), field(&invite, &name));
    }
    // Nobody there: the next contact.
    let said = bench.receive_from(&response(&second, 503, "x", "").to_bytes(), "192.0.2.30:5090");
    let hop = sought(&said).expect("the next contact");
    assert_eq!((hop.host, hop.port), (Host::IpAddr([192, 0, 2, 20].into()), Some(5062)));
    let third = bench
        .input(Input::FlowFound(call, Member::FIRST, Ok((flow("192.0.2.20:5062"), false))))
        .requests
        .remove(0);
    assert_eq!(third.target, "sip:+442079460002@192.0.2.20:5062");
    assert_eq!(methods(&bench.receive(&response(&third, 200, "t", ANSWER).to_bytes())), ["ACK"]);
    assert_eq!(methods(&bench.input(Input::HangUp(call))), ["BYE"]);
}

#[test]
fn redirections_in_a_circle_or_to_costly_numbers_end() {
    let redirected = |contact: &dyn Fn(usize) -> String| {
        let mut bench = Bench::new();
        let (call, mut invite) = ring_by(&mut bench, |tables| tables.replacen("[[agent]]", REDIRECTS, 1));
        for followed in 0..20 {
            let said = bench.receive(&moved(&invite, &contact(followed)));
            let Some(hop) = sought(&said).filter(|hop| hop.port == Some(5062)) else {
                return followed;
            };
            assert_eq!(hop.host, Host::IpAddr([192, 0, 2, 20].into()));
            let mut said =
                bench.input(Input::FlowFound(call, Member::FIRST, Ok((flow("192.0.2.20:5062"), false))));
            invite = said.requests.remove(0);
        }
        panic!("followed for ever");
    };
    assert_eq!(redirected(&|n| format!("<sip:desk{n}@192.0.2.20:5062>")), 5);
    assert_eq!(redirected(&|_| "<sip:same@192.0.2.20:5062>".to_owned()), 1);
    assert_eq!(redirected(&|_| "<sip:+19002345678@192.0.2.20:5062>".to_owned()), 0, "premium");
    assert_eq!(redirected(&|_| "<sip:911@192.0.2.20:5062>".to_owned()), 0, "an emergency number");
}

#[test]
fn who_calls_is_shown_asserted_or_hidden_as_the_trunk_says() {
    let told = |keys: &str| {
        let mut bench = Bench::new();
        let (_, invite) =
            ring_by(&mut bench, |tables| tables.replacen("[[agent]]", &format!("{keys}\n[[agent]]"), 1));
        let from = field(&invite, &HeaderName::From).split(";tag=").next().unwrap_or_default().to_owned();
        (from, field(&invite, &HeaderName::PAssertedIdentity), field(&invite, &HeaderName::Privacy))
    };
    let told_as = |from: &str, asserted: &str, privacy: &str| {
        (from.to_owned(), asserted.to_owned(), privacy.to_owned())
    };
    let (ours, nobody) = ("<sip:+14155550100@192.0.2.10>", "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
    assert_eq!(told(""), told_as(ours, "", ""));
    assert_eq!(told("asserted_identity = true"), told_as(ours, ours, ""));
    assert_eq!(told("privacy = \"id\""), told_as(nobody, "", "id"));
    assert_eq!(told("asserted_identity = true\nprivacy = \"id\""), told_as(nobody, ours, "id"));
}

#[test]
fn a_callee_imposes_a_session_timer_and_whoever_it_names_refreshes() {
    for (imposed, refreshed) in [("200;refresher=uac", true), ("200", true), ("200;refresher=uas", false)] {
        let mut bench = Bench::new();
        let (_, invite) = ring(&mut bench);
        assert_eq!(field(&invite, &HeaderName::SessionExpires), "1800");
        let mut ok = response(&invite, 200, "t", ANSWER);
        ok.headers.push(HeaderName::SessionExpires, imposed);
        ok.headers.push(HeaderName::Allow, "INVITE, UPDATE");
        bench.receive(&ok.to_bytes());
        let sent = bench.pass(Duration::from_secs(100));
        assert_eq!(methods(&sent), if refreshed { vec!["UPDATE"] } else { vec![] }, "{imposed}");
        if !refreshed {
            // The callee's refresh starts the time anew; without one the call ends 32 s before it is over.
            let update = from_callee(
                &invite,
                "UPDATE",
                1,
                "t",
                "Supported: timer\r\nSession-Expires: 200;refresher=uac\r\n",
                "",
            );
            let said = bench.receive(&update);
            assert_eq!(said.codes(), [200]);
            let told = said.responses[0].headers.text(&HeaderName::SessionExpires).map(|t| t.into_owned());
            assert_eq!(told.as_deref(), Some("200;refresher=uac"));
            assert!(bench.pass(Duration::from_secs(167)).requests.is_empty());
            assert_eq!(methods(&bench.pass(Duration::from_secs(2)))[..1], ["BYE"]);
        }
    }
    // One that wants none gets none.
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert!(bench.pass(Duration::from_secs(3000)).requests.is_empty());
}

#[test]
fn a_second_422_is_the_last() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let too_short = |request: &Request, seconds: &str| {
        let mut refusal = response(request, 422, "x", "");
        refusal.headers.push(HeaderName::MinSe, seconds.to_owned());
        refusal.to_bytes()
    };
    let mut said = bench.receive(&too_short(&invite, "3600"));
    let second = said.requests.remove(1);
    assert_eq!(field(&second, &HeaderName::SessionExpires), "3600");
    assert_eq!(field(&second, &HeaderName::MinSe), "3600");
    assert_eq!(methods(&bench.receive(&too_short(&second, "7200"))), ["ACK"]);
    assert_eq!(end(&mut bench, call).sip_code, 422);
}

/// When a refresh that met the peer's own comes again, in seconds.
fn comes_again(bench: &mut Bench, refresh: &Request) -> Duration {
    bench.receive(&reply::to(refresh, 491, None).to_bytes());
    let before = bench.now;
    for _ in 0..1000 {
        if !bench.pass(Duration::from_millis(10)).requests.is_empty() {
            return bench.now - before;
        }
    }
    panic!("it never comes again");
}

#[test]
fn after_a_glare_who_owns_the_call_id_waits_longer() {
    // RFC 3261 §14.1: 2.1 to 4 s, the other side up to 2 s.
    let (longer, shorter) = (Duration::from_millis(2100), Duration::from_millis(2010));
    let mut bench = Bench::new();
    let (_, invite) = ring(&mut bench);
    let mut ok = response(&invite, 200, "t", ANSWER);
    ok.headers.push(HeaderName::SessionExpires, "200;refresher=uac");
    ok.headers.push(HeaderName::Allow, "UPDATE");
    bench.receive(&ok.to_bytes());
    let refresh = bench.pass(Duration::from_secs(100)).requests.remove(0);
    let crossing = bench.receive(&from_callee(&invite, "UPDATE", 1, "t", KIND, ANSWER));
    assert_eq!(crossing.codes(), [491], "theirs meets ours");
    let wait = comes_again(&mut bench, &refresh);
    assert!(wait >= longer && wait <= Duration::from_millis(4010), "{wait:?}");
    let mut bench = Bench::new();
    let call =
        bench.receive(invite_with("Session-Expires: 200\r\nAllow: INVITE, UPDATE\r\n").as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = said.responses[0].to().and_then(|to| to.tag()).expect("a tag").to_owned();
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    let refresh = bench.pass(Duration::from_secs(100)).requests.remove(0);
    let wait = comes_again(&mut bench, &refresh);
    assert!(wait <= shorter, "{wait:?}");
}

fn invite_with(more: &str) -> String {
    invite("a", "+14155550100", more)
}

#[test]
fn a_cancel_that_crosses_every_answer_leaves_nothing() {
    for (before, code, expected) in [
        (None, 200, vec!["ACK", "BYE"]),
        (None, 486, vec!["ACK"]),
        (Some(180), 200, vec!["ACK", "BYE"]),
        (Some(180), 486, vec!["ACK"]),
        (Some(180), 487, vec!["ACK"]),
    ] {
        let mut bench = Bench::new();
        let (call, invite) = ring(&mut bench);
        if let Some(code) = before {
            bench.receive(&response(&invite, code, "t", "").to_bytes());
        }
        let said = bench.input(Input::HangUp(call));
        assert_eq!(methods(&said), if before.is_some() { vec!["CANCEL"] } else { vec![] });
        if let Some(cancel) = said.requests.first() {
            // Its INVITE was answered meanwhile: 481 changes nothing.
            bench.receive(&reply::to(cancel, 481, Some("t")).to_bytes());
        }
        let said = bench.receive(&response(&invite, code, "t", ANSWER).to_bytes());
        assert_eq!(methods(&said), expected, "{before:?} {code}");
        if code == 200 {
            bench.receive(&reply::to(&said.requests[1], 200, None).to_bytes());
        }
        assert_eq!(end(&mut bench, call).status, Status::Canceled);
    }
}
