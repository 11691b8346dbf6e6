//! Hostile peers on the wire: floods, and texts that would like to be something else in a log.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use trunkline_tests::daemon::poll;
use trunkline_tests::peers::call_with_media;
use trunkline_tests::{Daemon, Setup, http};

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

/// A request of a stranger, or of the carrier, that has no body.
fn request(method: &str, id: &str, from: &str, more: &str) -> String {
    format!(
        "{method} sip:+14155550100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;rport;branch=z9hG4bK{id}{method}\r\nMax-Forwards: 70\r\nFrom: {from};tag=1\r\nTo: <sip:+14155550100@127.0.0.1>\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\nContact: <sip:a@127.0.0.1:9>\r\nUser-Agent: friendly-scanner\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// The value of a metric.
fn metric(daemon: &Daemon, name: &str) -> f64 {
    let (_, page) = http::get(daemon.api, "/metrics");
    let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{name} in {page}"))
}

#[test]
fn floods_from_one_and_from_a_thousand_addresses_leave_the_carriers_calls_alone() {
    let mut daemon = Setup::new(TABLES).sip("unknown_peers = \"reject\"").start();
    call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 0.3", 500, &[]);
    daemon.record();
    let (memory, port) = (daemon.memory(), daemon.sip);
    let flood = std::thread::spawn(move || {
        let methods = ["INVITE", "REGISTER", "SUBSCRIBE", "PUBLISH", "OPTIONS", "MESSAGE"];
        for n in 0..20_000_u32 {
            // Half of them from one address, the others from a thousand.
            let [_, _, high, low] = (n % 1_000).to_be_bytes();
            let source = if n % 2 == 0 { [127, 2, 0, 1] } else { [127, 1, high, low] };
            let socket = UdpSocket::bind((std::net::Ipv4Addr::from(source), 0)).expect("a socket");
            let method = methods[n as usize % methods.len()];
            let text = request(method, &format!("flood{n}"), "<sip:100@127.0.0.1>", "");
            socket.send_to(text.as_bytes(), ("127.0.0.1", port)).expect("sent");
        }
    });
    let heard = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 1.5 --expect 700", 2000, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    assert_eq!(daemon.record()["sip_code"], 200);
    flood.join().expect("the flood ends");
    poll("the guard's count", || {
        (metric(&daemon, "trunkline_guard_shed_messages_total") > 5_000.0).then_some(())
    });
    assert_eq!(metric(&daemon, "trunkline_active_calls"), 0.0, "no stranger's INVITE became a call");
    assert_eq!(metric(&daemon, "trunkline_queue_shed_messages_total"), 0.0);
    let grown = daemon.memory().saturating_sub(memory);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
    let heard = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 0.5 --expect 700", 700, &[]);
    assert_eq!(heard["ok"], true, "afterwards: {heard}");
}

#[test]
fn a_scanner_learns_neither_which_numbers_there_are_nor_who_answers() {
    let daemon = Setup::new(TABLES).sip("unknown_peers = \"reject\"").start();
    let socket = UdpSocket::bind("127.0.0.9:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let ask = |number: &str, id: &str| {
        let text = request("INVITE", id, "<sip:100@127.0.0.1>", "").replace("+14155550100", number);
        socket.send_to(text.as_bytes(), ("127.0.0.1", daemon.sip)).expect("sent");
        let mut answer = [0; 4096];
        let length = socket.recv(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..length]).replace(number, "N").replace(id, "I")
    };
    let (known, unknown) = (ask("+14155550100", "first"), ask("+14155550999", "other"));
    assert!(known.starts_with("SIP/2.0 403"), "{known}");
    assert_eq!(known, unknown);
    for leak in ["runkline", "Server:", "User-Agent:", "Allow:"] {
        assert!(!known.contains(leak), "{leak} in {known}");
    }
}

#[test]
fn texts_from_the_wire_stay_on_one_line_of_the_log_and_of_the_records() {
    let mut daemon = Setup::new(TABLES).as_shipped().start();
    let from = "\"x\u{1b}[31m call ended call=forged\" <sip:evil%0d%0acall%20ended%1b[2J@127.0.0.1>";
    let id = "evil\u{1b}[31m@x";
    let sdp =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";
    let body = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.sip)).expect("connects");
    let invite = request("INVITE", id, from, "").replace("Content-Length: 0\r\n\r\n", &body);
    stream.write_all(invite.replace("/UDP", "/TCP").as_bytes()).expect("sent");
    poll("the call", || (metric(&daemon, "trunkline_active_calls") > 0.0).then_some(()));
    // The flow is gone, and with it the call.
    daemon.signal("TERM");
    let mut ended = 0;
    loop {
        let line = daemon.line();
        let line = line.as_str().expect("text").to_owned();
        assert!(!line.contains('\u{1b}') && !line.trim_start().starts_with("call"), "{line}");
        ended += usize::from(line.contains("call ended"));
        if line.contains("stopped") {
            break;
        }
    }
    assert!(ended >= 1, "the call has its line");
    let records = std::fs::read_to_string(daemon.folder.join("data/calls.jsonl")).expect("the records");
    assert_eq!(records.lines().count(), 1, "{records}");
    assert!(!records.contains('\u{1b}'), "{records}");
    let record: serde_json::Value = serde_json::from_str(&records).expect("JSON");
    assert!(record["from"].as_str().is_some_and(|from| from.contains("evil")), "{record}");
}
