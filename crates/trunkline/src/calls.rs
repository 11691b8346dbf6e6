//! The calls in progress and the last that ended, as the API shows them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use trunkline_api::CallView;
use trunkline_call::{CallHandle, CallRecord, CallStart};

/// Ended calls that are kept; older ones are in the records only.
const MAX_ENDED: usize = 1000;

/// The list.
#[derive(Default)]
pub(crate) struct Calls {
    /// Ids by handle, for what a shard tells.
    ids: DashMap<CallHandle, String>,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    calls: BTreeMap<String, Entry>,
    /// The ended ones, the oldest first.
    ended: VecDeque<String>,
}

struct Entry {
    view: CallView,
    /// Known once the call has begun.
    handle: Option<CallHandle>,
    /// It was hung up before it had begun.
    unwanted: bool,
}

impl Calls {
    /// A call that will begin: whoever asked for it may look for it at once.
    pub(crate) fn expect(&self, view: CallView) {
        let entry = Entry { view, handle: None, unwanted: false };
        self.list().calls.insert(entry.view.id.clone(), entry);
    }

    /// A call has begun; true where it was hung up before that.
    pub(crate) fn began(&self, handle: CallHandle, start: CallStart) -> bool {
        self.ids.insert(handle, start.call_id.clone());
        let mut list = self.list();
        let entry = list.calls.entry(start.call_id.clone()).or_insert_with(|| Entry {
            view: pending(start),
            handle: None,
            unwanted: false,
        });
        entry.handle = Some(handle);
        entry.unwanted
    }

    pub(crate) fn answered(&self, handle: CallHandle, now: Duration) {
        let Some(id) = self.ids.get(&handle).map(|id| id.clone()) else { return };
        if let Some(entry) = self.list().calls.get_mut(&id) {
            entry.view.status = "active";
            entry.view.answered_at = Some(now.as_secs_f64());
        }
    }

    pub(crate) fn ended(&self, record: &CallRecord) {
        let mut list = self.list();
        let Some(entry) = list.calls.get_mut(&record.call_id) else { return };
        if let Some(handle) = entry.handle.take() {
            self.ids.remove(&handle);
        }
        let view = &mut entry.view;
        view.status = record.status.name();
        view.ended_at = Some(record.ended_at);
        view.duration_seconds = record.duration_seconds;
        view.sip_code = Some(record.sip_code);
        view.reason = Some(record.reason.clone());
        list.ended.push_back(record.call_id.clone());
        if list.ended.len() > MAX_ENDED
            && let Some(oldest) = list.ended.pop_front()
        {
            list.calls.remove(&oldest);
        }
    }

    /// One call.
    pub(crate) fn call(&self, id: &str) -> Option<CallView> {
        self.list().calls.get(id).map(|entry| entry.view.clone())
    }

    /// The newest `limit` calls before `cursor`, the newest first.
    pub(crate) fn page(&self, cursor: Option<&str>, limit: usize) -> Vec<CallView> {
        let list = self.list();
        // Ids begin with the time.
        let before = list.calls.range::<str, _>((
            std::ops::Bound::Unbounded,
            cursor.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
        ));
        before.rev().take(limit).map(|(_, entry)| entry.view.clone()).collect()
    }

    /// The handle of a call that is up.
    pub(crate) fn active(&self, id: &str) -> Option<CallHandle> {
        let list = self.list();
        list.calls.get(id).filter(|entry| entry.view.status == "active")?.handle
    }

    /// The handle to hang a call up by: `None` where there is no such call, or it is over;
    /// `Some(None)` where it has not begun and will be hung up when it does.
    pub(crate) fn to_hang_up(&self, id: &str) -> Option<Option<CallHandle>> {
        let mut list = self.list();
        let entry = list.calls.get_mut(id).filter(|entry| entry.view.ended_at.is_none())?;
        entry.unwanted = true;
        Some(entry.handle)
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
        status: "pending",
        direction: start.direction,
        from: start.from.into_inner(),
        to: start.to.into_inner(),
        trunk: start.trunk,
        agent: start.agent,
        sip_call_id: start.sip_call_id,
        started_at: start.started_at,
        answered_at: None,
        ended_at: None,
        duration_seconds: 0.0,
        sip_code: None,
        reason: None,
    }
}
