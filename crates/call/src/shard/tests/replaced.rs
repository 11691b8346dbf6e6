//! Ladders of legs that take the place of others: INVITE with Replaces (RFC 3891).

use trunkline_sdp::control::{AgentNews, Transfer, TransferMode};
use trunkline_sdp::media::Sound;
use trunkline_sip::HeaderName;

use super::ladders::address;
use super::outgoing::{ANSWER, field, methods, response, ring_by, starts};
use super::transfers::{
    TABLES, accepting, among, answer, ask, called, hang_up, hearing, news, over, results, second, sounds,
    talking, talking_by, to,
};
use super::*;

/// An INVITE of `192.0.2.20` that names a dialog.
fn wants(id: &str, replaces: &str, more: &str) -> String {
    invite(id, "+14155550100", &format!("Replaces: {replaces}\r\nRequire: replaces\r\n{more}"))
        .replace("INVITE sip:+14155550100@192.0.2.10", "INVITE sip:192.0.2.10:5060")
        .replace("<sip:+14155550199@192.0.2.20>", "<sip:+14155550188@192.0.2.20>")
}

/// A request of who took a place.
fn inside(id: &str, method: &str, cseq: u32, tag: &str, more: &str, body: &str) -> String {
    in_dialog(id, method, cseq, tag, more, body)
        .replace("<sip:+14155550199@192.0.2.20>", "<sip:+14155550188@192.0.2.20>")
}

/// The name of the caller's dialog in [`talking`].
fn first(tag: &str) -> String {
    format!("a;to-tag={tag};from-tag=fa")
}

fn third() -> Member {
    Member::leg(2).expect("a place")
}

fn tag_of(said: &Said) -> String {
    let to = said.responses.iter().rfind(|response| response.code() == 200).and_then(Response::to);
    to.and_then(|to| to.tag().map(str::to_owned)).expect("a tag")
}

fn opens(said: &Said, member: Member) -> bool {
    let opens = |output: &Output| matches!(output, Output::OpenMedia { member: of, spec: Some(_), .. } if *of == member);
    said.outputs.iter().any(opens)
}

fn closes(said: &Said, member: Member) -> bool {
    said.outputs.iter().any(|output| matches!(output, Output::CloseLeg(_, of) if *of == member))
}

/// From an INVITE that may have a place to its 200 and ACK; what we say with the 200.
fn takes(bench: &mut Bench, call: CallHandle, id: &str, replaces: &str, member: Member) -> Said {
    let said = bench.receive(wants(id, replaces, "").as_bytes());
    assert_eq!(said.codes(), [100]);
    assert!(opens(&said, member), "its offer is known as its port opens");
    assert!(hearing(&said).is_none() && methods(&said).is_empty(), "nothing changes before it is answered");
    let said = bench.input(Input::MediaOpened(call, member, Some(address("192.0.2.10:10004"))));
    assert_eq!(said.codes(), [200]);
    assert!(String::from_utf8_lossy(&said.responses[0].body).contains("m=audio 10004 "));
    bench.receive(inside(id, "ACK", 1, &tag_of(&said), "", "").as_bytes());
    said
}

