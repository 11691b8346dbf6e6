//! Ladders of transfers: by REFER, by a second leg of ours, with the agent's introduction.

use trunkline_sdp::control::{
    AgentAsk, AgentNews, Completion, Fallback, Transfer, TransferMode, TransferResult,
};
use trunkline_sdp::media::{RoomEvent, Sound};
use trunkline_sdp::{Hearing, Members};
use trunkline_sip::{HeaderName, Request};

use super::ladders::address;
use super::outgoing::{ANSWER, field, flow, methods, response};
use super::*;
use crate::EndedBy;

pub(super) const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["192.0.2.0/24"]
address = "192.0.2.20:5062"
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
allowed_destinations = ["+1415*", "sip:*@192.0.2.20"]
ringing_timeout_seconds = 20
"#;

const TARGET: &str = "+14155550177";

pub(super) fn second() -> Member {
    Member::leg(1).expect("a place")
}

/// A call whose caller talks to the agent, and our tag of it.
pub(super) fn talking() -> (Bench, CallHandle, String) {
    talking_by(TABLES)
}

pub(super) fn talking_by(text: &str) -> (Bench, CallHandle, String) {
    let mut bench = Bench::new();
    let source = Source { name: "t".to_owned(), text: text.to_owned() };
    let (table, problems) = load(&[source], None).expect("loads");
    assert!(problems.is_empty(), "{problems:?}");
    bench.input(Input::Reload(Arc::new(table)));
    let (call, tag) = bench.talk("a", "+14155550100");
    (bench, call, tag)
}

pub(super) fn to(mode: TransferMode) -> Transfer {
    Transfer { to: TARGET.to_owned(), mode, ..Transfer::default() }
}

pub(super) fn ask(bench: &mut Bench, call: CallHandle, transfer: Transfer) -> Said {
    bench.input(Input::Room(call, RoomEvent::Ask(Box::new(AgentAsk::Transfer { transfer }))))
}

/// The REFER that a cold transfer sends.
pub(super) fn refer(bench: &mut Bench, call: CallHandle, fallback: Fallback) -> Request {
    let mut said = ask(bench, call, Transfer { fallback, ..to(TransferMode::Cold) });
    assert_eq!(methods(&said), ["REFER"]);
    said.requests.remove(0)
}

pub(super) fn answer(bench: &mut Bench, request: &Request, code: u16) -> Said {
    bench.receive(&response(request, code, "x", "").to_bytes())
}

/// A NOTIFY of the caller's side, and what we make of it beside its 200.
pub(super) fn notify(bench: &mut Bench, cseq: u32, tag: &str, state: &str, fragment: &str) -> Said {
    let more = format!(
        "Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n"
    );
    let said = bench.receive(in_dialog("a", "NOTIFY", cseq, tag, &more, fragment).as_bytes());
    assert_eq!(said.codes(), [200], "a NOTIFY is answered whatever it tells");
    said
}

pub(super) fn results(said: &Said) -> Vec<TransferResult> {
    let told = |output: &Output| match output {
        Output::TransferEnded(_, result) => Some((**result).clone()),
        _ => None,
    };
    said.outputs.iter().filter_map(told).collect()
}

/// What the agent was told of transfers.
pub(super) fn news(said: &Said) -> Vec<AgentNews> {
    let told = |output: &Output| match output {
        Output::Tell(_, news) => Some((**news).clone()),
        _ => None,
    };
    said.outputs.iter().filter_map(told).collect()
}

pub(super) fn hearing(said: &Said) -> Option<Hearing> {
    let arranged = |output: &Output| match output {
        Output::Arrange(_, hearing) => Some(*hearing),
        _ => None,
    };
    said.outputs.iter().filter_map(arranged).last()
}

pub(super) fn sounds(said: &Said) -> Vec<(Member, Sound)> {
    let played = |output: &Output| match output {
        Output::Play { member, sound, .. } => Some((*member, sound.clone())),
        _ => None,
    };
    said.outputs.iter().filter_map(played).collect()
}

pub(super) fn among(members: &[Member]) -> Option<Hearing> {
    Some(Hearing::among(Members::of(members)))
}

pub(super) fn drops_agent(said: &Said) -> bool {
    said.outputs.iter().any(|output| matches!(output, Output::DropAgent(_)))
}

/// From the wish for a second leg to its INVITE.
pub(super) fn called(bench: &mut Bench, call: CallHandle, said: &Said) -> Request {
    let finds = |output: &Output| matches!(output, Output::FindFlow { member, .. } if *member == second());
    assert!(said.outputs.iter().any(finds), "the way is sought");
    let said = bench.input(Input::FlowFound(call, second(), Ok((flow("192.0.2.20:5062"), false))));
    let opens = |output: &Output| matches!(output, Output::OpenMedia { member, .. } if *member == second());
    assert!(said.outputs.iter().any(opens), "a port is opened");
    let mut said = bench.input(Input::MediaOpened(call, second(), Some(address("192.0.2.10:10002"))));
    assert_eq!(methods(&said), ["INVITE"]);
    said.requests.remove(0)
}

