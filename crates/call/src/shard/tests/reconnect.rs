//! An agent that is lost in mid-call and comes again.

use trunkline_sdp::control::TransferMode;
use trunkline_sdp::media::{RoomEvent, Sound};

use super::outgoing::{ANSWER, response};
use super::transfers::{
    TABLES, among, answer, ask, called, hearing, notify, results, second, talking_by, to,
};
use super::*;
use crate::{Again, AgentRequest, EndedBy};

/// A bench whose agent is sought for ten seconds.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let bot = "name = \"echo\"\nconnect = \"ws://bot\"\nprotocol = \"twilio\"\nreconnect_seconds = 10";
    let text = TABLE.replace("name = \"echo\"\nconnect = \"builtin:echo\"", bot);
    let (table, _) = load(&[Source { name: "t".to_owned(), text }], None).expect("loads");
    bench.input(Input::Reload(Arc::new(table)));
    bench
}

/// What the call does with its agent, in order.
fn steps(said: &Said) -> Vec<&'static str> {
    let step = |output: &Output| match output {
        Output::DropAgent(_) => Some("drop"),
        Output::ConnectAgent(..) => Some("connect"),
        Output::Play { sound: Sound::Music, repeat: true, .. } => Some("music"),
        Output::Hush(..) => Some("hush"),
        Output::CloseRoom(_) => Some("close"),
        _ => None,
    };
    said.outputs.iter().filter_map(step).collect()
}

fn request(said: &Said) -> &AgentRequest {
    let request = said.outputs.iter().find_map(|output| match output {
        Output::ConnectAgent(_, request) => Some(request),
        _ => None,
    });
    request.expect("the agent is connected")
}

#[test]
fn an_agent_that_is_lost_is_sought_while_music_plays() {
    let mut bench = bench();
    let (call, _) = bench.talk("a", "+14155550100");
    for _ in 0..2 {
        bench.pass(Duration::from_secs(10));
        let said = bench.input(Input::Room(call, RoomEvent::AgentLost));
        assert_eq!(steps(&said), ["drop", "music", "connect"]);
        let request = request(&said);
        assert_eq!(request.again, Some(Again { window: Duration::from_secs(10), repeated: false }));
        let told = request.parameters.reveal().iter().filter(|(name, _)| name == "reconnected");
        assert_eq!(told.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["true"]);
        assert_eq!(steps(&bench.input(Input::AgentConnected(call, Ok(())))), ["hush"]);
    }
    // An orderly end is none to come back from.
    let said = bench.input(Input::Room(call, RoomEvent::AgentLeft));
    assert_eq!((steps(&said), said.requests.len()), (vec!["close"], 1));
}

#[test]
fn an_agent_that_is_lost_as_soon_as_it_comes_has_one_time_for_all_of_it() {
    let mut bench = bench();
    let (call, _) = bench.talk("a", "+14155550100");
    for (left, repeated) in [(10, false), (7, true), (4, true), (1, true)] {
        let said = bench.input(Input::Room(call, RoomEvent::AgentLost));
        assert_eq!(request(&said).again, Some(Again { window: Duration::from_secs(left), repeated }));
        bench.pass(Duration::from_secs(1));
        bench.input(Input::AgentConnected(call, Ok(())));
        bench.pass(Duration::from_secs(2));
    }
    let said = bench.input(Input::Room(call, RoomEvent::AgentLost));
    assert_eq!((steps(&said), said.requests.len()), (vec!["close"], 1));
}

#[test]
fn an_agent_that_has_stayed_has_its_whole_time_again() {
    let mut bench = bench();
    let (call, _) = bench.talk("a", "+14155550100");
    for (stays, left, repeated) in [(5, 10, false), (4, 5, true), (10, 10, false)] {
        bench.pass(Duration::from_secs(stays));
        let said = bench.input(Input::Room(call, RoomEvent::AgentLost));
        assert_eq!(request(&said).again, Some(Again { window: Duration::from_secs(left), repeated }));
        bench.pass(Duration::from_secs(1));
        bench.input(Input::AgentConnected(call, Ok(())));
    }
}

