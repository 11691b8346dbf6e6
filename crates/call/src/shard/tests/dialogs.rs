//! Ladders of one dialog: whose requests go where, what is refused, what is too late.

use trunkline_sip::{HeaderName, reply};

use super::ladders::{KIND, address, body_of, tag_of, updates};
use super::outgoing::{ANSWER, field, methods, response, ring};
use super::*;
use crate::Status;

/// A call in of that INVITE, answered and acknowledged; its handle, our tag, and what was said.
fn talk_by(bench: &mut Bench, text: &str) -> (CallHandle, String, Vec<Response>) {
    let ringing = bench.receive(text.as_bytes());
    let call = ringing.call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let answered = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = tag_of(&answered.responses[0]);
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    (call, tag, ringing.responses.into_iter().chain(answered.responses).collect())
}

fn all(headers: &trunkline_sip::Headers, name: &HeaderName) -> Vec<String> {
    headers.elements(name).collect()
}

const TWO_HOPS: &str =
    "Record-Route: <sip:192.0.2.41;lr>, <sip:192.0.2.42:5070;lr>\r\nRecord-Route: <sip:192.0.2.43;lr>\r\n";

#[test]
fn our_bye_goes_through_the_hops_of_the_invite_in_their_order() {
    let mut bench = Bench::new();
    let (call, _, said) = talk_by(&mut bench, &invite("a", "+14155550100", TWO_HOPS));
    for answer in said.iter().filter(|answer| answer.code() > 100) {
        let copied = all(&answer.headers, &HeaderName::RecordRoute);
        assert_eq!(copied, ["<sip:192.0.2.41;lr>", "<sip:192.0.2.42:5070;lr>", "<sip:192.0.2.43;lr>"]);
    }
    let said = bench.input(Input::HangUp(call));
    let bye = &said.requests[0];
    assert_eq!((bye.method.as_str(), bye.target.as_str()), ("BYE", "sip:caller@192.0.2.20:5062"));
    assert_eq!(
        all(&bye.headers, &HeaderName::Route),
        ["<sip:192.0.2.41;lr>", "<sip:192.0.2.42:5070;lr>", "<sip:192.0.2.43;lr>"]
    );
    assert_eq!(said.targets, [address("192.0.2.41:5060")]);
}

#[test]
fn the_hops_of_a_call_that_we_place_are_those_of_its_answer_the_other_way_round() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    let mut ok = response(&invite, 200, "t", ANSWER);
    ok.headers.push(HeaderName::RecordRoute, "<sip:192.0.2.41;lr>, <sip:192.0.2.42;lr>");
    let said = bench.receive(&ok.to_bytes());
    let reversed = ["<sip:192.0.2.42;lr>", "<sip:192.0.2.41;lr>"];
    assert_eq!(all(&said.requests[0].headers, &HeaderName::Route), reversed, "the ACK");
    let said = bench.input(Input::HangUp(call));
    assert_eq!(all(&said.requests[0].headers, &HeaderName::Route), reversed, "the BYE");
    assert_eq!(said.targets, [address("192.0.2.42:5060")]);
}

#[test]
fn a_strict_router_gets_its_own_name_as_request_uri() {
    // RFC 3261 §12.2.1.1: the remote target goes to the end of the Route.
    let mut bench = Bench::new();
    let strict = "Record-Route: <sip:192.0.2.41>, <sip:192.0.2.42;lr>\r\n";
    let (call, _, _) = talk_by(&mut bench, &invite("a", "+14155550100", strict));
    let said = bench.input(Input::HangUp(call));
    assert_eq!(said.requests[0].target, "sip:192.0.2.41");
    let routes = all(&said.requests[0].headers, &HeaderName::Route);
    assert_eq!(routes, ["<sip:192.0.2.42;lr>", "<sip:caller@192.0.2.20:5062>"]);
}

#[test]
fn a_reinvite_moves_the_target_and_never_the_hops() {
    let mut bench = Bench::new();
    let (call, tag, _) = talk_by(&mut bench, &invite("a", "+14155550100", TWO_HOPS));
    let more = format!("Record-Route: <sip:192.0.2.66;lr>\r\n{KIND}");
    let moved = in_dialog("a", "INVITE", 2, &tag, &more, SDP).replace("caller@", "moved@");
    assert_eq!(bench.receive(moved.as_bytes()).codes(), [200]);
    bench.receive(in_dialog("a", "ACK", 2, &tag, "", "").as_bytes());
    let bye = bench.input(Input::HangUp(call)).requests.remove(0);
    assert_eq!(bye.target, "sip:moved@192.0.2.20:5062");
    assert_eq!(all(&bye.headers, &HeaderName::Route).len(), 3);
    assert!(!field(&bye, &HeaderName::Route).contains("192.0.2.66"));
}