pub(super) fn callee_bye(invite: &Request) -> Vec<u8> {
    format!(
        "BYE sip:192.0.2.10:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bKcalleebye\r\nMax-Forwards: 70\r\nFrom: {};tag=t\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n",
        field(invite, &HeaderName::To),
        field(invite, &HeaderName::From),
        field(invite, &HeaderName::CallId),
    )
    .into_bytes()
}

/// The call ends and nothing is left of it.
pub(super) fn over(bench: &mut Bench, call: CallHandle) -> crate::CallRecord {
    let record = bench.input(Input::RoomClosed(call, MediaStats::default())).record().clone();
    bench.pass(Duration::from_secs(70));
    assert!(bench.shard.is_idle());
    record
}

pub(super) fn hang_up(bench: &mut Bench, call: CallHandle) -> crate::CallRecord {
    bench.input(Input::HangUp(call));
    over(bench, call)
}

#[test]
fn a_cold_transfer_is_followed_to_its_end() {
    let (mut bench, call, tag) = talking();
    let request = refer(&mut bench, call, Fallback::None);
    assert_eq!(field(&request, &HeaderName::ReferTo), "<sip:+14155550177@192.0.2.20>");
    assert_eq!(field(&request, &HeaderName::ReferredBy), "<sip:+14155550100@192.0.2.10>");
    assert!(!field(&request, &HeaderName::Contact).is_empty(), "RFC 3515 §2.2");
    answer(&mut bench, &request, 202);
    let said = notify(&mut bench, 2, &tag, "active;expires=60", "SIP/2.0 100 Trying\r\n");
    assert!(results(&said).is_empty());
    let said = notify(&mut bench, 3, &tag, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n");
    assert!(results(&said)[0].ok && methods(&said).is_empty(), "the peer may hang up first");
    assert!(
        matches!(&news(&said)[..], [AgentNews::TransferResult { transfer_result }] if transfer_result.ok)
    );
    let mut said = bench.pass(Duration::from_secs(2));
    assert_eq!(methods(&said), ["BYE"]);
    let bye = said.requests.remove(0);
    // A NOTIFY after our BYE is answered too.
    notify(&mut bench, 4, &tag, "terminated", "SIP/2.0 200 OK\r\n");
    answer(&mut bench, &bye, 200);
    let record = over(&mut bench, call);
    assert_eq!((record.transferred_to.as_deref(), record.reason.as_str()), (Some(TARGET), "transferred"));
}

#[test]
fn a_bye_after_the_202_means_that_it_worked() {
    let (mut bench, call, tag) = talking();
    let request = refer(&mut bench, call, Fallback::None);
    answer(&mut bench, &request, 202);
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!(said.codes(), [200]);
    assert!(results(&said)[0].ok);
    assert_eq!(over(&mut bench, call).transferred_to.as_deref(), Some(TARGET));
    // Before it the caller has hung up.
    let (mut bench, call, tag) = talking();
    refer(&mut bench, call, Fallback::None);
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert!(!results(&said)[0].ok);
    let record = over(&mut bench, call);
    assert_eq!((record.transferred_to, record.reason.as_str()), (None, "the caller hung up"));
}

#[test]
fn a_transfer_before_the_ack_waits_for_it() {
    let mut bench = Bench::new();
    let source = Source { name: "t".to_owned(), text: TABLES.to_owned() };
    bench.input(Input::Reload(Arc::new(load(&[source], None).expect("loads").0)));
    let call = bench.receive(invite("a", "+14155550100", "").as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let tag = said.responses[0].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    assert!(methods(&ask(&mut bench, call, to(TransferMode::Cold))).is_empty());
    let said = bench.receive(in_dialog("a", "ACK", 1, &tag, "", "").as_bytes());
    assert_eq!(methods(&said), ["REFER"]);
    answer(&mut bench, &said.requests[0], 202);
    bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!(over(&mut bench, call).transferred_to.as_deref(), Some(TARGET));
}

#[test]
fn what_fails_leaves_the_call_with_its_agent() {
    // Refused, refused late, ended without an outcome, no outcome at all, no answer at all.
    for case in 0..5 {
        let (mut bench, call, tag) = talking();
        let request = refer(&mut bench, call, Fallback::None);
        if (1..4).contains(&case) {
            answer(&mut bench, &request, 202);
        }
        let said = match case {
            0 => answer(&mut bench, &request, 603),
            1 => notify(&mut bench, 2, &tag, "terminated", "SIP/2.0 486 Busy Here\r\n"),
            2 => notify(&mut bench, 2, &tag, "terminated;reason=giveup", ""),
            _ => bench.pass(Duration::from_secs(61)),
        };
        let code = [Some(603), Some(486), None, None, Some(408)][case];
        let result = results(&said).remove(0);
        assert_eq!((result.ok, result.code), (false, code), "{case} {result:?}");
        assert!(!drops_agent(&said) && hearing(&said).is_none(), "nothing has changed for the two");
        // It can be tried again.
        refer(&mut bench, call, Fallback::None);
        let record = hang_up(&mut bench, call);
        assert_eq!((record.transferred_to, record.transfer.map(|result| result.ok)), (None, Some(false)));
    }
}

#[test]
fn a_definite_failure_has_us_call_ourselves_and_nothing_else_does() {
    for (code, calls) in [(405, true), (603, true), (480, true), (408, false), (481, false), (491, false)] {
        let (mut bench, call, _) = talking();
        let request = refer(&mut bench, call, Fallback::Bridge);
        let said = answer(&mut bench, &request, code);
        assert_eq!(results(&said).is_empty(), calls, "{code}");
        if calls {
            let invite = called(&mut bench, call, &said);
            assert_eq!(invite.target, "sip:+14155550177@192.0.2.20:5062");
        }
    }
    let (mut bench, call, tag) = talking();
    let request = refer(&mut bench, call, Fallback::Bridge);
    answer(&mut bench, &request, 202);
    let said = notify(&mut bench, 2, &tag, "terminated", "SIP/2.0 503 Service Unavailable\r\n");
    called(&mut bench, call, &said);
    let (mut bench, call, _) = talking();
    let request = refer(&mut bench, call, Fallback::Bridge);
    answer(&mut bench, &request, 202);
    let said = bench.pass(Duration::from_secs(61));
    assert!(!results(&said)[0].ok && methods(&said).is_empty(), "a mere time-out would dial twice");
}

#[test]
fn nothing_is_sent_to_where_the_number_may_not_go() {
    let (mut bench, call, _) = talking();
    for target in
        ["+14165550199", "+19005550199", "911", "sip:anna@elsewhere.example", "sip:a@192.0.2.20>\r\nX: 1"]
    {
        for mode in [TransferMode::Cold, TransferMode::Bridge, TransferMode::Warm] {
            let said = ask(&mut bench, call, Transfer { to: target.to_owned(), ..to(mode) });
            assert!(methods(&said).is_empty() && sounds(&said).is_empty(), "{target}");
            assert!(!results(&said)[0].ok, "{target}");
        }
    }
    let said = bench.input(Input::Transfer(CallHandle(7), Box::new(to(TransferMode::Cold))));
    assert!(!results(&said)[0].ok, "no such call");
    hang_up(&mut bench, call);
}

#[test]
fn a_bridge_joins_the_two_and_the_agent_leaves() {
    let (mut bench, call, tag) = talking();
    let said = bench.input(Input::Transfer(call, Box::new(to(TransferMode::Bridge))));
    assert_eq!(
        (sounds(&said), hearing(&said)),
        (vec![(Member::FIRST, Sound::Ringback)], Some(Hearing::default()))
    );
    let invite = called(&mut bench, call, &said);
    assert!(field(&invite, &HeaderName::From).starts_with("<sip:+14155550100@"), "a number of ours calls");
    bench.receive(&response(&invite, 180, "t", "").to_bytes());
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(methods(&said), ["ACK"]);
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
    assert!(drops_agent(&said) && results(&said)[0].ok);
    let quiet = |member| said.outputs.iter().any(|o| matches!(o, Output::Hush(_, whom) if *whom == member));
    assert!(quiet(Member::FIRST));
    // What the agent's socket still says changes nothing, and neither does another transfer.
    assert!(methods(&bench.input(Input::Room(call, RoomEvent::AgentLeft))).is_empty());
    assert!(!results(&ask(&mut bench, call, to(TransferMode::Cold)))[0].ok);
    // Either hangs up, the other hears of it.
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!(methods(&said), ["BYE"]);
    answer(&mut bench, &said.requests[0], 200);
    let record = over(&mut bench, call);
    assert_eq!((record.transferred_to.as_deref(), record.ended_by), (Some(TARGET), EndedBy::Caller));
}

/// What further legs were counted, and which of them given back.
fn counted(said: &Said) -> (Vec<u32>, Vec<Option<u32>>) {
    let mut legs = (Vec::new(), Vec::new());
    for output in &said.outputs {
        match output {
            Output::FindFlow { counts: Some((nth, trunk)), .. } => {
                assert_eq!(trunk.name, "carrier");
                legs.0.push(*nth);
            }
            Output::LegGone(_, nth) => legs.1.push(*nth),
            _ => {}
        }
    }
    legs
}

#[test]
fn a_further_leg_counts_on_its_trunk_until_it_is_gone() {
    let (mut bench, call, _) = talking();
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    assert_eq!(counted(&said), (vec![1], vec![]));
    // The trunk carries as many as it may: the agent is told, and the next try counts as another.
    let said = bench.input(Input::FlowFound(call, second(), Err("its max_calls".to_owned())));
    assert_eq!(counted(&said), (vec![], vec![Some(1)]));
    assert!(results(&said)[0].reason.contains("max_calls"), "{:?}", results(&said));
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    assert_eq!(counted(&said), (vec![2], vec![]));
    let invite = called(&mut bench, call, &said);
    answer(&mut bench, &invite, 486);
    let said = bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    assert_eq!(counted(&said), (vec![], vec![Some(2)]));
    // One that is up goes with its call.
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let said = bench.receive(&callee_bye(&invite));
    answer(&mut bench, &said.requests[0], 200);
    let said = bench.input(Input::RoomClosed(call, MediaStats::default()));
    let gone = counted(&said).1;
    assert!(gone.contains(&None), "all of the call's: {gone:?}");
}

#[test]
fn who_was_called_hangs_up_and_the_caller_is_told() {
    let (mut bench, call, _) = talking();
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let said = bench.receive(&callee_bye(&invite));
    assert_eq!((said.codes(), methods(&said)), (vec![200], vec!["BYE"]));
    assert_eq!(field(&said.requests[0], &HeaderName::CallId), "a");
    answer(&mut bench, &said.requests[0], 200);
    assert_eq!(over(&mut bench, call).ended_by, EndedBy::Callee);
}

#[test]
fn a_bridge_that_fails_gives_the_caller_back() {
    // Refused, nobody, no way, no port.
    for case in 0..4 {
        let (mut bench, call, _) = talking();
        let said = ask(&mut bench, call, to(TransferMode::Bridge));
        let said = match case {
            0 => {
                let invite = called(&mut bench, call, &said);
                answer(&mut bench, &invite, 486)
            }
            1 => {
                let invite = called(&mut bench, call, &said);
                bench.receive(&response(&invite, 180, "t", "").to_bytes());
                let mut said = bench.pass(Duration::from_secs(20));
                assert_eq!(methods(&said), ["CANCEL"]);
                let cancel = said.requests.remove(0);
                answer(&mut bench, &cancel, 200);
                bench.receive(&response(&invite, 487, "t", "").to_bytes());
                said
            }
            2 => bench.input(Input::FlowFound(call, second(), Err("no name".to_owned()))),
            _ => {
                bench.input(Input::FlowFound(call, second(), Ok((flow("192.0.2.20:5062"), false))));
                bench.input(Input::MediaOpened(call, second(), None))
            }
        };
        let result = results(&said).remove(0);
        assert_eq!((result.ok, result.code), (false, [Some(486), Some(408), Some(503), Some(503)][case]));
        assert_eq!(hearing(&said), among(&[Member::FIRST, Member::AGENT]), "{case}");
        assert!(said.outputs.iter().any(|output| matches!(output, Output::Hush(_, Member::FIRST))));
        assert!(!drops_agent(&said));
        if case < 2 {
            bench.input(Input::LegClosed(call, second(), MediaStats::default()));
        }
        // The place is free again.
        let said = ask(&mut bench, call, to(TransferMode::Bridge));
        called(&mut bench, call, &said);
        let said = bench.input(Input::HangUp(call));
        assert!(methods(&said).contains(&"BYE"));
        bench.input(Input::RoomClosed(call, MediaStats::default()));
        bench.pass(Duration::from_secs(140));
        assert!(bench.shard.is_idle(), "{case}");
    }
}

#[test]
fn who_takes_the_call_presses_a_key_or_knows_the_passcode() {
    let press = |bench: &mut Bench, call, keys: &str| {
        let mut last = Said::default();
        for key in keys.chars() {
            last = bench.input(Input::Room(call, RoomEvent::Digit(second(), key)));
        }
        last
    };
    let proving = |confirm, passcode: Option<&str>| {
        let (mut bench, call, _) = talking();
        // A key can only be asked for where we stay in the path.
        let ask_for = Transfer {
            requires_confirmation: confirm,
            passcode: passcode.map(str::to_owned),
            ..to(TransferMode::Cold)
        };
        let said = ask(&mut bench, call, ask_for);
        let invite = called(&mut bench, call, &said);
        let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
        let prompt = if passcode.is_some() { Sound::EnterPasscode } else { Sound::PressAnyKey };
        assert_eq!(sounds(&said), [(second(), prompt)]);
        assert!(
            said.outputs.iter().any(|o| matches!(o, Output::Listen(_, member, true) if *member == second()))
        );
        assert!(!drops_agent(&said) && results(&said).is_empty());
        (bench, call)
    };
    let joined = |said: &Said| hearing(said) == among(&[Member::FIRST, second()]) && drops_agent(said);
    let (mut bench, call) = proving(true, None);
    let said = bench.pass(Duration::from_secs(10));
    assert_eq!(sounds(&said), [(second(), Sound::PressAnyKey)], "asked again");
    assert!(joined(&press(&mut bench, call, "5")));
    let (mut bench, _) = proving(true, None);
    let mut said = bench.pass(Duration::from_secs(31));
    assert_eq!(sounds(&said).len(), 2, "three times in all");
    assert!(!results(&said)[0].ok && said.requests.pop().is_some_and(|bye| bye.method.as_str() == "BYE"));
    assert_eq!(hearing(&said), among(&[Member::FIRST, Member::AGENT]));
    for keys in ["4711", "4711#"] {
        let (mut bench, call) = proving(false, Some("4711"));
        assert!(joined(&press(&mut bench, call, &keys[..4])), "{keys}");
    }
    let (mut bench, call) = proving(false, Some("4711"));
    for wrong in ["0000", "4#"] {
        assert_eq!(sounds(&press(&mut bench, call, wrong)), [(second(), Sound::WrongPasscode)], "{wrong}");
    }
    let said = press(&mut bench, call, "9999");
    assert_eq!((methods(&said), results(&said)[0].ok), (vec!["BYE"], false));
    assert_eq!(hearing(&said), among(&[Member::FIRST, Member::AGENT]));
}

/// A warm transfer whose supervisor talks to the agent.
pub(super) fn consulting() -> (Bench, CallHandle, Request) {
    let (mut bench, call, _) = talking();
    let said = ask(&mut bench, call, to(TransferMode::Warm));
    assert_eq!(sounds(&said), [(Member::FIRST, Sound::Music)]);
    let invite = called(&mut bench, call, &said);
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(hearing(&said), among(&[Member::AGENT, second()]));
    assert_eq!(news(&said), [AgentNews::ParticipantJoined { participant: "leg 1".to_owned() }]);
    (bench, call, invite)
}

#[test]
fn a_warm_transfer_is_completed_or_taken_back() {
    let complete = |stays| {
        let transfer_complete = Completion { agent_stays: stays };
        RoomEvent::Ask(Box::new(AgentAsk::TransferComplete { transfer_complete }))
    };
    // The agent leaves.
    let (mut bench, call, _) = consulting();
    let said = bench.input(Input::Room(call, complete(false)));
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
    assert!(drops_agent(&said) && results(&said)[0].ok);
    // It stays: all three; then who was called leaves, then the agent.
    let (mut bench, call, invite) = consulting();
    let said = bench.input(Input::CompleteTransfer(call, true));
    assert_eq!(hearing(&said), among(&[Member::FIRST, second(), Member::AGENT]));
    assert!(!drops_agent(&said));
    let said = bench.receive(&callee_bye(&invite));
    assert_eq!((hearing(&said), methods(&said).len()), (among(&[Member::FIRST, Member::AGENT]), 0));
    let said = bench.input(Input::Room(call, RoomEvent::AgentLeft));
    assert_eq!(methods(&said), ["BYE"]);
    // It is taken back.
    let (mut bench, call, _) = consulting();
    let said = bench.input(Input::Room(call, RoomEvent::Ask(Box::new(AgentAsk::TransferCancel))));
    assert_eq!((hearing(&said), methods(&said)), (among(&[Member::FIRST, Member::AGENT]), vec!["BYE"]));
    assert!(!results(&said)[0].ok);
    // The supervisor hangs up.
    let (mut bench, _, invite) = consulting();
    let said = bench.receive(&callee_bye(&invite));
    assert_eq!(hearing(&said), among(&[Member::FIRST, Member::AGENT]));
    assert!(news(&said).contains(&AgentNews::ParticipantLeft { participant: "leg 1".to_owned() }));
    // The agent hangs up: it has said what it wanted to.
    let (mut bench, call, _) = consulting();
    let said = bench.input(Input::Room(call, RoomEvent::AgentLeft));
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
    assert!(results(&said)[0].ok);
}

#[test]
fn a_caller_waits_in_silence_where_that_is_wanted() {
    for (mode, heard) in [
        (TransferMode::Warm, among(&[Member::AGENT, second()])),
        (TransferMode::Bridge, Some(Hearing::default())),
    ] {
        let (mut bench, call, _) = talking();
        let said = ask(&mut bench, call, Transfer { silent: true, ..to(mode) });
        assert_eq!((sounds(&said), hearing(&said)), (vec![], heard));
        let invite = called(&mut bench, call, &said);
        answer(&mut bench, &invite, 486);
        hang_up(&mut bench, call);
    }
}

#[test]
fn a_caller_without_agent_is_not_left_alone() {
    // The agent leaves while the telephone rings: the transfer goes on, and ends the call where it fails.
    let (mut bench, call, _) = talking();
    let said = ask(&mut bench, call, to(TransferMode::Warm));
    let invite = called(&mut bench, call, &said);
    let said = bench.input(Input::Room(call, RoomEvent::AgentLost));
    assert!(methods(&said).is_empty() && drops_agent(&said));
    let said = answer(&mut bench, &invite, 486);
    assert_eq!(methods(&said), ["ACK", "BYE"]);
    answer(&mut bench, &said.requests[1], 200);
    let record = over(&mut bench, call);
    assert!(record.reason.starts_with("the agent left, and the transfer failed"), "{}", record.reason);
    // Where somebody answers there is nobody to consult: the two are joined.
    let (mut bench, call, _) = talking();
    let said = ask(&mut bench, call, to(TransferMode::Warm));
    let invite = called(&mut bench, call, &said);
    bench.input(Input::Room(call, RoomEvent::AgentLost));
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
    assert!(bench.input(Input::HangUp(call)).requests.len() == 2, "both legs are ended");
}

#[test]
fn the_caller_hangs_up_in_mid_transfer() {
    let (mut bench, call, tag) = talking();
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 180, "t", "").to_bytes());
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!((said.codes(), methods(&said)), (vec![200], vec!["CANCEL"]));
    assert!(!results(&said)[0].ok);
    // Its 200 crosses our CANCEL.
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(methods(&said), ["ACK", "BYE"]);
    answer(&mut bench, &said.requests[1], 200);
    let record = bench.input(Input::RoomClosed(call, MediaStats::default())).record().clone();
    assert_eq!(record.reason, "the caller hung up");
    bench.pass(Duration::from_secs(140));
    assert!(bench.shard.is_idle());
}

