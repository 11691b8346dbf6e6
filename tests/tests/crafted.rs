//! Packets that no telephone sends, made with other people's libraries: SRTP by libsrtp, RTP and telephone events by
//! scapy. The scripts in `peers/crafted` place the calls and say what came back.

use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;
use trunkline_tests::Daemon;
use trunkline_tests::daemon::{PATIENCE, peer_files};
use trunkline_tests::peers::project;
use tungstenite::Message;

fn tables(agent: &str, trunk: &str) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
{trunk}
[[agent]]
name = "bot"
connect = "{agent}"
[[number]]
number = "+14155550100"
inbound = "bot"
"#
    )
}

/// Runs a script of `peers/crafted` against a daemon; the line that it prints.
fn run(script: &str, daemon: &Daemon, more: &[&str]) -> String {
    let output = Command::new(project().join(".tools/venv/bin/python"))
        .arg(peer_files().join("crafted").join(script))
        .args([&daemon.sip.to_string(), "+14155550100"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(more)
        .output()
        .expect("installed by `cargo xtask test`");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn srtp_of_libsrtp_is_understood_across_rollover_replay_another_ssrc_and_forgeries() {
    std::thread::scope(|scope| {
        for suite in
            ["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"]
        {
            scope.spawn(move || encrypted(suite));
        }
    });
}

fn encrypted(suite: &str) {
    let trunk = "media_encryption = \"require\"\nsdes_over_plaintext = true";
    let mut daemon = Daemon::start(&tables("builtin:echo", trunk));
    let said = run("srtp.py", &daemon, &[suite]);
    let told: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&told["suite"], &told["wrong"]), (&suite.into(), &0.into()), "all of ours decrypts: {told}");
    for (part, least, most) in
        [("rollover", 90, 100), ("twice", 40, 55), ("ssrc", 85, 105), ("after", 90, 105)]
    {
        let packets = told[part]["packets"].as_u64().unwrap_or_default();
        assert!((least..=most).contains(&packets), "{part}: {told}");
        assert!(told[part]["share"].as_f64() > Some(0.9), "{part}: {told}");
    }
    let record = daemon.record();
    let dropped = record["media"]["unauthentic_dropped"].as_u64().unwrap_or_default();
    assert!((9_900..=10_060).contains(&dropped), "replays and forgeries are counted: {record}");
    assert_eq!((&record["ended_by"], &record["sip_code"]), (&"caller".into(), &200.into()), "{record}");
}

#[test]
fn a_stranger_is_neither_heard_nor_sent_anything() {
    let mut daemon = Daemon::start(&tables("builtin:echo", ""));
    let said = run("strangers.py", &daemon, &[]);
    let told: Value = serde_json::from_str(&said).expect("JSON");
    assert!(told["own"].as_f64() > Some(0.9), "the caller hears itself: {told}");
    assert!(told["strange"].as_f64() < Some(0.02), "and not the stranger: {told}");
    assert_eq!(told["to_stranger"], 0, "{told}");
    assert!(told["packets"].as_u64() > Some(220), "{told}");
    let record = daemon.record();
    // Its tone; what is no audio at all is not counted.
    assert!(record["media"]["strangers_dropped"].as_u64() >= Some(210), "{record}");
}

/// An agent that takes one call and gives the keys that it is told of.
fn agent() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, keys) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a call");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        let mut pressed = String::new();
        while let Ok(message) = socket.read() {
            let Message::Text(text) = message else { continue };
            let event: Value = serde_json::from_str(&text).expect("JSON");
            pressed += event["dtmf"]["digit"].as_str().unwrap_or_default();
        }
        sender.send(pressed).expect("the test listens");
    });
    (format!("ws://{address}/"), keys)
}

#[test]
fn each_key_is_pressed_once_though_packets_are_lost_doubled_and_out_of_order() {
    let (agent, keys) = agent();
    let mut daemon =
        Daemon::start(&tables(&agent, "").replace("[[number]]", "protocol = \"twilio\"\n[[number]]"));
    let pressed = run("events.py", &daemon, &[]);
    assert_eq!(keys.recv_timeout(PATIENCE).expect("the call ends"), pressed.trim());
    assert_eq!(daemon.record()["media"]["dtmf_digits"], 7);
}
