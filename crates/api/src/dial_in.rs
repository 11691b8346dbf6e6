//! Agents behind NAT open their own WebSocket (RFC 6455 §4.2): the handshake is answered here, then
//! the socket leaves HTTP.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

use crate::access::bearer;
use crate::{Problem, Shared};

/// The subprotocols of the agents' protocols, where one has a name: linear audio has two.
const SUBPROTOCOLS: [&str; 2] = ["audio.jambonz.org", "audio.drachtio.org"];

/// An agent behind NAT opens its own WebSocket, with its secret as the bearer.
#[utoipa::path(
    get, path = "/v1/agents/{name}/connect", tag = "node", params(("name" = String, Path, description = "The agent")),
    responses(
        (status = 101, description = "The socket is the agent's"),
        (status = 401, description = "No such agent, or not its secret", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong secrets from that address", body = Problem, content_type = "application/problem+json"),
        (status = 426, description = "This is no WebSocket handshake", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn connect(
    State(backend): State<Shared>,
    Path(agent): Path<String>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let secret = bearer(headers).map(str::to_owned).filter(|secret| backend.may_dial_in(&agent, secret));
    let Some(secret) = secret else {
        let detail = "no agent of that name dials in with that secret";
        return Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    };
    let holds = |name, word: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let key = headers.get("sec-websocket-key").map(|key| key.as_bytes().to_vec());
    let version = holds("sec-websocket-version", "13");
    let upgrade =
        holds(header::CONNECTION.as_str(), "upgrade") && holds(header::UPGRADE.as_str(), "websocket");
    let (Some(key), true, true) = (key, version, upgrade) else {
        let detail = "open a WebSocket here";
        return Problem::new(StatusCode::UPGRADE_REQUIRED, "websocket_wanted", detail).into_response();
    };
    let accept = derive_accept_key(&key);
    let subprotocol = SUBPROTOCOLS.into_iter().find(|name| holds("sec-websocket-protocol", name));
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else {
            return;
        };
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => backend.dial_in(&agent, &secret, parts.io.into_inner(), parts.read_buf.to_vec()),
            Err(_) => tracing::error!("a dial-in socket is no TCP stream"),
        }
    });
    let fields = [
        (header::CONNECTION.as_str(), "Upgrade"),
        (header::UPGRADE.as_str(), "websocket"),
        ("sec-websocket-accept", accept.as_str()),
    ];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, fields).into_response();
    if let Some(name) = subprotocol {
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(name));
    }
    response
}
