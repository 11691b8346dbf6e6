//! Many calls: fifty at once that each hear their own tone, and sixty thousand short ones that leave
//! memory, ports and descriptors where they were.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use trunkline::command::analysis::{first_sound, peak_frequency};
use trunkline_tests::daemon::{free_port, poll};
use trunkline_tests::endpoints::{self, Endpoint};
use trunkline_tests::peers::Sipp;
use trunkline_tests::{Daemon, Setup};

const TABLES: &str = "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n";

#[test]
fn fifty_callers_at_once_each_hear_their_own_tone() {
    let daemon = Daemon::start(TABLES);
    let mut endpoints: Vec<Endpoint> =
        (0..50).map(|n| Endpoint::new(free_port(), 300.0 + 40.0 * f64::from(n))).collect();
    // SIPp signals, half of the calls over UDP and half over TCP.
    let told = daemon.folder.join("told");
    let callers: Vec<_> = [("u1", &endpoints[..25]), ("t1", &endpoints[25..])]
        .map(|(transport, ends)| {
            let calls = daemon.folder.join(format!("{transport}.csv"));
            let lines: String = ends.iter().map(|end| format!("+14155550100;{}\n", end.port)).collect();
            std::fs::write(&calls, format!("SEQUENTIAL\n{lines}")).expect("written");
            let (calls, told) = (calls.to_string_lossy().into_owned(), told.to_string_lossy().into_owned());
            let port = daemon.sip;
            std::thread::spawn(move || {
                Sipp::new("uac_many", port, "+14155550100")
                    .with(&["-inf", &calls, "-key", "told", &told, "-t", transport])
                    .with(&["-m", "25", "-l", "25", "-r", "25", "-d", "4000"])
                    .run();
            })
        })
        .into();
    endpoints::run(&mut endpoints, &told, Duration::from_secs(6));
    for caller in callers {
        assert!(caller.join().is_ok(), "every call went through");
    }
    for end in &endpoints {
        let start = first_sound(&end.heard).unwrap_or_else(|| panic!("{} heard nothing", end.hertz));
        let heard = peak_frequency(&end.heard[start..]).expect("a tone");
        assert!((heard - end.hertz).abs() < 2.0, "{} came back as {heard}", end.hertz);
        assert!(end.heard.len() - start > 8000, "{} Hz: {} samples", end.hertz, end.heard.len() - start);
    }
}

/// A caller over a bare socket: as many calls as asked. Of twenty, one is given up at once, one while it
/// rings, one has its answer never acknowledged and is hung up all the same; the others end by BYE.
struct Caller {
    socket: UdpSocket,
    port: u16,
    /// Calls in progress: when they last moved, and the To tag of those that are being hung up.
    calls: BTreeMap<u64, (Instant, Option<String>)>,
    answered: u64,
    /// Refusals other than 487, by code.
    refused: BTreeMap<u16, u64>,
}

impl Caller {
    fn new(port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        Self { socket, port, calls: BTreeMap::new(), answered: 0, refused: BTreeMap::new() }
    }

    fn send(&self, id: u64, method: &str, cseq: u32, tag: &str, body: &str) {
        let own = self.socket.local_addr().expect("an address");
        let branch = if method == "CANCEL" { "INVITE" } else { method };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let message = format!(
            "{method} sip:+14155550100@127.0.0.1:{} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{id}{branch}\r\nMax-Forwards: 70\r\nFrom: <sip:+14155550199@127.0.0.1>;tag=f{id}\r\nTo: <sip:+14155550100@127.0.0.1>{tag}\r\nCall-ID: many-{id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:c@{own}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.port,
            body.len(),
        );
        self.socket.send_to(message.as_bytes(), ("127.0.0.1", self.port)).expect("sent");
    }

    fn run(&mut self, first: u64, count: u64) {
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";
        let (mut next, last) = (first, first + count);
        let until = Instant::now() + Duration::from_secs(300);
        while next < last || !self.calls.is_empty() {
            assert!(Instant::now() < until, "{} calls never ended", self.calls.len());
            while next < last && self.calls.len() < 100 {
                self.send(next, "INVITE", 1, "", sdp);
                self.calls.insert(next, (Instant::now(), None));
                if next % 20 == 3 {
                    self.send(next, "CANCEL", 1, "", "");
                }
                next += 1;
            }
            self.receive(sdp);
        }
    }

