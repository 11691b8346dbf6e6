use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use trunkline_routing::{Source, UnknownPeers, load};
use trunkline_sdp::Codec;
use trunkline_signalling::Timers;
use trunkline_signalling::dialog::InDialogPolicy;
use trunkline_sip::{Flow, Hop, Message, Response, Target, Transport, read};

use super::*;
use crate::{Advertised, MediaStats, Spread};

mod accounts;
mod asks;
mod dialogs;
mod encryption;
mod floor;
mod hostile;
mod ladders;
mod mishaps;
mod outgoing;
mod placed;
mod reconnect;
mod replaced;
mod sip_agent;
mod transfers;
mod trunks;

const TABLE: &str = "[[trunk]]\nname = \"t\"\naddress = \"sbc.example.com\"\nallowed_addresses = [\"192.0.2.0/24\"]\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n[[number]]\nnumber = \"+14155550101\"\ninbound = \"echo\"\n[[number]]\nnumber = \"+14155550102\"\n";

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

struct Bench {
    shard: Shard,
    now: Duration,
}

/// What a shard said at one step: its responses, its requests' methods, its other outputs.
#[derive(Default)]
struct Said {
    responses: Vec<Response>,
    requests: Vec<trunkline_sip::Request>,
    targets: Vec<SocketAddr>,
    fallbacks: Vec<Option<Hop>>,
    outputs: Vec<Output>,
}

impl Said {
    fn codes(&self) -> Vec<u16> {
        self.responses.iter().map(Response::code).collect()
    }

    fn call(&self) -> CallHandle {
        let began = self.outputs.iter().find_map(|output| match output {
            Output::Began(call, _) => Some(*call),
            _ => None,
        });
        began.expect("a call began")
    }

    fn record(&self) -> &crate::CallRecord {
        let ended = self.outputs.iter().find_map(|output| match output {
            Output::Ended(record) => Some(record),
            _ => None,
        });
        ended.expect("a call ended")
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(UnknownPeers::Drop)
    }

    fn with(unknown_peers: UnknownPeers) -> Self {
        Self::with_policy(unknown_peers, InDialogPolicy::default())
    }

