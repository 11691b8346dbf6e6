//! One shard: the transactions, dialogs and calls whose Call-ID hashes to it.
//!
//! A call is taken out of its map while it handles an input. If it panics, it is not put back: its
//! INVITE is answered 500 or its dialog ended with BYE, its room closed, its record written, and no
//! other call notices.

mod requests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use trunkline_routing::RouteTable;
use trunkline_signalling::dialog::{Cx, LegEvent};
use trunkline_signalling::{ClientId, Inbound, KeyedHash, Mono, Now, Tokens, Transactions};

use crate::call::Call;
use crate::{CallHandle, Input, Output, ShardConfig};

/// What a test plants to make a call panic.
pub(crate) type Fault = fn(&Call) -> bool;

/// One shard.
pub struct Shard {
    config: ShardConfig,
    table: Arc<RouteTable>,
    draining: bool,
    transactions: Transactions,
    tokens: Tokens,
    calls: BTreeMap<CallHandle, Box<Call>>,
    /// `Call-ID|local tag` to its call.
    dialogs: HashMap<String, CallHandle, KeyedHash>,
    /// Server and client transactions to their calls.
    servers: BTreeMap<trunkline_signalling::ServerId, CallHandle>,
    clients: BTreeMap<ClientId, CallHandle>,
    deadlines: BTreeSet<(Mono, CallHandle)>,
    scheduled: BTreeMap<CallHandle, Mono>,
    outputs: VecDeque<Output>,
    serial: u64,
    fault: Option<Fault>,
}

impl Shard {
    /// A shard without calls.
    #[must_use]
    pub fn new(config: ShardConfig, table: Arc<RouteTable>) -> Self {
        let hash = KeyedHash::new(config.key);
        Self {
            transactions: Transactions::new(config.timers, hash),
            tokens: Tokens::new(config.key),
            table,
            draining: false,
            calls: BTreeMap::new(),
            dialogs: HashMap::with_hasher(hash),
            servers: BTreeMap::new(),
            clients: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            scheduled: BTreeMap::new(),
            outputs: VecDeque::new(),
            serial: 0,
            fault: None,
            config,
        }
    }

