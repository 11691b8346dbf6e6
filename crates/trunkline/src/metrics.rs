//! What Prometheus is told. Labels come from configuration and from closed sets, never from the
//! wire, so that nobody outside can grow the page.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use trunkline_call::CallRecord;
use trunkline_sip::{Message, Method};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    trunk: String,
    direction: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResponseLabels {
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// The metrics of a node.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    responses: Family<ResponseLabels, Counter>,
    shed: Family<ReasonLabels, Counter>,
    reloads: Family<ReasonLabels, Counter>,
    setup: Histogram,
    agent_connect: Histogram,
    rtp_received: Counter,
    rtp_sent: Counter,
    rtp_lost: Counter,
    rtp_strangers: Counter,
    jitter: Histogram,
    /// Calls in progress.
    pub(crate) active: Gauge<i64>,
    guard_shed: Gauge<f64, AtomicU64>,
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
            setup: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            agent_connect: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            rtp_received: Counter::default(),
            rtp_sent: Counter::default(),
            rtp_lost: Counter::default(),
            rtp_strangers: Counter::default(),
            jitter: Histogram::new(exponential_buckets(0.0005, 2.0, 12)),
            active: Gauge::default(),
            guard_shed: Gauge::default(),
        };
        metrics.register_signalling();
        metrics.register_media();
        metrics
    }

    fn register_signalling(&mut self) {
        let registry = &mut self.registry;
        registry.register("calls", "Calls ended, by trunk, direction and outcome", self.calls.clone());
        registry.register("active_calls", "Calls in progress", self.active.clone());
        registry.register("sip_requests", "SIP requests received, by method", self.requests.clone());
        registry.register("call_responses", "Final answers to INVITEs, by code", self.responses.clone());
        registry.register("shed", "New calls refused before any state, by reason", self.shed.clone());
        registry.register(
            "guard_shed_messages",
            "Messages dropped by the flood guard",
            self.guard_shed.clone(),
        );
        registry.register("config_reloads", "Reloads, by result", self.reloads.clone());
        registry.register("setup_seconds", "From INVITE to 200", self.setup.clone());
        let help = "From the call for an agent to its socket";
        registry.register("agent_connect_seconds", help, self.agent_connect.clone());
    }

    fn register_media(&mut self) {
        let registry = &mut self.registry;
        let help = "RTP packets from callers of ended calls";
        registry.register("rtp_packets_received", help, self.rtp_received.clone());
        registry.register("rtp_packets_sent", "RTP packets to callers of ended calls", self.rtp_sent.clone());
        registry.register("rtp_packets_lost", "RTP packets that never came", self.rtp_lost.clone());
        registry.register("rtp_strangers_dropped", "RTP packets from elsewhere", self.rtp_strangers.clone());
        registry.register(
            "rtp_jitter_seconds",
            "Interarrival jitter at the end of a call",
            self.jitter.clone(),
        );
    }

    pub(crate) fn message(&self, message: &Message) {
        if let Message::Request(request) = message {
            let method = known(&request.method);
            self.requests.get_or_create(&RequestLabels { method }).inc();
        }
    }

    pub(crate) fn refused(&self, code: u16) {
        self.responses.get_or_create(&ResponseLabels { code }).inc();
    }

    pub(crate) fn shed(&self, reason: &'static str) {
        self.shed.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(crate) fn reloaded(&self, good: bool) {
        let reason = if good { "ok" } else { "failed" };
        self.reloads.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(crate) fn answered(&self, milliseconds: u64) {
        self.setup.observe(milliseconds as f64 / 1000.0);
    }

    pub(crate) fn agent_connected(&self, after: std::time::Duration) {
        self.agent_connect.observe(after.as_secs_f64());
    }

    pub(crate) fn ended(&self, record: &CallRecord) {
        let outcome = match record.sip_code {
            200 => "answered",
            487 => "cancelled",
            _ => "failed",
        };
        let labels = CallLabels { trunk: record.trunk.clone(), direction: record.direction, outcome };
        self.calls.get_or_create(&labels).inc();
        self.refused(record.sip_code);
        let media = &record.media;
        self.rtp_received.inc_by(media.packets_received);
        self.rtp_sent.inc_by(media.packets_sent);
        self.rtp_lost.inc_by(media.packets_lost);
        self.rtp_strangers.inc_by(media.strangers_dropped);
        if media.packets_received > 0 {
            self.jitter.observe(media.jitter_ms / 1000.0);
        }
    }

    pub(crate) fn page(&self, guard_shed: u64) -> String {
        self.guard_shed.set(guard_shed as f64);
        let mut page = String::new();
        // Writing to memory cannot fail.
        let _ = encode(&mut page, &self.registry);
        page
    }
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