#[test]
fn a_notify_that_nobody_asked_for_is_refused() {
    let (mut bench, call, tag) = talking();
    let notify = |cseq, event: &str| in_dialog("a", "NOTIFY", cseq, &tag, &format!("Event: {event}\r\n"), "");
    assert_eq!(bench.receive(notify(2, "refer").as_bytes()).codes(), [481]);
    assert_eq!(bench.receive(notify(3, "presence").as_bytes()).codes(), [489]);
    let refer = in_dialog("a", "REFER", 4, &tag, "Refer-To: <sip:+14155550177@192.0.2.20>\r\n", "");
    assert_eq!(bench.receive(refer.as_bytes()).codes(), [603]);
    hang_up(&mut bench, call);
}

/// The carrier's REFER.
pub(super) fn peer_refers(bench: &mut Bench, cseq: u32, tag: &str, more: &str) -> Said {
    let more = format!("Refer-To: <sip:+14155550177@192.0.2.20>\r\n{more}");
    bench.receive(in_dialog("a", "REFER", cseq, tag, &more, "").as_bytes())
}

pub(super) fn accepting() -> (Bench, CallHandle, String) {
    talking_by(&TABLES.replace("address = \"192", "accept_refer = true\naddress = \"192"))
}

pub(super) fn fragments(said: &Said) -> Vec<String> {
    let notifies = said.requests.iter().filter(|request| request.method.as_str() == "NOTIFY");
    notifies.map(|request| String::from_utf8_lossy(&request.body).trim().to_owned()).collect()
}

