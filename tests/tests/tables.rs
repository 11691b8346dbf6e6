//! The tables as operators work on them: `check`, `route` and `diff` on the command line.

use std::process::Command;

use trunkline_tests::daemon::binary;
use trunkline_tests::{Setup, http};

const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1", "192.0.2.0/24"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[number]]
number = "+14155550100"
inbound = "echo"
"#;

/// Runs the command line and gives its exit code, what it printed and what it complained of.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary()).args(arguments).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn diff_without_a_file_asks_the_running_gateway_and_changes_nothing() {
    let daemon = Setup::new(TABLES).api("token = \"s3cret\"").start();
    let api = format!("http://127.0.0.1:{}", daemon.api);
    let diff = || run(&["diff", "--api", &api, "--token", "s3cret"]);
    assert_eq!(diff(), (Some(0), "no change\n".to_owned(), String::new()));
    daemon.write_tables(&TABLES.replace("builtin:echo", "builtin:tone"));
    let file = daemon.folder.join("trunkline.toml");
    let node = std::fs::read_to_string(&file).expect("the node's file");
    std::fs::write(&file, node.replace("[media]", "max_calls = 7\n[media]")).expect("written");
    let wanted = "~ agent echo: connect builtin:echo -> builtin:tone\n\
                  ! sip.max_calls 5000 -> 7: takes effect at the next start\n";
    // Asked twice: the first did not take anything over.
    for _ in 0..2 {
        assert_eq!(diff(), (Some(0), wanted.to_owned(), String::new()));
    }
    let shown = "Authorization: Bearer s3cret\r\n";
    let reload =
        |query: &str| http::request(daemon.api, "POST", &format!("/v1/config/reload{query}"), shown, "");
    let (status, told) = reload("?dry_run=true");
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((status, &told["dry_run"]), (200, &serde_json::json!(true)));
    assert_eq!(told["changes"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(told["needs_restart"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(reload("?dry_run=perhaps").0, 400);
    assert_eq!(reload("?dry=true").0, 400, "nobody means a reload by that");
    let (_, page) = http::request(daemon.api, "GET", "/metrics", shown, "");
    assert!(page.contains("trunkline_config_reloads_total{result=\"ok\"} 0"), "{page}");
    // A table that would not be taken over.
    daemon.write_tables("[[number]]\nnumber = \"1\"\n");
    let (code, _, complaint) = diff();
    assert_eq!(code, Some(1));
    assert!(complaint.contains("table.toml:2:10: error: \"1\" is no E.164 number"), "{complaint}");
    daemon.write_tables(&TABLES.replace("builtin:echo", "builtin:tone"));
    assert_eq!(reload("").0, 200);
    let (_, told, _) = diff();
    assert_eq!(
        told, "! sip.max_calls 5000 -> 7: takes effect at the next start\n",
        "the tables are in force"
    );
    let (code, _, complaint) = run(&["diff", "--api", &api]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("TRUNKLINE_TOKEN"), "{complaint}");
}
