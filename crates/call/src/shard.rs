//! One shard: the transactions, dialogs and calls whose Call-ID hashes to it.
//!
//! A call is taken out of its map while it handles an input. If it panics, it is not put back: its
//! INVITE is answered 500 or its dialog ended with BYE, its room closed, its record written, and no
//! other call notices.

mod aliases;
mod departed;
mod inbound;
mod legs;
mod proof;
mod replacing;
mod requests;
mod trunks;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use trunkline_routing::RouteTable;
use trunkline_sdp::Member;
use trunkline_signalling::dialog::{Cx, Leg, LegEvent, ReferIn};
use trunkline_signalling::{ClientId, Fingerprint, KeyedHash, Mono, Now, ServerId, Tokens, Transactions};
use trunkline_sip::{Message, PeerNames};

use self::trunks::Trunks;
use crate::call::Call;
use crate::{CallHandle, Input, Output, RoomEvent, ShardConfig};
use aliases::{Alias, Aliases};
use departed::Departed;

/// What a test plants to make a call panic.
pub(crate) type Fault = fn(&Call) -> bool;

/// A call and what the shard's tables hold of it.
#[derive(Debug)]
struct Held {
    call: Call,
    /// The keys of its legs among the dialogs.
    dialogs: Vec<(Member, Fingerprint)>,
    /// The transaction of its INVITE, where that came to us.
    invite: Option<ServerId>,
    /// Of INVITEs that took over a leg of it.
    replacing: Vec<ServerId>,
    /// Legs whose messages are dispatched to another shard unless that is told.
    aliases: Vec<(Member, Alias)>,
    /// Client transactions that it has opened and that have no final response.
    clients: Vec<ClientId>,
    /// Its place among the deadlines.
    scheduled: Option<Mono>,
}

/// A leg: its call, and its place there.
type LegOf = (CallHandle, Member);

