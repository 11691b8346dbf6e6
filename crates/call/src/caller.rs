//! A caller: places one call and hangs up. It is what `trunkline call` and the demo run, and what
//! the simulator sets against a shard.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use trunkline_sdp::{Codec, Description, Direction, LocalMedia, Selection, negotiate};
use trunkline_signalling::dialog::{Cx, Dialog, Ended, InDialogPolicy, Leg, LegEvent, LocalAddress, OfferIn};
use trunkline_signalling::{Inbound, KeyedHash, Mono, Now, Timers, Tokens, Transactions};
use trunkline_sip::{Flow, Message, Method, Target, Transmit, check, reply};

/// What to call, and from where.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// Request-URI.
    pub target: String,
    /// From value without a tag.
    pub from: String,
    /// The flow to the gateway.
    pub flow: Flow,
    /// Our media address.
    pub media: SocketAddr,
    /// Codecs to offer.
    pub codecs: Vec<Codec>,
    /// T1, T2, T4.
    pub timers: Timers,
    /// Seed of tags and branches.
    pub key: (u64, u64),
    /// A REFER is told ([`CallerEvent::Refer`]), to be answered; else it is refused.
    pub refer: bool,
}

/// What a caller tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerEvent {
    /// A provisional response, with early media where there is a selection.
    Progress(u16, Option<Selection>),
    /// Answered.
    Answered(Selection),
    /// The other side wants somebody called.
    Refer,
    /// Over.
    Ended(Ended),
}

/// What a caller asks for.
#[derive(Debug)]
pub enum CallerOutput {
    /// Send this.
    Transmit(Transmit),
    /// Something happened.
    Event(CallerEvent),
}

/// One call from the calling side.
pub struct Caller {
    transactions: Transactions,
    tokens: Tokens,
    leg: Option<Leg>,
    plan: CallPlan,
    local: LocalMedia,
    out: VecDeque<CallerOutput>,
}

impl Caller {
    /// Sends the INVITE.
    #[must_use]
    pub fn place(plan: CallPlan, now: Now) -> Self {
        let mut tokens = Tokens::new(plan.key);
        let local = LocalMedia {
            address: plan.media.ip(),
            port: plan.media.port(),
            session_id: tokens.number() >> 1,
            session_version: 1,
        };
        let mut caller = Self {
            transactions: Transactions::new(plan.timers, KeyedHash::new(plan.key)),
            tokens,
            leg: None,
            plan,
            local,
            out: VecDeque::new(),
        };
        let plan = &caller.plan;
        let address = LocalAddress { sent_by: plan.flow.local.to_string(), transport: plan.flow.transport };
        let dialog = Dialog::of_invite(
            caller.tokens.token(),
            caller.tokens.token(),
            plan.from.clone(),
            format!("<{}>", plan.target),
            plan.target.clone(),
            plan.flow,
            address,
        );
        let offer = negotiate::offer(&plan.codecs, Direction::SendRecv, &local);
        let target = Target::Flow { flow: plan.flow, fallback: None };
        let mut events = Vec::new();
        let mut cx = Cx {
            transactions: &mut caller.transactions,
            tokens: &mut caller.tokens,
            now,
            events: &mut events,
        };
        let policy = InDialogPolicy { refer: caller.plan.refer, ..InDialogPolicy::default() };
        caller.leg = Some(Leg::outgoing(&mut cx, dialog, target, &offer, policy));
        caller
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

    /// Hangs up, or gives up while it rings.
    pub fn hang_up(&mut self, now: Now) {
        self.with_leg(now, |leg, cx| leg.hang_up(cx, 480));
        self.drain(now);
    }

    /// Answers a REFER that was told.
    pub fn answer_refer(&mut self, code: u16, now: Now) {
        self.with_leg(now, |leg, cx| leg.answer_refer(cx, code));
        self.drain(now);
    }

    /// Tells how that REFER goes; a final code is the last that is told.
    pub fn notify(&mut self, code: u16, now: Now) {
        self.with_leg(now, |leg, cx| leg.notify(cx, code));
        self.drain(now);
    }

    /// Holds the other side, or comes back.
    pub fn hold(&mut self, on: bool, now: Now) {
        self.local.session_version += 1;
        let direction = if on { Direction::SendOnly } else { Direction::SendRecv };
        let offer = negotiate::offer(&self.plan.codecs, direction, &self.local);
        self.with_leg(now, |leg, cx| {
            leg.reoffer(cx, &offer);
        });
        self.drain(now);
    }

    /// Runs what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.transactions.handle_timeout(now.mono);
        self.with_leg(now, |leg, cx| leg.handle_timeout(cx));
        self.drain(now);
    }

