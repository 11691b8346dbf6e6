//! Agents that are SIP endpoints: SIPp calls, and SIPp is the agent.

use serde_json::{Value, json};
use trunkline_tests::daemon::{free_port, poll};
use trunkline_tests::peers::{Callee, Sipp, call_with_media};
use trunkline_tests::{Daemon, http};

fn tables(agent: u16) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[trunk]]
name = "vendor"
direction = "outbound"
address = "sip:127.0.0.1:{agent};transport=udp"
media_addresses = ["127.0.0.1"]
[[agent]]
name = "bot"
connect = "sip:assistant@127.0.0.1:{agent}"
[[number]]
number = "+14155550100"
inbound = "bot"
"#
    )
}

#[test]
fn the_caller_and_an_agent_on_sip_hear_each_other() {
    for transport in ["u1", "t1"] {
        let media = free_port().to_string();
        let result = std::env::temp_dir().join(format!("sip-agent-{}-{media}.json", std::process::id()));
        let tool = format!("--hz 500 --secs 2 --json {}", result.display());
        let mut agent = Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", &tool]);
        let mut daemon = Daemon::start(&tables(agent.port));
        let more = ["-t", transport];
        let caller = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 3", 3500, &more);
        let heard: Value = poll("what the agent heard", || {
            serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok()
        });
        assert!(agent.went_through(), "its BYE came");
        let _ = std::fs::remove_file(result);
        let hertz = |heard: &Value| heard["peak_hz"].as_f64().unwrap_or_default();
        assert!((hertz(&heard) - 700.0).abs() < 10.0, "{transport}: the agent hears the caller: {heard}");
        assert!((hertz(&caller) - 500.0).abs() < 10.0, "{transport}: the caller hears the agent: {caller}");
        let record = daemon.record();
        assert_eq!((&record["agent"], &record["ended_by"]), (&"bot".into(), &"caller".into()), "{record}");
        assert_eq!((&record["sip_code"], &record["trunk"]), (&200.into(), &"carrier".into()), "{record}");
    }
}

#[test]
fn an_agent_on_sip_that_refuses_is_480() {
    let mut agent = Callee::new("uas_refuse_486", "u1", &[]);
    let mut daemon = Daemon::start(&tables(agent.port));
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1));
    let record = daemon.record();
    assert_eq!(record["sip_code"], 480, "{record}");
    assert!(record["reason"].as_str().is_some_and(|reason| reason.contains("cannot be reached")), "{record}");
    assert!(agent.went_through());
}

/// The carrier takes calls too, of its own callee.
fn tables_of_both(agent: u16, carrier: u16) -> String {
    tables(agent)
        .replace("address = \"sip", "accept_refer = true\naddress = \"sip")
        .replace(
            "allowed_addresses",
            &format!("address = \"sip:127.0.0.1:{carrier};transport=udp\"\nallowed_addresses"),
        )
        .replace(
            "inbound = \"bot\"",
            "inbound = \"bot\"\ntrunk = \"carrier\"\nallowed_destinations = [\"+1415*\"]",
        )
}

#[test]
fn an_agent_on_sip_puts_its_caller_through_by_refer() {
    let media = free_port().to_string();
    let mut callee =
        Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", "--hz 500 --secs 6"]);
    let media = free_port().to_string();
    let mut agent =
        Callee::new("uas_refers", "u1", &["-key", "mport", &media, "-key", "target", "tel:+14155550177"]);
    let mut daemon = Daemon::start(&tables_of_both(agent.port, callee.port));
    let caller = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 4", 5000, &[]);
    assert!(agent.went_through(), "it was told how the transfer went");
    assert!(callee.went_through(), "the caller's BYE reached who was called");
    let hertz = caller["peak_hz"].as_f64().unwrap_or_default();
    assert!((hertz - 500.0).abs() < 10.0, "the caller hears who was called: {caller}");
    let record = daemon.record();
    assert_eq!(
        (&record["transferred_to"], &record["ended_by"], &record["agent"]),
        (&"+14155550177".into(), &"caller".into(), &"bot".into()),
        "{record}"
    );
}

#[test]
fn a_callee_and_an_agent_on_sip_hear_each_other() {
    let file =
        |who: &str| std::env::temp_dir().join(format!("out-sip-agent-{}-{who}.json", std::process::id()));
    let answers = |who: &str, hertz: u32| {
        let media = free_port().to_string();
        let tool = format!("--hz {hertz} --secs 2.5 --json {}", file(who).display());
        Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", &tool])
    };
    let (mut agent, mut callee) = (answers("agent", 500), answers("callee", 700));
    let mut daemon = Daemon::start(&tables_of_both(agent.port, callee.port));
    let wanted = json!({"to": "+14155550177", "from": "+14155550100"}).to_string();
    let fields = "Content-Type: application/json\r\n";
    let (status, text) = http::request(daemon.api, "POST", "/v1/calls", fields, &wanted);
    assert_eq!(status, 202, "{text}");
    let placed: Value = serde_json::from_str(&text).expect("JSON");
    for (who, hertz) in [("agent", 700.0), ("callee", 500.0)] {
        let heard: Value =
            poll("what was heard", || serde_json::from_str(&std::fs::read_to_string(file(who)).ok()?).ok());
        let _ = std::fs::remove_file(file(who));
        let peak = heard["peak_hz"].as_f64().unwrap_or_default();
        assert!((peak - hertz).abs() < 10.0, "{who}: {heard}");
    }
    let path = format!("/v1/calls/{}", placed["id"].as_str().expect("an id"));
    assert_eq!(http::request(daemon.api, "DELETE", &path, "", "").0, 202);
    assert!(agent.went_through() && callee.went_through(), "both were hung up on");
    let record = daemon.record();
    assert_eq!((&record["agent"], &record["status"]), (&"bot".into(), &"completed".into()), "{record}");
}
