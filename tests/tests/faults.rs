//! Agents that refuse, die, flood, dribble or dial in; a port range that is empty.

use base64::Engine as _;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use trunkline_tests::daemon::{PATIENCE, free_port, poll};
use trunkline_tests::peers::{Sipp, call_with_media};
use trunkline_tests::{Daemon, Setup, http};
use tungstenite::{Message, WebSocket};

fn tables(connect: &str) -> String {
    format!(
        "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\n[[agent]]\nname = \"bot\"\nconnect = {connect}\nprotocol = \"twilio\"\nsecret = \"s\"\nconnect_timeout_seconds = 2\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"bot\"\n"
    )
}

/// An agent of our own making: takes one call and lets `act` have its socket.
fn agent(act: impl FnOnce(&mut WebSocket<TcpStream>, &Value) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a call");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        assert_eq!(next(&mut socket)["event"], "connected");
        let start = next(&mut socket);
        assert_eq!(start["event"], "start");
        act(&mut socket, &start);
    });
    format!("\"ws://{address}/\"")
}

fn next(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => return serde_json::from_str(&text).expect("JSON"),
            // Idle sockets are pinged; the library answers.
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            other => panic!("no text: {other:?}"),
        }
    }
}

/// Sends `bytes` of µ-law silence as one message.
fn say(socket: &mut WebSocket<TcpStream>, bytes: usize) {
    let payload = base64::engine::general_purpose::STANDARD.encode(vec![0xff; bytes]);
    let message = json!({"event": "media", "media": {"payload": payload}}).to_string();
    socket.send(Message::text(message)).expect("sent");
}

fn mark(socket: &mut WebSocket<TcpStream>, name: &str) {
    let message = json!({"event": "mark", "mark": {"name": name}}).to_string();
    socket.send(Message::text(message)).expect("sent");
}

/// Reads until something other than audio comes.
fn until_control(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        let message = next(socket);
        if message["event"] != "media" {
            return message;
        }
    }
}

#[test]
fn an_agent_that_refuses_is_480_and_the_next_address_is_tried() {
    let dead = free_port();
    let mut daemon = Daemon::start(&tables(&format!("\"ws://127.0.0.1:{dead}/\"")));
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1));
    let record = daemon.record();
    assert_eq!(record["sip_code"], 480);
    assert!(record["reason"].as_str().is_some_and(|reason| reason.contains("cannot be reached")), "{record}");
    let good = agent(|socket, _| while socket.read().is_ok() {});
    let mut daemon = Daemon::start(&tables(&format!("[\"ws://127.0.0.1:{dead}/\", {good}]")));
    Sipp::new("uac_hold", daemon.sip, "+14155550100").run();
    assert_eq!(daemon.record()["sip_code"], 200);
    // One that takes the connection and says nothing has two seconds.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let good = agent(|socket, _| while socket.read().is_ok() {});
    let mut daemon = Daemon::start(&tables(&format!("[\"ws://{address}/\", {good}]")));
    Sipp::new("uac_hold", daemon.sip, "+14155550100").run();
    assert_eq!(daemon.record()["sip_code"], 200);
    let mut daemon = Daemon::start(&tables(&format!("\"ws://{address}/\"")));
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1));
    assert_eq!(daemon.record()["sip_code"], 480);
}

#[test]
fn an_agent_that_dies_ends_its_call() {
    let dying = agent(|socket, _| {
        next(socket);
        socket.get_mut().shutdown(std::net::Shutdown::Both).expect("gone");
    });
    let mut daemon = Daemon::start(&tables(&dying));
    let media = free_port().to_string();
    let _ = Sipp::new("uac_rtptool", daemon.sip, "+14155550100")
        .with(&["-key", "mport", &media, "-key", "tool", "--hz 300 --secs 2", "-d", "5000"])
        .code();
    let record = daemon.record();
    assert_eq!(
        (record["sip_code"].as_u64(), record["ended_by"].as_str()),
        (Some(200), Some("agent")),
        "{record}"
    );
}

