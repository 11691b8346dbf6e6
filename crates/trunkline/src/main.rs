//! The `trunkline` command.

use std::process::ExitCode;

use clap::Parser;
use trunkline::command::{Cli, run};

/// Calls are made of many small, short-lived pieces on several threads, which the system's
/// allocator serves slowly and scatters.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse())
}