#[test]
fn another_leg_takes_the_callers_place_and_the_agent_talks_on() {
    let (mut bench, call, tag) = accepting();
    let said = takes(&mut bench, call, "r", &first(&tag), second());
    assert_eq!(hearing(&said), among(&[second(), Member::AGENT]));
    assert!(
        said.outputs.iter().any(|output| matches!(output, Output::Party(_, member) if *member == second()))
    );
    assert_eq!(
        news(&said),
        [
            AgentNews::ParticipantJoined { participant: second().to_string() },
            AgentNews::ParticipantLeft { participant: Member::FIRST.to_string() }
        ]
    );
    assert_eq!(methods(&said), ["BYE"]);
    assert_eq!(field(&said.requests[0], &HeaderName::CallId), "a");
    assert!(closes(&said, Member::FIRST), "behind the new leg's coming");
    let new = tag_of(&said);
    answer(&mut bench, &said.requests[0], 200);
    bench.input(Input::LegClosed(call, Member::FIRST, MediaStats::default()));
    // What the old dialog sends is answered, and is not the party's.
    assert_eq!(bench.receive(in_dialog("a", "BYE", 9, &tag, "", "").as_bytes()).codes(), [200]);
    // The new one is a leg like any other: it holds, it may itself be replaced.
    let hold =
        inside("r", "INVITE", 2, &new, "Content-Type: application/sdp\r\n", &format!("{SDP}a=sendonly\r\n"));
    let said = bench.receive(hold.as_bytes());
    assert_eq!((said.codes(), news(&said)), (vec![200], vec![AgentNews::Hold { on: true }]));
    bench.receive(inside("r", "ACK", 2, &new, "", "").as_bytes());
    let said = takes(&mut bench, call, "s", &format!("r;to-tag={new};from-tag=fr"), third());
    assert!(news(&said).contains(&AgentNews::Hold { on: false }), "who comes holds nobody");
    answer(&mut bench, &said.requests[0], 200);
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    let last = tag_of(&said);
    assert_eq!(bench.receive(inside("s", "BYE", 2, &last, "", "").as_bytes()).codes(), [200]);
    let record = over(&mut bench, call);
    assert_eq!((record.sip_call_id.as_str(), record.reason.as_str()), ("a", "the caller hung up"));
    assert_eq!(record.transferred_to.as_deref(), Some("+14155550188"));
}

/// The tables of [`accepting`], with a trunk beside that has another address.
fn accepting_two() -> (Bench, CallHandle, String) {
    let other = "accept_refer = true\n[[trunk]]\nname = \"other\"\nallowed_addresses = [\"198.51.100.1\"]\naccept_refer = true\n";
    let tables =
        TABLES.replace("address = \"192.0.2.20:5062\"\n", &format!("address = \"192.0.2.20:5062\"\n{other}"));
    talking_by(&tables)
}

#[test]
fn whoever_may_not_take_a_place_is_refused_without_state() {
    let (mut bench, call, tag) = accepting_two();
    let twice = format!("{}\r\nReplaces: {0}", first(&tag));
    let listed = format!("{}, {0}", first(&tag));
    let transactions = bench.shard.transactions();
    for (replaces, code) in [
        (twice.as_str(), 400),
        (listed.as_str(), 400),
        ("a", 400),
        (&format!("a;to-tag={tag}"), 400),
        (&format!("b;to-tag={tag};from-tag=fa"), 481),
        ("a;to-tag=guessed;from-tag=fa", 481),
        (&format!("a;to-tag={tag};from-tag=guessed"), 481),
        (&format!("{};early-only", first(&tag)), 486),
    ] {
        let said = bench.receive(wants("r", replaces, "").as_bytes());
        assert_eq!((said.codes(), methods(&said).len()), (vec![code], 0), "{replaces}");
        let told = |output: &Output| matches!(output, Output::Refused { code: told, .. } if *told == code);
        assert!(said.outputs.iter().any(told), "{replaces}");
        assert_eq!(bench.shard.transactions(), transactions, "{replaces}: its ACK may reach another shard");
    }
    let said = bench.receive(wants("r", &first(&tag), "Require: nonsense\r\n").as_bytes());
    assert_eq!((said.codes(), bench.shard.transactions()), (vec![420], transactions));
    // A peer, but of another trunk.
    let said = bench.receive_from(wants("r", &first(&tag), "").as_bytes(), "198.51.100.1:5060");
    assert_eq!((said.codes(), bench.shard.transactions()), (vec![403], transactions));
    // A stranger gets no answer.
    let said = bench.receive_from(wants("r", &first(&tag), "").as_bytes(), "203.0.113.9:5060");
    assert!(said.codes().is_empty());
    // Only INVITE has it.
    let options = wants("r", &first(&tag), "").replace("INVITE", "OPTIONS");
    assert_eq!(bench.receive(options.as_bytes()).codes(), [400]);
    hang_up(&mut bench, call);
}

#[test]
fn a_trunk_that_obeys_no_refer_lets_no_leg_be_taken_over() {
    let (mut bench, call, tag) = talking();
    assert_eq!(bench.receive(wants("r", &first(&tag), "").as_bytes()).codes(), [403]);
    hang_up(&mut bench, call);
}

