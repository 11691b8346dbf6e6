//! What may be done in the room of a call: `hold`, `mute`, `record`, `play`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::control::outcome;
use crate::body::Fields;
use crate::{Problem, Shared};

/// Something to be done in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomAsk {
    /// Hold the other side, or come back to it.
    Hold(bool),
    /// Have nobody hear a participant, or hear it again.
    Mute {
        /// Whom: `caller`, `callee`, `agent`, or a participant's name.
        participant: String,
        /// Muted.
        on: bool,
    },
    /// The recording.
    Record(RecordAction),
    /// Play a sound; an empty name ends it.
    Play {
        /// Which.
        sound: String,
        /// Who hears it; the other side where absent.
        participant: Option<String>,
        /// Over and over.
        repeat: bool,
    },
}

/// What becomes of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordAction {
    /// Begin.
    Start,
    /// Leave out what follows.
    Pause,
    /// Go on.
    Resume,
    /// End.
    Stop,
}

/// Whether to hold.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldRequest {
    /// Held, or back.
    on: bool,
}

/// Whom to mute.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MuteRequest {
    /// `caller`, `callee`, `agent`, or the name of a participant.
    participant: String,
    /// Muted, or heard again.
    on: bool,
}

/// What to do with the recording.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordRequest {
    /// Which.
    action: RecordAction,
}

/// What to play.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlayRequest {
    /// A WAV file below the sounds folder; `music` for the shipped music; empty to stop.
    sound: String,
    /// Who hears it; the other side where absent.
    participant: Option<String>,
    /// Over and over.
    #[schema(required = false)]
    repeat: bool,
}

/// Holds the other side, which hears music, or comes back to it.
#[utoipa::path(
    post, path = "/v1/calls/{id}/hold", tag = "calls", request_body = HoldRequest, params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "It is under way"),
        (status = 400, description = "Fields are wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn hold(state: State<Shared>, id: Path<String>, mut fields: Fields) -> Response {
    let on = fields.needed("on", "true or false");
    ask(state, id, fields, on.map(RoomAsk::Hold))
}

/// Has nobody hear a participant, or hear it again.
#[utoipa::path(
    post, path = "/v1/calls/{id}/mute", tag = "calls", request_body = MuteRequest, params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "It is under way"),
        (status = 400, description = "Fields are wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn mute(state: State<Shared>, id: Path<String>, mut fields: Fields) -> Response {
    let participant = fields.needed("participant", "the name of a participant");
    let on = fields.needed("on", "true or false");
    let wanted = participant.zip(on).map(|(participant, on)| RoomAsk::Mute { participant, on });
    ask(state, id, fields, wanted)
}

/// Begins, pauses, resumes or ends the recording, which `/v1/recordings/{id}` gives once it has ended.
#[utoipa::path(
    post, path = "/v1/calls/{id}/record", tag = "calls", request_body = RecordRequest, params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "It is under way"),
        (status = 400, description = "Fields are wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn record(state: State<Shared>, id: Path<String>, mut fields: Fields) -> Response {
    let action = fields.needed("action", "start, pause, resume or stop");
    ask(state, id, fields, action.map(RoomAsk::Record))
}

/// Plays a sound to a participant instead of what it would hear.
#[utoipa::path(
    post, path = "/v1/calls/{id}/play", tag = "calls", request_body = PlayRequest, params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "It is under way"),
        (status = 400, description = "Fields are wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn play(state: State<Shared>, id: Path<String>, mut fields: Fields) -> Response {
    let sound = fields.needed("sound", "the name of a sound");
    let participant = fields.optional("participant", "the name of a participant");
    let repeat = fields.given("repeat", "true or false").unwrap_or(false);
    ask(state, id, fields, sound.map(|sound| RoomAsk::Play { sound, participant, repeat }))
}

fn ask(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    fields: Fields,
    wanted: Option<RoomAsk>,
) -> Response {
    match (fields.finish(), wanted) {
        (errors, Some(wanted)) if errors.is_empty() => outcome(backend.ask_room(&id, wanted)),
        (errors, _) => Problem::of_fields(errors).into_response(),
    }
}
