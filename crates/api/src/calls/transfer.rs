//! `POST /v1/calls/{id}/transfer` and what follows it.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::control::outcome;
use crate::body::Fields;
use crate::{FieldError, Problem, Shared};

/// How somebody is put through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// The carrier is asked to (REFER); the call leaves the gateway.
    #[default]
    Cold,
    /// A second leg is called and joined with the first by REFER with Replaces.
    Attended,
    /// The agent talks to the one who is called before the caller does.
    Warm,
    /// The gateway calls the other side and stays in the path.
    Bridge,
}

/// What happens where the carrier refuses a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferFallback {
    /// The call stays with the agent.
    #[default]
    None,
    /// The gateway places the second leg itself and joins the two.
    Bridge,
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    /// A number, a `tel:` or a `sip:` address.
    #[schema(example = "+14155550123")]
    pub to: String,
    /// How.
    #[schema(required = false)]
    pub mode: TransferMode,
    /// What follows a refusal.
    #[schema(required = false)]
    pub fallback: TransferFallback,
    /// The one who is called presses a key before the two are joined.
    #[schema(required = false)]
    pub requires_confirmation: bool,
    /// The one who is called enters this before the two are joined.
    #[schema(pattern = "^[0-9*#A-D]{1,32}$")]
    pub passcode: Option<String>,
    /// How long it may ring; the number's time where absent.
    #[schema(minimum = 1, maximum = 300)]
    pub ringing_timeout_seconds: Option<u64>,
    /// The caller hears nothing while it waits, instead of music or of the telephone that rings.
    #[schema(required = false)]
    pub silent: bool,
}

impl TransferRequest {
    fn read(mut fields: Fields) -> Result<Self, Vec<FieldError>> {
        let modes = "cold, attended, warm or bridge";
        let request = Self {
            to: fields.needed("to", "a number, a tel: or a sip: address").unwrap_or_default(),
            mode: fields.given("mode", modes).unwrap_or_default(),
            fallback: fields.given("fallback", "none or bridge").unwrap_or_default(),
            requires_confirmation: fields.given("requires_confirmation", "true or false").unwrap_or(false),
            passcode: fields.optional("passcode", "a string of keys"),
            ringing_timeout_seconds: fields.whole("ringing_timeout_seconds", "a whole number from 1 to 300"),
            silent: fields.given("silent", "true or false").unwrap_or(false),
        };
        let mut errors = fields.finish();
        let keys = |code: &String| {
            let fine = |byte: u8| matches!(byte, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D');
            (1..=32).contains(&code.len()) && code.bytes().all(fine)
        };
        if !request.passcode.as_ref().is_none_or(keys) {
            errors.push(FieldError::new("/passcode", "is 1 to 32 of 0-9 * # A-D"));
        }
        if request.ringing_timeout_seconds.is_some_and(|seconds| !(1..=300).contains(&seconds)) {
            errors.push(FieldError::new("/ringing_timeout_seconds", "is 1 to 300"));
        }
        if errors.is_empty() { Ok(request) } else { Err(errors) }
    }
}

/// Puts the caller through. What comes of it stands in the call's `transfer` and timeline, and is told by
/// the event `call.transferred`.
#[utoipa::path(
    post, path = "/v1/calls/{id}/transfer", tag = "calls", request_body = TransferRequest, params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "It is under way"),
        (status = 400, description = "Fields are wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn transfer(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    fields: Fields,
) -> Response {
    match TransferRequest::read(fields) {
        Ok(request) => outcome(backend.transfer(&id, request)),
        Err(errors) => Problem::of_fields(errors).into_response(),
    }
}

/// How the consultation of a warm transfer ends.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Completion {
    /// All three talk to one another; else the agent leaves.
    #[schema(required = false)]
    agent_stays: bool,
}

/// Joins the caller with whom the agent talks to in a warm transfer.
#[utoipa::path(
    post, path = "/v1/calls/{id}/transfer/complete", tag = "calls", request_body = Completion, params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "They are being joined, if there is a consultation"),
        (status = 400, description = "Fields are wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn complete(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    mut fields: Fields,
) -> Response {
    let agent_stays = fields.given("agent_stays", "true or false").unwrap_or(false);
    match fields.finish() {
        errors if errors.is_empty() => outcome(backend.complete_transfer(&id, agent_stays)),
        errors => Problem::of_fields(errors).into_response(),
    }
}

/// Gives a transfer up: the caller comes back to the agent.
#[utoipa::path(
    delete, path = "/v1/calls/{id}/transfer", tag = "calls", params(("id" = String, Path, description = "The call")),
    responses(
        (status = 202, description = "It is being given up, if there is one"),
        (status = 404, description = "No such call", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not answered, or over", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel(State(backend): State<Shared>, Path(id): Path<String>) -> Response {
    outcome(backend.cancel_transfer(&id))
}
