//! The record of a call, written once at its end.

use serde::Serialize;

use crate::MediaStats;

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The caller.
    Caller,
    /// The agent.
    Agent,
    /// The gateway: a timer, a refusal, an operator.
    Gateway,
}

/// One call, ended. Field names are those of the JSON lines in `data_dir`.
#[derive(Debug, Clone, Serialize)]
pub struct CallRecord {
    /// Our id.
    pub call_id: String,
    /// The SIP header.
    pub sip_call_id: String,
    /// `inbound`.
    pub direction: &'static str,
    /// Caller; masked where the number hides it.
    pub from: String,
    /// Called number.
    pub to: String,
    /// Trunk.
    pub trunk: String,
    /// Agent.
    pub agent: Option<String>,
    /// INVITE, seconds since the Unix epoch.
    pub started_at: f64,
    /// Answer.
    pub answered_at: Option<f64>,
    /// End.
    pub ended_at: f64,
    /// From answer to end, seconds.
    pub duration_seconds: f64,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Why, in a word or a sentence.
    pub reason: String,
    /// The final SIP code of the INVITE.
    pub sip_code: u16,
    /// Codec.
    pub codec: Option<&'static str>,
    /// Media.
    pub media: MediaStats,
}
