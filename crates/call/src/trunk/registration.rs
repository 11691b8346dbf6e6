//! Our registration at a carrier (RFC 3261 §10.2): made, refreshed before it ends, moved to another
//! address where one fails, and taken back.
//!
//! ```text
//! Off ─start─▶ Finding ─way─▶ Asking ─2xx─▶ Resting (registered) ─due─▶ Finding
//!                 ▲ │ none       │ 401, 407, 423: asked again, once each
//!                 │ └────────────┤ refused, or no answer: the next place
//!                 │              ▼ none left
//!                 └───due─── Resting (failed, backed off)
//! any ─stop─▶ Leaving, where the carrier has our contact ─answer, or none─▶ Off
//! ```
//! What the carrier holds (`binding`) outlives a refresh that fails: it counts until it expires.

use std::sync::Arc;
use std::time::Duration;

use trunkline_routing::Trunk;
use trunkline_signalling::dialog::{Account, Answering, LocalAddress};
use trunkline_signalling::{ClientId, Mono, Now, Tokens};
use trunkline_sip::{Flow, HeaderName, Hop, Method, NameAddr, Response, Target, headers};

use super::request::{Series, uri_of, user_and_domain};
use super::{Desk, Purpose, RegistrationState, TrunkState, TrunkTask, reached};
use crate::{Output, Timestamp, account};

/// The first pause after every address has failed, doubled each time (RFC 5626 §4.5).
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);
/// A refresh leaves a transaction's whole time before the end, for an address that is silent.
const MARGIN: Duration = Duration::from_secs(32);
/// The shortest time that a registration counts for, whatever the carrier grants: it bounds our rate.
const SHORTEST: Duration = Duration::from_secs(10);
/// How large a REGISTER is, credentials included: it fits a datagram.
const REGISTER_BYTES: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The trunk does not register, or has left.
    Off,
    /// A place's way is being found.
    Finding,
    /// A REGISTER is under way.
    Asking { tx: ClientId, flow: Flow },
    /// Registered, or backed off, until then.
    Resting { again: Mono },
    /// The REGISTER that takes our contact back is under way.
    Leaving { tx: ClientId, flow: Flow },
}

/// What happens to it.
#[derive(Debug)]
enum Step {
    Found(Flow, bool),
    NoWay(String),
    /// The carrier has our contact, for so long.
    Granted(Duration),
    /// The same again, with what it asked for.
    Again,
    Failed(String),
    Due,
    Stop,
}

/// What the carrier holds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Binding {
    flow: Flow,
    until: Mono,
    until_utc: Duration,
}

#[derive(Debug)]
pub(super) struct Registration {
    state: State,
    hops: Vec<Hop>,
    /// The address and its place that are asked, and whether the address has more of them.
    at: usize,
    skip: usize,
    more: bool,
    user: String,
    domain: Option<String>,
    account: Option<Arc<Account>>,
    answering: Option<Answering>,
    series: Series,
    expires: Duration,
    /// The carrier finds that too short.
    raised: bool,
    /// Rounds in which every address failed.
    failures: u32,
    binding: Option<Binding>,
    reason: Option<String>,
}

impl Registration {
    pub(super) fn new(trunk: &Trunk, call_id: String, tokens: &mut Tokens) -> Self {
        let auth = trunk.auth.as_ref().filter(|_| trunk.register);
        let (user, domain) = auth.map_or((String::new(), None), |auth| user_and_domain(&auth.username));
        let account = account::of_ours(trunk).filter(|_| trunk.register);
        let hops = match trunk.register {
            true => trunk.addresses.iter().map(|address| reached(&address.hop, trunk)).collect(),
            false => Vec::new(),
        };
        Self {
            state: State::Off,
            hops,
            at: 0,
            skip: 0,
            more: false,
            user,
            domain: domain.map(str::to_owned),
            account,
            answering: None,
            series: Series::new(call_id, tokens),
            expires: trunk.register_expires,
            raised: false,
            failures: 0,
            binding: None,
            reason: None,
        }
    }

    /// Sets it going, where the trunk registers.
    pub(super) fn start(&mut self, desk: &mut Desk<'_>) {
        if self.state == State::Off {
            self.find(desk);
        }
    }

    pub(super) fn flow_found(&mut self, found: Result<(Flow, bool), String>, desk: &mut Desk<'_>) {
        match found {
            Ok((flow, more)) => self.step(Step::Found(flow, more), desk),
            Err(reason) => self.step(Step::NoWay(reason), desk),
        }
    }

    pub(super) fn response(&mut self, tx: ClientId, response: &Response, desk: &mut Desk<'_>) {
        if let Some(flow) = self.asked_on(tx).filter(|_| response.code() >= 200) {
            let step = self.meaning(response, &desk.advertised.on(&flow));
            self.step(step, desk);
        }
    }

    pub(super) fn no_response(&mut self, tx: ClientId, desk: &mut Desk<'_>) {
        if self.asked_on(tx).is_some() {
            self.step(Step::Failed("no answer".to_owned()), desk);
        }
    }

