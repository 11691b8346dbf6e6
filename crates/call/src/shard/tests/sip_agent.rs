//! An agent that is a SIP endpoint: its leg is placed, answered, refused, given up.

use trunkline_sdp::control::TransferMode;
use trunkline_sdp::media::Sound;
use trunkline_sdp::{Hearing, Members};
use trunkline_sip::{HeaderName, Method, Request};

use super::ladders::address;
use super::outgoing::{ANSWER, field, flow, methods, response};
use super::transfers::{among, ask, callee_bye, hang_up, hearing, over, results, second, sounds, to};
use super::*;
use crate::EndedBy;

const SIP_AGENT: &str = r#"
[[agent]]
name = "bot"
connect = "sip:assistant@192.0.2.20:5062"
[[trunk]]
name = "carrier"
allowed_addresses = ["192.0.2.0/24"]
address = "192.0.2.20:5062"
[[number]]
number = "+14155550100"
inbound = "bot"
allowed_destinations = ["+1415*"]
"#;

fn bench() -> Bench {
    bench_of(SIP_AGENT)
}

fn bench_of(text: &str) -> Bench {
    let mut bench = Bench::new();
    let source = Source { name: "t".to_owned(), text: text.to_owned() };
    let (table, problems) = load(&[source], None).expect("loads");
    assert!(problems.is_empty(), "{problems:?}");
    bench.input(Input::Reload(Arc::new(table)));
    bench
}

/// A call whose agent is being called: the INVITE to it.
fn calling() -> (Bench, CallHandle, Request) {
    calling_by(bench())
}

fn calling_by(mut bench: Bench) -> (Bench, CallHandle, Request) {
    let said = bench.receive(invite("a", "+14155550100", "").as_bytes());
    assert_eq!(said.codes(), [100, 180]);
    let call = said.call();
    let said = bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let finds = |output: &Output| matches!(output, Output::FindFlow { member, .. } if *member == second());
    let connects = |output: &Output| matches!(output, Output::ConnectAgent(..));
    assert!(said.outputs.iter().any(finds) && !said.outputs.iter().any(connects));
    let said = bench.input(Input::FlowFound(call, second(), Ok((flow("192.0.2.20:5062"), false))));
    let opens = |output: &Output| matches!(output, Output::OpenMedia { member, .. } if *member == second());
    assert!(said.outputs.iter().any(opens));
    let mut said = bench.input(Input::MediaOpened(call, second(), Some(address("192.0.2.10:10002"))));
    assert_eq!(methods(&said), ["INVITE"]);
    (bench, call, said.requests.remove(0))
}

#[test]
fn the_caller_is_answered_when_the_agent_answers_and_they_hear_each_other() {
    let (mut bench, call, request) = calling();
    assert_eq!(request.uri().expect("an address").to_string(), "sip:assistant@192.0.2.20:5062");
    assert!(field(&request, &HeaderName::From).starts_with("<sip:+14155550199@"), "the agent sees who calls");
    let said = bench.receive(&response(&request, 200, "t", ANSWER).to_bytes());
    assert_eq!((methods(&said), said.codes()), (vec!["ACK"], vec![200]));
    let talk = Hearing::among(Members::of(&[Member::FIRST, second()]));
    assert!(said.outputs.iter().any(|output| matches!(output, Output::Arrange(_, heard) if *heard == talk)));
    assert!(said.outputs.iter().any(|output| matches!(output, Output::StartRoom(_))));
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    // The agent hangs up: so does the caller's leg.
    let mut said = bench.receive(&callee_bye(&request));
    assert_eq!((said.codes(), methods(&said)), (vec![200], vec!["BYE"]));
    let bye = said.requests.remove(0);
    bench.receive(&response(&bye, 200, "x", "").to_bytes());
    let record = over(&mut bench, call);
    assert_eq!((record.ended_by, record.reason.as_str()), (EndedBy::Agent, "the agent hung up"));
    assert_eq!((record.agent.as_deref(), record.sip_code), (Some("bot"), 200));
    assert_eq!(record.transferred_to, None);
}

