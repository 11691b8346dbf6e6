//! The measuring kit: load generators and reference servers, built in a copy under `target/perf`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{root, run_with};

/// A built kit.
pub(super) struct Kit(PathBuf);

impl Kit {
    /// Copies and builds the kit that stands in `source`.
    pub(super) fn build(source: &str) -> anyhow::Result<Self> {
        let source = root().join(source);
        ensure!(source.join("sipload").is_dir(), "{} is no measuring kit; see --kit", source.display());
        let folder = root().join("target/perf");
        std::fs::create_dir_all(&folder)?;
        let all = format!("{}/.", source.display());
        run_with(Command::new("cp").args(["-r", "--no-preserve=mode", &all]).arg(&folder))?;
        run_with(Command::new("chmod").args(["-R", "u+rwX"]).arg(&folder))?;
        let script = format!("chmod u+x '{}'/bin/*", folder.display());
        run_with(Command::new("sh").args(["-c", &script]))?;
        for tool in ["sipload", "rtpload", "wsbench", "rsip_uas"] {
            let manifest = folder.join(tool).join("Cargo.toml");
            run_with(crate::cargo().args(["build", "--release", "-q", "--manifest-path"]).arg(manifest))?;
        }
        Ok(Self(folder))
    }

    /// The program of one of the kit's crates.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name).join("target/release").join(name)
    }

    /// One of the kit's scripts.
    pub(super) fn script(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// A load of calls over UDP from CPU 0; the generator's figures.
    pub(super) fn calls(&self, port: u16, user: &str, pid: u32, more: &[&str]) -> anyhow::Result<Value> {
        let (target, pid) = (format!("127.0.0.1:{port}"), pid.to_string());
        let mut command = self.generator("sipload");
        command.args(["uac", "--target", &target, "--user", user, "--pid", &pid]);
        figures(command.args(more))
    }

    /// A generator, pinned to CPU 0.
    pub(super) fn generator(&self, name: &str) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(self.program(name));
        command
    }
}

/// Runs a tool and reads the JSON line that it prints.
pub(super) fn figures(command: &mut Command) -> anyhow::Result<Value> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    match line {
        Some(line) => Ok(serde_json::from_str(line)?),
        None => bail!("{command:?} printed no figures: {text}"),
    }
}

/// A figure by its name.
pub(super) fn figure(figures: &Value, name: &str) -> anyhow::Result<f64> {
    figures[name].as_f64().with_context(|| format!("no figure {name:?} in {figures}"))
}
