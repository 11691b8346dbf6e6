//! An agent that is a SIP endpoint: its leg is placed, answered, refused, given up.

use trunkline_sdp::{Hearing, Members};
use trunkline_sip::{HeaderName, Method};

use super::ladders::address;
use super::outgoing::{ANSWER, field, flow, methods, response};
use super::transfers::{callee_bye, over, second};
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
"#;

fn bench() -> Bench {
    let mut bench = Bench::new();
    let source = Source { name: "t".to_owned(), text: SIP_AGENT.to_owned() };
    let (table, problems) = load(&[source], None).expect("loads");
    assert!(problems.is_empty(), "{problems:?}");
    bench.input(Input::Reload(Arc::new(table)));
    bench
}

/// A call whose agent is being called: the INVITE to it.
fn calling() -> (Bench, CallHandle, trunkline_sip::Request) {
    let mut bench = bench();
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