    fn receive(&mut self, sdp: &str) {
        let mut buffer = [0; 4096];
        let Ok((length, _)) = self.socket.recv_from(&mut buffer) else {
            // Something was lost: send again what nothing answered.
            for (id, (at, leaving)) in &self.calls {
                match leaving {
                    _ if at.elapsed() < Duration::from_millis(500) => {}
                    Some(tag) => self.send(*id, "BYE", 2, tag, ""),
                    None => self.send(*id, "INVITE", 1, "", sdp),
                }
            }
            return;
        };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
        let Some(id) = field("Call-ID: many-").parse::<u64>().ok() else { return };
        let tag = field("To: ").split_once(";tag=").map_or(String::new(), |(_, tag)| format!(";tag={tag}"));
        let code = text.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok()).unwrap_or(0);
        let method = field("CSeq: ").split(' ').nth(1).unwrap_or("").to_owned();
        match (method.as_str(), code) {
            ("INVITE", 180) if id % 20 == 13 => self.send(id, "CANCEL", 1, "", ""),
            ("INVITE", 200) => {
                let first = self.calls.get(&id).is_none_or(|(_, leaving)| leaving.is_none());
                self.answered += u64::from(first);
                if id % 20 != 7 {
                    self.send(id, "ACK", 1, &tag, "");
                }
                self.send(id, "BYE", 2, &tag, "");
                // Also where a copy of its INVITE that came late made a call anew.
                self.calls.insert(id, (Instant::now(), Some(tag)));
            }
            ("INVITE", 300..) => {
                self.send(id, "ACK", 1, &tag, "");
                if code != 487 {
                    *self.refused.entry(code).or_default() += 1;
                }
                self.calls.remove(&id);
            }
            ("BYE", 200..) => {
                self.calls.remove(&id);
            }
            _ => {}
        }
    }
}

/// What an allocator keeps of its own between one batch and the next, mostly less than 2 MiB; more where a
/// busy machine had more calls at once than before. Calls that each left 200 bytes would show in every batch.
const SLACK: u64 = 4 << 20;
/// Batches after which memory must have stopped growing.
const BATCHES: u64 = 6;
/// Calls of a batch.
const BATCH: u64 = 20_000;

#[test]
fn short_calls_by_the_ten_thousand_leave_nothing_behind() {
    let more =
        "max_calls = 2000\nnew_calls_per_second = 100000\nt1_milliseconds = 50\nt4_milliseconds = 100\n";
    let daemon = Setup::new(TABLES).sip(more).media("ports = [33000, 60000]").start();
    let mut caller = Caller::new(daemon.sip);
    let metrics = || trunkline_tests::http::get(daemon.api, "/metrics").1;
    // No call, and none of the transactions that linger for 64×T1.
    let settled = || {
        let page = metrics();
        let none = ["trunkline_active_calls 0\n", "trunkline_sip_transactions 0\n"];
        none.iter().all(|line| page.contains(line)).then_some(())
    };
    let tasks = || {
        let page = metrics();
        let line = page.lines().find_map(|line| line.strip_prefix("trunkline_tasks "));
        line.and_then(|count| count.parse::<u32>().ok()).expect("the count of tasks")
    };
    let mut memory: Vec<u64> = Vec::new();
    let mut before = None;
    // The first two warm: pools and tables have grown to what this load needs, the transactions that
    // linger included. From the third on one that leaves memory as it was is enough.
    let grown = |memory: &[u64]| match memory {
        [before @ .., last] if before.len() >= 2 => {
            before.iter().max().is_none_or(|most| *last >= most + SLACK)
        }
        _ => true,
    };
    for batch in 0..BATCHES {
        caller.run(batch * BATCH, BATCH);
        poll("calm", settled);
        memory.push(daemon.memory());
        if batch == 1 {
            before = Some((tasks(), daemon.descriptors(), daemon.threads()));
        }
        if !grown(&memory) {
            break;
        }
    }
    // Nine in ten are not given up: with a port or a place that was kept, later ones would be refused.
    let kept = memory.len() as u64 * BATCH * 9 / 10;
    assert!(caller.refused.is_empty() && caller.answered >= kept, "{} {:?}", caller.answered, caller.refused);
    let (tasks_before, descriptors, threads) = before.expect("two batches");
    poll("the ports back", || (daemon.descriptors() <= descriptors + 4).then_some(()));
    assert_eq!(daemon.threads(), threads);
    poll("the tasks gone", || (tasks() <= tasks_before).then_some(()));
    assert!(!grown(&memory), "memory after each batch: {memory:?}");
}
