//! Calls with audio of every kind beside the plain one: with SRTP, recorded, with an agent on a socket.
//!
//! All are placed by `benches/src/bin/callers.rs` and carry the same packets, so that what differs is the
//! daemon's share. What is counted is the time that the daemon's threads ran, system calls included.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::daemon::{self, AGENT, SIP, Server};
use super::kit::{Kit, figure};
use super::load::median;
use super::outgoing::Api;

/// Calls of every kind; a page of the API's list holds them.
const CALLS: u32 = 100;
/// Share of the packets that must come back for a measurement to count.
const HEARD: f64 = 0.98;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Srtp,
    Recorded,
    Socket,
}

const KINDS: [(Kind, &str, &str); 5] = [
    (Kind::Plain, "plain, the echo agent", ""),
    (Kind::Srtp, "with SRTP, AES_CM_128_HMAC_SHA1_80", "≤ 1.15"),
    (Kind::Recorded, "recorded in two channels, WAV", "≤ 1.10"),
    (Kind::Socket, "with a Pipecat-protocol agent (Twilio Media Streams)", ""),
    (Kind::Plain, "plain, once more", "1.00: the noise"),
];

/// What each kind cost in each turn: CPU in percent of a core and memory in KiB, both of one call.
#[derive(Debug, Default)]
pub(super) struct Kinds([(Vec<f64>, Vec<f64>); KINDS.len()]);

impl Kinds {
    /// One turn of every kind.
    pub(super) fn turn(
        &mut self,
        kit: &Kit,
        binary: &Path,
        folder: &Path,
        seconds: u32,
    ) -> anyhow::Result<()> {
        for ((cpu, memory), (kind, what, _)) in self.0.iter_mut().zip(KINDS) {
            let cost = measure(kind, kit, binary, folder, seconds).context(what)?;
            cpu.push(cost.0);
            memory.push(cost.1);
        }
        Ok(())
    }

    /// The medians, and their ratio to the plain call.
    pub(super) fn print(&self) {
        println!("\n| a call with audio | CPU, % of a core | to the plain one | to reach | memory, KiB |");
        println!("|---|---|---|---|---|");
        let plain = median(&self.0[0].0);
        for ((cpu, memory), (_, what, bound)) in self.0.iter().zip(KINDS) {
            let (cpu, memory) = (median(cpu).unwrap_or_default(), median(memory).unwrap_or_default());
            let ratio = plain.map_or(0.0, |plain| cpu / plain);
            println!("| {what} | {cpu:.3} | {ratio:.2} | {bound} | {memory:.1} |");
        }
    }
}

/// CPU of a call in percent of a core, and its memory in KiB.
fn measure(kind: Kind, kit: &Kit, binary: &Path, folder: &Path, seconds: u32) -> anyhow::Result<(f64, f64)> {
    let socket = format!("connect = \"ws://127.0.0.1:{AGENT}/media\"\nprotocol = \"twilio\"");
    let agent = if kind == Kind::Socket { socket.as_str() } else { "connect = \"builtin:echo\"" };
    let keys = match kind {
        Kind::Srtp => "media_encryption = \"require\"\nsdes_over_plaintext = true\n",
        Kind::Plain | Kind::Recorded | Kind::Socket => "",
    };
    let far = (kind == Kind::Socket)
        .then(|| Server::start("0", &kit.program("wsbench"), &["agent", "--port", &AGENT.to_string()]))
        .transpose()?;
    let server = daemon::start_with(binary, folder, agent, keys)?;
    let memory = server.pss()?;
    let mut callers = Callers::start(binary, kind == Kind::Srtp, seconds)?;
    if kind == Kind::Recorded {
        record()?;
    }
    let before = server.ran()?;
    let talked = callers.talk()?;
    let spent = server.ran()? - before;
    let kib = server.pss()?.saturating_sub(memory) as f64 / f64::from(CALLS);
    let (sent, heard) = (figure(&talked, "sent")?, figure(&talked, "heard")?);
    ensure!(heard >= sent * HEARD, "of {sent} packets {heard} came back");
    drop(callers);
    drop(server);
    drop(far);
    let _ = std::fs::remove_dir_all(folder.join("data"));
    Ok((spent.as_secs_f64() * 100.0 / f64::from(seconds) / f64::from(CALLS), kib))
}

/// Has every call in progress recorded.
fn record() -> anyhow::Result<()> {
    let mut api = Api::connect()?;
    let list = api.ask("GET", &format!("/v1/calls?limit={CALLS}"), "")?;
    let calls =
        list["calls"].as_array().or_else(|| list["items"].as_array()).context("no calls are listed")?;
    ensure!(calls.len() == CALLS as usize, "{} calls are listed, not {CALLS}", calls.len());
    for call in calls {
        let id = call["id"].as_str().context("a call has an id")?;
        api.ask("POST", &format!("/v1/calls/{id}/record"), "{\"action\": \"start\"}")?;
    }
    Ok(())
}

/// The callers, who have called and talk.
struct Callers {
    process: Server,
    lines: BufReader<ChildStdout>,
}

impl Callers {
    fn start(binary: &Path, srtp: bool, seconds: u32) -> anyhow::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(binary.with_file_name("callers"));
        command.args(["--target", &format!("127.0.0.1:{SIP}"), "--user", "+14155550100"]);
        command.args(["--calls", &CALLS.to_string(), "--seconds", &seconds.to_string()]);
        if srtp {
            command.arg("--srtp");
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(process.stdout.take().context("an output")?);
        let mut callers = Self { process: Server(process), lines };
        ensure!(callers.line()?.trim() == "ready", "the callers were not taken");
        Ok(callers)
    }

    /// Has them talk for their time; what they sent and heard.
    fn talk(&mut self) -> anyhow::Result<Value> {
        let input = self.process.0.stdin.as_mut().context("an input")?;
        input.write_all(b"\n")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Callers {
    /// They hang up, and are waited for.
    fn drop(&mut self) {
        drop(self.process.0.stdin.take());
        let _ = self.lines.read_to_string(&mut String::new());
    }
}
