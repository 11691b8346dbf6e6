//! The table of transactions: finds the one a message belongs to, runs its timers, forgets it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use trunkline_sip::{Flow, Message, Method, Request, Response, Target, Transmit};

use super::invite_client::InviteClient;
use super::invite_server::InviteServer;
use super::non_invite_client::NonInviteClient;
use super::non_invite_server::NonInviteServer;
use super::paths::{response_target, target_is_reliable};
use super::{Action, ClientId, Inbound, ServerId, key};
use crate::time::{Mono, Timers};
use crate::tokens::{Fingerprint, KeyedHash};

#[derive(Debug)]
pub(super) enum ServerMachine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) machine: ServerMachine,
    pub(super) key: Fingerprint,
    pub(super) merged: Option<Fingerprint>,
    pub(super) flow: Flow,
    pub(super) target: Target,
}

#[derive(Debug)]
pub(super) enum ClientMachine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) machine: ClientMachine,
    pub(super) key: Option<Fingerprint>,
    pub(super) request: Request,
    pub(super) target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Server(u64),
    Client(u64),
}

/// Every transaction of one shard.
#[derive(Debug)]
pub struct Transactions {
    pub(super) timers: Timers,
    pub(super) hash: KeyedHash,
    serial: u64,
    pub(super) servers: BTreeMap<u64, Server>,
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) server_keys: HashMap<Fingerprint, u64, KeyedHash>,
    pub(super) merged_keys: HashMap<Fingerprint, u64, KeyedHash>,
    pub(super) client_keys: HashMap<Fingerprint, u64, KeyedHash>,
    /// One entry a transaction that has a deadline, as that transaction last told it.
    deadlines: BTreeSet<(Mono, Owner)>,
    pub(super) transmits: VecDeque<Transmit>,
    pub(super) inbound: VecDeque<Inbound>,
}

impl Transactions {
    /// An empty table.
    #[must_use]
    pub fn new(timers: Timers, hasher: KeyedHash) -> Self {
        Self {
            timers,
            hash: hasher,
            serial: 0,
            servers: BTreeMap::new(),
            clients: BTreeMap::new(),
            server_keys: HashMap::with_hasher(hasher),
            merged_keys: HashMap::with_hasher(hasher),
            client_keys: HashMap::with_hasher(hasher),
            deadlines: BTreeSet::new(),
            transmits: VecDeque::new(),
            inbound: VecDeque::new(),
        }
    }

    /// The timer values in force.
    #[must_use]
    pub const fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Takes a message from the wire. Requests have passed [`trunkline_sip::check::request`].
    pub fn receive(&mut self, message: Message, flow: Flow, now: Mono) {
        match message {
            Message::Request(request) => self.receive_request(request, flow, now),
            Message::Response(response) => self.receive_response(response, flow, now),
        }
    }

    /// Answers a server transaction. Without one (it is gone) nothing is sent.
    pub fn respond(&mut self, id: ServerId, response: &Response, now: Mono) {
        let Some(server) = self.servers.get_mut(&id.0) else {
            return;
        };
        let before = server.machine.deadline();
        let mut actions = Vec::new();
        let (code, bytes) = (response.code(), response.to_bytes());
        match &mut server.machine {
            ServerMachine::Invite(m) => m.respond(code, &bytes, &self.timers, now, &mut actions),
            ServerMachine::NonInvite(m) => m.respond(code, &bytes, &self.timers, now, &mut actions),
        }
        self.run_server(id.0, before, actions);
    }

    /// Sends a request of ours in a transaction of its own. Its top Via carries our branch.
    pub fn request(&mut self, request: Request, target: Target, now: Mono) -> ClientId {
        let id = self.next_serial();
        let reliable = target_is_reliable(&target);
        let bytes = request.to_bytes();
        let mut actions = Vec::new();
        let (timers, out) = (&self.timers, &mut actions);
        let machine = match request.method {
            Method::Invite => ClientMachine::Invite(InviteClient::start(bytes, reliable, timers, now, out)),
            _ => ClientMachine::NonInvite(NonInviteClient::start(bytes, reliable, timers, now, out)),
        };
        let key = key::client(self.hash, &request);
        if let Some(key) = key {
            self.client_keys.insert(key, id);
        }
        self.clients.insert(id, Client { machine, key, request, target });
        self.run_client(id, None, actions, None);
        ClientId(id)
    }

    /// Sends something outside every transaction: an ACK of a 2xx, a 2xx sent again.
    pub fn send(&mut self, payload: Bytes, target: Target) {
        self.transmits.push_back(Transmit { target, payload });
    }

    /// Answers a request without a transaction (RFC 3261 §8.2.7).
    pub fn send_stateless(&mut self, request: &Request, flow: Flow, response: &Response) {
        if request.via().is_some() {
            self.send(response.to_bytes(), response_target(request, flow));
        }
    }

    /// Whether a request belongs to a transaction that exists.
    #[must_use]
    pub fn knows(&self, request: &Request) -> bool {
        key::server(self.hash, request, &request.method)
            .is_some_and(|key| self.server_keys.contains_key(&key))
    }

    /// Whether the INVITE that a CANCEL names is known.
    #[must_use]
    pub fn knows_invite_of(&self, cancel: &Request) -> bool {
        key::server(self.hash, cancel, &Method::Invite).is_some_and(|key| self.server_keys.contains_key(&key))
    }