#[test]
fn a_call_that_leaves_again_takes_a_hop_and_needs_one() {
    let (_, _, request) = calling();
    assert_eq!(field(&request, &HeaderName::MaxForwards), "69");
    let mut bench = bench();
    let spent = invite("a", "+14155550100", "").replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(bench.receive(spent.as_bytes()).codes().last(), Some(&483));
}

#[test]
fn an_agent_that_refuses_is_480() {
    let (mut bench, call, request) = calling();
    let said = bench.receive(&response(&request, 603, "t", "").to_bytes());
    assert_eq!((methods(&said), said.codes()), (vec!["ACK"], vec![480]));
    bench.receive(in_dialog("a", "ACK", 1, "", "", "").as_bytes());
    let record = over(&mut bench, call);
    assert!(record.reason.starts_with("agent bot cannot be reached"), "{}", record.reason);
    assert_eq!(record.sip_code, 480);
}

#[test]
fn a_caller_that_gives_up_has_the_agent_given_up() {
    let (mut bench, call, request) = calling();
    bench.receive(&response(&request, 180, "t", "").to_bytes());
    let cancel =
        invite("a", "+14155550100", "").replace("INVITE sip", "CANCEL sip").replace("1 INVITE", "1 CANCEL");
    let mut said = bench.receive(cancel.as_bytes());
    assert_eq!(said.codes(), [200, 487]);
    assert_eq!(methods(&said), ["CANCEL"]);
    let cancelled = said.requests.remove(0);
    bench.receive(&response(&cancelled, 200, "t", "").to_bytes());
    bench.receive(&response(&request, 487, "t", "").to_bytes());
    let record = over(&mut bench, call);
    assert_eq!((record.ended_by, record.sip_code), (EndedBy::Caller, 487));
}

#[test]
fn an_agent_that_never_answers_is_given_up_in_time() {
    let (mut bench, call, request) = calling();
    bench.receive(&response(&request, 180, "t", "").to_bytes());
    let said = bench.pass(Duration::from_secs(31));
    assert!(said.codes().contains(&480), "{:?}", said.codes());
    assert!(said.requests.iter().any(|request| request.method == Method::Cancel));
    bench.receive(&response(&request, 487, "t", "").to_bytes());
    assert_eq!(over(&mut bench, call).sip_code, 480);
}

const TARGET: &str = "+14155550177";

fn third() -> Member {
    Member::leg(2).expect("a place")
}

/// A caller who talks to an agent on SIP: the INVITE to that, and our tag of the caller's leg.
fn talking() -> (Bench, CallHandle, Request, String) {
    let obeyed = SIP_AGENT.replace("address = \"192.0.2.20", "accept_refer = true\naddress = \"192.0.2.20");
    talking_by(&obeyed)
}

fn talking_by(text: &str) -> (Bench, CallHandle, Request, String) {
    let (mut bench, call, request) = calling_by(bench_of(text));
    let said = bench.receive(&response(&request, 200, "t", ANSWER).to_bytes());
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    (bench, call, request, tag)
}

/// The agent has us call somebody.
fn refers(bench: &mut Bench, invite: &Request, target: &str) -> Said {
    refers_again(bench, invite, 2, target)
}

fn refers_again(bench: &mut Bench, invite: &Request, cseq: usize, target: &str) -> Said {
    let bye = String::from_utf8(callee_bye(invite)).expect("text");
    let fields = format!("Contact: <sip:192.0.2.20:5062>\r\nRefer-To: {target}\r\nContent-Length");
    let refer = bye
        .replace("BYE sip", "REFER sip")
        .replace("7 BYE", &format!("{cseq} REFER"))
        .replace("calleebye", &format!("refer{cseq}"))
        .replace("Content-Length", &fields);
    bench.receive(refer.as_bytes())
}

