//! The HTTP side of the daemon (RFC 9110; problems by RFC 9457).
//!
//! | path | what |
//! |---|---|
//! | `GET /healthz` | the process runs |
//! | `GET /readyz` | it takes new calls; 503 while draining |
//! | `GET /metrics` | Prometheus |
//! | `POST /v1/config/reload` | read the tables again; `?dry_run=true` only tells what that would change |
//! | `POST /v1/calls` | place a call: 202 with its id |
//! | `GET /v1/calls`, `GET /v1/calls/{id}` | calls in progress and the last thousand |
//! | `POST /v1/calls/{id}/dtmf` | press keys |
//! | `DELETE /v1/calls/{id}` | hang a call up, or give it up while it rings |
//! | `GET /v1/trunks` | the trunks, with registration and health |
//! | `GET /v1/agents/{name}/connect` | an agent opens its own WebSocket |
//! | `POST /2010-04-01/Accounts/{ac}/Calls/{ca}.json` | `Status=completed` ends a call, as Twilio's API does |
//!
//! The crate knows HTTP only; what is asked for is done by the [`Backend`].

mod access;
mod calls;
mod dial_in;
mod limit;
mod problem;
mod reload;
mod server;
mod trunks;
mod twilio;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tokio::net::{TcpListener, TcpStream};

use access::{Gate, check};
use limit::Limiter;

pub use access::{Key, Keys, Scope, hash, same};
pub use calls::{CallView, PlaceError, PlaceRequest, PressError};
pub use problem::Problem;
pub use reload::ReloadChanges;
pub use trunks::{AddressView, TrunkView};

/// What the daemon does for its HTTP users.
pub trait Backend: Send + Sync + 'static {
    /// Whether new calls are taken.
    fn is_ready(&self) -> bool;
    /// The metrics page.
    fn metrics(&self) -> String;
    /// Reads the tables again: what changed, or every problem. A dry run only tells.
    ///
    /// # Errors
    /// The problems, a line each; nothing was changed.
    fn reload(&self, dry_run: bool) -> Result<ReloadChanges, Vec<String>>;
    /// Ends the call with that `CA…` identifier, if `password` may.
    ///
    /// # Errors
    /// Where there is no such call, or the password is wrong.
    fn complete_call(&self, call_sid: &str, password: Option<&str>) -> Result<(), CompleteError>;
    /// Places a call. The same `key` again gives the call that it placed.
    ///
    /// # Errors
    /// Why not; nothing was sent.
    fn place_call(&self, request: PlaceRequest, key: Option<String>) -> Result<CallView, PlaceError>;
    /// The newest `limit` calls before `cursor`, the newest first.
    fn calls(&self, cursor: Option<&str>, limit: usize) -> Vec<CallView>;
    /// One call.
    fn call(&self, id: &str) -> Option<CallView>;
    /// Presses keys in a call.
    ///
    /// # Errors
    /// Where they are none, or the call is not up.
    fn press(&self, id: &str, keys: &str) -> Result<(), PressError>;
    /// Ends a call; false where there is no such call in progress.
    fn hang_up(&self, id: &str) -> bool;
    /// The trunks.
    fn trunks(&self) -> Vec<TrunkView>;
    /// Whether an agent of that name dials in and shows that secret.
    fn may_dial_in(&self, agent: &str, secret: &str) -> bool;
    /// Takes over an agent's socket, its handshake answered, with the bytes read behind it. The secret
    /// is the one that it showed.
    fn dial_in(&self, agent: &str, secret: &str, stream: TcpStream, unread: Vec<u8>);
    /// The keys of the API.
    fn keys(&self) -> Arc<Keys>;
}

/// Why a call was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompleteError {
    /// No such call.
    NotFound,
    /// The password is wrong.
    Unauthorized,
}

type Shared = Arc<dyn Backend>;

/// Longest request body.
const MAX_BODY: usize = 64 * 1024;

/// Serves HTTP until `stop` is done; one key, or one address without a key, gets `per_second` answers.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    per_second: u32,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let limiter = Arc::new(Limiter::new(per_second));
    let gate = |scope| {
        let gate = Gate { backend: Arc::clone(&backend), limiter: Arc::clone(&limiter), scope };
        middleware::from_fn_with_state(gate, check)
    };
    let read = Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/trunks", get(trunks::list))
        .route("/v1/calls", get(calls::list))
        .route("/v1/calls/{id}", get(calls::show))
        .route_layer(gate(Scope::Read));
    let operate = Router::new()
        .route("/v1/calls", post(calls::place))
        .route("/v1/calls/{id}", delete(calls::hang_up))
        .route("/v1/calls/{id}/dtmf", post(calls::dtmf))
        .route_layer(gate(Scope::Operate));
    let admin =
        Router::new().route("/v1/config/reload", post(reload::reload)).route_layer(gate(Scope::Admin));
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/v1/agents/{name}/connect", get(dial_in::connect))
        .route("/2010-04-01/Accounts/{account}/Calls/{call}", post(twilio::update_call))
        .merge(read)
        .merge(operate)
        .merge(admin)
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not with this method")
        })
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path") })
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(server::in_time))
        .with_state(backend);
    server::run(listener, router, stop).await
}

async fn ready(State(backend): State<Shared>) -> Response {
    if backend.is_ready() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
}

async fn metrics(State(backend): State<Shared>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], backend.metrics()).into_response()
}
