//! How the talk with who was called ends, in a warm or an attended transfer: the caller is joined, or comes back,
//! and what becomes of a transfer when somebody leaves.

use std::collections::VecDeque;

use trunkline_sdp::control::AgentNews;
use trunkline_sdp::{Hearing, Member, Members};
use trunkline_signalling::dialog::Cx;

use super::outcome::{failure, refused};
use super::transfer::{Stage, Wish};
use super::{Call, Phase};
use crate::{EndedBy, Output};

impl Call {
    /// The agent, or the API, is done talking to who was called: the caller is joined with it, and the agent
    /// leaves or stays.
    pub(crate) fn complete_transfer(&mut self, cx: &mut Cx<'_>, stays: bool, out: &mut VecDeque<Output>) {
        match self.transfer.as_ref().map(|transfer| &transfer.stage) {
            Some(Stage::Consulting { member }) => {
                let member = *member;
                match self.replacing(member).filter(|_| !stays) {
                    Some(refer_to) => self.refer(cx, refer_to, Some(member), out),
                    None => self.join(cx, member, stays, out),
                }
            }
            _ => self.tell_refusal(failure(None, "nobody is there to be joined with the caller"), out),
        }
    }

    /// The transfer is given up: the caller comes back.
    pub(crate) fn cancel_transfer(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        match self.transfer.as_ref().map(|transfer| &transfer.stage) {
            // What the carrier does cannot be called back.
            Some(Stage::Referring { .. } | Stage::Moved | Stage::Replaced { .. }) => {
                self.tell_refusal(failure(None, "the carrier has the transfer in its hands"), out);
            }
            Some(_) => self.back(cx, out, None, "cancelled"),
            None => self.tell_refusal(failure(None, "there is no transfer"), out),
        }
    }

    /// Caller and target talk to each other; the agent leaves, unless it is to stay.
    pub(super) fn join(&mut self, cx: &mut Cx<'_>, member: Member, stays: bool, out: &mut VecDeque<Output>) {
        self.through(out);
        self.transfer = None;
        self.put_together(cx, member, stays, out);
    }

    /// The party talks to another leg from now on.
    pub(super) fn put_together(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        stays: bool,
        out: &mut VecDeque<Output>,
    ) {
        self.step("the caller is joined with who was called");
        let call = self.handle;
        self.joined = Some(member);
        out.push_back(Output::Hush(call, member));
        out.push_back(Output::Listen(call, member, false));
        out.push_back(Output::Hush(call, self.party));
        let mut talkers = Members::of(&[self.party, member]);
        let stays = stays && self.agent_here;
        if stays {
            talkers = talkers.with(self.agent_place());
        }
        self.arrange(Hearing::among(talkers), out);
        if !stays {
            self.dismiss_agent(cx, out);
        }
        self.act(cx, out);
    }

    /// The transfer has failed: the caller is back with the agent. Where that has gone, the call ends.
    pub(super) fn back(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut VecDeque<Output>,
        code: Option<u16>,
        reason: &str,
    ) {
        let Some(transfer) = self.transfer.take() else {
            // The leg that failed is the agent's.
            return self.agent_leg_failed(cx, code, reason, out);
        };
        self.step("the transfer failed");
        let member = transfer.member();
        match transfer.wish {
            Wish::Ours => {}
            Wish::Peers => return self.nobody_came(cx, out, code, member),
            Wish::Agents(agent) => {
                self.on_line(agent, cx, |line, cx| line.leg.notify(cx, code.unwrap_or(503)));
            }
        }
        // The carrier does not join the two; we still can.
        if let (Stage::Referring { .. }, Some(member)) = (&transfer.stage, member) {
            self.transfer = Some(transfer);
            return self.join(cx, member, false, out);
        }
        if let Some(member) = member {
            self.on_line(member, cx, |line, cx| line.leg.hang_up(cx, 487));
        }
        // Who was consulted may have gone before the carrier refused: the caller hears music all the same.
        if transfer.has_sound() {
            let talkers = Members::of(&[self.party, self.agent_place()]);
            self.arrange(Hearing::among(talkers), out);
            self.end_sound(out);
        }
        self.on_line(self.party, cx, |line, _| line.leg.forget_refer());
        if matches!(transfer.stage, Stage::Consulting { .. })
            && let Some(member) = member
        {
            self.tell(AgentNews::ParticipantLeft { participant: member.to_string() }, out);
        }
        self.tell_result(failure(code, reason), out);
        if !self.agent_here {
            let reason = format!("the agent left, and the transfer failed: {reason}");
            self.fail(cx, out, 480, EndedBy::Gateway, &reason);
        }
        self.act(cx, out);
    }

    /// The agent has left the room. Whether the call goes on without it, for the sake of a transfer.
    pub(super) fn goes_on_without_agent(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) -> bool {
        if !self.agent_here {
            return true;
        }
        let consulting = match self.transfer.as_ref() {
            Some(transfer) if transfer.wish == Wish::Peers => return false,
            Some(transfer) => matches!(transfer.stage, Stage::Consulting { .. }),
            None if self.joined.is_some() => false,
            None => return false,
        };
        self.step("the agent left; the transfer goes on");
        self.dismiss_agent(cx, out);
        if consulting {
            self.complete_transfer(cx, false, out);
        }
        true
    }

    /// The second leg is over.
    pub(super) fn target_gone(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        code: Option<u16>,
        out: &mut VecDeque<Output>,
    ) {
        if self.agent_leg_ended(cx, member, code, out) {
            return;
        }
        if let Some(transfer) = &mut self.transfer
            && let Stage::Referring { consult, .. } = &mut transfer.stage
            && *consult == Some(member)
        {
            // Most likely the party has taken it over; the NOTIFY will tell.
            *consult = None;
            return;
        }
        if self.transfer.as_ref().is_some_and(|transfer| transfer.replaced() == Some(member)) {
            self.transfer = None;
            return;
        }
        if self.transfer.as_ref().and_then(|transfer| transfer.member()) == Some(member) {
            let reason = code.map_or_else(|| "who was called hung up".to_owned(), refused);
            return self.back(cx, out, code, &reason);
        }
        if self.joined != Some(member) || self.phase != Phase::Talking {
            return;
        }
        self.joined = None;
        if self.agent_here {
            // The party may be held.
            self.seat(out);
            return self.tell(AgentNews::ParticipantLeft { participant: member.to_string() }, out);
        }
        self.fail(cx, out, 480, EndedBy::Callee, "who the caller was transferred to hung up");
    }
}
