//! Calls that the API places, with SIPp as the carrier and the callee.

use std::process::Command;

use serde_json::{Value, json};
use trunkline_tests::daemon::{binary, free_port, poll};
use trunkline_tests::heard::hertz;
use trunkline_tests::peers::{Callee, call_with_media};
use trunkline_tests::{Daemon, Setup, http};

fn tables(address: &str, more: &str) -> String {
    format!(
        r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
address = "{address}"
auth_username = "acme"
auth_password = {{ env = "TEST_SIP_PASSWORD" }}
allowed_destinations = ["+44*", "+1415*"]
headers = {{ "X-Tenant" = "acme" }}
{more}
[[agent]]
name = "tone"
connect = "builtin:tone"
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
outbound = "tone"
"#
    )
}

fn start(address: &str, more: &str) -> Daemon {
    Setup::new(&tables(address, more)).environment("TEST_SIP_PASSWORD", "s3cret").start()
}

const JSON: &str = "Content-Type: application/json\r\n";

fn post(daemon: &Daemon, body: &Value) -> (u16, Value) {
    post_with(daemon, body, "")
}

fn post_with(daemon: &Daemon, body: &Value, fields: &str) -> (u16, Value) {
    let fields = format!("{JSON}{fields}");
    let (status, text) = http::request(daemon.api, "POST", "/v1/calls", &fields, &body.to_string());
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
}

fn call(daemon: &Daemon, id: &str) -> Value {
    let (status, text) = http::get(daemon.api, &format!("/v1/calls/{id}"));
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

fn wanted() -> Value {
    json!({"to": "+442079460000", "from": "+14155550100"})
}

#[test]
fn a_call_goes_out_and_the_callee_hears_the_agent() {
    for transport in ["u1", "t1"] {
        let media = free_port().to_string();
        let result = std::env::temp_dir().join(format!("out-{}-{media}.json", std::process::id()));
        let tool = format!("--silent --secs 1.5 --expect 440 --min-pkts 25 --json {}", result.display());
        let mut callee =
            Callee::new("uas_answer", transport, &["-key", "mport", &media, "-key", "tool", &tool]);
        let kind = if transport == "t1" { "tcp" } else { "udp" };
        let mut daemon = start(&format!("sip:127.0.0.1:{};transport={kind}", callee.port), "");
        let (status, placed) = post(&daemon, &wanted());
        assert_eq!(status, 202, "{placed}");
        assert_eq!(
            (placed["status"].as_str(), placed["direction"].as_str()),
            (Some("pending"), Some("outbound"))
        );
        let id = placed["id"].as_str().expect("an id").to_owned();
        poll("the answer", || (call(&daemon, &id)["status"] == "active").then_some(()));
        let heard: Value = poll("what the callee heard", || {
            serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok()
        });
        assert_eq!(heard["ok"], true, "{transport} {heard}");
        let gone = http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "");
        assert_eq!(gone.0, 202, "{}", gone.1);
        assert!(callee.went_through());
        let record = daemon.record();
        assert_eq!(
            (record["call_id"].as_str(), record["status"].as_str(), record["agent"].as_str()),
            (Some(id.as_str()), Some("completed"), Some("tone")),
            "{record}"
        );
        let view = call(&daemon, &id);
        assert_eq!(
            (view["status"].as_str(), view["reason"].as_str()),
            (Some("completed"), Some("hung up by request"))
        );
        assert_eq!(http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "").0, 409);
        let _ = std::fs::remove_file(result);
    }
}

