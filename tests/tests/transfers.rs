//! Transfers with SIPp as the carrier, and an agent of our own that asks for them.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use trunkline_tests::Daemon;
use trunkline_tests::daemon::{PATIENCE, free_port, poll};
use trunkline_tests::http;
use trunkline_tests::peers::{Callee, Sipp, call_with_media};
use tungstenite::Message;

fn tables(agent: &str, carrier: u16, kind: &str) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
address = "sip:127.0.0.1:{carrier};transport={kind}"
[[agent]]
name = "bot"
connect = "{agent}"
protocol = "twilio"
events = true
[[number]]
number = "+14155550100"
inbound = "bot"
allowed_destinations = ["+1415*"]
"#
    )
}

/// An agent that takes one call, asks for a transfer, and gives the news it has of it. Where that has failed it
/// hangs up; `then` is said once `participant_joined` comes.
fn agent(transfer: Value, then: Option<Value>) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, news) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a call");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        while let Ok(message) = socket.read() {
            let Message::Text(text) = message else { continue };
            let event: Value = serde_json::from_str(&text).expect("JSON");
            let say = match event["event"].as_str() {
                Some("start") => Some(json!({"event": "transfer", "transfer": transfer})),
                Some("participant_joined") => then.clone(),
                Some("transfer_result") if event["transfer_result"]["ok"] == false => {
                    Some(json!({"event": "hangup"}))
                }
                _ => None,
            };
            if matches!(event["event"].as_str(), Some("transfer_result" | "participant_joined")) {
                sender.send(event).expect("the test listens");
            }
            if let Some(say) = say {
                socket.send(Message::text(say.to_string())).expect("sent");
            }
        }
    });
    (format!("ws://{address}/"), news)
}

fn target() -> Value {
    json!({"to": "+14155550177"})
}

#[test]
fn the_carrier_takes_refuses_or_loses_a_refer() {
    for (scenario, ok, code) in [
        ("uac_refer_ok", true, Some(200)),
        ("uac_refer_bye", true, Some(200)),
        ("uac_refer_refused", false, Some(603)),
        ("uac_refer_late", false, Some(486)),
    ] {
        for transport in ["u1", "t1"] {
            let (agent, news) = agent(target(), None);
            let mut daemon = Daemon::start(&tables(&agent, free_port(), "udp"));
            Sipp::new(scenario, daemon.sip, "+14155550100").with(&["-t", transport]).run();
            let record = daemon.record();
            let result = &record["transfer"];
            assert_eq!(
                (result["ok"].as_bool(), result["code"].as_u64()),
                (Some(ok), code),
                "{scenario} {record}"
            );
            let moved = record["transferred_to"].as_str();
            assert_eq!(moved, ok.then_some("+14155550177"), "{scenario} {record}");
            // The agent is told, unless the call was over at once.
            if scenario != "uac_refer_bye" {
                let told = news.recv_timeout(PATIENCE).expect("the agent is told");
                assert_eq!(told["transfer_result"]["ok"], ok, "{scenario} {told}");
            }
        }
    }
}

#[test]
fn a_caller_that_hangs_up_as_the_refer_comes_has_hung_up() {
    let (agent, _news) = agent(target(), None);
    let mut daemon = Daemon::start(&tables(&agent, free_port(), "udp"));
    Sipp::new("uac_refer_crossed", daemon.sip, "+14155550100").run();
    let record = daemon.record();
    assert_eq!(
        (record["ended_by"].as_str(), record["transferred_to"].as_str()),
        (Some("caller"), None),
        "{record}"
    );
    assert_eq!(record["transfer"]["ok"], false, "{record}");
}

/// A call that is put through to a callee with a tone of 500 Hz while the caller has 700 Hz: what either heard.
fn put_through(transfer: Value, then: Option<Value>) -> (Value, Value, Value) {
    let media = free_port().to_string();
    let result = std::env::temp_dir().join(format!("through-{}-{media}.json", std::process::id()));
    let tool = format!("--hz 500 --secs 2 --json {}", result.display());
    let mut callee = Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", &tool]);
    let (agent, _news) = agent(transfer, then);
    let mut daemon = Daemon::start(&tables(&agent, callee.port, "udp"));
    let caller = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 3.5", 4000, &[]);
    let heard: Value =
        poll("what the callee heard", || serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok());
    assert!(callee.went_through(), "its BYE came");
    let _ = std::fs::remove_file(result);
    (caller, heard, daemon.record())
}

