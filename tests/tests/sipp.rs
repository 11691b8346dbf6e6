//! SIPp as carrier: calls, refusals, CANCEL, lost ACK, hold, late offer, over UDP and TCP.

use std::net::TcpListener;

use trunkline_tests::Daemon;
use trunkline_tests::peers::{Sipp, call_with_media};

fn tables(silent_agent: u16) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[agent]]
name = "tone"
connect = "builtin:tone"
[[agent]]
name = "never"
connect = "ws://127.0.0.1:{silent_agent}/"
protocol = "twilio"
connect_timeout_seconds = 20
[[number]]
number = "+14155550100"
inbound = "echo"
[[number]]
number = "+14155550101"
inbound = "tone"
[[number]]
number = "+14155550102"
inbound = "never"
[[number]]
number = "+14155550103"
inbound = "echo"
active = false
[[number]]
number = "+14155550104"
"#
    )
}

/// A daemon, and a listener that takes connections and never speaks.
fn start() -> (Daemon, TcpListener) {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    (Daemon::start(&tables(port)), silent)
}

#[test]
fn a_caller_hears_itself_from_the_echo_agent() {
    let (mut daemon, _silent) = start();
    for transport in ["u1", "t1"] {
        let heard = call_with_media(
            daemon.sip,
            "+14155550100",
            "--hz 700 --secs 1.5 --expect 700 --min-pkts 60",
            2000,
            &["-t", transport],
        );
        assert_eq!(heard["ok"], true, "{transport}: {heard}");
        let record = daemon.record();
        assert_eq!(
            (record["sip_code"].as_u64(), record["ended_by"].as_str()),
            (Some(200), Some("caller")),
            "{record}"
        );
        assert!(record["media"]["packets_received"].as_u64() > Some(60), "{record}");
    }
}

#[test]
fn the_tone_agent_is_heard_and_a_number_without_an_agent_is_announced() {
    let (mut daemon, _silent) = start();
    let heard = call_with_media(
        daemon.sip,
        "+14155550101",
        "--silent --secs 1.5 --expect 440 --min-pkts 50",
        2000,
        &[],
    );
    assert_eq!(heard["ok"], true, "{heard}");
    daemon.record();
    // 183, then 480 once the announcement has been played: for this scenario a failed call.
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550104").code(), Some(1));
    let record = daemon.record();
    assert_eq!((record["sip_code"].as_u64(), record["agent"].as_str()), (Some(480), None), "{record}");
    assert!(record["media"]["packets_sent"].as_u64() > Some(200), "some seconds of announcement: {record}");
}

#[test]
fn refusals_have_their_codes() {
    let (mut daemon, _silent) = start();
    for (number, code) in [("+14155550199", 404), ("911", 404), ("+14155550103", 486)] {
        assert_eq!(Sipp::new("uac_hold", daemon.sip, number).code(), Some(1), "{number}");
        assert_eq!(daemon.wait_for("refused")["code"].as_u64(), Some(code), "{number}");
    }
}

#[test]
fn a_cancelled_call_is_answered_487_and_leaves_nothing() {
    let (mut daemon, _silent) = start();
    for transport in ["u1", "t1"] {
        Sipp::new("uac_cancel", daemon.sip, "+14155550102").with(&["-t", transport]).run();
        let record = daemon.record();
        assert_eq!(
            (record["sip_code"].as_u64(), record["reason"].as_str()),
            (Some(487), Some("cancelled")),
            "{record}"
        );
    }
}

#[test]
fn a_call_is_held_and_resumed() {
    let (mut daemon, _silent) = start();
    for transport in ["u1", "t1"] {
        Sipp::new("uac_hold", daemon.sip, "+14155550100").with(&["-t", transport]).run();
        assert_eq!(daemon.record()["sip_code"], 200);
    }
}

#[test]
fn a_late_offer_is_answered_with_an_offer() {
    let (mut daemon, _silent) = start();
    for transport in ["u1", "t1"] {
        Sipp::new("uac_late", daemon.sip, "+14155550100").with(&["-t", transport]).run();
        let record = daemon.record();
        assert_eq!(
            (record["sip_code"].as_u64(), record["codec"].as_str()),
            (Some(200), Some("PCMU")),
            "{record}"
        );
    }
}

#[test]
fn an_answer_that_is_never_acknowledged_is_sent_again_and_then_ended() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    // 64×T1 is 6.4 s here.
    let mut daemon = Daemon::start_with(&tables(port), "t1_milliseconds = 100", "");
    Sipp::new("uac_noack", daemon.sip, "+14155550100").with(&["-nr", "-timeout", "60s"]).run();
    assert_eq!(daemon.record()["reason"], "the caller never acknowledged the answer");
}
