//! SIPp as carrier: calls, refusals, CANCEL, lost ACK, hold, late offer, over UDP and TCP.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use trunkline_tests::daemon::{free_port, poll};
use trunkline_tests::heard::{hertz, sound, stretches};
use trunkline_tests::peers::{Sipp, call_over_ipv6, call_with_late_media, call_with_media};
use trunkline_tests::{Daemon, Setup};

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
            "--hz 700 --secs 1.5 --expect 700 --min-pkts 30",
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
        assert!(record["media"]["packets_received"].as_u64() > Some(30), "{record}");
    }
}

#[test]
fn the_tone_agent_is_heard_and_a_number_without_an_agent_is_announced() {
    let (mut daemon, _silent) = start();
    for transport in ["u1", "t1"] {
        let more = ["-t", transport];
        let tool = "--silent --secs 1.5 --expect 440 --min-pkts 25";
        let heard = call_with_media(daemon.sip, "+14155550101", tool, 2000, &more);
        assert_eq!(heard["ok"], true, "{transport}: {heard}");
        daemon.record();
        // 183, then 480 once the announcement has been played: for this scenario a failed call.
        assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550104").with(&more).code(), Some(1));
        let record = daemon.record();
        assert_eq!((record["sip_code"].as_u64(), record["agent"].as_str()), (Some(480), None), "{record}");
        let packets = record["media"]["packets_sent"].as_u64();
        assert!(packets > Some(200), "{transport}: some seconds of announcement: {record}");
    }
}

#[test]
fn the_silent_agent_takes_a_call_and_says_nothing() {
    let mut daemon = Daemon::start(&tables(9).replace("builtin:tone", "builtin:silence"));
    let heard = call_with_media(daemon.sip, "+14155550101", "--hz 300 --secs 1", 1300, &[]);
    assert!(heard["peak_hz"].is_null(), "{heard}");
    let record = daemon.record();
    assert_eq!((record["sip_code"].as_u64(), record["agent"].as_str()), (Some(200), Some("tone")));
    assert!(record["media"]["packets_received"].as_u64() > Some(10), "{record}");
}

#[test]
fn an_announcement_of_the_operators_own_is_played() {
    let wav = std::env::temp_dir().join(format!("trunkline-hello-{}.wav", std::process::id()));
    trunkline_tests::baresip::wav(&wav, 500.0, 3);
    let tables = tables(9).replace("builtin:tone", &format!("builtin:announce?file={}", wav.display()));
    let mut daemon = Daemon::start(&tables);
    let tool = "--silent --secs 1.5 --expect 500 --min-pkts 25";
    for transport in ["u1", "t1"] {
        let heard = call_with_media(daemon.sip, "+14155550101", tool, 2000, &["-t", transport]);
        assert_eq!(heard["ok"], true, "{transport}: {heard}");
        assert_eq!(daemon.record()["ended_by"], "caller");
    }
    let _ = std::fs::remove_file(wav);
}

