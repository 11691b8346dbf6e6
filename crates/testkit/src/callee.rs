//! Who is called: takes one INVITE, rings, answers or refuses, hangs up.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use trunkline_sdp::{Codec, Description, Direction, LocalMedia, negotiate};
use trunkline_signalling::dialog::{
    Cx, Ended, InDialogPolicy, Leg, LegEvent, LegTerms, LocalAddress, OfferIn,
};
use trunkline_signalling::{Inbound, KeyedHash, Mono, Now, Timers, Tokens, Transactions};
use trunkline_sip::{Flow, Message, Method, Request, Transmit, check, reply};

/// What a callee does.
#[derive(Debug, Clone, Copy)]
pub struct CalleePlan {
    /// How long it rings; then it answers, or refuses with a code.
    pub rings: Duration,
    /// The code of its refusal.
    pub refuses: Option<u16>,
    /// It hangs up so long after its answer.
    pub leaves: Option<Duration>,
}

/// One call from the called side.
pub struct Callee {
    transactions: Transactions,
    tokens: Tokens,
    plan: CalleePlan,
    address: SocketAddr,
    leg: Option<Leg>,
    /// When it answers or refuses, and when it hangs up.
    due: [Option<Mono>; 2],
    offer: Bytes,
    /// It has sent a 200.
    pub answered: bool,
    /// How its call ended.
    pub ends: Vec<Ended>,
}

impl Callee {
    /// A callee that waits at an address.
    #[must_use]
    pub fn new(plan: CalleePlan, address: SocketAddr, seed: u64) -> Self {
        Self {
            transactions: Transactions::new(Timers::default(), KeyedHash::new((seed, 21))),
            tokens: Tokens::new((seed, 22)),
            plan,
            address,
            leg: None,
            due: [None, None],
            offer: Bytes::new(),
            answered: false,
            ends: Vec::new(),
        }
    }

    /// Takes a message from the wire.
    pub fn receive(&mut self, message: Message, flow: Flow, now: Now) {
        if let Message::Request(request) = &message
            && check::request(request).is_err()
        {
            return;
        }
        self.transactions.receive(message, flow, now.mono);
        self.drain(now);
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.transactions.handle_timeout(now.mono);
        self.with_leg(now, |leg, cx| leg.handle_timeout(cx));
        if self.due[0].take_if(|at| *at <= now.mono).is_some() {
            self.decide(now);
        }
        if self.due[1].take_if(|at| *at <= now.mono).is_some() {
            self.with_leg(now, |leg, cx| leg.hang_up(cx, 480));
        }
        self.drain(now);
    }

    /// The next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let leg = self.leg.as_ref().and_then(Leg::poll_timeout);
        [leg, self.transactions.poll_timeout(), self.due[0], self.due[1]].into_iter().flatten().min()
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transactions.poll_transmit()
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.leg.as_ref().is_none_or(Leg::is_over) && self.transactions.is_idle()
    }

    fn decide(&mut self, now: Now) {
        if let Some(code) = self.plan.refuses {
            return self.with_leg(now, |leg, cx| leg.reject(cx, code, &[]));
        }
        let Some(sdp) = self.describe(&OfferIn::Given(self.offer.clone())) else {
            return self.with_leg(now, |leg, cx| leg.reject(cx, 488, &[]));
        };
        let open = self.leg.as_ref().is_some_and(|leg| leg.invite().is_some());
        self.with_leg(now, |leg, cx| leg.answer(cx, &sdp));
        if open {
            self.answered = true;
            self.due[1] = self.plan.leaves.map(|after| now.mono + after);
        }
    }

    fn invite(&mut self, tx: trunkline_signalling::ServerId, request: Request, now: Now) {
        self.offer = request.body_of("application/sdp").unwrap_or_default();
        let address =
            LocalAddress { sent_by: self.address.to_string(), transport: trunkline_sip::Transport::Udp };
        let terms = LegTerms { address, policy: InDialogPolicy::default(), peer_name: None, account: None };
        let mut events = Vec::new();
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        self.leg = Leg::incoming(&mut cx, tx, request, terms);
        if let Some(leg) = &mut self.leg {
            leg.ring(&mut cx, 180, None);
        }
        self.due[0] = Some(now.mono + self.plan.rings);
        self.events(events, now);
    }

    fn with_leg(&mut self, now: Now, work: impl FnOnce(&mut Leg, &mut Cx<'_>)) {
        let Some(leg) = &mut self.leg else { return };
        let mut events = Vec::new();
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        work(leg, &mut cx);
        self.events(events, now);
    }

    fn events(&mut self, events: Vec<LegEvent>, now: Now) {
        for event in events {
            match event {
                LegEvent::Ended(why) => self.ends.push(why),
                LegEvent::Offer(offer) => {
                    let answer = self.describe(&offer);
                    self.with_leg(now, |leg, cx| match &answer {
                        Some(sdp) => leg.accept_offer(cx, sdp),
                        None => leg.refuse_offer(cx, 488),
                    });
                }
                _ => {}
            }
        }
    }

    fn drain(&mut self, now: Now) {
        while let Some(inbound) = self.transactions.poll_inbound() {
            match inbound {
                Inbound::Request(tx, request, _) => {
                    let ours = self.leg.as_ref().is_some_and(|leg| leg.dialog().owns(&request));
                    if ours {
                        self.with_leg(now, |leg, cx| leg.handle_request(cx, tx, *request));
                    } else if self.leg.is_none() && request.method == Method::Invite {
                        self.invite(tx, *request, now);
                    } else {
                        let response = reply::to(&request, 481, Some("callee"));
                        self.transactions.respond(tx, &response, now.mono);
                    }
                }
                Inbound::Ack(request, _) => self.with_leg(now, |leg, cx| leg.handle_ack(cx, &request)),
                Inbound::Cancel(..) => self.with_leg(now, |leg, cx| leg.handle_cancel(cx)),
                Inbound::Response(tx, response) => {
                    self.with_leg(now, |leg, cx| leg.handle_response(cx, tx, &response));
                }
                Inbound::Timeout(tx) => self.with_leg(now, |leg, cx| leg.handle_no_response(cx, tx)),
                Inbound::StrayOk(..) | Inbound::NotAcknowledged(_) => {}
            }
        }
    }

    fn describe(&self, offer: &OfferIn) -> Option<String> {
        let codecs = [Codec::Pcmu];
        let local = LocalMedia { address: self.address.ip(), port: 4000, session_id: 7, session_version: 1 };
        match offer {
            OfferIn::Wanted => Some(negotiate::offer(&codecs, Direction::SendRecv, &local)),
            OfferIn::Given(body) => {
                let offer = Description::parse(body).ok()?;
                let selection = negotiate::select(&offer, &codecs).ok()?;
                Some(negotiate::answer(&offer, &selection, &local))
            }
        }
    }
}