#[test]
fn the_carrier_has_us_call_somebody_who_takes_its_place() {
    let (mut bench, call, tag) = accepting();
    let said = peer_refers(&mut bench, 2, &tag, "");
    assert_eq!((said.codes(), fragments(&said)), (vec![202], vec!["SIP/2.0 100 Trying".to_owned()]));
    let notify = &said.requests[0];
    assert_eq!(field(notify, &HeaderName::Event), "refer;id=2");
    answer(&mut bench, notify, 200);
    assert!(hearing(&said).is_none() && sounds(&said).is_empty(), "the two go on talking");
    let again = peer_refers(&mut bench, 3, &tag, "");
    assert_eq!(again.codes(), [491], "one at a time");
    let invite = called(&mut bench, call, &said);
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(
        (fragments(&said), hearing(&said)),
        (vec!["SIP/2.0 200 OK".to_owned()], among(&[second(), Member::AGENT]))
    );
    assert!(results(&said).is_empty() && !drops_agent(&said), "no transfer of the agent's");
    let last = said.requests.iter().find(|request| request.method.as_str() == "NOTIFY").expect("a NOTIFY");
    assert!(field(last, &HeaderName::SubscriptionState).starts_with("terminated"));
    answer(&mut bench, last, 200);
    // The carrier's first leg goes; the agent talks on.
    let said = bench.receive(in_dialog("a", "BYE", 4, &tag, "", "").as_bytes());
    assert_eq!(said.codes(), [200]);
    assert!(methods(&said).is_empty(), "the call goes on");
    assert!(said.outputs.iter().any(|output| matches!(output, Output::CloseLeg(_, Member::FIRST))));
    bench.input(Input::LegClosed(call, Member::FIRST, MediaStats::default()));
    let said = bench.receive(&callee_bye(&invite));
    assert_eq!(said.codes(), [200]);
    let record = over(&mut bench, call);
    assert_eq!((record.sip_call_id.as_str(), record.transferred_to.as_deref()), ("a", Some(TARGET)));
}