#[test]
fn a_callee_that_answers_after_everybody_gave_up_is_hung_up_on_once() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    bench.receive(&response(&invite, 180, "t", "").to_bytes());
    assert_eq!(methods(&bench.input(Input::HangUp(call))), ["CANCEL"]);
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    bench.pass(Duration::from_secs(33));
    assert_eq!(bench.shard.active_calls(), 0, "no 487 came in 64×T1");
    let ok = response(&invite, 200, "t", ANSWER);
    let said = bench.receive(&ok.to_bytes());
    assert_eq!(methods(&said), ["ACK", "BYE"]);
    assert!(said.requests.iter().all(|request| field(request, &HeaderName::To).ends_with(";tag=t")));
    assert_eq!(methods(&bench.receive(&ok.to_bytes())), ["ACK"], "a copy");
    // A tag that was never ours gets nothing, or we would send where a stranger's Contact points.
    let mut foreign = ok.clone();
    foreign.headers.set(HeaderName::From, "<sip:a@b>;tag=guessed");
    assert!(bench.receive(&foreign.to_bytes()).requests.is_empty());
    // Nor do tags without end.
    let sent: usize = (0..20)
        .map(|i| bench.receive(&response(&invite, 200, &format!("x{i}"), ANSWER).to_bytes()).requests.len())
        .sum();
    assert_eq!(sent, 14, "eight dialogs in all are ended");
    bench.pass(Duration::from_secs(70));
    assert!(bench.shard.is_idle());
    assert!(bench.receive(&ok.to_bytes()).requests.is_empty(), "and it is forgotten");
}

#[test]
fn a_fork_that_answers_after_the_call_is_over_is_ended_too() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let bye = bench.input(Input::HangUp(call)).requests.remove(0);
    bench.receive(&reply::to(&bye, 200, None).to_bytes());
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    assert_eq!(bench.shard.active_calls(), 0);
    let said = bench.receive(&response(&invite, 200, "u", ANSWER).to_bytes());
    assert_eq!(methods(&said), ["ACK", "BYE"]);
    bench.pass(Duration::from_secs(70));
    assert!(bench.shard.is_idle());
}

#[test]
fn an_answer_that_is_cancelled_by_a_silent_callee_ends_in_time() {
    let mut bench = Bench::new();
    let (call, invite) = ring(&mut bench);
    bench.receive(&response(&invite, 180, "t", "").to_bytes());
    bench.pass(Duration::from_secs(21));
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.shard.active_calls(), 1, "the 487 may still come");
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.shard.active_calls(), 0, "64×T1 after the CANCEL");
}

#[test]
fn a_message_outside_any_call_is_taken_where_one_inside_is() {
    for message in [false, true] {
        let mut bench =
            Bench::with_policy(UnknownPeers::Drop, InDialogPolicy { info: false, message, refer: false });
        let text = in_dialog("m", "MESSAGE", 1, "", "Content-Type: text/plain\r\n", "hi");
        let said = bench.receive(text.replace(";tag=\r\n", "\r\n").as_bytes());
        assert_eq!(said.codes(), [if message { 200 } else { 405 }]);
        let allow = said.responses[0].headers.text(&HeaderName::Allow).unwrap_or_default();
        assert_eq!(allow.contains("MESSAGE"), message, "{allow}");
    }
}