#[test]
fn what_we_support_says_whether_legs_may_be_taken_over() {
    for (trunk, supported) in [("", "100rel, timer"), ("accept_refer = true\n", "100rel, timer, replaces")] {
        let mut bench = Bench::new();
        let text = TABLES.replace("address = \"192", &format!("{trunk}address = \"192"));
        let source = Source { name: "t".to_owned(), text };
        bench.input(Input::Reload(Arc::new(load(&[source], None).expect("loads").0)));
        let said = bench.receive(invite("a", "+14155550100", "").as_bytes());
        let field =
            |response: &Response| response.headers.text(&HeaderName::Supported).map(|s| s.into_owned());
        assert_eq!(field(&said.responses[1]).as_deref(), Some(supported));
        let options = in_dialog("o", "OPTIONS", 1, "", "", "").replace(";tag=\r\n", "\r\n");
        assert_eq!(field(&bench.receive(options.as_bytes()).responses[0]).as_deref(), Some(supported));
    }
}

#[test]
fn a_leg_that_is_over_is_declined_and_one_that_rings_with_us_is_not_known() {
    // Its BYE is under way, and its call's room closes.
    let (mut bench, call, tag) = accepting();
    let said = bench.input(Input::HangUp(call));
    assert_eq!(bench.receive(wants("r", &first(&tag), "").as_bytes()).codes(), [603]);
    answer(&mut bench, &said.requests[0], 200);
    assert_eq!(bench.receive(wants("s", &first(&tag), "").as_bytes()).codes(), [603]);
    over(&mut bench, call);
    // Who calls us is asked by nobody who else should answer.
    let (mut bench, call, _) = accepting();
    let said = bench.receive(invite("b", "+14155550100", "").as_bytes());
    let ringing = said.call();
    let tag = said.responses[1].to().and_then(|to| to.tag().map(str::to_owned)).expect("a tag");
    let said = bench.receive(wants("r", &format!("b;to-tag={tag};from-tag=fb"), "").as_bytes());
    assert_eq!(said.codes(), [481]);
    bench.input(Input::HangUp(ringing));
    bench.input(Input::RoomClosed(ringing, MediaStats::default()));
    hang_up(&mut bench, call);
}

#[test]
fn what_cannot_be_agreed_on_leaves_the_call_as_it_is() {
    let (mut bench, call, tag) = accepting();
    let bad = wants("r", &first(&tag), "").replace("RTP/AVP 0", "RTP/AVP 9");
    assert_eq!(bench.receive(bad.as_bytes()).codes(), [100, 488]);
    let brief = wants("s", &first(&tag), "Supported: timer\r\nSession-Expires: 60\r\n");
    assert_eq!(bench.receive(brief.as_bytes()).codes(), [422]);
    let said = bench.receive(wants("t", &first(&tag), "").as_bytes());
    assert!(opens(&said, second()), "their places are free again");
    let said = bench.input(Input::MediaOpened(call, second(), None));
    assert_eq!(said.codes(), [503]);
    // One that gives up while its port opens.
    bench.receive(wants("u", &first(&tag), "").as_bytes());
    let said = bench.receive(wants("v", &first(&tag), "").as_bytes());
    assert_eq!(said.codes(), [491], "one at a time");
    let cancel =
        wants("u", &first(&tag), "").replace("INVITE", "CANCEL").replace("Require: replaces\r\n", "");
    let cancel = cancel.replace(&format!("Replaces: {}\r\n", first(&tag)), "");
    let codes = bench.receive(cancel.as_bytes()).codes();
    assert!(codes.contains(&200) && codes.contains(&487), "{codes:?}");
    let said = bench.input(Input::MediaOpened(call, second(), Some(address("192.0.2.10:10004"))));
    assert!(closes(&said, second()) && said.codes().is_empty());
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    assert_eq!(bench.shard.active_calls(), 1);
    let record = hang_up(&mut bench, call);
    assert_eq!((record.transferred_to, record.reason.as_str()), (None, "hung up by request"));
}

#[test]
fn the_old_leg_leaves_before_the_new_one_has_its_port() {
    let (mut bench, call, tag) = accepting();
    bench.receive(wants("r", &first(&tag), "").as_bytes());
    let said = bench.receive(in_dialog("a", "BYE", 2, &tag, "", "").as_bytes());
    let mut codes = said.codes();
    codes.sort_unstable();
    assert_eq!(codes, [200, 487], "the call is over, and so is who came for it");
    bench.receive(inside("r", "ACK", 1, "x", "", "").as_bytes());
    bench.input(Input::MediaOpened(call, second(), Some(address("192.0.2.10:10004"))));
    over(&mut bench, call);
}