/// The INVITE to whom it named.
fn target_called(bench: &mut Bench, call: CallHandle) -> Request {
    bench.input(Input::FlowFound(call, third(), Ok((flow("192.0.2.20:5062"), false))));
    let mut said = bench.input(Input::MediaOpened(call, third(), Some(address("192.0.2.10:10004"))));
    assert_eq!(methods(&said), ["INVITE"]);
    said.requests.remove(0)
}

/// What a NOTIFY of ours tells; it is answered.
fn told(bench: &mut Bench, said: &Said) -> String {
    let notify = said.requests.iter().find(|request| request.method == Method::Notify).expect("a NOTIFY");
    bench.receive(&response(notify, 200, "t", "").to_bytes());
    String::from_utf8_lossy(&notify.body).into_owned()
}

#[test]
fn an_agent_on_sip_has_its_caller_put_through_by_refer() {
    let (mut bench, call, request, tag) = talking();
    let said = refers(&mut bench, &request, "<tel:+14155550177>");
    assert_eq!(said.codes(), [202]);
    assert_eq!(told(&mut bench, &said), "SIP/2.0 100 Trying\r\n");
    assert_eq!(sounds(&said), [(Member::FIRST, Sound::Ringback)], "the caller hears it ring");
    let invite = target_called(&mut bench, call);
    let said = bench.receive(&response(&invite, 200, "u", ANSWER).to_bytes());
    assert_eq!(told(&mut bench, &said), "SIP/2.0 200 OK\r\n");
    assert_eq!(hearing(&said), among(&[Member::FIRST, third()]));
    assert!(results(&said)[0].ok && !methods(&said).contains(&"BYE"), "the agent may hang up first");
    let said = bench.receive(&callee_bye(&request));
    assert_eq!((said.codes(), methods(&said)), (vec![200], vec![]), "the call goes on without it");
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!(methods(&said), ["BYE"]);
    bench.receive(&response(&said.requests[0], 200, "x", "").to_bytes());
    let record = over(&mut bench, call);
    assert_eq!((record.transferred_to.as_deref(), record.ended_by), (Some(TARGET), EndedBy::Caller));
    assert_eq!(record.agent.as_deref(), Some("bot"));
}

#[test]
fn an_agent_on_sip_that_stays_behind_its_refer_is_hung_up_on() {
    let (mut bench, call, request, _) = talking();
    refers(&mut bench, &request, "<sip:+14155550177@192.0.2.20>");
    let invite = target_called(&mut bench, call);
    bench.receive(&response(&invite, 200, "u", ANSWER).to_bytes());
    let said = bench.pass(Duration::from_secs(2));
    let byes: Vec<_> = said.requests.iter().filter(|request| request.method == Method::Bye).collect();
    assert_eq!(byes.len(), 1, "the agent's leg only");
    assert_eq!(field(byes[0], &HeaderName::CallId), field(&request, &HeaderName::CallId));
    bench.receive(&response(byes[0], 200, "t", "").to_bytes());
    assert_eq!(hang_up(&mut bench, call).transferred_to.as_deref(), Some(TARGET));
}

#[test]
fn who_an_agent_on_sip_refers_to_and_does_not_come_gives_the_caller_back() {
    for leaves in [false, true] {
        let (mut bench, call, request, _) = talking();
        let said = refers(&mut bench, &request, "<tel:+14155550177>");
        told(&mut bench, &said);
        let invite = target_called(&mut bench, call);
        if leaves {
            let said = bench.receive(&callee_bye(&request));
            assert_eq!((said.codes(), methods(&said)), (vec![200], vec![]), "somebody is called still");
        }
        let said = bench.receive(&response(&invite, 486, "u", "").to_bytes());
        assert!(!results(&said)[0].ok && results(&said)[0].code == Some(486));
        if leaves {
            assert!(methods(&said).contains(&"BYE"), "nobody is left for the caller");
            let record = over(&mut bench, call);
            assert!(
                record.reason.starts_with("the agent left, and the transfer failed"),
                "{}",
                record.reason
            );
            continue;
        }
        assert_eq!(told(&mut bench, &said), "SIP/2.0 486 Busy Here\r\n");
        assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
        assert!(said.outputs.iter().any(|output| matches!(output, Output::Hush(_, Member::FIRST))));
        let record = hang_up(&mut bench, call);
        assert_eq!((record.transferred_to, record.transfer.expect("told").code), (None, Some(486)));
    }
}

