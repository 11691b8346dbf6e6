//! `secret`: encrypts a secret for the tables, so that who reads them can do nothing with it.

use std::io::{IsTerminal, stdin, stdout};
use std::process::ExitCode;

use anyhow::{Context, anyhow};

use super::SecretArgs;
use crate::sealed;

/// Prints a key, or what to write into a table for the line that is read.
pub(super) fn run(args: &SecretArgs) -> anyhow::Result<ExitCode> {
    if args.new_key {
        println!("{}", sealed::new_key());
        return Ok(ExitCode::SUCCESS);
    }
    if stdin().is_terminal() && stdout().is_terminal() {
        eprintln!("The secret, then Enter (it is shown as you type):");
    }
    let mut line = String::new();
    stdin().read_line(&mut line).context("standard input")?;
    let secret = line.trim_end_matches(['\n', '\r']);
    let token =
        sealed::seal(secret).map_err(|why| anyhow!("{why}; `trunkline secret --new-key` makes one"))?;
    println!("{{ fernet = \"{token}\" }}");
    Ok(ExitCode::SUCCESS)
}
