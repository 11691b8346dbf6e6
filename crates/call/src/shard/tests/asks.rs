//! What an agent asks of its call's room.

use trunkline_sdp::control::{AgentAsk, AgentNews, Play, Recording, Transcript};
use trunkline_sdp::media::{RoomEvent, Sound};
use trunkline_sip::HeaderName;

use super::outgoing::{field, methods, response};
use super::transfers::{over, second, talking};
use super::*;

fn ask(bench: &mut Bench, call: CallHandle, ask: AgentAsk) -> Said {
    bench.input(Input::Room(call, RoomEvent::Ask(Box::new(ask))))
}

#[test]
fn a_recording_is_asked_for_by_the_agent_or_the_api_and_its_end_does_the_call_no_harm() {
    let (mut bench, call, _) = talking();
    let mut names = Vec::new();
    for task in [Recording::Start, Recording::Pause, Recording::Resume, Recording::Stop] {
        let said = [
            ask(&mut bench, call, AgentAsk::Record { record: task }),
            bench.input(Input::Ask(call, Box::new(AgentAsk::Record { record: task }))),
        ];
        for said in said {
            let [Output::Record { call: of, call_id, task: asked }] = &said.outputs[..] else {
                panic!("{task:?}: {:?}", said.outputs);
            };
            assert_eq!((*of, *asked), (call, task));
            names.push(call_id.clone());
        }
    }
    names.dedup();
    assert_eq!(names.len(), 1, "one call has one name");
    for problem in [None, Some("no space left".to_owned())] {
        let file = "a.wav".to_owned();
        let event = RoomEvent::RecordingEnded { file, milliseconds: 1000, problem };
        assert!(bench.input(Input::Room(call, event)).outputs.is_empty());
    }
    bench.input(Input::HangUp(call));
    assert!(
        bench
            .input(Input::Ask(call, Box::new(AgentAsk::Record { record: Recording::Start })))
            .outputs
            .is_empty(),
        "not of a call that ends"
    );
}

#[test]
fn a_call_that_begins_its_recording_over_and_over_fills_no_folder() {
    let (mut bench, call, _) = talking();
    let mut begun = 0;
    for _ in 0..50 {
        for task in [Recording::Start, Recording::Stop] {
            let said = ask(&mut bench, call, AgentAsk::Record { record: task });
            let record = said.outputs.iter().filter_map(|output| match output {
                Output::Record { task, .. } => Some(*task),
                _ => None,
            });
            begun += record.filter(|task| *task == Recording::Start).count();
        }
    }
    assert_eq!(begun, 20);
    // What is under way may still be steered.
    let said = ask(&mut bench, call, AgentAsk::Record { record: Recording::Pause });
    assert!(matches!(&said.outputs[..], [Output::Record { task: Recording::Pause, .. }]));
}

#[test]
fn a_number_may_have_noise_taken_out_of_what_its_callers_say() {
    for (key, wanted) in [("", 0), ("noise_suppression = false\n", 0), ("noise_suppression = true\n", 1)] {
        let mut bench = Bench::new();
        let source = Source { name: "t".to_owned(), text: format!("{}{key}", super::transfers::TABLES) };
        let (table, problems) = load(&[source], None).expect("loads");
        assert!(problems.is_empty(), "{problems:?}");
        bench.input(Input::Reload(Arc::new(table)));
        let call = bench.receive(invite("a", "+14155550100", "").as_bytes()).call();
        let opened = Some("192.0.2.10:10000".parse().expect("address"));
        let said = bench.input(Input::MediaOpened(call, Member::FIRST, opened));
        let suppressed = |output: &&Output| matches!(output, Output::SuppressNoise(_, Member::FIRST));
        assert_eq!(said.outputs.iter().filter(suppressed).count(), wanted, "{key}");
    }
}

#[test]
fn a_sound_is_played_to_the_leg_that_is_named() {
    let (mut bench, call, _) = talking();
    let play = |sound: &str, participant: Option<&str>| Play {
        sound: sound.to_owned(),
        participant: participant.map(ToOwned::to_owned),
        repeat: true,
    };
    for (name, member) in [(None, Member::FIRST), (Some("caller"), Member::FIRST), (Some("leg 1"), second())]
    {
        let said = ask(&mut bench, call, AgentAsk::Play { play: play("music", name) });
        assert!(
            matches!(&said.outputs[..], [Output::Play { member: to, sound: Sound::Music, repeat: true, .. }] if *to == member),
            "{name:?}: {:?}",
            said.outputs
        );
        let said = bench.input(Input::Ask(call, Box::new(AgentAsk::Play { play: play("", name) })));
        assert!(matches!(&said.outputs[..], [Output::Hush(_, to)] if *to == member));
    }
    for nobody in ["agent", "leg 9", "somebody"] {
        let said = ask(&mut bench, call, AgentAsk::Play { play: play("music", Some(nobody)) });
        assert!(said.outputs.is_empty(), "{nobody}");
    }
}

