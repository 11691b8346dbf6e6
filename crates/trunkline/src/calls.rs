//! The calls in progress and the last that ended, as the API shows them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use trunkline_api::{
    CallDetail, CallDirection, CallPage, CallQuery, CallStatus, CallView, ControlError, LegView,
    ParticipantView, Quality, Rung, TimelineEntry,
};
use trunkline_call::{CallHandle, CallRecord, CallStart, MediaStats, Status, Timestamp};
use trunkline_routing::ApiSettings;
use trunkline_signalling::Now;
use trunkline_sip::reason_phrase;

use crate::ladders::Ladders;

/// Happenings of one call that are kept; later ones are not.
const MAX_TIMELINE: usize = 100;

/// The list.
pub(crate) struct Calls {
    /// Ids by handle, for what a shard tells.
    ids: DashMap<CallHandle, String>,
    list: Mutex<List>,
    /// Ended calls that are kept; older ones are in the records only.
    max_ended: usize,
    pub(crate) ladders: Ladders,
}

#[derive(Default)]
struct List {
    calls: BTreeMap<String, Entry>,
    /// The ended ones, the oldest first.
    ended: VecDeque<String>,
}

struct Entry {
    view: CallView,
    /// When it began, by the clock of the ladders.
    began: Now,
    /// Known once the call has begun, for as long as it lasts.
    handle: Option<CallHandle>,
    shard: usize,
    /// It was hung up before it had begun.
    unwanted: bool,
    legs: Vec<LegView>,
    participants: Vec<ParticipantView>,
    timeline: Vec<TimelineEntry>,
    quality: Option<Quality>,
}

impl Entry {
    fn new(view: CallView, began: Now) -> Self {
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
            quality: None,
        };
        entry.note(began.utc, "began", None);
        entry
    }

    fn note(&mut self, at: Duration, event: &'static str, detail: Option<String>) {
        if self.timeline.len() < MAX_TIMELINE {
            self.timeline.push(TimelineEntry { at: Timestamp(at).to_string(), event, detail });
        }
    }

    fn detail(&self, ladders: &Ladders) -> CallDetail {
        let mut omitted = 0;
        let mut steps: Vec<_> = Vec::new();
        for leg in &self.legs {
            let ladder = ladders.of(self.shard, leg.sip_call_id.as_bytes());
            omitted += ladder.omitted;
            steps.extend(ladder.steps().map(|step| (*step, leg.participant.clone())));
        }
        steps.sort_by_key(|(step, _)| step.at);
        let rung = |(step, participant): (crate::ladders::Step, String)| {
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
            quality: self.quality.clone(),
            ladder: steps.into_iter().map(rung).collect(),
            ladder_omitted: omitted,
        }
    }
}

impl Calls {
    pub(crate) fn new(api: &ApiSettings, shards: usize) -> Self {
        let ladders = Ladders::new(api.ladders, shards);
        Self { ids: DashMap::new(), list: Mutex::default(), max_ended: api.ended_calls, ladders }
    }

    /// A call that will begin: whoever asked for it may look for it at once.
    pub(crate) fn expect(&self, view: CallView, now: Now) {
        self.list().calls.insert(view.id.clone(), Entry::new(view, now));
    }

    /// A call that was expected will not begin: its record says nothing of it either.
    pub(crate) fn never_began(&self, id: &str) {
        let mut list = self.list();
        if list.calls.get(id).is_some_and(|entry| entry.handle.is_none()) {
            list.calls.remove(id);
        }
    }

    /// A call has begun; true where it was hung up before that.
    pub(crate) fn began(&self, handle: CallHandle, start: CallStart, now: Now) -> bool {
        self.ids.insert(handle, start.call_id.clone());
        let mut list = self.list();
        let entry =
            list.calls.entry(start.call_id.clone()).or_insert_with(|| Entry::new(pending(start), now));
        (entry.handle, entry.shard) = (Some(handle), handle.shard());
        entry.unwanted
    }

    pub(crate) fn answered(&self, handle: CallHandle, now: Now) {
        self.with(handle, |entry| {
            entry.view.status = CallStatus::Active;
            entry.view.answered_at = Some(Timestamp(now.utc).to_string());
            entry.note(now.utc, "answered", None);
        });
    }

