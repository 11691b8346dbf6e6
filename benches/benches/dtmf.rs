//! How long a key press takes from its first packet to the agent's socket: a caller's RTP port, a media thread,
//! a room, a WebSocket, all real, while the same thread serves fifty other calls with audio both ways.
//!
//! The clock starts before the packet is sent and stops when the agent's program has read the message.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use trunkline_agent::twilio::{Twilio, TwilioAgent};
use trunkline_agent::{CallNames, Dialer, Greeting, Manner, Sids, Tone};
use trunkline_media::{Pool, PoolConfig, RtpHeader, write_rtp};
use trunkline_sdp::media::{DtmfMethod, MediaSpec};
use trunkline_sdp::{Codec, Member};

/// Other calls on the thread.
const OTHERS: u64 = 50;
/// Parts of a packet time in which they have their packets.
const STEPS: u32 = 10;
/// Key presses measured.
const PRESSES: u32 = 2000;
/// Presses before them, which warm everything.
const WARM: u32 = 100;
/// Between two presses.
const PAUSE: Duration = Duration::from_millis(10);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn main() {
    // Tests of the workspace run every target; this one measures only where it is asked to.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let config = PoolConfig {
        threads: 1,
        addresses: vec![LOOPBACK],
        ports: 42_000..=42_999,
        no_media: Duration::from_secs(600),
    };
    let pool = Pool::start(&config, |_| {}).expect("a pool");
    let stop = Arc::new(AtomicBool::new(false));
    let others = background(&pool, &stop);
    let caller = UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
    let room = open(&pool, 0, &caller);
    let heard = join(&pool);
    pool.begin(0);
    pool.flush();
    let mut times = presses(&caller, room, &heard);
    stop.store(true, Ordering::Relaxed);
    let _ = others.join();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "key press to agent, {} presses beside {OTHERS} calls: p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, max {:.0} us",
        times.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// Opens a room whose caller is that socket; gives its port.
fn open(pool: &Pool, call: u64, caller: &UdpSocket) -> SocketAddr {
    let remote = caller.local_addr().expect("an address");
    let spec = MediaSpec {
        codec: Codec::Pcmu,
        payload_type: 0,
        events: Some(101),
        events_rate: 8000,
        ptime: 20,
        remote: Some(remote),
        written: Some(remote),
        signalling: Some(LOOPBACK),
        remote_rtcp: None,
        rtcp_mux: false,
        sends: true,
        receives: true,
        srtp: None,
        dtmf: DtmfMethod::Auto,
    };
    pool.open(call, Member::FIRST, LOOPBACK, Some(spec), call + 1).expect("a port")
}

/// The other calls: each hears the tone agent and talks.
fn background(pool: &Pool, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let rooms: Vec<(UdpSocket, SocketAddr)> = (1..=OTHERS)
        .map(|call| {
            let caller = UdpSocket::bind((LOOPBACK, 0)).expect("a socket");
            caller.set_nonblocking(true).expect("a mode");
            let room = open(pool, call, &caller);
            pool.join(call, Box::new(Tone::default()));
            pool.begin(call);
            (caller, room)
        })
        .collect();
    pool.flush();
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut packet = [0; 400];
        let begin = Instant::now();
        for n in 0u32.. {
            // Calls begin when they begin: a few of them have their packet in each step of the 20 ms.
            for (step, group) in (0u32..).zip(rooms.chunks(rooms.len() / STEPS as usize)) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                for (caller, room) in group {
                    let length = audio(n as u16, n * 160, &mut packet);
                    let _ = caller.send_to(&packet[..length], room);
                    while caller.recv(&mut packet).is_ok() {}
                }
                let next =
                    begin + Duration::from_millis(20) * n + Duration::from_millis(20) / STEPS * (step + 1);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
    })
}

fn audio(sequence: u16, timestamp: u32, packet: &mut [u8]) -> usize {
    let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 7 };
    write_rtp(&header, &[0x55; 160], packet)
}

/// Has the measured call's agent join its room; gives when each key press was read by it.
fn join(pool: &Pool) -> Receiver<Instant> {
    let listener = TcpListener::bind((LOOPBACK, 0)).expect("a port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let (told, heard) = channel();
    std::thread::spawn(move || agent(&listener, &told));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let dialer = Dialer::new(rustls::RootCertStore::empty()).expect("a dialer");
    let greeting = Greeting::Twilio { secret: None };
    let link = runtime.block_on(dialer.dial(&url, greeting, Duration::from_secs(5))).expect("the agent");
    let names = CallNames { call: "call_0".to_owned(), sip_call_id: "bench".to_owned() };
    let wire = Twilio::new(Sids::of("bench", "call_0"), Vec::new());
    pool.join(0, Box::new(TwilioAgent::new(link, names, wire, Manner::default())));
    heard
}

fn agent(listener: &TcpListener, told: &Sender<Instant>) {
    let Ok((stream, _)) = listener.accept() else { return };
    let _ = TcpStream::set_nodelay(&stream, true);
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while let Ok(message) = socket.read() {
        let now = Instant::now();
        if message.to_text().is_ok_and(|text| text.contains("\"dtmf\"")) && told.send(now).is_err() {
            return;
        }
    }
}

/// Presses keys among audio and measures.
fn presses(caller: &UdpSocket, room: SocketAddr, heard: &Receiver<Instant>) -> Vec<Duration> {
    let mut packet = [0; 400];
    let mut sequence = 0u16;
    let mut send = |header: RtpHeader, payload: &[u8]| {
        let header = RtpHeader { sequence, ..header };
        sequence = sequence.wrapping_add(1);
        let length = write_rtp(&header, payload, &mut packet);
        let _ = caller.send_to(&packet[..length], room);
    };
    let mut times = Vec::new();
    for n in 0..WARM + PRESSES {
        let timestamp = n * 1600;
        let header = RtpHeader { marker: false, payload_type: 0, sequence: 0, timestamp, ssrc: 9 };
        send(header, &[0x55; 160]);
        std::thread::sleep(PAUSE);
        let event = RtpHeader { payload_type: 101, timestamp: timestamp + 160, marker: true, ..header };
        let code = (n % 12) as u8;
        let begin = Instant::now();
        send(event, &[code, 10, 0, 160]);
        let at = heard.recv_timeout(Duration::from_secs(5)).expect("every press is heard");
        if n >= WARM {
            times.push(at.saturating_duration_since(begin));
        }
        for _ in 0..3 {
            send(RtpHeader { marker: false, ..event }, &[code, 0x80 | 10, 3, 32]);
        }
    }
    times
}
