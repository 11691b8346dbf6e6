//! Full calls, RTP, agents over WebSocket and memory, ours beside its peers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Options;
use super::daemon::{self, AGENT, SIP, Server};
use super::kinds;
use super::kit::{Kit, figure, figures};
use super::outgoing;
use crate::{install, root};

const ECHO: &str = "connect = \"builtin:echo\"";
const NUMBER: &str = "+14155550100";
/// SIP port of rsipstack's UAS.
const RSIP: u16 = 15_092;
/// Calls with RTP.
const STREAMS: u32 = 250;
/// Calls with an agent over a socket.
const AGENTS: u32 = 100;
/// Calls a second while calls are set up to be held; the numbers of calls are multiples of it.
const SETTING_UP: u32 = 50;
/// Calls whose memory is weighed.
const HELD: u32 = 2000;

/// One line of the result: ours in each round, and a peer's where there is one.
struct Line {
    what: &'static str,
    unit: &'static str,
    bound: &'static str,
    ours: Vec<f64>,
    peer: Vec<f64>,
}

/// Measures everything and prints a table.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let binary = daemon::build()?;
    let kit = Kit::build(&options.kit)?;
    let folder = root().join("target/bench");
    let peer_is_there = install::rtpengine();
    let mut cpu = line("CPU a complete call at 200 a second", "µs", "≤ 1.0 × rsipstack's UAS");
    let mut out = line("CPU a complete call out, by the API (peer: our call in)", "µs", "");
    let mut p99 = line("INVITE to 200, p99", "ms", "< 2 ms");
    let mut rtp = line("CPU a forwarded RTP packet, 250 calls", "µs", "≤ 0.8 × rtpengine");
    let mut delay = line("RTP p99, there and back (rtpengine: one way)", "µs", "");
    let mut agent = line("CPU a call with a Twilio-protocol agent", "% of a core", "≤ 0.2 %");
    let mut memory = line("memory a call with the echo agent", "KiB", "≤ 64 KiB");
    let mut memory_rtp = line("memory a call with the echo agent and RTP", "KiB", "≤ 64 KiB");
    let mut socket_memory = line("memory a call with a socket agent", "KiB", "");
    let mut kinds = kinds::Kinds::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let ours = our_calls(&kit, &binary, &folder, options.seconds)?;
        cpu.ours.push(figure(&ours, "us_per_call_whole")?);
        p99.ours.push(figure(&ours, "t200_p99_us")? / 1000.0);
        out.ours.push(outgoing::cost(&kit, &binary, &folder, options.seconds)?);
        out.peer.push(figure(&ours, "us_per_call_whole")?);
        let peer = rsip_calls(&kit, options.seconds)?;
        cpu.peer.push(figure(&peer, "us_per_call_whole")?);
        p99.peer.push(figure(&peer, "t200_p99_us")? / 1000.0);
        let ours = our_rtp(&kit, &binary, &folder, ECHO, STREAMS, options.seconds)?;
        rtp.ours.push(figure(&ours.0, "cpu_us_per_pkt")?);
        delay.ours.push(figure(&ours.0, "p99_us")?);
        memory_rtp.ours.push(ours.1);
        if peer_is_there {
            let peer = rtpengine(&kit, options.seconds)?;
            rtp.peer.push(figure(&peer, "cpu_us_per_pkt")?);
            delay.peer.push(figure(&peer, "p99_us")?);
        }
        let (figures, kib) = our_agents(&kit, &binary, &folder, options.seconds)?;
        agent.ours.push(figure(&figures, "relay_core")? * 100.0 / f64::from(AGENTS));
        socket_memory.ours.push(kib);
        memory.ours.push(held_memory(&kit, &binary, &folder)?);
        kinds.turn(&kit, &binary, &folder, options.seconds)?;
    }
    print(&[cpu, out, p99, rtp, delay, agent, memory, memory_rtp, socket_memory]);
    kinds.print();
    if !peer_is_there {
        println!("\nrtpengine: not measured. It is not installed and apt has no rtpengine-daemon here.");
    }
    Ok(())
}

/// Measures the calls with audio of every kind only.
pub(super) fn kinds(options: &Options) -> anyhow::Result<()> {
    let binary = daemon::build()?;
    let kit = Kit::build(&options.kit)?;
    let mut kinds = kinds::Kinds::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        kinds.turn(&kit, &binary, &root().join("target/bench"), options.seconds)?;
    }
    kinds.print();
    Ok(())
}

fn line(what: &'static str, unit: &'static str, bound: &'static str) -> Line {
    Line { what, unit, bound, ours: Vec::new(), peer: Vec::new() }
}

