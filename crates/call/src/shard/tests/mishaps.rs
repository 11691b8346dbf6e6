//! What goes wrong in the midst of a transfer.

use trunkline_sdp::control::{Fallback, Transfer, TransferMode};

use super::outgoing::{ANSWER, methods, response};
use super::transfers::{
    TABLES, among, answer, ask, attended, called, callee_bye, drops_agent, hang_up, hearing, notify, results,
    second, talking, talking_by, to,
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
