//! Trunks that prove something: registered at Kamailio, asked for their health, and callers that SIPp
//! authenticates.

use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use serde_json::Value;
use trunkline_tests::daemon::{PATIENCE, binary, free_port, peer_files, poll};
use trunkline_tests::peers::{Process, Sipp, call_with_media};
use trunkline_tests::{Daemon, Setup, http};

const REST: &str = "[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n";

fn registering(port: u16, transport: &str, password: &str) -> String {
    format!(
        "[[trunk]]\nname = \"pbx\"\naddress = \"sip:127.0.0.1:{port};transport={transport}\"\nregister = true\nregister_expires_seconds = 60\noptions_interval_seconds = 5\nauth_username = \"acme\"\nauth_password = \"{password}\"\n{REST}"
    )
}

/// Kamailio as a registrar.
fn registrar() -> (Process, u16) {
    let port = free_port();
    let child = Command::new("bash")
        .arg(peer_files().join("kamailio/registrar.sh"))
        .arg(port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("kamailio is installed by `cargo xtask test`");
    let process = Process(child);
    poll("kamailio", || TcpStream::connect(("127.0.0.1", port)).ok());
    (process, port)
}

/// It has children: the term signal lets it end them.
fn end(mut registrar: Process) {
    let _ = Command::new("kill").arg(registrar.0.id().to_string()).status();
    let _ = registrar.0.wait();
}

fn trunk(daemon: &Daemon) -> Value {
    let (status, text) = http::get(daemon.api, "/v1/trunks");
    assert_eq!(status, 200, "{text}");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    list["trunks"][0].clone()
}

/// Waits until the trunk's registration is so.
fn until(daemon: &Daemon, registration: &str) -> Value {
    poll(registration, || Some(trunk(daemon)).filter(|trunk| trunk["registration"] == registration))
}

/// The code of the first final answer to an INVITE from somewhere.
fn code(port: u16) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let own = socket.local_addr().expect("bound").port();
    let invite = format!(
        "INVITE sip:+14155550100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bKs{own};rport\r\nMax-Forwards: 70\r\nFrom: <sip:+14155550199@a>;tag=1\r\nTo: <sip:+14155550100@b>\r\nCall-ID: s{own}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:{own}>\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(invite.as_bytes(), ("127.0.0.1", port)).expect("sent");
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).expect("an answer");
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        match answer.get(8..11) {
            Some(code) if !code.starts_with('1') => return code.to_owned(),
            _ => {}
        }
    }
}

#[test]
fn a_trunk_registers_at_kamailio_takes_its_calls_and_leaves() {
    for transport in ["udp", "tcp"] {
        let (registrar, port) = registrar();
        let tables = registering(port, transport, "s3cret");
        let mut daemon = Setup::new(&tables).sip("unknown_peers = \"reject\"").start();
        let seen = until(&daemon, "registered");
        // Kamailio wants at least 90 s and says so with 423 or by what it grants.
        let left = seconds(seen["registered_until"].as_str().expect("a time")) - now();
        assert!((60.0..=91.0).contains(&left), "{left} s");
        poll("its health", || (trunk(&daemon)["addresses"][0]["healthy"] == true).then_some(()));
        let heard =
            call_with_media(port, "+14155550100", "--hz 700 --secs 1 --expect 700", 1200, &["-t", "u1"]);
        assert_eq!(heard["ok"], true, "{transport} {heard}");
        let record = daemon.record();
        assert_eq!((record["trunk"].as_str(), record["sip_code"].as_u64()), (Some("pbx"), Some(200)));
        assert_eq!(code(daemon.sip), "403", "the same address by another flow is a stranger");
        let (_, page) = http::get(daemon.api, "/metrics");
        assert!(page.contains("trunkline_trunk_registered{trunk=\"pbx\"} 1"), "{page}");
        let output = Command::new(binary())
            .args(["trunks", "--api", &format!("http://127.0.0.1:{}", daemon.api)])
            .output()
            .expect("runs");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = format!("  sip:127.0.0.1:{port};transport={transport} healthy");
        assert!(told.contains("pbx both registration registered\n") && told.contains(&line), "{told}");
        daemon.signal("TERM");
        assert_eq!(daemon.wait(), Some(0));
        assert_eq!(code(port), "404", "the contact was taken back");
        end(registrar);
    }
}

/// A moment of RFC 3339 in seconds since the epoch, as another program reads it.
fn seconds(moment: &str) -> f64 {
    let read = Command::new("date").args(["-d", moment, "+%s.%N"]).output().expect("date runs");
    String::from_utf8_lossy(&read.stdout).trim().parse().unwrap_or_else(|_| panic!("{moment:?} is no moment"))
}

fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}

#[test]
fn a_wrong_password_is_told_and_a_reload_with_the_right_one_registers() {
    let (registrar, port) = registrar();
    let mut daemon = Daemon::start(&registering(port, "udp", "guess"));
    let seen = until(&daemon, "failed");
    assert_eq!(seen["reason"], "401 Unauthorized");
    daemon.write_tables(&registering(port, "udp", "s3cret"));
    daemon.signal("HUP");
    daemon.wait_for("the tables were read again");
    assert_eq!(until(&daemon, "registered")["reason"], Value::Null);
    daemon.write_tables(REST);
    daemon.signal("HUP");
    daemon.wait_for("the tables were read again");
    poll("the contact's end", || (code(port) == "404").then_some(()));
    end(registrar);
}

#[test]
fn sipp_answers_our_challenge_and_nobody_without_the_password_gets_in() {
    let tables = format!(
        "[[trunk]]\nname = \"phones\"\nchallenge = true\nchallenge_algorithms = [\"MD5\", \"SHA-256\"]\nauth_username = \"acme\"\nauth_password = \"s3cret\"\n{REST}"
    );
    let mut daemon = Daemon::start(&tables);
    let call = |name: &str, password: &str| {
        Sipp::new("uac_auth", daemon.sip, "+14155550100").with(&["-au", name, "-ap", password]).code()
    };
    assert_eq!(call("acme", "s3cret"), Some(0));
    assert_ne!(call("acme", "guess"), Some(0));
    assert_ne!(call("nobody", "s3cret"), Some(0));
    Sipp::new("uac_auth", daemon.sip, "+14155550100")
        .with(&["-au", "acme", "-ap", "s3cret", "-t", "t1"])
        .run();
    for _ in 0..2 {
        let record = daemon.record();
        assert_eq!((record["trunk"].as_str(), record["sip_code"].as_u64()), (Some("phones"), Some(200)));
    }
    let calls = std::fs::read_to_string(daemon.folder.join("data/calls.jsonl")).expect("records");
    assert_eq!(calls.lines().count(), 2, "a guess is no call");
}
