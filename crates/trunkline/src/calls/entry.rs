//! One call of the list: what it is, and what happened in it.

use std::time::Duration;

use tokio::sync::oneshot;
use trunkline_api::{
    CallDetail, CallDirection, CallStatus, CallView, LegView, ParticipantView, Quality, RecordingView, Rung,
    TimelineEntry, TransferOutcome,
};
use trunkline_call::{CallHandle, CallRecord, CallStart, MediaStats, Status, Timestamp};
use trunkline_sdp::Member;
use trunkline_signalling::Now;
use trunkline_sip::reason_phrase;

use crate::ladders::{Ladders, Step};

/// Happenings of one call that are kept; later ones are not.
const MAX_TIMELINE: usize = 100;

/// A call and all that is known of it.
pub(super) struct Entry {
    pub(super) view: CallView,
    /// When it began, by the clock of the ladders.
    pub(super) began: Now,
    /// Known once the call has begun, for as long as it lasts.
    pub(super) handle: Option<CallHandle>,
    pub(super) shard: usize,
    /// It was hung up before it had begun.
    pub(super) unwanted: bool,
    pub(super) legs: Vec<LegView>,
    pub(super) participants: Vec<ParticipantView>,
    pub(super) timeline: Vec<TimelineEntry>,
    pub(super) transfer: Option<TransferOutcome>,
    pub(super) quality: Option<Quality>,
    pub(super) recordings: Vec<RecordingView>,
    /// Somebody wants it recorded, whether it has begun yet or not.
    pub(super) recorded: bool,
    /// Who waits until it is answered or over.
    pub(super) waiting: Vec<oneshot::Sender<()>>,
}

impl Entry {
    pub(super) fn new(view: CallView, began: Now) -> Self {
        let first = match view.direction {
            CallDirection::Inbound => "caller",
            CallDirection::Outbound => "callee",
        };
        let leg = LegView {
            participant: first.to_owned(),
            sip_call_id: view.sip_call_id.clone(),
            direction: view.direction,
            trunk: view.trunk.clone(),
            codec: None,
            quality: None,
        };
        let participant =
            ParticipantView { name: first.to_owned(), joined_at: view.started_at.clone(), left_at: None };
        let mut entry = Self {
            view,
            began,
            handle: None,
            shard: 0,
            unwanted: false,
            legs: vec![leg],
            participants: vec![participant],
            timeline: Vec::new(),
            transfer: None,
            quality: None,
            recordings: Vec::new(),
            recorded: false,
            waiting: Vec::new(),
        };
        entry.note(began.utc, "began", None);
        entry
    }

    pub(super) fn note(&mut self, at: Duration, event: &'static str, detail: Option<String>) {
        if self.timeline.len() < MAX_TIMELINE {
            self.timeline.push(TimelineEntry { at: Timestamp(at).to_string(), event, detail });
        }
    }

    pub(super) fn detail(&self, ladders: &Ladders) -> CallDetail {
        let mut omitted = 0;
        let mut steps: Vec<_> = Vec::new();
        for leg in &self.legs {
            let ladder = ladders.of(self.shard, leg.sip_call_id.as_bytes());
            omitted += ladder.omitted;
            steps.extend(ladder.steps().map(|step| (*step, leg.participant.clone())));
        }
        steps.sort_by_key(|(step, _)| step.at);
        let rung = |(step, participant): (Step, String)| {
            let offset = step.at.since(self.began.mono);
            Rung {
                at: Timestamp(self.began.utc + offset).to_string(),
                offset_ms: (offset.as_secs_f64() * 1e6).round() / 1e3,
                direction: if step.sent { CallDirection::Outbound } else { CallDirection::Inbound },
                participant,
                method: step.method,
                status: step.code,
                message: match step.code {
                    Some(code) => format!("{code} {}", reason_phrase(code)),
                    None => step.method.to_owned(),
                },
            }
        };
        CallDetail {
            call: self.view.clone(),
            legs: self.legs.clone(),
            participants: self.participants.clone(),
            timeline: self.timeline.clone(),
            transfer: self.transfer.clone(),
            quality: self.quality.clone(),
            recordings: self.recordings.clone(),
            ladder: steps.into_iter().map(rung).collect(),
            ladder_omitted: omitted,
        }
    }

    /// What a member is called.
    pub(super) fn name_of(&self, member: Member) -> String {
        match self.legs.first() {
            Some(first) if member == Member::FIRST => first.participant.clone(),
            _ => member.to_string(),
        }
    }

    /// Somebody comes into the room, or is called.
    pub(super) fn joins(&mut self, name: &str, at: Duration) {
        let joined_at = Timestamp(at).to_string();
        self.participants.push(ParticipantView { name: name.to_owned(), joined_at, left_at: None });
    }

    /// Somebody goes; everybody where no one is named.
    pub(super) fn leaves(&mut self, name: Option<&str>, at: Duration) {
        let left_at = Timestamp(at).to_string();
        let here = self.participants.iter_mut().filter(|one| one.left_at.is_none());
        for one in here.filter(|one| name.is_none_or(|name| one.name == name)) {
            one.left_at = Some(left_at.clone());
        }
    }

    /// What the call came to.
    pub(super) fn ends(&mut self, record: &CallRecord) {
        self.leaves(None, record.ended_at.0);
        if let Some(leg) = self.legs.first_mut() {
            leg.codec = record.codec.map(str::to_owned);
            leg.quality = Some(quality(&record.media));
        }
        self.quality = Some(quality(&record.media));
        self.note(record.ended_at.0, "ended", Some(record.reason.clone()));
        let view = &mut self.view;
        view.status = status(record.status);
        view.ended_at = Some(record.ended_at.to_string());
        view.duration_seconds = record.duration_seconds;
        view.sip_code = Some(record.sip_code);
        view.reason = Some(record.reason.clone());
        // Whoever waited may have gone.
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }
}

/// A call that has begun.
pub(crate) fn pending(start: CallStart) -> CallView {
    CallView {
        id: start.call_id,
        status: CallStatus::Pending,
        direction: match start.direction {
            "outbound" => CallDirection::Outbound,
            _ => CallDirection::Inbound,
        },
        from: start.from.into_inner(),
        to: start.to.into_inner(),
        trunk: start.trunk,
        agent: start.agent,
        sip_call_id: start.sip_call_id,
        started_at: start.started_at.to_string(),
        answered_at: None,
        ended_at: None,
        duration_seconds: 0.0,
        sip_code: None,
        reason: None,
    }
}

const fn status(status: Status) -> CallStatus {
    match status {
        Status::Completed => CallStatus::Completed,
        Status::Busy => CallStatus::Busy,
        Status::NoAnswer => CallStatus::NoAnswer,
        Status::Canceled => CallStatus::Canceled,
        Status::Failed => CallStatus::Failed,
    }
}

pub(crate) const fn quality(media: &MediaStats) -> Quality {
    Quality {
        packets_received: media.packets_received,
        packets_sent: media.packets_sent,
        packets_lost: media.packets_lost,
        jitter_ms: media.jitter_ms,
        round_trip_ms: media.round_trip_ms,
        mos: media.mos,
    }
}