#[test]
fn once_the_replaced_leg_is_gone_another_transfer_may_begin() {
    let (mut bench, call, tag) = accepting();
    let said = peer_refers(&mut bench, 2, &tag, "Refer-Sub: false\r\n");
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let said = ask(&mut bench, call, to(TransferMode::Cold));
    assert!(!results(&said)[0].ok && methods(&said).is_empty(), "the replaced leg is there yet");
    bench.receive(in_dialog("a", "BYE", 3, &tag, "", "").as_bytes());
    assert_eq!(methods(&ask(&mut bench, call, to(TransferMode::Cold))), ["REFER"]);
    let said = bench.input(Input::HangUp(call));
    answer(&mut bench, &said.requests[0], 200);
    over(&mut bench, call);
}

#[test]
fn a_leg_whose_place_was_taken_is_ended_where_it_stays() {
    let (mut bench, call, tag) = accepting();
    let said = peer_refers(&mut bench, 2, &tag, "Refer-Sub: false\r\n");
    assert_eq!(said.codes(), [202]);
    assert_eq!(said.responses[0].headers.text(&HeaderName::ReferSub).as_deref(), Some("false"));
    assert!(fragments(&said).is_empty(), "RFC 4488: it wants no NOTIFY");
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let said = bench.pass(Duration::from_secs(2));
    assert_eq!(methods(&said), ["BYE"]);
    assert_eq!(field(&said.requests[0], &HeaderName::CallId), "a");
    answer(&mut bench, &said.requests[0], 200);
    hang_up(&mut bench, call);
}