#[test]
fn an_update_before_the_answer_waits_for_the_first_offer_to_be_settled() {
    // RFC 3311 §5.1.
    let mut bench = Bench::new();
    let call = bench.receive(invite("a", "+14155550102", "Require: 100rel\r\n").as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = tag_of(&said.responses[0]);
    let rseq = said.responses[0].headers.text(&HeaderName::RSeq).expect("RSeq").into_owned();
    let update = |cseq| in_dialog("a", "UPDATE", cseq, &tag, KIND, &SDP.replace("RTP/AVP 0", "RTP/AVP 8"));
    let early = bench.receive(update(2).as_bytes());
    assert_eq!(early.codes(), [500], "the answer in the 183 is not acknowledged");
    assert!(early.responses[0].headers.first(&HeaderName::RetryAfter).is_some());
    let prack = in_dialog("a", "PRACK", 3, &tag, &format!("RAck: {rseq} 1 INVITE\r\n"), "");
    assert_eq!(bench.receive(prack.as_bytes()).codes(), [200]);
    let said = bench.receive(update(4).as_bytes());
    assert_eq!(said.codes(), [200]);
    assert!(body_of(&said.responses[0]).contains("RTP/AVP 8"), "{}", body_of(&said.responses[0]));
    assert_eq!(updates(&said)[0].codec, Codec::Pcma);
}

#[test]
fn a_dialog_whose_connection_is_gone_and_that_names_no_hop_is_lost() {
    let ended = |contact: &str| {
        let mut bench = Bench::new();
        let over_tcp = |bench: &mut Bench, text: String| {
            let text = text.replace("SIP/2.0/UDP", "SIP/2.0/TCP");
            let text = text.replace("<sip:caller@192.0.2.20:5062>", contact);
            let message = read::datagram(&Bytes::from(text)).expect("a message");
            bench.receive_message(message, "192.0.2.20:40000", Transport::Tcp)
        };
        let call = over_tcp(&mut bench, invite("a", "+14155550100", "")).call();
        bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
        let said = bench.input(Input::AgentConnected(call, Ok(())));
        over_tcp(&mut bench, in_dialog("a", "ACK", 1, &tag_of(&said.responses[0]), "", ""));
        bench.input(Input::ConnectionLost(99));
        assert_eq!(bench.shard.active_calls(), 1);
        let said = bench.input(Input::ConnectionLost(1));
        said.outputs.iter().any(|output| matches!(output, Output::CloseRoom(_)))
    };
    assert!(ended("<tel:+14155550199>"), "nobody can be told: the call ends now");
    assert!(!ended("<sip:caller@192.0.2.20:5062>"), "a new connection can be opened");
}

#[test]
fn a_secure_call_has_a_secure_contact() {
    // RFC 3261 §12.1.1.
    let contact = |text: String| {
        let mut bench = Bench::new();
        let said = bench.receive(text.as_bytes());
        said.responses[1].headers.text(&HeaderName::Contact).expect("Contact").into_owned()
    };
    let plain = invite("a", "+14155550100", "");
    assert_eq!(contact(plain.clone()), "<sip:192.0.2.10:5060>");
    assert_eq!(contact(plain.replace("INVITE sip:", "INVITE sips:")), "<sips:192.0.2.10:5060>");
    assert_eq!(contact(plain.replace("<sip:caller", "<sips:caller")), "<sips:192.0.2.10:5060>");
    let routed = invite("a", "+14155550100", "Record-Route: <sips:192.0.2.41;lr>\r\n");
    assert_eq!(contact(routed), "<sips:192.0.2.10:5060>");
}

#[test]
fn a_peer_without_session_timers_is_refreshed_by_us_whatever_a_proxy_wrote() {
    let mut bench = Bench::new();
    let text = invite("a", "+14155550100", "Session-Expires: 200;refresher=uac\r\n");
    let (_, _, said) = talk_by(&mut bench, &text);
    let ok = &said.last().expect("a 200").headers;
    assert_eq!(ok.text(&HeaderName::SessionExpires).as_deref(), Some("200;refresher=uas"));
    assert!(!ok.lists(&HeaderName::Require, "timer"));
    assert_eq!(methods(&bench.pass(Duration::from_secs(100))), ["INVITE"]);
}

#[test]
fn a_refresh_without_an_answer_ends_with_the_session() {
    let mut bench = Bench::new();
    let text = invite("a", "+14155550100", "Session-Expires: 120\r\n");
    let (call, _, _) = talk_by(&mut bench, &text);
    let refresh = bench.pass(Duration::from_secs(60)).requests.remove(0);
    assert_eq!(refresh.method.as_str(), "INVITE");
    bench.receive(&reply::to(&refresh, 100, None).to_bytes());
    let said = bench.pass(Duration::from_secs(29));
    assert_eq!(methods(&said)[..1], ["BYE"], "32 s before the end of the session");
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    bench.pass(Duration::from_secs(70));
    assert!(bench.shard.is_idle(), "its transaction is not kept for ever");
}

#[test]
fn a_reliable_ringing_that_nobody_acknowledges_ends_in_504() {
    // RFC 3262 §3.
    let mut bench = Bench::new();
    let text = TABLE.replace("inbound = \"echo\"", "inbound = \"echo\"\nringing_timeout_seconds = 60");
    let (table, _) = load(&[Source { name: "t".to_owned(), text }], None).expect("loads");
    bench.input(Input::Reload(Arc::new(table)));
    let call = bench.receive(invite("a", "+14155550100", "Require: 100rel\r\n").as_bytes()).call();
    let said = bench.pass(Duration::from_secs(33));
    assert_eq!(said.codes()[..6], [180; 6], "0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s");
    assert_eq!(said.codes()[6], 504);
    let record = bench.input(Input::RoomClosed(call, MediaStats::default())).record().clone();
    assert_eq!((record.sip_code, record.status), (504, Status::of_code(504)));
}

#[test]
fn an_offer_that_meets_ours_is_pending_and_a_second_one_comes_back_later() {
    let mut bench = Bench::new();
    let text = invite("a", "+14155550100", "Session-Expires: 200\r\nAllow: INVITE\r\n");
    let (_, tag, _) = talk_by(&mut bench, &text);
    let refresh = bench.pass(Duration::from_secs(100)).requests.remove(0);
    let glare = bench.receive(in_dialog("a", "INVITE", 2, &tag, KIND, SDP).as_bytes());
    assert_eq!(glare.codes(), [491], "RFC 3261 §14.2");
    bench.receive(in_dialog("a", "ACK", 2, &tag, "", "").replace("aACK2", "aINVITE2").as_bytes());
    let mut ok = reply::to(&refresh, 200, None);
    ok.headers.push(HeaderName::ContentType, "application/sdp");
    ok.body = Bytes::from_static(SDP.as_bytes());
    bench.receive(&ok.to_bytes());
    // Our offer went out in the 200 to an INVITE without one; its answer, in the ACK, is not there yet.
    assert_eq!(bench.receive(in_dialog("a", "INVITE", 3, &tag, "", "").as_bytes()).codes(), [200]);
    let second = bench.receive(in_dialog("a", "INVITE", 4, &tag, KIND, SDP).as_bytes());
    assert_eq!(second.codes(), [500]);
    let wait = second.responses[0].headers.text(&HeaderName::RetryAfter).and_then(|text| text.parse().ok());
    assert!(wait.is_some_and(|seconds: u32| seconds < 10), "0 to 10 s");
}

#[test]
fn a_session_that_is_too_short_is_refused_inside_the_dialog_and_ours_is_lengthened() {
    let mut bench = Bench::new();
    let text = invite("a", "+14155550100", "Session-Expires: 200\r\nAllow: INVITE, UPDATE\r\n");
    let (_, tag, _) = talk_by(&mut bench, &text);
    for (method, cseq) in [("INVITE", 2), ("UPDATE", 3)] {
        let more = format!("Supported: timer\r\nSession-Expires: 60\r\n{KIND}");
        let said = bench.receive(in_dialog("a", method, cseq, &tag, &more, SDP).as_bytes());
        assert_eq!(said.codes(), [422], "{method}");
        assert_eq!(said.responses[0].headers.text(&HeaderName::MinSe).as_deref(), Some("90"));
        bench.receive(in_dialog("a", "ACK", 2, &tag, "", "").replace("aACK2", "aINVITE2").as_bytes());
    }
    let refresh = bench.pass(Duration::from_secs(100)).requests.remove(0);
    assert_eq!(field(&refresh, &HeaderName::SessionExpires), "200;refresher=uac");
    let mut refusal = reply::to(&refresh, 422, None);
    refusal.headers.push(HeaderName::MinSe, "600");
    let again = bench.receive(&refusal.to_bytes()).requests.remove(0);
    assert_eq!(field(&again, &HeaderName::SessionExpires), "600;refresher=uac");
}

#[test]
fn hold_by_inactive_and_by_an_address_of_zeros() {
    let mut bench = Bench::new();
    let (_, tag) = bench.talk("a", "+14155550100");
    let inactive = format!("{SDP}a=inactive\r\n");
    let said = bench.receive(in_dialog("a", "INVITE", 2, &tag, KIND, &inactive).as_bytes());
    assert!(said.codes() == [200] && body_of(&said.responses[0]).contains("a=inactive"));
    assert!(updates(&said).iter().all(|spec| !spec.sends && !spec.receives));
    bench.receive(in_dialog("a", "ACK", 2, &tag, "", "").as_bytes());
    let zeros = SDP.replace("c=IN IP4 192.0.2.20", "c=IN IP4 0.0.0.0");
    let said = bench.receive(in_dialog("a", "UPDATE", 3, &tag, KIND, &zeros).as_bytes());
    assert_eq!(said.codes(), [200]);
    assert!(updates(&said).iter().all(|spec| !spec.sends && spec.remote.is_none()), "{:?}", updates(&said));
    let said = bench.receive(in_dialog("a", "UPDATE", 4, &tag, KIND, SDP).as_bytes());
    let resumed = updates(&said);
    assert!(resumed.len() == 1 && resumed[0].sends && resumed[0].receives, "{resumed:?}");
}

#[test]
fn a_session_timer_of_the_invite_outlives_an_update_before_the_answer() {
    let mut bench = Bench::new();
    let fields = "Supported: timer\r\nSession-Expires: 200;refresher=uac\r\n";
    let said = bench.receive(invite("a", "+14155550100", fields).as_bytes());
    let (call, tag) = (said.call(), tag_of(&said.responses[1]));
    assert_eq!(bench.receive(in_dialog("a", "UPDATE", 2, &tag, "", "").as_bytes()).codes(), [200]);
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let told = said.responses[0].headers.text(&HeaderName::SessionExpires);
    assert_eq!(told.as_deref(), Some("200;refresher=uac"));
}
