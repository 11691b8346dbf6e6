//! What has come over a connection and was not handed on yet, and how long it may take.

use std::time::Duration;

use tokio::time::Instant;
use trunkline_sip::stream::{FrameError, Framed, Framer};

use crate::{Received, Sink};

/// How long one message may take from its first byte to its last.
pub(super) const MESSAGE_TIME: Duration = Duration::from_secs(10);
/// How long a connection may say nothing; carriers close theirs after about two minutes.
const IDLE_TIME: Duration = Duration::from_secs(600);

/// How long a connection is not read where its shard has no room.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Inbox {
    framer: Framer,
    /// A message that its shard has no room for now, and since when.
    waiting: Option<(Received, Instant)>,
    /// When it is offered again.
    again: Instant,
    message_ends: Option<Instant>,
    idle_ends: Instant,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let (framer, idle_ends) = (Framer::default(), now + IDLE_TIME);
        Self { framer, waiting: None, again: now, message_ends: None, idle_ends }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.framer.push(bytes);
    }

    /// Whether nothing more is to be read for now.
    pub(super) const fn is_full(&self) -> bool {
        self.waiting.is_some()
    }

    /// When the message that waits is offered again.
    pub(super) const fn again(&self) -> Instant {
        self.again
    }

    /// Whether a message has waited for so long that its peer has given it up.
    pub(super) fn is_stuck(&self) -> bool {
        self.waiting.as_ref().is_some_and(|(_, since)| since.elapsed() >= MESSAGE_TIME)
    }

    /// When the connection is closed if nothing more comes.
    pub(super) fn until(&self) -> Instant {
        self.message_ends.map_or(self.idle_ends, |ends| ends.min(self.idle_ends))
    }

    /// Something went over the connection.
    pub(super) fn keep(&mut self) {
        self.idle_ends = Instant::now() + IDLE_TIME;
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Framed>, FrameError> {
        self.framer.next_frame()
    }

    /// Keeps a message until it is taken.
    pub(super) fn hold(&mut self, received: Received) {
        self.waiting = Some((received, Instant::now()));
    }

    /// Hands on the message that waits; false where it has to wait on.
    pub(super) fn empties(&mut self, sink: &Sink) -> bool {
        let refused = |(received, since)| sink(received).err().map(|received| (received, since));
        self.waiting = self.waiting.take().and_then(refused);
        self.again = Instant::now() + PAUSE;
        self.waiting.is_none()
    }

    /// Sets the deadlines anew after what came was looked at.
    pub(super) fn rest(&mut self, is_peer: bool) {
        let whole = self.framer.took_message();
        if whole || is_peer {
            self.keep();
        }
        let begun = self.message_ends.filter(|_| !whole);
        let partial = self.framer.is_partial() && self.waiting.is_none();
        self.message_ends = partial.then(|| begun.unwrap_or_else(|| Instant::now() + MESSAGE_TIME));
    }
}

/// Hands on what must not be lost, as soon as there is room for it.
pub(super) async fn deliver(sink: &Sink, received: Received) {
    let mut waiting = Some(received);
    while let Some(refused) = waiting.take().and_then(|received| sink(received).err()) {
        waiting = Some(refused);
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_not_taken_waits_and_keeps_its_place() {
        let open = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&open);
        let sink: Sink = Arc::new(move |received| match gate.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(received),
        });
        let mut inbox = Inbox::new();
        inbox.hold(Received::ConnectionLost(1));
        assert!(!inbox.empties(&sink) && inbox.is_full());
        assert!(!inbox.empties(&sink) && inbox.is_full(), "it is not lost");
        open.store(true, Ordering::Relaxed);
        assert!(inbox.empties(&sink) && !inbox.is_full());
    }
}