#[test]
fn nobody_comes_whom_the_carrier_wanted() {
    let (mut bench, call, tag) = accepting();
    let said = peer_refers(&mut bench, 2, &tag, "");
    let invite = called(&mut bench, call, &said);
    let said = answer(&mut bench, &invite, 486);
    assert_eq!(fragments(&said), ["SIP/2.0 486 Busy Here"]);
    assert!(hearing(&said).is_none() && !drops_agent(&said));
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    // It hangs up behind its 202: the agent waits, and is told the end where nobody comes.
    let said = peer_refers(&mut bench, 3, &tag, "");
    let invite = called(&mut bench, call, &said);
    let said = bench.receive(in_dialog("a", "BYE", 4, &tag, "", "").as_bytes());
    assert_eq!((said.codes(), methods(&said).len()), (vec![200], 0));
    answer(&mut bench, &invite, 486);
    assert!(over(&mut bench, call).reason.contains("did not come"));
}

#[test]
fn the_carrier_may_not_have_us_call_just_anybody() {
    let (mut bench, call, tag) = accepting();
    let targets = ["<sip:+14165550177@192.0.2.20>", "<sip:anna@elsewhere.example>", "<tel:911>"];
    for (cseq, target) in (2..).zip(targets) {
        let refer = in_dialog("a", "REFER", cseq, &tag, &format!("Refer-To: {target}\r\n"), "");
        let said = bench.receive(refer.as_bytes());
        assert_eq!((said.codes(), methods(&said).len()), (vec![603], 0), "{target}");
    }
    for (cseq, fields) in [(7, ""), (8, "Refer-To: nonsense\r\n"), (9, "Refer-To: <sip:a@b>, <sip:c@d>\r\n")]
    {
        let said = bench.receive(in_dialog("a", "REFER", cseq, &tag, fields, "").as_bytes());
        assert_eq!(said.codes(), [400], "{fields}");
    }
    let outside = "REFER sip:+14155550100@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5062;branch=z9hG4bKo\r\nMax-Forwards: 70\r\nFrom: <sip:x@192.0.2.20>;tag=o\r\nTo: <sip:+14155550100@192.0.2.10>\r\nCall-ID: o\r\nCSeq: 1 REFER\r\nContact: <sip:x@192.0.2.20>\r\nRefer-To: <sip:+14155550177@192.0.2.20>\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(bench.receive(outside.as_bytes()).codes(), [481]);
    hang_up(&mut bench, call);
}

