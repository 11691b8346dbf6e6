//! `cargo xtask test | ci | tidy | install | fuzz | bench`: the one door for the project's chores.

mod bench;
mod fuzz;
mod gate;
mod install;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let outcome = match task.as_str() {
        "ci" => gate::run(),
        "test" => install::peers().and_then(|()| gate::tests()),
        "tidy" => tidy::run(),
        "install" => install::peers(),
        "fuzz" => {
            let seconds = std::env::args().nth(2).map_or(Ok(10), |text| text.parse());
            seconds.map_err(Into::into).and_then(fuzz::run)
        }
        "bench" => bench::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        _ => Err(anyhow::anyhow!("write: cargo xtask test | ci | tidy | install | fuzz | bench")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {task}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The project's top folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// Runs a program in the top folder; an error where it fails.
fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_with(Command::new(program).args(arguments))
}

fn run_with(command: &mut Command) -> anyhow::Result<()> {
    eprintln!("+ {command:?}");
    let status = command.current_dir(root()).status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// The Cargo that runs us, without what it told us of our own package: build scripts that look at
/// it would run again at every change between it and a shell.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME"
        });
        if ours {
            command.env_remove(name);
        }
    }
    command
}
