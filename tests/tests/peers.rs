//! Other people's telephones and proxies: baresip with real audio and key presses, Kamailio in front
//! with Record-Route, and peers that mean no good.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;
use trunkline_tests::baresip::Baresip;
use trunkline_tests::daemon::{PATIENCE, free_port, peer_files, poll};
use trunkline_tests::peers::{Process, Sipp, call_with_media};
use trunkline_tests::{Daemon, Setup, http};

const TABLES: &str = r#"
[[trunk]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]
[[agent]]
name = "echo"
connect = "builtin:echo"
[[agent]]
name = "tone"
connect = "builtin:tone"
[[number]]
number = "+14155550100"
inbound = "echo"
[[number]]
number = "+14155550101"
inbound = "tone"
"#;

#[test]
fn baresip_hears_its_own_voice_and_its_keys_arrive() {
    let mut daemon = Daemon::start(TABLES);
    let phone = Baresip::new(&daemon.folder, "");
    for transport in ["", ";transport=tcp"] {
        phone.call_and_hear_itself(&format!("sip:+14155550100@127.0.0.1:{}{transport}", daemon.sip), "12#");
        let record = daemon.record();
        assert_eq!(
            (record["sip_code"].as_u64(), record["media"]["dtmf_digits"].as_u64()),
            (Some(200), Some(3)),
            "{record}"
        );
    }
}

#[test]
fn baresip_hears_its_own_voice_in_a_law() {
    let mut daemon = Daemon::start(TABLES);
    let phone = Baresip::speaking("PCMA", &daemon.folder, "");
    phone.call_and_hear_itself(&format!("sip:+14155550100@127.0.0.1:{}", daemon.sip), "5");
    let record = daemon.record();
    assert_eq!(
        (record["codec"].as_str(), record["sip_code"].as_u64()),
        (Some("PCMA"), Some(200)),
        "{record}"
    );
}

