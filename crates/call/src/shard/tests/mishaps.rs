//! What goes wrong in the midst of a transfer.

use trunkline_sdp::control::{AgentAsk, Fallback, Mute, Transfer, TransferMode};
use trunkline_sdp::media::RoomEvent;
use trunkline_sdp::{Hearing, Members};
use trunkline_sip::{HeaderName, Request};

use super::outgoing::{ANSWER, field, methods, response};
use super::transfers::{
    TABLES, accepting, among, answer, ask, attended, called, callee_bye, consulting, drops_agent, hang_up,
    hearing, notify, peer_refers, results, second, sounds, talking, talking_by, to,
};
use super::*;

fn hushes_caller(said: &Said) -> bool {
    said.outputs.iter().any(|output| matches!(output, Output::Hush(_, Member::FIRST)))
}

#[test]
fn a_caller_comes_back_from_the_music_when_the_consultation_went_before_the_refusal() {
    // The REFER is refused, fails later, comes to no outcome in time.
    for case in 0..3 {
        let (mut bench, call, tag, said, invite) = attended("replaces = true\n");
        let refer = &said.requests[0];
        if case > 0 {
            answer(&mut bench, refer, 202);
        }
        let said = bench.receive(&callee_bye(&invite));
        assert!(results(&said).is_empty() && hearing(&said).is_none(), "the carrier may have taken it over");
        let said = match case {
            0 => answer(&mut bench, refer, 603),
            1 => notify(&mut bench, 2, &tag, "terminated", "SIP/2.0 486 Busy Here\r\n"),
            _ => bench.pass(Duration::from_secs(61)),
        };
        assert!(!results(&said)[0].ok && !drops_agent(&said), "{case}");
        assert_eq!(hearing(&said), among(&[Member::FIRST, Member::AGENT]), "{case}");
        assert!(hushes_caller(&said), "{case}");
        hang_up(&mut bench, call);
    }
}

#[test]
fn who_was_consulted_is_not_called_a_second_time() {
    let text = TABLES.replace("address = \"192", "replaces = true\naddress = \"192");
    let (mut bench, call, _) = talking_by(&text);
    let said = ask(&mut bench, call, Transfer { fallback: Fallback::Bridge, ..to(TransferMode::Attended) });
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    let said = bench.input(Input::CompleteTransfer(call, false));
    assert_eq!(methods(&said), ["REFER"]);
    let said = answer(&mut bench, &said.requests[0], 603);
    assert!(!said.outputs.iter().any(|output| matches!(output, Output::FindFlow { .. })));
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
    assert!(results(&said)[0].ok && drops_agent(&said));
    let said = bench.input(Input::HangUp(call));
    assert_eq!(methods(&said), ["BYE", "BYE"], "no third leg");
}

#[test]
fn what_an_agent_asks_for_has_bounds() {
    let (mut bench, call, _) = talking();
    let rings = |seconds| Transfer { ringing_timeout_seconds: Some(seconds), ..to(TransferMode::Cold) };
    let asks_for = |code: &str| Transfer { passcode: Some(code.to_owned()), ..to(TransferMode::Bridge) };
    let long = "1".repeat(33);
    for wrong in [rings(0), rings(301), rings(u64::MAX), asks_for(""), asks_for("12e4"), asks_for(&long)] {
        let said = ask(&mut bench, call, wrong.clone());
        assert!(methods(&said).is_empty() && hearing(&said).is_none(), "{wrong:?}");
        assert!(!results(&said)[0].ok, "{wrong:?}");
    }
    assert_eq!(methods(&ask(&mut bench, call, rings(300))), ["REFER"]);
    hang_up(&mut bench, call);
}

fn mute(bench: &mut Bench, call: CallHandle, participant: &str) -> Said {
    let mute = Mute { participant: participant.to_owned(), on: true };
    bench.input(Input::Room(call, RoomEvent::Ask(Box::new(AgentAsk::Mute { mute }))))
}

#[test]
fn a_mute_counts_at_once_and_goes_with_who_was_muted() {
    let (mut bench, call, invite) = consulting();
    let mut expected = Hearing::among(Members::of(&[Member::AGENT, second()]));
    expected.mute(second());
    assert_eq!(hearing(&mute(&mut bench, call, "leg 1")), Some(expected), "while the transfer is open");
    let said = bench.input(Input::CompleteTransfer(call, true));
    let mut expected = Hearing::among(Members::of(&[Member::FIRST, Member::AGENT, second()]));
    expected.mute(second());
    assert_eq!(hearing(&said), Some(expected), "and behind it");
    bench.receive(&callee_bye(&invite));
    bench.input(Input::LegClosed(call, second(), MediaStats::default()));
    // Somebody else has the place.
    let said = ask(&mut bench, call, to(TransferMode::Bridge));
    let invite = called(&mut bench, call, &said);
    let said = bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    assert_eq!(hearing(&said), among(&[Member::FIRST, second()]));
}

