//! Which shard an input belongs to: messages by a keyed hash of their Call-ID, answers of edges by the
//! handle of their call. An INVITE with Replaces goes to the shard of the dialog that it names, and what follows
//! it by its alias ([`Aliases`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use trunkline_call::{CallHandle, Input, PlaceCall, Spread, TrunkCharge};
use trunkline_media::Report;
use trunkline_signalling::{KeyedHash, Tokens};
use trunkline_sip::Message;
use trunkline_transport::Received;

use crate::admission::Permit;
use crate::aliases::{Aliases, peer_tag, replaced};

/// Messages that wait for one shard.
const QUEUE: usize = 16 * 1024;

/// Hands inputs to the shards that they belong to.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    spread: Spread,
    messages: Vec<mpsc::Sender<Input>>,
    /// Answers of edges: a few a call, and one for a request of ours that was not sent, so their number
    /// is bounded by `max_calls`. What strangers can cause comes by `messages`.
    replies: Vec<mpsc::UnboundedSender<Input>>,
    dropped: Arc<AtomicU64>,
    aliases: Arc<Aliases>,
}

/// The receiving ends of one shard.
pub(crate) struct Queues {
    pub(crate) messages: mpsc::Receiver<Input>,
    pub(crate) replies: mpsc::UnboundedReceiver<Input>,
}

impl Dispatcher {
    pub(crate) fn new(shards: usize, key: (u64, u64)) -> (Self, Vec<Queues>) {
        let mut queues = Vec::new();
        let (mut messages, mut replies) = (Vec::new(), Vec::new());
        for _ in 0..shards {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let (reply_sender, reply_receiver) = mpsc::unbounded_channel();
            messages.push(sender);
            replies.push(reply_sender);
            queues.push(Queues { messages: receiver, replies: reply_receiver });
        }
        let dropped = Arc::new(AtomicU64::new(0));
        let hash = KeyedHash::new(key);
        let (spread, aliases) = (Spread::over(shards, hash), Arc::new(Aliases::new(hash)));
        (Self { spread, messages, replies, dropped, aliases }, queues)
    }

    /// What the transport received. A shard that is too far behind takes no more: a datagram is dropped
    /// and sent again by its peer, a message of a connection is given back to wait.
    pub(crate) fn received(&self, received: Received) -> Result<(), Received> {
        match received {
            Received::Message(message, flow, names) => {
                let shard = self.shard_of(&message);
                match self.messages[shard].try_send(Input::Message(message, flow, names)) {
                    Ok(()) => {}
                    Err(TrySendError::Full(Input::Message(message, flow, names))) if flow.is_reliable() => {
                        return Err(Received::Message(message, flow, names));
                    }
                    Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                        self.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Received::Unsent(request) => {
                let tag = request.to().and_then(|to| to.tag()).unwrap_or_default();
                let shard = request.call_id().map_or(0, |call_id| self.shard_of_dialog(call_id, tag));
                let _ = self.replies[shard].send(Input::Unsent(request));
            }
            Received::ConnectionLost(connection) => {
                for messages in &self.messages {
                    let told = messages.try_send(Input::ConnectionLost(connection));
                    // Told to all again later; twice does no harm. A shard that is gone has no call left.
                    if matches!(told, Err(TrySendError::Full(_))) {
                        return Err(Received::ConnectionLost(connection));
                    }
                }
            }
        }
        Ok(())
    }

    /// Messages dropped because a shard was too far behind.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// What a media thread reported.
    pub(crate) fn report(&self, report: Report) {
        match report {
            Report::Room(call, event) => self.reply(CallHandle(call), Input::Room(CallHandle(call), event)),
            Report::LegClosed(call, member, stats) => {
                self.reply(CallHandle(call), Input::LegClosed(CallHandle(call), member, stats));
            }
            Report::Closed(call, stats) => {
                self.reply(CallHandle(call), Input::RoomClosed(CallHandle(call), stats))
            }
        }
    }

    /// A call for the shard that its Call-ID belongs to, with its place.
    pub(crate) fn place(&self, place: PlaceCall, permit: Permit<'_>) {
        let shard = self.shard_of_call_id(place.sip_call_id.as_bytes());
        if self.replies[shard].send(Input::Place(Box::new(place))).is_ok() {
            permit.hand_over();
        }
    }

    /// An input for the shard of a call.
    pub(crate) fn reply(&self, call: CallHandle, input: Input) {
        self.tell(call.shard(), input);
    }

    /// The same input for every shard.
    pub(crate) fn broadcast(&self, make: impl Fn() -> Input) {
        for replies in &self.replies {
            let _ = replies.send(make());
        }
    }

    /// A fresh Call-ID whose messages go to that shard.
    pub(crate) fn call_id_of_shard(&self, shard: usize, tokens: &mut Tokens) -> String {
        self.spread.call_id_of(shard, tokens)
    }

    /// How Call-IDs are spread over the shards.
    pub(crate) const fn spread(&self) -> Spread {
        self.spread
    }

    /// Has a shard look after a trunk.
    pub(crate) fn keep_trunk(&self, shard: usize, charge: TrunkCharge) {
        self.tell(shard, Input::KeepTrunk(Box::new(charge)));
    }

    pub(crate) fn tell(&self, shard: usize, input: Input) {
        if let Some(replies) = self.replies.get(shard) {
            let _ = replies.send(input);
        }
    }

    /// A shard has a dialog whose Call-ID is not its own, or has it no more.
    pub(crate) fn alias(&self, shard: usize, call_id: &[u8], tag: &str, stands: bool) {
        self.aliases.set(shard, call_id, tag, stands);
    }

    fn shard_of(&self, message: &Message) -> usize {
        if let Some(dialog) = replaced(message) {
            return self.shard_of_dialog(dialog.call_id.as_bytes(), &dialog.from_tag);
        }
        message.call_id().map_or(0, |call_id| match self.aliases.is_empty() {
            true => self.shard_of_call_id(call_id),
            false => self.shard_of_dialog(call_id, peer_tag(message)),
        })
    }

    fn shard_of_dialog(&self, call_id: &[u8], peer_tag: &str) -> usize {
        self.aliases.of(call_id, peer_tag).unwrap_or_else(|| self.shard_of_call_id(call_id))
    }

    pub(crate) fn shard_of_call_id(&self, call_id: &[u8]) -> usize {
        self.spread.shard_of(call_id)
    }
}

#[cfg(test)]
mod tests;
