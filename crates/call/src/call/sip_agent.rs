//! An agent that is a SIP endpoint: its leg is placed while the caller's side is told that it rings, and the two
//! are joined when it answers.
//!
//! ```text
//! SettingUp: the first leg's port is open ─▶ Called ── 2xx ─▶ There: the call goes on as with any agent
//!                                              │                └ its BYE ─▶ the call ends
//!                                              └ refused everywhere, nobody, no port ─▶ the call fails with 480
//!
//! There ── a transfer of the API's, as with any agent ─▶ the caller is joined with who was called; our BYE to the agent
//!   └ REFER of the agent's ─▶ 202, NOTIFY 100; who it names is called, the caller hears it ring ── answered ─▶ joined;
//!        │ refused, nobody: NOTIFY with the code,                     NOTIFY 200, and the agent's BYE, or ours after 2 s
//!        └ the caller is back with the agent, or the call ends where that has gone
//! ```
//! Its leg goes over the trunk whose address has the agent's host, with that trunk's credentials, transport and
//! encryption. The room has no agent in it then: two legs hear each other.

use std::collections::VecDeque;

use trunkline_routing::{Caller, Connect, Destination, Pii, Route};
use trunkline_sdp::{Hearing, Member, Members};
use trunkline_signalling::dialog::Cx;

use super::outcome::refused;
use super::transfer::{PEER_HANGS_UP, Stage};
use super::{Call, Phase};
use crate::{EndedBy, Output};

/// The leg of such an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AgentLeg {
    /// Called.
    Called(Member),
    /// Answered.
    There(Member),
}

impl Call {
    /// Calls the agent where it is a SIP endpoint; false where it is reached in another way.
    pub(super) fn calls_agent(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) -> bool {
        let Connect::Sip(place) = &self.route.agent.connect else { return false };
        // The agent sees who calls, where it may.
        let caller = match (&self.route.caller, self.route.hide_phone_number) {
            (Caller::Number(number), false) => Caller::Number(*number),
            _ => Caller::Number(self.route.number.number),
        };
        let route = Route {
            number: self.route.number.clone(),
            trunk: place.trunk.clone(),
            agent: self.route.agent.clone(),
            caller,
            called: Destination::Address(place.address.clone()),
            attributes: Pii::default(),
            hide_phone_number: self.route.hide_phone_number,
            ringing_timeout: self.route.ringing_timeout,
            max_call_duration: self.route.max_call_duration,
        };
        // Nobody in the room speaks for us.
        self.agent_here = false;
        match self.add_leg(cx, route, Vec::new(), out) {
            Some(member) => self.agent_leg = Some(AgentLeg::Called(member)),
            None => self.agent_leg_failed(cx, None, "its trunk has no address", out),
        }
        true
    }

    /// Whether that leg is the agent's and has not answered.
    pub(super) fn is_calling_agent(&self, member: Member) -> bool {
        self.agent_leg == Some(AgentLeg::Called(member))
            && self.phase == Phase::SettingUp
            && self.ending.is_none()
    }

    /// The agent has answered: the caller may be, or the callee be called.
    pub(super) fn agent_answered(&mut self, cx: &mut Cx<'_>, member: Member, out: &mut VecDeque<Output>) {
        self.step("the agent answered");
        self.agent_leg = Some(AgentLeg::There(member));
        (self.agent_ready, self.agent_here) = (true, true);
        self.arrange(Hearing::among(Members::of(&[Member::FIRST, member])), out);
        self.proceed(cx, out);
    }

    /// The agent's place in the room.
    pub(super) const fn agent_place(&self) -> Member {
        match self.agent_leg {
            Some(AgentLeg::There(member)) => member,
            Some(AgentLeg::Called(_)) | None => Member::AGENT,
        }
    }

    /// Whether a leg is the agent's, which has answered.
    pub(super) fn is_agents(&self, member: Member) -> bool {
        self.agent_leg == Some(AgentLeg::There(member))
    }

    /// The agent leaves; the call goes on without it.
    pub(super) fn dismiss_agent(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        if !std::mem::take(&mut self.agent_here) {
            return;
        }
        match self.agent_leg.take() {
            Some(AgentLeg::Called(member) | AgentLeg::There(member)) => {
                self.on_line(member, cx, |line, cx| line.leg.hang_up(cx, 480));
            }
            None => out.push_back(Output::DropAgent(self.handle)),
        }
    }

    /// Who the agent had us call is there: the caller talks to it. The agent is told and hangs up; if not, we do.
    pub(super) fn relieves_agent(
        &mut self,
        cx: &mut Cx<'_>,
        agent: Member,
        member: Member,
        out: &mut VecDeque<Output>,
    ) {
        (self.agent_leg, self.agent_here) = (None, false);
        self.on_line(agent, cx, |line, cx| line.leg.notify(cx, 200));
        self.through(out);
        let leaves = self.line(agent).is_some_and(|line| !line.leg.is_over());
        self.transfer = self.transfer.take().filter(|_| leaves);
        if let Some(transfer) = &mut self.transfer {
            transfer.stage = Stage::Replaced { old: agent };
            transfer.deadline = Some(cx.now.mono + PEER_HANGS_UP);
        }
        self.put_together(cx, member, false, out);
    }

    /// The agent cannot be had.
    pub(super) fn agent_leg_failed(
        &mut self,
        cx: &mut Cx<'_>,
        code: Option<u16>,
        reason: &str,
        out: &mut VecDeque<Output>,
    ) {
        let agent = &self.route.agent.name;
        let reason = match code {
            Some(code) => format!("agent {agent} cannot be reached: {reason} ({code})"),
            None => format!("agent {agent} cannot be reached: {reason}"),
        };
        self.fail(cx, out, 480, EndedBy::Gateway, &reason);
    }

    /// A leg is over. True where it was the agent's, and with it the call.
    pub(super) fn agent_leg_ended(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        code: Option<u16>,
        out: &mut VecDeque<Output>,
    ) -> bool {
        match self.agent_leg {
            Some(AgentLeg::Called(agent)) if agent == member => {
                let reason = code.map_or_else(|| "it hung up".to_owned(), refused);
                self.agent_leg_failed(cx, None, &reason, out);
            }
            Some(AgentLeg::There(agent)) if agent == member => {
                if !self.goes_on_without_agent(cx, out) {
                    self.fail(cx, out, 480, EndedBy::Agent, "the agent hung up");
                }
            }
            _ => return false,
        }
        true
    }
}
