//! `cargo xtask bench load | kinds | soak | dtmf`: the daemon under load, beside its peers.
//!
//! ```text
//! cargo xtask bench load [--rounds 3] [--seconds 20] [--kit ../shared/perf]
//! cargo xtask bench kinds [--rounds 3] [--seconds 20]     (the last table of load by itself)
//! cargo xtask bench soak [--calls 100000 | --minutes 60]
//! cargo xtask bench dtmf
//! ```
//! The server under test has CPU 1, the generator CPU 0. Ours and the peer take turns within each
//! round, and what is printed are medians and their ratio: absolute figures of a noisy machine say
//! little, neighbours in time say more.

mod daemon;
mod kinds;
mod kit;
mod load;
mod outgoing;
mod soak;

use anyhow::{Context, bail};

/// Runs a benchmark by its name and options.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let options = Options::read(arguments.get(1..).unwrap_or_default())?;
    match arguments.first().map(String::as_str) {
        Some("load") => load::run(&options),
        Some("kinds") => load::kinds(&options),
        Some("soak") => soak::run(&options),
        Some("dtmf") => crate::run_with(crate::cargo().args([
            "bench",
            "--locked",
            "-p",
            "trunkline-benches",
            "--bench",
            "dtmf",
        ])),
        _ => bail!("write: cargo xtask bench load | kinds | soak | dtmf"),
    }
}

/// What may be set.
#[derive(Debug)]
struct Options {
    /// Turns of each server.
    rounds: usize,
    /// Measured seconds of a turn.
    seconds: u32,
    /// Calls of a soak.
    calls: u32,
    /// Minutes with 200 calls at a time, in place of many short ones.
    minutes: Option<u32>,
    /// The measuring kit.
    kit: String,
}

impl Options {
    fn read(arguments: &[String]) -> anyhow::Result<Self> {
        let kit = "../shared/perf".to_owned();
        let mut options = Self { rounds: 3, seconds: 20, calls: 100_000, minutes: None, kit };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.seconds = value.parse()?,
                "--calls" => options.calls = value.parse()?,
                "--minutes" => options.minutes = Some(value.parse()?),
                "--kit" => options.kit.clone_from(value),
                _ => bail!("{word} is none of --rounds, --seconds, --calls, --minutes, --kit"),
            }
        }
        Ok(options)
    }
}
