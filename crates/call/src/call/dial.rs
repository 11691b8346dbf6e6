//! A call that we place: it finds its trunk, brings its agent, rings, and is answered.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use trunkline_routing::Pii;
use trunkline_sdp::{Member, Selection};
use trunkline_signalling::dialog::{Cx, Ended, Info, MAX_FORWARDS};
use trunkline_sip::Flow;
use trunkline_sip::text::OneLine;

use super::line::{Line, PlaceLine};
use super::{Call, Phase};
use crate::{CallHandle, CallStart, EndedBy, Output, PlaceCall, ShardConfig, Timestamp};

/// What a call that we place keeps beside its legs.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) variables: Pii<Vec<(String, String)>>,
    /// Keys to press once it is answered.
    dtmf_prefix: Option<String>,
}

impl Call {
    /// A call to be placed; [`Self::dial`] sets it going. Nothing where its trunk has no address.
    pub(crate) fn outgoing(
        handle: CallHandle,
        place: PlaceCall,
        cx: &mut Cx<'_>,
        config: &Arc<ShardConfig>,
    ) -> Option<Self> {
        let PlaceCall { id, sip_call_id, route, variables, fields, dtmf_prefix } = place;
        let first = PlaceLine {
            member: Member::FIRST,
            nth: 0,
            sip_call_id,
            route: Arc::new(route),
            fields,
            max_forwards: MAX_FORWARDS,
        };
        let first = Line::placing(handle, first, cx, config)?;
        let mut call = Self::of(handle, id, first, cx.now, config);
        call.phase = Phase::Finding;
        call.outgoing = Some(Box::new(Outgoing { variables, dtmf_prefix }));
        Some(call)
    }

    /// Asks for the way to the trunk.
    pub(crate) fn dial(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        self.step("a call is placed");
        self.deadline = Some(cx.now.mono + self.route.ringing_timeout);
        self.first.find(out);
    }

    /// The way is found, or this address has none.
    pub(crate) fn flow_found(
        &mut self,
        cx: &mut Cx<'_>,
        member: Member,
        found: Result<(Flow, bool), String>,
        out: &mut VecDeque<Output>,
    ) {
        if member != Member::FIRST {
            return self.leg_flow_found(cx, member, found, out);
        }
        if self.phase != Phase::Finding {
            return;
        }
        self.first.way(found.as_ref().ok().copied());
        match found {
            Ok(_) => {
                self.phase = Phase::SettingUp;
                if self.first.local.is_some() {
                    return self.invite(cx, out);
                }
                let (call, member, local) = (self.handle, Member::FIRST, self.first.near());
                out.push_back(Output::OpenMedia { call, member, local, spec: None });
            }
            Err(reason) => {
                let sip_call_id = OneLine(self.first.sip_call_id());
                let trunk = &self.route.trunk.name;
                tracing::info!(call = %self.id, %sip_call_id, %trunk, reason = %OneLine(&reason), "an address of the trunk cannot be reached");
                if !self.first.next_address(out) {
                    let reason = format!("trunk {} cannot be reached: {reason}", self.route.trunk.name);
                    self.fail(cx, out, 503, EndedBy::Gateway, &reason);
                }
            }
        }
    }

    /// Room and agent are there: the INVITE goes out.
    pub(super) fn invite(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        if let Some(Err(reason)) = self.on_line(Member::FIRST, cx, Line::invite) {
            return self.fail(cx, out, 503, EndedBy::Gateway, &reason);
        }
        self.phase = Phase::Ringing;
        self.step("the INVITE goes out");
        self.deadline = Some(cx.now.mono + self.route.ringing_timeout);
        self.act(cx, out);
    }

    /// The callee's side works on it; what it plays meanwhile is agreed on already.
    pub(super) fn progress(&mut self, code: u16, body: &Bytes, out: &mut VecDeque<Output>) {
        if self.phase != Phase::Ringing {
            return;
        }
        if let Some(dialing) = &mut self.first.dialing {
            dialing.progressed();
        }
        tracing::debug!(call = %self.id, sip_call_id = %OneLine(self.first.sip_call_id()), code, "progress");
        if let Ok(selection) = self.first.accept(body) {
            self.agree(selection, out);
        }
    }

