//! The HTTP API as its users meet it: keys, refusals, what a call shows of itself.

use std::process::Command;

use serde_json::Value;

use trunkline_tests::daemon::{Daemon, Setup, binary, peer_files, poll};
use trunkline_tests::http::{self, key};
use trunkline_tests::peers::call_with_media;

const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.0/8"]
address = "127.0.0.1:9"
allowed_destinations = ["+1*"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
trunk = "carrier"
inbound = "echo"
"#;

/// The routes and the least scope that each wants.
const ROUTES: [(&str, &str, &str); 8] = [
    ("GET", "/metrics", "read"),
    ("GET", "/v1/calls", "read"),
    ("GET", "/v1/calls/call_1", "read"),
    ("GET", "/v1/trunks", "read"),
    ("POST", "/v1/calls", "operate"),
    ("POST", "/telephony/outbound-call", "operate"),
    ("DELETE", "/v1/calls/call_1", "operate"),
    ("POST", "/v1/config/reload", "admin"),
];

#[test]
fn a_key_may_what_its_scope_says_and_a_stranger_nothing() {
    let keys = ["read", "operate", "admin"].map(|scope| key(&format!("the {scope} key"), scope));
    let entries: Vec<&str> = keys.iter().map(|(_, entry)| entry.as_str()).collect();
    let daemon = Setup::new(TABLES).api(&entries.join("\n")).start();
    for (method, path, least) in ROUTES {
        for shown in ["", "Authorization: Bearer tk_wrong\r\n", "Authorization: Basic eDp5\r\n"] {
            let (status, head, body) = http::exchange(daemon.api, method, path, shown, "");
            assert_eq!(status, 401, "{method} {path}: {body}");
            assert!(head.contains("www-authenticate: Bearer realm=\"trunkline\""), "{head}");
            assert!(body.contains("\"unauthorized\"") && !body.contains("trunkline_"), "{body}");
        }
        for ((shown, _), scope) in keys.iter().zip(["read", "operate", "admin"]) {
            let (status, head, body) = http::exchange(daemon.api, method, path, shown, "");
            let rank = |scope| ["read", "operate", "admin"].iter().position(|name| *name == scope);
            if rank(scope) < rank(least) {
                assert_eq!(status, 403, "{scope} {method} {path}: {body}");
                assert!(body.contains("insufficient_scope") && head.contains(least), "{head}{body}");
            } else {
                assert!(![401, 403].contains(&status), "{scope} {method} {path}: {status} {body}");
            }
        }
    }
    assert_eq!(http::get(daemon.api, "/healthz").0, 200, "who watches a service needs no key");
}

#[test]
fn a_key_is_withdrawn_by_a_reload() {
    let ((one, kept), (two, gone)) = (key("one", "read"), key("two", "admin"));
    let mut daemon = Setup::new(TABLES).api(&(kept + &gone)).start();
    assert_eq!(http::request(daemon.api, "GET", "/v1/calls", &two, "").0, 200);
    let file = daemon.folder.join("trunkline.toml");
    let text = std::fs::read_to_string(&file).expect("the node's file");
    std::fs::write(&file, text.replace(&gone, "")).expect("written");
    daemon.signal("HUP");
    let line = daemon.wait_for("changed by the reload");
    assert_eq!(line["change"], "- api key two", "{line}");
    poll("the key to be refused", || {
        (http::request(daemon.api, "GET", "/v1/calls", &two, "").0 == 401).then_some(())
    });
    assert_eq!(http::request(daemon.api, "GET", "/v1/calls", &one, "").0, 200);
    // With the last key gone it is as if there had never been one; it listens on loopback.
    let text = std::fs::read_to_string(&file).expect("the node's file");
    let (node, _) = text.split_once("[[api.key]]").expect("a key");
    std::fs::write(&file, node).expect("written");
    daemon.signal("HUP");
    poll("the API to be open", || (http::get(daemon.api, "/v1/calls").0 == 200).then_some(()));
}

#[test]
fn without_keys_the_daemon_listens_on_loopback_only() {
    let daemon = Daemon::start(TABLES);
    let file = daemon.folder.join("trunkline.toml");
    let text = std::fs::read_to_string(&file).expect("the node's file");
    let (before, _) = text.split_once("[api]").expect("an API");
    let run = |command: &str, api: &str| {
        std::fs::write(&file, format!("{before}[api]\n{api}\n")).expect("written");
        Command::new(binary()).arg(command).arg("--config").arg(&file).output().expect("runs")
    };
    for command in ["check", "serve"] {
        let refused = run(command, "listen = \"0.0.0.0:8080\"");
        assert!(!refused.status.success(), "{command}");
        let said = String::from_utf8_lossy(&refused.stdout) + String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("for anyone; give it an [[api.key]]"), "{said}");
    }
    assert!(run("check", "listen = \"[::1]:8080\"").status.success());
    let (_, entry) = key("x", "read");
    assert!(run("check", &format!("listen = \"0.0.0.0:8080\"\n{entry}")).status.success());
}

