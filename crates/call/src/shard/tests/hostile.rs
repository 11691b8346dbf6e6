//! What a hostile peer sends: whatever it is, it is answered or dropped, costs nobody else anything, and
//! leaves nothing behind.

use super::*;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap_or(0)
    }
}

/// A copy with a few bytes changed, dropped or doubled.
fn mutated(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(copy.len());
        match dice.below(4) {
            0 => copy[at] = u8::try_from(dice.below(256)).unwrap_or(0),
            1 => copy.truncate(at + 1),
            2 => copy.extend_from_within(at..(at + dice.below(64)).min(bytes.len()).min(copy.len()).max(at)),
            _ => copy[at] = b":;,<>\"\r\n =@%\0"[dice.below(13)],
        }
    }
    copy
}

/// That calls come in as ever, and that nothing is left once they are ended.
fn goes_on(bench: &mut Bench, what: &str) {
    let after = bench.receive(invite("after", "+14155550100", "").as_bytes());
    assert_eq!(after.codes(), [100, 180], "{what}");
    bench.input(Input::EndAll);
    bench.pass(Duration::from_secs(300));
    assert!(bench.shard.is_idle(), "{what} leaves something behind");
}

#[test]
fn cuts_and_mutations_of_every_message_leave_nothing_behind() {
    let mut dice = Dice(20_260_101);
    for (name, _) in TORTURE {
        let message = torture_message(name);
        let mut bench = Bench::new();
        let cuts = (0..message.len()).map(|end| message[..end].to_vec()).collect::<Vec<_>>();
        let changed = (0..330).map(|_| mutated(&message, &mut dice)).collect::<Vec<_>>();
        for bytes in cuts.iter().chain(&changed) {
            // Our own fault would be a 500 here.
            assert!(!bench.receive(bytes).codes().contains(&500), "{name}: {}", bytes.escape_ascii());
        }
        goes_on(&mut bench, name);
    }
}

#[test]
fn a_description_of_any_bytes_is_taken_or_refused_and_never_our_fault() {
    let full = format!(
        "{SDP}a=rtpmap:0 PCMU/8000\r\na=rtcp:4001 IN IP4 192.0.2.20\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\na=ptime:20\r\nm=video 0 RTP/AVP 31\r\n"
    );
    let mut dice = Dice(4_566);
    let mut bench = Bench::new();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..2_000 {
        let body = mutated(full.as_bytes(), &mut dice);
        let head = invite(&format!("sdp{n}"), "+14155550100", "");
        let (head, _) = head.split_once("Content-Length").expect("a length");
        let mut bytes = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend(body);
        let code = *bench.receive(&bytes).codes().last().expect("an answer");
        assert!(code < 500, "{code}: {}", bytes.escape_ascii());
        seen.insert(code);
    }
    assert!(seen.contains(&180) && seen.contains(&488), "both ways out were taken: {seen:?}");
    goes_on(&mut bench, "descriptions");
}

#[test]
fn a_route_that_the_caller_wrote_leads_nowhere() {
    let mut bench = Bench::new();
    let route = "Route: <sip:203.0.113.66;lr>\r\nRoute: <sip:victim.example;lr>\r\n";
    let said = bench.receive(invite("r", "+14155550100", route).as_bytes());
    let call = said.call();
    bench.input(Input::MediaOpened(call, Member::FIRST, "192.0.2.10:10000".parse().ok()));
    bench.input(Input::AgentConnected(call, Ok(())));
    bench.input(Input::HangUp(call));
    let said = bench.pass(Duration::from_secs(40));
    assert!(!said.requests.is_empty(), "our BYE, once the ACK has not come");
    for request in &said.requests {
        assert_eq!(request.method.as_str(), "BYE");
        assert!(request.headers.text(&trunkline_sip::HeaderName::Route).is_none(), "{request:?}");
        assert!(request.target.contains("192.0.2.20"), "{}", request.target);
    }
}