/// A call whose caller was joined with who was called by a bridge; that one's INVITE.
fn bridged() -> (Bench, CallHandle, String, trunkline_sip::Request) {
    let (mut bench, call, tag) = accepting();
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    (bench, call, tag, invite)
}

/// The dialog that a 200 with the tag `t` made of an INVITE of ours.
fn placed(invite: &trunkline_sip::Request) -> String {
    let from = field(invite, &HeaderName::From);
    let tag = from.rsplit_once("tag=").expect("a tag").1;
    format!("{};to-tag={tag};from-tag=t", field(invite, &HeaderName::CallId))
}

#[test]
fn a_bridged_leg_is_taken_over_and_the_caller_talks_on() {
    let (mut bench, call, _, invite) = bridged();
    let said = takes(&mut bench, call, "r", &placed(&invite), third());
    assert_eq!(hearing(&said), among(&[Member::FIRST, third()]));
    assert!(methods(&said) == ["BYE"] && closes(&said, second()));
    assert_eq!(field(&said.requests[0], &HeaderName::CallId), field(&invite, &HeaderName::CallId));
    let new = tag_of(&said);
    answer(&mut bench, &said.requests[0], 200);
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    // A placed leg that is over is remembered for a while.
    assert_eq!(bench.receive(wants("s", &placed(&invite), "").as_bytes()).codes(), [603]);
    let said = bench.receive(inside("r", "BYE", 2, &new, "", "").as_bytes());
    assert!(said.codes() == [200] && methods(&said) == ["BYE"], "the caller has nobody to talk to");
    answer(&mut bench, &said.requests[0], 200);
    let record = over(&mut bench, call);
    assert_eq!(record.transferred_to.as_deref(), Some("+14155550177"), "the caller went to nobody else");
}

#[test]
fn who_is_consulted_is_taken_over_and_then_joined() {
    let (mut bench, call, _) = accepting();
    let said = ask(&mut bench, call, to(TransferMode::Warm));
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let said = takes(&mut bench, call, "r", &placed(&invite), third());
    assert_eq!(hearing(&said), among(&[Member::AGENT, third()]), "the caller waits on");
    assert!(results(&said).is_empty());
    answer(&mut bench, &said.requests[0], 200);
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    let said = bench.input(Input::CompleteTransfer(call, false));
    assert_eq!(hearing(&said), among(&[Member::FIRST, third()]));
    assert!(results(&said)[0].ok);
    let said = bench.input(Input::HangUp(call));
    for bye in &said.requests {
        answer(&mut bench, bye, 200);
    }
    over(&mut bench, call);
}

#[test]
fn a_caller_that_waits_is_taken_over_and_waits_on() {
    let (mut bench, call, tag) = accepting();
    bench.input(Input::Hold(call, true));
    let said = takes(&mut bench, call, "r", &first(&tag), second());
    assert_eq!(sounds(&said), [(second(), Sound::Music)]);
    assert_eq!(hearing(&said), among(&[Member::AGENT]), "nobody hears who is held");
    assert_eq!(hearing(&bench.input(Input::Hold(call, false))), among(&[second(), Member::AGENT]));
    bench.input(Input::HangUp(call));
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    let (mut bench, call, tag) = accepting();
    ask(&mut bench, call, to(TransferMode::Warm));
    let said = takes(&mut bench, call, "r", &first(&tag), third());
    assert_eq!(sounds(&said), [(third(), Sound::Music)]);
    let said = ask(&mut bench, call, to(TransferMode::Cold));
    assert!(!results(&said)[0].ok, "the transfer goes on");
}

#[test]
fn a_party_whose_transfer_the_carrier_has_is_not_taken_over() {
    let (mut bench, call, tag) = accepting();
    ask(&mut bench, call, to(TransferMode::Cold));
    assert_eq!(bench.receive(wants("r", &first(&tag), "").as_bytes()).codes(), [491]);
    bench.input(Input::HangUp(call));
}