#[test]
fn a_call_that_rings_is_picked_up_by_another_leg() {
    // The media tool takes a while to start where the machine is busy: once is enough.
    for (transport, pause) in [("u1", "4000"), ("t1", "200")] {
        let media = free_port().to_string();
        let result = std::env::temp_dir().join(format!("picked-{}-{media}.json", std::process::id()));
        let tool = format!("--silent --secs 1.5 --expect 440 --min-pkts 25 --json {}", result.display());
        let mut callee = Callee::new(
            "uas_picked_up",
            transport,
            &["-d", pause, "-key", "mport", &media, "-key", "tool", &tool],
        );
        let kind = if transport == "t1" { "tcp" } else { "udp" };
        let mut daemon =
            start(&format!("sip:127.0.0.1:{};transport={kind}", callee.port), "accept_refer = true");
        assert_eq!(post(&daemon, &wanted()).0, 202);
        assert!(
            callee.went_through(),
            "the call that rang is cancelled, the other leg is heard and hangs up"
        );
        let heard: Value = poll("what the other leg heard", || {
            serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok()
        });
        assert!(transport == "t1" || heard["ok"] == true, "{transport} {heard}");
        let record = daemon.record();
        assert_eq!(
            (record["status"].as_str(), record["ended_by"].as_str(), record["transferred_to"].as_str()),
            (Some("completed"), Some("callee"), Some("+14155550188")),
            "{record}"
        );
        let _ = std::fs::remove_file(result);
    }
}

#[test]
fn keys_are_pressed_behind_the_answer_and_by_request() {
    let media = free_port().to_string();
    let result = std::env::temp_dir().join(format!("keys-{}-{media}.json", std::process::id()));
    let tool = format!("--hz 300 --secs 5 --json {}", result.display());
    let mut callee = Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", &tool]);
    let daemon = start(&format!("127.0.0.1:{}", callee.port), "");
    let mut wanted = wanted();
    // The callee's ears open a moment after it has answered.
    wanted["dtmf_prefix"] = json!("W12");
    let (_, placed) = post(&daemon, &wanted);
    let id = placed["id"].as_str().expect("an id").to_owned();
    let press = |digits: &str| {
        let body = json!({ "digits": digits }).to_string();
        http::request(daemon.api, "POST", &format!("/v1/calls/{id}/dtmf"), JSON, &body).0
    };
    assert_eq!(press("x"), 400);
    poll("the answer", || (press("wA#") == 202).then_some(()));
    let heard: Value =
        poll("what the callee heard", || serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok());
    assert_eq!(heard["digits"], "12A#", "{heard}");
    let _ = http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "");
    assert!(callee.went_through());
    poll("the call's end", || (press("1") == 409).then_some(()));
    let _ = std::fs::remove_file(result);
}

#[test]
fn a_carriers_challenge_is_answered_and_nobody_elses() {
    for (realm, goes) in [("carrier.example", true), ("other.example", false)] {
        let challenge = format!("Digest realm=\"{realm}\", nonce=\"abc\", algorithm=MD5, qop=\"auth\"");
        let media = free_port().to_string();
        let keys = ["-key", "challenge", &challenge, "-key", "mport", &media, "-key", "tool", "--secs 0.2"];
        let mut callee = Callee::new("uas_digest", "u1", &keys);
        let mut daemon = start(&format!("127.0.0.1:{}", callee.port), "auth_realm = \"carrier.example\"");
        let (_, placed) = post(&daemon, &wanted());
        let id = placed["id"].as_str().expect("an id").to_owned();
        if goes {
            poll("the answer", || (call(&daemon, &id)["status"] == "active").then_some(()));
            let _ = http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "");
            assert!(callee.went_through());
        }
        let record = daemon.record();
        let (code, status) = if goes { (200, "completed") } else { (401, "failed") };
        assert_eq!(
            (record["sip_code"].as_u64(), record["status"].as_str()),
            (Some(code), Some(status)),
            "{record}"
        );
    }
}

#[test]
fn refusals_have_their_status() {
    for (scenario, status) in
        [("uas_refuse_486", "busy"), ("uas_refuse_480", "no_answer"), ("uas_refuse_404", "failed")]
    {
        let mut callee = Callee::new(scenario, "u1", &[]);
        let mut daemon = start(&format!("127.0.0.1:{}", callee.port), "");
        let (_, placed) = post(&daemon, &wanted());
        let record = daemon.record();
        assert_eq!(record["status"], status, "{record}");
        assert_eq!(call(&daemon, placed["id"].as_str().expect("an id"))["status"], status);
        assert!(callee.went_through());
    }
}

