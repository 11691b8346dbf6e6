//! What transactions have taken goes to the leg, or the link of a trunk, that it is for.

use trunkline_signalling::{Inbound, Now};

use super::Shard;

impl Shard {
    pub(super) fn drain_transactions(&mut self, now: Now) {
        while let Some(inbound) = self.transactions.poll_inbound() {
            match inbound {
                Inbound::Request(tx, request, flow) => self.request(tx, *request, flow, now),
                Inbound::Ack(request, _) => {
                    if let Some(leg) = self.dialog_of(&request) {
                        self.with_leg(leg, now, |leg, cx| leg.handle_ack(cx, &request));
                    }
                }
                Inbound::Cancel(tx, _) => {
                    if let Some(leg) = self.servers.get(&tx).copied() {
                        self.with_leg(leg, now, |leg, cx| leg.handle_cancel(cx));
                    }
                }
                Inbound::Response(tx, response) if self.trunk_response(tx, &response, now) => {}
                Inbound::Response(tx, response) => {
                    // A 2xx comes again where its ACK was lost; its transaction is settled then.
                    let leg = self.clients.get(&tx).copied().or_else(|| self.dialog_of_response(&response));
                    if response.code() >= 200 {
                        self.clients.remove(&tx);
                    }
                    match leg {
                        Some(leg) => {
                            self.with_leg(leg, now, |leg, cx| leg.handle_response(cx, tx, &response));
                        }
                        None => self.answered_too_late(&response, now),
                    }
                }
                Inbound::StrayOk(response, _) => match self.dialog_of_response(&response) {
                    Some(leg) => self.with_leg(leg, now, |leg, cx| leg.handle_stray_ok(cx, &response)),
                    None => self.answered_too_late(&response, now),
                },
                Inbound::Timeout(tx) => {
                    self.trunk_no_response(tx, now);
                    if let Some(leg) = self.clients.remove(&tx) {
                        self.with_leg(leg, now, |leg, cx| leg.handle_no_response(cx, tx));
                    }
                }
                // A refusal without an ACK changes nothing.
                Inbound::NotAcknowledged(_) => {}
            }
        }
        self.answer_refers(now);
    }
}
