//! Client transactions that end, or go elsewhere, for other reasons than a response or a timer.

use trunkline_sip::{Request, Target, Transmit};

use super::layer::{Client, ClientMachine, Owner, Transactions};
use super::{ClientId, Inbound, key};
use crate::time::Mono;

impl Transactions {
    /// The answer to an INVITE of ours is not wanted any more: its transaction ends 64×T1 later even
    /// where the peer never says the last word.
    pub fn give_up(&mut self, id: ClientId, now: Mono) {
        let Some(client) = self.clients.get_mut(&id.0) else { return };
        let ClientMachine::Invite(machine) = &mut client.machine else { return };
        let before = machine.deadline();
        machine.give_up(&self.timers, now);
        let after = machine.deadline();
        self.reschedule(Owner::Client(id.0), before, after);
    }

    /// A connection is gone: client transactions that wait for an answer on it try their next hop
    /// once, and end now where they have none (RFC 3261 §17.1.4).
    pub fn connection_lost(&mut self, connection: u64) {
        for client in self.clients.values_mut().filter(|client| client.machine.awaits_answer()) {
            let Target::Flow { flow, fallback: Some(hop) } = &client.target else { continue };
            if flow.connection == Some(connection) {
                client.target = Target::Hop(hop.clone());
                let (target, payload) = (client.target.clone(), client.request.to_bytes());
                self.transmits.push_back(Transmit { target, payload });
            }
        }
        let on_it = |target: &Target| matches!(target, Target::Flow { flow, fallback: None } if flow.connection == Some(connection));
        let lost = |client: &Client| client.machine.awaits_answer() && on_it(&client.target);
        let lost: Vec<u64> =
            self.clients.iter().filter(|(_, client)| lost(client)).map(|(id, _)| *id).collect();
        for id in lost {
            self.inbound.push_back(Inbound::Timeout(ClientId(id)));
            self.forget_client(id);
        }
    }

    /// A request of ours that had to find its hop was not sent: there is none, or it takes no
    /// connection. Its transaction ends now (RFC 3261 §17.1.4).
    pub fn unsent(&mut self, request: &Request) {
        let known = key::client(self.hash, request).and_then(|key| self.client_keys.get(&key).copied());
        if let Some(id) = known {
            self.inbound.push_back(Inbound::Timeout(ClientId(id)));
            self.forget_client(id);
        }
    }
}
