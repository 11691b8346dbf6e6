//! The daemon as its operators meet it: health, metrics, reload, drain, the other commands.

use std::io::{BufRead, Read, Write};
use std::process::{Command, Stdio};

use trunkline_tests::baresip::wav;
use trunkline_tests::daemon::{binary, peer_files, poll};
use trunkline_tests::peers::{Sipp, call_with_media};
use trunkline_tests::{Daemon, Setup, http};

/// Sends one request from a socket of the test's and gives the first answer.
fn ask(port: u16, method: &str, user: &str) -> String {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a time-out");
    let own = socket.local_addr().expect("an address");
    let request = format!(
        "{method} sip:{user}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {own}\r\nCSeq: 1 {method}\r\nContact: <sip:a@{own}>\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), ("127.0.0.1", port)).expect("sent");
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

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
        // A stalled machine may have sent one of them again.
        "trunkline_sip_requests_total{method=\"INVITE\",direction=\"in\"} ",
        "trunkline_sip_responses_total{method=\"INVITE\",code=\"200\",direction=\"out\"} ",
        "trunkline_sip_transactions ",
        "trunkline_agent_connect_seconds_count 0",
        "trunkline_agent_dials_total{result=\"failed\"} 0",
        "trunkline_guard_shed_messages_total 0",
        "trunkline_queue_shed_messages_total 0",
        "trunkline_rtp_jitter_seconds_count 1",
        "trunkline_rtp_packets_lost_total 0",
        "trunkline_agent_dropped_bytes_total 0",
        "trunkline_shed_total{reason=\"draining\"} 0",
        "trunkline_config_reloads_total{result=\"failed\"} 0",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    for family in ["trunkline_rtp_packets_received_total", "trunkline_rtp_packets_sent_total"] {
        let line = page.lines().find(|line| line.starts_with(family)).expect(family);
        assert!(line.rsplit(' ').next().and_then(|n| n.parse::<u32>().ok()) > Some(5), "{line}");
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
    // Or it would be taken for the next one.
    daemon.record();
    // A broken table while a call is up changes neither the call nor the tables.
    let port = daemon.sip;
    let talking = std::thread::spawn(move || {
        call_with_media(port, "+14155550111", "--hz 500 --secs 1.5 --expect 500", 1800, &[])
    });
    poll("the call", || {
        http::get(daemon.api, "/metrics").1.contains("trunkline_active_calls 1").then_some(())
    });
    daemon.write_tables("[[number]]\nnumber = \"1\"\n");
    daemon.signal("HUP");
    daemon.wait_for("the tables were not taken over");
    // A good one that has another agent for the number leaves the call its own.
    let changed = TABLES.replace("+14155550100", "+14155550111").replace("builtin:echo", "builtin:silence");
    daemon.write_tables(&changed);
    daemon.signal("HUP");
    daemon.wait_for("the tables were read again");
    daemon.write_tables("[[number]]\nnumber = \"1\"\n");
    let (status, body) = http::request(daemon.api, "POST", "/v1/config/reload", "", "");
    assert_eq!(status, 422);
    assert!(body.contains("is no E.164 number") && body.contains("table.toml:2:10"), "{body}");
    daemon.write_tables(&changed);
    assert_eq!(http::request(daemon.api, "POST", "/v1/config/reload", "", "").0, 200);
    let (_, page) = http::get(daemon.api, "/metrics");
    for line in ["{result=\"ok\"} 3", "{result=\"failed\"} 2"] {
        assert!(page.contains(&format!("trunkline_config_reloads_total{line}")), "{line}\n{page}");
    }
    let heard = talking.join().expect("the call went on");
    assert_eq!(heard["ok"], true, "{heard}");
    Sipp::new("uac_hold", daemon.sip, "+14155550111").run();
}

#[test]
fn a_drain_refuses_new_calls_and_lets_the_others_end() {
    let mut daemon = Daemon::start(TABLES);
    let port = daemon.sip;
    let talking = std::thread::spawn(move || {
        call_with_media(port, "+14155550100", "--hz 500 --secs 2.5 --expect 500", 2800, &[])
    });
    poll("the call", || {
        http::get(daemon.api, "/metrics").1.contains("trunkline_active_calls 1").then_some(())
    });
    daemon.signal("TERM");
    daemon.wait_for("draining");
    poll("the drain", || (http::get(daemon.api, "/readyz").0 == 503).then_some(()));
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1), "503");
    let invite = ask(daemon.sip, "INVITE", "+14155550100");
    assert!(invite.starts_with("SIP/2.0 503") && invite.contains("\r\nRetry-After: "), "{invite}");
    let (_, page) = http::get(daemon.api, "/metrics");
    let shed = page.lines().find(|line| line.starts_with("trunkline_shed_total{reason=\"draining\"}"));
    assert!(shed.is_some_and(|line| !line.ends_with(" 0")), "{page}");
    assert!(ask(daemon.sip, "OPTIONS", "gw").starts_with("SIP/2.0 503"));
    let heard = talking.join().expect("the call went on");
    assert_eq!(heard["ok"], true, "{heard}");
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
    poll("the call", || {
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
fn help_states_every_default_and_diff_what_a_reload_would_change() {
    let run = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let help = run(&["serve", "--help"]);
    for default in ["no_media_timeout_seconds = 60", "t1_milliseconds = 500", "ringing_timeout_seconds = 30"]
    {
        assert!(help.contains(default), "{default}");
    }
    let daemon = Daemon::start(TABLES);
    let other = Daemon::start(&TABLES.replace("+14155550100", "+14155550111"));
    let file = |daemon: &Daemon| daemon.folder.join("trunkline.toml").to_string_lossy().into_owned();
    let changes = run(&["diff", "--config", &file(&daemon), &file(&other)]);
    assert!(
        changes.contains("- number +14155550100") && changes.contains("+ number +14155550111"),
        "{changes}"
    );
    assert_eq!(run(&["diff", "--config", &file(&daemon), &file(&daemon)]).trim(), "no change");
}

#[test]
fn a_test_call_plays_a_file_and_records_what_comes_back() {
    let mut daemon = Daemon::start(TABLES);
    let (said, heard) = (daemon.folder.join("said.wav"), daemon.folder.join("heard.wav"));
    wav(&said, 900.0, 3);
    let target = format!("sip:+14155550100@127.0.0.1:{};transport=tcp", daemon.sip);
    let output = Command::new(binary())
        .args(["call", &target, "--dtmf", "7#", "--play"])
        .arg(&said)
        .arg("--record")
        .arg(&heard)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let check = Command::new("python3")
        .arg(peer_files().join("wavcheck.py"))
        .arg(&heard)
        .arg("900")
        .output()
        .expect("python3");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    for figure in
        ["ringing     ", "answered    ", "first audio ", "jitter      ", "MOS         4.", ", 0 lost"]
    {
        assert!(text.contains(figure), "{figure}\n{text}");
    }
    let record = daemon.record();
    assert_eq!(record["media"]["dtmf_digits"], 2);
    // As long as the file, and a second to hear the rest.
    assert!(record["duration_seconds"].as_f64().is_some_and(|long| (3.9..6.0).contains(&long)), "{record}");
}

#[test]
fn an_http_client_that_dawdles_is_closed() {
    let daemon = Daemon::start(TABLES);
    let mut slow = std::net::TcpStream::connect(("127.0.0.1", daemon.api)).expect("connects");
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").expect("sent");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("the daemon closes it");
    assert_eq!(http::get(daemon.api, "/healthz").0, 200);
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = peer_files().join("../../deploy/trunkline.service");
    let text = std::fs::read_to_string(&unit).expect("the unit");
    let promised = "Type=notify ExecReload= WatchdogSec= NoNewPrivileges=yes ProtectSystem=strict UMask=0077 \
                    ProtectKernelLogs=yes ProtectProc=invisible RemoveIPC=yes SystemCallFilter=@system-service";
    for line in promised.split_whitespace() {
        assert!(text.contains(line), "{line}");
    }
    // systemd's own reader, which the peers' installation brings: it names keys that it does not know.
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
    let said = verify.expect("systemd-analyze is installed by `cargo xtask test`");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.contains("Unknown") && !said.contains("Failed to parse"), "{said}");
    // Its own judgement of how much is left open, from 0 to 100; 20 is its "OK".
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&unit)
        .output()
        .expect("systemd-analyze");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}

#[test]
fn outcomes_of_calls_and_of_agents_are_counted() {
    let nobody = TABLES.replace("builtin:echo", "ws://127.0.0.1:1/\"\nprotocol = \"twilio");
    let mut daemon = Daemon::start(&nobody);
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1), "480");
    daemon.record();
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550999").code(), Some(1), "404");
    daemon.wait_for("a call was refused");
    let (_, page) = http::get(daemon.api, "/metrics");
    for line in [
        "trunkline_calls_total{trunk=\"carrier\",direction=\"inbound\",outcome=\"no_answer\"} 1",
        "direction=\"inbound\",outcome=\"refused\"} 1",
        "trunkline_agent_dials_total{result=\"failed\"} 1",
        "trunkline_sip_responses_total{method=\"INVITE\",code=\"404\",direction=\"out\"} ",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn every_line_about_a_call_has_both_of_its_ids() {
    let mut daemon = Setup::new(TABLES).arguments(&["--log-level", "debug"]).start();
    call_with_media(daemon.sip, "+14155550100", "--hz 500 --secs 0.5", 700, &[]);
    let (mut ids, mut lines) = (None, 0);
    loop {
        let line = daemon.line();
        assert!(!line["call"].is_number(), "a call is known by its id: {line}");
        let Some(call) = line["call"].as_str() else { continue };
        let both = (call.to_owned(), line["sip_call_id"].as_str().expect("both ids").to_owned());
        assert_eq!(*ids.get_or_insert_with(|| both.clone()), both, "{line}");
        lines += 1;
        if line["message"] == "call ended" {
            break;
        }
    }
    assert!(lines > 5, "the steps of the call are in the log: {lines}");
}

#[test]
fn a_signal_that_comes_early_does_not_kill_the_daemon() {
    let mut daemon = Daemon::start(TABLES);
    daemon.signal("HUP");
    daemon.wait_for("the tables were read again");
    daemon.signal("TERM");
    assert_eq!(daemon.wait(), Some(0));
}

#[test]
fn the_demo_proves_a_call() {
    let output = Command::new(binary()).args(["demo", "--once"]).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for said in [
        "loudest at 600.0 Hz",
        "INVITE sip:+14155550100@",
        "◀──  200 OK",
        "\"dtmf_digits\": 3",
        "ok    the call was answered",
        "ok    the tone came back at 600 Hz",
        "within half a second",
        "ok    three key presses were heard",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}

#[test]
fn the_demo_stays_up_and_its_advice_works() {
    let mut demo =
        Command::new(binary()).arg("demo").stdout(std::process::Stdio::piped()).spawn().expect("runs");
    let mut lines = std::io::BufReader::new(demo.stdout.take().expect("piped")).lines();
    let mut said = String::new();
    // The call that it advises, as it stands.
    let advice = lines.by_ref().map_while(Result::ok).find(|line| {
        said += line;
        line.ends_with("  echo") && line.contains(" call 'sip:")
    });
    let advice = advice.unwrap_or_else(|| panic!("no advice: {said}"));
    let command = advice.trim_end().trim_end_matches("echo").trim();
    let output = Command::new("bash").args(["-c", command]).output().expect("bash");
    let heard = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && heard.contains("loudest at 600.0 Hz"), "{command}\n{heard}");
    let stopped = Command::new("kill").args(["-INT", &demo.id().to_string()]).status();
    assert!(stopped.is_ok_and(|status| status.success()));
    assert_eq!(poll("the demo's end", || demo.try_wait().ok().flatten()).code(), Some(0));
}

#[test]
fn sipsak_gets_an_answer_to_its_options() {
    let daemon = Daemon::start(TABLES);
    let target = format!("sip:gw@127.0.0.1:{}", daemon.sip);
    let status = Command::new("timeout").args(["5", "sipsak", "-s", &target]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[test]
fn a_full_node_says_503_and_not_when_to_come_back() {
    let daemon = Setup::new(TABLES).sip("max_calls = 1").start();
    let port = daemon.sip;
    let talking = std::thread::spawn(move || {
        call_with_media(port, "+14155550100", "--hz 500 --secs 1.5 --expect 500", 1800, &[])
    });
    poll("the call", || {
        http::get(daemon.api, "/metrics").1.contains("trunkline_active_calls 1").then_some(())
    });
    let refused = ask(daemon.sip, "INVITE", "+14155550100");
    assert!(refused.starts_with("SIP/2.0 503") && !refused.contains("Retry-After"), "{refused}");
    assert!(ask(daemon.sip, "OPTIONS", "gw").starts_with("SIP/2.0 200"), "it is full, not leaving");
    let (_, page) = http::get(daemon.api, "/metrics");
    assert!(page.contains("trunkline_shed_total{reason=\"max_calls\"} 1"), "{page}");
    let heard = talking.join().expect("the call went on");
    assert_eq!(heard["ok"], true, "{heard}");
}

#[test]
fn calls_beyond_the_rate_are_shed() {
    let daemon = Setup::new(TABLES).sip("new_calls_per_second = 1").start();
    let shed = poll("two calls in one second", || {
        let second = [ask(daemon.sip, "INVITE", "+14155550100"), ask(daemon.sip, "INVITE", "+14155550100")];
        second.into_iter().find(|answer| answer.starts_with("SIP/2.0 503"))
    });
    assert!(!shed.contains("Retry-After"), "{shed}");
    let (_, page) = http::get(daemon.api, "/metrics");
    assert!(page.contains("trunkline_shed_total{reason=\"new_calls_per_second\"}"), "{page}");
}

#[test]
fn a_reload_names_what_it_changed_and_what_needs_a_restart() {
    let mut daemon = Daemon::start(TABLES);
    daemon.write_tables(&TABLES.replace("builtin:echo", "builtin:tone"));
    let file = daemon.folder.join("trunkline.toml");
    let node = std::fs::read_to_string(&file).expect("the node's file");
    std::fs::write(&file, node.replace("[media]", "max_calls = 7\n[media]")).expect("written");
    daemon.signal("HUP");
    let restart = daemon.wait_for("changed by the reload");
    assert_eq!(restart["change"], "~ agent echo: connect builtin:echo -> builtin:tone");
    let restart = daemon.wait_for("changed by the reload");
    assert_eq!(restart["change"], "! sip.max_calls 5000 -> 7: takes effect at the next start");
    daemon.wait_for("the tables were read again");
}

#[test]
fn a_service_manager_is_told_each_state() {
    let folder = std::env::temp_dir().join(format!("trunkline-notify-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("socket");
    let _ = std::fs::remove_file(&path);
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(trunkline_tests::daemon::PATIENCE)).expect("set");
    let mut daemon = Setup::new(TABLES)
        .environment("NOTIFY_SOCKET", &path.to_string_lossy())
        .environment("WATCHDOG_USEC", "200000")
        .start();
    let until = |state: &str| {
        let mut buffer = [0; 512];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("never told {state}"));
            let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if told.contains(state) {
                return told;
            }
        }
    };
    until("READY=1");
    until("WATCHDOG=1");
    daemon.signal("HUP");
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="));
    until("READY=1");
    daemon.signal("TERM");
    until("STOPPING=1");
    assert_eq!(daemon.wait(), Some(0));
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn the_log_as_shipped_is_text_and_masks_numbers() {
    let mut daemon = Setup::new(TABLES).as_shipped().start();
    call_with_media(daemon.sip, "+14155550100", "--hz 500 --secs 0.3", 500, &[]);
    let ended = daemon.wait_for("call ended").as_str().expect("text").to_owned();
    assert!(ended.contains("**00") && !ended.contains("4155550100"), "{ended}");
    assert!(ended.contains("call=call_") && ended.contains("sip_call_id="), "{ended}");
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550177").code(), Some(1));
    let refused = daemon.wait_for("a call was refused").as_str().expect("text").to_owned();
    assert!(refused.contains("code=404") && !refused.contains("4155550177"), "{refused}");
}

#[test]
fn check_reads_every_file_and_tells_all_in_one_pass() {
    let daemon = Daemon::start(TABLES);
    let folder = &daemon.folder;
    std::fs::write(folder.join("noise.wav"), "RIFFnoise").expect("written");
    let node = "[sip]\nlisten = [\"tls:127.0.0.1:5061\"]\nmax_calls = 0\n[routes]\nfiles = [\"routes/*.toml\", \"none/x.toml\", \"routes/*.conf\"]\ndefault_agent = \"nobody\"\n";
    let tables = "[[agent]]\nname = \"a\"\nconnect = \"builtin:announce?file=noise.wav\"\n[[agent]]\nname = \"b\"\nconnect = \"builtin:announce?file=absent.wav\"\n[[number]]\nnumber = \"1\"\n";
    let check = |node: &str, tables: &str| {
        std::fs::write(folder.join("trunkline.toml"), node).expect("written");
        daemon.write_tables(tables);
        let mut command = Command::new(binary());
        let output =
            command.args(["check", "--config"]).arg(folder.join("trunkline.toml")).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = check(node, tables);
    assert_eq!(code, Some(1), "{told}");
    for wanted in [
        "trunkline.toml:3:13: error: max_calls",
        "trunkline.toml:1:1: error: a tls: listener needs [sip.tls]",
        "trunkline.toml:5:27: error: cannot read",
        "trunkline.toml:5:42: warning: no file is named like",
        "table.toml:8:10: error: \"1\" is no E.164 number",
    ] {
        assert!(told.contains(wanted), "{wanted}\nin {told}");
    }
    // A table is missing: what it may have named is not called unknown.
    assert!(!told.contains("nobody"), "{told}");
    // Files that only a table or a node without mistakes names.
    let tables = tables.split("[[number]]").next().expect("agents");
    let node = "[sip]\nlisten = [\"tls:127.0.0.1:5061\"]\n[sip.tls]\ncertificate = \"absent.pem\"\nprivate_key = \"absent.key\"\n";
    let (code, told) = check(node, tables);
    assert_eq!(code, Some(1), "{told}");
    for wanted in [
        "table.toml:3:11: error: noise.wav: cannot read the file",
        "table.toml:6:11: error: absent.wav: cannot read the file",
        "trunkline.toml:3:1: error:",
        "absent.pem",
    ] {
        assert!(told.contains(wanted), "{wanted}\nin {told}");
    }
    let (_, told) = check("[routes]\ndefault_agent = \"nobody\"\n", TABLES);
    assert!(told.contains("trunkline.toml:2:17: error: default_agent \"nobody\" is no agent"), "{told}");
}

#[test]
fn secrets_may_stand_encrypted_in_the_tables() {
    let run = |arguments: &[&str], key: Option<&str>, input: &str| {
        let mut child = Command::new(binary())
            .args(arguments)
            .env_remove("FERNET_KEY")
            .envs(key.map(|key| ("FERNET_KEY", key)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        // One that fails first has closed its end.
        let _ = writeln!(child.stdin.take().expect("piped"), "{input}");
        let output = child.wait_with_output().expect("ends");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).trim().to_owned())
    };
    let (_, key) = run(&["secret", "--new-key"], None, "");
    let (code, token) = run(&["secret"], Some(&key), "s3cret");
    assert!(
        code == Some(0) && token.starts_with("{ fernet = \"gAAAA") && !token.contains("s3cret"),
        "{token}"
    );
    assert!(
        run(&["secret"], None, "s3cret").1.contains("FERNET_KEY"),
        "without a key it says what is missing"
    );
    let folder = std::env::temp_dir().join(format!("trunkline-sealed-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("routes")).expect("a folder");
    std::fs::write(folder.join("trunkline.toml"), "[node]\nname = \"a\"\n").expect("written");
    let table = format!(
        "[[trunk]]\nname = \"a\"\naddress = \"192.0.2.1\"\nallowed_addresses = [\"192.0.2.1\"]\nauth_username = \"acme\"\nauth_password = {token}\n"
    );
    std::fs::write(folder.join("routes/a.toml"), table).expect("written");
    let config = folder.join("trunkline.toml");
    let check = ["check", "--config", config.to_str().expect("UTF-8")];
    assert_eq!(run(&check, Some(&key), "").0, Some(0), "{}", run(&check, Some(&key), "").1);
    let (_, other) = run(&["secret", "--new-key"], None, "");
    for (key, why) in [(None, "no FERNET_KEY"), (Some(&*other), "not encrypted under this FERNET_KEY")] {
        let (code, said) = run(&check, key, "");
        assert!(code == Some(1) && said.contains("routes/a.toml:6:") && said.contains(why), "{said}");
    }
    let _ = std::fs::remove_dir_all(folder);
}