#[test]
fn floods_dribbles_clears_and_marks_are_taken_in_their_order() {
    let (sender, told) = std::sync::mpsc::channel();
    let busy = agent(move |socket, _| {
        // Three megabytes at once: one is kept. Then everything is thrown away.
        for _ in 0..48 {
            say(socket, 65_536);
        }
        mark(socket, "flood");
        socket.send(Message::text(json!({"event": "clear"}).to_string())).expect("sent");
        sender.send(until_control(socket)).expect("heard");
        // A word in single bytes, then half a second in one message.
        for _ in 0..30 {
            say(socket, 1);
        }
        say(socket, 4000);
        mark(socket, "word");
        mark(socket, "also \"word\"");
        sender.send(until_control(socket)).expect("heard");
        sender.send(until_control(socket)).expect("heard");
        for text in ["nonsense", "{\"event\":\"unknown\"}", "[]"] {
            socket.send(Message::text(text)).expect("sent");
        }
        socket.send(Message::binary(vec![0; 100])).expect("sent");
        socket.send(Message::text(json!({"event": "hangup"}).to_string())).expect("sent");
        let last = until_control(socket);
        sender.send(last).expect("heard");
    });
    let mut daemon = Daemon::start(&tables(&busy));
    let media = free_port().to_string();
    let _ = Sipp::new("uac_rtptool", daemon.sip, "+14155550100")
        .with(&["-key", "mport", &media, "-key", "tool", "--hz 300 --secs 4", "-d", "8000"])
        .code();
    let record = daemon.record();
    assert_eq!(
        (record["ended_by"].as_str(), record["reason"].as_str()),
        (Some("agent"), Some("the agent left"))
    );
    let heard: Vec<Value> = told.iter().collect();
    let names: Vec<_> = heard
        .iter()
        .map(|m| m["mark"]["name"].as_str().unwrap_or(m["event"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(names, ["flood", "word", "also \"word\"", "stop"]);
    assert!(record["media"]["agent_bytes_dropped"].as_u64() > Some(1 << 20), "{record}");
}

#[test]
fn a_flooding_agent_leaves_other_calls_alone() {
    let (sender, flooding) = std::sync::mpsc::channel();
    let flood = agent(move |socket, _| {
        let payload = "////".repeat(65_536 / 3);
        let message = json!({"event": "media", "media": {"payload": payload}}).to_string();
        sender.send(()).expect("told");
        while socket.send(Message::text(message.clone())).is_ok() {}
    });
    let tone = "[[agent]]\nname = \"tone\"\nconnect = \"builtin:tone\"\n[[number]]\nnumber = \"+14155550101\"\ninbound = \"tone\"\n";
    let mut daemon = Daemon::start(&(tables(&flood) + tone));
    let (port, media) = (daemon.sip, free_port().to_string());
    let flooded = std::thread::spawn(move || {
        let arguments = ["-key", "mport", &media, "-key", "tool", "--hz 300 --secs 5", "-d", "6000"];
        Sipp::new("uac_rtptool", port, "+14155550100").with(&arguments).code()
    });
    flooding.recv_timeout(PATIENCE).expect("the flood begins");
    let tool = "--silent --secs 2 --expect 440 --min-pkts 75";
    let heard = call_with_media(daemon.sip, "+14155550101", tool, 2200, &[]);
    assert_eq!((&heard["ok"], &heard["lost"]), (&json!(true), &json!(0)), "{heard}");
    assert_eq!(daemon.record()["agent"], "tone");
    assert_eq!(flooded.join().ok(), Some(Some(0)), "the flooded call ends in order, too");
    let record = daemon.record();
    assert!(record["media"]["agent_bytes_dropped"].as_u64() > Some(1 << 20), "it flooded: {record}");
}

/// An agent that opens its socket itself; nothing where it is refused.
fn dial_in(daemon: &Daemon, secret: &str) -> Option<WebSocket<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", daemon.api)).expect("the API listens");
    let key = tungstenite::handshake::client::generate_key();
    let request = tungstenite::http::Request::builder()
        .uri(format!("ws://127.0.0.1:{}/v1/agents/bot/connect", daemon.api))
        .header("Host", "x")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", key)
        .header("Authorization", format!("Bearer {secret}"))
        .body(())
        .expect("a request");
    tungstenite::client(request, stream).ok().map(|(socket, _)| socket)
}

#[test]
fn an_agent_dials_in_and_takes_calls_one_a_socket() {
    let mut daemon = Daemon::start(&tables("\"dial-in\""));
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1), "nobody is there");
    assert!(daemon.record()["reason"].as_str().is_some_and(|reason| reason.contains("idle")));
    assert!(dial_in(&daemon, "wrong").is_none());
    let mut socket = dial_in(&daemon, "s").expect("taken");
    let (sender, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        assert_eq!(next(&mut socket)["event"], "connected");
        sender.send(next(&mut socket)["start"]["customParameters"]["to_number"].clone()).expect("told");
        while let Ok(message) = socket.read() {
            // The caller's audio goes straight back.
            if let Message::Text(text) = &message
                && text.contains("\"event\":\"media\"")
            {
                socket.send(message).expect("sent");
            }
        }
    });
    // The socket is capacity once the daemon has taken it over.
    let heard = poll("a call through the dial-in agent", || {
        let tool = "--hz 650 --secs 2 --expect 650:3 --min-pkts 30";
        let code = Sipp::new("uac_hold", daemon.sip, "+14155550199").code();
        assert_eq!(code, Some(1), "an unknown number");
        Some(call_with_media(daemon.sip, "+14155550100", tool, 2300, &[]))
    });
    assert_eq!(heard["ok"], true, "{heard}");
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).expect("told"), "+14155550100");
    assert_eq!(daemon.record()["sip_code"], 200);
}

