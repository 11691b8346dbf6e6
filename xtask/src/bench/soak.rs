//! Many short calls, or two hundred at a time for as long as one likes: memory, descriptors and
//! threads must be where they were.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use super::Options;
use super::daemon::{self, SIP, Server};
use super::kit::{Kit, figure};
use crate::root;

/// Calls placed before the first look, so that caches and pools are warm.
const WARM: u32 = 5000;
/// Growth that is no leak: what an allocator keeps, KiB.
const SLACK: u64 = 4096;
/// Calls at a time of a long soak: so many a second, each so long.
const PER_SECOND: u32 = 10;
const CALL_LASTS: Duration = Duration::from_secs(20);
/// Minutes between two looks of a long soak.
const LOOK: u32 = 5;

/// Places the calls and compares.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let binary = daemon::build()?;
    let kit = Kit::build(&options.kit)?;
    match options.minutes {
        Some(minutes) => long(&kit, &binary, minutes),
        None => short(&kit, &binary, options.calls),
    }
}

/// Short calls to the echo agent, 500 a second.
fn short(kit: &Kit, binary: &Path, calls: u32) -> anyhow::Result<()> {
    let server = start(binary, "builtin:echo")?;
    place(kit, &server, 500, WARM / 500, 200)?;
    rest();
    let before = Held::of(&server)?;
    let failed = place(kit, &server, 500, (calls / 500).max(1), 200)?;
    rest();
    let after = Held::of(&server)?;
    println!("before: {before}\nafter:  {after}");
    after.compare(&before, failed)
}

/// 200 calls at a time to the tone agent, which sends audio all the while; a look every few minutes.
fn long(kit: &Kit, binary: &Path, minutes: u32) -> anyhow::Result<()> {
    let server = start(binary, "builtin:tone")?;
    let hold = CALL_LASTS.as_millis() as u32;
    // As many as the API keeps of those that ended, and then as many at a time as later.
    place(kit, &server, 500, WARM / 500, 200)?;
    place(kit, &server, PER_SECOND, 2 * CALL_LASTS.as_secs() as u32, hold)?;
    rest();
    let before = Held::of(&server)?;
    println!("before: {before}");
    let mut failed = 0.0;
    let mut done = 0;
    while done < minutes {
        let next = LOOK.min(minutes - done);
        failed += place(kit, &server, PER_SECOND, next * 60, hold)?;
        done += next;
        println!("after {done} minutes: {}", Held::of(&server)?);
    }
    rest();
    let after = Held::of(&server)?;
    println!("after:  {after}");
    after.compare(&before, failed)
}

fn start(binary: &Path, agent: &str) -> anyhow::Result<Server> {
    daemon::start(binary, &root().join("target/bench"), &format!("connect = \"{agent}\""))
}

/// Calls at a rate for so many seconds; how many failed.
fn place(kit: &Kit, server: &Server, rate: u32, seconds: u32, hold_ms: u32) -> anyhow::Result<f64> {
    let (rate, seconds, hold) = (rate.to_string(), seconds.to_string(), hold_ms.to_string());
    let more = ["--rate", &rate, "--secs", &seconds, "--warm", "0", "--hold-ms", &hold];
    let figures = kit.calls(SIP, "+14155550100", server.0.id(), &more)?;
    println!("calls {} failed {}", figure(&figures, "ok")?, figure(&figures, "failed")?);
    figure(&figures, "failed")
}

/// The last transactions end 32 s after their calls.
fn rest() {
    std::thread::sleep(Duration::from_secs(36));
}

/// What the daemon holds.
struct Held {
    kib: u64,
    descriptors: usize,
    threads: usize,
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB, {} descriptors, {} threads", self.kib, self.descriptors, self.threads)
    }
}

impl Held {
    fn of(server: &Server) -> anyhow::Result<Self> {
        Ok(Self { kib: server.pss()?, descriptors: server.descriptors()?, threads: server.threads()? })
    }

    fn compare(&self, before: &Self, failed: f64) -> anyhow::Result<()> {
        ensure!(failed == 0.0, "calls failed");
        ensure!(self.kib <= before.kib + SLACK, "memory grew");
        ensure!(self.descriptors <= before.descriptors, "descriptors were not given back");
        ensure!(self.threads <= before.threads, "threads were not given back");
        Ok(())
    }
}