    /// Over a connection that is gone no call reaches us: it is made anew.
    pub(super) fn connection_lost(&mut self, connection: u64, desk: &mut Desk<'_>) {
        if self.binding.is_some_and(|binding| binding.flow.connection == Some(connection)) {
            self.binding = None;
            if matches!(self.state, State::Resting { .. }) {
                self.step(Step::Due, desk);
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk<'_>) {
        if self.binding.is_some_and(|binding| binding.until <= desk.now.mono) {
            self.binding = None;
        }
        if matches!(self.state, State::Resting { again } if again <= desk.now.mono) {
            self.step(Step::Due, desk);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let again = match self.state {
            State::Resting { again } => Some(again),
            State::Off | State::Finding | State::Asking { .. } | State::Leaving { .. } => None,
        };
        let ends = self.binding.map(|binding| binding.until);
        [again, ends].into_iter().flatten().min()
    }

    pub(super) fn stop(&mut self, desk: &mut Desk<'_>) {
        self.step(Step::Stop, desk);
    }

    pub(super) const fn is_off(&self) -> bool {
        matches!(self.state, State::Off)
    }

    /// What it tells; the trunk's name and addresses are the link's to add.
    pub(super) fn state(&self) -> TrunkState {
        let registration = match (self.state, &self.binding) {
            (State::Off | State::Leaving { .. }, _) => RegistrationState::Off,
            (_, Some(_)) => RegistrationState::Registered,
            (State::Resting { .. }, None) => RegistrationState::Failed,
            (State::Finding | State::Asking { .. }, None) if self.failures > 0 => RegistrationState::Failed,
            (State::Finding | State::Asking { .. }, None) => RegistrationState::Registering,
        };
        let binding = self.binding.filter(|_| registration == RegistrationState::Registered);
        TrunkState {
            trunk: String::new(),
            registration,
            flow: binding.map(|binding| binding.flow),
            expires_at: binding.map(|binding| Timestamp(binding.until_utc)),
            reason: self.reason.clone(),
            addresses: Vec::new(),
        }
    }

    fn step(&mut self, step: Step, desk: &mut Desk<'_>) {
        match (self.state, step) {
            (State::Finding, Step::Found(flow, more)) => {
                self.more = more;
                // A refresh goes on counting; another place has a challenge of its own.
                self.answering = self.answering.take().or_else(|| self.account.clone().map(Answering::new));
                self.ask(flow, self.expires, desk);
            }
            (State::Finding, Step::NoWay(reason)) => {
                self.more = false;
                self.next_place(reason, desk);
            }
            (State::Asking { flow, .. }, Step::Granted(span)) => self.registered(flow, span, desk),
            (State::Asking { flow, .. }, Step::Again) => self.ask(flow, self.expires, desk),
            (State::Asking { .. }, Step::Failed(reason)) => self.next_place(reason, desk),
            (State::Resting { .. }, Step::Due) => self.find(desk),
            (State::Leaving { flow, .. }, Step::Again) => self.leave(flow, desk),
            (State::Leaving { .. }, Step::Granted(_) | Step::Failed(_)) => self.state = State::Off,
            (State::Finding | State::Asking { .. } | State::Resting { .. }, Step::Stop) => {
                match self.binding.take() {
                    Some(binding) => self.leave(binding.flow, desk),
                    // An answer that comes late finds nobody; what it granted expires by itself.
                    None => self.state = State::Off,
                }
            }
            // A way or an answer that somebody before a restart or a stop had asked for.
            (
                State::Off | State::Asking { .. } | State::Resting { .. } | State::Leaving { .. },
                Step::Found(..) | Step::NoWay(_),
            )
            | (
                State::Off | State::Finding | State::Resting { .. },
                Step::Granted(_) | Step::Again | Step::Failed(_),
            )
            | (State::Off | State::Finding | State::Asking { .. } | State::Leaving { .. }, Step::Due)
            | (State::Off | State::Leaving { .. }, Step::Stop) => {}
        }
    }

    fn find(&mut self, desk: &mut Desk<'_>) {
        let Some(hop) = self.hops.get(self.at) else { return };
        self.state = State::Finding;
        desk.out.push_back(Output::FindTrunkFlow {
            task: TrunkTask { purpose: Purpose::Register, ..desk.task },
            hop: hop.clone(),
            bytes: REGISTER_BYTES,
            skip: self.skip,
        });
    }

    /// Goes on to the next place; where there is none, rests and begins again with the first.
    fn next_place(&mut self, reason: String, desk: &mut Desk<'_>) {
        tracing::warn!(host = ?self.hops.get(self.at).map(|hop| &hop.host), %reason, "a trunk's address did not register us");
        self.reason = Some(reason);
        self.answering = None;
        if self.more {
            self.skip += 1;
        } else if self.at + 1 < self.hops.len() {
            (self.at, self.skip) = (self.at + 1, 0);
        } else {
            (self.at, self.skip) = (0, 0);
            self.failures = self.failures.saturating_add(1);
            let doubled = FIRST_PAUSE * 2u32.saturating_pow((self.failures - 1).min(16));
            let pause = doubled.min(LONGEST_PAUSE);
            // Between half of it and all, so that those who failed together do not come back together.
            let pause = pause / 2 + share(pause / 2, desk.tokens);
            self.state = State::Resting { again: desk.now.mono + pause };
            return;
        }
        self.find(desk);
    }

    fn registered(&mut self, flow: Flow, span: Duration, desk: &mut Desk<'_>) {
        let span = span.max(SHORTEST);
        let Now { mono, utc } = desk.now;
        self.binding = Some(Binding { flow, until: mono + span, until_utc: utc + span });
        (self.failures, self.reason) = (0, None);
        let margin = MARGIN.min(span / 2);
        // A little earlier by chance, so that trunks do not march in step.
        let early = share((span - margin) / 20, desk.tokens);
        self.state = State::Resting { again: mono + (span - margin - early) };
    }

    fn ask(&mut self, flow: Flow, expires: Duration, desk: &mut Desk<'_>) {
        if let Some(tx) = self.send(flow, expires, desk) {
            self.state = State::Asking { tx, flow };
        }
    }

    fn leave(&mut self, flow: Flow, desk: &mut Desk<'_>) {
        if let Some(tx) = self.send(flow, Duration::ZERO, desk) {
            self.state = State::Leaving { tx, flow };
        }
    }

    fn send(&mut self, flow: Flow, expires: Duration, desk: &mut Desk<'_>) -> Option<ClientId> {
        let hop = self.hops.get(self.at)?;
        let address = desk.advertised.on(&flow);
        let registrar = self.domain.as_ref().map_or_else(|| uri_of(hop), |domain| format!("sip:{domain}"));
        let host = registrar.strip_prefix("sip:").unwrap_or(&registrar);
        let us = format!("<sip:{}@{host}>", self.user);
        let mut register =
            self.series.next(Method::Register, registrar.clone(), [&us, &us], &address, desk.tokens);
        let fields = &mut register.headers;
        fields.push(HeaderName::Contact, self.contact(&address));
        fields.push(HeaderName::Expires, expires.as_secs().to_string());
        if let Some(answering) = &mut self.answering {
            answering.sign(&mut register, desk.tokens);
        }
        let target = Target::Flow { flow, fallback: None };
        let tx = desk.transactions.request(register, target, desk.now.mono);
        desk.opened.push(tx);
        Some(tx)
    }

    fn contact(&self, address: &LocalAddress) -> String {
        address.contact().replacen("<sip:", &format!("<sip:{}@", self.user), 1)
    }

    /// What a final response means; it may change what is asked for next.
    fn meaning(&mut self, response: &Response, address: &LocalAddress) -> Step {
        let code = response.code();
        match code {
            200..=299 => {
                if let Some(answering) = &mut self.answering {
                    answering.accepted();
                }
                Step::Granted(self.granted(response, address))
            }
            401 | 407 if self.answering.as_mut().is_some_and(|answering| answering.challenged(response)) => {
                Step::Again
            }
            423 if !self.raised => match min_expires(response).filter(|least| *least > self.expires) {
                Some(least) => {
                    self.raised = true;
                    self.expires = least;
                    Step::Again
                }
                None => Step::Failed("423 without a longer Min-Expires".to_owned()),
            },
            _ => Step::Failed(format!("{code} {}", trunkline_sip::reason_phrase(code))),
        }
    }

    /// For how long: as our contact says, or the whole answer, or what we asked for (RFC 3261 §10.2.4).
    fn granted(&self, response: &Response, address: &LocalAddress) -> Duration {
        let own = NameAddr::parse(&self.contact(address)).ok().map(|own| own.uri.to_string());
        let contacts = headers::addresses(&response.headers, &HeaderName::Contact);
        let ours = { contacts }.find(|contact| Some(contact.uri.to_string()) == own);
        let by_contact = ours.and_then(|contact| contact.params.value("expires")?.parse().ok());
        let all = || response.headers.text(&HeaderName::Expires)?.trim().parse().ok();
        by_contact.or_else(all).map_or(self.expires, Duration::from_secs)
    }

    /// The flow of the request under way, where it is that transaction's.
    fn asked_on(&self, tx: ClientId) -> Option<Flow> {
        match self.state {
            State::Asking { tx: own, flow } | State::Leaving { tx: own, flow } if own == tx => Some(flow),
            State::Asking { .. } | State::Leaving { .. } => None,
            State::Off | State::Finding | State::Resting { .. } => None,
        }
    }
}

fn min_expires(response: &Response) -> Option<Duration> {
    let text = response.headers.text(&HeaderName::MinExpires)?;
    // A carrier that wants more than a day is not taken at its word.
    text.trim().parse().ok().filter(|seconds| *seconds <= 86_400).map(Duration::from_secs)
}

/// A part of a span, by chance.
fn share(span: Duration, tokens: &mut Tokens) -> Duration {
    let chance = (tokens.number() >> 11) as f64 / (1u64 << 53) as f64;
    span.mul_f64(chance)
}