#[test]
fn a_call_of_ours_that_rings_is_taken_elsewhere() {
    let mut bench = Bench::new();
    let accepts = |tables: &str| tables.replace("auth_username", "accept_refer = true\nauth_username");
    let text = accepts(super::outgoing::TABLES);
    let source = Source { name: "t".to_owned(), text };
    bench.input(Input::Reload(Arc::new(load(&[source], None).expect("loads").0)));
    let (call, invite) = ring_by(&mut bench, accepts);
    let early = format!("{};early-only", placed(&invite));
    assert_eq!(bench.receive(wants("r", &early, "").as_bytes()).codes(), [481], "no dialog yet");
    bench.receive(&response(&invite, 180, "t", "").to_bytes());
    let said = takes(&mut bench, call, "s", &early, second());
    assert_eq!(methods(&said), ["CANCEL"]);
    assert!(starts(&said) && said.outputs.iter().any(|output| matches!(output, Output::Answered(..))));
    assert_eq!(hearing(&said), among(&[second(), Member::AGENT]));
    let presses = |output: &Output| matches!(output, Output::Press(_, member, _) if *member == second());
    assert!(said.outputs.iter().any(presses), "the prefix goes to who answered");
    let new = tag_of(&said);
    answer(&mut bench, &said.requests[0], 200);
    let said = answer(&mut bench, &invite, 487);
    assert_eq!(methods(&said), ["ACK"]);
    assert_eq!(bench.shard.active_calls(), 1, "the call is up");
    bench.receive(inside("s", "BYE", 2, &new, "", "").as_bytes());
    let record = over(&mut bench, call);
    assert_eq!((record.sip_code, record.transferred_to.as_deref()), (200, Some("+14155550188")));
}

#[test]
fn a_second_leg_that_rings_is_taken_elsewhere() {
    let (mut bench, call, _) = accepting();
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 180, "t", "").to_bytes());
    let said = takes(&mut bench, call, "r", &placed(&invite), third());
    assert!(methods(&said) == ["CANCEL"] && results(&said)[0].ok);
    assert_eq!(hearing(&said), among(&[Member::FIRST, third()]));
    answer(&mut bench, &said.requests[0], 200);
    answer(&mut bench, &invite, 487);
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    let said = bench.input(Input::HangUp(call));
    for bye in &said.requests {
        answer(&mut bench, bye, 200);
    }
    over(&mut bench, call);
}

#[test]
fn a_late_offer_takes_a_place_too() {
    let (mut bench, call, tag) = accepting();
    let text = wants("r", &first(&tag), "").replace("Content-Type: application/sdp\r\n", "");
    let text =
        text.replace(&format!("Content-Length: {}\r\n\r\n{SDP}", SDP.len()), "Content-Length: 0\r\n\r\n");
    assert_eq!(bench.receive(text.as_bytes()).codes(), [100]);
    let said = bench.input(Input::MediaOpened(call, second(), Some(address("192.0.2.10:10004"))));
    assert!(
        said.codes() == [200] && String::from_utf8_lossy(&said.responses[0].body).contains("m=audio 10004")
    );
    let new = tag_of(&said);
    answer(&mut bench, &said.requests[0], 200);
    let kind = "Content-Type: application/sdp\r\n";
    let said = bench.receive(inside("r", "ACK", 1, &new, kind, SDP).as_bytes());
    let agreed = |output: &Output| matches!(output, Output::UpdateMedia(_, member, _) if *member == second());
    assert!(said.outputs.iter().any(agreed));
    bench.receive(inside("r", "BYE", 2, &new, "", "").as_bytes());
    over(&mut bench, call);
}

#[test]
fn a_panic_as_a_place_is_taken_costs_that_call_only() {
    let (mut bench, call, tag) = accepting();
    let (other, other_tag) = bench.talk("b", "+14155550100");
    bench.shard.plant_fault(|call| call.dialogs().any(|(_, call_id, _)| call_id == "a"));
    let said = bench.receive(wants("r", &first(&tag), "").as_bytes());
    assert_eq!((said.codes(), methods(&said)), (vec![500], vec!["BYE"]));
    bench.receive(inside("r", "ACK", 1, "x", "", "").as_bytes());
    answer(&mut bench, &said.requests[0], 200);
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    assert_eq!(bench.receive(in_dialog("b", "BYE", 2, &other_tag, "", "").as_bytes()).codes(), [200]);
    over(&mut bench, other);
}

