//! `serve`: the daemon under a service manager. SIGHUP reads the tables again, SIGTERM and SIGINT
//! drain; systemd is told when it is ready, reloading, stopping, and that it lives.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::{LogForm, ServeArgs, init_log, runtime};
use crate::config::read;
use crate::gateway::{Gateway, Options};

/// Runs until told to stop.
pub(super) fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    init_log(matches!(args.log, LogForm::Json), &args.log_level)?;
    let loaded = match read(&args.config.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            for line in error.to_string().lines() {
                tracing::error!("{line}");
            }
            anyhow::bail!("the configuration has errors; nothing was started");
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    runtime(args.threads)?.block_on(async move {
        let options = Options { threads: args.threads, log_numbers: args.log_numbers, observer: None };
        let gateway = Gateway::start(loaded, Some(args.config.config.clone()), options).await?;
        for (kind, address) in gateway.sip() {
            tracing::info!(%address, "listening for SIP over {kind}");
        }
        tracing::info!(address = %gateway.api(), "listening for the API");
        tell(&[NotifyState::Ready]);
        tokio::spawn(watchdog());
        wait_for_end(&gateway).await?;
        tracing::info!(calls = gateway.active_calls(), "draining: no new calls are taken");
        tell(&[NotifyState::Stopping]);
        gateway.drain(Duration::from_secs(args.drain_seconds)).await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

async fn wait_for_end(gateway: &Gateway) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup()).context("SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                if let Ok(now) = NotifyState::monotonic_usec_now() {
                    tell(&[NotifyState::Reloading, now]);
                }
                // Problems are logged where they are found; the old tables stay.
                let _ = tokio::task::block_in_place(|| gateway.reload());
                tell(&[NotifyState::Ready]);
            }
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

/// Tells systemd that the runtime still turns.
async fn watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut beat = tokio::time::interval(interval / 2);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
