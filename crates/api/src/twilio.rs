//! The one call of Twilio's REST API that media-stream agents make: ending a call.

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde::Deserialize;

use crate::{CompleteError, Shared};

#[derive(Deserialize)]
pub(crate) struct Update {
    #[serde(rename = "Status")]
    status: Option<String>,
}

pub(crate) async fn update_call(
    State(backend): State<Shared>,
    Path((account, call)): Path<(String, String)>,
    headers: HeaderMap,
    Form(update): Form<Update>,
) -> Response {
    let call = call.strip_suffix(".json").unwrap_or(&call);
    if update.status.as_deref() != Some("completed") {
        return error(StatusCode::BAD_REQUEST, 20001, "only Status=completed is taken here");
    }
    match backend.complete_call(call, password(&headers).as_deref()) {
        Ok(()) => {
            let body = serde_json::json!({ "sid": call, "account_sid": account, "status": "completed" });
            axum::Json(body).into_response()
        }
        Err(CompleteError::NotFound) => error(StatusCode::NOT_FOUND, 20404, "the call is over or never was"),
        Err(CompleteError::Unauthorized) => error(StatusCode::UNAUTHORIZED, 20003, "authenticate"),
    }
}

/// The password of HTTP Basic.
fn password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let plain = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
    let plain = String::from_utf8(plain).ok()?;
    plain.split_once(':').map(|(_, password)| password.to_owned())
}

/// An error in Twilio's own form, since its clients read it.
fn error(status: StatusCode, code: u32, message: &str) -> Response {
    let body = serde_json::json!({ "code": code, "message": message, "status": status.as_u16() });
    (status, axum::Json(body)).into_response()
}