#[test]
fn a_bridge_is_heard_both_ways() {
    let (caller, callee, record) = put_through(json!({"to": "+14155550177", "mode": "bridge"}), None);
    let hertz = |heard: &Value| heard["peak_hz"].as_f64().unwrap_or_default();
    assert!((hertz(&callee) - 700.0).abs() < 10.0, "the callee hears the caller: {callee}");
    assert!((hertz(&caller) - 500.0).abs() < 10.0, "the caller hears the callee: {caller}");
    assert_eq!(
        (record["transfer"]["ok"].as_bool(), record["ended_by"].as_str()),
        (Some(true), Some("caller"))
    );
}

#[test]
fn a_warm_transfer_ends_with_the_two_together() {
    let then = json!({"event": "transfer_complete"});
    let (caller, callee, record) = put_through(json!({"to": "+14155550177", "mode": "warm"}), Some(then));
    let hertz = |heard: &Value| heard["peak_hz"].as_f64().unwrap_or_default();
    assert!((hertz(&callee) - 700.0).abs() < 10.0, "the callee hears the caller: {callee}");
    assert!((hertz(&caller) - 500.0).abs() < 10.0, "the caller hears the callee: {caller}");
    assert_eq!(record["transferred_to"], "+14155550177", "{record}");
}

#[test]
fn a_carrier_that_asks_who_refers_is_answered() {
    for (password, ok) in [("s3cret", true), ("wrong", false)] {
        let (agent, _news) = agent(target(), None);
        let account = format!(
            "auth_username = \"acme\"\nauth_password = \"{password}\"\nauth_realm = \"carrier.example\"\n"
        );
        let tables = tables(&agent, free_port(), "udp")
            .replace("address = \"sip", &format!("{account}address = \"sip"));
        let mut daemon = Daemon::start(&tables);
        let code = Sipp::new("uac_refer_challenged", daemon.sip, "+14155550100").code();
        assert_eq!(code == Some(0), ok, "{password}");
        let record = daemon.record();
        assert_eq!(record["transfer"]["ok"], ok, "{record}");
    }
}

#[test]
fn a_carrier_that_leaves_behind_its_202_takes_the_consultation_over() {
    let mut callee = Callee::new("uas_taken_over", "u1", &[]);
    let complete = json!({"event": "transfer_complete"});
    let (agent, _news) = agent(json!({"to": "+14155550177", "mode": "attended"}), Some(complete));
    let tables =
        tables(&agent, callee.port, "udp").replace("address = \"sip", "replaces = true\naddress = \"sip");
    let mut daemon = Daemon::start(&tables);
    Sipp::new("uac_refer_attended", daemon.sip, "+14155550100").run();
    let record = daemon.record();
    assert_eq!(
        (record["transfer"]["ok"].as_bool(), record["reason"].as_str()),
        (Some(true), Some("transferred")),
        "{record}"
    );
    assert!(callee.went_through(), "the consultation was there until its peer ended it");
}

#[test]
fn the_carrier_has_us_call_somebody_in_place_of_a_call_of_its_own() {
    let (media, result) =
        (free_port().to_string(), std::env::temp_dir().join(format!("refers-{}.json", std::process::id())));
    let tool = format!("--hz 500 --secs 1.5 --json {}", result.display());
    let mut callee = Callee::new("uas_replaces", "u1", &["-key", "mport", &media, "-key", "tool", &tool]);
    let tables = tables("builtin:echo", callee.port, "udp")
        .replace("address = \"sip", "accept_refer = true\naddress = \"sip");
    let mut daemon = Daemon::start(&tables);
    Sipp::new("uac_refers", daemon.sip, "+14155550100").run();
    assert!(callee.went_through(), "its INVITE names the call, and its BYE ends ours");
    let heard: Value =
        poll("what the callee heard", || serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok());
    let _ = std::fs::remove_file(result);
    assert!(
        (heard["peak_hz"].as_f64().unwrap_or_default() - 500.0).abs() < 10.0,
        "the agent talks on: {heard}"
    );
    assert_eq!(daemon.record()["transferred_to"], "+14155550177");
}

