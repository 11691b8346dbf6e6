//! `/v1/calls`: placing calls, looking at them, ending them.

use std::collections::BTreeMap;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::{Problem, Shared};

/// Calls a page holds where nobody says.
const PAGE: usize = 50;
/// Most calls of a page.
const MAX_PAGE: usize = 500;
/// Longest `Idempotency-Key`.
const MAX_KEY: usize = 255;

/// What `POST /v1/calls` takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceRequest {
    /// Whom to call, in E.164.
    pub to: String,
    /// A number of ours, in E.164.
    pub from: String,
    /// Who talks; the number's outbound slot where absent.
    pub agent: Option<String>,
    /// Which trunk; the number's where absent.
    pub trunk: Option<String>,
    /// Told to the agent.
    #[serde(default)]
    pub dynamic_variables: BTreeMap<String, serde_json::Value>,
    /// Fields of the INVITE.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How long the callee may ring, 1 to 300.
    pub ringing_timeout_seconds: Option<u64>,
    /// Keys that are pressed once the call is answered: digits, `*`, `#`, `A` to `D`, `w` half a second,
    /// `W` a second.
    pub dtmf_prefix: Option<String>,
}

/// A call as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallView {
    /// Our id.
    pub id: String,
    /// `pending`, `active`, `completed`, `failed`, `busy`, `no_answer` or `canceled`.
    pub status: &'static str,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Who calls; masked where the number hides it.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Trunk.
    pub trunk: String,
    /// Agent.
    pub agent: String,
    /// The SIP header.
    pub sip_call_id: String,
    /// Seconds since the Unix epoch.
    pub started_at: f64,
    /// Answer.
    pub answered_at: Option<f64>,
    /// End.
    pub ended_at: Option<f64>,
    /// From answer to end.
    pub duration_seconds: f64,
    /// The final SIP code of the INVITE.
    pub sip_code: Option<u16>,
    /// Why it ended.
    pub reason: Option<String>,
}

/// Why no keys are pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PressError {
    /// They are none.
    BadKeys,
    /// The call is not up.
    NotActive,
}

/// Why a call is not placed: an HTTP status, our code for it, a sentence, and the field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceError {
    /// HTTP status.
    pub status: u16,
    /// Our code.
    pub code: &'static str,
    /// What is wrong.
    pub detail: String,
    /// JSON Pointer of the field (RFC 6901).
    pub pointer: Option<&'static str>,
}

pub(crate) async fn place(
    State(backend): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Json<PlaceRequest>, JsonRejection>,
) -> Response {
    let Json(request) = match body {
        Ok(body) => body,
        Err(rejection) => {
            return Problem::new(rejection.status(), "bad_request", &rejection.body_text()).into_response();
        }
    };
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
        let detail = "Idempotency-Key is 1 to 255 characters";
        return Problem::new(StatusCode::BAD_REQUEST, "bad_idempotency_key", detail).into_response();
    }
    // Two keys of the API share none of these.
    let key = key.map(|key| format!("{} {key}", caller.as_deref().unwrap_or_default()));
    match backend.place_call(request, key) {
        Ok(view) => (StatusCode::ACCEPTED, Json(view)).into_response(),
        Err(error) => refused(&error).into_response(),
    }
}

fn refused(error: &PlaceError) -> Problem {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let problem = Problem::new(status, error.code, &error.detail);
    match error.pointer {
        Some(pointer) => problem.at(pointer, &error.detail),
        None => problem,
    }
}

#[derive(Deserialize)]
pub(crate) struct PageQuery {
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(State(backend): State<Shared>, Query(query): Query<PageQuery>) -> Response {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let calls = backend.calls(query.cursor.as_deref(), limit);
    // A full page may have more behind it.
    let next = calls.last().filter(|_| calls.len() == limit).map(|last| last.id.clone());
    Json(serde_json::json!({ "calls": calls, "next_cursor": next })).into_response()
}

pub(crate) async fn show(State(backend): State<Shared>, Path(id): Path<String>) -> Response {
    match backend.call(&id) {
        Some(view) => Json(view).into_response(),
        None => unknown().into_response(),
    }
}

pub(crate) async fn hang_up(State(backend): State<Shared>, Path(id): Path<String>) -> Response {
    if backend.hang_up(&id) {
        return StatusCode::ACCEPTED.into_response();
    }
    match backend.call(&id) {
        Some(_) => Problem::new(StatusCode::CONFLICT, "call_over", "the call is over").into_response(),
        None => unknown().into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    digits: String,
}

pub(crate) async fn dtmf(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    body: Result<Json<Keys>, JsonRejection>,
) -> Response {
    let Json(Keys { digits }) = match body {
        Ok(body) => body,
        Err(rejection) => {
            return Problem::new(rejection.status(), "bad_request", &rejection.body_text()).into_response();
        }
    };
    match backend.press(&id, &digits) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(PressError::BadKeys) => {
            let detail = "digits are 1 to 128 of 0-9 * # A-D, w for half a second, W for a second";
            Problem::new(StatusCode::BAD_REQUEST, "bad_digits", detail).at("/digits", detail).into_response()
        }
        Err(PressError::NotActive) => match backend.call(&id) {
            Some(_) => Problem::new(StatusCode::CONFLICT, "not_active", "the call is not answered, or over")
                .into_response(),
            None => unknown().into_response(),
        },
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_call", "there is no such call among the last ones")
}
