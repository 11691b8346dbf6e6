//! `POST /v1/config/reload`: the tables are read again; with `?dry_run=true` only what that would change
//! is told.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::{Problem, Shared};

/// What a reload changes, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReloadChanges {
    /// What takes effect at once.
    pub changes: Vec<String>,
    /// Keys of the node's file that are different and stay as they are until the next start.
    pub needs_restart: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReloadQuery {
    #[serde(default)]
    dry_run: bool,
}

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
        Ok(Ok(ReloadChanges { changes, needs_restart })) => {
            let told =
                serde_json::json!({ "dry_run": dry_run, "changes": changes, "needs_restart": needs_restart });
            Json(told).into_response()
        }
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