/// What the dispatcher was told: Call-ID and whether it stands.
fn aliases(said: &Said) -> Vec<(String, bool)> {
    let told = |output: &Output| match output {
        Output::Alias { call_id, tag, stands } => {
            Some((format!("{} {tag}", String::from_utf8_lossy(call_id)), *stands))
        }
        _ => None,
    };
    said.outputs.iter().filter_map(told).collect()
}

/// Call-IDs that this shard of four has not, and has.
fn foreign_and_own(bench: &mut Bench) -> (String, String) {
    let spread = Spread::over(4, KeyedHash::new((1, 2)));
    bench.config().spread = spread;
    let of = |own: bool| (0..).map(|n| format!("r{n}")).find(|id| spread.is_of(id.as_bytes(), 3) == own);
    (of(false).expect("one"), of(true).expect("one"))
}

#[test]
fn a_call_id_of_another_shard_is_claimed_until_nothing_more_can_come() {
    let mut bench = Bench::new();
    let (foreign, own) = foreign_and_own(&mut bench);
    let text = TABLES.replace("address = \"192", "accept_refer = true\naddress = \"192");
    let source = Source { name: "t".to_owned(), text };
    bench.input(Input::Reload(Arc::new(load(&[source], None).expect("loads").0)));
    let (call, tag) = bench.talk("a", "+14155550100");
    let said = bench.receive(wants(&foreign, "a;to-tag=guessed;from-tag=fa", "").as_bytes());
    assert_eq!((said.codes(), aliases(&said).len()), (vec![481], 0), "a guess leaves nothing");
    // Refused with state, and sent again in a second try of the same names.
    let name = format!("{foreign} f{foreign}");
    let said = bench
        .receive(wants(&foreign, &first(&tag), "Supported: timer\r\nSession-Expires: 60\r\n").as_bytes());
    assert_eq!((said.codes(), aliases(&said)), (vec![422], vec![(name.clone(), true)]));
    let again =
        wants(&foreign, &first(&tag), "").replace("CSeq: 1 ", "CSeq: 2 ").replace("z9hG4bK", "z9hG4bKx");
    let said = bench.receive(again.as_bytes());
    assert!(said.codes() == [100] && aliases(&said).is_empty(), "it stands already");
    let said = bench.input(Input::MediaOpened(call, second(), Some(address("192.0.2.10:10004"))));
    let new = tag_of(&said);
    answer(&mut bench, &said.requests[0], 200);
    bench.receive(inside(&foreign, "ACK", 2, &new, "", "").as_bytes());
    assert!(aliases(&bench.pass(Duration::from_secs(40))).is_empty(), "for the leg, not for the refusal");
    // One that hashes here needs none.
    let said = takes(&mut bench, call, &own, &format!("{foreign};to-tag={new};from-tag=f{foreign}"), third());
    assert!(aliases(&said).is_empty());
    answer(&mut bench, &said.requests[0], 200);
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    assert!(aliases(&bench.pass(Duration::from_secs(31))).is_empty(), "what comes again finds its way");
    assert_eq!(aliases(&bench.pass(Duration::from_secs(2))), [(name, false)]);
    hang_up(&mut bench, call);
}

#[test]
fn a_call_that_ends_gives_its_aliases_back_and_a_full_table_is_503() {
    let mut bench = Bench::new();
    let (foreign, _) = foreign_and_own(&mut bench);
    let text = TABLES.replace("address = \"192", "accept_refer = true\naddress = \"192");
    let source = Source { name: "t".to_owned(), text };
    bench.input(Input::Reload(Arc::new(load(&[source], None).expect("loads").0)));
    let (call, tag) = bench.talk("a", "+14155550100");
    let said = takes(&mut bench, call, &foreign, &first(&tag), second());
    answer(&mut bench, &said.requests[0], 200);
    let new = tag_of(&said);
    for n in 1..1024 {
        let alias = Alias { call_id: format!("x{n}").into(), tag: String::new() };
        bench.shard.aliases.claim(alias.clone());
        bench.shard.aliases.release(alias, Mono(Duration::from_secs(60)));
    }
    let next = format!("{foreign};to-tag={new};from-tag=f{foreign}");
    assert_eq!(bench.receive(wants("full", &next, "").as_bytes()).codes(), [503]);
    bench.receive(inside(&foreign, "BYE", 2, &new, "", "").as_bytes());
    bench.input(Input::RoomClosed(call, MediaStats::default()));
    let said = bench.pass(Duration::from_secs(70));
    assert_eq!(aliases(&said).iter().filter(|(_, stands)| !stands).count(), 1024);
    assert!(bench.shard.is_idle());
}

