//! How a call ends, and its record.

use std::collections::VecDeque;

use trunkline_routing::Pii;
use trunkline_signalling::Now;
use trunkline_signalling::dialog::{Cx, Ended};

use super::setup::is_builtin;
use super::{Call, Ending, Phase, caller_text, trunk_name};
use crate::{CallRecord, EndedBy, MediaStats, Output, Status, Timestamp};

impl Call {
    /// Ends the call from our side: `code` where the INVITE has no answer yet, else BYE.
    pub(super) fn fail(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut VecDeque<Output>,
        code: u16,
        by: EndedBy,
        reason: &str,
    ) {
        if self.ending.is_some() {
            return;
        }
        if self.answered.is_none() {
            self.sip_code = code;
        }
        self.close(cx.now, by, reason, out);
        for member in self.members() {
            self.on_line(member, cx, |line, cx| line.leg.hang_up(cx, code));
        }
        self.act(cx, out);
    }

    /// Ends the call by request.
    pub(crate) fn hang_up(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        // A call that we place is cancelled; one that comes in is refused for now.
        let code = if self.is_outgoing() { 487 } else { 480 };
        self.linger_no_more(cx, out);
        self.fail(cx, out, code, EndedBy::Gateway, "hung up by request");
    }

    /// The leg of the call's party is over.
    pub(super) fn party_ended(&mut self, cx: &mut Cx<'_>, why: Ended, out: &mut VecDeque<Output>) {
        if self.goes_elsewhere(cx, why, out) {
            return;
        }
        if why == Ended::PeerBye && self.party_goes(cx, out) {
            return;
        }
        if why == Ended::PeerBye && self.moved_by_bye(cx.now.mono, out) {
            self.close(cx.now, EndedBy::Gateway, "transferred", out);
        }
        self.leg_ended(cx.now, why, out);
        // The others have nobody to talk to.
        for member in self.members().into_iter().filter(|member| !self.lingers(*member)).collect::<Vec<_>>() {
            self.on_line(member, cx, |line, cx| line.leg.hang_up(cx, 487));
        }
    }

    pub(super) fn leg_ended(&mut self, now: Now, why: Ended, out: &mut VecDeque<Output>) {
        // A 487 after our own CANCEL says nothing new.
        if let (Ended::Refused(code), None) = (why, &self.ending) {
            self.sip_code = code;
            let reason = format!("the callee's side refused: {code} {}", trunkline_sip::reason_phrase(code));
            return self.close(now, EndedBy::Callee, &reason, out);
        }
        let (by, reason) = match why {
            Ended::Cancelled => (EndedBy::Caller, "cancelled"),
            Ended::PeerBye if self.is_outgoing() => (EndedBy::Callee, "the callee hung up"),
            Ended::PeerBye => (EndedBy::Caller, "the caller hung up"),
            Ended::OurBye => (EndedBy::Gateway, "hung up"),
            Ended::Lost if self.is_outgoing() => (EndedBy::Gateway, "the callee's side does not answer"),
            Ended::Rejected(_) | Ended::Refused(_) => (EndedBy::Gateway, "refused"),
            Ended::NoAck => (EndedBy::Gateway, "the caller never acknowledged the answer"),
            Ended::NoPrack => (EndedBy::Gateway, "the caller never acknowledged the ringing"),
            Ended::SessionExpired => (EndedBy::Gateway, "the session timer ran out"),
            Ended::Lost => (EndedBy::Gateway, "the caller's side is gone"),
        };
        if self.answered.is_none() {
            match why {
                Ended::Cancelled | Ended::PeerBye => self.sip_code = 487,
                Ended::Rejected(code) => self.sip_code = code,
                Ended::NoPrack => self.sip_code = 504,
                Ended::Lost if self.is_outgoing() => self.sip_code = 408,
                Ended::OurBye | Ended::Refused(_) | Ended::NoAck | Ended::SessionExpired | Ended::Lost => {}
            }
        }
        self.close(now, by, reason, out);
    }

    /// The room is closed; the record can be written.
    pub(crate) fn room_closed(&mut self, cx: &mut Cx<'_>, stats: MediaStats, out: &mut VecDeque<Output>) {
        if self.phase == Phase::Closing {
            self.stats = stats;
            self.write_record(cx.now, out);
        }
    }

    /// The last act of a call that panicked.
    pub(crate) fn abandon(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        cx.events.clear();
        self.told.clear();
        self.ending = None;
        self.phase = Phase::Talking;
        if self.answered.is_none() {
            self.sip_code = 500;
        }
        self.close(cx.now, EndedBy::Gateway, "internal error", out);
        self.lines_mut().for_each(|line| line.leg.abandon(cx, 500));
        self.write_record(cx.now, out);
    }

    fn close(&mut self, now: Now, by: EndedBy, reason: &str, out: &mut VecDeque<Output>) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(Ending { by, reason: reason.to_owned(), at: now });
        self.transfer_is_overtaken(reason, out);
        self.phase = Phase::Closing;
        self.deadline = Some(now.mono + self.config.edge_timeout);
        out.push_back(Output::CloseRoom(self.handle));
    }

    pub(super) fn write_record(&mut self, now: Now, out: &mut VecDeque<Output>) {
        let ending = self.ending.take().unwrap_or_else(|| Ending {
            by: EndedBy::Gateway,
            reason: String::new(),
            at: now,
        });
        // Kept, so that nothing ends the call a second time.
        self.ending = Some(ending.clone());
        self.phase = Phase::Over;
        self.deadline = None;
        let answered = self.answered.map(|at| at.mono);
        let duration = answered.map_or(0.0, |at| ending.at.mono.since(at).as_secs_f64());
        let agent = &self.route.agent;
        let announced = self.announce && is_builtin(agent);
        out.push_back(Output::Ended(Box::new(CallRecord {
            call_id: self.id.clone(),
            sip_call_id: self.first.sip_call_id().to_owned(),
            direction: self.direction(),
            status: self.answered.map_or_else(|| Status::of_code(self.sip_code), |_| Status::Completed),
            from: Pii::new(caller_text(&self.route.caller, self.route.hide_phone_number)),
            to: Pii::new(self.route.called.to_string()),
            trunk: trunk_name(&self.route.trunk),
            agent: (!announced).then(|| agent.name.clone()),
            started_at: Timestamp(self.started.utc),
            answered_at: self.answered.map(|at| Timestamp(at.utc)),
            ended_at: Timestamp(ending.at.utc),
            duration_seconds: duration,
            ended_by: ending.by,
            reason: ending.reason,
            sip_code: self.sip_code,
            codec: self.first.selection.as_ref().map(|selection| selection.codec.name()),
            transcript: std::mem::take(&mut self.transcript),
            transferred_to: self.transferred_to.take(),
            transfer: self.transfer_result.take(),
            media: self.stats,
        })));
    }
}
