//! What rooms cost on real sockets: encrypted, recorded, with two legs and with three, beside the plain call.
//!
//! ```text
//! cargo bench -p trunkline-benches --bench rooms -- [--rounds 3] [--seconds 5] [--only WORDS]
//! ```
//! `--only` leaves out the kinds that have not these words, but for the plain call.
//! One media thread serves [`LEGS`] legs that each send and get fifty packets a second. What is counted is
//! the time that the kernel gave the media and recorder threads, system calls included. The kinds take
//! turns; medians and their ratio to the plain call are printed.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_agent::Echo;
use trunkline_media::{
    Frame, Participant, Pool, PoolConfig, RecordFile, RecordFormat, RecordTask, RoomIo, RtpHeader, Srtp,
    write_rtp,
};
use trunkline_sdp::media::{DtmfMethod, MediaSpec};
use trunkline_sdp::{Codec, Hearing, KeySeed, Member, Members, SrtpKeys, Suite};

/// Legs of every kind of room, so that the packets are as many: a multiple of two and of three.
const LEGS: usize = 120;
/// Ports of a measurement.
const PORTS: u16 = 1000;
/// A packet's time.
const PACKET: Duration = Duration::from_millis(20);
const SAMPLES: usize = 160;

/// What is measured.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Srtp(Suite),
    Recorded(RecordFormat),
    /// With an agent whose words go out by the clock, as those of agents on sockets do.
    Paced,
    PacedRecorded,
    Bridged,
    Conference,
}

const KINDS: [(Kind, &str, &str); 10] = [
    (Kind::Plain, "a leg and the echo agent", ""),
    (Kind::Srtp(Suite::AesCm128Sha1_80), "with SRTP, AES_CM_128_HMAC_SHA1_80", "≤ 1.15"),
    (Kind::Srtp(Suite::AeadAes128Gcm), "with SRTP, AEAD_AES_128_GCM", "≤ 1.15"),
    (Kind::Recorded(RecordFormat::Wav), "recorded in two channels, WAV", "≤ 1.10"),
    (Kind::Recorded(RecordFormat::Opus), "recorded in two channels, Opus", ""),
    (Kind::Paced, "a leg and an agent that is paced", ""),
    (Kind::PacedRecorded, "the same, recorded in two channels, WAV", "≤ 1.10 × the one above"),
    (Kind::Bridged, "a leg of a room of two legs", ""),
    (Kind::Conference, "a leg of a room of three legs", "≤ 1.6 × of two"),
    (Kind::Plain, "a leg and the echo agent, once more", "1.00: the noise"),
];

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let (mut rounds, mut seconds, mut only) = (3u32, 5, String::new());
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        if word == "--only" {
            only = value;
            continue;
        }
        match (word.as_str(), value.parse().ok()) {
            ("--rounds", Some(value)) => rounds = value,
            ("--seconds", Some(value)) => seconds = u64::from(value),
            _ => panic!("{word}: write --rounds N, --seconds N or --only WORDS"),
        }
    }
    let wanted = |(kind, what, _): &(Kind, &str, &str)| *kind == Kind::Plain || what.contains(&only);
    let kinds: Vec<_> = KINDS.into_iter().filter(wanted).collect();
    let mut costs = vec![Vec::new(); kinds.len()];
    let mut turn = 0;
    for _ in 0..rounds {
        for (costs, (kind, ..)) in costs.iter_mut().zip(&kinds) {
            costs.push(measure(*kind, turn, Duration::from_secs(seconds)));
            turn += 1;
        }
    }
    let medians: Vec<f64> = costs.iter_mut().map(|costs| median(costs)).collect();
    let mut table = String::from(
        "| what | CPU a packet in and out, µs | to the plain one | to reach |\n|---|---|---|---|\n",
    );
    for ((_, what, bound), cost) in kinds.iter().zip(&medians) {
        let _ = writeln!(table, "| {what} | {cost:.2} | {:.2} | {bound} |", cost / medians[0]);
    }
    println!("{table}");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An agent whose words lie ready, as they come from a socket.
struct Player;

impl Participant for Player {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, _frame: Frame<'_>, _room: &mut RoomIo<'_>) {}

    fn fill(&mut self, room: &mut RoomIo<'_>) {
        room.play(&[0x55; 8 * SAMPLES]);
    }
}

/// A leg's far end.
struct Caller {
    socket: UdpSocket,
    room: SocketAddr,
    srtp: Option<Srtp>,
    sequence: u16,
    received: u64,
}

