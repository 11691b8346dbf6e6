//! `POST /v1/config/reload`: the tables are read again; with `?dry_run=true` only what that would change
//! is told.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Problem, Shared};

/// What a reload changes, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReloadChanges {
    /// What takes effect at once.
    pub changes: Vec<String>,
    /// Keys of the node's file that are different and stay as they are until the next start.
    pub needs_restart: Vec<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReloadQuery {
    /// Only tell what would change.
    #[serde(default)]
    dry_run: bool,
}

/// A reload, done or tried.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Reloaded {
    /// Nothing was changed.
    dry_run: bool,
    #[serde(flatten)]
    changes: ReloadChanges,
}

/// Reads the configuration again: tables, keys, certificates, sounds.
#[utoipa::path(
    post, path = "/v1/config/reload", tag = "node", params(ReloadQuery),
    responses(
        (status = 200, description = "What changed, or would", body = Reloaded),
        (status = 400, description = "The parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The configuration has errors; the old one stays in force", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reload(
    State(backend): State<Shared>,
    query: Result<Query<ReloadQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(ReloadQuery { dry_run })) = query else {
        let detail = "write ?dry_run=true, or nothing";
        return Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail).into_response();
    };
    // Files are read, which may take long.
    let outcome = tokio::task::spawn_blocking(move || backend.reload(dry_run)).await;
    match outcome {
        Ok(Ok(changes)) => Json(Reloaded { dry_run, changes }).into_response(),
        Ok(Err(problems)) => {
            let detail = "the configuration has errors; the old one stays in force";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_table", detail)
                .with_errors(problems)
                .into_response()
        }
        Err(_) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the reload failed").into_response()
        }
    }
}
