//! Every route, with the scope that it takes and its part of the OpenAPI description.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{Gate, Scope, check, count_guesses};
use crate::calls::{control, list, outbound, place, room, transfer};
use crate::limit::Limiter;
use crate::{Backend, Problem, Shared, dial_in, events, openapi, recordings, reload, server, trunks, twilio};

/// Longest request body.
const MAX_BODY: usize = 64 * 1024;

/// The routes that everyone may take.
fn public() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::base()).routes(routes!(health)).routes(routes!(ready))
}

/// Those that have secrets of their own.
fn secret() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(dial_in::connect)).routes(routes!(twilio::update_call))
}

fn of_scope(scope: Scope) -> OpenApiRouter<Shared> {
    match scope {
        Scope::Read => OpenApiRouter::new()
            .routes(routes!(metrics))
            .routes(routes!(trunks::list))
            .routes(routes!(list::list))
            .routes(routes!(list::show))
            .routes(routes!(events::events))
            .routes(routes!(recordings::recording)),
        Scope::Operate => OpenApiRouter::new()
            .routes(routes!(place::place))
            .routes(routes!(control::hang_up))
            .routes(routes!(control::dtmf, control::dtmf_ends))
            .routes(routes!(transfer::transfer, transfer::cancel))
            .routes(routes!(transfer::complete))
            .routes(routes!(room::hold))
            .routes(routes!(room::mute))
            .routes(routes!(room::record))
            .routes(routes!(room::play)),
        Scope::Admin => OpenApiRouter::new().routes(routes!(reload::reload)),
    }
}

/// The route that waits for somebody to answer a telephone, longer than others may take.
fn patient() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(outbound::outbound_call))
}

/// The whole description.
pub(crate) fn description() -> utoipa::openapi::OpenApi {
    let mut api = public().into_openapi();
    api.merge(secret().into_openapi());
    for (routes, scope) in [
        (of_scope(Scope::Read), Scope::Read),
        (of_scope(Scope::Operate), Scope::Operate),
        (patient(), Scope::Operate),
        (of_scope(Scope::Admin), Scope::Admin),
    ] {
        let mut guarded = routes.into_openapi();
        openapi::guarded(&mut guarded, scope);
        api.merge(guarded);
    }
    api
}

/// All of it, for the server.
pub(crate) fn router(backend: &Arc<dyn Backend>, per_second: u32) -> Router {
    let limiter = Arc::new(Limiter::new(per_second));
    let guarded = |routes: OpenApiRouter<Shared>, scope| {
        let gate = Gate { backend: Arc::clone(backend), limiter: Arc::clone(&limiter), scope };
        Router::from(routes).route_layer(middleware::from_fn_with_state(gate, check))
    };
    let secret = Router::from(secret())
        .route_layer(middleware::from_fn_with_state(Arc::clone(&limiter), count_guesses));
    let text = openapi::text(&description());
    Router::from(public())
        .route("/v1/openapi.json", get(|| async move { openapi::served(&text) }))
        .merge(secret)
        .merge(guarded(of_scope(Scope::Read), Scope::Read))
        .merge(guarded(of_scope(Scope::Operate), Scope::Operate))
        .merge(guarded(of_scope(Scope::Admin), Scope::Admin))
        .layer(middleware::from_fn(server::in_time))
        .merge(guarded(patient(), Scope::Operate))
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
        })
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::clone(backend))
}

/// Whether the process runs.
#[utoipa::path(
    get, path = "/healthz", tag = "node",
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain"))
)]
async fn health() -> &'static str {
    "ok\n"
}

/// Whether new calls are taken.
#[utoipa::path(
    get, path = "/readyz", tag = "node",
    responses(
        (status = 200, description = "They are", body = String, content_type = "text/plain"),
        (status = 503, description = "The node drains", body = String, content_type = "text/plain"),
    )
)]
async fn ready(State(backend): State<Shared>) -> Response {
    if backend.is_ready() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
}

/// Metrics for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "node",
    responses((status = 200, description = "The page", body = String, content_type = "application/openmetrics-text"))
)]
async fn metrics(State(backend): State<Shared>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], backend.metrics()).into_response()
}

#[cfg(test)]
mod tests;