#[test]
fn a_stranger_gets_one_short_answer_and_no_copies_of_it() {
    for via in
        ["192.0.2.66:5060", "203.0.113.9:5060;received=198.51.100.66", "203.0.113.9;maddr=198.51.100.66"]
    {
        let mut bench = Bench::with(UnknownPeers::Reject);
        let asked =
            invite("s", "+14155550100", "").replace("192.0.2.20:5062;branch", &format!("{via};branch"));
        let message = match read::datagram(&Bytes::from(asked.clone())) {
            Ok(message) => message,
            Err(garbage) => panic!("{garbage}"),
        };
        let flow = Flow {
            transport: Transport::Udp,
            local: "192.0.2.10:5060".parse().expect("address"),
            remote: "203.0.113.9:5060".parse().expect("address"),
            connection: None,
        };
        bench.shard.handle(Input::Message(Box::new(message), flow, None), bench.moment());
        let mut answers = Vec::new();
        while let Some(output) = bench.shard.poll_output() {
            if let Output::Transmit(transmit) = output {
                answers.push(transmit);
            }
        }
        assert_eq!(answers.len(), 1, "{via}");
        assert!(answers[0].payload.len() <= 2 * asked.len(), "{via}: no amplifier");
        let to_source = matches!(&answers[0].target, Target::Flow { flow, .. } if flow.remote.ip() == std::net::IpAddr::from([203, 0, 113, 9]));
        assert!(to_source, "{via}: answered to the source only");
        assert!(bench.pass(Duration::from_secs(64)).responses.is_empty(), "{via}: said once");
        assert!(bench.shard.is_idle());
    }
}

/// A carrier's requests may come by another of its proxies than the INVITE did, so a dialog is known by its
/// tags, ours of which nobody can guess, and not by an address.
#[test]
fn from_another_address_only_who_knows_the_tags_is_heard() {
    let mut bench = Bench::new();
    let (_, tag) = bench.talk("a", "+14155550100");
    for method in ["BYE", "CANCEL", "UPDATE", "INVITE", "INFO", "REFER"] {
        let guessed = in_dialog("a", method, 7, "guessed", "", "").replace("z9hG4bK", "z9hG4bKx");
        let said = bench.receive_from(guessed.as_bytes(), "203.0.113.9:5060");
        let codes = said.codes();
        assert!(said.outputs.is_empty() && codes.iter().all(|code| *code >= 400), "{method} {codes:?}");
        assert_eq!(bench.shard.active_calls(), 1, "{method}");
    }
    let bye = in_dialog("a", "BYE", 8, &tag, "", "").replace("z9hG4bK", "z9hG4bKy");
    assert_eq!(bench.receive_from(bye.as_bytes(), "203.0.113.9:5060").codes(), [200]);
}

#[test]
fn a_storm_inside_a_call_is_answered_request_by_request_and_ends_with_it() {
    let mut bench = Bench::new();
    let (call, tag) = bench.talk("a", "+14155550100");
    let kind = "Content-Type: application/sdp\r\n";
    let (mut asked, mut answered) = (0, 0);
    for cseq in 2..502 {
        for method in ["INVITE", "NOTIFY", "OPTIONS"] {
            let body = if method == "INVITE" { SDP } else { "" };
            let fields = if body.is_empty() { "" } else { kind };
            let said =
                bench.receive(in_dialog("a", method, cseq * 3 + asked % 3, &tag, fields, body).as_bytes());
            asked += 1;
            answered += u32::try_from(said.codes().len()).unwrap_or(u32::MAX);
            assert!(said.requests.is_empty(), "it provokes nothing: {method}");
        }
        bench.pass(Duration::from_millis(10));
    }
    assert!(answered <= asked + 10, "{answered} answers to {asked} requests");
    let said = bench.receive(in_dialog("a", "BYE", 5_000, &tag, "", "").as_bytes());
    assert_eq!(said.codes(), [200], "a BYE in the midst of a re-INVITE");
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    bench.pass(Duration::from_secs(100));
    assert!(bench.shard.is_idle());
}