    /// Where the responses of a server transaction go, and the flow its request came by.
    #[must_use]
    pub fn path(&self, id: ServerId) -> Option<(&Target, Flow)> {
        self.servers.get(&id.0).map(|server| (&server.target, server.flow))
    }

    /// The name that the peer's certificate holds: for the answers of a server transaction whose
    /// connection breaks.
    pub fn name_peer(&mut self, id: ServerId, name: &str) {
        let server = self.servers.get_mut(&id.0);
        if let Some(Target::Flow { fallback: Some(hop), .. }) = server.map(|server| &mut server.target) {
            *hop = hop.clone().known_as(Some(name));
        }
    }

    /// The request and the target of a client transaction, to build its CANCEL from.
    #[must_use]
    pub fn client(&self, id: ClientId) -> Option<(&Request, &Target)> {
        self.clients.get(&id.0).map(|client| (&client.request, &client.target))
    }

    /// The next thing to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing for the user.
    pub fn poll_inbound(&mut self) -> Option<Inbound> {
        self.inbound.pop_front()
    }

    /// When [`Self::handle_timeout`] is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Mono) {
        while let Some((at, owner)) = self.deadlines.first().copied() {
            if at > now {
                return;
            }
            self.deadlines.remove(&(at, owner));
            let mut actions = Vec::new();
            match owner {
                Owner::Server(id) => {
                    let Some(server) = self.servers.get_mut(&id) else {
                        continue;
                    };
                    match &mut server.machine {
                        ServerMachine::Invite(m) => m.timeout(&self.timers, now, &mut actions),
                        ServerMachine::NonInvite(m) => m.timeout(now, &mut actions),
                    }
                    self.run_server(id, None, actions);
                }
                Owner::Client(id) => {
                    let Some(client) = self.clients.get_mut(&id) else {
                        continue;
                    };
                    match &mut client.machine {
                        ClientMachine::Invite(m) => m.timeout(now, &mut actions),
                        ClientMachine::NonInvite(m) => m.timeout(&self.timers, now, &mut actions),
                    }
                    self.run_client(id, None, actions, None);
                }
            }
        }
    }

    /// How many transactions there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    /// Whether a request of ours waits for its final response.
    #[must_use]
    pub fn awaits_answer(&self) -> bool {
        self.clients.values().any(|client| client.machine.awaits_answer())
    }

    /// Whether no transaction is left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.servers.is_empty() && self.clients.is_empty() && self.deadlines.is_empty()
    }

    pub(super) fn run_server(&mut self, id: u64, before: Option<Mono>, actions: Vec<Action>) {
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        let after = server.machine.deadline();
        self.reschedule(Owner::Server(id), before, after);
        for action in actions {
            match action {
                Action::Send(payload) => {
                    let Some(server) = self.servers.get(&id) else {
                        return;
                    };
                    self.transmits.push_back(Transmit { target: server.target.clone(), payload });
                }
                Action::TimedOut => self.inbound.push_back(Inbound::NotAcknowledged(ServerId(id))),
                Action::Terminate => self.forget_server(id),
                Action::Pass => {}
            }
        }
    }

    pub(super) fn run_client(
        &mut self,
        id: u64,
        before: Option<Mono>,
        actions: Vec<Action>,
        mut response: Option<Response>,
    ) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let after = client.machine.deadline();
        self.reschedule(Owner::Client(id), before, after);
        for action in actions {
            match action {
                Action::Send(payload) => {
                    let Some(client) = self.clients.get(&id) else {
                        return;
                    };
                    self.transmits.push_back(Transmit { target: client.target.clone(), payload });
                }
                Action::Pass => {
                    if let Some(response) = response.take() {
                        self.inbound.push_back(Inbound::Response(ClientId(id), Box::new(response)));
                    }
                }
                Action::TimedOut => self.inbound.push_back(Inbound::Timeout(ClientId(id))),
                Action::Terminate => self.forget_client(id),
            }
        }
    }

    pub(super) fn reschedule(&mut self, owner: Owner, before: Option<Mono>, after: Option<Mono>) {
        if let Some(at) = before {
            self.deadlines.remove(&(at, owner));
        }
        if let Some(at) = after {
            self.deadlines.insert((at, owner));
        }
    }

    fn forget_server(&mut self, id: u64) {
        let Some(server) = self.servers.remove(&id) else {
            return;
        };
        self.reschedule(Owner::Server(id), server.machine.deadline(), None);
        self.server_keys.remove(&server.key);
        if let Some(merged) = server.merged {
            self.merged_keys.remove(&merged);
        }
    }

    pub(super) fn forget_client(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        self.reschedule(Owner::Client(id), client.machine.deadline(), None);
        if let Some(key) = client.key {
            self.client_keys.remove(&key);
        }
    }

    pub(super) const fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

impl ServerMachine {
    pub(super) fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::NonInvite(machine) => machine.deadline(),
        }
    }
}

impl ClientMachine {
    pub(super) const fn awaits_answer(&self) -> bool {
        match self {
            Self::Invite(machine) => machine.awaits_answer(),
            Self::NonInvite(machine) => machine.awaits_answer(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::NonInvite(machine) => machine.deadline(),
        }
    }
}
