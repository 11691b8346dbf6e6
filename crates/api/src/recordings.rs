//! `GET /v1/recordings/{id}`: the recording of a call, whole or in part (RFC 9110 §14).

use std::convert::Infallible;
use std::io::SeekFrom;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;

use crate::{Problem, Shared};

/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;

/// A recording on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its media type.
    pub kind: &'static str,
}

/// Gives the recording of a call, once it has ended; a part of it where a `Range` of bytes is asked for.
#[utoipa::path(
    get, path = "/v1/recordings/{id}", tag = "calls",
    params(
        ("id" = String, Path, description = "The call"),
        ("Range" = Option<String>, Header, description = "One range of bytes, such as bytes=0-999"),
    ),
    responses(
        (status = 200, description = "The recording: the party left, the agent right", body = Vec<u8>, content_type = "audio/wav"),
        (status = 206, description = "The part that was asked for", body = Vec<u8>, content_type = "audio/wav"),
        (status = 404, description = "The call has none, or it has not ended", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The recording does not reach as far", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn recording(
    State(backend): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let unknown = || {
        let detail = "the call has no recording, or it has not ended";
        Problem::new(StatusCode::NOT_FOUND, "unknown_recording", detail).into_response()
    };
    let Some(recording) = backend.recording(&id) else { return unknown() };
    let Ok(file) = File::open(&recording.path).await else { return unknown() };
    let Ok(length) = file.metadata().await.map(|data| data.len()) else { return unknown() };
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let (status, from, to) = match part(asked, length) {
        Part::All => (StatusCode::OK, 0, length),
        Part::Some(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Part::None => {
            let detail = "the recording does not reach as far";
            return Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_range", detail)
                .header(header::CONTENT_RANGE, &format!("bytes */{length}"))
                .into_response();
        }
    };
    let mut response = (status, Body::new(stream(file, from, to - from))).into_response();
    let fields = response.headers_mut();
    let range = (status == StatusCode::PARTIAL_CONTENT).then(|| format!("bytes {from}-{}/{length}", to - 1));
    for (name, value) in [
        (header::CONTENT_TYPE, Some(recording.kind.to_owned())),
        (header::CONTENT_LENGTH, Some((to - from).to_string())),
        (header::ACCEPT_RANGES, Some("bytes".to_owned())),
        (header::CONTENT_RANGE, range),
    ] {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            fields.insert(name, value);
        }
    }
    response
}

/// What of a file is asked for; the end is behind the last byte.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    All,
    Some(u64, u64),
    /// Nothing that there is.
    None,
}

/// What a `Range` asks of so many bytes. One that cannot be read, or asks for several parts, counts for
/// nothing, as RFC 9110 §14.2 allows.
fn part(range: Option<&str>, length: u64) -> Part {
    let Some((from, to)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return Part::All;
    };
    let last = length.saturating_sub(1);
    match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to && from < length => Part::Some(from, to.min(last) + 1),
        (Ok(from), Err(_)) if to.trim().is_empty() && from < length => Part::Some(from, length),
        (Err(_), Ok(count)) if from.trim().is_empty() && count > 0 && length > 0 => {
            Part::Some(length.saturating_sub(count), length)
        }
        (Ok(from), Ok(to)) if from <= to => Part::None,
        (Ok(_), Err(_)) if to.trim().is_empty() => Part::None,
        (Err(_), Ok(_)) if from.trim().is_empty() => Part::None,
        _ => Part::All,
    }
}

/// So many bytes of a file, read as they are taken.
fn stream(mut file: File, from: u64, mut left: u64) -> Chunks {
    let (sender, chunks) = mpsc::channel(2);
    tokio::spawn(async move {
        if from > 0 && file.seek(SeekFrom::Start(from)).await.is_err() {
            return;
        }
        while left > 0 {
            let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            // A file that ends early ends the response early, which its length gives away.
            let Ok(read @ 1..) = file.read(&mut chunk).await else { return };
            chunk.truncate(read);
            left -= read as u64;
            if sender.send(Bytes::from(chunk)).await.is_err() {
                return;
            }
        }
    });
    Chunks(chunks)
}

struct Chunks(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (range, wanted) in [
            (None, Part::All),
            (Some("bytes=0-0"), Part::Some(0, 1)),
            (Some("bytes=10-19"), Part::Some(10, 20)),
            (Some("bytes=90-"), Part::Some(90, 100)),
            (Some("bytes=90-1000"), Part::Some(90, 100)),
            (Some("bytes=-5"), Part::Some(95, 100)),
            (Some("bytes=-500"), Part::Some(0, 100)),
            (Some("bytes=100-"), Part::None),
            (Some("bytes=100-200"), Part::None),
            (Some("bytes=-0"), Part::None),
            (Some("bytes=20-10"), Part::All),
            (Some("bytes=0-1,5-6"), Part::All),
            (Some("lines=0-1"), Part::All),
            (Some("bytes=x-y"), Part::All),
        ] {
            assert_eq!(part(range, 100), wanted, "{range:?}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::None);
    }
}