    /// Plants a fault: a call for which it answers true panics at its next input. For tests.
    #[cfg(test)]
    pub(crate) const fn plant_fault(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// Handles one input; drain [`Self::poll_output`] after each.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Message(message, flow) => self.receive(*message, flow, now),
            Input::ConnectionLost(connection) => self.transactions.connection_lost(connection),
            Input::MediaOpened(call, opened) => {
                if !self.with_call(call, now, |call, cx, out| call.media_opened(cx, opened, out))
                    && opened.is_some()
                {
                    self.outputs.push_back(Output::CloseRoom(call));
                }
            }
            Input::AgentConnected(call, outcome) => {
                if !self.with_call(call, now, |call, cx, out| call.agent_connected(cx, outcome, out)) {
                    self.outputs.push_back(Output::CloseRoom(call));
                }
            }
            Input::Room(call, event) => {
                self.with_call(call, now, |call, cx, out| call.room_event(cx, event, out));
            }
            Input::RoomClosed(call, stats) => {
                self.with_call(call, now, |call, cx, out| call.room_closed(cx, stats, out));
            }
            Input::HangUp(call) => {
                self.with_call(call, now, |call, cx, out| call.hang_up(cx, out));
            }
            Input::Reload(table) => self.table = table,
            Input::Drain => self.draining = true,
            Input::EndAll => {
                let all: Vec<CallHandle> = self.calls.keys().copied().collect();
                for call in all {
                    self.with_call(call, now, |call, cx, out| call.hang_up(cx, out));
                }
            }
        }
        self.drain_transactions(now);
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(transmit) = self.transactions.poll_transmit() {
            return Some(Output::Transmit(transmit));
        }
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let call = self.deadlines.first().map(|(at, _)| *at);
        [self.transactions.poll_timeout(), call].into_iter().flatten().min()
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.transactions.handle_timeout(now.mono);
        while let Some((at, handle)) = self.deadlines.first().copied() {
            if at > now.mono {
                break;
            }
            self.with_call(handle, now, Call::handle_timeout);
            // A deadline that its call did not move would be due for ever.
            if self.scheduled.get(&handle) == Some(&at) {
                self.schedule(handle, None);
            }
        }
        self.drain_transactions(now);
    }

    /// Calls in progress.
    #[must_use]
    pub fn active_calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether nothing is left: no call, no transaction, no timer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
            && self.transactions.is_idle()
            && self.dialogs.is_empty()
            && self.servers.is_empty()
            && self.clients.is_empty()
            && self.deadlines.is_empty()
    }

    fn drain_transactions(&mut self, now: Now) {
        while let Some(inbound) = self.transactions.poll_inbound() {
            match inbound {
                Inbound::Request(tx, request, flow) => self.request(tx, *request, flow, now),
                Inbound::Ack(request, _) => {
                    if let Some(call) = self.dialog_of(&request) {
                        self.with_call(call, now, |call, cx, out| {
                            call.with_leg(cx, out, |leg, cx| leg.handle_ack(cx, &request));
                        });
                    }
                }
                Inbound::Cancel(tx, _) => {
                    if let Some(call) = self.servers.get(&tx).copied() {
                        self.with_call(call, now, |call, cx, out| {
                            call.with_leg(cx, out, |leg, cx| leg.handle_cancel(cx));
                        });
                    }
                }
                Inbound::Response(tx, response) => {
                    // A 2xx comes again where its ACK was lost; its transaction is settled then.
                    let call = self.clients.get(&tx).copied().or_else(|| self.dialog_of_response(&response));
                    if response.code() >= 200 {
                        self.clients.remove(&tx);
                    }
                    if let Some(call) = call {
                        self.with_call(call, now, |call, cx, out| {
                            call.with_leg(cx, out, |leg, cx| leg.handle_response(cx, tx, &response));
                        });
                    }
                }
                Inbound::StrayOk(response, _) => {
                    if let Some(call) = self.dialog_of_response(&response) {
                        self.with_call(call, now, |call, cx, out| {
                            call.with_leg(cx, out, |leg, cx| leg.handle_stray_ok(cx, &response));
                        });
                    }
                }
                Inbound::Timeout(tx) => {
                    if let Some(call) = self.clients.remove(&tx) {
                        self.with_call(call, now, |call, cx, out| {
                            call.with_leg(cx, out, |leg, cx| leg.handle_no_response(cx, tx));
                        });
                    }
                }
                // A refusal without an ACK changes nothing.
                Inbound::NotAcknowledged(_) => {}
            }
        }
    }

    /// Runs `work` on a call with the panic guard round it; false where there is no such call.
    fn with_call(
        &mut self,
        handle: CallHandle,
        now: Now,
        work: impl FnOnce(&mut Call, &mut Cx<'_>, &mut VecDeque<Output>),
    ) -> bool {
        let Some(mut call) = self.calls.remove(&handle) else {
            return false;
        };
        let mut events: Vec<LegEvent> = Vec::new();
        let fault = self.fault;
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        let outputs = &mut self.outputs;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            assert!(!fault.is_some_and(|fault| fault(&call)), "planted fault");
            work(&mut call, &mut cx, outputs);
        }));
        if outcome.is_err() {
            // Best effort, and itself guarded: what is left of the call may be in any state, so it
            // gets no further input.
            let _ = catch_unwind(AssertUnwindSafe(|| call.abandon(&mut cx, outputs)));
            self.forget(&call);
        } else if call.is_over() {
            self.forget(&call);
        } else {
            self.adopt_clients(&call);
            self.schedule(handle, call.poll_timeout());
            self.calls.insert(handle, call);
        }
        true
    }

    /// Client transactions that the call has opened find their way back to it.
    fn adopt_clients(&mut self, call: &Call) {
        if let Some(tx) = call.client_transaction() {
            self.clients.insert(tx, call.handle());
        }
    }

    fn schedule(&mut self, handle: CallHandle, at: Option<Mono>) {
        if let Some(before) = self.scheduled.remove(&handle) {
            self.deadlines.remove(&(before, handle));
        }
        if let Some(at) = at {
            self.scheduled.insert(handle, at);
            self.deadlines.insert((at, handle));
        }
    }

    fn forget(&mut self, call: &Call) {
        let handle = call.handle();
        self.schedule(handle, None);
        self.dialogs.remove(call.dialog_key());
        self.servers.retain(|_, owner| *owner != handle);
        self.clients.retain(|_, owner| *owner != handle);
    }
}

#[cfg(test)]
mod tests;
