//! `GET /v1/events`: what happens, as server-sent events (WHATWG HTML §9.2).
//!
//! ```text
//! publish ─▶ ring of the last events ─▶ a bounded queue for each reader ─▶ its response
//! ```
//! A reader that names its last event (`Last-Event-ID`) gets those that it missed, as far as the ring
//! reaches; a reader that is too slow is told so and let go, and may come back in the same way. All are let
//! go when the keys of the API change: who still has one comes back.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use crate::access::{may_read, unauthorized};
use crate::{Problem, Shared};

/// Events that a reader may have missed and still gets.
const RING: usize = 4096;
/// Events that wait for one reader beside what its connection holds.
const QUEUE: usize = 256;
/// Most readers.
const MAX_READERS: usize = 64;
/// How often a reader that nothing is to be told is sent a comment, so that nobody between takes the
/// connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An event as it goes out.
type Text = Bytes;

/// Everything that happens, for those who read it.
pub struct Events(Mutex<Hub>);

struct Hub {
    /// The id of the next event.
    next: u64,
    ring: VecDeque<(u64, Text)>,
    readers: Vec<mpsc::Sender<Text>>,
    closed: bool,
}

impl Events {
    /// Nothing has happened yet. Ids begin at `first`; where that is later than all ids of the program's
    /// former lives, a reader of those knows what it missed.
    #[must_use]
    pub fn new(first: u64) -> Self {
        let (ring, readers) = (VecDeque::new(), Vec::new());
        Self(Mutex::new(Hub { next: first, ring, readers, closed: false }))
    }

    /// Tells of something.
    pub fn publish(&self, kind: &'static str, data: &impl Serialize) {
        let Ok(data) = serde_json::to_string(data) else { return };
        let mut hub = self.hub();
        let id = hub.next;
        hub.next += 1;
        let text = Text::from(format!("id: {id}\nevent: {kind}\ndata: {data}\n\n"));
        if hub.ring.len() == RING {
            hub.ring.pop_front();
        }
        hub.ring.push_back((id, text.clone()));
        // Who is too slow, or gone, has its queue closed: it drains what is in it, and learns that.
        hub.readers.retain(|reader| reader.try_send(text.clone()).is_ok());
    }

    /// Lets every reader go: whether it may still read is seen when it comes back.
    pub fn let_go(&self) {
        self.hub().readers.clear();
    }

    /// Ends every response.
    pub(crate) fn close(&self) {
        let mut hub = self.hub();
        hub.closed = true;
        hub.readers.clear();
    }

    /// A reader that has read up to `last`; none where there are too many.
    fn read(self: &Arc<Self>, last: Option<u64>, keep_alive: Duration) -> Option<Reader> {
        let mut hub = self.hub();
        hub.readers.retain(|reader| !reader.is_closed());
        if hub.closed || hub.readers.len() >= MAX_READERS {
            return None;
        }
        let (sender, queue) = mpsc::channel(QUEUE);
        hub.readers.push(sender);
        let mut missed = VecDeque::from([Text::from_static(b"retry: 2000\n\n")]);
        if let Some(last) = last {
            let oldest = hub.ring.front().map_or(hub.next, |(id, _)| *id);
            if last.saturating_add(1) < oldest {
                missed.push_back(note("gap", "events between your last and the next are no longer kept"));
            }
            missed.extend(hub.ring.iter().filter(|(id, _)| *id > last).map(|(_, text)| text.clone()));
        }
        let mut alive = tokio::time::interval(keep_alive);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        alive.reset();
        Some(Reader { events: Arc::clone(self), missed, queue: Some(queue), alive })
    }

    /// Held for a push or a look.
    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something about the stream itself.
fn note(kind: &str, detail: &str) -> Text {
    Text::from(format!("event: {kind}\ndata: {{\"detail\":\"{detail}\"}}\n\n"))
}

/// One reader's response.
struct Reader {
    events: Arc<Events>,
    missed: VecDeque<Text>,
    /// None once it is over.
    queue: Option<mpsc::Receiver<Text>>,
    alive: Interval,
}

impl Reader {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Text>> {
        if let Some(text) = self.missed.pop_front() {
            return Poll::Ready(Some(text));
        }
        let Some(queue) = &mut self.queue else {
            return Poll::Ready(None);
        };
        match queue.poll_recv(cx) {
            Poll::Ready(Some(text)) => return Poll::Ready(Some(text)),
            Poll::Ready(None) => {
                self.queue = None;
                let goes_on = !self.events.hub().closed;
                let why = "you read too slowly, or the keys have changed; come back with Last-Event-ID";
                return Poll::Ready(goes_on.then(|| note("dropped", why)));
            }
            Poll::Pending => {}
        }
        self.alive.poll_tick(cx).map(|_| Some(Text::from_static(b": alive\n\n")))
    }
}

impl hyper::body::Body for Reader {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.next(cx).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}

/// Tells what happens, for as long as the reader stays: `call.began`, `call.answered`, `call.transferred`,
/// `call.ended`, `dtmf`, `recording.started`, `recording.paused`, `recording.resumed`, `recording.ended`, `trunk.changed`.
///
/// `data` is JSON with the time `at`, and `call`, `call_id` or `trunk`; numbers in it are masked unless
/// `[api] event_numbers` says otherwise. `gap` and `dropped` tell of the stream itself.
#[utoipa::path(
    get, path = "/v1/events", tag = "node",
    params(("Last-Event-ID" = Option<u64>, Header, description = "The last event that was read: those behind it come first")),
    responses(
        (status = 200, description = "Server-sent events", body = String, content_type = "text/event-stream"),
        (status = 400, description = "Last-Event-ID is no id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "There are too many readers", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn events(State(backend): State<Shared>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("").trim().parse());
    let Ok(last) = last.transpose() else {
        let detail = "Last-Event-ID is the id of an event";
        return Problem::new(StatusCode::BAD_REQUEST, "bad_event_id", detail).into_response();
    };
    let Some(reader) = backend.events().read(last, KEEP_ALIVE) else {
        let detail = "there are as many readers as there may be";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_readers", detail).into_response();
    };
    // Between the look at the key and here all may have been let go.
    if !may_read(&backend.keys(), &headers) {
        return unauthorized(true).into_response();
    }
    let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (fields, Body::new(reader)).into_response()
}

#[cfg(test)]
mod tests;
