//! Hold by us, mute, sounds.

use trunkline_sdp::control::{AgentAsk, AgentNews, Mute, Play};
use trunkline_sdp::media::{RoomEvent, Sound};
use trunkline_sdp::{Hearing, Members};
use trunkline_sip::Request;

use super::ladders::{KIND, body_of, updates};
use super::outgoing::{methods, response};
use super::transfers::talking;
use super::*;

const HELD: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=recvonly\r\n";

fn hold(bench: &mut Bench, call: CallHandle, on: bool) -> Said {
    bench.input(Input::Hold(call, on))
}

fn text(request: &Request) -> String {
    String::from_utf8_lossy(&request.body).into_owned()
}

fn hearing(said: &Said) -> Option<Hearing> {
    let arranged = |output: &Output| match output {
        Output::Arrange(_, hearing) => Some(*hearing),
        _ => None,
    };
    said.outputs.iter().filter_map(arranged).last()
}

fn plays(said: &Said) -> Vec<Option<Sound>> {
    let played = |output: &Output| match output {
        Output::Play { member: Member::FIRST, sound, .. } => Some(Some(sound.clone())),
        Output::Hush(_, Member::FIRST) => Some(None),
        _ => None,
    };
    said.outputs.iter().filter_map(played).collect()
}

fn both() -> Option<Hearing> {
    Some(Hearing::among(Members::of(&[Member::FIRST, Member::AGENT])))
}

#[test]
fn the_party_is_held_with_music_and_comes_back() {
    let (mut bench, call, _) = talking();
    let said = hold(&mut bench, call, true);
    assert_eq!((methods(&said), plays(&said)), (vec!["INVITE"], vec![Some(Sound::Music)]));
    assert_eq!(hearing(&said), Some(Hearing::default()), "nobody hears it");
    let invite = &said.requests[0];
    assert!(text(invite).contains("a=sendonly"), "{}", text(invite));
    assert!(hold(&mut bench, call, true).requests.is_empty(), "once");
    let said = bench.receive(&response(invite, 200, "x", HELD).to_bytes());
    assert_eq!(methods(&said), ["ACK"]);
    assert!(updates(&said).last().is_some_and(|spec| spec.sends && !spec.receives));
    // Its 200 comes again.
    assert_eq!(methods(&bench.receive(&response(invite, 200, "x", HELD).to_bytes())), ["ACK"]);
    let said = hold(&mut bench, call, false);
    assert_eq!((methods(&said), plays(&said), hearing(&said)), (vec!["INVITE"], vec![None], both()));
    let invite = &said.requests[0];
    assert!(text(invite).contains("a=sendrecv"));
    let version = |text: &str| text.split(' ').nth(2).and_then(|version| version.parse::<u64>().ok());
    assert_eq!(version(&text(invite)), Some(3), "the version rises with each offer");
    let said = bench.receive(&response(invite, 200, "x", SDP).to_bytes());
    assert!(updates(&said).last().is_some_and(|spec| spec.sends && spec.receives));
    let bye = bench.input(Input::HangUp(call)).requests.remove(0);
    bench.receive(&response(&bye, 200, "x", "").to_bytes());
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    bench.pass(Duration::from_secs(70));
    assert!(bench.shard.is_idle());
}

#[test]
fn two_offers_at_once_are_told_apart_and_ours_comes_again() {
    let (mut bench, call, tag) = talking();
    let first = hold(&mut bench, call, true).requests.remove(0);
    let theirs = in_dialog("a", "INVITE", 2, &tag, KIND, SDP);
    assert_eq!(bench.receive(theirs.as_bytes()).codes(), [491], "RFC 3261 §14.2");
    bench.receive(in_dialog("a", "ACK", 2, &tag, "", "").as_bytes());
    assert_eq!(methods(&bench.receive(&response(&first, 491, "x", "").to_bytes())), ["ACK"]);
    // The caller owns the Call-ID: we wait for two seconds at most.
    let mut said = bench.pass(Duration::from_millis(2010));
    let second = said.requests.remove(0);
    // What follows it in that time is the same once more.
    assert!(said.requests.iter().all(|again| again.to_bytes() == second.to_bytes()));
    assert!(second.cseq().map(|cseq| cseq.number) > first.cseq().map(|cseq| cseq.number));
    assert!(updates(&bench.receive(&response(&second, 200, "x", HELD).to_bytes())).len() == 1);
    // Without end it is not tried.
    hold(&mut bench, call, false);
    let mut tries = 0;
    let mut said = Said::default();
    for _ in 0..20 {
        let Some(request) =
            said.requests.pop().or_else(|| bench.pass(Duration::from_millis(2010)).requests.pop())
        else {
            break;
        };
        tries += 1;
        said = bench.receive(&response(&request, 491, "x", "").to_bytes());
        said.requests.clear();
    }
    assert!(tries <= 6, "{tries}");
}

