//! The HTTP side of the daemon (RFC 9110; problems by RFC 9457).
//!
//! | path | scope | what |
//! |---|---|---|
//! | `GET /healthz` | | the process runs |
//! | `GET /readyz` | | it takes new calls; 503 while draining |
//! | `GET /v1/openapi.json` | | the description of all this (OpenAPI 3.1) |
//! | `GET /metrics` | read | Prometheus |
//! | `GET /v1/calls` | read | calls in progress and the last that ended |
//! | `GET /v1/calls/{id}` | read | one, with legs, participants, timeline, quality and SIP ladder |
//! | `GET /v1/recordings/{id}` | read | the recording of a call, whole or in part |
//! | `GET /v1/events` | read | what happens, as server-sent events |
//! | `GET /v1/trunks` | read | the trunks, with registration and health |
//! | `POST /v1/calls` | operate | place a call: 202 with its id |
//! | `POST /v1/calls/{id}/dtmf` | operate | press keys |
//! | `DELETE /v1/calls/{id}/dtmf` | operate | press no more of them |
//! | `POST /v1/calls/{id}/transfer` and `…/complete`, `DELETE …/transfer` | operate | put the caller through |
//! | `POST /v1/calls/{id}/hold`, `/mute`, `/record`, `/play` | operate | what is done in the room |
//! | `POST /telephony/outbound-call` | operate | place a call and wait for the answer |
//! | `DELETE /v1/calls/{id}` | operate | hang a call up, or give it up while it rings |
//! | `POST /v1/config/reload` | admin | read the tables again |
//! | `GET /v1/agents/{name}/connect` | the agent's secret | an agent opens its own WebSocket |
//! | `POST /2010-04-01/Accounts/{ac}/Calls/{ca}.json` | the agent's secret | `Status=completed` ends a call, as Twilio's API does |
//!
//! The crate knows HTTP only; what is asked for is done by the [`Backend`].

mod access;
mod backend;
mod body;
mod calls;
mod dial_in;
mod events;
mod limit;
mod openapi;
mod problem;
mod recordings;
mod reload;
mod routes;
mod server;
mod trunks;
mod twilio;

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

pub use access::{Key, Keys, Scope, hash, same};
pub use backend::{Backend, CompleteError};
pub use calls::control::ControlError;
pub use calls::list::CallQuery;
pub use calls::place::{PlaceError, PlaceRequest, Repeat};
pub use calls::room::{RecordAction, RoomAsk};
pub use calls::transfer::{TransferFallback, TransferMode, TransferRequest};
pub use calls::view::{
    CallDetail, CallDirection, CallPage, CallStatus, CallView, LegView, LiveMedia, ParticipantView, Quality,
    RecordingStatus, RecordingView, Rung, TimelineEntry, TransferOutcome,
};
pub use events::Events;
pub use problem::{FieldError, Problem};
pub use recordings::RecordingFile;
pub use reload::ReloadChanges;
pub use trunks::{AddressView, TrunkView};

type Shared = Arc<dyn Backend>;

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
    let events = Arc::clone(backend.events());
    let stop = async move {
        stop.await;
        // Or its readers would keep the server up.
        events.close();
    };
    server::run(listener, routes::router(&backend, per_second), stop).await
}

#[cfg(test)]
mod tests;
