//! `cargo xtask test | ci | tidy | install`: the one door for the project's chores.

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
        _ => Err(anyhow::anyhow!("write: cargo xtask test | ci | tidy | install")),
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

/// The Cargo that runs us.
fn cargo() -> Command {
    Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}
