//! The table of transactions: finds the one a message belongs to, runs its timers, forgets it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use trunkline_sip::{
    Flow, HeaderName, Message, Method, Request, Response, Target, Transmit, Transport, reply,
};

use super::invite_client::InviteClient;
use super::invite_server::InviteServer;
use super::non_invite_client::NonInviteClient;
use super::non_invite_server::NonInviteServer;
use super::{Action, ClientId, Inbound, ServerId, key};
use crate::time::{Mono, Timers};
use crate::tokens::KeyedHash;

#[derive(Debug)]
enum ServerMachine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

#[derive(Debug)]
struct Server {
    machine: ServerMachine,
    key: String,
    merged: Option<String>,
    flow: Flow,
    target: Target,
}

#[derive(Debug)]
enum ClientMachine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

#[derive(Debug)]
struct Client {
    machine: ClientMachine,
    key: String,
    request: Request,
    target: Target,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Server(u64),
    Client(u64),
}

/// Every transaction of one shard.
#[derive(Debug)]
pub struct Transactions {
    timers: Timers,
    serial: u64,
    servers: BTreeMap<u64, Server>,
    clients: BTreeMap<u64, Client>,
    server_keys: HashMap<String, u64, KeyedHash>,
    merged_keys: HashMap<String, u64, KeyedHash>,
    client_keys: HashMap<String, u64, KeyedHash>,
    /// One entry a transaction that has a deadline, as that transaction last told it.
    deadlines: BTreeSet<(Mono, Owner)>,
    transmits: VecDeque<Transmit>,
    inbound: VecDeque<Inbound>,
}

impl Transactions {
    /// An empty table.
    #[must_use]
    pub fn new(timers: Timers, hasher: KeyedHash) -> Self {
        Self {
            timers,
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
            Method::Invite => {
                ClientMachine::Invite(InviteClient::start(bytes, reliable, timers, now, out))
            }
            _ => {
                ClientMachine::NonInvite(NonInviteClient::start(bytes, reliable, timers, now, out))
            }
        };
        let key = key::client(&request).unwrap_or_default();
        self.client_keys.insert(key.clone(), id);
        self.clients.insert(
            id,
            Client {
                machine,
                key,
                request,
                target,
            },
        );
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
        key::server(request, &request.method).is_some_and(|key| self.server_keys.contains_key(&key))
    }

    /// Where the responses of a server transaction go, and the flow its request came by.
    #[must_use]
    pub fn path(&self, id: ServerId) -> Option<(&Target, Flow)> {
        self.servers
            .get(&id.0)
            .map(|server| (&server.target, server.flow))
    }

    /// The request and the target of a client transaction, to build its CANCEL from.
    #[must_use]
    pub fn client(&self, id: ClientId) -> Option<(&Request, &Target)> {
        self.clients
            .get(&id.0)
            .map(|client| (&client.request, &client.target))
    }

