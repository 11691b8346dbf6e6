//! A daemon of ours under test, pinned to CPU 1.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::{cargo, root, run_with};

/// SIP port of the daemon.
pub(super) const SIP: u16 = 15_060;
/// Port of the agent that it dials.
pub(super) const AGENT: u16 = 19_001;
/// HTTP port.
pub(super) const API: u16 = 18_080;

/// A process that ends with its guard.
pub(super) struct Server(pub(super) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a program on a CPU.
    pub(super) fn start(cpu: &str, program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", cpu]).arg(program).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("{command:?}"))?))
    }

    /// Memory that is this process's own share, in KiB.
    pub(super) fn pss(&self) -> anyhow::Result<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// CPU time that it used so far, in steps of a hundredth of a second.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The name in brackets may hold anything; user and system time are the 12th and 13th behind it.
        let (_, behind) = stat.rsplit_once(')').context("no stat")?;
        let ticks: Vec<u64> =
            behind.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
    }

    /// Time that its threads ran so far, to the nanosecond; of threads that have ended nothing is known.
    pub(super) fn ran(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let ran = std::fs::read_to_string(task?.path().join("schedstat"))?;
            nanoseconds += ran.split(' ').next().context("no schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Open descriptors.
    pub(super) fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.0.id()))?.count())
    }

    /// Threads.
    pub(super) fn threads(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/task", self.0.id()))?.count())
    }
}

/// Builds the release binaries: the daemon, and the callers with audio beside it.
pub(super) fn build() -> anyhow::Result<PathBuf> {
    let packages = ["-p", "trunkline", "-p", "trunkline-benches", "--bins"];
    run_with(cargo().args(["build", "--release", "--locked"]).args(packages))?;
    Ok(root().join("target/release/trunkline"))
}

/// Starts our daemon with `agent` behind +14155550100.
pub(super) fn start(binary: &Path, folder: &Path, agent: &str) -> anyhow::Result<Server> {
    start_with(binary, folder, agent, "")
}

/// Starts our daemon so that it calls out to a carrier at `address`.
pub(super) fn start_calling(binary: &Path, folder: &Path, address: &str) -> anyhow::Result<Server> {
    let trunk = format!(
        "direction = \"both\"\naddress = \"{address}\"\ntransport = \"udp\"\n\
         calls_per_second = 10000\nmax_calls = 10000\n"
    );
    start_with(binary, folder, "connect = \"builtin:echo\"", &trunk)
}

/// Starts our daemon with an agent and with more keys of its trunk.
pub(super) fn start_with(binary: &Path, folder: &Path, agent: &str, trunk: &str) -> anyhow::Result<Server> {
    std::fs::create_dir_all(folder)?;
    let node = format!(
        "[node]\nname = \"bench\"\ndata_dir = \"{}\"\n[sip]\nlisten = [\"udp:127.0.0.1:{SIP}\"]\n\
         max_calls = 50000\nnew_calls_per_second = 50000\n[media]\nlisten_address = \"127.0.0.1\"\n\
         ports = [30000, 60000]\n[api]\nlisten = \"127.0.0.1:{API}\"\nrequests_per_second = 10000\n[routes]\nfiles = [\"routes.toml\"]\n",
        folder.join("data").display()
    );
    let routes = format!(
        "[[trunk]]\nname = \"bench\"\nallowed_addresses = [\"127.0.0.1/32\"]\n{trunk}\
         [[agent]]\nname = \"agent\"\nmode = \"realtime\"\n{agent}\n\
         [[number]]\nnumber = \"+14155550100\"\ntrunk = \"bench\"\ninbound = \"agent\"\n"
    );
    std::fs::write(folder.join("trunkline.toml"), node)?;
    std::fs::write(folder.join("routes.toml"), routes)?;
    let config = folder.join("trunkline.toml");
    let server = Server::start("1", binary, &["serve", "--config", &config.to_string_lossy()])?;
    let end = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", API)).is_err() {
        if Instant::now() > end {
            bail!("the daemon did not start");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(server)
}
