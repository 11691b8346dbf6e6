//! What transport and admission owe a call: the address that peers are told, answers that find their
//! way after a connection broke, and a limit that a burst does not pass.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use serde_json::json;
use trunkline_tests::daemon::{PATIENCE, free_port};
use trunkline_tests::{Daemon, Setup, http};

fn tables(address: &str, connect: &str) -> String {
    format!(
        "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\naddress = \"{address}\"\n[[agent]]\nname = \"bot\"\nconnect = \"{connect}\"\nprotocol = \"twilio\"\nconnect_timeout_seconds = 20\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"bot\"\n"
    )
}

const ECHO: &str = "builtin:echo";
const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";

fn invite(transport: &str, via: u16, call_id: &str) -> String {
    format!(
        "INVITE sip:+14155550100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:{via};branch=z9hG4bK{call_id};rport\r\nMax-Forwards: 70\r\nFrom: <sip:+14155550199@127.0.0.1>;tag={call_id}\r\nTo: <sip:+14155550100@127.0.0.1>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:{via}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
        OFFER.len()
    )
}

fn field<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {message}"))
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    socket
}

fn datagram(socket: &UdpSocket) -> String {
    let mut buffer = [0; 8192];
    let length = socket.recv(&mut buffer).expect("an answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn a_burst_that_waits_for_its_shard_does_not_pass_max_calls() {
    let daemon = Setup::new(&tables("127.0.0.1:9", ECHO)).sip("max_calls = 1").start();
    let caller = socket();
    let port = caller.local_addr().expect("bound").port();
    daemon.signal("STOP");
    for n in 0..100 {
        let call = invite("UDP", port, &format!("burst{n}"));
        caller.send_to(call.as_bytes(), ("127.0.0.1", daemon.sip)).expect("sent");
    }
    daemon.signal("CONT");
    let (mut answered, mut refused) = (BTreeSet::new(), BTreeSet::new());
    while answered.len() + refused.len() < 100 {
        let answer = datagram(&caller);
        let call_id = field(&answer, "Call-ID").to_owned();
        match answer.get(8..11) {
            Some("200") => answered.insert(call_id),
            Some("503") => {
                let via = field(&answer, "Via");
                assert!(
                    via.contains(&format!("rport={port}")) && via.contains("received=127.0.0.1"),
                    "{via}"
                );
                refused.insert(call_id)
            }
            _ => false,
        };
    }
    assert_eq!((answered.len(), refused.len()), (1, 99));
    // Its place is given back with it, and only once.
    let mut daemon = daemon;
    let id = daemon_calls(&daemon);
    assert_eq!(http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "").0, 202);
    daemon.record();
    for (call_id, code) in [("again", "200"), ("more", "503")] {
        caller.send_to(invite("UDP", port, call_id).as_bytes(), ("127.0.0.1", daemon.sip)).expect("sent");
        loop {
            let answer = datagram(&caller);
            if answer.starts_with("SIP/2.0 ") && field(&answer, "Call-ID") == call_id {
                let got = &answer[8..11];
                if got != "100" && got != "180" {
                    assert_eq!(got, code, "{answer}");
                    break;
                }
            }
        }
    }
}

fn daemon_calls(daemon: &Daemon) -> String {
    let (_, text) = http::get(daemon.api, "/v1/calls");
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    list["calls"][0]["id"].as_str().expect("a call").to_owned()
}

#[test]
fn a_caller_is_told_the_outside_address_in_contact_and_sdp() {
    let daemon = Setup::new(&tables("127.0.0.1:9", ECHO)).sip("external_address = \"203.0.113.7\"").start();
    let caller = socket();
    let port = caller.local_addr().expect("bound").port();
    caller.send_to(invite("UDP", port, "nat").as_bytes(), ("127.0.0.1", daemon.sip)).expect("sent");
    let ok = loop {
        let answer = datagram(&caller);
        if answer.starts_with("SIP/2.0 200") {
            break answer;
        }
    };
    assert!(field(&ok, "Contact").contains(&format!("203.0.113.7:{}", daemon.sip)), "{ok}");
    assert!(ok.contains("c=IN IP4 203.0.113.7\r\n"), "{ok}");
}

/// Reads a connection until `text` has come.
fn until(stream: &mut TcpStream, text: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let (mut heard, mut buffer) = (String::new(), [0; 4096]);
    while !heard.contains(text) {
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => heard += &String::from_utf8_lossy(&buffer[..length]),
            other => panic!("{text} never came ({other:?}): {heard}"),
        }
    }
    heard
}

#[test]
fn a_call_out_over_tcp_says_where_we_listen() {
    let carrier = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = carrier.local_addr().expect("bound").port();
    let daemon = Daemon::start(&tables(&format!("sip:127.0.0.1:{port};transport=tcp"), ECHO));
    let body = json!({"to": "+14155550188", "from": "+14155550100"}).to_string();
    let placed = http::request(daemon.api, "POST", "/v1/calls", "Content-Type: application/json\r\n", &body);
    assert_eq!(placed.0, 202, "{}", placed.1);
    let (mut stream, source) = carrier.accept().expect("the daemon");
    let invite = until(&mut stream, "m=audio");
    let own = format!("127.0.0.1:{}", daemon.sip);
    assert!(field(&invite, "Contact").starts_with(&format!("<sip:{own};transport=tcp>")), "{invite}");
    assert!(field(&invite, "Via").starts_with(&format!("SIP/2.0/TCP {own};")), "{invite}");
    assert_ne!(source.port(), daemon.sip);
    // A carrier that lost the connection reaches us there.
    TcpStream::connect(own).expect("somebody listens");
}

#[test]
fn an_answer_whose_connection_broke_finds_the_sender_of_its_request() {
    let agent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let connect = format!("ws://{}/", agent.local_addr().expect("bound"));
    let daemon = Daemon::start(&tables("127.0.0.1:9", &connect));
    let back = free_port();
    let listener = TcpListener::bind(("127.0.0.1", back)).expect("a port");
    let mut caller = TcpStream::connect(("127.0.0.1", daemon.sip)).expect("connected");
    caller.write_all(invite("TCP", back, "broken").as_bytes()).expect("sent");
    until(&mut caller, "SIP/2.0 180");
    drop(caller);
    // The agent comes only now, and with it the 200.
    let (stream, _) = agent.accept().expect("the daemon");
    let _socket = tungstenite::accept(stream).expect("a handshake");
    let (mut again, _) = listener.accept().expect("the daemon connects to the Via");
    let ok = until(&mut again, "m=audio");
    assert!(ok.starts_with("SIP/2.0 200") && field(&ok, "Call-ID") == "broken", "{ok}");
}
