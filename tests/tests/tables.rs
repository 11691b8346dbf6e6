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
    let (shown, entry) = http::key("operators", "admin");
    let daemon = Setup::new(TABLES).api(&entry).start();
    let api = format!("http://127.0.0.1:{}", daemon.api);
    let key = shown.trim_start_matches("Authorization: Bearer ").trim_end();
    let diff = || run(&["diff", "--api", &api, "--key", key]);
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
    let reload =
        |query: &str| http::request(daemon.api, "POST", &format!("/v1/config/reload{query}"), &shown, "");
    let (status, told) = reload("?dry_run=true");
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((status, &told["dry_run"]), (200, &serde_json::json!(true)));
    assert_eq!(told["changes"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(told["needs_restart"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(reload("?dry_run=perhaps").0, 400);
    assert_eq!(reload("?dry=true").0, 400, "nobody means a reload by that");
    let (_, page) = http::request(daemon.api, "GET", "/metrics", &shown, "");
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
    assert!(complaint.contains("TRUNKLINE_KEY"), "{complaint}");
}

/// Three trunks of one carrier, one that challenges, one that calls out only.
const TRUNKS: &str = r#"
[[trunk]]
name = "wide"
allowed_addresses = ["192.0.2.0/24"]
[[trunk]]
name = "close"
allowed_addresses = ["192.0.2.7"]
[[trunk]]
name = "named"
allowed_addresses = ["192.0.2.0/24"]
address = "acme.example.com"
[[trunk]]
name = "phones"
allowed_addresses = ["198.51.100.0/24"]
challenge = true
auth_username = "u"
auth_password = "p"
[[trunk]]
name = "out"
direction = "outbound"
address = "out.example.com"
[[trunk]]
name = "local"
allowed_addresses = ["127.0.0.1"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[agent]]
name = "reception"
connect = "builtin:tone"
[[number]]
number = "+14155550100"
inbound = "echo"
[[number]]
number = "+14155550101"
trunk = "wide"
inbound = "echo"
[[number]]
number = "+14155550103"
"#;

/// A configuration without a daemon; the folder goes with the value.
struct Config {
    folder: std::path::PathBuf,
}

impl Config {
    fn new(name: &str, node: &str, tables: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("routes")).expect("a folder");
        std::fs::write(folder.join("trunkline.toml"), node).expect("written");
        std::fs::write(folder.join("routes/table.toml"), tables).expect("written");
        Self { folder }
    }

    /// A command on this configuration.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let file = self.folder.join("trunkline.toml").to_string_lossy().into_owned();
        run(&[arguments, &["--config", &file]].concat())
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn route_says_by_which_rule_the_trunk_was_chosen() {
    let config = Config::new("route", "[routes]\ndefault_agent = \"reception\"\n", TRUNKS);
    let route = |arguments: &[&str]| {
        let (code, told, complaint) = config.run(&[&["route"], arguments].concat());
        assert_eq!(complaint, "");
        (code, told)
    };
    for (arguments, lines) in [
        (
            &["+14155550100", "--source-ip", "192.0.2.7"][..],
            &[
                "1. trunks that hold 192.0.2.7: wide (/24), close (/32), named (/24)",
                "by the number's trunk: undecided, it is bound to none",
                "by the Request-URI's host: undecided, gateway is an address of none",
                "trunk close: no other names the source more closely\n",
                "=> agent echo answers; caller anonymous; rings at most 30 s; lasts at most 3600 s",
            ][..],
        ),
        (
            &["sip:+14155550100@acme.example.com", "--source-ip", "192.0.2.7", "--from", "+14155550199"],
            &["trunk named: the Request-URI names its host", "caller +14155550199;"],
        ),
        (
            &["+14155550101", "--source-ip", "192.0.2.7"],
            &["trunk wide: the one that the number is bound to", "agent echo: the number's inbound slot"],
        ),
        (
            &["+14155550100", "--trunk", "wide"],
            &["taken as given: it comes by trunk wide, from 192.0.2.0", "trunk wide: the only one"],
        ),
        (
            &["+14155550103"],
            &[
                "assumed: it comes from 127.0.0.1, as neither --trunk nor --source-ip is given",
                "trunk local: the only one that holds the source",
                "agent reception: the default_agent, for the number has no inbound one",
                "=> agent reception answers",
            ],
        ),
        (
            &["+14155550100", "--source-ip", "198.51.100.3"],
            &["assumed: it shows the credentials of trunk phones, which challenges", "=> agent echo answers"],
        ),
        (
            &["+14155550100", "--trunk", "wide", "--at", "2026-12-25T03:00+01:00"],
            &["at 2026-12-25T02:00:00Z: the tables have no schedules, so the time has no influence"],
        ),
    ] {
        let (code, told) = route(arguments);
        assert_eq!(code, Some(0), "{arguments:?}\n{told}");
        for line in lines {
            assert!(told.contains(line), "{arguments:?}: {line}\nin {told}");
        }
    }
    for (arguments, last) in [
        (&["+14155550199", "--trunk", "wide"][..], "=> 404 Not Found"),
        (&["+14155550101", "--trunk", "close"], "=> 404 Not Found"),
        (&["112", "--trunk", "close"], "=> 404 Not Found"),
        (&["+14155550100", "--source-ip", "203.0.113.1"], "=> dropped or refused, as unknown_peers says"),
    ] {
        let (code, told) = route(arguments);
        assert_eq!((code, told.lines().last()), (Some(1), Some(last)), "{arguments:?}\n{told}");
    }
}

#[test]
fn route_refuses_what_it_cannot_read() {
    let config = Config::new("route-bad", "", TRUNKS);
    for (arguments, complaint) in [
        (&["--trunk", "tuilio"][..], "there is no trunk \"tuilio\"; there are: wide, close"),
        (&["--trunk", "out"], "nobody calls by trunk \"out\": its direction is outbound"),
        (&["--source-ip", "192.0.2"], "invalid value '192.0.2' for '--source-ip"),
        (&["--trunk", "wide", "--source-ip", "192.0.2.7"], "cannot be used with"),
        (&["--at", "tomorrow"], "write a date and time of RFC 3339, like 2026-12-25T03:00Z"),
        (&["--at", "2026-02-30T00:00Z"], "invalid value '2026-02-30T00:00Z' for '--at"),
    ] {
        let (code, told, said) = config.run(&[&["route", "+14155550100"], arguments].concat());
        assert!(code.is_some_and(|code| code > 0) && !told.contains("=>"), "{arguments:?}\n{told}");
        assert!(said.contains(complaint), "{arguments:?}: {complaint}\nin {said}");
    }
}

#[test]
fn check_warns_of_secrets_that_everyone_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let config = Config::new("readers", "", TRUNKS);
    let table = config.folder.join("routes/table.toml");
    let check = |mode: u32| {
        std::fs::set_permissions(&table, std::fs::Permissions::from_mode(mode)).expect("set");
        let (code, told, _) = config.run(&["check"]);
        assert_eq!(code, Some(0), "{told}");
        told.contains("table.toml:17:17: warning: everyone on this machine may read this secret")
    };
    assert!(check(0o644));
    assert!(!check(0o640) && !check(0o600));
    // A secret that is only pointed to is nobody's to read there.
    std::fs::write(&table, TRUNKS.replace("auth_password = \"p\"", "auth_password = { file = \"p\" }"))
        .expect("written");
    std::fs::write(config.folder.join("p"), "p").expect("written");
    assert!(!check(0o644));
}

#[test]
fn check_tells_clashes_with_their_places_and_what_to_write() {
    let node = "[sip]\nlisten = [\"udp:127.0.0.1:12000\", \"tcp:127.0.0.1:8080\",\n\"udp:0.0.0.0:12000\"]\n";
    let tables =
        TRUNKS.replace("name = \"wide\"", "name = \"wide\"\nheaders_to_attributes = { X-A = \"to_number\" }");
    let config = Config::new("check", node, &tables);
    let (code, told, _) = config.run(&["check"]);
    assert_eq!(code, Some(1), "{told}");
    for wanted in [
        "trunkline.toml:3:1: error: udp:0.0.0.0:12000 and udp:127.0.0.1:12000 at",
        "trunkline.toml:1:1: error: the API's 127.0.0.1:8080 and tcp:127.0.0.1:8080 at",
        "lies in the media ports 10000 to 30000; write a range without it",
        "table.toml:4:33: error: headers_to_attributes: \"to_number\" is a name that the gateway gives itself",
        "warning: trunks \"wide\" and \"named\" cannot be told apart",
    ] {
        assert!(told.contains(wanted), "{wanted}\nin {told}");
    }
}
