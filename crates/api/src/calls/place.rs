//! `POST /v1/calls`: placing a call. The same `Idempotency-Key` again gives the answer that it got
//! before, and places nothing.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::view::CallView;
use crate::access::Caller;
use crate::body::Fields;
use crate::problem::FieldError;
use crate::{Problem, Shared};

/// Longest `Idempotency-Key`.
const MAX_KEY: usize = 255;

/// A call to place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceRequest {
    /// Whom to call, in E.164.
    #[schema(example = "+442079460000", pattern = "^\\+[1-9][0-9]{6,14}$")]
    pub to: String,
    /// A number of ours, in E.164.
    #[schema(example = "+14155550100", pattern = "^\\+[1-9][0-9]{6,14}$")]
    pub from: String,
    /// Who talks; the number's outbound slot where absent.
    pub agent: Option<String>,
    /// Which trunk; the number's where absent.
    pub trunk: Option<String>,
    /// Told to the agent: at most 64, values of at most 4096 bytes, no name beginning with `system__`.
    #[schema(required = false, value_type = BTreeMap<String, Object>)]
    pub dynamic_variables: BTreeMap<String, serde_json::Value>,
    /// Fields of the INVITE, such as `X-Tenant`.
    #[schema(required = false)]
    pub headers: BTreeMap<String, String>,
    /// How long the callee may ring.
    #[schema(minimum = 1, maximum = 300)]
    pub ringing_timeout_seconds: Option<u64>,
    /// Keys that are pressed once the call is answered: digits, `*`, `#`, `A` to `D`, `w` half a second,
    /// `W` a second.
    #[schema(pattern = "^[0-9*#A-DwW]{1,128}$")]
    pub dtmf_prefix: Option<String>,
}

impl PlaceRequest {
    /// What could be read, and what is wrong with the rest.
    fn read(mut fields: Fields) -> (Self, Vec<FieldError>) {
        let number = "a number in E.164, such as \"+14155550100\"";
        let request = Self {
            to: fields.needed("to", number).unwrap_or_default(),
            from: fields.needed("from", number).unwrap_or_default(),
            agent: fields.optional("agent", "the name of an agent"),
            trunk: fields.optional("trunk", "the name of a trunk"),
            dynamic_variables: fields.given("dynamic_variables", "an object").unwrap_or_default(),
            headers: fields.given("headers", "an object of strings").unwrap_or_default(),
            ringing_timeout_seconds: fields.whole("ringing_timeout_seconds", "a whole number from 1 to 300"),
            dtmf_prefix: fields.optional("dtmf_prefix", "a string of keys"),
        };
        (request, fields.finish())
    }
}

/// How a request is known again: whose key of the API, its `Idempotency-Key`, and what it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// Both keys.
    pub key: String,
    /// A fingerprint of the request.
    pub asked: [u8; 32],
}

/// Why a call is not placed.
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

impl From<PlaceError> for Problem {
    fn from(error: PlaceError) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Self::new(status, error.code, &error.detail);
        match error.pointer {
            Some(pointer) => problem.at(pointer, &error.detail),
            None => problem,
        }
    }
}

/// Places a call; it rings when this answers, and its id is told.
#[utoipa::path(
    post, path = "/v1/calls", tag = "calls", request_body = PlaceRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; the same key within 24 hours gives the same answer and places nothing", max_length = 255, min_length = 1)),
    responses(
        (status = 202, description = "The call is being placed", body = CallView),
        (status = 400, description = "Fields are wrong", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "That may not be dialled", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown number, agent or trunk", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The number cannot call out as it stands", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used for another request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The trunk takes no more, or too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The gateway is full, or drains", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn place(
    State(backend): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    let (request, mut errors) = PlaceRequest::read(fields);
    let more = backend.faults(&request);
    // A field that could not even be read is told of once.
    errors.extend(
        more.into_iter()
            .filter(|fault| !errors.iter().any(|known| known.pointer == fault.pointer))
            .collect::<Vec<_>>(),
    );
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap_or_default().to_owned());
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY) {
        errors.push(FieldError::new("/Idempotency-Key", "is 1 to 255 visible characters"));
    }
    if !errors.is_empty() {
        return Problem::of_fields(errors).into_response();
    }
    let repeat = key.map(|key| Repeat {
        // Two keys of the API share none of these.
        key: format!("{} {key}", caller.as_deref().unwrap_or_default()),
        asked: crate::hash(&serde_json::to_string(&request).unwrap_or_default()),
    });
    match backend.place_call(request, repeat) {
        Ok(view) => (StatusCode::ACCEPTED, Json(view)).into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}
