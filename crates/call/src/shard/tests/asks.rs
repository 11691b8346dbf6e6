//! What an agent asks of its call beside transfers, and that it is told of the caller's hold.

use trunkline_sdp::control::{AgentAsk, AgentNews, Play, Transcript};
use trunkline_sdp::media::{RoomEvent, Sound};

use super::*;

fn ask(bench: &mut Bench, call: CallHandle, ask: AgentAsk) -> Said {
    bench.input(Input::Room(call, RoomEvent::Ask(Box::new(ask))))
}

fn play(bench: &mut Bench, call: CallHandle, sound: &str, participant: Option<&str>) -> Vec<String> {
    let participant = participant.map(str::to_owned);
    let play = Play { sound: sound.to_owned(), participant, repeat: false };
    let said = ask(bench, call, AgentAsk::Play { play });
    let shown = said.outputs.iter().map(|output| match output {
        Output::Play { member: Member::FIRST, sound, repeat: false, .. } => format!("play {sound:?}"),
        Output::Hush(_, Member::FIRST) => "hush".to_owned(),
        other => format!("{other:?}"),
    });
    shown.collect()
}

#[test]
fn an_agent_plays_sounds_to_those_who_are_there() {
    let mut bench = Bench::new();
    let (call, _) = bench.talk("a", "+14155550100");
    let music = format!("play {:?}", Sound::Music);
    let file = format!("play {:?}", Sound::File("hello.wav".to_owned()));
    assert_eq!(play(&mut bench, call, "music", None), [music]);
    assert_eq!(play(&mut bench, call, "hello.wav", Some("caller")), [file]);
    assert_eq!(play(&mut bench, call, "", Some("leg 0")), ["hush"]);
    for nobody in ["leg 1", "agent", "everybody"] {
        assert!(play(&mut bench, call, "music", Some(nobody)).is_empty(), "{nobody}");
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