/// A carrier whose call another leg of its takes over; `more` is said of its trunk.
fn replaceable(agent: &str, more: &str) -> Daemon {
    Daemon::start(
        &tables(agent, free_port(), "udp").replace("address = \"sip", &format!("{more}address = \"sip")),
    )
}

#[test]
fn a_leg_takes_the_callers_place_by_replaces_and_is_heard() {
    let mut daemon = replaceable("builtin:echo", "accept_refer = true\n");
    // The media tool takes a while to start where the machine is busy: once is enough.
    for (transport, pause) in [("u1", "4000"), ("t1", "200")] {
        let file =
            |leg| std::env::temp_dir().join(format!("leg-{}-{transport}-{leg}.json", std::process::id()));
        let (first, second) = (file(1), file(2));
        let tools = [
            format!("--hz 700 --secs 1.5 --json {}", first.display()),
            format!("--hz 500 --secs 1.5 --json {}", second.display()),
        ];
        let ports = [free_port().to_string(), free_port().to_string()];
        Sipp::new("uac_replaces", daemon.sip, "+14155550100")
            .with(&["-t", transport, "-d", pause])
            .with(&["-key", "mport", &ports[0], "-key", "tool1", &tools[0]])
            .with(&["-key", "mport2", &ports[1], "-key", "tool2", &tools[1]])
            .run();
        for (file, hertz) in [(&first, 700.0), (&second, 500.0)] {
            let heard: Value =
                poll("what a leg heard", || serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok());
            let _ = std::fs::remove_file(file);
            let peak = heard["peak_hz"].as_f64().unwrap_or_default();
            let fine = transport == "t1" || (peak - hertz).abs() < 10.0;
            assert!(fine, "{transport}: who has the place hears its echo: {heard}");
        }
        let record = daemon.record();
        assert_eq!(record["transferred_to"], "+14155550188", "{record}");
        assert_eq!(
            (record["ended_by"].as_str(), record["status"].as_str()),
            (Some("caller"), Some("completed"))
        );
        let (_, body) =
            http::get(daemon.api, &format!("/v1/calls/{}", record["call_id"].as_str().expect("an id")));
        let call: Value = serde_json::from_str(&body).expect("JSON");
        let timeline: Vec<_> = call["timeline"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|entry| entry["event"].as_str())
            .collect();
        assert!(timeline.contains(&"leg_came") && timeline.contains(&"replaced"), "{timeline:?}");
        assert_eq!(call["legs"][1]["direction"], "inbound", "{call}");
        let rung = |rung: &&Value| rung["participant"] == call["legs"][1]["participant"];
        let ladder: Vec<_> = call["ladder"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(rung)
            .map(|rung| rung["message"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(ladder.first(), Some(&"INVITE"), "{ladder:?}");
        // More often where the machine is slow.
        let missing: Vec<_> = ["100 Trying", "200 OK", "ACK", "OPTIONS", "BYE"]
            .into_iter()
            .filter(|rung| !ladder.contains(rung))
            .collect();
        assert!(missing.is_empty(), "{missing:?} in {ladder:?}");
    }
}

#[test]
fn legs_that_come_by_replaces_are_found_on_whichever_shard_their_call_is() {
    let mut daemon = replaceable("builtin:echo", "accept_refer = true\n");
    let tool = "--hz 500 --secs 0.1";
    let ports = [free_port().to_string(), free_port().to_string()];
    // Their Call-IDs fall on the shards by chance.
    Sipp::new("uac_replaces", daemon.sip, "+14155550100")
        .with(&["-m", "16", "-l", "16", "-r", "16", "-d", "200"])
        .with(&[
            "-key", "mport", &ports[0], "-key", "tool1", tool, "-key", "mport2", &ports[1], "-key", "tool2",
            tool,
        ])
        .run();
    for _ in 0..16 {
        let record = daemon.record();
        assert_eq!(
            (record["transferred_to"].as_str(), record["ended_by"].as_str()),
            (Some("+14155550188"), Some("caller")),
            "{record}"
        );
    }
}

#[test]
fn no_leg_is_taken_over_where_the_trunk_obeys_no_refer() {
    let mut daemon = replaceable("builtin:echo", "");
    Sipp::new("uac_replaces_refused", daemon.sip, "+14155550100").run();
    let record = daemon.record();
    assert_eq!(
        (record["transferred_to"].as_str(), record["ended_by"].as_str()),
        (None, Some("caller")),
        "{record}"
    );
}