    /// The agent is in the room, or cannot come.
    pub(crate) fn agent(&self, handle: CallHandle, outcome: &Result<(), String>, now: Now) {
        self.with(handle, |entry| match outcome {
            Ok(()) => {
                entry.note(now.utc, "agent_joined", Some(entry.view.agent.clone()));
                let joined_at = Timestamp(now.utc).to_string();
                entry.participants.push(ParticipantView {
                    name: "agent".to_owned(),
                    joined_at,
                    left_at: None,
                });
            }
            Err(why) => entry.note(now.utc, "agent_failed", Some(why.clone())),
        });
    }

    /// Something else happened in a call.
    pub(crate) fn happened(&self, handle: CallHandle, event: &'static str, detail: Option<String>, now: Now) {
        self.with(handle, |entry| entry.note(now.utc, event, detail));
    }

    pub(crate) fn ended(&self, record: &CallRecord) {
        let mut list = self.list();
        let Some(entry) = list.calls.get_mut(&record.call_id) else { return };
        if let Some(handle) = entry.handle.take() {
            self.ids.remove(&handle);
        }
        let ended_at = record.ended_at.to_string();
        for participant in entry.participants.iter_mut().filter(|one| one.left_at.is_none()) {
            participant.left_at = Some(ended_at.clone());
        }
        if let Some(leg) = entry.legs.first_mut() {
            leg.codec = record.codec.map(str::to_owned);
        }
        entry.quality = Some(quality(&record.media));
        entry.note(record.ended_at.0, "ended", Some(record.reason.clone()));
        let view = &mut entry.view;
        view.status = status(record.status);
        view.ended_at = Some(ended_at);
        view.duration_seconds = record.duration_seconds;
        view.sip_code = Some(record.sip_code);
        view.reason = Some(record.reason.clone());
        list.ended.push_back(record.call_id.clone());
        if list.ended.len() > self.max_ended
            && let Some(oldest) = list.ended.pop_front()
            && let Some(gone) = list.calls.remove(&oldest)
        {
            for leg in &gone.legs {
                self.ladders.forget(gone.shard, leg.sip_call_id.as_bytes());
            }
        }
    }

    /// All of one call.
    pub(crate) fn detail(&self, id: &str) -> Option<CallDetail> {
        self.list().calls.get(id).map(|entry| entry.detail(&self.ladders))
    }

    /// The newest calls that are asked for.
    pub(crate) fn page(&self, query: &CallQuery) -> CallPage {
        use std::ops::Bound::{Excluded, Unbounded};
        let list = self.list();
        // Ids begin with the time.
        let before =
            list.calls.range::<str, _>((Unbounded, query.cursor.as_deref().map_or(Unbounded, Excluded)));
        let wanted = before.rev().map(|(_, entry)| &entry.view).filter(|view| query.wants(view));
        let mut calls: Vec<CallView> = wanted.take(query.limit + 1).cloned().collect();
        let more = calls.len() > query.limit;
        calls.truncate(query.limit);
        let next_cursor = calls.last().filter(|_| more).map(|last| last.id.clone());
        CallPage { calls, next_cursor }
    }

    /// The handle of a call that is up.
    pub(crate) fn active(&self, id: &str) -> Result<CallHandle, ControlError> {
        let list = self.list();
        let entry = list.calls.get(id).ok_or(ControlError::Unknown)?;
        let is_up = entry.view.status == CallStatus::Active;
        entry.handle.filter(|_| is_up).ok_or(ControlError::NotActive)
    }

    /// The handle to hang a call up by; none where it has not begun and will be hung up when it does.
    pub(crate) fn to_hang_up(&self, id: &str) -> Result<Option<CallHandle>, ControlError> {
        let mut list = self.list();
        let entry = list.calls.get_mut(id).ok_or(ControlError::Unknown)?;
        if entry.view.ended_at.is_some() {
            return Err(ControlError::NotActive);
        }
        entry.unwanted = true;
        Ok(entry.handle)
    }

    fn with(&self, handle: CallHandle, change: impl FnOnce(&mut Entry)) {
        let Some(id) = self.ids.get(&handle).map(|id| id.clone()) else { return };
        if let Some(entry) = self.list().calls.get_mut(&id) {
            change(entry);
        }
    }

    /// Held for the length of a look or a change, never across a wait.
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
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

const fn quality(media: &MediaStats) -> Quality {
    Quality {
        packets_received: media.packets_received,
        packets_sent: media.packets_sent,
        packets_lost: media.packets_lost,
        jitter_ms: media.jitter_ms,
        round_trip_ms: media.round_trip_ms,
        mos: media.mos,
    }
}
