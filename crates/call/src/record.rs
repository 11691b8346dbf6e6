//! The record of a call, written once at its end.

use serde::Serialize;
use trunkline_sdp::control::{Transcript, TransferResult};

use trunkline_routing::Pii;

use crate::{MediaStats, Timestamp};

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The caller.
    Caller,
    /// The one that we called.
    Callee,
    /// The agent.
    Agent,
    /// The gateway: a timer, a refusal, an operator.
    Gateway,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was answered and is over.
    Completed,
    /// The other side was busy: 486, 600.
    Busy,
    /// Nobody answered in time: 408, 480, or our own patience.
    NoAnswer,
    /// Given up before an answer by whoever placed it: 487.
    Canceled,
    /// Anything else.
    Failed,
}

impl Status {
    /// Of an INVITE's final code, where it was never answered.
    #[must_use]
    pub const fn of_code(code: u16) -> Self {
        match code {
            200..=299 => Self::Completed,
            486 | 600 => Self::Busy,
            408 | 480 => Self::NoAnswer,
            487 => Self::Canceled,
            _ => Self::Failed,
        }
    }

    /// The word of the API and of records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }
}

/// One call, ended. Field names are those of the JSON lines in `data_dir`.
#[derive(Debug, Clone, Serialize)]
pub struct CallRecord {
    /// Our id.
    pub call_id: String,
    /// The SIP header.
    pub sip_call_id: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// What became of it.
    pub status: Status,
    /// Caller; masked where the number hides it.
    pub from: Pii<String>,
    /// Called number.
    pub to: Pii<String>,
    /// Trunk.
    pub trunk: String,
    /// Agent.
    pub agent: Option<String>,
    /// INVITE.
    pub started_at: Timestamp,
    /// Answer.
    pub answered_at: Option<Timestamp>,
    /// End.
    pub ended_at: Timestamp,
    /// From answer to end, seconds.
    pub duration_seconds: f64,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Why, in a word or a sentence.
    pub reason: String,
    /// The final SIP code of the INVITE.
    pub sip_code: u16,
    /// Whom the caller was put through to.
    pub transferred_to: Option<String>,
    /// How the last transfer came out.
    pub transfer: Option<TransferResult>,
    /// What was said, as the agent told it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transcript: Vec<Transcript>,
    /// Codec.
    pub codec: Option<&'static str>,
    /// Media.
    pub media: MediaStats,
}