#[test]
fn a_call_that_rings_is_given_up_by_request_and_by_time() {
    for (body, status) in [
        (wanted(), "canceled"),
        (json!({"to": "+442079460000", "from": "+14155550100", "ringing_timeout_seconds": 1}), "no_answer"),
    ] {
        let mut callee = Callee::new("uas_cancel", "u1", &[]);
        let mut daemon = start(&format!("127.0.0.1:{}", callee.port), "");
        let (_, placed) = post(&daemon, &body);
        if status == "canceled" {
            let id = placed["id"].as_str().expect("an id");
            // Given up sooner, it would never be placed.
            poll("the ringing", || {
                call(&daemon, id)["ladder"].to_string().contains("180 Ringing").then_some(())
            });
            let path = format!("/v1/calls/{id}");
            assert_eq!(http::request(daemon.api, "DELETE", &path, "", "").0, 202);
        }
        assert_eq!(daemon.record()["status"], status);
        assert!(callee.went_through());
    }
}

#[test]
fn what_may_not_be_dialled_is_refused_before_anything_is_sent() {
    let dead = free_port();
    let daemon = start(&format!("127.0.0.1:{dead}"), "max_calls = 1");
    let ask = |change: &[(&str, Value)]| {
        let mut body = wanted();
        for (key, value) in change {
            body[*key] = value.clone();
        }
        let (status, problem) = post(&daemon, &body);
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap_or("").to_owned();
        (status, problem["code"].as_str().unwrap_or("").to_owned(), pointer)
    };
    let told = |status, code: &str, pointer: &str| (status, code.to_owned(), pointer.to_owned());
    assert_eq!(ask(&[("to", json!("4420"))]), told(400, "short_code", "/to"));
    assert_eq!(ask(&[("to", json!("hello"))]), told(400, "invalid_fields", "/to"));
    assert_eq!(ask(&[("to", json!("+4930901820"))]), told(403, "destination_denied", "/to"));
    assert_eq!(ask(&[("to", json!("+449061234567"))]), told(403, "premium_denied", "/to"));
    assert_eq!(ask(&[("from", json!("+14155559999"))]), told(404, "unknown_from", "/from"));
    assert_eq!(ask(&[("agent", json!("nobody"))]), told(404, "unknown_agent", "/agent"));
    // Each field that is wrong by itself, in one answer.
    let mut body = wanted();
    for (key, value) in [
        ("to", json!("hello")),
        ("from", json!(14155550100_u64)),
        ("headers", json!({"Via": "x", "X-A": "a\r\nVia: b", "X-Fine": "y"})),
        ("dynamic_variables", json!({"system__x": 1, "fine": [1]})),
        ("ringing_timeout_seconds", json!(301)),
        ("dtmf_prefix", json!("1x")),
        ("nonsense", json!(1)),
    ] {
        body[key] = value;
    }
    let (status, problem) = post(&daemon, &body);
    let pointers = problem["errors"].as_array().into_iter().flatten();
    let mut pointers: Vec<_> = pointers.filter_map(|error| error["pointer"].as_str()).collect();
    pointers.sort_unstable();
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_fields")));
    let all = [
        "/dtmf_prefix",
        "/dynamic_variables/system__x",
        "/from",
        "/headers/Via",
        "/headers/X-A",
        "/nonsense",
        "/ringing_timeout_seconds",
        "/to",
    ];
    assert_eq!(pointers, all, "{problem}");
    assert_eq!(http::get(daemon.api, "/v1/calls/none").0, 404);
    let (_, list) = http::get(daemon.api, "/v1/calls");
    assert_eq!(list.trim(), "{\"calls\":[],\"next_cursor\":null}", "none of them became a call");
    // One that may be, and a second that the trunk has no room for.
    assert_eq!(post(&daemon, &wanted()).0, 202);
    assert_eq!(ask(&[]), told(429, "trunk_max_calls", ""));
}

