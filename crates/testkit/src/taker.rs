//! A leg that asks for the caller's place in a world (RFC 3891), and what it and the callees of second legs do by
//! the clock.

use std::net::SocketAddr;

use bytes::Bytes;
use trunkline_call::{CallPlan, Caller, CallerOutput};
use trunkline_sdp::Codec;
use trunkline_signalling::{Mono, Timers};
use trunkline_sip::{HeaderName, Message, Method, read};

use crate::network::Side;
use crate::world::{Far, World, caller_address, flow, gateway_address, moment};

/// Such a leg.
pub(crate) struct Taker {
    caller: Caller,
    call_id: String,
    /// The dialog that it asks for.
    replaces: String,
}

impl Taker {
    pub(crate) fn poll_timeout(&self) -> Option<Mono> {
        self.caller.poll_timeout()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.caller.is_idle()
    }

    /// The next message that it sends; its INVITE names the dialog.
    fn poll_transmit(&mut self) -> Option<Bytes> {
        loop {
            if let CallerOutput::Transmit(transmit) = self.caller.poll_output()? {
                return Some(self.naming(transmit.payload));
            }
        }
    }

    fn naming(&self, payload: Bytes) -> Bytes {
        let Ok(Message::Request(mut request)) = read::datagram(&payload) else { return payload };
        let outside = request.to().is_some_and(|to| to.tag().is_none());
        if request.method != Method::Invite || !outside {
            return payload;
        }
        request.headers.push(HeaderName::Replaces, self.replaces.clone());
        request.to_bytes()
    }
}

impl World {
    /// Somebody asks for the caller's place, where the caller has one.
    pub(crate) fn take_place(&mut self) {
        let Far::Caller(first) = &self.far else { return };
        let Some(dialog) = first.dialog().filter(|dialog| !dialog.remote_tag.is_empty()) else { return };
        let replaces =
            format!("{};to-tag={};from-tag={}", dialog.call_id, dialog.remote_tag, dialog.local_tag);
        let plan = CallPlan {
            target: "sip:192.0.2.10:5060".to_owned(),
            from: "<sip:+14155550188@192.0.2.20>".to_owned(),
            flow: flow(caller_address(), gateway_address()),
            media: SocketAddr::from(([192, 0, 2, 20], 4002)),
            codecs: vec![Codec::Pcma],
            timers: Timers::default(),
            key: (self.plan.seed, 10),
            refer: false,
        };
        let caller = Caller::place(plan, moment(self.now));
        let call_id = caller.dialog().map(|dialog| dialog.call_id.clone()).unwrap_or_default();
        self.taker = Some(Taker { caller, call_id, replaces });
        self.others_send();
    }

    /// Whether who asked for the caller's place was given it.
    #[must_use]
    pub const fn place_was_taken(&self) -> bool {
        self.taken
    }

    /// Whether a message is for who asks for the caller's place; that one takes it.
    pub(crate) fn reaches_taker(&mut self, message: &Message) -> bool {
        let now = moment(self.now);
        let is_its = |taker: &&mut Taker| message.call_id().is_some_and(|id| id == taker.call_id.as_bytes());
        let Some(taker) = self.taker.as_mut().filter(is_its) else { return false };
        taker.caller.receive(message.clone(), flow(caller_address(), gateway_address()), now);
        true
    }

    /// It hangs up when the caller would.
    pub(crate) fn taker_leaves(&mut self) {
        if let Some(taker) = &mut self.taker {
            taker.caller.hang_up(moment(self.now));
        }
    }

    /// Runs what callees of second legs, and who asks for the caller's place, have due.
    pub(crate) fn others_time_out(&mut self) {
        let now = moment(self.now);
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= now.mono);
        for (_, callee) in self.seconds.iter_mut().filter(|(_, callee)| due(callee.poll_timeout())) {
            callee.handle_timeout(now);
        }
        if let Some(taker) = self.taker.as_mut().filter(|taker| due(taker.poll_timeout())) {
            taker.caller.handle_timeout(now);
        }
    }

    /// Sends what they say.
    pub(crate) fn others_send(&mut self) {
        for (_, callee) in &mut self.seconds {
            while let Some(transmit) = callee.poll_transmit() {
                self.network.send(Side::Gateway, &transmit.payload, self.now);
            }
        }
        while let Some(payload) = self.taker.as_mut().and_then(Taker::poll_transmit) {
            self.network.send(Side::Gateway, &payload, self.now);
        }
    }
}