#[test]
fn without_keys_pages_from_elsewhere_may_nothing() {
    let daemon = Daemon::start(TABLES);
    for fields in ["Origin: http://evil.example\r\n", "Origin: null\r\n"] {
        let (status, body) = http::request(daemon.api, "POST", "/v1/config/reload", fields, "");
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("foreign_origin"), "{body}");
    }
    let here = "Origin: http://localhost:3000\r\n";
    assert_eq!(http::request(daemon.api, "POST", "/v1/config/reload", here, "").0, 200);
}

#[test]
fn a_flood_of_requests_is_slowed_down_for_its_key_only() {
    let ((busy, one), (calm, two)) = (key("busy", "read"), key("calm", "read"));
    let daemon = Setup::new(TABLES).api(&format!("requests_per_second = 5\n{one}\n{two}")).start();
    let answers: Vec<_> =
        (0..20).map(|_| http::exchange(daemon.api, "GET", "/v1/trunks", &busy, "")).collect();
    let refused = answers.iter().find(|(status, ..)| *status == 429).expect("some are refused");
    assert!(refused.1.contains("retry-after: 1") && refused.2.contains("too_many_requests"), "{refused:?}");
    assert_eq!(http::request(daemon.api, "GET", "/v1/trunks", &calm, "").0, 200);
    poll("its turn again", || {
        (http::request(daemon.api, "GET", "/v1/trunks", &busy, "").0 == 200).then_some(())
    });
}