#[test]
fn one_key_places_one_call_and_lists_are_paged() {
    let daemon = start(&format!("127.0.0.1:{}", free_port()), "");
    let (_, first) = post_with(&daemon, &wanted(), "Idempotency-Key: a\r\n");
    let (status, again) = post_with(&daemon, &wanted(), "Idempotency-Key: a\r\n");
    assert_eq!((status, &again["id"]), (202, &first["id"]));
    let mut changed = wanted();
    changed["ringing_timeout_seconds"] = json!(7);
    let (status, problem) = post_with(&daemon, &changed, "Idempotency-Key: a\r\n");
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")));
    let (_, other) = post_with(&daemon, &wanted(), "Idempotency-Key: b\r\n");
    assert_ne!(other["id"], first["id"]);
    let page = |query: &str| -> Value {
        serde_json::from_str(&http::get(daemon.api, &format!("/v1/calls{query}")).1).expect("JSON")
    };
    let newest = page("?limit=1");
    assert_eq!(newest["calls"][0]["id"], other["id"]);
    let cursor = newest["next_cursor"].as_str().expect("more").to_owned();
    assert_eq!(page(&format!("?limit=1&cursor={cursor}"))["calls"][0]["id"], first["id"]);
    let last = page(&format!("?limit=1&cursor={cursor}"));
    assert!(last["next_cursor"].is_null(), "nothing is behind the last: {last}");
    assert_eq!(page("")["calls"].as_array().map(Vec::len), Some(2));
    for (query, count) in [
        ("?direction=outbound", 2),
        ("?direction=inbound", 0),
        ("?trunk=other", 0),
        ("?agent=echo&number=%2B442079460000", 0),
    ] {
        assert_eq!(page(query)["calls"].as_array().map(Vec::len), Some(count), "{query}");
    }
    let wrong = page("?limit=0&status=loud");
    let pointers: Vec<_> = wrong["errors"].as_array().into_iter().flatten().map(|e| &e["pointer"]).collect();
    assert_eq!(pointers, ["/limit", "/status"], "{wrong}");
}

#[test]
fn calls_that_come_in_are_listed_too() {
    let mut daemon = start("127.0.0.1:9", "");
    call_with_media(daemon.sip, "+14155550100", "--hz 500 --secs 0.3", 500, &[]);
    let id = daemon.record()["call_id"].as_str().expect("an id").to_owned();
    let view = call(&daemon, &id);
    assert_eq!(
        (view["direction"].as_str(), view["status"].as_str()),
        (Some("inbound"), Some("completed")),
        "{view}"
    );
}

#[test]
fn the_command_line_dials_lists_and_hangs_up() {
    let media = free_port().to_string();
    let mut callee =
        Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", "--silent --secs 0.2"]);
    let daemon = start(&format!("127.0.0.1:{}", callee.port), "");
    let api = format!("http://127.0.0.1:{}", daemon.api);
    let run = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).args(["--api", &api]).output().expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, told) = run(&["dial", "+442079460000", "--from", "+14155550100"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("active    outbound +14155550100 -> +442079460000 trunk carrier agent tone"),
        "{told}"
    );
    let id = told.split(' ').next().expect("an id").to_owned();
    let (code, list) = run(&["calls"]);
    assert!(code == Some(0) && list.contains(&id), "{list}");
    assert_eq!(run(&["hangup", &id]).0, Some(0));
    assert!(callee.went_through());
    poll("the end", || {
        run(&["calls", "show", &id, "--json"]).1.contains("\"status\": \"completed\"").then_some(())
    });
    let (code, shown) = run(&["calls", "show", &id]);
    let rows: Vec<&str> =
        shown.lines().filter_map(|line| line.split_once(" ms  ").map(|(_, row)| row)).collect();
    let wanted = ["callee  ◀──  INVITE", "callee  ──▶  200 OK", "callee  ◀──  ACK", "callee  ◀──  BYE"];
    let mut rest = rows.iter();
    assert!(code == Some(0) && wanted.iter().all(|row| rest.any(|is| is == row)), "{shown}");
    assert_eq!(run(&["calls", "--status", "active"]).1, "");
    let (code, told) = run(&["calls", "show", "call_none"]);
    assert!(code == Some(1) && told.contains("no such call"), "{told}");
    let (code, told) = run(&["dial", "911", "--from", "+14155550100"]);
    assert!(code == Some(1) && told.contains("never dialled"), "{told}");
}

