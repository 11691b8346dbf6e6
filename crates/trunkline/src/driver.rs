//! The drivers: each owns one shard, feeds it what the edges learn and does what it asks.
//!
//! One task a shard: wait for an input or the next deadline, hand it over, drain the outputs. A new
//! call is admitted here, before there is any state of it.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::mpsc;
use trunkline_agent::Sids;
use trunkline_call::{CallHandle, CallRecord, Input, Output, Shard};
use trunkline_media::{Pool, Report};
use trunkline_routing::{Pii, RouteTable};
use trunkline_signalling::KeyedHash;
use trunkline_sip::{Flow, Message};
use trunkline_transport::{Received, Transport};

use crate::agents::Agents;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::records::Records;

/// Messages that wait for one shard; beyond it UDP messages are dropped and sent again.
const QUEUE: usize = 16 * 1024;
/// Inputs taken at one wake-up before the outputs are drained.
const BATCH: usize = 64;
/// What carriers are told to wait for while we drain, in seconds.
const RETRY_AFTER: u32 = 30;

/// How many calls there may be.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) max_calls: i64,
    pub(crate) per_second: u64,
    pub(crate) draining: AtomicBool,
    pub(crate) active: AtomicI64,
    second: AtomicU64,
    admitted: AtomicU64,
}

/// Why a new call was not admitted.
enum Shed {
    Draining,
    Full,
    TooFast,
}

impl Admission {
    pub(crate) const fn new(max_calls: u32, per_second: u32) -> Self {
        Self {
            max_calls: max_calls as i64,
            per_second: per_second as u64,
            draining: AtomicBool::new(false),
            active: AtomicI64::new(0),
            second: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
        }
    }

    fn admit(&self, second: u64) -> Result<(), Shed> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Shed::Draining);
        }
        if self.active.load(Ordering::Relaxed) >= self.max_calls {
            return Err(Shed::Full);
        }
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.admitted.store(0, Ordering::Relaxed);
        }
        match self.admitted.fetch_add(1, Ordering::Relaxed) < self.per_second {
            true => Ok(()),
            false => Err(Shed::TooFast),
        }
    }
}

/// Hands inputs to the shards that they belong to.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    hash: KeyedHash,
    messages: Vec<mpsc::Sender<Input>>,
    /// Answers of edges: at most a few a call, so their number is bounded by the calls'.
    replies: Vec<mpsc::UnboundedSender<Input>>,
    dropped: Arc<AtomicU64>,
}

/// The receiving ends of one shard.
pub(crate) struct Queues {
    messages: mpsc::Receiver<Input>,
    replies: mpsc::UnboundedReceiver<Input>,
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
        (Self { hash: KeyedHash::new(key), messages, replies, dropped }, queues)
    }

    /// What the transport received.
    pub(crate) fn received(&self, received: Received) {
        match received {
            Received::Message(message, flow) => {
                let shard = self.shard_of(&message);
                if self.messages[shard].try_send(Input::Message(message, flow)).is_err() {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Received::ConnectionLost(connection) => {
                for replies in &self.replies {
                    // A shard that is gone has no call left to tell.
                    let _ = replies.send(Input::ConnectionLost(connection));
                }
            }
        }
    }

    /// What a media thread reported.
    pub(crate) fn report(&self, report: Report) {
        match report {
            Report::Opened(call, at) => {
                self.reply(CallHandle(call), Input::MediaOpened(CallHandle(call), at))
            }
            Report::Room(call, event) => self.reply(CallHandle(call), Input::Room(CallHandle(call), event)),
            Report::Closed(call, stats) => {
                self.reply(CallHandle(call), Input::RoomClosed(CallHandle(call), stats))
            }
        }
    }

    /// An input for the shard of a call.
    pub(crate) fn reply(&self, call: CallHandle, input: Input) {
        if let Some(replies) = self.replies.get(call.shard()) {
            let _ = replies.send(input);
        }
    }

    /// The same input for every shard.
    pub(crate) fn broadcast(&self, make: impl Fn() -> Input) {
        for replies in &self.replies {
            let _ = replies.send(make());
        }
    }

    fn shard_of(&self, message: &Message) -> usize {
        let Some(call_id) = message.call_id() else {
            return 0;
        };
        let mut hasher = self.hash.build_hasher();
        hasher.write(call_id);
        (hasher.finish() % self.messages.len() as u64) as usize
    }
}

/// Everything that a driver needs beside its shard.
pub(crate) struct Edges {
    pub(crate) transport: Arc<Transport>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) records: Records,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) dispatcher: Dispatcher,
    /// `CA…` identifiers of calls in progress, with the agent's secret.
    pub(crate) sids: Arc<DashMap<String, (CallHandle, Option<String>)>>,
    pub(crate) table: Arc<ArcSwap<RouteTable>>,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) log_numbers: bool,
    pub(crate) observer: Option<Observer>,
}

/// Sees every call record; the demo's eye.
pub(crate) type Observer = Arc<dyn Fn(&CallRecord) + Send + Sync>;

