//! `POST /telephony/outbound-call`: a call placed as older clients do, which wait for the answer.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::place::{PlaceError, PlaceRequest};
use super::view::{CallStatus, CallView};
use crate::body::Fields;
use crate::{FieldError, Problem, Shared};

/// What such a client sends.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutboundCallRequest {
    /// Whom to call, in E.164.
    #[schema(example = "+442079460000", pattern = "^\\+[1-9][0-9]{6,14}$")]
    to_number: String,
    /// A number of ours, in E.164.
    #[schema(example = "+14155550100", pattern = "^\\+[1-9][0-9]{6,14}$")]
    from_number: String,
}

/// What it gets once the call is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutboundCall {
    /// Always true.
    success: bool,
    /// In words.
    message: String,
    /// The call's id, which is the room's name.
    room_name: String,
    /// Who talks.
    agent: String,
    /// Our number.
    from_number: String,
    /// Who was called.
    to_number: String,
}

/// Places a call with the number's outbound agent and answers once somebody has.
#[utoipa::path(
    post, path = "/telephony/outbound-call", tag = "calls", request_body = OutboundCallRequest,
    responses(
        (status = 200, description = "It is answered", body = OutboundCall),
        (status = 400, description = "A number is wrong, or may not be dialled", body = Problem, content_type = "application/problem+json"),
        (status = 402, description = "The carrier wants to be paid first", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`from_number` is none that calls out", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "Nobody answered", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn outbound_call(State(backend): State<Shared>, mut fields: Fields) -> Response {
    let number = "a number in E.164, such as \"+14155550100\"";
    let to = fields.needed("to_number", number).unwrap_or_default();
    let from = fields.needed("from_number", number).unwrap_or_default();
    let mut errors = fields.finish();
    let request = PlaceRequest { to, from, ..PlaceRequest::default() };
    for fault in backend.faults(&request) {
        let pointer = format!("{}_number", fault.pointer);
        if !errors.iter().any(|known| known.pointer == pointer) {
            errors.push(FieldError { pointer, ..fault });
        }
    }
    if !errors.is_empty() {
        return Problem::of_fields(errors).into_response();
    }
    let placed = match backend.place_call(request, None) {
        Ok(placed) => placed,
        Err(error) => return refused(&error).into_response(),
    };
    if let Some(settled) = backend.settled(&placed.id) {
        // An error means that the call has gone without an end, which is no answer either.
        let _ = settled.await;
    }
    match backend.call_detail(&placed.id).map(|detail| detail.call) {
        Some(call) => told(call),
        None => failed("the call was lost").into_response(),
    }
}

/// A call that was not placed, in the words that such a client knows.
fn refused(error: &PlaceError) -> Problem {
    let status = match (error.status, error.pointer) {
        (400 | 403, _) => StatusCode::BAD_REQUEST,
        (_, Some("/from")) => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status, error.code, &error.detail)
}

/// What became of it.
fn told(call: CallView) -> Response {
    let reason = call.reason.as_deref().unwrap_or("no reason was told");
    match (call.status, call.sip_code) {
        (CallStatus::Active | CallStatus::Completed, _) => Json(OutboundCall {
            success: true,
            message: "the call is answered".to_owned(),
            room_name: call.id,
            agent: call.agent,
            from_number: call.from,
            to_number: call.to,
        })
        .into_response(),
        (_, Some(402)) => {
            Problem::new(StatusCode::PAYMENT_REQUIRED, "payment_required", reason).into_response()
        }
        (CallStatus::NoAnswer, _) => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "no_answer", reason).into_response()
        }
        (CallStatus::Busy, _) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "busy", reason).into_response()
        }
        _ => failed(reason).into_response(),
    }
}

fn failed(reason: &str) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "call_failed", reason)
}
