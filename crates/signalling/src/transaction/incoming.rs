//! Messages from the wire: which transaction they belong to, and what opens a new one
//! (RFC 3261 §17.1.3, §17.2.3, §8.2.2.2, §9.2).

use trunkline_sip::{Flow, Message, Method, Request, Response, check, read, reply};

use super::invite_server::InviteServer;
use super::layer::{ClientMachine, Server, ServerMachine, Transactions};
use super::non_invite_server::NonInviteServer;
use super::paths::{acknowledge, response_target};
use super::{Inbound, ServerId, key};
use crate::time::Mono;
use crate::tokens::Fingerprint;

impl Transactions {
    pub(super) fn receive_request(&mut self, request: Request, flow: Flow, now: Mono) {
        let asks = if request.method == Method::Ack { &Method::Invite } else { &request.method };
        let Some(key) = key::server(self.hash, &request, asks) else {
            return;
        };
        if let Some(id) = self.server_keys.get(&key).copied() {
            return self.existing(id, request, flow, now);
        }
        match request.method {
            Method::Ack => self.inbound.push_back(Inbound::Ack(Box::new(request), flow)),
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
                    return self.inbound.push_back(Inbound::Ack(Box::new(request), flow));
                }
                machine.acknowledged(&self.timers, now, &mut actions);
            }
            ServerMachine::Invite(machine) => machine.retransmitted(&mut actions),
            ServerMachine::NonInvite(machine) => machine.retransmitted(&mut actions),
        }
        self.run_server(id, before, actions);
    }

    fn open(&mut self, request: Request, flow: Flow, key: Fingerprint, now: Mono) {
        let merged = key::merged(self.hash, &request);
        let is_merged = merged.as_ref().is_some_and(|m| self.merged_keys.contains_key(m));
        let merged = merged.filter(|_| !is_merged);
        let id = self.insert_server(&request, flow, key, merged);
        if is_merged {
            let response = reply::to(&request, 482, Some("merged"));
            return self.respond(id, &response, now);
        }
        self.inbound.push_back(Inbound::Request(id, Box::new(request), flow));
    }

    /// CANCEL is answered here: 200 where its INVITE is known, 481 where not (RFC 3261 §9.2).
    fn cancel(&mut self, request: Request, flow: Flow, key: Fingerprint, now: Mono) {
        let invite = key::server(self.hash, &request, &Method::Invite)
            .and_then(|key| self.server_keys.get(&key).copied());
        let id = self.insert_server(&request, flow, key, None);
        let code = if invite.is_some() { 200 } else { 481 };
        let tag = invite.and_then(|invite| self.tag_of_invite(invite));
        self.respond(id, &reply::to(&request, code, Some(tag.as_deref().unwrap_or("cancel"))), now);
        let open = invite.filter(|invite| {
            self.servers.get(invite).is_some_and(|server| match &server.machine {
                ServerMachine::Invite(machine) => !machine.is_final(),
                ServerMachine::NonInvite(_) => false,
            })
        });
        if let Some(invite) = open {
            self.inbound.push_back(Inbound::Cancel(ServerId(invite), Box::new(request)));
        }
    }

    /// The tag that the INVITE was answered with, where it was.
    fn tag_of_invite(&self, id: u64) -> Option<String> {
        let ServerMachine::Invite(machine) = &self.servers.get(&id)?.machine else { return None };
        match read::datagram(machine.last()?) {
            Ok(Message::Response(response)) => response.to()?.tag().map(str::to_owned),
            Ok(Message::Request(_)) | Err(_) => None,
        }
    }

    fn insert_server(
        &mut self,
        request: &Request,
        flow: Flow,
        key: Fingerprint,
        merged: Option<Fingerprint>,
    ) -> ServerId {
        let id = self.next_serial();
        let reliable = flow.is_reliable();
        let machine = match request.method {
            Method::Invite => ServerMachine::Invite(InviteServer::new(reliable)),
            _ => ServerMachine::NonInvite(NonInviteServer::new(reliable)),
        };
        self.server_keys.insert(key, id);
        if let Some(merged) = merged {
            self.merged_keys.insert(merged, id);
        }
        let target = response_target(request, flow);
        self.servers.insert(id, Server { machine, key, merged, flow, target });
        ServerId(id)
    }

    /// A response that is malformed, or that answers another request than its branch says, is dropped.
    pub(super) fn receive_response(&mut self, response: Response, flow: Flow, now: Mono) {
        if check::response(&response).is_err() {
            return;
        }
        let known =
            key::of_response(self.hash, &response).and_then(|key| self.client_keys.get(&key).copied());
        let Some((id, client)) = known.and_then(|id| Some((id, self.clients.get_mut(&id)?))) else {
            let invite = response.cseq().is_some_and(|cseq| cseq.method == Method::Invite);
            if invite && (200..300).contains(&response.code()) {
                self.inbound.push_back(Inbound::StrayOk(Box::new(response), flow));
            }
            return;
        };
        if client.request.call_id() != response.call_id() {
            return;
        }
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
}
