//! Who a peer is before its call is decided: known by the tables, by the flow that its trunk is
//! registered on, or by credentials that it shows.

use std::sync::Arc;

use trunkline_routing::{InboundCall, RouteTable, Trunk, asks_for_proof};
use trunkline_signalling::Now;
use trunkline_sip::{Flow, Method, Request, reply};

use super::Shard;
use crate::challenge::Verdict;

impl Shard {
    /// Whether a trunk takes calls from that peer.
    pub(super) fn is_peer(&self, flow: Flow, names: &[String]) -> bool {
        self.table.is_peer(flow.remote.ip(), names) || self.registered_on(flow).is_some()
    }

    /// The trunks of which a request must show credentials.
    fn asking<'a>(
        &self,
        table: &'a RouteTable,
        request: &Request,
        flow: Flow,
        names: &[String],
    ) -> Vec<&'a Arc<Trunk>> {
        let proved = self.registered_on(flow);
        asks_for_proof(table, &InboundCall { source: flow.remote.ip(), names, proved, request })
    }

    /// Whether a request will be answered by a challenge, as far as it tells by itself.
    pub(super) fn lacks_proof(&self, request: &Request, flow: Flow, names: &[String], now: Now) -> bool {
        let asking = self.asking(&self.table, request, flow, names);
        let judged = || self.config.challenger.judge(request, &asking, now);
        !asking.is_empty() && matches!(judged(), Verdict::Missing { .. })
    }

    /// Takes the credentials of a request that begins a call, or asks for them, without any state; false
    /// where it has asked.
    pub(super) fn authenticate(&mut self, request: &Request, flow: Flow, now: Now) -> bool {
        self.proved = self.registered_on(flow).map(str::to_owned);
        let outside = request.to().is_some_and(|to| to.tag().is_none());
        if request.method != Method::Invite || !outside {
            return true;
        }
        let table = Arc::clone(&self.table);
        let asking = self.asking(&table, request, flow, self.names.as_deref().unwrap_or_default());
        if asking.is_empty() {
            return true;
        }
        let challenger = &self.config.challenger;
        let stale = match challenger.judge(request, &asking, now) {
            Verdict::Proved { trunk, nonce } if challenger.takes(&nonce, now) => {
                self.proved = Some(trunk);
                return true;
            }
            // Shown before: who knows the password answers a fresh nonce.
            Verdict::Proved { .. } => true,
            Verdict::Missing { stale } => stale,
        };
        let fields = challenger.ask(&asking, stale, self.tokens.number(), now);
        let mut response = reply::to(request, 401, Some("challenge"));
        for (name, value) in fields {
            response.headers.push(name, value);
        }
        self.transactions.send_stateless(request, flow, &response);
        false
    }
}