    /// The next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let leg = self.leg.as_ref().and_then(Leg::poll_timeout);
        [leg, self.transactions.poll_timeout()].into_iter().flatten().min()
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<CallerOutput> {
        match self.transactions.poll_transmit() {
            Some(transmit) => Some(CallerOutput::Transmit(transmit)),
            None => self.out.pop_front(),
        }
    }

    /// Its dialog.
    #[must_use]
    pub fn dialog(&self) -> Option<&Dialog> {
        self.leg.as_ref().map(Leg::dialog)
    }

    /// Whether the call is over and no transaction is left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.leg.as_ref().is_none_or(Leg::is_over) && self.transactions.is_idle()
    }

    fn with_leg(&mut self, now: Now, work: impl FnOnce(&mut Leg, &mut Cx<'_>)) {
        let Some(leg) = &mut self.leg else { return };
        let mut events = Vec::new();
        let mut cx =
            Cx { transactions: &mut self.transactions, tokens: &mut self.tokens, now, events: &mut events };
        work(leg, &mut cx);
        for event in events {
            self.event(event, now);
        }
    }

    fn drain(&mut self, now: Now) {
        while let Some(inbound) = self.transactions.poll_inbound() {
            match inbound {
                Inbound::Request(tx, request, _) => {
                    let ours = self.leg.as_ref().is_some_and(|leg| leg.dialog().owns(&request));
                    if ours {
                        self.with_leg(now, |leg, cx| leg.handle_request(cx, tx, *request));
                    } else {
                        let code = if request.method == Method::Invite { 486 } else { 481 };
                        let response = reply::to(&request, code, Some("caller"));
                        self.transactions.respond(tx, &response, now.mono);
                    }
                }
                Inbound::Ack(request, _) => self.with_leg(now, |leg, cx| leg.handle_ack(cx, &request)),
                Inbound::Response(tx, response) => {
                    self.with_leg(now, |leg, cx| leg.handle_response(cx, tx, &response));
                }
                Inbound::StrayOk(response, _) => {
                    self.with_leg(now, |leg, cx| leg.handle_stray_ok(cx, &response));
                }
                Inbound::Timeout(tx) => self.with_leg(now, |leg, cx| leg.handle_no_response(cx, tx)),
                Inbound::Cancel(..) | Inbound::NotAcknowledged(_) => {}
            }
        }
    }

    fn event(&mut self, event: LegEvent, now: Now) {
        let out = match event {
            LegEvent::Progress(code, body) => CallerEvent::Progress(code, self.accept(&body)),
            LegEvent::Answered(answered) => match self.accept(&answered.body) {
                Some(selection) => CallerEvent::Answered(selection),
                None => return self.hang_up(now),
            },
            LegEvent::Ended(why) => CallerEvent::Ended(why),
            LegEvent::Offer(offer) => {
                let answer = self.answer(&offer);
                return self.with_leg(now, |leg, cx| match &answer {
                    Some(sdp) => leg.accept_offer(cx, sdp),
                    None => leg.refuse_offer(cx, 488),
                });
            }
            LegEvent::Refer(_) => CallerEvent::Refer,
            LegEvent::Acknowledged(_)
            | LegEvent::Info(_)
            | LegEvent::Message(_)
            | LegEvent::Referred(_)
            | LegEvent::Reoffered(_) => {
                return;
            }
        };
        self.out.push_back(CallerOutput::Event(out));
    }

    fn accept(&self, body: &Bytes) -> Option<Selection> {
        negotiate::accept(&Description::parse(body).ok()?, &self.plan.codecs).ok()
    }

    fn answer(&self, offer: &OfferIn) -> Option<String> {
        match offer {
            OfferIn::Wanted => Some(negotiate::offer(&self.plan.codecs, Direction::SendRecv, &self.local)),
            OfferIn::Given(body) => {
                let offer = Description::parse(body).ok()?;
                let selection = negotiate::select(&offer, &self.plan.codecs).ok()?;
                Some(negotiate::answer(&offer, &selection, &self.local))
            }
        }
    }
}