/// Drives one shard until its queues close.
pub(crate) async fn drive(mut shard: Shard, mut queues: Queues, edges: Arc<Edges>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let deadline = shard.poll_timeout().map(|at| edges.clock.instant(at));
        tokio::select! {
            biased;
            reply = queues.replies.recv() => match reply {
                Some(reply) => shard.handle(reply, edges.clock.now()),
                None => return,
            },
            count = queues.messages.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                for input in batch.drain(..) {
                    edges.take(&mut shard, input);
                }
            }
            () = sleep_until(deadline) => shard.handle_timeout(edges.clock.now()),
        }
        edges.drain(&mut shard);
    }
}

async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Edges {
    /// Hands a message to the shard, new calls only where they are admitted.
    fn take(&self, shard: &mut Shard, input: Input) {
        if let Input::Message(message, flow) = &input {
            self.metrics.message(message);
            if shard.would_begin_call(message) && !self.admit(shard, message, *flow) {
                return;
            }
        }
        shard.handle(input, self.clock.now());
    }

    fn admit(&self, shard: &mut Shard, message: &Message, flow: Flow) -> bool {
        let Message::Request(request) = message else {
            return true;
        };
        if !self.table.load().is_peer(flow.remote.ip()) {
            return true;
        }
        let second = self.clock.now().mono.0.as_secs();
        let (reason, retry_after) = match self.admission.admit(second) {
            Ok(()) => return true,
            Err(Shed::Draining) => ("draining", Some(RETRY_AFTER)),
            Err(Shed::Full) => ("max_calls", None),
            Err(Shed::TooFast) => ("new_calls_per_second", None),
        };
        self.metrics.shed(reason);
        shard.refuse_stateless(request, flow, 503, retry_after);
        false
    }

    fn drain(&self, shard: &mut Shard) {
        while let Some(output) = shard.poll_output() {
            self.run(output);
        }
    }

    fn run(&self, output: Output) {
        match output {
            Output::Transmit(transmit) => self.transport.send(transmit),
            Output::OpenMedia { call, local, spec } => {
                let seed = self.seed.wrapping_mul(call.0 | 1).rotate_left(17) ^ self.seed;
                self.pool.open(call.0, local, spec, seed);
            }
            Output::UpdateMedia(call, spec) => self.pool.update(call.0, spec),
            Output::ConnectAgent(call, request) => {
                let secret = request.agent.secret.as_ref().map(|secret| secret.reveal().clone());
                let sids = Sids::of(&self.agents.node, &request.call_id);
                self.sids.insert(sids.call, (call, secret));
                let dispatcher = self.dispatcher.clone();
                self.agents.connect(call, *request, move |outcome| {
                    dispatcher.reply(call, Input::AgentConnected(call, outcome));
                });
            }
            Output::StartRoom(call) => self.pool.begin(call.0),
            Output::CloseRoom(call) => self.pool.close(call.0),
            Output::Began(_) => {
                self.admission.active.fetch_add(1, Ordering::Relaxed);
                self.metrics.active.inc();
            }
            Output::Answered(_, milliseconds) => self.metrics.answered(milliseconds),
            Output::Ended(record) => self.ended(&record),
            Output::Refused { sip_call_id, code, reason, source } => {
                self.metrics.refused(code);
                tracing::info!(sip_call_id = %safe(&sip_call_id), code, %source, reason = %digits_hidden(&safe(&reason), self.log_numbers), "a call was refused");
            }
        }
    }

    fn ended(&self, record: &CallRecord) {
        self.admission.active.fetch_sub(1, Ordering::Relaxed);
        self.metrics.active.dec();
        self.metrics.ended(record);
        self.sids.remove(&Sids::of(&self.agents.node, &record.call_id).call);
        tracing::info!(
            call = %record.call_id,
            sip_call_id = %safe(&record.sip_call_id),
            from = %Pii::new(safe(&record.from), self.log_numbers),
            to = %Pii::new(&record.to, self.log_numbers),
            trunk = %record.trunk,
            agent = record.agent.as_deref().unwrap_or("-"),
            code = record.sip_code,
            ended_by = ?record.ended_by,
            reason = %safe(&record.reason),
            seconds = record.duration_seconds,
            codec = record.codec.unwrap_or("-"),
            received = record.media.packets_received,
            lost = record.media.packets_lost,
            mos = record.media.mos,
            "call ended",
        );
        self.records.write(record);
        if let Some(observer) = &self.observer {
            observer(record);
        }
    }
}

/// Text from the wire on one line, without control characters.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(256).collect()
}

/// Text whose numbers of five digits and more are masked but for the last two, unless `shown`.
fn digits_hidden(text: &str, shown: bool) -> String {
    if shown {
        return text.to_owned();
    }
    let mut hidden = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '.'))) {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let mut left = if digits >= 5 { digits - 2 } else { 0 };
        hidden.extend(part.chars().map(|c| match c.is_ascii_digit() && left > 0 {
            true => {
                left -= 1;
                '*'
            }
            false => c,
        }));
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_reasons_are_masked() {
        assert_eq!(
            digits_hidden("+14155550100 is not in the tables", false),
            "+*********00 is not in the tables"
        );
        assert_eq!(digits_hidden("415-555-0100: 404", false), "***-***-**00: 404");
        assert_eq!(digits_hidden("911 is a short code", false), "911 is a short code");
    }
}
