//! `GET /v1/calls` and `GET /v1/calls/{id}`.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use super::unknown;
use super::view::{CallDetail, CallDirection, CallPage, CallStatus, CallView};
use crate::problem::FieldError;
use crate::{Problem, Shared};

/// Calls a page holds where nobody says.
const PAGE: usize = 50;
/// How long a media thread may take to say what a call comes to.
const LIVE: Duration = Duration::from_millis(500);
/// Most calls of a page.
const MAX_PAGE: usize = 500;

/// Which calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallQuery {
    /// Those before this one.
    pub cursor: Option<String>,
    /// So many.
    pub limit: usize,
    /// That stand so.
    pub status: Option<CallStatus>,
    /// That go that way.
    pub direction: Option<CallDirection>,
    /// By that trunk.
    pub trunk: Option<String>,
    /// With that agent.
    pub agent: Option<String>,
    /// From or to that number.
    pub number: Option<String>,
}

impl CallQuery {
    /// Whether a call is among those asked for; the place in the list aside.
    #[must_use]
    pub fn wants(&self, call: &CallView) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, is: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        fits(self.status.as_ref(), &call.status)
            && fits(self.direction.as_ref(), &call.direction)
            && fits(self.trunk.as_ref(), &call.trunk)
            && fits(self.agent.as_ref(), &call.agent)
            && self.number.as_ref().is_none_or(|number| *number == call.from || *number == call.to)
    }
}

/// The parameters as they are written.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Calls of a page, 1 to 500; 50 where absent.
    #[param(value_type = Option<i32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Only calls that stand so.
    #[param(value_type = Option<CallStatus>, inline)]
    status: Option<String>,
    /// Only calls that go this way.
    #[param(value_type = Option<CallDirection>, inline)]
    direction: Option<String>,
    /// Only calls by this trunk.
    trunk: Option<String>,
    /// Only calls with this agent.
    agent: Option<String>,
    /// Only calls from or to this number.
    number: Option<String>,
}

impl ListQuery {
    fn read(self) -> Result<CallQuery, Vec<FieldError>> {
        let mut errors = Vec::new();
        let limit = self.limit.map_or(Some(PAGE), |text| text.parse().ok());
        let limit = limit.filter(|limit| (1..=MAX_PAGE).contains(limit));
        if limit.is_none() {
            errors.push(FieldError::new("/limit", "is a whole number from 1 to 500"));
        }
        let status = word(self.status, "/status", &mut errors);
        let direction = word(self.direction, "/direction", &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let Self { cursor, trunk, agent, number, .. } = self;
        let limit = limit.unwrap_or(PAGE);
        Ok(CallQuery { cursor, limit, status, direction, trunk, agent, number })
    }
}

/// One word of an enumeration.
fn word<T: serde::de::DeserializeOwned>(
    text: Option<String>,
    pointer: &str,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    let read = serde_json::from_value(serde_json::Value::String(text?));
    if let Err(error) = &read {
        errors.push(FieldError::new(pointer, &error.to_string()));
    }
    read.ok()
}

/// Lists the calls in progress and the last that ended, the newest first.
#[utoipa::path(
    get, path = "/v1/calls", tag = "calls", params(ListQuery),
    responses(
        (status = 200, description = "A page of calls", body = CallPage),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(backend): State<Shared>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(query)) = query else {
        return Problem::new(StatusCode::BAD_REQUEST, "bad_query", "the parameters cannot be read")
            .into_response();
    };
    match query.read() {
        Ok(query) => Json(backend.calls(&query)).into_response(),
        Err(errors) => Problem::of_fields(errors).into_response(),
    }
}

/// Shows a call with its legs, participants, timeline, quality and SIP ladder.
#[utoipa::path(
    get, path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path, description = "The call")),
    responses(
        (status = 200, description = "The call", body = CallDetail),
        (status = 404, description = "No such call among the last ones", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(State(backend): State<Shared>, Path(id): Path<String>) -> Response {
    let Some(mut detail) = backend.call_detail(&id) else { return unknown().into_response() };
    if let Some(live) = backend.live_media(&id)
        && let Ok(Ok(media)) = timeout(LIVE, live).await
    {
        detail.with_live(media);
    }
    Json(detail).into_response()
}
