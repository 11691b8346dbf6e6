//! Kamailio between TLS and UDP: the gateway speaks TLS with it only, SIPp UDP only. Every request within a call has
//! to take the recorded route, over the connection that verified.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use trunkline_tests::certificates::Authority;
use trunkline_tests::daemon::{free_port, peer_files, poll};
use trunkline_tests::peers::{Callee, Process, Sipp, call_with_media};
use trunkline_tests::{Daemon, Setup, http};

/// A proxy with its authority, and a gateway whose only trunk it is.
struct Between {
    proxy: Process,
    /// Where SIPp calls it.
    udp: u16,
    daemon: Daemon,
    _authority: Authority,
}

impl Between {
    fn start(name: &str, carrier: u16) -> Self {
        let authority = Authority::new(name);
        authority.sign("server", "IP:127.0.0.1");
        authority.sign("proxy", "DNS:localhost,IP:127.0.0.1");
        let (gateway, udp, tls) = (free_port(), free_port(), free_port());
        let lines = format!(
            "unknown_peers = \"reject\"\n[sip.tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\ncarrier_ca = \"{}\"\n",
            authority.path("server.pem"),
            authority.path("server.key"),
            authority.path("ca.pem"),
        );
        let daemon =
            Setup::new(&tables(tls)).listener(&format!("tls:127.0.0.1:{gateway}")).sip(&lines).start();
        let proxy = Command::new("bash")
            .arg(peer_files().join("kamailio/tls.sh"))
            .args([udp.to_string(), tls.to_string()])
            .arg(format!("sip:127.0.0.1:{gateway};transport=tls"))
            .arg(format!("sip:127.0.0.1:{carrier};transport=udp"))
            .arg(authority.path(""))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("kamailio is installed by `cargo xtask test`");
        let proxy = Process(proxy);
        poll("kamailio", || TcpStream::connect(("127.0.0.1", tls)).ok());
        Self { proxy, udp, daemon, _authority: authority }
    }

    fn active(&self) -> String {
        poll("the call", || {
            let (_, body) = http::get(self.daemon.api, "/v1/calls");
            let calls: Value = serde_json::from_str(&body).ok()?;
            let active = calls["calls"].as_array()?.iter().find(|call| call["status"] == "active")?;
            active["id"].as_str().map(str::to_owned)
        })
    }

    fn ask(&self, method: &str, path: &str, body: &Value) {
        let fields = "Content-Type: application/json\r\n";
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = http::request(self.daemon.api, method, path, fields, &body);
        assert_eq!(status, 202, "{method} {path}: {text}");
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        // It has children: the term signal lets it end them.
        let _ = Command::new("kill").arg(self.proxy.0.id().to_string()).status();
        let _ = self.proxy.0.wait();
    }
}

fn tables(proxy: u16) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
address = "sip:localhost:{proxy};transport=tls"
[[agent]]
name = "echo"
connect = "builtin:echo"
[[agent]]
name = "tone"
connect = "builtin:tone"
[[number]]
number = "+14155550100"
inbound = "echo"
outbound = "tone"
allowed_destinations = ["+1415*"]
"#
    )
}

#[test]
fn calls_come_in_by_a_tls_proxy_and_end_from_either_side() {
    let mut between = Between::start("proxy-in", free_port());
    let tool = "--hz 700 --secs 1.2 --expect 700 --min-pkts 20";
    let heard = call_with_media(between.udp, "+14155550100", tool, 1500, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    assert_eq!(between.daemon.record()["ended_by"], "caller");
    let port = between.udp;
    let caller = std::thread::spawn(move || Sipp::new("uac_proxied_bye", port, "+14155550100").run());
    let id = between.active();
    between.ask("DELETE", &format!("/v1/calls/{id}"), &Value::Null);
    assert!(caller.join().is_ok(), "the BYE came through the proxy");
    assert_eq!(between.daemon.record()["reason"], "hung up by request");
}

#[test]
fn calls_go_out_by_a_tls_proxy_and_end_from_either_side() {
    for (scenario, ended_by) in [("uas_answer", "gateway"), ("uas_proxied_bye", "callee")] {
        let media = free_port().to_string();
        let result = std::env::temp_dir().join(format!("tls-out-{}-{media}.json", std::process::id()));
        let tool = format!("--silent --secs 1 --json {}", result.display());
        let mut callee = Callee::new(scenario, "u1", &["-key", "mport", &media, "-key", "tool", &tool]);
        let mut between = Between::start("proxy-out", callee.port);
        between.ask("POST", "/v1/calls", &json!({"to": "+14155550177", "from": "+14155550100"}));
        let id = between.active();
        let heard: Value = poll("what the callee heard", || {
            serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok()
        });
        let _ = std::fs::remove_file(&result);
        assert!((heard["peak_hz"].as_f64().unwrap_or_default() - 440.0).abs() < 10.0, "{heard}");
        if ended_by == "gateway" {
            between.ask("DELETE", &format!("/v1/calls/{id}"), &Value::Null);
        }
        assert!(callee.went_through(), "{scenario}: the BYE took the recorded route");
        let record = between.daemon.record();
        assert_eq!((&record["status"], &record["sip_code"]), (&"completed".into(), &200.into()), "{record}");
        assert_eq!(record["ended_by"] == "callee", ended_by == "callee", "{record}");
    }
}

#[test]
fn a_refer_goes_over_tls_and_its_notifications_come_back_by_it() {
    for (scenario, ok, code) in [("uac_refer_ok", true, 200), ("uac_refer_refused", false, 603)] {
        let mut between = Between::start("proxy-refer", free_port());
        let port = between.udp;
        let caller = std::thread::spawn(move || Sipp::new(scenario, port, "+14155550100").run());
        let id = between.active();
        between.ask("POST", &format!("/v1/calls/{id}/transfer"), &json!({"to": "+14155550177"}));
        if !ok {
            let told = || {
                let (_, body) = http::get(between.daemon.api, &format!("/v1/calls/{id}"));
                let call: Value = serde_json::from_str(&body).ok()?;
                call["transfer"]["ok"].is_boolean().then_some(())
            };
            poll("the refusal", told);
            between.ask("DELETE", &format!("/v1/calls/{id}"), &Value::Null);
        }
        assert!(caller.join().is_ok(), "{scenario}");
        let record = between.daemon.record();
        let result = (&record["transfer"]["ok"], &record["transfer"]["code"]);
        assert_eq!(result, (&json!(ok), &json!(code)), "{scenario} {record}");
    }
}
