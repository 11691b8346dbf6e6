//! Calls as the API shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// It is set up, or rings.
    Pending,
    /// It is answered.
    Active,
    /// It was answered and is over.
    Completed,
    /// It came to nothing.
    Failed,
    /// The other side was busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// It was given up before an answer.
    Canceled,
}

/// Which way a call, or a message, goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallDirection {
    /// To us.
    Inbound,
    /// From us.
    Outbound,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CallView {
    /// Our id.
    #[schema(example = "call_0644a1b2c3d4e5f60718293a")]
    pub id: String,
    /// Where it stands.
    pub status: CallStatus,
    /// Which way.
    pub direction: CallDirection,
    /// Who calls; masked where the number hides it.
    #[schema(example = "+14155550100")]
    pub from: String,
    /// Who is called.
    #[schema(example = "+442079460000")]
    pub to: String,
    /// Trunk.
    pub trunk: String,
    /// Agent.
    pub agent: String,
    /// The SIP header of its first leg.
    pub sip_call_id: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it was answered.
    #[schema(format = DateTime)]
    pub answered_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// From answer to end.
    pub duration_seconds: f64,
    /// The final SIP code of the INVITE.
    pub sip_code: Option<u16>,
    /// Why it ended.
    pub reason: Option<String>,
}

/// A page of calls.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CallPage {
    /// The calls, the newest first.
    pub calls: Vec<CallView>,
    /// The `cursor` of the next page; null where this is the last.
    pub next_cursor: Option<String>,
}

/// A call with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CallDetail {
    /// The call.
    #[serde(flatten)]
    pub call: CallView,
    /// Its SIP dialogs.
    pub legs: Vec<LegView>,
    /// Who is, or was, in its room.
    pub participants: Vec<ParticipantView>,
    /// What happened, in order.
    pub timeline: Vec<TimelineEntry>,
    /// How the last transfer came out.
    pub transfer: Option<TransferOutcome>,
    /// What the media of its first leg came to so far.
    pub quality: Option<Quality>,
    /// Its recordings, in order.
    pub recordings: Vec<RecordingView>,
    /// The SIP messages of its legs, in order.
    pub ladder: Vec<Rung>,
    /// Messages between the first and the last of the ladder that were not kept.
    pub ladder_omitted: usize,
}

/// A leg: one SIP dialog.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LegView {
    /// The participant that it is: `caller`, `callee` …
    pub participant: String,
    /// The SIP header.
    pub sip_call_id: String,
    /// Who placed it.
    pub direction: CallDirection,
    /// The carrier.
    pub trunk: String,
    /// Codec; null before there is one.
    pub codec: Option<String>,
    /// What its media came to so far; null before there is any.
    pub quality: Option<Quality>,
}

/// What the media of a leg comes to while the call is up.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveMedia {
    /// The participant that it is.
    pub participant: String,
    /// The codec that is spoken.
    pub codec: Option<&'static str>,
    /// The figures.
    pub quality: Quality,
}

impl CallDetail {
    /// With what the media of its legs comes to now.
    pub(crate) fn with_live(&mut self, media: Vec<LiveMedia>) {
        for live in media {
            if let Some(leg) = self.legs.iter_mut().find(|leg| leg.participant == live.participant) {
                leg.codec = live.codec.map(str::to_owned);
                leg.quality = Some(live.quality);
            }
        }
        self.quality = self.legs.first().and_then(|leg| leg.quality.clone());
    }
}

/// A recording of a call.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RecordingView {
    /// What `GET /v1/recordings/{id}` gives it by, once it has ended.
    pub id: String,
    /// Where it stands.
    pub status: RecordingStatus,
    /// When it began.
    #[schema(format = DateTime)]
    pub started_at: String,
    /// How long it is, once it has ended.
    pub duration_seconds: Option<f64>,
    /// Why it was cut short.
    pub problem: Option<String>,
}

/// Where a recording stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingStatus {
    /// Under way.
    Recording,
    /// Under way, and what is said is left out.
    Paused,
    /// Whole.
    Ended,
    /// Cut short: what was written before is kept.
    Failed,
}

/// Somebody in the room.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ParticipantView {
    /// `caller`, `callee`, `agent` …
    pub name: String,
    /// When it came.
    #[schema(format = DateTime)]
    pub joined_at: String,
    /// When it went.
    #[schema(format = DateTime)]
    pub left_at: Option<String>,
}

/// Something that happened in a call.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What: `began`, `agent_joined`, `agent_failed`, `answered`, `keys_pressed`, `ended` …
    pub event: &'static str,
    /// More on it.
    pub detail: Option<String>,
}

/// How a transfer came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TransferOutcome {
    /// The caller was put through.
    pub ok: bool,
    /// The SIP code that settled it, where one did.
    pub code: Option<u16>,
    /// Why, in a sentence.
    pub reason: String,
}

/// What the media of a call came to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Quality {
    /// RTP packets from the other side.
    pub packets_received: u64,
    /// RTP packets to it.
    pub packets_sent: u64,
    /// Packets of its that never came.
    pub packets_lost: u64,
    /// Interarrival jitter at the end, milliseconds.
    pub jitter_ms: f64,
    /// Round trip by RTCP, milliseconds, where the other side reports.
    pub round_trip_ms: Option<f64>,
    /// Mean opinion score, estimated from loss and jitter.
    pub mos: f64,
}

/// A SIP message of a ladder.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Rung {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Milliseconds since the call began.
    pub offset_ms: f64,
    /// Which way.
    pub direction: CallDirection,
    /// The participant whose leg it belongs to.
    pub participant: String,
    /// Its method; a response's is that of its request.
    pub method: &'static str,
    /// Its status; null where it is a request.
    pub status: Option<u16>,
    /// As one reads it: `INVITE`, `200 OK`.
    pub message: String,
}