#[test]
fn a_peer_that_refuses_or_knows_nothing_of_the_call() {
    let (mut bench, call, _) = talking();
    let invite = hold(&mut bench, call, true).requests.remove(0);
    let said = bench.receive(&response(&invite, 488, "x", "").to_bytes());
    assert!(methods(&said) == ["ACK"] && updates(&said).is_empty(), "what was agreed on stays");
    let said = hold(&mut bench, call, false);
    assert_eq!(plays(&said), [None]);
    let said = bench.receive(&response(&said.requests[0], 481, "x", "").to_bytes());
    assert_eq!(methods(&said), ["ACK", "BYE"]);
    assert!(said.outputs.iter().any(|output| matches!(output, Output::CloseRoom(_))));
}

#[test]
fn a_new_wish_behind_one_under_way_is_the_one_that_counts() {
    let (mut bench, call, _) = talking();
    let first = hold(&mut bench, call, true).requests.remove(0);
    assert!(hold(&mut bench, call, false).requests.is_empty(), "one offer at a time");
    let said = bench.receive(&response(&first, 200, "x", HELD).to_bytes());
    let methods_then = methods(&said);
    assert_eq!(methods_then.first(), Some(&"ACK"));
    let mut later = bench.pass(Duration::from_secs(1));
    let second = said.requests.iter().chain(&later.requests).find(|r| r.method.as_str() == "INVITE").cloned();
    let second = second.expect("the second offer");
    later.requests.clear();
    assert!(text(&second).contains("a=sendrecv"));
    let said = bench.receive(&response(&second, 200, "x", SDP).to_bytes());
    assert!(updates(&said).last().is_none_or(|spec| spec.sends && spec.receives));
    assert!(hold(&mut bench, call, true).requests.len() == 1);
}

#[test]
fn the_agent_mutes_plays_and_hears_of_a_hold() {
    let (mut bench, call, tag) = talking();
    let ask = |bench: &mut Bench, ask| bench.input(Input::Room(call, RoomEvent::Ask(Box::new(ask))));
    let mute =
        |participant: &str, on| AgentAsk::Mute { mute: Mute { participant: participant.to_owned(), on } };
    let said = ask(&mut bench, mute("caller", true));
    let mut hearing_then = Hearing::among(Members::of(&[Member::FIRST, Member::AGENT]));
    hearing_then.mute(Member::FIRST);
    assert_eq!(hearing(&said), Some(hearing_then));
    assert_eq!(hearing(&ask(&mut bench, mute("caller", false))), both());
    assert!(hearing(&ask(&mut bench, mute("nobody", true))).is_none());
    let play = |sound: &str| AgentAsk::Play {
        play: Play { sound: sound.to_owned(), participant: None, repeat: false },
    };
    for (name, sound) in
        [("music", Some(Sound::Music)), ("hello.wav", Some(Sound::File("hello.wav".to_owned()))), ("", None)]
    {
        assert_eq!(plays(&ask(&mut bench, play(name))), [sound]);
    }
    let offer = SDP.replace("RTP/AVP 0\r\n", "RTP/AVP 0\r\na=sendonly\r\n");
    for (cseq, sdp, on) in [(2, offer.as_str(), true), (3, SDP, false)] {
        let said = bench.receive(in_dialog("a", "INVITE", cseq, &tag, KIND, sdp).as_bytes());
        assert!(body_of(&said.responses[0]).contains(if on { "a=recvonly" } else { "a=sendrecv" }));
        let told =
            |output: &Output| matches!(output, Output::Tell(_, news) if **news == AgentNews::Hold { on });
        assert!(said.outputs.iter().any(told), "{on}");
        bench.receive(in_dialog("a", "ACK", cseq, &tag, "", "").as_bytes());
    }
}