/// A REFER of the caller's whose target has those fields.
fn refers(bench: &mut Bench, cseq: u32, tag: &str, fields: &str) -> Said {
    let more = format!(
        "Refer-To: <sip:+14155550177@192.0.2.20?{fields}>\r\nReferred-By: <sip:+14155550199@192.0.2.20>;cid=x\r\n"
    );
    bench.receive(in_dialog("a", "REFER", cseq, tag, &more, "").as_bytes())
}

#[test]
fn a_refer_names_the_call_that_ours_replaces() {
    let (mut bench, call, tag) = accepting();
    for (cseq, fields) in [
        (2, "Replaces=x"),
        (3, "X-Evil=1"),
        (4, "Replaces=x%3Bto-tag%3Dt%3Bfrom-tag%3Df&X-Evil=1"),
        (5, "Replaces=x%0D%0AX-Evil%3A1%3Bto-tag%3Dt%3Bfrom-tag%3Df"),
    ] {
        let said = refers(&mut bench, cseq, &tag, fields);
        assert_eq!((said.codes(), methods(&said).len()), (vec![603], 0), "{fields}");
    }
    let said = refers(&mut bench, 6, &tag, "Replaces=x%40y%3Bto-tag%3Dt%3Bfrom-tag%3Df%3Bearly-only");
    assert_eq!(said.codes(), [202]);
    let invite = called(&mut bench, call, &said);
    assert_eq!(invite.target, "sip:+14155550177@192.0.2.20:5062");
    for (name, value) in [
        (HeaderName::Replaces, "x@y;to-tag=t;from-tag=f;early-only"),
        (HeaderName::Require, "replaces"),
        (HeaderName::ReferredBy, "<sip:+14155550199@192.0.2.20>;cid=x"),
    ] {
        assert_eq!(field(&invite, &name), value);
    }
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(hearing(&said), among(&[second(), Member::AGENT]));
    bench.input(Input::HangUp(call));
    bench.input(Input::RoomClosed(call, MediaStats::default()));
}

