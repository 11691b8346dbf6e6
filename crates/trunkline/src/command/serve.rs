//! `serve`: the daemon under a service manager. SIGHUP reads the tables again, SIGTERM and SIGINT
//! drain; systemd is told when it is ready, reloading, stopping, and that it lives.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{LogForm, ServeArgs, init_log, runtime};
use crate::config::read_all;
use crate::gateway::{Gateway, Options};
use crate::masking::digits_hidden;
use crate::pulse::Pulse;

/// Runs until told to stop.
pub(super) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let _log = init_log(matches!(args.log, LogForm::Json), &args.log_level)?;
    let loaded = match read_all(&args.config.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            for line in error.to_string().lines() {
                tracing::error!("{}", digits_hidden(line, args.log_numbers));
            }
            anyhow::bail!("the configuration has errors; nothing was started");
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{}", digits_hidden(&warning.to_string(), args.log_numbers));
    }
    runtime(args.threads)?.block_on(async move {
        // Before anybody is told that we are here: a signal that comes early must not kill the daemon.
        let signals = Signals::listen()?;
        let options = Options { threads: args.threads, log_numbers: args.log_numbers, observer: None };
        let gateway = Gateway::start(loaded, Some(args.config.config.clone()), options).await?;
        for (kind, address) in gateway.sip() {
            tracing::info!(%address, "listening for SIP over {kind}");
        }
        tracing::info!(address = %gateway.api(), "listening for the API");
        tell(&[NotifyState::Ready]);
        tokio::spawn(watchdog(gateway.pulse()));
        wait_for_end(&gateway, signals).await?;
        tracing::info!(calls = gateway.active_calls(), "draining: no new calls are taken");
        tell(&[NotifyState::Stopping]);
        gateway.drain(Duration::from_secs(args.drain_seconds)).await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// The signals that a daemon lives by.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup()).context("SIGHUP")?,
            terminate: signal(SignalKind::terminate()).context("SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT")?,
        })
    }
}

async fn wait_for_end(gateway: &Gateway, mut signals: Signals) -> anyhow::Result<()> {
    let mut pulse = gateway.pulse();
    loop {
        tokio::select! {
            _ = signals.hang_up.recv() => {
                if let Ok(now) = NotifyState::monotonic_usec_now() {
                    tell(&[NotifyState::Reloading, now]);
                }
                // Problems are logged where they are found; the old tables stay.
                let _ = tokio::task::block_in_place(|| gateway.reload());
                tell(&[NotifyState::Ready]);
            }
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            // Its calls are lost already; the others are cut short, so that all of the node comes back.
            () = pulse.stops() => anyhow::bail!("a part of the node has ended; the rest is of no use"),
        }
    }
}

/// Tells systemd that every shard still turns.
async fn watchdog(pulse: Pulse) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut beat = tokio::time::interval(interval / 2);
    loop {
        beat.tick().await;
        if pulse.beats(interval / 4).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("a shard does not answer; the service manager is not told that we live");
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