/// An attended transfer that the agent completes: our REFER, and the consultation's INVITE.
pub(super) fn attended(trunk: &str) -> (Bench, CallHandle, String, Said, Request) {
    let (mut bench, call, tag) =
        talking_by(&TABLES.replace("address = \"192", &format!("{trunk}address = \"192")));
    let said = ask(&mut bench, call, to(TransferMode::Attended));
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let said = bench.input(Input::CompleteTransfer(call, false));
    (bench, call, tag, said, invite)
}

#[test]
fn an_attended_transfer_names_the_consultation() {
    let (mut bench, call, tag, said, invite) = attended("replaces = true\n");
    assert_eq!(methods(&said), ["REFER"]);
    let (refer, call_id) = (&said.requests[0], field(&invite, &HeaderName::CallId));
    let from = field(&invite, &HeaderName::From);
    let our_tag = from.rsplit_once("tag=").expect("a tag").1;
    assert_eq!(
        field(refer, &HeaderName::ReferTo),
        format!("<sip:callee@192.0.2.20:5062?Replaces={call_id}%3Bto-tag%3Dt%3Bfrom-tag%3D{our_tag}>")
    );
    assert_eq!(field(refer, &HeaderName::CallId), "a");
    answer(&mut bench, refer, 202);
    // The consultation is taken over, then the carrier tells so.
    let said = bench.receive(&callee_bye(&invite));
    assert!(said.codes() == [200] && results(&said).is_empty());
    let said = notify(&mut bench, 2, &tag, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n");
    assert!(results(&said)[0].ok);
    let said = bench.pass(Duration::from_secs(2));
    assert_eq!(methods(&said), ["BYE"]);
    answer(&mut bench, &said.requests[0], 200);
    assert_eq!(over(&mut bench, call).transferred_to.as_deref(), Some(TARGET));
}

#[test]
fn where_the_carrier_does_not_replace_we_join_the_two() {
    let (_, _, _, said, _) = attended("");
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]), "a trunk that knows no Replaces");
    let (mut bench, call, _, said, _) = attended("replaces = true\n");
    let said = answer(&mut bench, &said.requests[0], 501);
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
    assert!(results(&said)[0].ok && drops_agent(&said));
    let said = bench.input(Input::HangUp(call));
    assert_eq!(methods(&said), ["BYE", "BYE"]);
}

