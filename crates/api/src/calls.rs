//! `/v1/calls`: placing calls, looking at them, steering and ending them.

pub(crate) mod control;
pub(crate) mod list;
pub(crate) mod outbound;
pub(crate) mod place;
pub(crate) mod room;
pub(crate) mod transfer;
pub(crate) mod view;

use axum::http::StatusCode;

use crate::Problem;

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_call", "there is no such call among the last ones")
}