#[test]
fn older_clients_wait_for_the_answer_and_get_its_status() {
    let older = |daemon: &Daemon, to: &str, from: &str| {
        let body = json!({"to_number": to, "from_number": from}).to_string();
        let (status, text) = http::request(daemon.api, "POST", "/telephony/outbound-call", JSON, &body);
        (status, serde_json::from_str::<Value>(&text).unwrap_or_else(|_| panic!("{status} {text}")))
    };
    let media = free_port().to_string();
    let mut callee =
        Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", "--silent --secs 0.2"]);
    let daemon = start(&format!("127.0.0.1:{}", callee.port), "");
    let (status, told) = older(&daemon, "+442079460000", "+14155550100");
    let room = told["room_name"].as_str().unwrap_or_else(|| panic!("{status} {told}")).to_owned();
    let wanted = json!({
        "success": true, "message": "the call is answered", "room_name": room, "agent": "tone",
        "from_number": "+14155550100", "to_number": "+442079460000",
    });
    assert_eq!((status, told), (200, wanted));
    assert_eq!(call(&daemon, &room)["status"], "active", "the answer comes with the call's");
    assert_eq!(http::request(daemon.api, "DELETE", &format!("/v1/calls/{room}"), "", "").0, 202);
    assert!(callee.went_through());
    for (to, from, status, pointer) in [
        ("hello", "x", 400, "/to_number"),
        ("+4930901820", "+14155550100", 400, ""),
        ("+442079460000", "+14155559999", 404, ""),
    ] {
        let (found, problem) = older(&daemon, to, from);
        assert_eq!(found, status, "{problem}");
        assert_eq!(problem["errors"][0]["pointer"].as_str().unwrap_or(""), pointer, "{problem}");
    }
    for (scenario, status, code) in [
        ("uas_refuse_402", 402, "payment_required"),
        ("uas_refuse_480", 408, "no_answer"),
        ("uas_refuse_486", 500, "busy"),
        ("uas_refuse_404", 500, "call_failed"),
    ] {
        let mut callee = Callee::new(scenario, "u1", &[]);
        let daemon = start(&format!("127.0.0.1:{}", callee.port), "");
        let (found, problem) = older(&daemon, "+442079460000", "+14155550100");
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert!(callee.went_through());
    }
}