#[test]
fn a_call_shows_its_legs_participants_timeline_quality_and_ladder() {
    let mut daemon = Daemon::start(TABLES);
    call_with_media(daemon.sip, "+14155550100", "--hz 500 --secs 1", 1200, &[]);
    let record = daemon.record();
    let id = record["call_id"].as_str().expect("an id");
    let json = |path: &str| -> Value {
        let (status, text) = http::get(daemon.api, path);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    };
    let call = json(&format!("/v1/calls/{id}"));
    for key in ["started_at", "answered_at", "ended_at"] {
        assert_eq!(call[key], record[key], "{key}: the record and the API agree");
        assert!(call[key].as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')), "{}", call[key]);
    }
    let leg = &call["legs"][0];
    assert_eq!((&leg["sip_call_id"], &leg["codec"]), (&record["sip_call_id"], &record["codec"]));
    let names = |list: &Value, key: &str| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|entry| entry[key].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(names(&call["participants"], "name"), ["caller", "agent"]);
    assert_eq!(names(&call["timeline"], "event"), ["began", "agent_joined", "answered", "ended"]);
    assert!(call["quality"]["packets_received"].as_u64() > Some(20), "{call}");
    let messages = names(&call["ladder"], "message");
    let wanted = ["INVITE", "100 Trying", "180 Ringing", "200 OK", "ACK", "BYE", "200 OK"];
    assert_eq!(messages, wanted, "{call}");
    let ways = names(&call["ladder"], "direction");
    assert_eq!(ways, ["inbound", "outbound", "outbound", "outbound", "inbound", "inbound", "outbound"]);
    let times: Vec<f64> = call["ladder"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|rung| rung["offset_ms"].as_f64())
        .collect();
    assert!(times.is_sorted() && times.last() > Some(&900.0), "{times:?}");
    assert_eq!(json("/v1/calls?status=completed&number=%2B14155550100")["calls"][0]["id"], id);
    assert!(json("/v1/calls?status=active")["calls"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn only_so_many_ended_calls_are_kept_and_no_ladder_where_none_is_wanted() {
    let mut daemon = Setup::new(TABLES).api("ended_calls = 1\nladders = false").start();
    let ids: Vec<String> = (0..2)
        .map(|_| {
            call_with_media(daemon.sip, "+14155550100", "--hz 500 --secs 0.2", 300, &[]);
            daemon.record()["call_id"].as_str().expect("an id").to_owned()
        })
        .collect();
    assert_eq!(http::get(daemon.api, &format!("/v1/calls/{}", ids[0])).0, 404);
    let (status, text) = http::get(daemon.api, &format!("/v1/calls/{}", ids[1]));
    assert!(status == 200 && text.contains("\"ladder\":[]"), "{text}");
}

#[test]
fn events_tell_what_happens_and_what_was_missed_with_numbers_masked() {
    let mut daemon = Daemon::start(TABLES);
    let mut stream = http::Events::open(daemon.api, "");
    call_with_media(daemon.sip, "+14155550100", "--hz 500 --secs 1 --dtmf 7@0.3", 1600, &[]);
    let id = daemon.record()["call_id"].clone();
    let told: Vec<_> = (0..4).map(|_| stream.take()).collect();
    let kinds: Vec<&str> = told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["call.began", "call.answered", "dtmf", "call.ended"]);
    assert_eq!(told[0].data["call"]["id"], id);
    assert_eq!(told[0].data["call"]["to"], "**********00");
    assert_eq!((&told[2].data["call_id"], &told[2].data["participant"]), (&id, &Value::from("caller")));
    assert_eq!(told[2].data["digits"], "*", "what is entered may be a secret");
    assert_eq!(told[3].data["call"]["status"], "completed");
    assert!(told.windows(2).all(|pair| pair[1].id > pair[0].id), "{told:?}");
    // A reader that comes back gets what lies behind its last event.
    let mut again = http::Events::open(daemon.api, &format!("Last-Event-ID: {}\r\n", told[1].id));
    assert_eq!((again.take(), again.take()), (told[2].clone(), told[3].clone()));
    let (status, body) = http::request(daemon.api, "GET", "/v1/events", "Last-Event-ID: x\r\n", "");
    assert!(status == 400 && body.contains("bad_event_id"), "{body}");
    daemon.signal("TERM");
    assert_eq!(daemon.wait(), Some(0), "readers do not keep the daemon up");
    assert!(stream.ends(), "and are let go");
}

/// schemathesis reads the served description and tries every operation, with requests that fit it and
/// with such as do not. The stream of events and the agents' socket, which do not end, are left out.
#[test]
fn schemathesis_finds_the_api_as_it_is_described() {
    let (shown, entry) = key("schemathesis", "admin");
    // Nobody answers there, and older clients wait for it.
    let tables = TABLES.replace("[\"+1*\"]", "[\"+1*\", \"+44*\"]") + "ringing_timeout_seconds = 1\n";
    let mut daemon = Setup::new(&tables).api(&format!("requests_per_second = 100000\n{entry}")).start();
    let program =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/schemathesis/bin/schemathesis");
    assert!(program.exists(), "{} is not there; run `cargo xtask test`", program.display());
    let output = Command::new(program)
        .arg("--config-file")
        .arg(peer_files().join("schemathesis.toml"))
        .args(["run", &format!("http://127.0.0.1:{}/v1/openapi.json", daemon.api)])
        .args(["-H", shown.trim_end(), "--seed", "1", "--max-examples", "25"])
        .args(["--phases", "examples,coverage,fuzzing", "--exclude-path", "/v1/events"])
        .args(["--exclude-path", "/v1/agents/{name}/connect", "--workers", "2"])
        .current_dir(&daemon.folder)
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(http::get(daemon.api, "/healthz").0, 200, "and it lives");
    daemon.signal("TERM");
    assert_eq!(daemon.wait(), Some(0));
}