#[test]
fn an_agent_that_does_not_come_again_ends_the_call() {
    let mut bench = bench();
    let (call, _) = bench.talk("a", "+14155550100");
    bench.input(Input::Room(call, RoomEvent::AgentLost));
    let said = bench.input(Input::AgentConnected(call, Err("refused".to_owned())));
    assert_eq!(said.requests[0].method, trunkline_sip::Method::Bye);
    let record = bench.input(Input::RoomClosed(call, MediaStats::default())).record().clone();
    assert_eq!(record.ended_by, EndedBy::Agent);
    assert!(record.reason.ends_with("did not come again: refused"), "{}", record.reason);
}

#[test]
fn a_caller_who_does_not_wait_ends_the_search() {
    let mut bench = bench();
    let (call, tag) = bench.talk("a", "+14155550100");
    bench.input(Input::Room(call, RoomEvent::AgentLost));
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    assert_eq!((said.codes(), steps(&said)), (vec![200], vec!["close"]));
    // It came too late: the room that it may have come into is closed.
    assert_eq!(steps(&bench.input(Input::AgentConnected(call, Ok(())))), ["close"]);
}

#[test]
fn without_the_key_a_lost_agent_ends_the_call() {
    let mut bench = Bench::new();
    let (call, _) = bench.talk("a", "+14155550100");
    let said = bench.input(Input::Room(call, RoomEvent::AgentLost));
    assert_eq!((steps(&said), said.requests.len()), (vec!["close"], 1));
}

/// A call of an agent that is sought, and whose number may be transferred.
fn transferable() -> (Bench, CallHandle, String) {
    let bot = "connect = \"ws://bot\"\nprotocol = \"twilio\"\nreconnect_seconds = 10";
    talking_by(&TABLES.replace("connect = \"builtin:echo\"", bot))
}

#[test]
fn a_transfer_under_way_goes_on_without_a_lost_agent() {
    let (mut bench, call, tag) = transferable();
    let refer = ask(&mut bench, call, to(TransferMode::Cold)).requests.remove(0);
    answer(&mut bench, &refer, 202);
    let said = bench.input(Input::Room(call, RoomEvent::AgentLost));
    assert_eq!((steps(&said), said.requests.len()), (vec!["drop"], 0), "it is not sought");
    let said = notify(&mut bench, 2, &tag, "terminated", "SIP/2.0 200 OK\r\n");
    assert!(results(&said)[0].ok);
}

#[test]
fn a_transfer_that_begins_while_the_agent_is_sought_is_its_own_affair() {
    let lost = |mode| {
        let (mut bench, call, _) = transferable();
        bench.input(Input::Room(call, RoomEvent::AgentLost));
        let said = bench.input(Input::Transfer(call, Box::new(to(mode))));
        let invite = called(&mut bench, call, &said);
        (bench, call, invite)
    };
    // It comes again: the music of the transfer plays on, and the two talk.
    let (mut bench, call, invite) = lost(TransferMode::Warm);
    assert!(steps(&bench.input(Input::AgentConnected(call, Ok(())))).is_empty());
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(hearing(&said), among(&[Member::AGENT, second()]));
    // It does not: the call waits for who is called.
    let (mut bench, call, invite) = lost(TransferMode::Warm);
    let said = bench.input(Input::AgentConnected(call, Err("refused".to_owned())));
    assert_eq!((steps(&said), said.requests.len()), (vec!["drop"], 0));
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
    // It comes when the caller has gone to somebody else, or nobody.
    let (mut bench, call, invite) = lost(TransferMode::Bridge);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(steps(&bench.input(Input::AgentConnected(call, Ok(())))), ["drop"]);
    let (mut bench, call, invite) = lost(TransferMode::Bridge);
    let said = answer(&mut bench, &invite, 486);
    assert_eq!(steps(&said), ["music"], "the agent is still sought");
    assert_eq!(steps(&bench.input(Input::AgentConnected(call, Ok(())))), ["hush"]);
}

#[test]
fn who_is_held_hears_music_though_the_agent_is_there_again() {
    let (mut bench, call, _) = transferable();
    bench.input(Input::Room(call, RoomEvent::AgentLost));
    bench.input(Input::Hold(call, true));
    assert_eq!(steps(&bench.input(Input::AgentConnected(call, Ok(())))), ["music"]);
    assert_eq!(steps(&bench.input(Input::Hold(call, false))), ["hush"]);
}