#[test]
fn a_leg_that_waits_for_its_ack_to_leave_gives_its_place_once() {
    let (mut bench, call, _) = accepting();
    let ringing = bench.receive(invite("b", "+14155550100", "").as_bytes()).call();
    bench.input(Input::MediaOpened(ringing, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(ringing, Ok(())));
    let name = format!("b;to-tag={};from-tag=fb", tag_of(&said));
    bench.receive(wants("r", &name, "").as_bytes());
    let said = bench.input(Input::MediaOpened(ringing, second(), Some(address("192.0.2.10:10004"))));
    assert!(said.codes() == [200] && methods(&said).is_empty(), "its BYE waits for the ACK");
    assert_eq!(bench.receive(wants("s", &name, "").as_bytes()).codes(), [603]);
    for call in [ringing, call] {
        bench.input(Input::HangUp(call));
        bench.input(Input::RoomClosed(call, MediaStats::default()));
    }
}

#[test]
fn no_two_legs_have_the_same_keys_though_they_have_the_same_place() {
    let more = "accept_refer = true\nmedia_encryption = \"require\"\nsdes_over_plaintext = true\n";
    let text = TABLES.replace("address = \"192", &format!("{more}address = \"192"));
    let mut bench = Bench::new();
    let source = Source { name: "t".to_owned(), text };
    bench.input(Input::Reload(Arc::new(load(&[source], None).expect("loads").0)));
    let offer = format!(
        "{SDP}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
    );
    let offering = |text: String| {
        let text = text.replace(SDP, &offer);
        text.replace(&format!("Content-Length: {}", SDP.len()), &format!("Content-Length: {}", offer.len()))
    };
    let call = bench.receive(offering(invite("a", "+14155550100", "")).as_bytes()).call();
    bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let said = bench.input(Input::AgentConnected(call, Ok(())));
    let (mut name, mut keys) = (format!("a;to-tag={};from-tag=fa", tag_of(&said)), Vec::new());
    bench.receive(in_dialog("a", "ACK", 1, &tag_of(&said), "", "").as_bytes());
    let mut left = Member::FIRST;
    for (id, member) in [("r", second()), ("s", third()), ("t", second())] {
        bench.receive(offering(wants(id, &name, "")).as_bytes());
        let said = bench.input(Input::MediaOpened(call, member, Some(address("192.0.2.10:10004"))));
        let answer = String::from_utf8_lossy(&said.responses[0].body).into_owned();
        keys.extend(answer.lines().find(|line| line.starts_with("a=crypto:1 ")).map(str::to_owned));
        name = format!("{id};to-tag={};from-tag=f{id}", tag_of(&said));
        bench.receive(inside(id, "ACK", 1, &tag_of(&said), "", "").as_bytes());
        answer_all(&mut bench, &said);
        bench.input(Input::LegClosed(call, left, MediaStats::default()));
        left = member;
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3, "what one has recorded says nothing of another: {keys:?}");
    hang_up(&mut bench, call);
}

fn answer_all(bench: &mut Bench, said: &Said) {
    for request in &said.requests {
        answer(bench, request, 200);
    }
}

#[test]
fn who_is_asked_for_a_passcode_is_taken_over_and_the_other_is_asked() {
    let (mut bench, call, _) = accepting();
    let wish = Transfer { passcode: Some("47".to_owned()), ..to(TransferMode::Bridge) };
    let said = ask(&mut bench, call, wish);
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let said = takes(&mut bench, call, "r", &placed(&invite), third());
    assert_eq!(sounds(&said), [(third(), Sound::EnterPasscode)]);
    let listens = |output: &Output| matches!(output, Output::Listen(_, member, true) if *member == third());
    assert!(said.outputs.iter().any(listens) && results(&said).is_empty());
    answer_all(&mut bench, &said);
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    bench.input(Input::Room(call, crate::RoomEvent::Digit(third(), '4')));
    let said = bench.input(Input::Room(call, crate::RoomEvent::Digit(third(), '7')));
    assert!(results(&said)[0].ok && hearing(&said) == among(&[Member::FIRST, third()]));
    let said = bench.input(Input::HangUp(call));
    answer_all(&mut bench, &said);
    over(&mut bench, call);
}

#[test]
fn the_leg_of_an_agent_is_taken_over_and_its_end_is_the_calls() {
    let mut bench = Bench::new();
    let text = TABLES.replace("connect = \"builtin:echo\"", "connect = \"sip:assistant@192.0.2.20:5062\"");
    let text = text.replace("address = \"192", "accept_refer = true\naddress = \"192");
    let source = Source { name: "t".to_owned(), text };
    bench.input(Input::Reload(Arc::new(load(&[source], None).expect("loads").0)));
    let call = bench.receive(invite("a", "+14155550100", "").as_bytes()).call();
    let said = bench.input(Input::MediaOpened(call, Member::FIRST, Some(address("192.0.2.10:10000"))));
    let agent = called(&mut bench, call, &said);
    bench.receive(&response(&agent, 180, "t", "").to_bytes());
    assert_eq!(bench.receive(wants("q", &placed(&agent), "").as_bytes()).codes(), [491], "it is called yet");
    let said = bench.receive(&response(&agent, 200, "t", ANSWER).to_bytes());
    bench.receive(in_dialog("a", "ACK", 1, &tag_of(&said), "", "").as_bytes());
    let said = takes(&mut bench, call, "r", &placed(&agent), third());
    assert_eq!(hearing(&said), among(&[Member::FIRST, third()]));
    let new = tag_of(&said);
    answer_all(&mut bench, &said);
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    let said = bench.receive(inside("r", "BYE", 2, &new, "", "").as_bytes());
    answer_all(&mut bench, &said);
    let record = over(&mut bench, call);
    assert_eq!((record.ended_by, record.reason.as_str()), (crate::EndedBy::Agent, "the agent hung up"));
}