    /// The callee has answered; the leg has acknowledged it.
    pub(super) fn callee_answered(&mut self, cx: &mut Cx<'_>, body: &Bytes, out: &mut VecDeque<Output>) {
        if self.phase != Phase::Ringing {
            return;
        }
        // A 200 may repeat the answer of a reliable 183, or leave it out (RFC 3262 §5).
        let selection = self.first.accept(body).ok().or_else(|| self.first.selection.clone());
        let Some(selection) = selection else {
            return self.fail(cx, out, 488, EndedBy::Gateway, "the callee's answer does not fit our offer");
        };
        self.agree(selection, out);
        self.callee_is_there(cx, out);
    }

    /// The call that we place is answered.
    pub(super) fn callee_is_there(&mut self, cx: &Cx<'_>, out: &mut VecDeque<Output>) {
        self.step("the callee answered");
        self.phase = Phase::Talking;
        self.sip_code = 200;
        self.answered = Some(cx.now);
        self.deadline = Some(cx.now.mono + self.route.max_call_duration);
        out.push_back(Output::Answered(self.handle, cx.now, cx.now.mono.since(self.started.mono)));
        out.push_back(Output::StartRoom(self.handle));
        if let Some(keys) = self.outgoing.as_mut().and_then(|outgoing| outgoing.dtmf_prefix.take()) {
            self.press(keys, out);
        }
    }

    /// Presses keys, while the call is up.
    pub(crate) fn press(&self, keys: String, out: &mut VecDeque<Output>) {
        if self.phase == Phase::Talking {
            self.step("keys are pressed");
            out.push_back(Output::Press(self.handle, self.party, keys));
        }
    }

    /// Presses no more keys, while the call is up.
    pub(crate) fn press_no_more(&self, out: &mut VecDeque<Output>) {
        if self.phase == Phase::Talking {
            self.step("no more keys are pressed");
            out.push_back(Output::PressNoMore(self.handle, self.party));
        }
    }

    /// A key goes to a leg's peer in an INFO.
    pub(super) fn press_by_info(&mut self, cx: &mut Cx<'_>, member: Member, key: char) {
        let info = Info { kind: "application/dtmf-relay", body: format!("Signal={key}\r\nDuration=160\r\n") };
        self.on_line(member, cx, |line, cx| line.leg.inform(cx, info));
    }

    fn agree(&mut self, selection: Selection, out: &mut VecDeque<Output>) {
        if let Some(spec) = self.first.agree(selection) {
            out.push_back(Output::UpdateMedia(self.handle, Member::FIRST, spec));
        }
    }

    /// Whether a refusal has the trunk's next place tried; not where the call is ending.
    pub(super) fn goes_elsewhere(&mut self, cx: &Cx<'_>, why: Ended, out: &mut VecDeque<Output>) -> bool {
        if !(self.phase == Phase::Ringing && self.first.goes_elsewhere(why, out)) {
            return false;
        }
        self.step("the trunk's next place is tried");
        self.phase = Phase::Finding;
        self.deadline = Some(cx.now.mono + self.route.ringing_timeout);
        true
    }

    /// Whether the call goes out.
    pub(super) const fn is_outgoing(&self) -> bool {
        self.outgoing.is_some()
    }

    /// The call as lists of calls in progress show it.
    pub(crate) fn start(&self) -> CallStart {
        CallStart {
            call_id: self.id.clone(),
            sip_call_id: self.first.sip_call_id().to_owned(),
            direction: self.direction(),
            from: Pii::new(super::caller_text(&self.route.caller, self.route.hide_phone_number)),
            to: Pii::new(self.route.called.to_string()),
            trunk: self.route.trunk.name.clone(),
            agent: self.route.agent.name.clone(),
            started_at: Timestamp(self.started.utc),
        }
    }

    pub(super) const fn direction(&self) -> &'static str {
        if self.is_outgoing() { "outbound" } else { "inbound" }
    }
}