/// CPU of the media and recorder threads for one packet of a leg, in and out, in µs. `turn` counts the
/// measurements: each has ports of its own, since those of the one before may still be closing.
fn measure(kind: Kind, turn: u16, span: Duration) -> f64 {
    let folder = std::env::temp_dir().join(format!("trunkline-rooms-{}", std::process::id()));
    let first = 12_000 + turn % 20 * PORTS;
    let config = PoolConfig {
        threads: 1,
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        ports: first..=first + PORTS - 1,
        no_media: Duration::from_secs(60),
    };
    let pool = Arc::new(Pool::start(&config, |_| {}).expect("media threads"));
    let mut callers = rooms(&pool, kind, &folder);
    pool.flush();
    // Until everything has settled: addresses latched, buffers at their size.
    talk(&mut callers, Duration::from_secs(1));
    let before = cpu();
    let heard = callers.iter().map(|caller| caller.received).sum::<u64>();
    talk(&mut callers, span);
    let spent = cpu() - before;
    let heard = callers.iter().map(|caller| caller.received).sum::<u64>() - heard;
    let sent = span.as_millis() as usize / PACKET.as_millis() as usize * LEGS;
    assert!(heard as usize * 100 > sent * 95, "{heard} of {sent} packets came back");
    drop(pool);
    // Threads that end between two looks would take their time with them.
    while threads().next().is_some() {
        std::thread::sleep(PACKET);
    }
    let _ = fs::remove_dir_all(&folder);
    spent.as_secs_f64() * 1e6 / heard as f64
}

fn rooms(pool: &Pool, kind: Kind, folder: &std::path::Path) -> Vec<Caller> {
    let size = match kind {
        Kind::Bridged => 2,
        Kind::Conference => 3,
        Kind::Plain | Kind::Srtp(_) | Kind::Recorded(_) | Kind::Paced | Kind::PacedRecorded => 1,
    };
    let mut callers = Vec::new();
    for call in 0..(LEGS / size) as u64 {
        let members: Vec<Member> = (0..size).filter_map(Member::leg).collect();
        callers.extend(members.iter().map(|member| caller(pool, call, *member, kind)));
        match kind {
            Kind::Bridged | Kind::Conference => pool.arrange(call, Hearing::among(Members::of(&members))),
            Kind::Paced | Kind::PacedRecorded => pool.join(call, Box::new(Player)),
            Kind::Plain | Kind::Srtp(_) | Kind::Recorded(_) => pool.join(call, Box::new(Echo)),
        }
        let format = match kind {
            Kind::Recorded(format) => Some(format),
            Kind::PacedRecorded => Some(RecordFormat::Wav),
            _ => None,
        };
        if let Some(format) = format {
            let path: PathBuf = folder.join(format!("{call}.rec"));
            pool.record(call, RecordTask::Start(Box::new(RecordFile { path, format })));
        }
        pool.begin(call);
    }
    callers
}

fn caller(pool: &Pool, call: u64, member: Member, kind: Kind) -> Caller {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.set_nonblocking(true).expect("set");
    let remote = socket.local_addr().expect("bound");
    let keys = match kind {
        Kind::Srtp(suite) => {
            let key =
                |seed: u8| KeySeed::new([seed; 32]).of_leg(call, member.place() as u32).master_key(suite);
            Some((key(1), key(2)))
        }
        _ => None,
    };
    let spec = MediaSpec {
        codec: Codec::Pcmu,
        payload_type: 0,
        events: None,
        events_rate: 8000,
        ptime: 20,
        remote: Some(remote),
        written: Some(remote),
        signalling: None,
        remote_rtcp: None,
        rtcp_mux: true,
        sends: true,
        receives: true,
        srtp: keys.map(|(local, remote)| SrtpKeys { tag: 1, local, remote }),
        dtmf: DtmfMethod::default(),
    };
    let near = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let room = pool.open(call, member, near, Some(spec), call).expect("a free port");
    let srtp = keys.map(|(remote, local)| Srtp::new(&SrtpKeys { tag: 1, local, remote }));
    Caller { socket, room, srtp, sequence: 0, received: 0 }
}

/// Every leg sends its packets at their times, one leg after the other, and takes what comes.
fn talk(callers: &mut [Caller], span: Duration) {
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
}

impl Caller {
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
        let _ = self.socket.send_to(&buffer[..length.expect("room for the tag")], self.room);
        while self.socket.recv(&mut buffer).is_ok() {
            self.received += 1;
        }
    }
}

/// Time that the media and recorder threads ran so far.
fn cpu() -> Duration {
    let ran = threads().map(|task| {
        let ran = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        ran.split(' ').next().and_then(|ran| ran.parse::<u64>().ok()).unwrap_or(0)
    });
    Duration::from_nanos(ran.sum())
}

/// The media and recorder threads.
fn threads() -> impl Iterator<Item = PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux").flatten().map(|task| task.path());
    tasks.filter(|task| {
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        name.starts_with("media-") || name.starts_with("recorder")
    })
}