#[test]
fn calls_come_through_a_proxy_that_records_its_route() {
    let mut daemon = Daemon::start(TABLES);
    let port = free_port();
    for (hop, via) in [("udp", "u1"), ("tcp", "t1"), ("tcp", "u1")] {
        let proxy = Command::new("bash")
            .arg(peer_files().join("kamailio/run.sh"))
            .args([port.to_string(), format!("sip:127.0.0.1:{};transport={hop}", daemon.sip)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("kamailio is installed by `cargo xtask test`");
        let pid = proxy.id();
        let mut proxy = Process(proxy);
        poll("kamailio", || TcpStream::connect(("127.0.0.1", port)).ok());
        let tool = "--hz 700 --secs 1.2 --expect 700 --min-pkts 20";
        let heard = call_with_media(port, "+14155550100", tool, 1500, &["-t", via]);
        assert_eq!(heard["ok"], true, "{hop} {via}: {heard}");
        assert_eq!(daemon.record()["sip_code"], 200);
        Sipp::new("uac_hold", port, "+14155550100").with(&["-t", via]).run();
        daemon.record();
        // One that we end: the BYE follows the recorded route.
        let caller = std::thread::spawn(move || {
            Sipp::new("uac_proxied_bye", port, "+14155550100").with(&["-t", via]).run();
        });
        let id = poll("the call", || {
            let (_, body) = http::get(daemon.api, "/v1/calls");
            let calls: Value = serde_json::from_str(&body).ok()?;
            let active = calls["calls"].as_array()?.iter().find(|call| call["status"] == "active")?;
            active["id"].as_str().map(str::to_owned)
        });
        let gone = http::request(daemon.api, "DELETE", &format!("/v1/calls/{id}"), "", "");
        assert_eq!(gone.0, 202, "{hop} {via}: {}", gone.1);
        assert!(caller.join().is_ok(), "{hop} {via}: the caller was hung up on through the proxy");
        assert_eq!(daemon.record()["reason"], "hung up by request");
        // It has children: the term signal lets it end them.
        let _ = Command::new("kill").arg(pid.to_string()).status();
        let _ = proxy.0.wait();
    }
}

#[test]
fn garbage_slow_and_endless_peers_do_no_harm() {
    let mut daemon = Daemon::start(TABLES);
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", daemon.sip)).expect("connects");
        stream.write_all(b"INVITE sip:x@y SIP/2.0\r\nVia: ").expect("sent");
        slow.push(stream);
    }
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for n in 0..5000u32 {
        let mut noise = vec![0; (n % 1400) as usize];
        for (at, byte) in noise.iter_mut().enumerate() {
            *byte = (n.wrapping_mul(2_654_435_761).wrapping_add(at as u32 * 97) >> 7) as u8;
        }
        socket.send_to(&noise, ("127.0.0.1", daemon.sip)).expect("sent");
    }
    let heard = call_with_media(daemon.sip, "+14155550100", "--hz 700 --secs 1 --expect 700", 1200, &[]);
    assert_eq!(heard["ok"], true, "{heard}");
    assert_eq!(daemon.record()["sip_code"], 200);
    // Ten seconds is what a message may take.
    for mut stream in slow {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the daemon closes it");
    }
}

/// A name server with these records.
fn name_server(records: &[String]) -> (Process, u16) {
    let port = free_port();
    let child = Command::new("dnsmasq")
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon"])
        .args(["--listen-address=127.0.0.1", "--bind-interfaces", &format!("--port={port}")])
        .args(records)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("dnsmasq is installed by `cargo xtask test`");
    let process = Process(child);
    poll("the name server", || TcpStream::connect(("127.0.0.1", port)).ok());
    (process, port)
}

#[test]
fn a_carrier_is_found_by_naptr_and_srv_and_the_next_host_where_the_first_is_down() {
    let (dead, alive) = (free_port(), TcpListener::bind("127.0.0.1:0").expect("a port"));
    let port = alive.local_addr().expect("an address").port();
    let (_names, server) = name_server(&[
        "--naptr-record=carrier.test,10,10,s,SIP+D2T,,_sip._tcp.carrier.test".to_owned(),
        format!("--srv-host=_sip._tcp.carrier.test,down.carrier.test,{dead},10,10"),
        format!("--srv-host=_sip._tcp.carrier.test,up.carrier.test,{port},20,10"),
        "--address=/down.carrier.test/127.0.0.1".to_owned(),
        "--address=/up.carrier.test/127.0.0.1".to_owned(),
    ]);
    let daemon = Setup::new(TABLES).sip(&format!("name_servers = [\"127.0.0.1:{server}\"]")).start();
    // A call over TCP whose Contact is a name without a port, and whose connection breaks.
    let mut caller = TcpStream::connect(("127.0.0.1", daemon.sip)).expect("connects");
    caller.set_read_timeout(Some(PATIENCE)).expect("set");
    let request = |method: &str, to: &str| {
        format!(
            "{method} sip:+14155550101@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\n{to}\r\nCall-ID: dns\r\nCSeq: 1 {method}\r\nContact: <sip:a@carrier.test;transport=tcp>\r\n"
        )
    };
    let sdp =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";
    let kind = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
    let invite = request("INVITE", "To: <sip:+14155550101@127.0.0.1>") + &kind;
    caller.write_all(invite.as_bytes()).expect("sent");
    let ok = until(&mut caller, "SIP/2.0 200");
    let to = ok.lines().rev().find(|line| line.starts_with("To:")).expect("To").to_owned();
    let ack = request("ACK", &to) + "Content-Length: 0\r\n\r\n";
    caller.write_all(ack.as_bytes()).expect("sent");
    // Read as far as OPTIONS is answered: the ACK has arrived then, too.
    let options = request("OPTIONS", "To: <sip:gw@127.0.0.1>").replace("Call-ID: dns", "Call-ID: o");
    caller.write_all((options + "Content-Length: 0\r\n\r\n").as_bytes()).expect("sent");
    until(&mut caller, "1 OPTIONS");
    drop(caller);
    daemon.signal("TERM");
    alive.set_nonblocking(true).expect("set");
    let (mut carrier, _) = poll("the daemon's connection", || alive.accept().ok());
    carrier.set_nonblocking(false).expect("set");
    carrier.set_read_timeout(Some(PATIENCE)).expect("set");
    let bye = until(&mut carrier, "\r\n\r\n");
    assert!(bye.starts_with("BYE sip:a@carrier.test;transport=tcp SIP/2.0"), "{bye}");
}

#[test]
fn a_daemon_on_every_address_answers_from_the_one_that_was_called() {
    let port = free_port();
    let daemon = Setup::new(TABLES)
        .listener(&format!("udp:0.0.0.0:{port}"))
        .media("listen_address = \"0.0.0.0\"")
        .start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let own = socket.local_addr().expect("an address");
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n",
        own.port()
    );
    let invite = format!(
        "INVITE sip:+14155550101@127.0.0.2:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKany;rport\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:+14155550101@127.0.0.2>\r\nCall-ID: any\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{own}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len(),
    );
    socket.send_to(invite.as_bytes(), ("127.0.0.2", port)).expect("sent");
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
        assert_eq!(from.to_string(), format!("127.0.0.2:{port}"));
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if answer.starts_with("SIP/2.0 200") {
            assert!(answer.contains(&format!("Contact: <sip:127.0.0.2:{port}>")), "{answer}");
            assert!(answer.contains("c=IN IP4 127.0.0.2"), "{answer}");
            break;
        }
    }
    drop(daemon);
}

#[test]
fn a_stream_answers_pings_and_says_why_it_is_closed() {
    let daemon = Daemon::start(TABLES);
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", daemon.sip)).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream
    };
    let mut stream = connect();
    stream.write_all(b"\r\n\r\n").expect("sent");
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).expect("a pong");
    assert_eq!(&pong, b"\r\n");
    let head = |length: &str| {
        format!(
            "OPTIONS sip:gw@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKs\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:gw@127.0.0.1>\r\nCall-ID: s\r\nCSeq: 1 OPTIONS\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    stream.write_all(head("0").as_bytes()).expect("sent");
    assert!(until(&mut stream, "SIP/2.0 ").starts_with("SIP/2.0 200"));
    // A length that is none ruins the framing: the answer is the last thing said.
    for (length, code) in [("-5", "400"), ("70000", "513")] {
        let mut stream = connect();
        stream.write_all(head(length).as_bytes()).expect("sent");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("closed in order");
        assert!(rest.starts_with(&format!("SIP/2.0 {code}")), "{length}: {rest}");
    }
}

/// Reads a stream until `text` has come and the message with it has ended.
fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    while !heard.split_once(text).is_some_and(|(_, rest)| text == "\r\n\r\n" || rest.contains("\r\n\r\n")) {
        let length = stream.read(&mut buffer).expect("read");
        assert!(length > 0, "{text} never came: {heard}");
        heard += &String::from_utf8_lossy(&buffer[..length]);
    }
    heard
}
