//! What the legs of a call tell it, and which part of the call that concerns.

use std::collections::VecDeque;

use trunkline_sdp::Member;
use trunkline_signalling::dialog::{Cx, Leg, LegEvent};
use trunkline_sip::Request;
use trunkline_sip::text::OneLine;

use super::line::Line;
use super::{Call, media};
use crate::Output;

impl Call {
    /// Lets a leg work, then does what it tells.
    pub(crate) fn with_leg(
        &mut self,
        member: Member,
        cx: &mut Cx<'_>,
        out: &mut VecDeque<Output>,
        work: impl FnOnce(&mut Leg, &mut Cx<'_>),
    ) {
        self.on_line(member, cx, |line, cx| work(&mut line.leg, cx));
        self.act(cx, out);
    }

    /// Lets a line work; what its leg tells waits for [`Self::act`].
    pub(super) fn on_line<R>(
        &mut self,
        member: Member,
        cx: &mut Cx<'_>,
        work: impl FnOnce(&mut Line, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let line = self.line_mut(member)?;
        let done = work(line, cx);
        self.told.extend(cx.events.drain(..).map(|event| (member, event)));
        Some(done)
    }

    /// Does what the legs have told.
    pub(super) fn act(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        while let Some((member, event)) = self.told.pop_front() {
            self.leg_told(cx, member, event, out);
        }
    }

    fn leg_told(&mut self, cx: &mut Cx<'_>, member: Member, event: LegEvent, out: &mut VecDeque<Output>) {
        let first = member == Member::FIRST;
        let party = member == self.party;
        match event {
            LegEvent::Ended(why) => {
                tracing::debug!(call = %self.id, sip_call_id = %OneLine(self.first.sip_call_id()), %member, ?why, "a leg is over");
                match party {
                    true => self.party_ended(cx, why, out),
                    false => self.other_leg_ended(cx, member, why, out),
                }
            }
            LegEvent::Acknowledged(answer) => self.acknowledged(cx, member, answer, out),
            LegEvent::Offer(offer) => self.peer_offer(cx, member, offer, out),
            LegEvent::Info(info) => self.info(member, &info, out),
            // Taken and answered where configuration says so; no agent protocol of today carries it.
            LegEvent::Message(_) => {}
            LegEvent::Progress(code, body) if first => self.progress(code, &body, out),
            LegEvent::Progress(_, body) => self.leg_progress(member, &body, out),
            LegEvent::Answered(answer) if first => self.callee_answered(cx, &answer.body, out),
            LegEvent::Answered(answer) => self.leg_answered(cx, member, &answer.body, out),
            LegEvent::Reoffered(answer) => self.reoffered(cx, member, answer, out),
            LegEvent::Referred(told) if party => self.refer_told(cx, told, out),
            LegEvent::Referred(_) => {}
            LegEvent::Refer(refer) if party || self.is_agents(member) => self.asked = Some((member, refer)),
            LegEvent::Refer(_) => {
                self.on_line(member, cx, |line, cx| line.leg.answer_refer(cx, 603));
            }
        }
    }

    /// A key press that came in an INFO: the room knows who is to hear of it.
    fn info(&self, member: Member, info: &Request, out: &mut VecDeque<Output>) {
        if let Some(digit) = media::info_digit(info) {
            out.push_back(Output::Digit(self.handle, digit, member));
        }
    }
}