#[test]
fn refusals_have_their_codes() {
    let (mut daemon, _silent) = start();
    for transport in ["u1", "t1"] {
        for (number, code) in [("+14155550199", 404), ("911", 404), ("+14155550103", 486)] {
            let caller = Sipp::new("uac_hold", daemon.sip, number).with(&["-t", transport]);
            assert_eq!(caller.code(), Some(1), "{number} {transport}");
            assert_eq!(daemon.wait_for("refused")["code"].as_u64(), Some(code), "{number} {transport}");
        }
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
fn an_agent_of_a_cancelled_call_is_dialled_no_further() {
    let (silent, second) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    let (silent, second) = (silent.expect("a port"), second.expect("a port"));
    let url = |listener: &TcpListener| format!("ws://{}/", listener.local_addr().expect("an address"));
    let one = format!("\"{}\"", url(&silent));
    let both = format!("[\"{}\", \"{}\"]", url(&silent), url(&second));
    // Longer than the test waits.
    let tables = tables(silent.local_addr().expect("an address").port())
        .replace(&one, &both)
        .replace("connect_timeout_seconds = 20", "connect_timeout_seconds = 60");
    let mut daemon = Daemon::start(&tables);
    Sipp::new("uac_cancel", daemon.sip, "+14155550102").run();
    assert_eq!(daemon.record()["reason"], "cancelled");
    let (mut dialled, _) = silent.accept().expect("the agent was dialled");
    dialled.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    // The handshake, and then the end of the connection.
    let mut handshake = String::new();
    dialled.read_to_string(&mut handshake).expect("the daemon hangs up on the agent");
    assert!(handshake.starts_with("GET / HTTP/1.1"), "{handshake}");
    second.set_nonblocking(true).expect("set");
    assert!(second.accept().is_err(), "the next address is not tried");
}

#[test]
fn a_cancel_behind_the_answer_changes_nothing() {
    let (mut daemon, _silent) = start();
    for transport in ["u1", "t1"] {
        Sipp::new("uac_cancel_late", daemon.sip, "+14155550100").with(&["-t", transport]).run();
        let record = daemon.record();
        assert_eq!(
            (record["sip_code"].as_u64(), record["reason"].as_str()),
            (Some(200), Some("the caller hung up")),
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
fn a_caller_whose_answer_comes_late_hears_the_first_word() {
    let wav = std::env::temp_dir().join(format!("trunkline-word-{}.wav", std::process::id()));
    // It begins with another tone, which is heard or lost.
    trunkline_tests::baresip::tones(&wav, &[(900.0, 300), (500.0, 5000)]);
    let tables = tables(9).replace("builtin:tone", &format!("builtin:announce?file={}", wav.display()));
    // SIPp takes a 200 that is sent again over TCP for one too many.
    let mut daemon = Setup::new(&tables).sip("t1_milliseconds = 2000").start();
    for transport in ["u1", "t1"] {
        let heard = daemon.folder.join("heard.wav");
        // Its ACK comes a second after our answer: what was said till then would be lost.
        let tool = format!("--silent --secs 2.5 --wav {}", heard.display());
        let _ = call_with_late_media(daemon.sip, "+14155550101", &tool, 2000, &["-t", transport]);
        let (first, then) = (hertz(&heard, 0.1, 0.25), hertz(&heard, 0.5, 1.5));
        assert!(
            (first - 900.0).abs() < 12.0 && (then - 500.0).abs() < 8.0,
            "{transport}: {first}, {then} Hz"
        );
        let word = sound(&heard, 0.0, 0.3);
        assert!(word > 0.28, "{transport}: {word} s of {:?}", stretches(&heard));
        assert_eq!(daemon.record()["sip_code"], 200);
    }
    let _ = std::fs::remove_file(wav);
}

#[test]
fn an_answer_that_is_never_acknowledged_is_sent_again_and_then_ended() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    // 64×T1 is 6.4 s here.
    let mut daemon = Setup::new(&tables(port)).sip("t1_milliseconds = 100").start();
    for transport in ["u1", "t1"] {
        let patient = ["-nr", "-timeout", "60s", "-t", transport];
        Sipp::new("uac_noack", daemon.sip, "+14155550100").with(&patient).run();
        assert_eq!(daemon.record()["reason"], "the caller never acknowledged the answer");
    }
}

#[test]
fn a_caller_over_ipv6_hears_itself() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free_port();
    let tables = tables(silent.local_addr().expect("an address").port())
        .replace("[\"127.0.0.1\"]", "[\"127.0.0.1\", \"::1\"]");
    let mut daemon = Setup::new(&tables)
        .listener(&format!("udp:[::1]:{port}"))
        .listener(&format!("tcp:[::1]:{port}"))
        .media("listen_address = [\"127.0.0.1\", \"::1\"]")
        .start();
    for transport in ["u1", "t1"] {
        let tool = "--hz 700 --secs 1.2 --expect 700 --min-pkts 20";
        let heard = call_over_ipv6(port, "+14155550100", tool, 1500, &["-t", transport]);
        assert_eq!(heard["ok"], true, "{transport} {heard}");
        assert_eq!(daemon.record()["sip_code"], 200);
    }
}

#[test]
fn hold_and_resume_by_update() {
    let (mut daemon, _silent) = start();
    for transport in ["u1", "t1"] {
        Sipp::new("uac_update", daemon.sip, "+14155550100").with(&["-t", transport]).run();
        assert_eq!(daemon.record()["sip_code"], 200);
    }
}

/// Bytes that wait in the daemon's UDP socket.
fn waiting(port: u16) -> u64 {
    let sockets = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let own = format!("0100007F:{port:04X}");
    let line = sockets.lines().find(|line| line.contains(&own)).unwrap_or_default();
    let queues = line.split_whitespace().nth(4).unwrap_or_default();
    queues.split_once(':').and_then(|(_, received)| u64::from_str_radix(received, 16).ok()).unwrap_or(0)
}

#[test]
fn an_invite_that_was_sent_again_is_one_call() {
    let (mut daemon, _silent) = start();
    // While the daemon stands still, SIPp's own timer sends the INVITE again.
    daemon.signal("STOP");
    let port = daemon.sip;
    let caller = std::thread::spawn(move || Sipp::new("uac_hold", port, "+14155550100").run());
    let one = poll("the INVITE", || Some(waiting(port)).filter(|bytes| *bytes > 0));
    poll("the INVITE once more", || (waiting(port) >= 2 * one).then_some(()));
    daemon.signal("CONT");
    assert_eq!(daemon.record()["sip_code"], 200);
    assert!(caller.join().is_ok(), "the call went through");
    let (_, metrics) = trunkline_tests::http::get(daemon.api, "/metrics");
    let invites = metrics.lines().find(|line| line.contains("method=\"INVITE\"")).unwrap_or_default();
    let count: u32 = invites.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
    // Twice the first, and the two of hold and resume.
    assert!(count >= 4, "{invites}");
    let records = std::fs::read_to_string(daemon.folder.join("data/calls.jsonl")).expect("records");
    assert_eq!(records.lines().count(), 1, "{records}");
}
