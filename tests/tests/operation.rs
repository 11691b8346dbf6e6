//! The daemon as its operators meet it: health, metrics, reload, drain, the other commands.

use std::process::Command;

use trunkline_tests::daemon::{binary, peer_files};
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

#[test]
fn health_metrics_and_problems_are_served() {
    let mut daemon = Daemon::start(TABLES);
    assert_eq!(http::get(daemon.api, "/healthz").0, 200);
    assert_eq!(http::get(daemon.api, "/readyz").0, 200);
    let (status, body) = http::get(daemon.api, "/nothing");
    assert_eq!(status, 404);
    assert!(body.contains("\"code\":\"not_found\""), "{body}");
    call_with_media(daemon.sip, "+14155550100", "--hz 500 --secs 0.5", 700, &[]);
    daemon.record();
    let (_, page) = http::get(daemon.api, "/metrics");
    for line in [
        "trunkline_calls_total{trunk=\"carrier\",direction=\"inbound\",outcome=\"answered\"} 1",
        "trunkline_active_calls 0",
        "trunkline_setup_seconds_count 1",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn a_good_table_is_taken_over_and_a_bad_one_changes_nothing() {
    let mut daemon = Daemon::start(TABLES);
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550111").code(), Some(1));
    daemon.write_tables(&TABLES.replace("+14155550100", "+14155550111"));
    daemon.signal("HUP");
    daemon.wait_for("the tables were read again");
    Sipp::new("uac_hold", daemon.sip, "+14155550111").run();
    daemon.write_tables("[[number]]\nnumber = \"1\"\n");
    let (status, body) = http::request(daemon.api, "POST", "/v1/config/reload", "", "");
    assert_eq!(status, 422);
    assert!(body.contains("is no E.164 number") && body.contains("table.toml:2:10"), "{body}");
    Sipp::new("uac_hold", daemon.sip, "+14155550111").run();
}

#[test]
fn a_drain_refuses_new_calls_and_lets_the_others_end() {
    let mut daemon = Daemon::start(TABLES);
    let port = daemon.sip;
    let talking = std::thread::spawn(move || {
        call_with_media(port, "+14155550100", "--hz 500 --secs 2.5 --expect 500", 2800, &[])
    });
    trunkline_tests::daemon::poll("the call", || {
        http::get(daemon.api, "/metrics").1.contains("trunkline_active_calls 1").then_some(())
    });
    daemon.signal("TERM");
    daemon.wait_for("draining");
    trunkline_tests::daemon::poll("the drain", || (http::get(daemon.api, "/readyz").0 == 503).then_some(()));
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1), "503");
    assert_eq!(talking.join().expect("the call went on")["ok"], true);
    assert_eq!(daemon.wait(), Some(0));
}

#[test]
fn a_daemon_that_drains_too_long_ends_its_calls() {
    let mut daemon = Daemon::start(TABLES);
    let port = daemon.sip;
    let talking = std::thread::spawn(move || {
        let media = trunkline_tests::daemon::free_port().to_string();
        Sipp::new("uac_rtptool", port, "+14155550100")
            .with(&["-key", "mport", &media, "-key", "tool", "--secs 1", "-d", "15000"])
            .code()
    });
    trunkline_tests::daemon::poll("the call", || {
        http::get(daemon.api, "/metrics").1.contains("trunkline_active_calls 1").then_some(())
    });
    daemon.signal("TERM");
    assert_eq!(daemon.record()["reason"], "hung up by request");
    assert_eq!(daemon.wait(), Some(0));
    // SIPp did not expect a BYE.
    assert_ne!(talking.join().expect("ends"), Some(0));
}

#[test]
fn the_shipped_configuration_is_good_and_explained() {
    let config = peer_files().join("../../config/trunkline.toml");
    let run = |arguments: &[&str]| {
        let output =
            Command::new(binary()).args(arguments).arg("--config").arg(&config).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run(&["check"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&["route", "+14155550100", "--from", "+14155550199"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("=> agent echo answers"), "{text}");
    let (code, text) = run(&["route", "911"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("never routed"), "{text}");
}

#[test]
fn the_demo_proves_a_call() {
    let output = Command::new(binary()).args(["demo", "--once"]).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("loudest at 600.0 Hz"), "{text}");
}

#[test]
fn sipsak_gets_an_answer_to_its_options() {
    let daemon = Daemon::start(TABLES);
    let target = format!("sip:gw@127.0.0.1:{}", daemon.sip);
    let status = Command::new("timeout").args(["5", "sipsak", "-s", &target]).status();
    assert!(status.is_ok_and(|status| status.success()));
}
