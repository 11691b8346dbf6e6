//! The command line.

pub mod analysis;
mod call;
mod demo;
mod key;
mod moment;
mod phone;
mod remote;
mod secret;
mod serve;
mod tables;

use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use remote::{ApiArgs, CallsArgs, DialArgs, DtmfArgs, HangupArgs, TransferArgs, TrunksArgs};

pub use phone::{Phone, PhonePlan, PhoneReport};

use trunkline_sip::text::OneLine;

use crate::spool::Spool;

/// SIP signalling gateway: telephone calls into rooms where AI agents listen and speak.
#[derive(Parser)]
#[command(name = "trunkline", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The example files: every key with its default and a word on it.
const KEYS: &str = concat!(
    "The node's file, every key with its default:\n\n",
    include_str!("../../../config/trunkline.toml"),
    "\nThe tables:\n\n",
    include_str!("../../../config/routes/demo.toml"),
);

#[derive(Subcommand)]
enum Command {
    /// Run the gateway. The long help (`--help`) shows every key of the configuration with its default.
    #[command(after_long_help = KEYS)]
    Serve(ServeArgs),
    /// Read the configuration and report every problem; exit code 1 where one is an error.
    Check(ConfigArgs),
    /// Explain, step by step, where a call would go.
    Route(RouteArgs),
    /// Show what a reload of the running gateway would change; with NEW, what another configuration would.
    Diff(DiffArgs),
    /// Place a test call: play a tone or a file, send digits, measure what comes back.
    Call(CallArgs),
    /// Have a running gateway place a call; exit code 0 once it is answered.
    Dial(DialArgs),
    /// List a running gateway's calls; `calls show ID` shows one with its SIP messages.
    Calls(CallsArgs),
    /// List a running gateway's trunks, with registration and health.
    Trunks(TrunksArgs),
    /// Have a running gateway end a call.
    Hangup(HangupArgs),
    /// Have a running gateway put a call's caller through; exit code 0 once that has worked.
    Transfer(TransferArgs),
    /// Have a running gateway press keys in a call.
    Dtmf(DtmfArgs),
    /// Print a fresh key of the API, and what to write into the configuration for it.
    Key(KeyArgs),
    /// Encrypt a secret, read from standard input, for the tables, under the key in `FERNET_KEY`.
    Secret(SecretArgs),
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
struct SecretArgs {
    /// Print a fresh key for `FERNET_KEY` instead.
    #[arg(long)]
    new_key: bool,
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
    /// Come in over this trunk, whatever others hold its addresses.
    #[arg(long, conflicts_with = "source_ip")]
    trunk: Option<String>,
    /// Come in from this address. Where neither is given, from 127.0.0.1.
    #[arg(long)]
    source_ip: Option<IpAddr>,
    /// At this time (RFC 3339, like 2026-12-25T03:00Z); the tables have no schedules, so none changes the
    /// decision.
    #[arg(long)]
    at: Option<moment::Moment>,
}

#[derive(Args)]
struct DiffArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The node's file of another configuration, compared with that of --config; no gateway is asked.
    new: Option<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
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
    /// How long to talk, in seconds; else 4, or as long as the file and the digits take.
    #[arg(long)]
    seconds: Option<f64>,
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
struct KeyArgs {
    /// What the log calls it.
    #[arg(long, default_value = "operator")]
    name: String,
    /// What it allows; each includes those before it.
    #[arg(long, value_enum, default_value = "read")]
    scope: KeyScope,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyScope {
    Read,
    Operate,
    Admin,
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
        Command::Diff(DiffArgs { config, new: Some(new), .. }) => tables::diff(&config, &new),
        Command::Diff(args) => remote::diff(&args.api),
        Command::Call(args) => call::run(args),
        Command::Dial(args) => remote::dial(&args),
        Command::Calls(args) => remote::calls(&args),
        Command::Trunks(args) => remote::trunks(&args),
        Command::Hangup(args) => remote::hang_up(&args),
        Command::Dtmf(args) => remote::dtmf(&args),
        Command::Transfer(args) => remote::transfer(&args),
        Command::Key(args) => key::run(&args),
        Command::Secret(args) => secret::run(&args),
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

/// The log; whoever holds it waits at the end until all is written.
struct Log(Spool);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.wait_written();
    }
}

/// Sets up the log on standard error. `webrtc_sdp` is silenced: it prints what it does not know,
/// SRTP keys among it.
fn init_log(json: bool, level: &str) -> anyhow::Result<Log> {
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{level},webrtc_sdp=error"))?;
    // Colours are for eyes, not for files.
    let colours = std::io::stderr().is_terminal();
    let spool = Spool::start("log", std::io::stderr())?;
    let writer = spool.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(move || writer.clone());
    match json {
        true => builder.json().flatten_event(true).init(),
        false => builder.with_target(false).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(Log(spool))
}

/// A panic is a line of the log like any other; which call it was, whoever catches it says.
fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let backtrace = std::backtrace::Backtrace::capture();
    let what = info.payload_as_str().unwrap_or("of no text");
    match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => {
            tracing::error!(%place, thread, what = %OneLine(what), %backtrace, "a panic");
        }
        _ => tracing::error!(%place, thread, what = %OneLine(what), "a panic"),
    }
}