/// An attended transfer whose carrier hangs up right behind its 202; the consultation's INVITE, and the record.
fn left_behind_the_202() -> (Bench, CallHandle, Request, crate::CallRecord) {
    let (mut bench, call, tag, said, invite) = attended("replaces = true\n");
    answer(&mut bench, &said.requests[0], 202);
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!(
        (said.codes(), methods(&said).len()),
        (vec![200], 0),
        "the consultation is there to be taken over"
    );
    let record = bench.input(Input::RoomClosed(call, MediaStats::default())).record().clone();
    (bench, call, invite, record)
}

#[test]
fn a_carrier_that_leaves_behind_its_202_finds_the_consultation() {
    let (mut bench, _, invite, record) = left_behind_the_202();
    assert_eq!((record.transferred_to.as_deref(), record.reason.as_str()), (Some(TARGET), "transferred"));
    assert!(methods(&bench.pass(Duration::from_secs(3))).is_empty());
    assert_eq!(bench.receive(&callee_bye(&invite)).codes(), [200], "it has taken it over");
    assert!(methods(&bench.pass(Duration::from_secs(70))).is_empty() && bench.shard.is_idle());
}

#[test]
fn a_consultation_that_nobody_takes_over_is_ended_and_at_once_where_the_gateway_stops() {
    let (mut bench, _, invite, _) = left_behind_the_202();
    let said = bench.pass(Duration::from_secs(4));
    assert_eq!(methods(&said), ["BYE"]);
    assert_eq!(field(&said.requests[0], &HeaderName::CallId), field(&invite, &HeaderName::CallId));
    answer(&mut bench, &said.requests[0], 200);
    bench.pass(Duration::from_secs(70));
    assert!(bench.shard.is_idle());
    let (mut bench, _, _, _) = left_behind_the_202();
    bench.input(Input::Drain);
    assert!(!bench.shard.has_left(), "a drain waits for it");
    let said = bench.input(Input::EndAll);
    assert_eq!(methods(&said), ["BYE"]);
    answer(&mut bench, &said.requests[0], 200);
    assert!(bench.shard.has_left());
}