/// One shard.
pub struct Shard {
    config: Arc<ShardConfig>,
    table: Arc<RouteTable>,
    draining: bool,
    /// Who the peer has proved to be whose message is being handled: its certificate's names, and the
    /// trunk whose credentials it has shown or whose registration it came by.
    names: PeerNames,
    proved: Option<String>,
    trunks: Trunks,
    transactions: Transactions,
    tokens: Tokens,
    hash: KeyedHash,
    calls: HashMap<CallHandle, Box<Held>, KeyedHash>,
    /// Call-ID and local tag to their leg.
    dialogs: HashMap<Fingerprint, LegOf, KeyedHash>,
    /// Server and client transactions to their legs.
    servers: HashMap<ServerId, LegOf, KeyedHash>,
    clients: HashMap<ClientId, LegOf, KeyedHash>,
    deadlines: BTreeSet<(Mono, CallHandle)>,
    departed: Departed,
    aliases: Aliases,
    /// REFERs of peers that the tables are to be asked about.
    asked: Vec<(CallHandle, (Member, ReferIn))>,
    outputs: VecDeque<Output>,
    serial: u64,
    fault: Option<Fault>,
    #[cfg(test)]
    request_fault: Option<fn(&trunkline_sip::Request) -> bool>,
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
            names: None,
            proved: None,
            trunks: Trunks::default(),
            hash,
            calls: HashMap::with_hasher(hash),
            dialogs: HashMap::with_hasher(hash),
            servers: HashMap::with_hasher(hash),
            clients: HashMap::with_hasher(hash),
            deadlines: BTreeSet::new(),
            departed: Departed::new(hash),
            aliases: Aliases::default(),
            asked: Vec::new(),
            outputs: VecDeque::new(),
            serial: 0,
            fault: None,
            #[cfg(test)]
            request_fault: None,
            config: Arc::new(config),
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
            Input::Message(message, flow, names) => {
                self.names = names;
                self.receive(*message, flow, now);
            }
            Input::ConnectionLost(connection) => self.connection_lost(connection, now),
            Input::Unsent(request) => self.unsent(&request),
            Input::Place(place) => self.place(*place, now),
            Input::FlowFound(call, member, found) => {
                self.with_call(call, now, |call, cx, out| call.flow_found(cx, member, found, out));
            }
            Input::MediaOpened(call, member, opened) => {
                if !self.with_call(call, now, |call, cx, out| call.media_opened(cx, member, opened, out))
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
            Input::Room(call, event) => self.room_event(call, event, now),
            Input::Hold(call, on) => {
                self.with_call(call, now, |call, cx, out| call.hold(cx, on, out));
            }
            Input::Transfer(call, ask) => self.transfer(call, *ask, now),
            Input::CompleteTransfer(call, stays) => {
                self.with_call(call, now, |call, cx, out| call.complete_transfer(cx, stays, out));
            }
            Input::CancelTransfer(call) => {
                self.with_call(call, now, |call, cx, out| call.cancel_transfer(cx, out));
            }
            Input::LegClosed(call, member, _) => {
                self.with_call(call, now, |call, _, _| call.leg_closed(member));
            }
            Input::RoomClosed(call, stats) => {
                self.with_call(call, now, |call, cx, out| call.room_closed(cx, stats, out));
            }
            Input::HangUp(call) => {
                self.with_call(call, now, |call, cx, out| call.hang_up(cx, out));
            }
            Input::Press(call, keys) => self.press(call, Some(keys), now),
            Input::PressNoMore(call) => self.press(call, None, now),
            Input::Ask(call, ask) => self.room_event(call, RoomEvent::Ask(ask), now),
            Input::KeepTrunk(charge) => self.keep_trunk(*charge, now),
            Input::TrunkFlowFound(task, found) => self.trunk_flow_found(task, found, now),
            Input::TrunkState(state) => self.trunks.know(state),
            Input::Reload(table) => {
                self.table = table;
                self.reload_trunks(now);
            }
            Input::Drain => {
                self.draining = true;
                self.leave_trunks(now);
            }
            Input::EndAll => {
                for call in self.all_calls() {
                    self.with_call(call, now, |call, cx, out| call.hang_up(cx, out));
                }
            }
        }
        self.drain_transactions(now);
        (self.names, self.proved) = (None, None);
    }

    fn room_event(&mut self, call: CallHandle, event: RoomEvent, now: Now) {
        let table = Arc::clone(&self.table);
        self.with_call(call, now, |call, cx, out| call.room_event(cx, &table, event, out));
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        // What a response may cause must find its way here already.
        if let Some(alias) = self.aliases.poll_output() {
            return Some(alias);
        }
        if let Some(transmit) = self.transactions.poll_transmit() {
            return Some(Output::Transmit(transmit));
        }
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let call = self.deadlines.first().map(|(at, _)| *at);
        let own = [call, self.departed.deadline(), self.aliases.deadline(), self.trunks.poll_timeout()];
        own.into_iter().chain([self.transactions.poll_timeout()]).flatten().min()
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.transactions.handle_timeout(now.mono);
        self.departed.timeout(now.mono);
        self.aliases.timeout(now.mono);
        while let Some((at, handle)) = self.deadlines.first().copied() {
            if at > now.mono {
                break;
            }
            self.with_call(handle, now, Call::handle_timeout);
            // A deadline that its call did not move would be due for ever.
            self.deadlines.remove(&(at, handle));
        }
        self.trunk_timeouts(now);
        self.drain_transactions(now);
    }

    /// Which shard this is.
    #[must_use]
    pub fn index(&self) -> usize {
        usize::from(self.config.shard)
    }

    /// How many transactions there are.
    #[must_use]
    pub fn transactions(&self) -> usize {
        self.transactions.count()
    }

    /// Whether it drains, no leg is left, and every request of ours, such as a BYE or the end of a
    /// registration, has its answer.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.draining && self.calls.is_empty() && !self.transactions.awaits_answer()
    }

    /// Whether a request has opened a transaction here.
    #[must_use]
    pub fn keeps(&self, message: &Message) -> bool {
        matches!(message, Message::Request(request) if self.transactions.knows(request))
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
            && self.trunks.is_idle()
            && self.dialogs.is_empty()
            && self.servers.is_empty()
            && self.clients.is_empty()
            && self.deadlines.is_empty()
            && self.departed.is_empty()
            && self.aliases.is_empty()
    }

    /// What waits for an answer on the connection goes elsewhere, and so do dialogs that stuck to it.
    fn connection_lost(&mut self, connection: u64, now: Now) {
        self.transactions.connection_lost(connection);
        self.trunk_connection_lost(connection, now);
        for call in self.all_calls() {
            self.with_call(call, now, |call, cx, out| call.connection_lost(cx, connection, out));
        }
    }

    /// Every call, in their order.
    fn all_calls(&self) -> Vec<CallHandle> {
        let mut all: Vec<CallHandle> = self.calls.keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// Lets a leg work.
    fn with_leg(&mut self, of: LegOf, now: Now, work: impl FnOnce(&mut Leg, &mut Cx<'_>)) {
        let (call, member) = of;
        self.with_call(call, now, |call, cx, out| call.with_leg(member, cx, out, work));
    }

    /// Runs `work` on a call with the panic guard round it; false where there is no such call.
    fn with_call(
        &mut self,
        handle: CallHandle,
        now: Now,
        work: impl FnOnce(&mut Call, &mut Cx<'_>, &mut VecDeque<Output>),
    ) -> bool {
        let Some(mut held) = self.calls.remove(&handle) else {
            return false;
        };
        let call = &mut held.call;
        let mut events: Vec<LegEvent> = Vec::new();
        let fault = self.fault;
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        let outputs = &mut self.outputs;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            assert!(!fault.is_some_and(|fault| fault(call)), "planted fault");
            work(call, &mut cx, outputs);
        }));
        if outcome.is_err() {
            // Best effort, and itself guarded: what is left of the call may be in any state, so it
            // gets no further input.
            let _ = catch_unwind(AssertUnwindSafe(|| call.abandon(&mut cx, outputs)));
            self.forget(&mut held, now);
        } else if call.is_over() {
            self.forget(&mut held, now);
        } else {
            self.follow_legs(&mut held, now);
            self.adopt_clients(&mut held);
            self.schedule(&mut held);
            self.asked.extend(held.call.take_asked().map(|refer| (handle, refer)));
            self.calls.insert(handle, held);
        }
        true
    }

    fn schedule(&mut self, held: &mut Held) {
        let (handle, at) = (held.call.handle(), held.call.poll_timeout());
        if at == held.scheduled {
            return;
        }
        self.unschedule(held);
        held.scheduled = at;
        self.deadlines.extend(at.map(|at| (at, handle)));
    }

    fn unschedule(&mut self, held: &Held) {
        if let Some(before) = held.scheduled {
            self.deadlines.remove(&(before, held.call.handle()));
        }
    }

    /// The key of a dialog: Call-ID and local tag.
    fn dialog_key(&self, call_id: &[u8], tag: &str) -> Fingerprint {
        let mut print = self.hash.fingerprint();
        // As the dialog holds it, bytes that are not UTF-8 replaced.
        print.part(String::from_utf8_lossy(call_id).as_bytes());
        print.part(tag);
        print.finish()
    }
}

#[cfg(test)]
mod tests;