#[test]
fn a_call_is_recorded_held_muted_and_played_to_by_request() {
    let media = free_port().to_string();
    let mut callee =
        Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", "--hz 500 --secs 3"]);
    let mut daemon = start(&format!("127.0.0.1:{}", callee.port), "");
    let mut events = http::Events::open(daemon.api, "");
    let (_, placed) = post(&daemon, &wanted());
    let id = placed["id"].as_str().expect("an id").to_owned();
    poll("the answer", || (call(&daemon, &id)["status"] == "active").then_some(()));
    let api = daemon.api;
    let ask = |what: &str, body: Value| {
        http::request(api, "POST", &format!("/v1/calls/{id}/{what}"), JSON, &body.to_string()).0
    };
    for action in ["pause", "resume", "stop"] {
        assert_eq!(ask("record", json!({ "action": action })), 409, "there is none yet");
    }
    for (what, fine, wrong, pointer) in [
        ("record", json!({"action": "start"}), json!({"action": "erase"}), "/action"),
        ("mute", json!({"participant": "agent", "on": true}), json!({"participant": "agent"}), "/on"),
        ("play", json!({"sound": "music", "repeat": true}), json!({"repeat": true}), "/sound"),
        ("play", json!({"sound": ""}), json!({"sound": 1}), "/sound"),
    ] {
        assert_eq!(ask(what, fine), 202, "{what}");
        let path = format!("/v1/calls/{id}/{what}");
        let (status, text) = http::request(daemon.api, "POST", &path, JSON, &wrong.to_string());
        assert!(status == 400 && text.contains(&format!("\"pointer\":\"{pointer}\"")), "{what} {text}");
    }
    assert_eq!(ask("hold", json!({"on": 1})), 400);
    assert_eq!(ask("mute", json!({"participant": "leg-9", "on": true})), 409, "there is no such participant");
    assert_eq!(ask("play", json!({"sound": "music", "participant": "leg-9"})), 409);
    // What the API shows of it while it lasts.
    let live = poll("figures of the media", || {
        Some(call(&daemon, &id)).filter(|call| call["quality"]["packets_sent"].as_u64() > Some(10))
    });
    assert_eq!((&live["status"], &live["legs"][0]["codec"]), (&json!("active"), &json!("PCMU")), "{live}");
    assert_eq!(live["legs"][0]["quality"], live["quality"], "{live}");
    let recording = |call: &Value| call["recordings"][0]["status"].clone();
    poll("the recording", || (recording(&call(&daemon, &id)) == "recording").then_some(()));
    for (action, status) in [("pause", "paused"), ("resume", "recording")] {
        assert_eq!(ask("record", json!({ "action": action })), 202);
        poll(status, || (recording(&call(&daemon, &id)) == status).then_some(()));
    }
    let path = format!("/v1/recordings/{id}");
    assert_eq!(http::get(daemon.api, &path).0, 404, "it has not ended");
    assert_eq!(http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "").0, 202);
    assert!(callee.went_through());
    daemon.record();
    let file = daemon.folder.join(format!("data/recordings/{id}.wav"));
    let whole = poll("the recording", || std::fs::read(&file).ok().filter(|wav| wav.len() > 1000));
    let (status, head, _) = http::exchange_bytes(daemon.api, &path, "Range: bytes=0-3\r\n");
    assert!(status == 206 && head.contains(&format!("content-range: bytes 0-3/{}", whole.len())), "{head}");
    let (status, head, body) = http::exchange_bytes(daemon.api, &path, "");
    assert!(status == 200 && head.contains("content-type: audio/wav"), "{head}");
    assert_eq!(body, whole, "byte for byte");
    let (status, head, _) = http::exchange_bytes(daemon.api, &path, "Range: bytes=99999999-\r\n");
    assert!(status == 416 && head.contains(&format!("content-range: bytes */{}", whole.len())), "{head}");
    for strange in ["call_none", "..%2F..%2Ftrunkline.toml", "call_%2e%2e"] {
        assert_eq!(http::get(daemon.api, &format!("/v1/recordings/{strange}")).0, 404, "{strange}");
    }
    assert_eq!(ask("hold", json!({"on": true})), 409);
    recording_is_told(&daemon, &id, &mut events);
}

