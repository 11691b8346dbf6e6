//! The one call of Twilio's REST API that media-stream agents make: ending a call.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CompleteError, Problem, Shared};

#[derive(Deserialize, ToSchema)]
pub(crate) struct Update {
    /// `completed`.
    #[schema(value_type = String, required = true, pattern = "^completed$")]
    #[serde(rename = "Status")]
    status: Option<String>,
}

/// A call that is ended, in Twilio's words.
#[derive(Serialize, ToSchema)]
pub(crate) struct Completed {
    sid: String,
    account_sid: String,
    status: &'static str,
}

/// An error in Twilio's own form, since its clients read it.
#[derive(Serialize, ToSchema)]
pub(crate) struct TwilioError {
    code: u32,
    message: String,
    status: u16,
}

/// Ends a call as Twilio's API does, with HTTP Basic and the agent's secret as the password.
#[utoipa::path(
    post, path = "/2010-04-01/Accounts/{account}/Calls/{call}", tag = "calls",
    params(
        ("account" = String, Path, description = "The account of the agent's `start`"),
        ("call" = String, Path, description = "The `callSid` of the agent's `start`, with `.json` behind it or without"),
    ),
    request_body(content = Update, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is being ended", body = Completed),
        (status = 400, description = "Another status was asked for", body = TwilioError),
        (status = 401, description = "The password is wrong", body = TwilioError),
        (status = 404, description = "No such call", body = TwilioError),
        (status = 429, description = "Too many wrong passwords from that address", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update_call(
    State(backend): State<Shared>,
    Path((account, call)): Path<(String, String)>,
    headers: HeaderMap,
    update: Result<Form<Update>, FormRejection>,
) -> Response {
    let Ok(Form(update)) = update else {
        return error(StatusCode::BAD_REQUEST, 20001, "a form is taken here, with Status=completed");
    };
    let call = call.strip_suffix(".json").unwrap_or(&call);
    if update.status.as_deref() != Some("completed") {
        return error(StatusCode::BAD_REQUEST, 20001, "only Status=completed is taken here");
    }
    match backend.complete_call(call, password(&headers).as_deref()) {
        Ok(()) => {
            let sid = call.to_owned();
            axum::Json(Completed { sid, account_sid: account, status: "completed" }).into_response()
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

fn error(status: StatusCode, code: u32, message: &str) -> Response {
    let body = TwilioError { code, message: message.to_owned(), status: status.as_u16() };
    (status, axum::Json(body)).into_response()
}
