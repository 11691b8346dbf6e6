//! `key`: a fresh key of the API. The configuration holds its hash only, so that who reads the file can
//! do nothing with it.

use std::process::ExitCode;

use anyhow::Context;
use trunkline_api::hash;

use super::{KeyArgs, KeyScope};
use crate::random::random_bytes;

/// What every key begins with, so that it is known for one where it should not stand.
const PREFIX: &str = "tk_";

/// Prints a key and its entry.
pub(super) fn run(args: &KeyArgs) -> anyhow::Result<ExitCode> {
    let chance: [u8; 32] = random_bytes().context("the system gives no random bytes")?;
    let key = format!("{PREFIX}{}", hex(&chance));
    let scope = match args.scope {
        KeyScope::Read => "read",
        KeyScope::Operate => "operate",
        KeyScope::Admin => "admin",
    };
    println!("{key}");
    println!("\n# Give the line above to whom it is for; it is nowhere else. Write into trunkline.toml:");
    println!("[[api.key]]\nname = {:?}\nhash = \"{}\"\nscope = \"{scope}\"", args.name, hex(&hash(&key)));
    Ok(ExitCode::SUCCESS)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
