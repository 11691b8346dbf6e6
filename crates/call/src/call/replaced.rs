//! A leg that has the place of another from now on: INVITE with Replaces, by which a carrier or a telephone ends an
//! attended transfer (RFC 3891, RFC 5589 §7), or takes a call of ours that rings elsewhere.
//!
//! ```text
//! INVITE ─▶ its offer is read ─▶ its port opens ─▶ 200 ─▶ it hears and is heard as the old leg was,
//!                  │ 488, 422          │ none: 503           which gets BYE, or CANCEL where it rang
//!                  │                   │ the old leg has left meanwhile: 603
//!                  └───────────────────┴─▶ things are as before
//! ```
//! The others hear no gap: the new leg is in the room before the old one leaves it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use trunkline_routing::Caller;
use trunkline_sdp::Member;
use trunkline_sdp::control::AgentNews;
use trunkline_signalling::dialog::{Cx, Leg, Standing};
use trunkline_sip::headers::Replaces;
use trunkline_sip::text::OneLine;

use super::line::{Line, Port};
use super::sip_agent::AgentLeg;
use super::transfer::{MAX_TRANSFERS, Stage, Wish};
use super::{Call, Phase, caller_text};
use crate::{LegStart, Output};

/// What a leg is to take over.
#[derive(Debug, Clone)]
pub(super) struct Replacing {
    old: Member,
    /// Who comes, as records show it.
    who: String,
}

impl Call {
    /// Where the dialog stands that a Replaces field names, where it is that leg's, and the name of its trunk.
    pub(crate) fn named_by(&self, member: Member, replaces: &Replaces) -> Option<(Standing, &str)> {
        let line = self.line(member)?;
        Some((line.leg.named_by(replaces)?, &line.route.trunk.name))
    }

    /// Whether that leg's place may be taken.
    ///
    /// # Errors
    /// The code that says why not (RFC 3891 §3), and why.
    pub(crate) fn lets_go(
        &self,
        old: Member,
        standing: Standing,
        early_only: bool,
    ) -> Result<(), (u16, &'static str)> {
        let transfer = self.transfer.as_deref();
        let is_replaced = transfer.is_some_and(|transfer| transfer.replaced() == Some(old));
        match standing {
            Standing::Over => return Err((603, "the leg is over")),
            _ if is_replaced || matches!(self.phase, Phase::Closing | Phase::Over) => {
                return Err((603, "the leg is about to end"));
            }
            // Only who called may be told that somebody else answers.
            Standing::Unanswered => return Err((481, "the leg is not answered")),
            Standing::Confirmed if early_only => return Err((486, "the leg is answered already")),
            Standing::Confirmed if self.phase != Phase::Talking => {
                return Err((491, "the call is not answered"));
            }
            Standing::Ringing if !self.rings(old) => return Err((491, "the agent is called")),
            Standing::Confirmed | Standing::Ringing => {}
        }
        let in_hands = |stage: &Stage| matches!(stage, Stage::Referring { .. } | Stage::Moved);
        let busy = transfer.is_some_and(|transfer| match transfer.wish {
            Wish::Agents(agent) if agent == old => true,
            Wish::Peers => old == self.party,
            Wish::Ours | Wish::Agents(_) => old == self.party && in_hands(&transfer.stage),
        });
        if busy {
            return Err((491, "a transfer has the leg"));
        }
        let wanted = |line: &Line| line.replacing.as_ref().is_some_and(|replacing| replacing.old == old);
        if self.lines().any(wanted) {
            return Err((491, "another leg takes its place already"));
        }
        if self.transfers >= MAX_TRANSFERS {
            return Err((486, "the call has had as many transfers as there may be"));
        }
        self.free_place().map(|_| ()).ok_or((503, "the call has no place for another leg"))
    }

    /// Whether a leg is called and may be answered by somebody else.
    fn rings(&self, member: Member) -> bool {
        match member == Member::FIRST {
            true => self.phase == Phase::Ringing,
            false => self.is_calling(member) && !self.is_calling_agent(member),
        }
    }

    /// A leg wants the place of another, which lets it go. Its place in the room; `None` where there is none.
    pub(crate) fn replaced_by(
        &mut self,
        cx: &mut Cx<'_>,
        leg: Leg,
        old: Member,
        caller: &Caller,
        out: &mut VecDeque<Output>,
    ) -> Option<Member> {
        let (call, member) = (self.handle, self.free_place()?);
        let route = Arc::clone(&self.line(old)?.route);
        self.transfers += 1;
        self.step("another leg wants the place of one");
        let who = caller_text(caller, self.route.hide_phone_number);
        let nth = self.next_leg();
        let mut line = Line::new(call, (member, nth), leg, route, &self.config);
        line.replacing = Some(Replacing { old, who });
        self.others.push(line);
        let read = self.on_line(member, cx, |line, cx| {
            line.leg.ring(cx, 100, None);
            line.read_offer()
        });
        match read {
            Some(Ok(())) => {
                if let Some(line) = self.line_mut(member).filter(|line| line.leg.invite().is_some()) {
                    line.port = Port::Opening;
                    let spec = line.selection.as_ref().map(|selection| line.spec(selection));
                    out.push_back(Output::OpenMedia { call, member, local: line.near(), spec });
                }
            }
            Some(Err(reason)) => self.place_is_refused(cx, member, 488, &reason, out),
            None => {}
        }
        self.act(cx, out);
        self.sweep();
        Some(member)
    }

