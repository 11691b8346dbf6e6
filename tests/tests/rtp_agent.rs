//! Agents on plain RTP: tones and keys both ways in every format, and an agent that talks from another port.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use trunkline_tests::daemon::{free_port, peer_files, poll};
use trunkline_tests::peers::{Process, Sipp, call_with_media, project};
use trunkline_tests::{Daemon, Setup};

struct Agent {
    _process: Process,
    daemon: Daemon,
    file: std::path::PathBuf,
}

impl Agent {
    fn new(codec: &str, rate: u32, more: &[&str]) -> Self {
        let port = free_port();
        let rates = if codec == "L16" { format!("sample_rate = {rate}") } else { String::new() };
        let daemon = Daemon::start(&format!(
            r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[agent]]
name = "bot"
connect = "rtp://127.0.0.1:{port}"
protocol = "rtp"
codec = "{codec}"
{rates}
[[number]]
number = "+14155550100"
inbound = "bot"
"#
        ));
        let file = daemon.folder.join("agent.json");
        let child = Command::new(project().join(".tools/venv/bin/python"))
            .arg(peer_files().join("rtp_agent.py"))
            .args(["--port", &port.to_string(), "--codec", codec, "--rate", &rate.to_string(), "--json"])
            .arg(&file)
            .args(more)
            .stdout(Stdio::null())
            .spawn()
            .expect("Python's numpy is installed by `cargo xtask test`");
        let place = format!("0100007F:{port:04X}");
        poll("the agent", || {
            std::fs::read_to_string("/proc/net/udp")
                .is_ok_and(|sockets| sockets.contains(&place))
                .then_some(())
        });
        Self { _process: Process(child), daemon, file }
    }

    fn seen(&self) -> Value {
        poll("what the agent heard", || {
            let seen: Value = serde_json::from_str(&std::fs::read_to_string(&self.file).ok()?).ok()?;
            (seen["seconds"].as_f64() > Some(3.0)).then_some(seen)
        })
    }
}

#[test]
fn tones_and_keys_pass_both_ways_in_every_format() {
    for (codec, rate, payload_type) in
        [("PCMU", 8000, "0"), ("PCMA", 8000, "8"), ("L16", 8000, "96"), ("L16", 24_000, "96")]
    {
        let mut agent = Agent::new(codec, rate, &["--press", "7#"]);
        let tool = "--hz 600 --secs 4.5 --dtmf 1@3,2@3.5 --expect 1000:4 --min-pkts 150";
        let heard = call_with_media(agent.daemon.sip, "+14155550100", tool, 4700, &[]);
        assert_eq!(
            (&heard["ok"], heard["digits"].as_str()),
            (&Value::Bool(true), Some("7#")),
            "{codec} {rate}: {heard}"
        );
        let seen = agent.seen();
        let hertz = seen["hertz"].as_f64().expect("a tone");
        assert!((hertz - 600.0).abs() < 4.0 && seen["purity"].as_f64() > Some(0.9), "{codec} {rate}: {seen}");
        assert_eq!(seen["keys"], "12", "{codec} {rate}: {seen}");
        let types: Vec<&String> = seen["types"].as_object().expect("types").keys().collect();
        assert!(types.contains(&&payload_type.to_owned()) && types.len() == 2, "{codec} {rate}: {seen}");
        // Packets of 20 ms, but for the pause of a key press.
        assert_eq!(seen["steps"][0].as_u64(), Some(u64::from(rate) / 50), "{codec} {rate}: {seen}");
        assert_eq!(agent.daemon.record()["ended_by"], "caller");
    }
}

#[test]
fn an_agent_may_talk_from_another_port_of_its_host() {
    let mut agent = Agent::new("PCMU", 8000, &["--elsewhere"]);
    let tool = "--hz 600 --secs 3.5 --expect 1000:4 --min-pkts 100";
    let heard = call_with_media(agent.daemon.sip, "+14155550100", tool, 3700, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    let seen = agent.seen();
    assert!(seen["moved"].as_u64() > Some(100), "it hears where it talks from: {seen}");
    assert_eq!(agent.daemon.record()["ended_by"], "caller");
}

#[test]
fn an_agent_that_no_address_of_ours_can_reach_is_480() {
    let mut daemon = Daemon::start(
        "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\n[[agent]]\nname = \"bot\"\nconnect = \"rtp://[::1]:4000\"\nprotocol = \"rtp\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"bot\"\n",
    );
    // No address of the media's is of its family.
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1));
    let record = daemon.record();
    assert_eq!(record["sip_code"], 480, "{record}");
    assert!(record["reason"].as_str().is_some_and(|reason| reason.contains("no media port")), "{record}");
}

#[test]
fn the_ports_of_agents_are_of_the_range_and_go_back_into_it() {
    // Two pairs: one for the caller, one for the agent.
    let (port, low) = (free_port(), free_port() & !1);
    let tables = format!(
        "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\n[[agent]]\nname = \"bot\"\nconnect = \"rtp://127.0.0.1:{port}\"\nprotocol = \"rtp\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"bot\"\n"
    );
    let agent = std::net::UdpSocket::bind(("127.0.0.1", port)).expect("a port");
    agent.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let daemon = Setup::new(&tables).media(&format!("ports = [{low}, {}]", low + 3)).start();
    for _ in 0..2 {
        // Ports rest for two seconds after a call: until then there is none for the second one.
        poll("a call", || {
            (Sipp::new("uac_hold", daemon.sip, "+14155550100").code() == Some(0)).then_some(())
        });
        let mut packet = [0; 2048];
        let (_, from) = agent.recv_from(&mut packet).expect("a packet");
        assert!((low..low + 4).contains(&from.port()), "{from}");
    }
}