    fn with_policy(unknown_peers: UnknownPeers, in_dialog: InDialogPolicy) -> Self {
        let source = Source { name: "t".to_owned(), text: TABLE.to_owned() };
        let (table, _) = load(&[source], None).expect("loads");
        let config = ShardConfig {
            shard: 3,
            spread: Spread::over(1, KeyedHash::new((1, 2))),
            key: (1, 2),
            key_seed: trunkline_sdp::KeySeed::new([9; 32]),
            timers: Timers::default(),
            advertised: Advertised::default(),
            challenger: Default::default(),
            own_addresses: ["198.51.100.10".parse().expect("address")].into(),
            media_addresses: ["198.51.100.10".parse().expect("address")].into(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            unknown_peers,
            in_dialog,
            edge_timeout: Duration::from_secs(5),
        };
        Self { shard: Shard::new(config, Arc::new(table)), now: Duration::from_secs(1) }
    }

    /// The policies, before the first call.
    fn config(&mut self) -> &mut ShardConfig {
        Arc::get_mut(&mut self.shard.config).expect("no call holds it")
    }

    fn moment(&self) -> Now {
        Now { mono: Mono(self.now), utc: self.now }
    }

    fn input(&mut self, input: Input) -> Said {
        self.shard.handle(input, self.moment());
        self.said()
    }

    fn said(&mut self) -> Said {
        let mut said = Said::default();
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    match transmit.target {
                        Target::Flow { flow, fallback } => {
                            said.targets.push(flow.remote);
                            said.fallbacks.push(fallback);
                        }
                        Target::Hop(hop) => said.fallbacks.push(Some(hop)),
                    }
                    match read::datagram(&transmit.payload) {
                        Ok(Message::Response(response)) => said.responses.push(response),
                        Ok(Message::Request(request)) => said.requests.push(request),
                        Err(garbage) => panic!("we sent garbage: {garbage}"),
                    }
                }
                other => said.outputs.push(other),
            }
        }
        said
    }

    fn receive(&mut self, text: &[u8]) -> Said {
        self.receive_from(text, "192.0.2.20:5062")
    }

    fn receive_from(&mut self, bytes: &[u8], remote: &str) -> Said {
        match read::datagram(&Bytes::copy_from_slice(bytes)) {
            Ok(message) => self.receive_message(message, remote, Transport::Udp),
            Err(_) => Said::default(),
        }
    }

    fn receive_message(&mut self, message: Message, remote: &str, transport: Transport) -> Said {
        let flow = Flow {
            transport,
            local: "192.0.2.10:5060".parse().expect("address"),
            remote: remote.parse().expect("address"),
            connection: (transport == Transport::Tcp).then_some(1),
        };
        self.input(Input::Message(Box::new(message), flow, None))
    }

    /// Lets time pass in steps of the timers.
    fn pass(&mut self, span: Duration) -> Said {
        let until = self.now + span;
        let mut all = Said::default();
        while let Some(at) = self.shard.poll_timeout().filter(|at| at.0 <= until) {
            self.now = self.now.max(at.0);
            let now = self.moment();
            self.shard.handle_timeout(now);
            let said = self.said();
            all.responses.extend(said.responses);
            all.requests.extend(said.requests);
            all.outputs.extend(said.outputs);
        }
        self.now = until;
        all
    }

    /// A call that was answered, its handle and our tag.
    fn talk(&mut self, id: &str, number: &str) -> (CallHandle, String) {
        let call = self.receive(invite(id, number, "").as_bytes()).call();
        self.input(Input::MediaOpened(
            call,
            Member::FIRST,
            Some("192.0.2.10:10000".parse().expect("address")),
        ));
        let said = self.input(Input::AgentConnected(call, Ok(())));
        assert_eq!(said.codes(), [200]);
        let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
        self.receive(in_dialog(id, "ACK", 1, &tag, "", "").as_bytes());
        (call, tag)
    }
}

