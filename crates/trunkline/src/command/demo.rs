//! `demo`: a gateway on this machine, and a call through it that one can see and whose sound is
//! proved to come back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use trunkline_call::CallRecord;
use trunkline_routing::{Source, load, load_node};
use trunkline_sip::Transport as Kind;

use super::analysis::{first_sound, peak_frequency, sine};
use super::phone::{Phone, PhonePlan, PhoneReport};
use super::{DemoArgs, call, init_log, runtime};
use crate::config::Loaded;
use crate::gateway::{Gateway, Options};

/// The shipped demo table.
const TABLE: &str = include_str!("../../../../config/routes/demo.toml");
/// A node on loopback; `PORT` is a free one.
const NODE: &str = r#"
[node]
name = "demo"
[sip]
listen = ["udp:127.0.0.1:PORT", "tcp:127.0.0.1:PORT"]
[media]
listen_address = "127.0.0.1"
ports = [40000, 41000]
[api]
listen = "127.0.0.1:0"
"#;
/// The tone that is played, in hertz.
const TONE: f64 = 600.0;
/// The digits that are sent.
const DIGITS: &str = "42#";

/// Runs the demo.
pub(super) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let _log = init_log(false, "warn")?;
    runtime(0)?.block_on(async {
        let folder = std::env::temp_dir().join(format!("trunkline-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        // The demo waits for the first; those of calls that a visitor places are in the file.
        let (sender, mut records) = mpsc::channel::<CallRecord>(1);
        let options = Options {
            observer: Some(Arc::new(move |record: &CallRecord| {
                let _ = sender.try_send(record.clone());
            })),
            ..Options::default()
        };
        let gateway = Gateway::start(loaded(&folder)?, None, options).await?;
        let sip = gateway.sip().iter().find(|(kind, _)| *kind == Kind::Udp).map(|(_, address)| *address);
        let sip = sip.context("no UDP listener")?;
        println!("Trunkline listens on {sip} (UDP and TCP). A call to its echo agent:\n");
        let plan = PhonePlan {
            target: format!("sip:+14155550100@{sip}"),
            from: "+14155550199".to_owned(),
            audio: sine(TONE, 2.0),
            dtmf: DIGITS.to_owned(),
            talk: Duration::from_secs(4),
            ladder: true,
        };
        let report = Phone::place(plan).await?.talk().await;
        println!();
        call::print(&report);
        let record = tokio::time::timeout(Duration::from_secs(5), records.recv()).await.ok().flatten();
        if let Some(record) = &record {
            println!("\nThe call's record:\n{}", serde_json::to_string_pretty(record)?);
        }
        let good = verdict(&report, record.as_ref());
        if args.once {
            gateway.drain(Duration::from_secs(1)).await;
            let _ = std::fs::remove_dir_all(&folder);
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        guide(&gateway, &folder);
        tokio::signal::ctrl_c().await?;
        gateway.drain(Duration::from_secs(1)).await;
        let _ = std::fs::remove_dir_all(&folder);
        Ok(ExitCode::SUCCESS)
    })
}

fn loaded(folder: &Path) -> anyhow::Result<Loaded> {
    let node = NODE.replace("PORT", &free_port()?.to_string());
    let node = load_node("demo", &node).map_err(|error| anyhow::anyhow!("the demo node: {error:?}"))?;
    let source = Source { name: "config/routes/demo.toml".to_owned(), text: TABLE.to_owned() };
    let (table, warnings) =
        load(&[source], None).map_err(|problems| anyhow::anyhow!("the demo table: {problems:?}"))?;
    Ok(Loaded { node, table, warnings, folder: folder.to_path_buf() })
}

/// A port that is free for UDP and TCP.
fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        if std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port is free for UDP and TCP both")
}

/// Longest time from the first packet sent to the tone that comes back, in milliseconds.
const MAX_DELAY: f64 = 500.0;

/// Says whether the call worked, and what did not.
fn verdict(report: &PhoneReport, record: Option<&CallRecord>) -> bool {
    let first = first_sound(&report.heard);
    let heard = first.and_then(|at| peak_frequency(&report.heard[at..]));
    // From the first packet that we sent to the first sound that came back.
    let delay = report
        .first_audio_after
        .zip(first)
        .map(|(after, samples)| after.as_secs_f64() * 1000.0 + samples as f64 / 8.0);
    let soon = delay.is_some_and(|delay| delay <= MAX_DELAY);
    let tone = heard.is_some_and(|hertz| (hertz - TONE).abs() < 2.0);
    let digits = record.is_some_and(|record| record.media.dtmf_digits as usize == DIGITS.len());
    let answered = report.answered_after.is_some();
    println!();
    for (what, good) in [
        ("the call was answered", answered),
        ("the tone came back at 600 Hz", tone),
        (&format!("it came back after {:.0} ms, within half a second", delay.unwrap_or(f64::NAN)), soon),
        ("three key presses were heard", digits),
    ] {
        println!("{}  {what}", if good { "ok  " } else { "FAIL" });
    }
    answered && tone && soon && digits
}

fn guide(gateway: &Gateway, folder: &Path) {
    let sip = gateway.sip().first().map(|(_, address)| address.to_string()).unwrap_or_default();
    // As `cargo run` leaves it, the program is on nobody's path.
    let program =
        std::env::current_exe().map_or_else(|_| "trunkline".to_owned(), |path| path.display().to_string());
    println!(
        "
It stays up. Try, from another terminal or a softphone on this machine (no registration):
  {program} call 'sip:+14155550100@{sip}' --dtmf 123      echo
  {program} call 'sip:+14155550101@{sip}'                 a tone of 440 Hz
  {program} call 'sip:+14155550102@{sip};transport=tcp'   \"not in service\"
  curl http://{}/metrics

An agent of your own behind a number: write into {}
  [[agent]]
  name = \"mine\"
  connect = \"ws://127.0.0.1:7860/ws\"      # anything that speaks Twilio Media Streams
  protocol = \"twilio\"
and give a number inbound = \"mine\"; then
  {program} check && {program} serve

Records: {}/data/calls.jsonl. Ctrl-C ends it.",
        gateway.api(),
        tables().display(),
        folder.display(),
    );
}

/// The example tables, which `serve` reads where it is started from the project's folder.
fn tables() -> PathBuf {
    let tables = Path::new("config/routes/demo.toml");
    std::path::absolute(tables).unwrap_or_else(|_| tables.to_path_buf())
}