#[test]
fn a_caller_whose_media_stops_is_hung_up_on() {
    let tables = "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\n[[agent]]\nname = \"tone\"\nconnect = \"builtin:tone\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"tone\"\n";
    let mut daemon = Setup::new(tables).media("no_media_timeout_seconds = 1").start();
    let media = free_port().to_string();
    // The tool speaks for half a second; SIPp does not expect the BYE and fails.
    let arguments = ["-key", "mport", &media, "-key", "tool", "--hz 300 --secs 0.5", "-d", "20000"];
    assert_ne!(Sipp::new("uac_rtptool", daemon.sip, "+14155550100").with(&arguments).code(), Some(0));
    let record = daemon.record();
    assert_eq!(
        (record["ended_by"].as_str(), record["reason"].as_str()),
        (Some("gateway"), Some("no media from the caller")),
        "{record}"
    );
}

#[test]
fn a_new_secret_lets_go_of_the_idle_sockets_that_had_the_old_one() {
    let mut daemon = Daemon::start(&tables("\"dial-in\""));
    let mut socket = dial_in(&daemon, "s").expect("taken");
    daemon.write_tables(&tables("\"dial-in\"").replace("secret = \"s\"", "secret = \"new\""));
    daemon.signal("HUP");
    daemon.wait_for("the tables were read again");
    socket.get_ref().set_read_timeout(Some(PATIENCE)).expect("set");
    let ended = loop {
        match socket.read() {
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) => break error.kind(),
            Err(_) => break ErrorKind::UnexpectedEof,
        }
    };
    assert!(!matches!(ended, ErrorKind::WouldBlock | ErrorKind::TimedOut), "the socket lives on");
    assert!(dial_in(&daemon, "s").is_none() && dial_in(&daemon, "new").is_some());
}

#[test]
fn an_agent_presses_keys_and_leaves_when_they_were_heard() {
    let pressing = agent(|socket, _| {
        next(socket);
        let keys = json!({"event": "dtmf", "dtmf": {"digit": "w42"}}).to_string();
        socket.send(Message::text(keys)).expect("sent");
        socket.send(Message::text(json!({"event": "hangup"}).to_string())).expect("sent");
        while socket.read().is_ok() {}
    });
    let mut daemon = Daemon::start(&tables(&pressing));
    let media = free_port().to_string();
    let result = daemon.folder.join("keys.json");
    let tool = format!("--hz 300 --secs 4 --json {}", result.display());
    // SIPp does not expect the BYE.
    let arguments = ["-key", "mport", &media, "-key", "tool", &tool, "-d", "20000"];
    let _ = Sipp::new("uac_rtptool", daemon.sip, "+14155550100").with(&arguments).code();
    assert_eq!(daemon.record()["reason"], "the agent left");
    let heard: Value =
        poll("what the caller heard", || serde_json::from_str(&std::fs::read_to_string(&result).ok()?).ok());
    assert_eq!(heard["digits"], "42", "{heard}");
}

#[test]
fn a_rest_call_ends_the_call_for_who_has_the_secret() {
    let (sender, sids) = std::sync::mpsc::channel();
    let quiet = agent(move |socket, start| {
        let sid = |name: &str| start["start"][name].as_str().unwrap_or("").to_owned();
        sender.send((sid("accountSid"), sid("callSid"))).expect("told");
        while socket.read().is_ok() {}
    });
    let mut daemon = Daemon::start(&tables(&quiet));
    let port = daemon.sip;
    let media = free_port().to_string();
    let caller = std::thread::spawn(move || {
        let arguments = ["-key", "mport", &media, "-key", "tool", "--hz 300 --secs 2", "-d", "8000"];
        Sipp::new("uac_rtptool", port, "+14155550100").with(&arguments).code()
    });
    let (account, call) = sids.recv_timeout(Duration::from_secs(20)).expect("a call");
    let path = format!("/2010-04-01/Accounts/{account}/Calls/{call}.json");
    let complete = |password: &str| {
        // "AC:s" in base64 is QUM6cw==, "AC:x" is QUM6eA==.
        let basic = if password == "s" { "QUM6cw==" } else { "QUM6eA==" };
        let fields =
            format!("Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        http::request(daemon.api, "POST", &path, &fields, "Status=completed").0
    };
    assert_eq!(complete("x"), 401);
    assert_eq!(complete("s"), 200);
    assert_eq!(daemon.record()["reason"], "hung up by request");
    let gone = http::request(
        daemon.api,
        "POST",
        &path,
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Status=completed",
    );
    assert_eq!(gone.0, 404);
    assert!(gone.1.contains("20404"), "{}", gone.1);
    let _ = caller.join();
}

#[test]
fn a_call_without_a_free_port_is_503() {
    let tables = "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n";
    let port = free_port();
    let taken = std::net::UdpSocket::bind(("127.0.0.1", port)).expect("a port");
    let mut daemon = Setup::new(tables).media(&format!("ports = [{port}, {}]", port + 1)).start();
    assert_eq!(Sipp::new("uac_hold", daemon.sip, "+14155550100").code(), Some(1));
    let record = daemon.record();
    assert_eq!(
        (record["sip_code"].as_u64(), record["reason"].as_str()),
        (Some(503), Some("no media port is free"))
    );
    drop(taken);
    Sipp::new("uac_hold", daemon.sip, "+14155550100").run();
}