fn invite(id: &str, number: &str, more: &str) -> String {
    format!(
        "INVITE sip:{number}@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\nFrom: <sip:+14155550199@192.0.2.20>;tag=f{id}\r\nTo: <sip:{number}@192.0.2.10>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@192.0.2.20:5062>\r\n{more}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
}

fn in_dialog(id: &str, method: &str, cseq: u32, tag: &str, more: &str, body: &str) -> String {
    format!(
        "{method} sip:192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bK{id}{method}{cseq}\r\nMax-Forwards: 70\r\nFrom: <sip:+14155550199@192.0.2.20>;tag=f{id}\r\nTo: <sip:x@192.0.2.10>;tag={tag}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:caller@192.0.2.20:5062>\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_call_from_invite_to_record() {
    let mut bench = Bench::new();
    let said = bench.receive(invite("a", "+14155550100", "").as_bytes());
    assert_eq!(said.codes(), [100, 180]);
    let call = said.call();
    assert_eq!(call.shard(), 3);
    bench.input(Input::AgentConnected(call, Ok(())));
    let said = bench.input(Input::MediaOpened(
        call,
        Member::FIRST,
        Some("192.0.2.10:10000".parse().expect("address")),
    ));
    assert_eq!(said.codes(), [200]);
    assert!(said.outputs.iter().any(|output| matches!(output, Output::StartRoom(_))));
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!(said.codes(), [200]);
    let said = bench.input(Input::RoomClosed(call, MediaStats::default()));
    assert_eq!((said.record().sip_code, said.record().reason.as_str()), (200, "the caller hung up"));
    bench.pass(Duration::from_secs(64));
    assert!(bench.shard.is_idle());
}

#[test]
fn a_panic_in_one_call_leaves_the_others_alone() {
    let mut bench = Bench::new();
    let (first, _) = bench.talk("a", "+14155550100");
    let (second, tag) = bench.talk("b", "+14155550101");
    let ringing = bench.receive(invite("c", "+14155550100", "").as_bytes()).call();
    bench.shard.plant_fault(|call| call.called().to_string() == "+14155550100");
    // A confirmed dialog ends with BYE, a ringing INVITE with 500, both with a record at once.
    let said = bench.input(Input::Room(first, crate::RoomEvent::NoMedia(trunkline_sdp::Member::FIRST)));
    assert_eq!(said.requests.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["BYE"]);
    assert_eq!((said.record().sip_call_id.as_str(), said.record().reason.as_str()), ("a", "internal error"));
    let said = bench.input(Input::AgentConnected(ringing, Ok(())));
    assert_eq!(said.codes(), [500]);
    assert_eq!((said.record().sip_call_id.as_str(), said.record().sip_code), ("c", 500));
    assert!(said.outputs.iter().any(|output| matches!(output, Output::CloseRoom(call) if *call == ringing)));
    let said = bench.receive(in_dialog("b", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!(said.codes(), [200]);
    let said = bench.input(Input::RoomClosed(second, MediaStats::default()));
    assert_eq!(said.record().sip_call_id, "b");
    bench.pass(Duration::from_secs(64));
    assert!(bench.shard.is_idle());
}

#[test]
fn a_panic_before_there_is_a_call_costs_that_invite_only() {
    let mut bench = Bench::new();
    bench.shard.request_fault = Some(|request| request.target.starts_with("sip:+14155550100@"));
    let said = bench.receive(invite("a", "+14155550100", "").as_bytes());
    assert_eq!(said.codes(), [500]);
    let told = |output: &Output| matches!(output, Output::Refused { code: 500, sip_call_id, .. } if sip_call_id == "a");
    assert!(said.outputs.iter().any(told));
    let (call, _) = bench.talk("b", "+14155550101");
    bench.input(Input::HangUp(call));
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    bench.pass(Duration::from_secs(64));
    assert!(bench.shard.is_idle());
}

#[test]
fn a_ringing_invite_is_acknowledged_as_its_transaction_ends() {
    // RFC 3261 §17.2.1: the 500 above is sent again until its ACK; without one it is given up.
    let mut bench = Bench::new();
    let call = bench.receive(invite("a", "+14155550100", "").as_bytes()).call();
    assert_eq!(bench.input(Input::AgentConnected(call, Err("refused".to_owned()))).codes(), [480]);
    let again = bench.pass(Duration::from_secs(31));
    assert_eq!(again.codes(), [480; 9], "0.5, 1.5, 3.5, 7.5, then every 4 s");
    bench.pass(Duration::from_secs(40));
    assert!(bench.shard.is_idle());
}

#[test]
fn a_second_invite_of_the_same_call_is_a_merged_request() {
    let mut bench = Bench::new();
    bench.receive(invite("a", "+14155550100", "").as_bytes());
    let other_path = invite("a", "+14155550100", "").replace("branch=z9hG4bKa", "branch=z9hG4bKother");
    assert_eq!(bench.receive(other_path.as_bytes()).codes(), [482]);
    // The first one again is answered with what it got last.
    assert_eq!(bench.receive(invite("a", "+14155550100", "").as_bytes()).codes(), [180]);
}

#[test]
fn requests_that_belong_nowhere_get_481_and_foreign_tags_do_no_harm() {
    let mut bench = Bench::new();
    let (_, tag) = bench.talk("a", "+14155550100");
    for method in ["BYE", "UPDATE", "OPTIONS", "PRACK"] {
        let foreign = in_dialog("a", method, 9, "guessed", "", "");
        assert_eq!(bench.receive(foreign.as_bytes()).codes(), [481], "{method}");
        let wrong_from = in_dialog("a", method, 9, &tag, "", "")
            .replace("tag=fa", "tag=evil")
            .replace("z9hG4bK", "z9hG4bKx");
        assert_eq!(bench.receive(wrong_from.as_bytes()).codes(), [481], "{method}");
    }
    assert!(bench.receive(in_dialog("zz", "ACK", 1, "t", "", "").as_bytes()).codes().is_empty());
    assert_eq!(bench.receive(in_dialog("zz", "CANCEL", 1, "t", "", "").as_bytes()).codes(), [481]);
    assert_eq!(bench.shard.active_calls(), 1);
}

#[test]
fn hold_rises_the_version_and_a_bad_offer_leaves_the_call_as_it_is() {
    let mut bench = Bench::new();
    let (_, tag) = bench.talk("a", "+14155550100");
    let kind = "Content-Type: application/sdp\r\n";
    let hold = in_dialog("a", "INVITE", 2, &tag, kind, &format!("{SDP}a=sendonly\r\n"));
    let said = bench.receive(hold.as_bytes());
    assert_eq!(said.codes(), [200]);
    let body = String::from_utf8_lossy(&said.responses[0].body).into_owned();
    assert!(body.contains("a=recvonly") && body.contains(" 2 IN IP4"), "{body}");
    assert!(
        said.outputs
            .iter()
            .any(|o| matches!(o, Output::UpdateMedia(_, _, spec) if !spec.sends && spec.receives))
    );
    bench.receive(in_dialog("a", "ACK", 2, &tag, "", "").as_bytes());
    let same = in_dialog("a", "UPDATE", 3, &tag, kind, &format!("{SDP}a=sendonly\r\n"));
    let said = bench.receive(same.as_bytes());
    assert!(String::from_utf8_lossy(&said.responses[0].body).contains(" 2 IN IP4"), "nothing changed");
    let bad = in_dialog("a", "INVITE", 4, &tag, kind, &SDP.replace("RTP/AVP 0", "RTP/AVP 18"));
    assert_eq!(bench.receive(bad.as_bytes()).codes(), [488]);
    // RFC 3311: a request out of order is refused.
    assert_eq!(
        bench
            .receive(in_dialog("a", "UPDATE", 2, &tag, "", "").replace("UPDATE2", "late").as_bytes())
            .codes(),
        [500]
    );
    assert_eq!(bench.shard.active_calls(), 1);
}

#[test]
fn a_reliable_ringing_waits_for_its_prack() {
    let mut bench = Bench::new();
    let said = bench.receive(invite("a", "+14155550100", "Require: 100rel\r\n").as_bytes());
    assert_eq!(said.codes(), [100, 180]);
    let call = said.call();
    let ringing = &said.responses[1];
    let rseq = ringing.headers.text(&trunkline_sip::HeaderName::RSeq).expect("RSeq").into_owned();
    assert!(ringing.headers.lists(&trunkline_sip::HeaderName::Require, "100rel"));
    let tag = ringing.to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    assert_eq!(bench.pass(Duration::from_millis(1600)).codes(), [180, 180], "0.5 s and 1.5 s");
    let wrong = in_dialog("a", "PRACK", 2, &tag, "RAck: 1 1 INVITE\r\n", "");
    assert_eq!(bench.receive(wrong.as_bytes()).codes(), [481]);
    let prack = in_dialog("a", "PRACK", 3, &tag, &format!("RAck: {rseq} 1 INVITE\r\n"), "");
    assert_eq!(bench.receive(prack.as_bytes()).codes(), [200]);
    assert!(bench.pass(Duration::from_secs(8)).codes().is_empty());
    bench.input(Input::MediaOpened(call, Member::FIRST, Some("192.0.2.10:10000".parse().expect("address"))));
    assert_eq!(bench.input(Input::AgentConnected(call, Ok(()))).codes(), [200]);
}

#[test]
fn session_timers_are_taken_refused_and_run_out() {
    let mut bench = Bench::new();
    let short =
        bench.receive(invite("s", "+14155550100", "Supported: timer\r\nSession-Expires: 60\r\n").as_bytes());
    assert_eq!(short.codes(), [422]);
    assert_eq!(short.responses[0].headers.text(&trunkline_sip::HeaderName::MinSe).as_deref(), Some("90"));
    let room = short.call();
    bench.input(Input::RoomClosed(room, MediaStats::default()));
    bench.pass(Duration::from_secs(64));
    assert!(bench.shard.is_idle());
    let call = bench
        .receive(
            invite("a", "+14155550100", "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n")
                .as_bytes(),
        )
        .call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some("192.0.2.10:10000".parse().expect("address"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let expires = said.responses[0].headers.text(&trunkline_sip::HeaderName::SessionExpires);
    assert_eq!(expires.as_deref(), Some("120;refresher=uac"));
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    assert!(bench.pass(Duration::from_secs(87)).requests.is_empty());
    let said = bench.pass(Duration::from_secs(2));
    assert_eq!(said.requests.first().map(|r| r.method.as_str()), Some("BYE"), "32 s before the end");
}

#[test]
fn strangers_get_silence_or_a_refusal_without_state() {
    let mut bench = Bench::new();
    let invite = invite("a", "+14155550100", "");
    assert!(bench.receive_from(invite.as_bytes(), "203.0.113.9:5060").codes().is_empty());
    let mut bench = Bench::with(UnknownPeers::Reject);
    let said = bench.receive_from(invite.as_bytes(), "203.0.113.9:5060");
    assert_eq!(said.codes(), [403]);
    assert!(bench.shard.is_idle());
    let options = in_dialog("o", "OPTIONS", 1, "", "", "").replace(";tag=\r\n", "\r\n");
    assert_eq!(bench.receive_from(options.as_bytes(), "203.0.113.9:5060").codes(), [403]);
}

#[test]
fn media_is_never_sent_to_addresses_of_our_own_or_special_ones() {
    for (address, code) in [
        ("198.51.100.10", 488),
        ("127.0.0.1", 488),
        ("224.0.0.1", 488),
        ("169.254.1.1", 488),
        ("192.0.2.20", 180),
        ("198.51.100.7", 180),
        // One that the trunk's allowed_addresses cover, though it is ours.
        ("192.0.2.10", 180),
    ] {
        let mut bench = Bench::new();
        let offer = SDP.replace("c=IN IP4 192.0.2.20", &format!("c=IN IP4 {address}"));
        let invite = invite(address, "+14155550100", "").replace(SDP, &offer);
        let length = format!("Content-Length: {}", offer.len());
        let invite = invite.replace(&format!("Content-Length: {}", SDP.len()), &length);
        assert_eq!(bench.receive(invite.as_bytes()).codes().last(), Some(&code), "{address}");
    }
}

#[test]
fn answers_go_to_the_source_whatever_maddr_says() {
    let mut bench = Bench::new();
    let asked = invite("m", "+14155550100", "").replace(";branch", ";maddr=203.0.113.99;branch");
    let said = bench.receive_from(asked.as_bytes(), "192.0.2.30:7000");
    assert!(said.targets.iter().all(|target| target.ip() == std::net::IpAddr::from([192, 0, 2, 30])));
}

#[test]
fn info_and_message_are_taken_or_refused_and_allow_says_which() {
    for (info, message) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut bench =
            Bench::with_policy(UnknownPeers::Drop, InDialogPolicy { info, message, refer: false });
        let (_, tag) = bench.talk("a", "+14155550100");
        let mut ask =
            |method: &str, cseq| bench.receive(in_dialog("a", method, cseq, &tag, "", "").as_bytes());
        assert_eq!(ask("INFO", 2).codes(), [if info { 200 } else { 405 }]);
        assert_eq!(ask("MESSAGE", 3).codes(), [if message { 200 } else { 405 }]);
        let options = ask("OPTIONS", 4);
        assert_eq!(options.codes(), [200]);
        let allow = options.responses[0].headers.text(&trunkline_sip::HeaderName::Allow).unwrap_or_default();
        assert_eq!((allow.contains("INFO"), allow.contains("MESSAGE")), (info, message), "{allow}");
        assert!(allow.contains("UPDATE") && allow.contains("PRACK"), "{allow}");
    }
}

#[test]
fn a_reliable_ringing_never_comes_without_the_offer_that_it_owes() {
    let mut bench = Bench::new();
    let text = invite("a", "+14155550100", "Require: 100rel\r\n").replace(SDP, "");
    let text = text.replace("Content-Type: application/sdp\r\n", "");
    let length = format!("Content-Length: {}", SDP.len());
    let said = bench.receive(text.replace(&length, "Content-Length: 0").as_bytes());
    assert_eq!(said.codes(), [100], "no 180: it would have to carry an offer");
    let call = said.call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some("192.0.2.10:10000".parse().expect("address"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    assert_eq!(said.codes(), [200]);
    assert!(said.responses[0].body_of("application/sdp").is_some(), "the 200 offers");
}

#[test]
fn an_agent_is_not_called_before_there_is_a_port() {
    let mut bench = Bench::new();
    let said = bench.receive(invite("a", "+14155550100", "").as_bytes());
    let asks_agent = |said: &Said| said.outputs.iter().any(|o| matches!(o, Output::ConnectAgent(..)));
    assert!(!asks_agent(&said));
    let said = bench.input(Input::MediaOpened(said.call(), Member::FIRST, None));
    assert!(said.codes() == [503] && !asks_agent(&said), "{:?}", said.codes());
}

/// A message whose Call-ID `cafe` is `caf\xe9` on the wire.
fn in_latin_1(text: &str) -> Vec<u8> {
    let (before, after) = text.split_once("Call-ID: cafe").expect("the Call-ID");
    [before.as_bytes(), b"Call-ID: caf\xe9", after.as_bytes()].concat()
}

#[test]
fn a_call_id_in_latin_1_finds_its_dialog() {
    let mut bench = Bench::new();
    let said = bench.receive(&in_latin_1(&invite("cafe", "+14155550100", "")));
    let (call, tag) =
        (said.call(), said.responses[1].to().and_then(|to| to.tag()).expect("a tag").to_owned());
    bench.input(Input::AgentConnected(call, Ok(())));
    bench.input(Input::MediaOpened(call, Member::FIRST, Some("192.0.2.10:10000".parse().expect("address"))));
    bench.receive(&in_latin_1(&in_dialog("cafe", "ACK", 1, &tag, "", "")));
    let said = bench.receive(&in_latin_1(&in_dialog("cafe", "BYE", 2, &tag, "", "")));
    assert_eq!(said.codes(), [200]);
}

#[test]
fn answers_go_where_the_via_and_rport_say() {
    let mut bench = Bench::new();
    let plain = invite("a", "+14155550100", "");
    assert_eq!(
        bench.receive_from(plain.as_bytes(), "192.0.2.30:7000").targets[0].to_string(),
        "192.0.2.30:5062"
    );
    let asked = invite("b", "+14155550100", "").replace(";branch", ";rport;branch");
    let said = bench.receive_from(asked.as_bytes(), "192.0.2.30:7000");
    assert_eq!(said.targets[0].to_string(), "192.0.2.30:7000");
    let via = said.responses[0].via().expect("via").to_string();
    assert!(via.contains("rport=7000") && via.contains("received=192.0.2.30"), "{via}");
}

#[test]
fn a_stranger_opens_no_transaction_by_writing_a_tag() {
    let mut bench = Bench::new();
    for method in ["INVITE", "BYE", "OPTIONS", "CANCEL", "UPDATE"] {
        let text = in_dialog("x", method, 1, "guessed", "", "");
        assert!(bench.receive_from(text.as_bytes(), "203.0.113.9:5060").codes().is_empty(), "{method}");
    }
    assert!(bench.shard.is_idle());
}

#[test]
fn a_datagram_full_of_vias_is_refused_and_answered_to_its_source_only() {
    let mut bench = Bench::new();
    let bomb = "v: SIP/2.0/UDP h;branch=x".to_owned() + &",a".repeat(4000);
    let text = invite("a", "+14155550100", &format!("{bomb}\r\n").repeat(7));
    assert_eq!(bench.receive(text.as_bytes()).codes(), [400]);
    let lie = invite("b", "+14155550100", "").replace(";branch", ";received=10.0.0.5;branch");
    let said = bench.receive_from(lie.as_bytes(), "192.0.2.20:5062");
    assert_eq!(
        said.responses[0].via().and_then(|via| via.received()),
        Some(std::net::IpAddr::from([192, 0, 2, 20]))
    );
}

#[test]
fn a_line_that_the_peer_adds_raises_the_version() {
    let mut bench = Bench::new();
    let (_, tag) = bench.talk("a", "+14155550100");
    let kind = "Content-Type: application/sdp\r\n";
    let more = in_dialog("a", "INVITE", 2, &tag, kind, &format!("{SDP}m=video 5000 RTP/AVP 31\r\n"));
    let body = String::from_utf8_lossy(&bench.receive(more.as_bytes()).responses[0].body).into_owned();
    assert!(body.contains(" 2 IN IP4") && body.contains("m=video 0"), "{body}");
}

#[test]
fn a_prack_that_comes_behind_the_answer_is_taken() {
    let mut bench = Bench::new();
    let said = bench.receive(invite("a", "+14155550100", "Require: 100rel\r\n").as_bytes());
    let call = said.call();
    let rseq = said.responses[1].headers.text(&trunkline_sip::HeaderName::RSeq).expect("RSeq").into_owned();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some("192.0.2.10:10000".parse().expect("address"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    let prack = in_dialog("a", "PRACK", 2, &tag, &format!("RAck: {rseq} 1 INVITE\r\n"), "");
    assert_eq!(bench.receive(prack.as_bytes()).codes(), [200]);
}

#[test]
fn a_refresh_that_is_refused_is_tried_again_with_patience() {
    let mut bench = Bench::new();
    let fields = "Session-Expires: 200\r\nAllow: INVITE, UPDATE\r\n";
    let call = bench.receive(invite("a", "+14155550100", fields).as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some("192.0.2.10:10000".parse().expect("address"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    let refresh = bench.pass(Duration::from_secs(101)).requests.remove(0);
    assert_eq!(refresh.method.as_str(), "UPDATE");
    let refuse = |request: &trunkline_sip::Request| trunkline_sip::reply::to(request, 491, None).to_bytes();
    assert!(bench.receive(&refuse(&refresh)).requests.is_empty(), "not at once");
    let again = bench.pass(Duration::from_secs(4)).requests;
    let numbers: std::collections::BTreeSet<_> =
        again.iter().filter_map(|r| r.cseq()).map(|c| c.number).collect();
    assert_eq!(numbers.len(), 1, "one refresh, sent again as its transaction asks");
}

#[expect(clippy::disallowed_methods, reason = "a test reads its corpus")]
fn torture_message(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sip/tests/corpus");
    let found = ["rfc4475-prose", "rfc4475", "rfc5118-fixed-cl", "rfc5118"]
        .iter()
        .find_map(|corpus| std::fs::read(folder.join(corpus).join(format!("{name}.dat"))).ok());
    found.unwrap_or_else(|| panic!("{name} is not in the corpus"))
}

/// RFC 4475 and RFC 5118: what a gateway without a registrar does with each message.
#[test]
fn torture_messages_behave_as_their_text_says() {
    let mut wrong = Vec::new();
    for (name, expected) in TORTURE {
        let mut bench = Bench::new();
        let said = bench.receive(&torture_message(name));
        let got = said.codes().into_iter().find(|code| *code != 100).unwrap_or(0);
        if got != *expected {
            wrong.push(format!("{name}: {got}, not {expected}"));
        }
        // Whatever came, the shard goes on.
        let after = bench.receive(invite("after", "+14155550100", "").as_bytes());
        assert_eq!(after.codes(), [100, 180], "{name}");
    }
    assert_eq!(wrong, Vec::<String>::new());
    let names: std::collections::BTreeSet<_> = TORTURE.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), 49 + 12);
}

/// The same messages in a byte stream, seven bytes at a time: the same answers but for what framing
/// by Content-Length changes.
#[test]
fn torture_messages_in_a_stream_behave_the_same() {
    use trunkline_sip::stream::{FrameError, Framed, Framer};
    let mut wrong = Vec::new();
    for (name, over_udp) in TORTURE {
        let mut bench = Bench::new();
        let mut framer = Framer::default();
        let mut got = None;
        for piece in torture_message(name).chunks(7) {
            framer.push(piece);
            while got.is_none() {
                match framer.next_frame() {
                    Ok(Some(Framed::Message(message))) => {
                        let said = bench.receive_message(*message, "192.0.2.20:5062", Transport::Tcp);
                        got = said.codes().into_iter().find(|code| *code != 100);
                        // Silence is an answer too.
                        got.get_or_insert(0);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(FrameError::Answer(_)) => got = Some(400),
                    Err(FrameError::TooLarge(_)) => got = Some(513),
                    Err(FrameError::Garbage(_)) => got = Some(0),
                }
            }
        }
        let expected =
            TORTURE_IN_A_STREAM.iter().find(|(other, _)| other == name).map_or(over_udp, |(_, code)| code);
        if got.unwrap_or(0) != *expected {
            wrong.push(format!("{name}: {got:?}, not {expected}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Where a stream differs: a body that is promised and does not come is waited for, and without a
/// Content-Length nobody can say where a message ends (RFC 3261 §18.3, §20.14).
const TORTURE_IN_A_STREAM: &[(&str, u16)] = &[("clerr", 0), ("inv2543", 400)];

/// The first answer to each message; 0 for silence. 404 is "understood, and not ours to serve".
const TORTURE: &[(&str, u16)] = &[
    ("wsinv", 481),
    ("intmeth", 501),
    ("esc01", 404),
    ("escnull", 405),
    ("esc02", 501),
    ("lwsdisp", 200),
    ("longreq", 404),
    ("dblreq", 405),
    ("semiuri", 200),
    ("transports", 200),
    ("mpart01", 405),
    ("unreason", 0),
    ("noreason", 0),
    ("badinv01", 400),
    ("clerr", 400),
    ("ncl", 400),
    ("scalar02", 400),
    ("scalarlg", 0),
    ("quotbal", 400),
    ("ltgtruri", 400),
    ("lwsruri", 400),
    ("lwsstart", 400),
    ("trws", 400),
    ("escruri", 404),
    ("baddate", 404),
    ("regbadct", 400),
    ("badaspec", 200),
    ("baddn", 200),
    ("badvers", 505),
    ("mismatch01", 400),
    ("mismatch02", 501),
    ("bigcode", 0),
    ("badbranch", 200),
    ("insuf", 400),
    ("unkscm", 416),
    ("novelsc", 416),
    ("unksm2", 405),
    ("bext01", 420),
    ("invut", 415),
    ("regaut01", 405),
    ("multi01", 400),
    ("mcl01", 400),
    ("bcast", 0),
    ("zeromf", 200),
    ("cparam01", 405),
    ("cparam02", 405),
    ("regescrt", 405),
    ("sdp01", 406),
    ("inv2543", 404),
    ("ipv6-good", 405),
    ("ipv6-bad", 400),
    ("port-ambiguous", 405),
    ("port-unambiguous", 405),
    ("via-received-param-with-delim", 481),
    ("via-received-param-no-delim", 200),
    ("ipv6-in-sdp", 404),
    ("mult-ip-in-header", 481),
    ("mult-ip-in-sdp", 404),
    ("ipv4-mapped-ipv6", 404),
    ("ipv6-bug-abnf-3-colons", 200),
    ("ipv6-correct-abnf-2-colons", 200),
];
