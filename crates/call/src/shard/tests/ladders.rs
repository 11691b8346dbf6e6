//! Ladders of a whole call: what is said by whom, in which order.

use trunkline_sip::{HeaderName, Host};

use super::*;

pub(super) const KIND: &str = "Content-Type: application/sdp\r\n";

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn tag_of(response: &Response) -> String {
    response.to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag")
}

pub(super) fn body_of(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

/// An INVITE with that offer, or with none.
pub(super) fn offering(id: &str, number: &str, more: &str, offer: &str) -> String {
    let text = invite(id, number, more).replace(SDP, offer);
    let text =
        text.replace(&format!("Content-Length: {}", SDP.len()), &format!("Content-Length: {}", offer.len()));
    if offer.is_empty() { text.replace(KIND, "") } else { text }
}

pub(super) fn updates(said: &Said) -> Vec<&trunkline_sdp::media::MediaSpec> {
    said.outputs
        .iter()
        .filter_map(|output| match output {
            Output::UpdateMedia(_, _, spec) => Some(spec),
            _ => None,
        })
        .collect()
}

#[test]
fn a_reinvite_changes_codec_and_port() {
    let mut bench = Bench::new();
    let (_, tag) = bench.talk("a", "+14155550100");
    let moved = SDP.replace("4000 RTP/AVP 0", "4444 RTP/AVP 8").replace("192.0.2.20", "192.0.2.21");
    let said = bench.receive(in_dialog("a", "INVITE", 2, &tag, KIND, &moved).as_bytes());
    assert_eq!(said.codes(), [200]);
    let body = body_of(&said.responses[0]);
    assert!(body.contains("m=audio 10000 RTP/AVP 8") && body.contains(" 2 IN IP4"), "{body}");
    let specs = updates(&said);
    assert_eq!(specs.len(), 1);
    assert_eq!((specs[0].codec, specs[0].payload_type), (Codec::Pcma, 8));
    assert_eq!(specs[0].remote, Some(address("192.0.2.21:4444")));
    bench.receive(in_dialog("a", "ACK", 2, &tag, "", "").as_bytes());
    assert_eq!(bench.receive(in_dialog("a", "BYE", 3, &tag, "", "").as_bytes()).codes(), [200]);
}

#[test]
fn a_number_without_an_agent_is_announced_in_a_183_and_ends_in_480() {
    let mut bench = Bench::new();
    let said = bench.receive(invite("a", "+14155550102", "").as_bytes());
    assert_eq!(said.codes(), [100], "no ringing before an announcement");
    let call = said.call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    assert_eq!(said.codes(), [183]);
    assert!(body_of(&said.responses[0]).contains("m=audio 10000"));
    assert!(said.outputs.iter().any(|output| matches!(output, Output::StartRoom(_))));
    let said = bench.input(Input::Room(call, crate::RoomEvent::AgentLeft));
    assert_eq!(said.codes(), [480]);
    let said = bench.input(Input::RoomClosed(call, MediaStats::default()));
    let record = said.record();
    assert_eq!((record.sip_code, record.agent.as_deref()), (480, None));
    assert_eq!((record.reason.as_str(), record.answered_at), ("number not in service", None));
    bench.pass(Duration::from_secs(64));
    assert!(bench.shard.is_idle());
}

#[test]
fn without_an_offer_the_announcement_is_answered_played_and_ended() {
    let mut bench = Bench::new();
    let said = bench.receive(offering("a", "+14155550102", "", "").as_bytes());
    assert_eq!(said.codes(), [100]);
    let call = said.call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    assert_eq!(said.codes(), [200]);
    let tag = tag_of(&said.responses[0]);
    let said = bench.receive(in_dialog("a", "ACK", 1, &tag, KIND, SDP).as_bytes());
    assert_eq!(updates(&said).len(), 1, "the answer came in the ACK");
    let said = bench.input(Input::Room(call, crate::RoomEvent::AgentLeft));
    assert_eq!(said.requests.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["BYE"]);
    assert_eq!(bench.input(Input::RoomClosed(call, MediaStats::default())).record().sip_code, 200);
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut bench = Bench::new();
    let call = bench.receive(invite("a", "+14155550102", "Require: 100rel\r\n").as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    assert_eq!(said.codes(), [183]);
    let tag = tag_of(&said.responses[0]);
    let rseq = said.responses[0].headers.text(&HeaderName::RSeq).expect("RSeq").into_owned();
    let more = format!("RAck: {rseq} 1 INVITE\r\n{KIND}");
    let prack = in_dialog("a", "PRACK", 2, &tag, &more, &SDP.replace("RTP/AVP 0", "RTP/AVP 8"));
    let said = bench.receive(prack.as_bytes());
    assert_eq!(said.codes(), [200]);
    let answer = &said.responses[0];
    assert!(body_of(answer).contains("RTP/AVP 8") && answer.contact().is_none(), "{}", body_of(answer));
    assert_eq!(updates(&said)[0].codec, Codec::Pcma);
    assert!(bench.pass(Duration::from_secs(4)).codes().is_empty(), "the 183 is acknowledged");
}

#[test]
fn an_offer_in_a_prack_that_does_not_fit_leaves_what_was_agreed_on() {
    let mut bench = Bench::new();
    let call = bench.receive(invite("a", "+14155550102", "Require: 100rel\r\n").as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = tag_of(&said.responses[0]);
    let rseq = said.responses[0].headers.text(&HeaderName::RSeq).expect("RSeq").into_owned();
    let more = format!("RAck: {rseq} 1 INVITE\r\n{KIND}");
    let prack = in_dialog("a", "PRACK", 2, &tag, &more, &SDP.replace("RTP/AVP 0", "RTP/AVP 18"));
    let said = bench.receive(prack.as_bytes());
    assert_eq!(said.codes(), [488]);
    assert!(updates(&said).is_empty());
    let said = bench.input(Input::Room(call, crate::RoomEvent::AgentLeft));
    assert_eq!(said.codes(), [480], "the call went on");
}

#[test]
fn a_request_after_its_connection_broke_goes_to_the_contact_under_the_trunks_name() {
    let mut bench = Bench::new();
    let over_tls = |text: String| {
        let text = text.replace("SIP/2.0/UDP", "SIP/2.0/TLS");
        let contact = "<sip:caller@192.0.2.20:5062;transport=tls>";
        text.replace("<sip:caller@192.0.2.20:5062>", contact)
    };
    let receive = |bench: &mut Bench, text: String| {
        let message = read::datagram(&Bytes::from(over_tls(text))).expect("a message");
        let flow = Flow {
            transport: Transport::Tls,
            local: address("192.0.2.10:5061"),
            remote: address("192.0.2.20:40000"),
            connection: Some(7),
        };
        bench.input(Input::Message(Box::new(message), flow, None))
    };
    let call = receive(&mut bench, invite("a", "+14155550100", "")).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = tag_of(&said.responses[0]);
    receive(&mut bench, in_dialog("a", "ACK", 1, &tag, "", ""));
    let said = bench.input(Input::ConnectionLost(7));
    assert!(said.requests.is_empty() && said.outputs.is_empty(), "the call goes on without its connection");
    let said = bench.input(Input::HangUp(call));
    assert_eq!(said.requests.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["BYE"]);
    let hop = said.fallbacks[0].clone().expect("where to connect");
    assert_eq!(hop.host, Host::IpAddr([192, 0, 2, 20].into()));
    assert_eq!((hop.port, hop.transport), (Some(5062), Some(Transport::Tls)));
    assert_eq!(hop.name.as_deref(), Some("sbc.example.com"));
    // A hop that has a name of its own is checked against that.
    let named = Hop { host: Host::from("edge.example.com"), ..hop };
    assert_eq!(named.known_as(Some("sbc.example.com")).name, None);
}

#[test]
fn a_call_is_ended_at_its_longest_duration() {
    let mut bench = Bench::new();
    let (call, _) = bench.talk("a", "+14155550100");
    assert!(bench.pass(Duration::from_secs(3599)).requests.is_empty());
    let said = bench.pass(Duration::from_secs(2));
    assert_eq!(said.requests.iter().map(|r| r.method.as_str()).collect::<Vec<_>>()[..1], ["BYE"]);
    let said = bench.input(Input::RoomClosed(call, MediaStats::default()));
    assert_eq!(said.record().reason, "longest duration reached");
}

#[test]
fn a_caller_whose_media_stops_is_hung_up_on() {
    let mut bench = Bench::new();
    let (call, _) = bench.talk("a", "+14155550100");
    let said = bench.input(Input::Room(call, crate::RoomEvent::NoMedia(trunkline_sdp::Member::FIRST)));
    assert_eq!(said.requests.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["BYE"]);
    let said = bench.input(Input::RoomClosed(call, MediaStats::default()));
    assert_eq!(said.record().reason, "no media from the caller");
}

#[test]
fn a_private_address_behind_a_public_peer_is_latched_not_sent_to() {
    let opened = |offer: &str, remote: &str| {
        let mut bench = Bench::new();
        let text = offering("a", "+14155550100", "", offer);
        let said = bench.receive_from(text.as_bytes(), remote);
        let spec = said.outputs.iter().find_map(|output| match output {
            Output::OpenMedia { spec, .. } => *spec,
            _ => None,
        });
        spec.expect("media is opened").remote
    };
    let private = SDP.replace("c=IN IP4 192.0.2.20", "c=IN IP4 10.1.2.3");
    assert_eq!(opened(&private, "192.0.2.20:5062"), None, "nothing is sent before it was heard");
    assert_eq!(opened(SDP, "192.0.2.20:5062"), Some(address("192.0.2.20:4000")));
    let shared = SDP.replace("c=IN IP4 192.0.2.20", "c=IN IP4 100.64.1.1");
    assert_eq!(opened(&shared, "192.0.2.20:5062"), None, "RFC 6598");
}

#[test]
fn media_of_a_family_that_we_have_no_address_of_is_refused() {
    let mut bench = Bench::new();
    let v6 = SDP.replace("c=IN IP4 192.0.2.20", "c=IN IP6 2001:db8::20");
    assert_eq!(bench.receive(offering("a", "+14155550100", "", &v6).as_bytes()).codes().last(), Some(&488));
    // With an address of the family, the port is opened there though signalling is IPv4.
    let mut bench = Bench::new();
    bench.config().media_addresses = [[192, 0, 2, 10].into(), address("[2001:db8::10]:1").ip()].into();
    let said = bench.receive(offering("a", "+14155550100", "", &v6).as_bytes());
    let local = said.outputs.iter().find_map(|output| match output {
        Output::OpenMedia { local, .. } => Some(*local),
        _ => None,
    });
    assert_eq!(local, Some(address("[2001:db8::10]:1").ip()));
}

#[test]
fn what_identifies_a_hidden_caller_reaches_nobody() {
    let parameters = |hide: bool| {
        let mut bench = Bench::new();
        if hide {
            let text = TABLE.replace("inbound = \"echo\"", "inbound = \"echo\"\nhide_phone_number = true");
            let (table, _) = load(&[Source { name: "t".to_owned(), text }], None).expect("loads");
            bench.input(Input::Reload(Arc::new(table)));
        }
        let more = "Diversion: <sip:+14155550111@x>;reason=unconditional\r\nIdentity: abc.def.ghi\r\n";
        let text = invite("a", "+14155550100", more).replace("From: <", "From: \"Jane\" <");
        let call = bench.receive(text.as_bytes()).call();
        let said = bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
        let asked = said.outputs.into_iter().find_map(|output| match output {
            Output::ConnectAgent(_, request) => Some(request.parameters.into_inner()),
            _ => None,
        });
        bench.input(Input::AgentConnected(call, Err("gone".to_owned())));
        let record =
            bench.input(Input::RoomClosed(call, MediaStats::default())).record().from.reveal().clone();
        (asked.expect("an agent is asked for"), record)
    };
    let of = |parameters: &[(String, String)], name: &str| {
        parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let (shown, record) = parameters(false);
    assert_eq!(of(&shown, "from_number").as_deref(), Some("+14155550199"));
    assert_eq!(of(&shown, "caller_name").as_deref(), Some("Jane"));
    assert_eq!(of(&shown, "diversion").as_deref(), Some("+14155550111"));
    assert_eq!(record, "+14155550199");
    let (hidden, record) = parameters(true);
    for name in ["from_number", "system__caller_id"] {
        let value = of(&hidden, name).expect(name);
        assert!(value.ends_with("99") && value.contains('*') && !value.contains("415555"), "{name} {value}");
    }
    for name in ["caller_name", "identity", "diversion"] {
        assert_eq!(of(&hidden, name), None, "{name}");
    }
    assert_eq!(of(&hidden, "to_number").as_deref(), Some("+14155550100"), "ours is no secret");
    assert!(!record.contains("415555"), "{record}");
}

#[test]
fn a_reinvite_without_an_offer_gets_ours_and_its_answer_comes_in_the_ack() {
    let mut bench = Bench::new();
    let (_, tag) = bench.talk("a", "+14155550100");
    let said = bench.receive(in_dialog("a", "INVITE", 2, &tag, "", "").as_bytes());
    assert_eq!(said.codes(), [200]);
    let offer = body_of(&said.responses[0]);
    assert!(offer.contains("m=audio 10000 RTP/AVP 0 8 101") && offer.contains(" 2 IN IP4"), "{offer}");
    assert!(updates(&said).is_empty(), "nothing is agreed on yet");
    let answer = SDP.replace("RTP/AVP 0", "RTP/AVP 8");
    let said = bench.receive(in_dialog("a", "ACK", 2, &tag, KIND, &answer).as_bytes());
    assert_eq!(updates(&said).first().map(|spec| spec.codec), Some(Codec::Pcma));
    // Without an answer in the ACK what was agreed on before stays.
    bench.receive(in_dialog("a", "INVITE", 3, &tag, "", "").as_bytes());
    let said = bench.receive(in_dialog("a", "ACK", 3, &tag, "", "").as_bytes());
    assert!(updates(&said).is_empty() && said.requests.is_empty());
    assert_eq!(bench.receive(in_dialog("a", "BYE", 4, &tag, "", "").as_bytes()).codes(), [200]);
}

/// A call whose session we refresh, and our tag.
fn refreshed(bench: &mut Bench, allow: &str) -> String {
    let fields = format!("Session-Expires: 200\r\n{allow}");
    let call = bench.receive(invite("a", "+14155550100", &fields).as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = tag_of(&said.responses[0]);
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    tag
}

#[test]
fn a_refresh_that_is_taken_starts_the_timer_anew() {
    let mut bench = Bench::new();
    refreshed(&mut bench, "Allow: INVITE, UPDATE\r\n");
    for round in 0..3 {
        let mut requests = bench.pass(Duration::from_secs(100)).requests;
        assert_eq!(requests.len(), 1, "round {round}");
        let refresh = requests.remove(0);
        assert_eq!((refresh.method.as_str(), refresh.body.len()), ("UPDATE", 0));
        let mut ok = trunkline_sip::reply::to(&refresh, 200, None);
        ok.headers.push(HeaderName::SessionExpires, "200;refresher=uac");
        assert!(bench.receive(&ok.to_bytes()).requests.is_empty());
    }
    assert_eq!(bench.shard.active_calls(), 1);
}

#[test]
fn where_the_peer_takes_no_update_a_reinvite_repeats_what_is_agreed_on() {
    let mut bench = Bench::new();
    refreshed(&mut bench, "");
    let refresh = bench.pass(Duration::from_secs(100)).requests.remove(0);
    assert_eq!(refresh.method.as_str(), "INVITE");
    let offer = String::from_utf8_lossy(&refresh.body).into_owned();
    assert!(offer.contains("m=audio 10000") && offer.contains(" 1 IN IP4"), "the same version: {offer}");
    let mut ok = trunkline_sip::reply::to(&refresh, 200, None);
    ok.headers.push(HeaderName::Contact, "<sip:caller@192.0.2.20:5062>");
    ok.headers.push(HeaderName::ContentType, "application/sdp");
    ok.body = Bytes::from_static(SDP.as_bytes());
    let said = bench.receive(&ok.to_bytes());
    assert_eq!(said.requests.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(), ["ACK"]);
    assert_eq!(said.requests[0].cseq().map(|cseq| cseq.number), refresh.cseq().map(|cseq| cseq.number));
}

#[test]
fn a_refreshed_contact_on_another_port_is_where_requests_go() {
    let mut bench = Bench::new();
    let (call, tag) = bench.talk("a", "+14155550100");
    let moved = in_dialog("a", "INVITE", 2, &tag, KIND, SDP)
        .replace("caller@192.0.2.20:5062", "caller@192.0.2.20:7070");
    assert_eq!(bench.receive(moved.as_bytes()).codes(), [200]);
    bench.receive(in_dialog("a", "ACK", 2, &tag, "", "").as_bytes());
    let said = bench.input(Input::HangUp(call));
    assert_eq!(said.requests[0].target, "sip:caller@192.0.2.20:7070");
    assert_eq!(said.targets, [address("192.0.2.20:7070")]);
}

#[test]
fn requests_follow_the_port_that_a_nat_has_for_the_peer_now() {
    let mut bench = Bench::new();
    let (call, tag) = bench.talk("a", "+14155550100");
    let options = in_dialog("a", "OPTIONS", 2, &tag, "", "");
    assert_eq!(bench.receive_from(options.as_bytes(), "192.0.2.20:40123").codes(), [200]);
    let said = bench.input(Input::HangUp(call));
    assert_eq!(said.targets, [address("192.0.2.20:40123")]);
}

#[test]
fn a_request_whose_hop_cannot_be_reached_ends_at_once() {
    let mut bench = Bench::new();
    let (call, _) = bench.talk("a", "+14155550100");
    let bye = bench.input(Input::HangUp(call)).requests.remove(0);
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    bench.input(Input::Unsent(Box::new(bye)));
    assert_eq!(bench.shard.active_calls(), 0, "no 32 s of waiting");
}

#[test]
fn too_long_a_request_uri_and_too_many_vias_have_their_answers() {
    let mut bench = Bench::new();
    let long =
        invite("a", "+14155550100", "").replace("@192.0.2.10 SIP", &format!("@{}.x SIP", "h".repeat(2049)));
    assert_eq!(bench.receive(long.as_bytes()).codes(), [414]);
    let vias = |count: usize| "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKv\r\n".repeat(count);
    assert_eq!(bench.receive(invite("b", "+14155550100", &vias(63)).as_bytes()).codes()[0], 100, "64 in all");
    assert_eq!(bench.receive(invite("c", "+14155550100", &vias(64)).as_bytes()).codes(), [400]);
}

#[test]
fn a_call_to_an_emergency_service_by_its_urn_is_refused_and_told() {
    let mut bench = Bench::new();
    let text = invite("a", "+14155550100", "");
    let said = bench
        .receive(text.replace("INVITE sip:+14155550100@192.0.2.10", "INVITE urn:service:sos").as_bytes());
    assert_eq!(said.codes(), [416]);
    let told = |output: &Output| matches!(output, Output::Refused { code: 416, reason, .. } if reason.contains("urn:service:sos"));
    assert!(said.outputs.iter().any(told));
}
