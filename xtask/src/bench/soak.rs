//! Many short calls: memory, descriptors and threads must be where they were.

use anyhow::ensure;

use super::Options;
use super::daemon::{self, SIP};
use super::kit::{Kit, figure};
use crate::root;

/// Calls placed before the first look, so that caches and pools are warm.
const WARM: u32 = 5000;
/// Growth that is no leak: what an allocator keeps, KiB.
const SLACK: u64 = 4096;

/// Places the calls and compares.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let binary = daemon::build()?;
    let kit = Kit::build(&options.kit)?;
    let server = daemon::start(&binary, &root().join("target/bench"), "connect = \"builtin:echo\"")?;
    let pid = server.0.id();
    let place = |calls: u32| {
        let seconds = (calls / 500).max(1).to_string();
        let more = ["--rate", "500", "--secs", &seconds, "--warm", "0", "--hold-ms", "200"];
        kit.calls(SIP, "+14155550100", pid, &more)
    };
    // The last transactions end 32 s after their calls.
    let rest = || std::thread::sleep(std::time::Duration::from_secs(36));
    place(WARM)?;
    rest();
    let before = (server.pss()?, server.descriptors()?, server.threads()?);
    let figures = place(options.calls)?;
    rest();
    let after = (server.pss()?, server.descriptors()?, server.threads()?);
    println!("calls {} failed {}", figure(&figures, "ok")?, figure(&figures, "failed")?);
    println!("memory {} KiB, then {} KiB", before.0, after.0);
    println!("descriptors {}, then {}; threads {}, then {}", before.1, after.1, before.2, after.2);
    ensure!(figure(&figures, "failed")? == 0.0, "calls failed");
    ensure!(after.0 <= before.0 + SLACK, "memory grew");
    ensure!(after.1 <= before.1 && after.2 <= before.2, "descriptors or threads were not given back");
    Ok(())
}
