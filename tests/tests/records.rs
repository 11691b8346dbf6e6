//! The record that every ended call leaves, and what a call leaves that never was one.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use trunkline_tests::daemon::{peer_files, poll};
use trunkline_tests::peers::{Sipp, call_with_media};
use trunkline_tests::{Daemon, http};

const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

/// What stands in the first column of the guide's table under a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let guide = fs::read_to_string(peer_files().join("../../docs/operation.md")).expect("the guide");
    let (_, below) = guide.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = below.split("\n## ").next().unwrap_or(below);
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The names of a record's fields, those of its media behind a point.
fn fields(record: &Value) -> BTreeSet<String> {
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let media = names(&record["media"]).into_iter().map(|name| format!("media.{name}"));
    names(record).into_iter().filter(|name| name != "media").chain(media).collect()
}

/// Of a time such as `2026-12-25T03:00:00.123Z`.
fn seconds_of_day(time: &str) -> f64 {
    let clock =
        time.split_once('T').and_then(|(_, clock)| clock.strip_suffix('Z')).expect("RFC 3339, in UTC");
    clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"))
}

#[test]
fn a_record_is_complete_and_each_of_its_fields_is_explained() {
    let mut daemon = Daemon::start(TABLES);
    let more = ["-key", "from", "+14155550199"];
    let heard = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 1.5 --dtmf 5@0.5", 2000, &more);
    assert_eq!(heard["ok"], true, "{heard}");
    let record = daemon.record();
    assert_eq!(fields(&record), documented("Call records"));
    let text = |name: &str| record[name].as_str().unwrap_or_else(|| panic!("{name} in {record}")).to_owned();
    assert!(text("call_id").starts_with("call_") && !text("sip_call_id").is_empty(), "{record}");
    for (name, value) in [
        ("direction", "inbound"),
        ("status", "completed"),
        ("to", "+14155550100"),
        ("trunk", "carrier"),
        ("agent", "echo"),
        ("ended_by", "caller"),
        ("codec", "PCMU"),
    ] {
        assert_eq!(text(name), value, "{record}");
    }
    assert!(!text("from").is_empty() && !text("reason").is_empty(), "{record}");
    assert_eq!(record["sip_code"], 200);
    let times = ["started_at", "answered_at", "ended_at"].map(text);
    assert!(times[0] <= times[1] && times[1] < times[2] && times[0].as_str() > "2026", "{record}");
    let [_, answered, ended] = times.each_ref().map(|time| seconds_of_day(time));
    let lasted = record["duration_seconds"].as_f64().expect("a duration");
    assert!((lasted - (ended - answered).rem_euclid(86_400.0)).abs() < 0.05, "{record}");
    let media = |name: &str| record["media"][name].as_f64().unwrap_or_else(|| panic!("{name} in {record}"));
    assert!(media("packets_received") > 50.0 && media("packets_sent") > 30.0, "{record}");
    for name in ["packets_lost", "strangers_dropped", "unauthentic_dropped", "agent_bytes_dropped"] {
        assert_eq!(media(name), 0.0, "{name} in {record}");
    }
    assert_eq!(media("dtmf_digits"), 1.0, "{record}");
    assert!(media("jitter_ms") < 50.0 && (3.0..=4.5).contains(&media("mos")), "{record}");
    // One line a call, and nothing else.
    let file = fs::read_to_string(daemon.folder.join("data/calls.jsonl")).expect("the records");
    assert_eq!(file.lines().count(), 1, "{file}");
}

#[test]
fn a_call_that_is_refused_leaves_a_line_and_a_count_but_no_record() {
    let mut daemon = Daemon::start(TABLES);
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550177").code(), Some(1), "404");
    let line = daemon.wait_for("a call was refused");
    assert_eq!((line["trunk"].as_str(), line["code"].as_u64()), (Some("carrier"), Some(404)), "{line}");
    assert!(line["source"].as_str().is_some_and(|source| source.starts_with("127.0.0.1")), "{line}");
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("not in the tables")), "{line}");
    assert!(line["sip_call_id"].is_string(), "{line}");
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "911").code(), Some(1), "an emergency number");
    let line = daemon.wait_for("a call was refused");
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("emergency")), "{line}");
    let (_, page) = http::get(daemon.api, "/metrics");
    let count = "trunkline_calls_total{trunk=\"carrier\",direction=\"inbound\",outcome=\"refused\"} 2";
    assert!(page.contains(count), "{page}");
    call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 0.3", 500, &[]);
    daemon.record();
    let file = fs::read_to_string(daemon.folder.join("data/calls.jsonl")).expect("the records");
    assert_eq!(file.lines().count(), 1, "only the call that was one: {file}");
}

#[test]
fn every_metric_is_explained_and_named_as_prometheus_wants_it() {
    let upstream = "[[trunk]]\nname = \"upstream\"\naddress = \"127.0.0.1:9\"\nregister = true\nauth_username = \"u\"\nauth_password = \"p\"\noptions_interval_seconds = 5\n";
    let mut daemon = Daemon::start(&format!("{TABLES}{upstream}"));
    call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 0.3", 500, &[]);
    daemon.record();
    let page = poll("what the trunk came to", || {
        let page = http::get(daemon.api, "/metrics").1;
        (page.contains("trunkline_trunk_registered{") && page.contains("trunkline_trunk_address_up{"))
            .then_some(page)
    });
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families: Vec<(&str, &str)> = types.filter_map(|line| line.split_once(' ')).collect();
    let served: BTreeSet<String> = families
        .iter()
        .map(|(name, kind)| if *kind == "counter" { format!("{name}_total") } else { (*name).to_owned() })
        .collect();
    assert_eq!(served, documented("Metrics"));
    for (name, kind) in families {
        let snake =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
        assert!(name.starts_with("trunkline_") && snake, "{name}");
        assert!(!name.ends_with("_total") && !name.ends_with("_count"), "{name}: the encoder adds these");
        assert_eq!(kind == "histogram", name.ends_with("_seconds"), "{name}: times are seconds");
        let help = page.lines().find(|line| line.starts_with(&format!("# HELP {name} ")));
        assert!(help.is_some_and(|line| line.len() > name.len() + 12), "{name} has no help");
    }
}
