//! Legs that come into a call while it is up: each is placed like a call of its own, has a port in the room and
//! leaves it when its dialog is over.
//!
//! ```text
//! add_leg ─▶ finding ── way ─▶ its port opens ── INVITE ─▶ ringing ── 2xx ─▶ up ── BYE ─▶ its port closes ─▶ gone
//!              ▲ next address     │ none free         │ refused for now
//!              └──────────────────┼───────────────────┘
//!                                 └─▶ gone
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use trunkline_routing::Route;
use trunkline_sdp::Member;
use trunkline_signalling::dialog::{Cx, Dialog, Ended, LateAnswers};
use trunkline_sip::Flow;
use trunkline_sip::text::OneLine;

use super::line::{Line, PlaceLine, Port};
use super::transfer::Stage;
use super::{Call, Phase};
use crate::Output;

/// A leg that is gone: its place, its number where we placed it, and what may still come for its dialog.
pub(crate) type Gone = (Member, Option<u32>, Option<(Dialog, LateAnswers)>);

impl Call {
    /// Calls somebody into the call; `None` where there is no place, or the trunk has no address.
    pub(super) fn add_leg(
        &mut self,
        cx: &mut Cx<'_>,
        route: Route,
        fields: Vec<(String, String)>,
        out: &mut VecDeque<Output>,
    ) -> Option<Member> {
        let member = self.free_place()?;
        // A call that goes on through us counts as a hop, so that a loop ends (RFC 5393 §5).
        let max_forwards = self.hops.saturating_sub(1);
        let sip_call_id = self.config.spread.call_id_of(usize::from(self.config.shard), cx.tokens);
        let nth = self.next_leg();
        let place = PlaceLine { member, nth, sip_call_id, route: Arc::new(route), fields, max_forwards };
        let line = Line::placing(self.handle, place, cx, &self.config)?;
        line.find(out);
        tracing::debug!(
            call = %self.id, sip_call_id = %OneLine(self.first.sip_call_id()), %member,
            leg_call_id = %OneLine(line.sip_call_id()), trunk = %line.route.trunk.name, "a leg is called"
        );
        self.others.push(line);
        Some(member)
    }

    /// The number of the call's next leg.
    pub(super) const fn next_leg(&mut self) -> u32 {
        self.legs += 1;
        self.legs
    }

    /// A place in the room that no leg has.
    pub(super) fn free_place(&self) -> Option<Member> {
        let free = |member: &Member| self.line(*member).is_none();
        (1..Member::COUNT).filter_map(Member::leg).find(free)
    }

    /// The way to such a leg is found, or this address has none.
    pub(super) fn leg_flow_found(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        found: Result<(Flow, bool), String>,
        out: &mut VecDeque<Output>,
    ) {
        let (call, calling) = (self.handle, self.is_calling(member));
        let Some(line) = self.line_mut(member).filter(|_| calling) else { return };
        line.way(found.as_ref().ok().copied());
        match found {
            Ok(_) if line.local.is_some() => self.invite_leg(cx, member, out),
            Ok(_) => {
                line.port = Port::Opening;
                out.push_back(Output::OpenMedia { call, member, local: line.near(), spec: None });
            }
            Err(reason) => {
                let goes_on = line.next_address(out);
                let (leg_call_id, trunk) = (line.sip_call_id().to_owned(), line.route.trunk.name.clone());
                let sip_call_id = OneLine(self.first.sip_call_id());
                tracing::info!(
                    call = %self.id, %sip_call_id, leg_call_id = %OneLine(&leg_call_id), %member, %trunk,
                    reason = %OneLine(&reason), "an address of the leg's trunk cannot be reached"
                );
                if !goes_on {
                    let reason = format!("trunk {trunk} cannot be reached: {reason}");
                    self.back(cx, out, Some(503), &reason);
                }
            }
        }
    }

