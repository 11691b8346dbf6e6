//! What the commands that ask a running gateway take.

use std::convert::Infallible;

use clap::{Args, Subcommand};
use trunkline_routing::Secret;

#[derive(Args)]
pub(in crate::command) struct ApiArgs {
    /// Where the gateway's API listens.
    #[arg(long, env = "TRUNKLINE_API", default_value = "http://127.0.0.1:8080")]
    pub(in crate::command) api: String,
    /// A key of it, which the gateway knows by its hash (`trunkline key`).
    #[arg(long, env = "TRUNKLINE_KEY", hide_env_values = true, value_parser = secret)]
    pub(in crate::command) key: Option<Secret<String>>,
}

fn secret(text: &str) -> Result<Secret<String>, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

#[derive(Args)]
pub(in crate::command) struct DialArgs {
    /// Whom to call, in E.164.
    pub(in crate::command) to: String,
    /// A number of the gateway's, which is shown.
    #[arg(long)]
    pub(in crate::command) from: String,
    /// Who talks; else the number's outbound slot.
    #[arg(long)]
    pub(in crate::command) agent: Option<String>,
    /// By which trunk; else the number's.
    #[arg(long)]
    pub(in crate::command) trunk: Option<String>,
    #[command(flatten)]
    pub(in crate::command) api: ApiArgs,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::command) struct CallsArgs {
    #[command(subcommand)]
    pub(in crate::command) one: Option<CallsCommand>,
    /// Only calls that stand so: pending, active, completed, failed, busy, no_answer or canceled.
    #[arg(long)]
    pub(in crate::command) status: Option<String>,
    /// Only calls from or to this number.
    #[arg(long)]
    pub(in crate::command) number: Option<String>,
    /// At most so many, the newest first.
    #[arg(long, default_value_t = 50)]
    pub(in crate::command) limit: usize,
    #[command(flatten)]
    pub(in crate::command) api: ApiArgs,
}

#[derive(Subcommand)]
pub(in crate::command) enum CallsCommand {
    /// Show one call: who took part, what happened, how it sounded, and its SIP messages.
    Show(ShowArgs),
}

#[derive(Args)]
pub(in crate::command) struct ShowArgs {
    /// The call.
    pub(in crate::command) id: String,
    /// As the gateway tells it, for programs.
    #[arg(long)]
    pub(in crate::command) json: bool,
    #[command(flatten)]
    pub(in crate::command) api: ApiArgs,
}

#[derive(Args)]
pub(in crate::command) struct TrunksArgs {
    #[command(flatten)]
    pub(in crate::command) api: ApiArgs,
}

#[derive(Args)]
pub(in crate::command) struct HangupArgs {
    /// The call to end.
    pub(in crate::command) id: String,
    #[command(flatten)]
    pub(in crate::command) api: ApiArgs,
}

#[derive(Args)]
pub(in crate::command) struct DtmfArgs {
    /// The call.
    pub(in crate::command) id: String,
    /// Digits, `*`, `#`, `A` to `D`; `w` for half a second, `W` for a second.
    pub(in crate::command) digits: String,
    #[command(flatten)]
    pub(in crate::command) api: ApiArgs,
}

#[derive(Args)]
pub(in crate::command) struct TransferArgs {
    /// The call.
    pub(in crate::command) id: String,
    /// A number, a `tel:` or a `sip:` address.
    pub(in crate::command) to: String,
    /// How: cold, attended, warm or bridge.
    #[arg(long, default_value = "cold")]
    pub(in crate::command) mode: String,
    /// What follows where the carrier refuses: none or bridge.
    #[arg(long, default_value = "none")]
    pub(in crate::command) fallback: String,
    #[command(flatten)]
    pub(in crate::command) api: ApiArgs,
}