#[test]
fn a_refer_of_an_agent_on_sip_is_obeyed_where_its_trunk_and_the_number_allow_it() {
    let (mut bench, call, request, _) = talking();
    let denied = ["<tel:+14165550199>", "<sip:+19005550199@192.0.2.20>", "<tel:911>"];
    for (cseq, target) in (2..).zip(denied) {
        let said = refers_again(&mut bench, &request, cseq, target);
        assert_eq!((said.codes(), methods(&said)), (vec![603], vec![]), "{target}");
    }
    hang_up(&mut bench, call);
    let (mut bench, call, request, _) = talking_by(SIP_AGENT);
    assert_eq!(refers(&mut bench, &request, "<tel:+14155550177>").codes(), [603]);
    hang_up(&mut bench, call);
}

#[test]
fn the_api_puts_the_caller_of_an_agent_on_sip_through() {
    // By a second leg: the agent is hung up on.
    let (mut bench, call, request, _) = talking();
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    assert_eq!(sounds(&said), [(Member::FIRST, Sound::Ringback)]);
    let invite = target_called(&mut bench, call);
    let said = bench.receive(&response(&invite, 200, "u", ANSWER).to_bytes());
    assert_eq!((methods(&said), hearing(&said)), (vec!["ACK", "BYE"], among(&[Member::FIRST, third()])));
    assert_eq!(field(&said.requests[1], &HeaderName::CallId), field(&request, &HeaderName::CallId));
    bench.receive(&response(&said.requests[1], 200, "t", "").to_bytes());
    assert_eq!(hang_up(&mut bench, call).transferred_to.as_deref(), Some(TARGET));
    // By REFER to the carrier, which refuses: the two talk on.
    let (mut bench, call, ..) = talking();
    let mut said = ask(&mut bench, call, to(TransferMode::Cold));
    assert_eq!(methods(&said), ["REFER"]);
    let refer = said.requests.remove(0);
    assert_eq!(field(&refer, &HeaderName::CallId), "a");
    let said = bench.receive(&response(&refer, 603, "x", "").to_bytes());
    assert!(!results(&said)[0].ok && methods(&said).is_empty());
    assert!(hearing(&said).is_none_or(|heard| Some(heard) == among(&[Member::FIRST, second()])));
    // With the agent's introduction.
    let said = ask(&mut bench, call, to(TransferMode::Warm));
    assert_eq!(
        (sounds(&said), hearing(&said)),
        (vec![(Member::FIRST, Sound::Music)], among(&[second(), third()]))
    );
    let invite = target_called(&mut bench, call);
    bench.receive(&response(&invite, 200, "u", ANSWER).to_bytes());
    let said = bench.input(Input::CompleteTransfer(call, false));
    assert_eq!((methods(&said), hearing(&said)), (vec!["BYE"], among(&[Member::FIRST, third()])));
    bench.receive(&response(&said.requests[0], 200, "t", "").to_bytes());
    assert_eq!(hang_up(&mut bench, call).transferred_to.as_deref(), Some(TARGET));
}

#[test]
fn a_caller_of_an_agent_on_sip_is_held_and_heard_again() {
    let (mut bench, call, ..) = talking();
    let said = bench.input(Input::Hold(call, true));
    assert_eq!((methods(&said), hearing(&said)), (vec!["INVITE"], among(&[second()])));
    bench.receive(&response(&said.requests[0], 200, "x", ANSWER).to_bytes());
    let said = bench.input(Input::Hold(call, false));
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
    bench.receive(&response(&said.requests[0], 200, "x", ANSWER).to_bytes());
    hang_up(&mut bench, call);
}