    /// Its port is open, or none was free.
    pub(super) fn leg_media_opened(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        opened: Option<SocketAddr>,
        out: &mut VecDeque<Output>,
    ) {
        let (call, calling) = (self.handle, self.is_calling(member));
        let Some(line) = self.line_mut(member) else {
            if opened.is_some() {
                out.push_back(Output::CloseLeg(call, member));
            }
            return;
        };
        if line.replacing.is_some() {
            return self.place_has_port(cx, member, opened, out);
        }
        let Some(address) = opened else {
            line.port = Port::Closed;
            if calling {
                self.back(cx, out, Some(503), "no media port is free");
            }
            return self.sweep();
        };
        line.port = Port::Open;
        if !calling {
            return self.close_port(member, out);
        }
        line.has_port(address);
        self.invite_leg(cx, member, out);
    }

    fn invite_leg(&mut self, cx: &mut Cx<'_>, member: Member, out: &mut VecDeque<Output>) {
        if let Some(Err(reason)) = self.on_line(member, cx, Line::invite) {
            return self.back(cx, out, None, &reason);
        }
        self.act(cx, out);
    }

    /// Its peer works on it.
    pub(super) fn leg_progress(&mut self, member: Member, body: &Bytes, out: &mut VecDeque<Output>) {
        let call = self.handle;
        let Some(line) = self.line_mut(member) else { return };
        if let Some(dialing) = &mut line.dialing {
            dialing.progressed();
        }
        if let Some(spec) = line.accept(body).ok().and_then(|selection| line.agree(selection)) {
            out.push_back(Output::UpdateMedia(call, member, spec));
        }
    }

    /// Its peer has answered.
    pub(super) fn leg_answered(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        body: &Bytes,
        out: &mut VecDeque<Output>,
    ) {
        let (call, calling) = (self.handle, self.is_calling(member));
        let Some(line) = self.line_mut(member).filter(|_| calling) else { return };
        let Some(selection) = line.accept(body).ok().or_else(|| line.selection.clone()) else {
            return self.back(cx, out, Some(488), "the answer does not fit our offer");
        };
        if let Some(spec) = line.agree(selection) {
            out.push_back(Output::UpdateMedia(call, member, spec));
        }
        self.target_answered(cx, member, out);
    }

    /// Its dialog is over.
    pub(super) fn other_leg_ended(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        why: Ended,
        out: &mut VecDeque<Output>,
    ) {
        let calling = self.is_calling(member);
        let elsewhere = self.line_mut(member).is_some_and(|line| calling && line.goes_elsewhere(why, out));
        if elsewhere {
            return self.step("the next place of the leg's trunk is tried");
        }
        let code = match why {
            Ended::Refused(code) => Some(code),
            Ended::Lost if calling => Some(408),
            _ => None,
        };
        self.close_port(member, out);
        self.target_gone(cx, member, code, out);
    }

    /// Whether a leg has been called and has not answered.
    pub(super) fn is_calling(&self, member: Member) -> bool {
        if self.is_calling_agent(member) {
            return true;
        }
        let stage = self.transfer.as_ref().map(|transfer| &transfer.stage);
        matches!(stage, Some(Stage::Calling { member: called }) if *called == member)
            && self.phase == Phase::Talking
    }

    pub(super) fn close_port(&mut self, member: Member, out: &mut VecDeque<Output>) {
        let call = self.handle;
        // The room's end takes every port with it.
        let talking = self.phase == Phase::Talking;
        if let Some(line) = self.line_mut(member).filter(|line| talking && line.port == Port::Open) {
            line.port = Port::Closing;
            out.push_back(Output::CloseLeg(call, member));
        }
        self.sweep();
    }

    /// Its port is closed.
    pub(crate) fn leg_closed(&mut self, member: Member) {
        if let Some(line) = self.line_mut(member) {
            line.port = Port::Closed;
        }
        self.sweep();
    }

    /// Legs whose dialog and port are over are gone. Their places are free for others, who are not muted.
    pub(super) fn sweep(&mut self) {
        let over = |line: &mut Line| line.leg.is_over() && line.port == Port::Closed;
        for mut line in self.others.extract_if(.., over) {
            self.muted = self.muted.without(line.member);
            self.gone.push((line.member, line.placed(), line.leg.remains()));
        }
    }

    /// Whether there have been legs beside the first.
    pub(crate) const fn had_others(&self) -> bool {
        self.legs > 0
    }

    /// Legs that are gone, told once.
    pub(crate) fn take_gone(&mut self) -> Vec<Gone> {
        std::mem::take(&mut self.gone)
    }
}
