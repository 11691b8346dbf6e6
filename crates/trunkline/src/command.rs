//! The command line.

pub mod analysis;
mod call;
mod demo;
mod phone;
mod serve;
mod tables;

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use phone::{Phone, PhonePlan, PhoneReport};

/// SIP signalling gateway: telephone calls into rooms where AI agents listen and speak.
#[derive(Parser)]
#[command(name = "trunkline", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(ServeArgs),
    /// Read the configuration and report every problem; exit code 1 where one is an error.
    Check(ConfigArgs),
    /// Explain, step by step, where a call would go.
    Route(RouteArgs),
    /// Show what loading NEW instead of the configuration in use would change.
    Diff(DiffArgs),
    /// Place a test call: play a tone or a file, send digits, measure what comes back.
    Call(CallArgs),
    /// Start a gateway on this machine and hear a call work.
    Demo(DemoArgs),
}

#[derive(Args)]
struct ConfigArgs {
    /// The node's file.
    #[arg(long, default_value = "config/trunkline.toml")]
    config: PathBuf,
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Form of the log.
    #[arg(long, value_enum, default_value = "text")]
    log: LogForm,
    /// Least level that is logged: error, warn, info, debug or trace.
    #[arg(long, default_value = "info")]
    log_level: String,
    /// Log telephone numbers in full.
    #[arg(long)]
    log_numbers: bool,
    /// After SIGTERM, end the calls that are still up after so long.
    #[arg(long, default_value_t = 3600)]
    drain_seconds: u64,
    /// Shards and media threads; 0 for one a core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogForm {
    Text,
    Json,
}

#[derive(Args)]
struct RouteArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The called number, as the carrier would send it.
    number: String,
    /// The caller.
    #[arg(long, default_value = "anonymous")]
    from: String,
    /// Come in over this trunk.
    #[arg(long, conflicts_with = "source_ip")]
    trunk: Option<String>,
    /// Come in from this address.
    #[arg(long)]
    source_ip: Option<IpAddr>,
    /// At this time (RFC 3339); tables have no schedules yet, so it changes nothing.
    #[arg(long)]
    at: Option<String>,
}

#[derive(Args)]
struct DiffArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The node's file of the new configuration.
    new: PathBuf,
}

#[derive(Args)]
struct CallArgs {
    /// `sip:NUMBER@HOST[:PORT][;transport=tcp]`.
    target: String,
    /// Who calls.
    #[arg(long, default_value = "+14155550199")]
    from: String,
    /// Play this WAV file (8000 Hz, mono, 16 bit) instead of a tone.
    #[arg(long)]
    play: Option<PathBuf>,
    /// The tone, in hertz.
    #[arg(long, default_value_t = 600.0)]
    tone: f64,
    /// How long to talk, in seconds.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Digits to send.
    #[arg(long, default_value = "")]
    dtmf: String,
    /// Write what came back to this WAV file.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Print every SIP message.
    #[arg(long)]
    verbose: bool,
}

#[derive(Args)]
struct DemoArgs {
    /// End after the call: exit code 0 where it worked, else 1.
    #[arg(long)]
    once: bool,
}

/// Runs a command.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => tables::check(&args),
        Command::Route(args) => tables::route(&args),
        Command::Diff(args) => tables::diff(&args),
        Command::Call(args) => call::run(args),
        Command::Demo(args) => demo::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trunkline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A runtime for the async edges.
fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

/// Sets up the log on standard error. `webrtc_sdp` is silenced: it prints what it does not know,
/// SRTP keys among it.
fn init_log(json: bool, level: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{level},webrtc_sdp=error"))?;
    // Colours are for eyes, not for files.
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match json {
        true => builder.json().flatten_event(true).init(),
        false => builder.with_target(false).init(),
    }
    Ok(())
}