    /// A connection is gone: client transactions that wait on it end now (RFC 3261 §17.1.4).
    pub fn connection_lost(&mut self, connection: u64) {
        let on_it = |target: &Target| matches!(target, Target::Flow { flow, fallback: None } if flow.connection == Some(connection));
        let lost: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, c)| on_it(&c.target))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.inbound.push_back(Inbound::Timeout(ClientId(id)));
            self.forget_client(id);
        }
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

    /// Whether no transaction is left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.servers.is_empty() && self.clients.is_empty() && self.deadlines.is_empty()
    }

    fn receive_request(&mut self, request: Request, flow: Flow, now: Mono) {
        let asks = if request.method == Method::Ack {
            &Method::Invite
        } else {
            &request.method
        };
        let Some(key) = key::server(&request, asks) else {
            return;
        };
        if let Some(id) = self.server_keys.get(&key).copied() {
            return self.existing(id, request, flow, now);
        }
        match request.method {
            Method::Ack => self
                .inbound
                .push_back(Inbound::Ack(Box::new(request), flow)),
            Method::Cancel => self.cancel(request, flow, key, now),
            _ => self.open(request, flow, key, now),
        }
    }

    /// A request of a transaction that exists: a retransmission, or the ACK of its refusal.
    fn existing(&mut self, id: u64, request: Request, flow: Flow, now: Mono) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let before = server.machine.deadline();
        let mut actions = Vec::new();
        match &mut server.machine {
            ServerMachine::Invite(machine) if request.method == Method::Ack => {
                // A 2xx is acknowledged outside its transaction, but a careless peer reuses the
                // branch; the dialog is who can tell.
                if matches!(machine.state, super::invite_server::State::Accepted { .. }) {
                    return self
                        .inbound
                        .push_back(Inbound::Ack(Box::new(request), flow));
                }
                machine.acknowledged(&self.timers, now, &mut actions);
            }
            ServerMachine::Invite(machine) => machine.retransmitted(&mut actions),
            ServerMachine::NonInvite(machine) => machine.retransmitted(&mut actions),
        }
        self.run_server(id, before, actions);
    }

    fn open(&mut self, request: Request, flow: Flow, key: String, now: Mono) {
        let merged = key::merged(&request);
        let is_merged = merged
            .as_ref()
            .is_some_and(|m| self.merged_keys.contains_key(m));
        let merged = merged.filter(|_| !is_merged);
        let id = self.insert_server(&request, flow, key, merged);
        if is_merged {
            let response = reply::to(&request, 482, Some("merged"));
            return self.respond(id, &response, now);
        }
        self.inbound
            .push_back(Inbound::Request(id, Box::new(request), flow));
    }

    /// CANCEL is answered here: 200 where its INVITE is known, 481 where not (RFC 3261 §9.2).
    fn cancel(&mut self, request: Request, flow: Flow, key: String, now: Mono) {
        let invite = key::server(&request, &Method::Invite)
            .and_then(|key| self.server_keys.get(&key).copied());
        let id = self.insert_server(&request, flow, key, None);
        let code = if invite.is_some() { 200 } else { 481 };
        self.respond(id, &reply::to(&request, code, Some("cancel")), now);
        let open = invite.filter(|invite| {
            self.servers
                .get(invite)
                .is_some_and(|server| match &server.machine {
                    ServerMachine::Invite(machine) => !machine.is_final(),
                    ServerMachine::NonInvite(_) => false,
                })
        });
        if let Some(invite) = open {
            self.inbound
                .push_back(Inbound::Cancel(ServerId(invite), Box::new(request)));
        }
    }

    fn insert_server(
        &mut self,
        request: &Request,
        flow: Flow,
        key: String,
        merged: Option<String>,
    ) -> ServerId {
        let id = self.next_serial();
        let reliable = flow.is_reliable();
        let machine = match request.method {
            Method::Invite => ServerMachine::Invite(InviteServer::new(reliable)),
            _ => ServerMachine::NonInvite(NonInviteServer::new(reliable)),
        };
        self.server_keys.insert(key.clone(), id);
        if let Some(merged) = &merged {
            self.merged_keys.insert(merged.clone(), id);
        }
        let target = response_target(request, flow);
        self.servers.insert(
            id,
            Server {
                machine,
                key,
                merged,
                flow,
                target,
            },
        );
        ServerId(id)
    }

    fn receive_response(&mut self, response: Response, flow: Flow, now: Mono) {
        let known = key::of_response(&response).and_then(|key| self.client_keys.get(&key).copied());
        let Some((id, client)) = known.and_then(|id| Some((id, self.clients.get_mut(&id)?))) else {
            let invite = response
                .cseq()
                .is_some_and(|cseq| cseq.method == Method::Invite);
            if invite && (200..300).contains(&response.code()) {
                self.inbound
                    .push_back(Inbound::StrayOk(Box::new(response), flow));
            }
            return;
        };
        let mut actions = Vec::new();
        let code = response.code();
        let before = client.machine.deadline();
        match &mut client.machine {
            ClientMachine::Invite(machine) => {
                let ack = || acknowledge(&client.request, &response).to_bytes();
                machine.response(code, ack, &self.timers, now, &mut actions);
            }
            ClientMachine::NonInvite(machine) => {
                machine.response(code, &self.timers, now, &mut actions);
            }
        }
        self.run_client(id, before, actions, Some(response));
    }

    fn run_server(&mut self, id: u64, before: Option<Mono>, actions: Vec<Action>) {
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
                    self.transmits.push_back(Transmit {
                        target: server.target.clone(),
                        payload,
                    });
                }
                Action::TimedOut => self
                    .inbound
                    .push_back(Inbound::NotAcknowledged(ServerId(id))),
                Action::Terminate => self.forget_server(id),
                Action::Pass => {}
            }
        }
    }

    fn run_client(
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
                    self.transmits.push_back(Transmit {
                        target: client.target.clone(),
                        payload,
                    });
                }
                Action::Pass => {
                    if let Some(response) = response.take() {
                        self.inbound
                            .push_back(Inbound::Response(ClientId(id), Box::new(response)));
                    }
                }
                Action::TimedOut => self.inbound.push_back(Inbound::Timeout(ClientId(id))),
                Action::Terminate => self.forget_client(id),
            }
        }
    }

    fn reschedule(&mut self, owner: Owner, before: Option<Mono>, after: Option<Mono>) {
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

    fn forget_client(&mut self, id: u64) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        self.reschedule(Owner::Client(id), client.machine.deadline(), None);
        self.client_keys.remove(&client.key);
    }

    const fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