    /// Its port is open, or none was free.
    pub(super) fn place_has_port(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        opened: Option<SocketAddr>,
        out: &mut VecDeque<Output>,
    ) {
        let Some(line) = self.line_mut(member) else { return };
        let Some(Replacing { old, who }) = line.replacing.take() else { return };
        line.port = if opened.is_some() { Port::Open } else { Port::Closed };
        let Some(address) = opened else {
            return self.place_is_refused(cx, member, 503, "no media port is free", out);
        };
        line.has_port(address);
        if line.leg.invite().is_none() {
            // It has given up meanwhile.
            return self.close_port(member, out);
        }
        let rings = self.rings(old);
        let is_there = rings || self.line(old).is_some_and(|line| line.leg.is_confirmed());
        if !is_there {
            return self.place_is_refused(cx, member, 603, "the leg has left meanwhile", out);
        }
        match self.on_line(member, cx, |line, _| line.answer_to_invite()) {
            Some(Ok(sdp)) => {
                self.on_line(member, cx, |line, cx| line.leg.answer(cx, &sdp));
                self.takes_part_of(cx, member, old, rings, out);
                if self.party == member {
                    self.transferred_to = Some(who);
                }
            }
            Some(Err(reason)) => self.place_is_refused(cx, member, 488, &reason, out),
            None => {}
        }
        self.act(cx, out);
    }

    fn place_is_refused(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        code: u16,
        reason: &str,
        out: &mut VecDeque<Output>,
    ) {
        let sip_call_id = OneLine(self.first.sip_call_id());
        tracing::info!(call = %self.id, %sip_call_id, %member, code, reason, "a leg cannot have the place that it wants");
        self.on_line(member, cx, |line, cx| line.leg.reject(cx, code, &[]));
        self.act(cx, out);
        self.close_port(member, out);
    }

    /// The new leg has whatever part the old one had.
    fn takes_part_of(
        &mut self,
        cx: &mut Cx<'_>,
        new: Member,
        old: Member,
        rings: bool,
        out: &mut VecDeque<Output>,
    ) {
        self.step("another leg has the place of one");
        let call = self.handle;
        out.push_back(Output::Replaced { call, old, new });
        if self.muted.contains(old) {
            self.muted = self.muted.without(old).with(new);
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.stage.hand_over(old, new);
        }
        if self.joined == Some(old) {
            self.joined = Some(new);
        }
        if self.agent_leg == Some(AgentLeg::There(old)) {
            self.agent_leg = Some(AgentLeg::There(new));
        }
        if self.party == old {
            self.party = new;
            out.push_back(Output::Party(call, new));
            if self.route.number.noise_suppression {
                out.push_back(Output::SuppressNoise(call, new));
            }
        }
        let mut hearing = self.hearing;
        hearing.hand_over(old, new);
        self.arrange(hearing, out);
        self.sounds_as_before(cx, new, out);
        if rings && old == Member::FIRST {
            self.callee_is_there(cx, out);
        }
        self.on_line(old, cx, |line, cx| line.leg.hang_up(cx, 487));
        self.close_port(old, out);
        match rings && old != Member::FIRST {
            true => self.target_answered(cx, new, out),
            false => {
                self.tell(AgentNews::ParticipantJoined { participant: new.to_string() }, out);
                self.tell(AgentNews::ParticipantLeft { participant: old.to_string() }, out);
                self.holds_as_it_says(new, out);
            }
        }
    }

    /// What the old leg was played and asked, the new one is.
    fn sounds_as_before(&mut self, cx: &Cx<'_>, new: Member, out: &mut VecDeque<Output>) {
        let waits = self.agent_away && self.agent_here && self.joined.is_none();
        let has_sound = self.transfer.as_ref().is_some_and(|transfer| transfer.has_sound());
        if self.party == new {
            if has_sound {
                self.play_while_called(out);
            } else if self.held || waits {
                self.end_sound(out);
            }
        }
        let stage = self.transfer.as_ref().map(|transfer| &transfer.stage);
        if matches!(stage, Some(Stage::Proving { member, .. }) if *member == new) {
            out.push_back(Output::Listen(self.handle, new, true));
            self.ask_for_proof(cx, out);
        }
    }

    /// Whether the new party holds us is what its offer says.
    fn holds_as_it_says(&mut self, member: Member, out: &mut VecDeque<Output>) {
        let sends = |line: &Line| line.selection.as_ref().is_none_or(|selection| selection.direction.sends());
        let holds = !self.line(member).is_none_or(sends);
        self.peer_holds(member, holds, out);
    }

    /// Whether that leg is one of the call's.
    pub(crate) fn has_leg(&self, member: Member) -> bool {
        self.line(member).is_some()
    }

    /// A leg as lists of calls in progress show it.
    pub(crate) fn leg_start(&self, member: Member) -> LegStart {
        let line = self.line(member).unwrap_or(&self.first);
        LegStart {
            member,
            sip_call_id: line.sip_call_id().to_owned(),
            direction: if line.dialing.is_some() { "outbound" } else { "inbound" },
            trunk: line.route.trunk.name.clone(),
        }
    }
}
