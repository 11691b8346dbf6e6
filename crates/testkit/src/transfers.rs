//! Transfers and holds in a world: what the agent asks for, what the caller makes of a REFER, who else is called.

use std::time::Duration;

use trunkline_call::{CallHandle, Input, RoomEvent};
use trunkline_sdp::Member;
use trunkline_sdp::control::{Fallback, Transfer, TransferMode};
use trunkline_signalling::Mono;
use trunkline_sip::{Message, Method};

use crate::callee::{Callee, CalleePlan};
use crate::taker::Taker;
use crate::world::{Far, World, caller_address, moment};

/// What the caller makes of a REFER.
#[derive(Debug, Clone, Copy)]
pub struct ReferPlan {
    /// Its answer.
    pub answer: u16,
    /// So long after it a NOTIFY with this code, where it tells anything.
    pub outcome: Option<(Duration, u16)>,
    /// So long after it the caller hangs up.
    pub leaves: Option<Duration>,
}

/// A transfer, so long after the answer; and holds.
#[derive(Debug, Clone, Copy)]
pub struct TransferPlan {
    /// When it is asked for.
    pub at: Duration,
    /// How.
    pub mode: TransferMode,
    /// What follows a refusal.
    pub fallback: Fallback,
    /// A key is wanted of who is called; it presses one so long after it was asked.
    pub key: Option<Option<Duration>>,
    /// So long after the wish the transfer is completed, or given up.
    pub settled: Option<(Duration, bool)>,
    /// What the caller makes of a REFER.
    pub refer: ReferPlan,
    /// Who is called by a second leg.
    pub callee: CalleePlan,
    /// We hold the caller between these, after the answer.
    pub hold: Option<(Duration, Duration)>,
    /// The caller holds us between these, after the answer.
    pub held: Option<(Duration, Duration)>,
    /// So long after the answer another leg asks for the caller's place.
    pub taken: Option<Duration>,
}

/// Something that the caller does by and by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    Notify(u16),
    HangUp,
    Hold(bool),
    Take,
}

impl World {
    /// The call is answered: what is planned for it comes by and by.
    pub(crate) fn plan_transfer(&mut self, call: CallHandle) {
        let Some(plan) = self.plan.transfer else { return };
        let now = self.now;
        let ask = Transfer {
            to: "+14155550177".to_owned(),
            mode: plan.mode,
            fallback: plan.fallback,
            requires_confirmation: plan.key.is_some(),
            ..Transfer::default()
        };
        self.soon(plan.at, Input::Transfer(call, Box::new(ask)));
        if let Some((after, completed)) = plan.settled {
            let input =
                if completed { Input::CompleteTransfer(call, false) } else { Input::CancelTransfer(call) };
            self.soon(plan.at + after, input);
        }
        if let Some((from, until)) = plan.hold {
            self.soon(from, Input::Hold(call, true));
            self.soon(until, Input::Hold(call, false));
        }
        if let Some((from, until)) = plan.held {
            self.acts.push((now + from, Act::Hold(true)));
            self.acts.push((now + until, Act::Hold(false)));
        }
        if let Some(after) = plan.taken {
            self.acts.push((now + after, Act::Take));
        }
    }

    /// The call listens for the keys of who was called.
    pub(crate) fn plan_key(&mut self, call: CallHandle, member: Member) {
        if let Some(Some(after)) = self.plan.transfer.and_then(|plan| plan.key) {
            self.soon(after, Input::Room(call, RoomEvent::Digit(member, '1')));
        }
    }

    /// The caller is asked to call somebody.
    pub(crate) fn caller_referred(&mut self) {
        let (Some(plan), Far::Caller(caller)) = (self.plan.transfer.map(|plan| plan.refer), &mut self.far)
        else {
            return;
        };
        caller.answer_refer(plan.answer, moment(self.now));
        if let Some((after, code)) = plan.outcome {
            self.acts.push((self.now + after, Act::Notify(code)));
        }
        if let Some(after) = plan.leaves {
            self.acts.push((self.now + after, Act::HangUp));
        }
    }

    /// Does what the caller has due.
    pub(crate) fn act(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.acts).into_iter().partition(|(at, _)| *at <= now);
        self.acts = later;
        for (_, act) in due {
            let Far::Caller(caller) = &mut self.far else { return };
            match act {
                Act::Take => self.take_place(),
                Act::Notify(code) => caller.notify(code, moment(now)),
                Act::HangUp => caller.hang_up(moment(now)),
                Act::Hold(on) => caller.hold(on, moment(now)),
            }
        }
    }

    /// Whether a message is for a second leg's callee; that one takes it.
    pub(crate) fn reaches_second(&mut self, message: &Message) -> bool {
        let Some(plan) = self.plan.transfer else { return false };
        let id = message.call_id().map(|id| id.to_vec()).unwrap_or_default();
        let opens = matches!(message, Message::Request(request)
            if request.method == Method::Invite && request.to().is_some_and(|to| to.tag().is_none()));
        let known = self.seconds.iter().any(|(call_id, _)| *call_id == id);
        if opens && !known && matches!(self.far, Far::Caller(_)) {
            let seed = self.plan.seed ^ (self.seconds.len() as u64 + 1) << 40;
            self.seconds.push((id.clone(), Callee::new(plan.callee, caller_address(), seed)));
        }
        let Some((_, callee)) = self.seconds.iter_mut().find(|(call_id, _)| *call_id == id) else {
            return false;
        };
        let flow = crate::world::flow(caller_address(), crate::world::gateway_address());
        callee.receive(message.clone(), flow, moment(self.now));
        true
    }

    /// The next thing that the caller or a second callee has due.
    pub(crate) fn next_of_transfer(&self) -> Option<Mono> {
        let acts = self.acts.iter().map(|(at, _)| *at);
        let taker = self.taker.as_ref().and_then(Taker::poll_timeout);
        acts.chain(self.seconds.iter().filter_map(|(_, callee)| callee.poll_timeout())).chain(taker).min()
    }
}
