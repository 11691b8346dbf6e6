//! What may be done with a call in progress.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::unknown;
use crate::body::Fields;
use crate::{Problem, Shared};

/// Why something is not done with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlError {
    /// There is no such call.
    Unknown,
    /// It is not answered, or over.
    NotActive,
    /// It has no recording under way that could be paused, resumed or ended.
    NotRecording,
    /// Nobody in it has that name.
    UnknownParticipant,
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Unknown => unknown(),
            ControlError::NotActive => {
                Self::new(StatusCode::CONFLICT, "not_active", "the call is not answered, or over")
            }
            ControlError::NotRecording => {
                Self::new(StatusCode::CONFLICT, "not_recording", "no recording of the call is under way")
            }
            ControlError::UnknownParticipant => Self::new(
                StatusCode::CONFLICT,
                "unknown_participant",
                "nobody in the call has that name; GET the call for its participants",
            ),
        }
    }
}

/// What was asked for is under way.
pub(super) fn outcome(outcome: Result<(), ControlError>) -> Response {
    match outcome {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// Hangs a call up, or gives it up while it rings.
#[utoipa::path(
    delete, path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "It is being ended"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn hang_up(State(backend): State<Shared>, Path(id): Path<String>) -> Response {
    match backend.hang_up(&id) {
        Err(ControlError::NotActive) => {
            Problem::new(StatusCode::CONFLICT, "call_over", "the call is over").into_response()
        }
        other => outcome(other),
    }
}

/// Keys to press.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// Digits, `*`, `#`, `A` to `D`, `w` for half a second, `W` for a second.
    #[schema(pattern = "^[0-9*#A-DwW]{1,128}$")]
    digits: String,
}

/// Presses keys towards the other side.
#[utoipa::path(
    post, path = "/v1/calls/{id}/dtmf", tag = "calls", request_body = Keys, params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "They are being pressed"),
        (status = 400, description = "They are none", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn dtmf(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    mut fields: Fields,
) -> Response {
    let wanted = "1 to 128 of 0-9 * # A-D, w for half a second, W for a second";
    let digits: Option<String> = fields.needed("digits", wanted);
    let mut errors = fields.finish();
    if digits.as_ref().is_some_and(|digits| !backend.are_keys(digits)) {
        errors.push(crate::FieldError::new("/digits", &format!("is {wanted}")));
    }
    match digits {
        Some(digits) if errors.is_empty() => outcome(backend.press(&id, &digits)),
        _ => Problem::of_fields(errors).into_response(),
    }
}

/// Presses no more keys: those that wait are dropped, the one that is pressed is let go.
#[utoipa::path(
    delete, path = "/v1/calls/{id}/dtmf", tag = "calls", params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "They are cut short, where there are any"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn dtmf_ends(State(backend): State<Shared>, Path(id): Path<String>) -> Response {
    outcome(backend.press_no_more(&id))
}
