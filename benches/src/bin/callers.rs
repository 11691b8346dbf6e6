//! Callers with audio for `cargo xtask bench load`: they call, talk fifty packets a second each, with or without
//! SRTP, and hang up. Plain and encrypted calls come from the same program, so that what differs is the daemon's
//! share.
//!
//! ```text
//! callers --target 127.0.0.1:15060 --user +14155550100 --calls 100 --seconds 12 [--srtp]
//! ```
//! Once all calls are up and have talked for a second it prints `ready` and waits for a line on its input; then it
//! talks for the seconds it was given, prints how many packets it sent and heard, and hangs up at another line.

use std::io::stdin;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use trunkline_media::{RtpHeader, Srtp, write_rtp};
use trunkline_sdp::{KeySeed, MasterKey, SrtpKeys, Suite};

/// A packet's time, and its samples.
const PACKET: Duration = Duration::from_millis(20);
const SAMPLES: usize = 160;
/// The suite that every peer has.
const SUITE: Suite = Suite::AesCm128Sha1_80;
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);

fn main() {
    let plan = Plan::read();
    let sip = UdpSocket::bind("127.0.0.1:0").expect("a port");
    sip.connect(&plan.target).expect("a target");
    sip.set_read_timeout(Some(ANSWER)).expect("set");
    let mut callers: Vec<Caller> = (0..plan.calls).map(|call| Caller::call(&plan, &sip, call)).collect();
    talk(&mut callers, Duration::from_secs(1));
    println!("ready");
    let _ = stdin().read_line(&mut String::new());
    let heard = callers.iter().map(|caller| caller.heard).sum::<u64>();
    let sent = talk(&mut callers, plan.span);
    let heard = callers.iter().map(|caller| caller.heard).sum::<u64>() - heard;
    println!("{{\"sent\": {sent}, \"heard\": {heard}}}");
    let _ = stdin().read_line(&mut String::new());
    for caller in &callers {
        caller.hang_up(&plan, &sip);
    }
}

/// What to do.
struct Plan {
    target: String,
    user: String,
    calls: u64,
    span: Duration,
    srtp: bool,
}

impl Plan {
    fn read() -> Self {
        let mut plan =
            Self { target: String::new(), user: String::new(), calls: 1, span: PACKET, srtp: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--target" => plan.target = value(),
                "--user" => plan.user = value(),
                "--calls" => plan.calls = value().parse().expect("a number"),
                "--seconds" => plan.span = Duration::from_secs(value().parse().expect("a number")),
                "--srtp" => plan.srtp = true,
                _ => panic!("{word} is none of --target, --user, --calls, --seconds, --srtp"),
            }
        }
        plan
    }
}

/// A call in progress.
struct Caller {
    rtp: UdpSocket,
    room: SocketAddr,
    srtp: Option<Srtp>,
    id: u64,
    /// The answer's To, with its tag.
    to: String,
    sequence: u16,
    heard: u64,
}

