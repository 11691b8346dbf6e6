//! Agents that are SIP endpoints: SIPp calls, and SIPp is the agent.

use serde_json::Value;
use trunkline_tests::Daemon;
use trunkline_tests::daemon::{free_port, poll};
use trunkline_tests::peers::{Callee, Sipp, call_with_media};

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