/// What the API shows and tells of a call's recording, which was paused once and has ended.
fn recording_is_told(daemon: &Daemon, id: &str, events: &mut http::Events) {
    let told = poll("its end", || {
        Some(call(daemon, id)).filter(|call| call["recordings"][0]["duration_seconds"].is_number())
    });
    assert_eq!(
        (&told["recordings"][0]["status"], &told["recordings"][0]["id"]),
        (&json!("ended"), &json!(id)),
        "{told}"
    );
    let timeline: Vec<&str> = told["timeline"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["event"].as_str())
        .collect();
    for wanted in ["recording_started", "recording_paused", "recording_resumed", "recording_ended"] {
        assert!(timeline.contains(&wanted), "{wanted} in {timeline:?}");
    }
    let recorded: Vec<String> = std::iter::repeat_with(|| events.take())
        .map(|event| event.kind)
        .filter(|kind| kind.starts_with("recording."))
        .take(4)
        .collect();
    assert_eq!(recorded, ["recording.started", "recording.paused", "recording.resumed", "recording.ended"]);
}

#[test]
fn keys_are_pressed_in_info_and_cut_short() {
    let media = free_port().to_string();
    let mut callee =
        Callee::new("uas_info", "u1", &["-key", "mport", &media, "-key", "tool", "--silent --secs 1"]);
    let daemon = start(&format!("127.0.0.1:{}", callee.port), "dtmf = \"info\"");
    let (_, placed) = post(&daemon, &wanted());
    let id = placed["id"].as_str().expect("an id").to_owned();
    poll("the answer", || (call(&daemon, &id)["status"] == "active").then_some(()));
    let path = format!("/v1/calls/{id}/dtmf");
    let press = |digits: &str| {
        let body = json!({ "digits": digits }).to_string();
        assert_eq!(http::request(daemon.api, "POST", &path, JSON, &body).0, 202);
    };
    let sent = |count: usize| {
        poll("an INFO", || {
            let ladder = call(&daemon, &id)["ladder"].as_array().cloned().unwrap_or_default();
            (ladder.iter().filter(|rung| rung["message"] == "INFO").count() == count).then_some(())
        });
    };
    press("5#");
    sent(2);
    press("1WWW2");
    sent(3);
    assert_eq!(http::request(daemon.api, "DELETE", &path, "", "").0, 202, "the 2 is never pressed");
    assert_eq!(http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "").0, 202);
    assert!(callee.went_through(), "5, # and 1 came, and nothing more");
}

#[test]
fn a_callee_is_held_by_the_api_hears_music_and_then_the_agent_again() {
    let media = free_port().to_string();
    let wav = std::env::temp_dir().join(format!("held-{}.wav", std::process::id()));
    let tool = format!("--silent --secs 7 --wav {}", wav.display());
    let mut callee = Callee::new("uas_held", "u1", &["-key", "mport", &media, "-key", "tool", &tool]);
    let mut daemon = start(&format!("127.0.0.1:{}", callee.port), "");
    let mut events = http::Events::open(daemon.api, "");
    let (_, placed) = post(&daemon, &wanted());
    let id = placed["id"].as_str().expect("an id").to_owned();
    while events.take().kind != "call.answered" {}
    let hold = |on: bool, sent: u64| {
        poll("more packets", || {
            (call(&daemon, &id)["quality"]["packets_sent"].as_u64() > Some(sent)).then_some(())
        });
        let path = format!("/v1/calls/{id}/hold");
        assert_eq!(http::request(daemon.api, "POST", &path, JSON, &json!({ "on": on }).to_string()).0, 202);
    };
    hold(true, 100);
    hold(false, 200);
    poll("the tool's end", || wav.exists().then_some(()));
    assert_eq!(http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "").0, 202);
    assert!(callee.went_through(), "it was told sendonly, then sendrecv");
    // A quarter of a second each: the agent's tone, or something else.
    let mut parts: Vec<bool> = (0..20)
        .map(|n| (hertz(&wav, f64::from(n) / 4.0, f64::from(n + 1) / 4.0) - 440.0).abs() < 5.0)
        .collect();
    parts.dedup();
    assert!(parts.starts_with(&[true, false, true]), "the agent, music, the agent again: {parts:?}");
    let _ = std::fs::remove_file(wav);
    assert_eq!(daemon.record()["status"], "completed");
}

