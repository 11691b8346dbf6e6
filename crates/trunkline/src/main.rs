//! The `trunkline` command.

use std::process::ExitCode;

use clap::Parser;
use trunkline::command::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
