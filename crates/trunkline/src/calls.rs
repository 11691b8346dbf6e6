//! The calls in progress and the last that ended, as the API shows them, and what happens in them as it
//! tells it.

mod entry;
mod room;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use serde_json::json;
use tokio::sync::oneshot;
use trunkline_api::{
    CallDetail, CallDirection, CallPage, CallQuery, CallStatus, CallView, ControlError, Events, LegView,
    TransferOutcome,
};
use trunkline_call::{CallHandle, CallRecord, CallStart, LegStart, Timestamp};
use trunkline_routing::{ApiSettings, mask};
use trunkline_sdp::Member;
use trunkline_sdp::control::TransferResult;
use trunkline_signalling::Now;

use crate::ladders::Ladders;
use crate::masking::digits_hidden;

use entry::Entry;
pub(crate) use entry::{pending, quality};

/// The list.
pub(crate) struct Calls {
    /// Ids by handle, for what a shard tells.
    ids: DashMap<CallHandle, String>,
    list: Mutex<List>,
    /// Ended calls that are kept; older ones are in the records only.
    max_ended: usize,
    pub(crate) ladders: Ladders,
    pub(crate) events: Arc<Events>,
    /// Events tell numbers in full.
    event_numbers: bool,
}

#[derive(Default)]
struct List {
    calls: BTreeMap<String, Entry>,
    /// The ended ones, the oldest first.
    ended: VecDeque<String>,
}

impl Calls {
    pub(crate) fn new(api: &ApiSettings, shards: usize, now: Now) -> Self {
        // So many events in a microsecond there never were: ids of two lives of the daemon do not meet.
        let first = u64::try_from(now.utc.as_micros()).unwrap_or(0);
        Self {
            ids: DashMap::new(),
            list: Mutex::default(),
            max_ended: api.ended_calls,
            ladders: Ladders::new(api.ladders, shards),
            events: Arc::new(Events::new(first)),
            event_numbers: api.event_numbers,
        }
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
        self.tell("call.began", &entry.view, now);
        entry.unwanted
    }

    pub(crate) fn answered(&self, handle: CallHandle, now: Now) {
        self.with(handle, |entry| {
            entry.view.status = CallStatus::Active;
            entry.view.answered_at = Some(Timestamp(now.utc).to_string());
            entry.note(now.utc, "answered", None);
            // Whoever waited may have gone.
            for waiting in entry.waiting.drain(..) {
                let _ = waiting.send(());
            }
            self.tell("call.answered", &entry.view, now);
        });
    }

    /// The agent is in the room, or cannot come.
    pub(crate) fn agent(&self, handle: CallHandle, outcome: &Result<(), String>, now: Now) {
        self.with(handle, |entry| match outcome {
            Ok(()) => {
                entry.note(now.utc, "agent_joined", Some(entry.view.agent.clone()));
                entry.joins("agent", now.utc);
            }
            Err(why) => entry.note(now.utc, "agent_failed", Some(why.clone())),
        });
    }

    /// A further leg is called, or comes to take another's place.
    pub(crate) fn leg_began(&self, handle: CallHandle, start: LegStart, now: Now) {
        self.ladders.open(handle.shard(), start.sip_call_id.as_bytes());
        let name = start.member.to_string();
        let (direction, event) = match start.direction {
            "inbound" => (CallDirection::Inbound, "leg_came"),
            _ => (CallDirection::Outbound, "leg_called"),
        };
        self.with(handle, |entry| {
            entry.note(now.utc, event, Some(name.clone()));
            entry.joins(&name, now.utc);
            entry.legs.push(LegView {
                participant: name,
                sip_call_id: start.sip_call_id,
                direction,
                trunk: start.trunk,
                codec: None,
                quality: None,
            });
        });
    }

    /// A leg has the place of another.
    pub(crate) fn replaced(&self, handle: CallHandle, old: Member, new: Member, now: Now) {
        self.with(handle, |entry| {
            let detail = format!("{} by {}", entry.name_of(old), entry.name_of(new));
            entry.note(now.utc, "replaced", Some(detail));
        });
    }

    /// A member of the room leaves it.
    pub(crate) fn left(&self, handle: CallHandle, member: Member, now: Now) {
        self.with(handle, |entry| {
            let name = entry.name_of(member);
            entry.note(now.utc, "left", Some(name.clone()));
            entry.leaves(Some(&name), now.utc);
        });
    }

    /// Keys were pressed in a call: by a member, or by us.
    pub(crate) fn pressed(&self, handle: CallHandle, member: Option<Member>, keys: &str, now: Now) {
        self.with(handle, |entry| {
            let participant = member.map_or_else(|| "gateway".to_owned(), |member| entry.name_of(member));
            let count = keys.chars().filter(|key| !key.eq_ignore_ascii_case(&'w')).count();
            entry.note(now.utc, "dtmf", Some(format!("{participant}: {count}")));
            // What is entered may be a number, or a secret.
            let digits = if self.event_numbers { keys.to_owned() } else { "*".repeat(count) };
            self.events.publish(
                "dtmf",
                &json!({
                    "at": Timestamp(now.utc), "call_id": entry.view.id, "participant": participant,
                    "digits": digits,
                }),
            );
        });
    }

    /// A transfer has come out.
    pub(crate) fn transferred(&self, handle: CallHandle, result: &TransferResult, now: Now) {
        self.with(handle, |entry| {
            let event = if result.ok { "transferred" } else { "transfer_failed" };
            entry.note(now.utc, event, Some(result.reason.clone()));
            let outcome = TransferOutcome { ok: result.ok, code: result.code, reason: result.reason.clone() };
            let reason = digits_hidden(&result.reason, self.event_numbers);
            let told = TransferOutcome { reason, ..outcome.clone() };
            entry.transfer = Some(outcome);
            self.events.publish(
                "call.transferred",
                &json!({ "at": Timestamp(now.utc), "call_id": entry.view.id, "transfer": told }),
            );
        });
    }

    pub(crate) fn ended(&self, record: &CallRecord, now: Now) {
        let mut list = self.list();
        let Some(entry) = list.calls.get_mut(&record.call_id) else { return };
        if let Some(handle) = entry.handle.take() {
            self.ids.remove(&handle);
        }
        entry.ends(record);
        self.tell("call.ended", &entry.view, now);
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

    /// Tells of a call as it stands.
    fn tell(&self, event: &'static str, view: &CallView, now: Now) {
        let mut view = view.clone();
        if !self.event_numbers {
            (view.from, view.to) = (mask(&view.from), mask(&view.to));
            view.reason = view.reason.map(|reason| digits_hidden(&reason, false));
        }
        self.events.publish(event, &json!({ "at": Timestamp(now.utc), "call": view }));
    }

    /// Done once a call is answered or over; none where it is already.
    pub(crate) fn settled(&self, id: &str) -> Option<oneshot::Receiver<()>> {
        let mut list = self.list();
        let entry = list.calls.get_mut(id).filter(|entry| entry.view.status == CallStatus::Pending)?;
        let (sender, receiver) = oneshot::channel();
        entry.waiting.push(sender);
        Some(receiver)
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

    /// Our id of a call in progress, and its Call-ID.
    pub(crate) fn names(&self, handle: CallHandle) -> (String, String) {
        let mut names = Default::default();
        self.with(handle, |entry| names = (entry.view.id.clone(), entry.view.sip_call_id.clone()));
        names
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