#[test]
fn a_transfer_counts_towards_the_limits_of_its_trunk() {
    for (most, ok) in [(1, false), (2, true)] {
        let media = free_port().to_string();
        let silent = ["-key", "mport", &media, "-key", "tool", "--silent --secs 0.1"];
        let calls = if ok { "2" } else { "1" };
        let mut callee = Callee::new("uas_answer", "u1", &[&silent[..], &["-m", calls]].concat());
        let tables = tables(&format!("127.0.0.1:{}", callee.port), &format!("max_calls = {most}\n"))
            .replace("inbound = \"echo\"", "inbound = \"echo\"\nallowed_destinations = [\"+1415*\"]");
        let daemon = Setup::new(&tables).environment("TEST_SIP_PASSWORD", "s3cret").start();
        let (_, placed) = post(&daemon, &wanted());
        let id = placed["id"].as_str().expect("an id").to_owned();
        poll("the answer", || (call(&daemon, &id)["status"] == "active").then_some(()));
        let bridge = json!({"to": "+14155550123", "mode": "bridge"}).to_string();
        let asked = http::request(daemon.api, "POST", &format!("/v1/calls/{id}/transfer"), JSON, &bridge);
        assert_eq!(asked.0, 202, "{}", asked.1);
        let result = poll("what came of it", || {
            Some(call(&daemon, &id)["transfer"].clone()).filter(|told| told["ok"].is_boolean())
        });
        assert_eq!(result["ok"], ok, "max_calls = {most}: {result}");
        if !ok {
            assert!(result["reason"].as_str().is_some_and(|why| why.contains("max_calls")), "{result}");
            assert_eq!(call(&daemon, &id)["status"], "active", "the call goes on");
        }
        assert_eq!(http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "").0, 202);
        assert!(callee.went_through());
    }
}

#[test]
fn a_transfer_that_may_not_be_is_told_and_the_call_stays() {
    let media = free_port().to_string();
    let mut callee =
        Callee::new("uas_answer", "u1", &["-key", "mport", &media, "-key", "tool", "--silent --secs 0.2"]);
    let daemon = start(&format!("127.0.0.1:{}", callee.port), "");
    let (_, placed) = post(&daemon, &wanted());
    let id = placed["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/calls/{id}/transfer");
    let ask = |body: Value| {
        let (status, text) = http::request(daemon.api, "POST", &path, JSON, &body.to_string());
        (status, serde_json::from_str::<Value>(&text).unwrap_or_default())
    };
    poll("the answer", || (call(&daemon, &id)["status"] == "active").then_some(()));
    let wrong = json!({"to": 5, "mode": "teleport", "passcode": "12x", "ringing_timeout_seconds": 0});
    let (status, problem) = ask(wrong);
    let pointers: Vec<_> =
        problem["errors"].as_array().into_iter().flatten().map(|e| &e["pointer"]).collect();
    assert_eq!(status, 400);
    assert_eq!(pointers, ["/to", "/mode", "/passcode", "/ringing_timeout_seconds"], "{problem}");
    let api = format!("http://127.0.0.1:{}", daemon.api);
    let run = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).args(["--api", &api]).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = run(&["transfer", &id, "+19005550123"]);
    assert!(code == Some(1) && told.starts_with("not transferred: "), "{told}");
    let detail = call(&daemon, &id);
    assert_eq!((&detail["transfer"]["ok"], &detail["status"]), (&json!(false), &json!("active")), "{detail}");
    assert_eq!(http::request(daemon.api, "DELETE", &path, "", "").0, 202, "there is none to give up");
    assert_eq!(run(&["hangup", &id]).0, Some(0));
    assert!(callee.went_through());
    poll("the call's end", || (ask(json!({"to": "+14155550123"})).0 == 409).then_some(()));
    assert_eq!(http::request(daemon.api, "DELETE", "/v1/calls/call_none/transfer", "", "").0, 404);
}
