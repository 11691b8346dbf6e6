//! The health of one address: OPTIONS now and then, and what comes back (RFC 3261 §11).
//!
//! ```text
//! Resting ─due─▶ Finding ─way─▶ Asking ─answer, or none─▶ Resting
//! ```
//! One lost answer takes no address out, and one good one brings none back: [`DOWN_AFTER`] failures in a
//! row do the first, [`UP_AFTER`] answers the second.

use std::time::Duration;

use trunkline_signalling::{ClientId, Mono};
use trunkline_sip::{Flow, HeaderName, Hop, Method, Target};

use super::request::{Series, uri_of};
use super::{AddressState, Desk, Purpose, TrunkTask};
use crate::Output;

/// Failures in a row after which an address is down.
const DOWN_AFTER: u8 = 2;
/// Answers in a row after which it is up again.
const UP_AFTER: u8 = 2;
/// How large an OPTIONS is: it always fits a datagram.
const OPTIONS_BYTES: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Resting { again: Mono },
    Finding,
    Asking { tx: ClientId },
}

#[derive(Debug)]
pub(super) struct Health {
    place: usize,
    /// As the tables name it.
    address: Hop,
    /// With the trunk's transport.
    hop: Hop,
    interval: Duration,
    series: Series,
    state: State,
    /// When the question under way was due.
    asked: Mono,
    healthy: Option<bool>,
    /// Outcomes in a row that contradict `healthy`.
    against: u8,
    code: Option<u16>,
}

impl Health {
    pub(super) fn new(
        place: usize,
        address: Hop,
        hop: Hop,
        interval: Duration,
        call_id: &str,
        desk: &mut Desk<'_>,
    ) -> Self {
        let now = desk.now.mono;
        Self {
            place,
            address,
            hop,
            interval,
            series: Series::new(call_id.to_owned(), desk.tokens),
            state: State::Resting { again: now },
            asked: now,
            healthy: None,
            against: 0,
            code: None,
        }
    }

    pub(super) fn handle_timeout(&mut self, desk: &mut Desk<'_>) {
        match self.state {
            State::Resting { again } if again <= desk.now.mono => {
                self.asked = desk.now.mono;
                self.state = State::Finding;
                desk.out.push_back(Output::FindTrunkFlow {
                    task: TrunkTask { purpose: Purpose::Options(self.place), ..desk.task },
                    hop: self.hop.clone(),
                    bytes: OPTIONS_BYTES,
                    skip: 0,
                });
            }
            State::Resting { .. } | State::Finding | State::Asking { .. } => {}
        }
    }

    pub(super) fn flow_found(&mut self, found: Result<(Flow, bool), String>, desk: &mut Desk<'_>) {
        match (self.state, found) {
            (State::Finding, Ok((flow, _))) => {
                let address = desk.advertised.on(&flow);
                let uri = uri_of(&self.hop);
                let (from, to) = (format!("<sip:{}>", address.sent_by), format!("<{uri}>"));
                let mut options = self.series.next(Method::Options, uri, [&from, &to], &address, desk.tokens);
                options.headers.push(HeaderName::Contact, address.contact());
                options.headers.push(HeaderName::Accept, "application/sdp");
                let target = Target::Flow { flow, fallback: None };
                let tx = desk.transactions.request(options, target, desk.now.mono);
                desk.opened.push(tx);
                self.state = State::Asking { tx };
            }
            (State::Finding, Err(_)) => self.outcome(None, desk.now.mono),
            (State::Resting { .. } | State::Asking { .. }, _) => {}
        }
    }

    /// The answer of a transaction, or 408 where there was none.
    pub(super) fn answered(&mut self, tx: ClientId, code: u16, now: Mono) {
        match self.state {
            State::Asking { tx: own } if own == tx && code >= 200 => self.outcome(Some(code), now),
            State::Asking { .. } | State::Resting { .. } | State::Finding => {}
        }
    }

    /// Whoever answers lives, a refusal too, unless it says that it cannot work.
    fn outcome(&mut self, code: Option<u16>, now: Mono) {
        let good = code.is_some_and(|code| !matches!(code, 408 | 500 | 502..=504));
        self.code = code;
        self.state = State::Resting { again: now.max(self.asked + self.interval) };
        if self.healthy.unwrap_or(!good) == good {
            self.against = 0;
            return;
        }
        self.against += 1;
        // Until it was ever heard of, one answer is enough.
        let enough = match (good, self.healthy) {
            (true, None) => 1,
            (true, Some(_)) => UP_AFTER,
            (false, _) => DOWN_AFTER,
        };
        if self.against >= enough {
            (self.healthy, self.against) = (Some(good), 0);
        }
    }

    pub(super) const fn poll_timeout(&self) -> Option<Mono> {
        match self.state {
            State::Resting { again } => Some(again),
            State::Finding | State::Asking { .. } => None,
        }
    }

    pub(super) fn state(&self) -> AddressState {
        AddressState { hop: self.address.clone(), healthy: self.healthy, code: self.code }
    }
}