impl Caller {
    /// Calls and acknowledges the answer.
    fn call(plan: &Plan, sip: &UdpSocket, id: u64) -> Self {
        let rtp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        rtp.set_nonblocking(true).expect("set");
        let key = plan.srtp.then(|| KeySeed::new([7; 32]).of_leg(id, 0).master_key(SUITE));
        let crypto = key.map_or_else(String::new, |key| {
            let bytes = [key.key(), key.salt()].concat();
            format!("a=crypto:1 {} inline:{}\r\n", SUITE.name(), STANDARD.encode(bytes))
        });
        let profile = if plan.srtp { "RTP/SAVP" } else { "RTP/AVP" };
        let port = rtp.local_addr().expect("bound").port();
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} {profile} 0\r\na=rtpmap:0 PCMU/8000\r\n{crypto}"
        );
        let to = format!("<sip:{}@{}>", plan.user, plan.target);
        send(plan, sip, "INVITE", id, &to, &body);
        let answer = answer(sip, id);
        let line = |start: &str| answer.lines().find_map(|line| line.strip_prefix(start));
        let to = line("To: ").expect("an answer has a To").to_owned();
        send(plan, sip, "ACK", id, &to, "");
        let port = line("m=audio ").and_then(|rest| rest.split(' ').next()).expect("an answer has a port");
        let room = SocketAddr::new([127, 0, 0, 1].into(), port.parse().expect("a port"));
        let srtp = key.map(|local| {
            let theirs = line("a=crypto:").and_then(|line| line.split("inline:").nth(1)).expect("keys");
            let theirs = theirs.split('|').next().unwrap_or_default();
            let bytes = STANDARD.decode(theirs).expect("base64");
            let remote = MasterKey::new(SUITE, &bytes).expect("key and salt");
            Srtp::new(&SrtpKeys { tag: 1, local, remote })
        });
        Self { rtp, room, srtp, id, to, sequence: 0, heard: 0 }
    }

    fn hang_up(&self, plan: &Plan, sip: &UdpSocket) {
        send(plan, sip, "BYE", self.id, &self.to, "");
    }

    /// Sends a packet and takes what has come.
    fn turn(&mut self) {
        let header = RtpHeader {
            marker: false,
            payload_type: 0,
            sequence: self.sequence,
            timestamp: u32::from(self.sequence).wrapping_mul(SAMPLES as u32),
            ssrc: 7,
        };
        self.sequence = self.sequence.wrapping_add(1);
        // A tone, so that whoever decodes has something to do.
        let payload: [u8; SAMPLES] = std::array::from_fn(|at| if at % 16 < 8 { 0xA0 } else { 0x20 });
        let mut buffer = [0; 512];
        let length = write_rtp(&header, &payload, &mut buffer[..400]);
        let length = self.srtp.as_mut().map_or(Some(length), |srtp| srtp.protect(&mut buffer, length));
        let _ = self.rtp.send_to(&buffer[..length.expect("room for the tag")], self.room);
        while let Ok(length) = self.rtp.recv(&mut buffer) {
            let opened = self.srtp.as_mut().is_none_or(|srtp| srtp.open(&mut buffer[..length]).is_some());
            self.heard += u64::from(opened);
        }
    }
}

/// A request of a call; the INVITE is its first, the BYE its second.
fn send(plan: &Plan, sip: &UdpSocket, method: &str, id: u64, to: &str, body: &str) {
    let local = sip.local_addr().expect("bound");
    let (target, user, length) = (&plan.target, &plan.user, body.len());
    let sequence = if method == "BYE" { 2 } else { 1 };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let request = format!(
        "{method} sip:{user}@{target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{method}{id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+14155550199@{local}>;tag=caller{id}\r\nTo: {to}\r\n\
         Call-ID: caller-{id}\r\nCSeq: {sequence} {method}\r\nContact: <sip:caller@{local}>\r\n{kind}\
         Content-Length: {length}\r\n\r\n{body}"
    );
    sip.send(request.as_bytes()).expect("sent");
}

/// The 200 of a call's INVITE.
fn answer(sip: &UdpSocket, id: u64) -> String {
    let mut buffer = [0; 4096];
    loop {
        let length = sip.recv(&mut buffer).expect("an answer in time");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !text.contains(&format!("Call-ID: caller-{id}\r\n")) {
            continue;
        }
        match text.get(8..11) {
            Some("200") => return text,
            Some(code) if code.starts_with('1') => {}
            _ => panic!("call {id} was refused: {text}"),
        }
    }
}

/// Every call sends its packets at their times, one call after the other, and takes what comes; how many were
/// sent.
fn talk(callers: &mut [Caller], span: Duration) -> u64 {
    let begin = Instant::now();
    let step = PACKET / callers.len() as u32;
    let packets = (span.as_nanos() / PACKET.as_nanos()) as u32;
    for packet in 0..packets {
        for (place, caller) in callers.iter_mut().enumerate() {
            let due = begin + PACKET * packet + step * place as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            caller.turn();
        }
    }
    u64::from(packets) * callers.len() as u64
}
