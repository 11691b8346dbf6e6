//! `cargo xtask fuzz [seconds]`: every target of `fuzz/` for a while, ten seconds each in the gate.
//!
//! The coverage that libFuzzer steers by comes from flags of the stable compiler, so neither a
//! nightly one nor `cargo-fuzz` is needed; with `cargo-fuzz` the same folder works too. What was
//! found in earlier runs grows in `target/fuzz/corpus`.

use std::process::Command;

use anyhow::Context;

use crate::{cargo, root, run_with};

/// The targets, the longest input of each, and where their seeds are.
const TARGETS: [(&str, u32, Option<&str>); 7] = [
    ("message", 65_536, Some("crates/sip/tests/corpus/rfc4475")),
    ("stream", 65_536, Some("crates/sip/tests/corpus/rfc4475")),
    ("sdp", 65_536, Some("fuzz/seeds/sdp")),
    ("rtp", 8192, None),
    ("srtp", 4096, None),
    ("agent", 65_536, Some("fuzz/seeds/agent")),
    ("events", 600, None),
];

/// libFuzzer's instrumentation, as `cargo-fuzz` asks for it, without a sanitizer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Copt-level=2";

/// Clippy on the targets, a workspace of their own.
pub(crate) fn lint() -> anyhow::Result<()> {
    run_with(
        cargo()
            .args([
                "clippy",
                "--all-targets",
                "--locked",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--target-dir",
            ])
            .arg(root().join("target/fuzz"))
            .args(["--", "-D", "warnings"]),
    )
}

/// Builds and runs every target.
pub(crate) fn run(seconds: u32) -> anyhow::Result<()> {
    let target = root().join("target/fuzz");
    // With a target triple the flags leave build scripts and macros alone.
    let triple = host()?;
    run_with(
        cargo()
            .args([
                "build",
                "--locked",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--target",
                &triple,
                "--target-dir",
            ])
            .arg(&target)
            .env("RUSTFLAGS", FLAGS),
    )?;
    for (name, longest, seeds) in TARGETS {
        let corpus = target.join("corpus").join(name);
        std::fs::create_dir_all(&corpus)?;
        let mut command = Command::new(target.join(&triple).join("debug").join(name));
        command.arg(&corpus);
        command.args(seeds.map(|seeds| root().join(seeds)));
        let limits = [format!("-max_total_time={seconds}"), format!("-max_len={longest}")];
        // A unit that takes a second is a finding: reading is linear.
        command.args(limits).args(["-len_control=10", "-timeout=5", "-artifact_prefix=target/fuzz/"]);
        run_with(&mut command).with_context(|| format!("fuzz target {name}"))?;
    }
    Ok(())
}

/// The compiler's own triple.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