impl ServerMachine {
    fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::NonInvite(machine) => machine.deadline(),
        }
    }
}

impl ClientMachine {
    fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Invite(machine) => machine.deadline(),
            Self::NonInvite(machine) => machine.deadline(),
        }
    }
}

/// Where the responses to `request` go (RFC 3261 §18.2.2, RFC 3581 §4): over a connection back on
/// it; over UDP to where it came from, at the port of the Via unless `rport` asked for the source.
fn response_target(request: &Request, flow: Flow) -> Target {
    let mut flow = flow;
    let via = request.via();
    if flow.transport == Transport::Udp {
        if let Some(via) = via.filter(|via| !via.params.has("rport")) {
            flow.remote.set_port(via.sent_by.port.unwrap_or(5060));
        }
        return Target::Flow {
            flow,
            fallback: None,
        };
    }
    let fallback = via.map(|via| trunkline_sip::Hop {
        host: via
            .received()
            .map_or(via.sent_by.host, trunkline_sip::Host::IpAddr),
        port: via.sent_by.port,
        transport: Some(flow.transport),
    });
    Target::Flow { flow, fallback }
}

fn target_is_reliable(target: &Target) -> bool {
    match target {
        Target::Flow { flow, .. } => flow.is_reliable(),
        Target::Hop(hop) => hop
            .transport
            .is_some_and(|transport| transport != Transport::Udp),
    }
}

/// The ACK of a refusal: the INVITE's own Via, Request-URI and Route, the response's To
/// (RFC 3261 §17.1.1.3).
fn acknowledge(invite: &Request, response: &Response) -> Request {
    let mut ack = Request::new(Method::Ack, invite.target.clone());
    if let Some(via) = invite.headers.first(&HeaderName::Via) {
        ack.headers.push(HeaderName::Via, via.value.clone());
    }
    for header in invite.headers.all(&HeaderName::Route) {
        ack.headers.push(HeaderName::Route, header.value.clone());
    }
    ack.headers.push(HeaderName::MaxForwards, "70");
    for (name, headers) in [
        (HeaderName::From, &invite.headers),
        (HeaderName::To, &response.headers),
        (HeaderName::CallId, &invite.headers),
    ] {
        if let Some(header) = headers.first(&name) {
            ack.headers.push(name, header.value.clone());
        }
    }
    let number = invite.cseq().map_or(1, |cseq| cseq.number);
    ack.headers.push(HeaderName::CSeq, format!("{number} ACK"));
    ack
}
