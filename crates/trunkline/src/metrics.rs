//! What Prometheus is told. Labels come from configuration and from closed sets, never from the
//! wire, so that nobody outside can grow the page.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use trunkline_call::{AddressState, CallRecord, RegistrationState, Status, TrunkState};
use trunkline_sip::{Message, Method};

use crate::links::{is_up, shown};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    trunk: String,
    direction: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    direction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResponseLabels {
    method: &'static str,
    code: u16,
    direction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TrunkLabels {
    trunk: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AddressLabels {
    trunk: String,
    address: String,
}

/// Why new calls are refused before there is any state.
const SHED_REASONS: [&str; 3] = ["draining", "max_calls", "new_calls_per_second"];

/// The metrics of a node.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    responses: Family<ResponseLabels, Counter>,
    shed: Family<ReasonLabels, Counter>,
    reloads: Family<ResultLabels, Counter>,
    trunk_registered: Family<TrunkLabels, Gauge>,
    trunk_address_up: Family<AddressLabels, Gauge>,
    setup: Histogram,
    agent_connect: Histogram,
    agent_dials: Family<ResultLabels, Counter>,
    rtp_received: Counter,
    rtp_sent: Counter,
    rtp_lost: Counter,
    rtp_strangers: Counter,
    jitter: Histogram,
    /// Calls in progress.
    pub(crate) active: Gauge<i64>,
    transactions: Gauge<i64>,
    tasks: Gauge<i64>,
    agent_dropped: Counter,
    guard_shed: Counter,
    queue_shed: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("trunkline"),
            calls: Family::default(),
            requests: Family::default(),
            responses: Family::default(),
            shed: Family::default(),
            reloads: Family::default(),
            trunk_registered: Family::default(),
            trunk_address_up: Family::default(),
            setup: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            agent_connect: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            agent_dials: Family::default(),
            rtp_received: Counter::default(),
            rtp_sent: Counter::default(),
            rtp_lost: Counter::default(),
            rtp_strangers: Counter::default(),
            jitter: Histogram::new(exponential_buckets(0.0005, 2.0, 12)),
            active: Gauge::default(),
            transactions: Gauge::default(),
            tasks: Gauge::default(),
            agent_dropped: Counter::default(),
            guard_shed: Counter::default(),
            queue_shed: Counter::default(),
        };
        metrics.register_signalling();
        metrics.register_media();
        // From nought, so that the first of each is a rise that an alarm sees.
        for reason in SHED_REASONS {
            let _ = metrics.shed.get_or_create(&ReasonLabels { reason });
        }
        for result in ["ok", "failed"] {
            let _ = metrics.reloads.get_or_create(&ResultLabels { result });
            let _ = metrics.agent_dials.get_or_create(&ResultLabels { result });
        }
        metrics
    }

    fn register_signalling(&mut self) {
        let registry = &mut self.registry;
        registry.register("calls", "Calls ended, by trunk, direction and outcome", self.calls.clone());
        registry.register("active_calls", "Calls in progress", self.active.clone());
        registry.register("sip_transactions", "SIP transactions", self.transactions.clone());
        registry.register("tasks", "Tasks of the async runtime", self.tasks.clone());
        registry.register("sip_requests", "SIP requests, by method and direction", self.requests.clone());
        let help = "SIP responses, by the request's method, code and direction";
        registry.register("sip_responses", help, self.responses.clone());
        registry.register("shed", "New calls refused before any state, by reason", self.shed.clone());
        let help = "Messages dropped by the flood guard";
        registry.register("guard_shed_messages", help, self.guard_shed.clone());
        let help = "Messages dropped because a shard was too far behind";
        registry.register("queue_shed_messages", help, self.queue_shed.clone());
        registry.register("config_reloads", "Reloads, by result", self.reloads.clone());
        let help = "Whether we are registered with the trunk's carrier";
        registry.register("trunk_registered", help, self.trunk_registered.clone());
        let help = "Whether an address of a trunk answers OPTIONS";
        registry.register("trunk_address_up", help, self.trunk_address_up.clone());
        registry.register("setup_seconds", "From INVITE to 200", self.setup.clone());
        let help = "From the call for an agent to its socket";
        registry.register("agent_connect_seconds", help, self.agent_connect.clone());
        registry.register("agent_dials", "Agents dialled, by result", self.agent_dials.clone());
    }

    fn register_media(&mut self) {
        let registry = &mut self.registry;
        let help = "RTP packets from callers of ended calls";
        registry.register("rtp_packets_received", help, self.rtp_received.clone());
        registry.register("rtp_packets_sent", "RTP packets to callers of ended calls", self.rtp_sent.clone());
        registry.register("rtp_packets_lost", "RTP packets that never came", self.rtp_lost.clone());
        let help = "Bytes that agents sent beyond what their queues hold";
        registry.register("agent_dropped_bytes", help, self.agent_dropped.clone());
        registry.register("rtp_strangers_dropped", "RTP packets from elsewhere", self.rtp_strangers.clone());
        registry.register(
            "rtp_jitter_seconds",
            "Interarrival jitter at the end of a call",
            self.jitter.clone(),
        );
    }

    /// A message that was received.
    pub(crate) fn message(&self, message: &Message) {
        const DIRECTION: &str = "in";
        match message {
            Message::Request(request) => self.request(known(&request.method), DIRECTION),
            Message::Response(response) => {
                let method = response.cseq().map_or("other", |cseq| known(&cseq.method));
                self.response(method, response.code(), DIRECTION);
            }
        }
    }

    /// A message that was sent, as our writer spells it.
    pub(crate) fn sent(&self, payload: &[u8]) {
        const DIRECTION: &str = "out";
        let Some(status) = payload.strip_prefix(b"SIP/2.0 ") else {
            return self.request(method_name(payload.split(|byte| *byte == b' ').next()), DIRECTION);
        };
        let code = status.first_chunk::<3>().and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let Some(code) = code else { return };
        // The method is the last word of the line.
        let line = payload.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"CSeq: "));
        let method = line.and_then(|line| line.trim_ascii_end().rsplit(|byte| *byte == b' ').next());
        self.response(method_name(method), code, DIRECTION);
    }

    fn request(&self, method: &'static str, direction: &'static str) {
        self.requests.get_or_create(&RequestLabels { method, direction }).inc();
    }

    fn response(&self, method: &'static str, code: u16, direction: &'static str) {
        self.responses.get_or_create(&ResponseLabels { method, code, direction }).inc();
    }

    /// A call that never was one: no number, or a caller that may not; `-` where no one trunk brought it.
    pub(crate) fn refused(&self, trunk: &str) {
        let labels = CallLabels { trunk: trunk.to_owned(), direction: "inbound", outcome: "refused" };
        self.calls.get_or_create(&labels).inc();
    }

    /// A trunk's registration or health; a trunk that has neither any more goes from the page.
    pub(crate) fn trunk(&self, state: &TrunkState, before: Option<&TrunkState>) {
        let labels = TrunkLabels { trunk: state.trunk.clone() };
        match state.registration {
            RegistrationState::Off => {
                self.trunk_registered.remove(&labels);
            }
            registration => {
                let registered = registration == RegistrationState::Registered;
                self.trunk_registered.get_or_create(&labels).set(i64::from(registered));
            }
        }
        let of = |address: &AddressState| AddressLabels {
            trunk: state.trunk.clone(),
            address: shown(&address.hop),
        };
        for address in before.iter().flat_map(|before| &before.addresses) {
            if !state.addresses.iter().any(|now| now.hop == address.hop) {
                self.trunk_address_up.remove(&of(address));
            }
        }
        for address in &state.addresses {
            self.trunk_address_up.get_or_create(&of(address)).set(i64::from(is_up(address)));
        }
    }

    pub(crate) fn shed(&self, reason: &'static str) {
        self.shed.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(crate) fn reloaded(&self, good: bool) {
        let result = if good { "ok" } else { "failed" };
        self.reloads.get_or_create(&ResultLabels { result }).inc();
    }

    pub(crate) fn answered(&self, after: std::time::Duration) {
        self.setup.observe(after.as_secs_f64());
    }

    /// An agent was dialled, and is there or is not.
    pub(crate) fn agent_dialled(&self, there: bool, after: std::time::Duration) {
        if there {
            self.agent_connect.observe(after.as_secs_f64());
        }
        let result = if there { "ok" } else { "failed" };
        self.agent_dials.get_or_create(&ResultLabels { result }).inc();
    }

    pub(crate) fn ended(&self, record: &CallRecord) {
        let outcome = match record.status {
            Status::Completed => "answered",
            status => status.name(),
        };
        let labels = CallLabels { trunk: record.trunk.clone(), direction: record.direction, outcome };
        self.calls.get_or_create(&labels).inc();
        let media = &record.media;
        self.rtp_received.inc_by(media.packets_received);
        self.rtp_sent.inc_by(media.packets_sent);
        self.rtp_lost.inc_by(media.packets_lost);
        self.rtp_strangers.inc_by(media.strangers_dropped);
        self.agent_dropped.inc_by(media.agent_bytes_dropped);
        if media.packets_received > 0 {
            self.jitter.observe(media.jitter_ms / 1000.0);
        }
    }

    /// The page. These three are kept where they arise.
    pub(crate) fn page(&self, guard_shed: u64, queue_shed: u64, transactions: usize) -> String {
        self.transactions.set(i64::try_from(transactions).unwrap_or(i64::MAX));
        let tasks =
            tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        self.tasks.set(i64::try_from(tasks).unwrap_or(i64::MAX));
        self.guard_shed.inner().store(guard_shed, Ordering::Relaxed);
        self.queue_shed.inner().store(queue_shed, Ordering::Relaxed);
        let mut page = String::new();
        // Writing to memory cannot fail.
        let _ = encode(&mut page, &self.registry);
        page
    }
}

/// The method that a word of a message is.
pub(crate) fn method_name(word: Option<&[u8]>) -> &'static str {
    let method = word.and_then(|word| std::str::from_utf8(word).ok()).map(Method::from_token);
    method.as_ref().map_or("other", known)
}

const fn known(method: &Method) -> &'static str {
    match method {
        Method::Ack => "ACK",
        Method::Bye => "BYE",
        Method::Cancel => "CANCEL",
        Method::Info => "INFO",
        Method::Invite => "INVITE",
        Method::Message => "MESSAGE",
        Method::Notify => "NOTIFY",
        Method::Options => "OPTIONS",
        Method::Prack => "PRACK",
        Method::Publish => "PUBLISH",
        Method::Refer => "REFER",
        Method::Register => "REGISTER",
        Method::Subscribe => "SUBSCRIBE",
        Method::Update => "UPDATE",
        Method::Other(_) => "other",
    }
}
