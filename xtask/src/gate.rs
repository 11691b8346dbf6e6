//! The gate: what must hold before a change lands.

use std::process::Command;

use crate::{cargo, install, root, run_with, tidy};

/// Everything, cheapest first.
pub(crate) fn run() -> anyhow::Result<()> {
    run_with(cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run()?;
    run_with(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    run_with(
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    deny()?;
    readme_test_command()
}

/// The tests themselves; the peers are installed.
pub(crate) fn tests() -> anyhow::Result<()> {
    run_with(cargo().args(["build", "--workspace", "--locked"]))?;
    run_with(cargo().args(["test", "--workspace", "--locked"]))
}

/// The README's test command, as a newcomer would type it.
fn readme_test_command() -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    anyhow::ensure!(readme.contains("cargo xtask test"), "the README does not name `cargo xtask test`");
    run_with(cargo().args(["xtask", "test"]))
}

/// Licences, sources and doubled crates. Advisories need a database from outside the registries, so
/// they are not part of the gate.
fn deny() -> anyhow::Result<()> {
    let program = install::cargo_deny()?;
    run_with(Command::new(program).args(["check", "bans", "licenses", "sources"]))
}