#[test]
fn what_was_said_stands_in_the_record() {
    let mut bench = Bench::new();
    let (call, tag) = bench.talk("a", "+14155550100");
    let piece = |text: &str| Transcript { participant: "caller".to_owned(), text: text.to_owned(), at_ms: 7 };
    let long = "x".repeat(200 * 1024);
    // The second long one is more than a record holds; what still fits comes in.
    for text in ["Good morning.", &long, &long, "Good bye."] {
        ask(&mut bench, call, AgentAsk::Transcript { transcript: piece(text) });
    }
    bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    let record = bench.input(Input::RoomClosed(call, MediaStats::default())).record().clone();
    assert_eq!(record.transcript, [piece("Good morning."), piece(&long), piece("Good bye.")]);
}

#[test]
fn an_agent_is_told_when_the_caller_holds_and_when_it_is_back() {
    let mut bench = Bench::new();
    let (_, tag) = bench.talk("a", "+14155550100");
    let more = "Content-Type: application/sdp\r\n";
    for (cseq, direction, told) in [
        (2, "sendonly", Some(true)),
        (3, "inactive", None),
        (4, "sendrecv", Some(false)),
        (5, "sendrecv", None),
    ] {
        let sdp = format!("{}a={direction}\r\n", SDP.replace("o=- 1 1", &format!("o=- 1 {cseq}")));
        let said = bench.receive(in_dialog("a", "INVITE", cseq, &tag, more, &sdp).as_bytes());
        assert_eq!(said.codes().last(), Some(&200), "{direction}");
        let news = said.outputs.iter().find_map(|output| match output {
            Output::Tell(_, news) => Some((**news).clone()),
            _ => None,
        });
        assert_eq!(news, told.map(|on| AgentNews::Hold { on }), "{direction}");
        bench.receive(in_dialog("a", "ACK", cseq, &tag, "", "").as_bytes());
    }
}

#[test]
fn keys_go_out_in_info_one_behind_the_other() {
    let (mut bench, call, tag) = talking();
    let press =
        |bench: &mut Bench, key| bench.input(Input::Room(call, RoomEvent::Pressing(Member::FIRST, key)));
    let said = press(&mut bench, '5');
    assert_eq!(methods(&said), ["INFO"]);
    let first = &said.requests[0];
    assert_eq!(field(first, &HeaderName::ContentType), "application/dtmf-relay");
    assert_eq!(&first.body[..], b"Signal=5\r\nDuration=160\r\n");
    assert!(methods(&press(&mut bench, '#')).is_empty(), "it waits for the answer to the one before");
    let said = bench.receive(&response(first, 200, "x", "").to_bytes());
    assert_eq!((methods(&said), &said.requests[0].body[..10]), (vec!["INFO"], &b"Signal=#\r\n"[..]));
    // One that is refused is lost, and so is one that nobody answers; the call goes on.
    press(&mut bench, '1');
    let said = bench.receive(&response(&said.requests[0], 415, "x", "").to_bytes());
    assert_eq!(methods(&said), ["INFO"]);
    press(&mut bench, '2');
    let said = bench.pass(Duration::from_secs(33));
    assert!(said.requests.iter().any(|request| request.body.starts_with(b"Signal=2")), "the next goes out");
    let said = bench.receive(in_dialog("a", "BYE", 9, &tag, "", "").as_bytes());
    assert_eq!(said.codes(), [200]);
    assert!(methods(&press(&mut bench, '3')).is_empty(), "there is no dialog any more");
    over(&mut bench, call);
}

#[test]
fn a_peer_that_knows_nothing_of_the_call_any_more_ends_it_at_an_info() {
    let (mut bench, call, _) = talking();
    let said = bench.input(Input::Room(call, RoomEvent::Pressing(Member::FIRST, '5')));
    let said = bench.receive(&response(&said.requests[0], 481, "x", "").to_bytes());
    assert_eq!(methods(&said), ["BYE"]);
    bench.receive(&response(&said.requests[0], 481, "x", "").to_bytes());
    over(&mut bench, call);
}

#[test]
fn keys_are_cut_short_by_request() {
    let (mut bench, call, _) = talking();
    let cuts = |said: &Said| said.outputs.iter().any(|output| matches!(output, Output::PressNoMore(..)));
    assert!(cuts(&bench.input(Input::PressNoMore(call))));
    bench.input(Input::HangUp(call));
    assert!(!cuts(&bench.input(Input::PressNoMore(call))), "it is over");
    over(&mut bench, call);
}