fn our_calls(kit: &Kit, binary: &Path, folder: &Path, seconds: u32) -> anyhow::Result<Value> {
    let server = daemon::start(binary, folder, ECHO)?;
    kit.calls(SIP, NUMBER, server.0.id(), &["--rate", "200", "--secs", &seconds.to_string()])
}

fn rsip_calls(kit: &Kit, seconds: u32) -> anyhow::Result<Value> {
    let address = format!("127.0.0.1:{RSIP}");
    let server = Server::start("1", &kit.program("rsip_uas"), &["udp", &address, "0"])?;
    std::thread::sleep(Duration::from_secs(1));
    kit.calls(RSIP, "agent", server.0.id(), &["--rate", "200", "--secs", &seconds.to_string()])
}

/// Sets calls up and holds them while `work` runs on the addresses of their media.
fn with_calls<T>(
    kit: &Kit,
    calls: u32,
    folder: &Path,
    work: impl FnOnce(&Path) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let targets = folder.join("targets");
    let mut command = kit.generator("sipload");
    command.args(["uac", "--target", &format!("127.0.0.1:{SIP}"), "--user", NUMBER, "--warm", "0"]);
    let seconds = calls / SETTING_UP;
    command.args(["--rate", &SETTING_UP.to_string(), "--secs", &seconds.to_string()]);
    command.args(["--hold-ms", "600000"]);
    command.arg("--dump-media").arg(&targets).stdout(Stdio::null()).stderr(Stdio::null());
    let generator = Server(command.spawn()?);
    std::thread::sleep(Duration::from_secs(u64::from(seconds) + 2));
    let outcome = work(&targets);
    drop(generator);
    outcome
}

fn load(kit: &Kit, targets: &Path, streams: u32, seconds: u32, pid: u32) -> anyhow::Result<Value> {
    let mut command = kit.generator("rtpload");
    command.args(["--streams", &streams.to_string(), "--secs", &seconds.to_string(), "--echo"]);
    command.args(["--cpu", "0", "--pid", &pid.to_string(), "--targets"]).arg(targets);
    figures(&mut command)
}

/// RTP through `streams` calls; the figures, and the memory of a call in KiB.
fn our_rtp(
    kit: &Kit,
    binary: &Path,
    folder: &Path,
    agent: &str,
    streams: u32,
    seconds: u32,
) -> anyhow::Result<(Value, f64)> {
    let server = daemon::start(binary, folder, agent)?;
    let before = server.pss()?;
    with_calls(kit, streams, folder, |targets| {
        let figures = load(kit, targets, streams, seconds, server.0.id())?;
        let kib = (server.pss()?.saturating_sub(before)) as f64 / f64::from(streams);
        Ok((figures, kib))
    })
}

fn our_agents(kit: &Kit, binary: &Path, folder: &Path, seconds: u32) -> anyhow::Result<(Value, f64)> {
    let far = Server::start("0", &kit.program("wsbench"), &["agent", "--port", &AGENT.to_string()])?;
    let agent = format!("connect = \"ws://127.0.0.1:{AGENT}/media\"\nprotocol = \"twilio\"");
    let outcome = our_rtp(kit, binary, folder, &agent, AGENTS, seconds);
    drop(far);
    outcome
}

/// Memory of a call in progress without RTP, in KiB.
fn held_memory(kit: &Kit, binary: &Path, folder: &Path) -> anyhow::Result<f64> {
    let server = daemon::start(binary, folder, ECHO)?;
    let before = server.pss()?;
    with_calls(kit, HELD, folder, |_| Ok(server.pss()?.saturating_sub(before) as f64 / f64::from(HELD)))
}

/// rtpengine in user space with as many streams.
fn rtpengine(kit: &Kit, seconds: u32) -> anyhow::Result<Value> {
    let mut command = Command::new(kit.script("rtpengine_test.sh"));
    command.args([&STREAMS.to_string(), &seconds.to_string(), "2", "rtpengine"]);
    figures(&mut command)
}

fn print(lines: &[Line]) {
    println!("\n| what | unit | ours | peer | ratio | to reach |\n|---|---|---|---|---|---|");
    for Line { what, unit, bound, ours, peer } in lines {
        let (mine, theirs) = (median(ours), median(peer));
        // Three digits: small figures need their second place and large ones none.
        let show = |value: Option<f64>| match value {
            None => "-".to_owned(),
            Some(value) if value < 1.0 => format!("{value:.3}"),
            Some(value) if value < 10.0 => format!("{value:.2}"),
            Some(value) => format!("{value:.1}"),
        };
        let ratio = mine.zip(theirs).map(|(mine, theirs)| mine / theirs);
        println!("| {what} | {unit} | {} | {} | {} | {bound} |", show(mine), show(theirs), show(ratio));
    }
}

/// The middle one.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
