//! The trunks that this shard looks after, and what it knows of all others.
//!
//! A link is taken out of its map while it works, like a call: one that panics is not put back, and its
//! trunk is looked after again at the next reload.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use trunkline_routing::Route;
use trunkline_signalling::{ClientId, Mono, Now};
use trunkline_sip::{Flow, Response};

use super::Shard;
use crate::trunk::{Desk, Link, Purpose, TrunkCharge, TrunkState, TrunkTask};

/// Links and states. There is one link a trunk of the tables, and one more for a moment where a reload
/// has changed it.
#[derive(Debug, Default)]
pub(super) struct Trunks {
    links: BTreeMap<u64, Link>,
    /// Client transactions of links that have no final response.
    clients: BTreeMap<ClientId, u64>,
    serial: u64,
    /// What the links of all shards came to, by the name of the trunk.
    states: BTreeMap<String, Arc<TrunkState>>,
}

impl Trunks {
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.links.values().filter_map(Link::poll_timeout).min()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.links.is_empty() && self.clients.is_empty()
    }

    pub(super) fn know(&mut self, state: Arc<TrunkState>) {
        match state.is_blank() {
            true => self.states.remove(&state.trunk),
            false => self.states.insert(state.trunk.clone(), state),
        };
    }

    pub(super) fn prefer_healthy(&self, route: &mut Route) {
        if let Some(state) = self.states.get(&route.trunk.name) {
            state.prefer_healthy(route);
        }
    }

    /// The trunk that is registered on a flow.
    pub(super) fn registered_on(&self, flow: Flow) -> Option<&str> {
        self.states.values().find(|state| state.is_registered_on(flow)).map(|state| &*state.trunk)
    }
}

impl Shard {
    /// Looks after a trunk, as the tables have it now.
    pub(super) fn keep_trunk(&mut self, charge: TrunkCharge, now: Now) {
        let working = |link: &Link| link.is_working() && link.name() == charge.trunk;
        let known = self.trunks.links.values().any(working);
        let trunk = self.table.trunks.iter().find(|trunk| trunk.name == charge.trunk).cloned();
        let Some(trunk) = trunk.filter(|_| !known && !self.draining) else { return };
        self.trunks.serial += 1;
        let number = self.trunks.serial;
        self.with_desk(number, now, |desk| Link::new(trunk, charge, desk));
    }

    /// New tables: links whose trunk is gone or is another now stop.
    pub(super) fn reload_trunks(&mut self, now: Now) {
        let table = Arc::clone(&self.table);
        let stale = |link: &Link| {
            let trunk = table.trunks.iter().find(|trunk| trunk.name == link.name());
            link.is_working() && !trunk.is_some_and(|trunk| link.fits(trunk))
        };
        let numbers: Vec<u64> =
            self.trunks.links.iter().filter(|(_, link)| stale(link)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.with_link(number, now, Link::stop);
        }
    }

    /// Every link takes its contact back and asks nobody any more.
    pub(super) fn leave_trunks(&mut self, now: Now) {
        self.with_links(now, Link::stop);
    }

    pub(super) fn trunk_flow_found(
        &mut self,
        task: TrunkTask,
        found: Result<(Flow, bool), String>,
        now: Now,
    ) {
        self.with_link(task.link, now, |link, desk| {
            desk.task.purpose = task.purpose;
            link.flow_found(found, desk);
        });
    }

    pub(super) fn trunk_connection_lost(&mut self, connection: u64, now: Now) {
        self.with_links(now, |link, desk| link.connection_lost(connection, desk));
    }

    pub(super) fn trunk_timeouts(&mut self, now: Now) {
        let due = |link: &Link| link.poll_timeout().is_some_and(|at| at <= now.mono);
        let numbers: Vec<u64> =
            self.trunks.links.iter().filter(|(_, link)| due(link)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.with_link(number, now, Link::handle_timeout);
        }
    }

    /// A response, where its transaction is a link's; false where it is not.
    pub(super) fn trunk_response(&mut self, tx: ClientId, response: &Response, now: Now) -> bool {
        let Some(number) = self.trunks.clients.get(&tx).copied() else { return false };
        if response.code() >= 200 {
            self.trunks.clients.remove(&tx);
        }
        self.with_link(number, now, |link, desk| link.response(tx, response, desk));
        true
    }

    pub(super) fn trunk_no_response(&mut self, tx: ClientId, now: Now) {
        if let Some(number) = self.trunks.clients.remove(&tx) {
            self.with_link(number, now, |link, desk| link.no_response(tx, desk));
        }
    }

    /// The trunk that is registered on a flow.
    pub(super) fn registered_on(&self, flow: Flow) -> Option<&str> {
        self.trunks.registered_on(flow)
    }

    fn with_links(&mut self, now: Now, work: impl Fn(&mut Link, &mut Desk<'_>)) {
        let numbers: Vec<u64> = self.trunks.links.keys().copied().collect();
        for number in numbers {
            self.with_link(number, now, &work);
        }
    }

    fn with_link(&mut self, number: u64, now: Now, work: impl FnOnce(&mut Link, &mut Desk<'_>)) {
        if let Some(mut link) = self.trunks.links.remove(&number) {
            self.with_desk(number, now, |desk| {
                work(&mut link, desk);
                link
            });
        }
    }

    /// Lets a link work, and keeps what comes out of it unless it is over.
    fn with_desk(&mut self, number: u64, now: Now, work: impl FnOnce(&mut Desk<'_>) -> Link) {
        let mut opened = Vec::new();
        let mut desk = Desk {
            transactions: &mut self.transactions,
            tokens: &mut self.tokens,
            advertised: &self.config.advertised,
            out: &mut self.outputs,
            opened: &mut opened,
            task: TrunkTask { shard: self.config.shard, link: number, purpose: Purpose::Register },
            now,
        };
        let link = catch_unwind(AssertUnwindSafe(|| work(&mut desk)));
        self.trunks.clients.extend(opened.into_iter().map(|tx| (tx, number)));
        if let Ok(link) = link
            && !link.is_over()
        {
            self.trunks.links.insert(number, link);
        } else {
            self.trunks.clients.retain(|_, of| *of != number);
        }
    }
}
