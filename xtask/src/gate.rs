//! The gate: what must hold before a change lands.

use std::process::Command;

use crate::{cargo, fuzz, install, root, run_with, tidy};

/// Everything, cheapest first.
pub(crate) fn run() -> anyhow::Result<()> {
    run_with(cargo().args(["fmt", "--all", "--check"]))?;
    run_with(cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))?;
    tidy::run()?;
    run_with(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    run_with(
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    deny()?;
    fuzz::lint()?;
    fuzz::run(10)?;
    readme_commands()
}

/// The tests themselves; the peers are installed.
pub(crate) fn tests() -> anyhow::Result<()> {
    run_with(cargo().args(["build", "--workspace", "--locked"]))?;
    run_with(cargo().args(["test", "--workspace", "--locked"]))
}

/// The README's two commands, as a newcomer would type them; of the first, which stays up, the form that
/// ends after its call.
fn readme_commands() -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    for command in ["cargo run --release -- demo", "demo --once", "cargo xtask test"] {
        anyhow::ensure!(readme.contains(command), "the README does not name `{command}`");
    }
    run_with(cargo().args(["run", "--release", "--locked", "--", "demo", "--once"]))?;
    run_with(cargo().args(["xtask", "test"]))
}

/// Licences, sources and banned crates. Advisories need a database from outside the registries, so
/// they are not part of the gate.
fn deny() -> anyhow::Result<()> {
    let program = install::cargo_deny()?;
    run_with(Command::new(program).args(["check", "bans", "licenses", "sources"]))
}
