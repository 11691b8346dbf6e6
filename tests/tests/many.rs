//! Many calls: fifty at once that each hear their own tone, and twenty thousand short ones that leave
//! memory, ports and descriptors where they were.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use trunkline::command::analysis::{first_sound, peak_frequency, sine};
use trunkline::command::{Phone, PhonePlan};
use trunkline_tests::Daemon;
use trunkline_tests::daemon::poll;

const TABLES: &str = "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\n[[agent]]\nname = \"echo\"\nconnect = \"builtin:echo\"\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"echo\"\n";

#[test]
fn fifty_callers_at_once_each_hear_their_own_tone() {
    let daemon = Daemon::start(TABLES);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut calls = Vec::new();
        for n in 0..50u32 {
            let hertz = 300.0 + 40.0 * f64::from(n);
            let transport = if n % 5 == 0 { ";transport=tcp" } else { "" };
            let plan = PhonePlan {
                target: format!("sip:+14155550100@127.0.0.1:{}{transport}", daemon.sip),
                from: "+14155550199".to_owned(),
                audio: sine(hertz, 3.0),
                dtmf: String::new(),
                talk: Duration::from_secs(3),
                ladder: false,
            };
            let call = async move { Phone::place(plan).await.expect("placed").talk().await };
            calls.push((hertz, tokio::spawn(call)));
        }
        for (hertz, call) in calls {
            let report = call.await.expect("ends");
            let start = first_sound(&report.heard).unwrap_or_else(|| panic!("{hertz}: {}", report.ended));
            let heard = peak_frequency(&report.heard[start..]).expect("a tone");
            assert!((heard - hertz).abs() < 2.0, "{hertz} came back as {heard}");
        }
    });
}

/// A caller over a bare socket: as many calls as asked, some of them given up or never acknowledged.
struct Caller {
    socket: UdpSocket,
    port: u16,
    /// Calls in progress: their state and when they last moved.
    calls: BTreeMap<u64, Instant>,
    ended: u64,
}

impl Caller {
    fn new(port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        Self { socket, port, calls: BTreeMap::new(), ended: 0 }
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
                self.calls.insert(next, Instant::now());
                // One in ten gives up at once.
                if next % 10 == 3 {
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
            for (id, _) in self.calls.iter().filter(|(_, at)| at.elapsed() > Duration::from_millis(500)) {
                self.send(*id, "INVITE", 1, "", sdp);
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
            ("INVITE", 200) => {
                self.send(id, "ACK", 1, &tag, "");
                self.send(id, "BYE", 2, &tag, "");
            }
            ("INVITE", 300..) => {
                self.send(id, "ACK", 1, &tag, "");
                self.over(id);
            }
            ("BYE", 200..) => self.over(id),
            _ => {}
        }
    }

    fn over(&mut self, id: u64) {
        if self.calls.remove(&id).is_some() {
            self.ended += 1;
        }
    }
}

#[test]
fn twenty_thousand_short_calls_leave_nothing_behind() {
    let more =
        "max_calls = 2000\nnew_calls_per_second = 100000\nt1_milliseconds = 100\nt4_milliseconds = 100\n";
    let daemon = Daemon::start_with(TABLES, more, "ports = [33000, 60000]\n");
    let mut caller = Caller::new(daemon.sip);
    // Warm: pools and tables have grown to what this load needs.
    caller.run(0, 4000);
    let settled = || {
        trunkline_tests::http::get(daemon.api, "/metrics")
            .1
            .contains("trunkline_active_calls 0")
            .then_some(())
    };
    poll("calm", settled);
    let (memory, descriptors) = (daemon.memory(), daemon.descriptors());
    caller.run(4000, 20_000);
    assert_eq!(caller.ended, 24_000);
    poll("calm", settled);
    poll("the ports back", || (daemon.descriptors() <= descriptors + 4).then_some(()));
    let now = daemon.memory();
    assert!(now < memory + memory / 2 + (8 << 20), "{memory} bytes before, {now} after");
    let (_, page) = trunkline_tests::http::get(daemon.api, "/metrics");
    assert!(
        page.contains("trunkline_calls_total{trunk=\"t\",direction=\"inbound\",outcome=\"answered\"}"),
        "{page}"
    );
}