#[test]
fn who_is_held_is_heard_by_nobody_when_somebody_leaves_or_the_carrier_refers() {
    let (mut bench, call, invite) = consulting();
    bench.input(Input::CompleteTransfer(call, true));
    bench.input(Input::Hold(call, true));
    let said = bench.receive(&callee_bye(&invite));
    assert_eq!(hearing(&said), among(&[Member::AGENT]));
    let said = bench.input(Input::Hold(call, false));
    assert_eq!(hearing(&said), among(&[Member::FIRST, Member::AGENT]));
    let (mut bench, call, tag) = accepting();
    bench.input(Input::Hold(call, true));
    assert_eq!(peer_refers(&mut bench, 2, &tag, "").codes(), [603]);
    hang_up(&mut bench, call);
}

#[test]
fn a_later_transfer_is_decided_by_the_trunk_of_who_took_the_place() {
    let carrier = "accept_refer = true\n[[trunk]]\nname = \"other\"\nallowed_addresses = [\"198.51.100.1\"]\naddress = \"192.0.2.20:5062\"\noutbound_numbers = [\"+14155550100\"]\nrefer = \"tel\"\n";
    let text = TABLES.replace("address = \"192.0.2.20:5062\"\n", carrier);
    let (mut bench, call, tag) = talking_by(&text);
    let said = peer_refers(&mut bench, 2, &tag, "");
    let invite = called(&mut bench, call, &said);
    bench.receive(&response(&invite, 200, "t", ANSWER).to_bytes());
    bench.receive(in_dialog("a", "BYE", 4, &tag, "", "").as_bytes());
    bench.pass(Duration::from_secs(2));
    let said = ask(&mut bench, call, to(TransferMode::Cold));
    assert_eq!(methods(&said), ["REFER"]);
    assert_eq!(field(&said.requests[0], &HeaderName::CallId), field(&invite, &HeaderName::CallId));
    assert_eq!(field(&said.requests[0], &HeaderName::ReferTo), "<tel:+14155550177>");
    hang_up(&mut bench, call);
}

#[test]
fn a_call_has_twenty_transfers_and_no_more() {
    let (mut bench, call, tag) = accepting();
    for n in 0..20 {
        let mut said = ask(&mut bench, call, to(TransferMode::Cold));
        assert_eq!(methods(&said), ["REFER"], "{n}");
        let refer = said.requests.remove(0);
        assert!(!results(&answer(&mut bench, &refer, 603))[0].ok);
    }
    for mode in [TransferMode::Cold, TransferMode::Bridge] {
        let said = ask(&mut bench, call, to(mode));
        assert!(methods(&said).is_empty() && sounds(&said).is_empty());
        assert!(!results(&said)[0].ok);
    }
    assert_eq!(peer_refers(&mut bench, 2, &tag, "").codes(), [603]);
    hang_up(&mut bench, call);
}

#[test]
fn a_notify_of_an_earlier_refer_tells_nothing_of_a_later_one() {
    let (mut bench, call, tag) = talking();
    let first = ask(&mut bench, call, to(TransferMode::Cold)).requests.remove(0);
    answer(&mut bench, &first, 202);
    let said = bench.pass(Duration::from_secs(61));
    assert!(!results(&said)[0].ok, "no outcome in time");
    let second = ask(&mut bench, call, to(TransferMode::Cold)).requests.remove(0);
    answer(&mut bench, &second, 202);
    let number = |refer: &Request| refer.cseq().map_or(0, |cseq| cseq.number);
    let mut tell = |cseq, event: &str| {
        let more = format!(
            "Event: {event}\r\nSubscription-State: terminated\r\nContent-Type: message/sipfrag;version=2.0\r\n"
        );
        let said =
            bench.receive(in_dialog("a", "NOTIFY", cseq, &tag, &more, "SIP/2.0 200 OK\r\n").as_bytes());
        assert_eq!(said.codes(), [200], "{event}");
        results(&said).iter().any(|result| result.ok)
    };
    assert!(!tell(2, &format!("refer;id={}", number(&first))));
    assert!(!tell(3, "refer"), "the first one's, RFC 3515");
    assert!(tell(4, &format!("refer; ID={}", number(&second))));
}
