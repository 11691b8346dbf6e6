//! What happens in the room of a call, as the API shows and tells it: its recordings, the figures of its legs; and what
//! may be asked of it.

use serde_json::json;
use trunkline_api::{ControlError, RecordAction, RecordingStatus, RecordingView, RoomAsk};
use trunkline_call::{CallHandle, MediaStats, Timestamp};
use trunkline_sdp::Member;
use trunkline_sdp::control::Recording;
use trunkline_signalling::Now;

use super::Calls;
use super::entry::{Entry, quality};

impl Calls {
    /// The handle of a call that is up, and in whose room that may be done.
    pub(crate) fn may_ask(&self, id: &str, ask: &RoomAsk) -> Result<CallHandle, ControlError> {
        let handle = self.active(id)?;
        let mut may = Err(ControlError::Unknown);
        self.with(handle, |entry| may = entry.may(ask));
        may.map(|()| handle)
    }

    /// What the participant is called that a call began with.
    pub(crate) fn first_name(&self, handle: CallHandle) -> String {
        let mut name = String::new();
        self.with(handle, |entry| name = entry.name_of(Member::FIRST));
        name
    }

    /// A leg has left the room; what its media came to.
    pub(crate) fn leg_closed(&self, handle: CallHandle, member: Member, stats: &MediaStats) {
        self.with(handle, |entry| {
            let name = entry.name_of(member);
            if let Some(leg) = entry.legs.iter_mut().rev().find(|leg| leg.participant == name) {
                leg.quality = Some(quality(stats));
            }
        });
    }

    /// The recording of a call begins, pauses, goes on, or is to end.
    pub(crate) fn recording(&self, handle: CallHandle, task: Recording, now: Now) {
        self.with(handle, |entry| {
            let Some(event) = entry.records(task, now) else { return };
            entry.note(now.utc, event.0, None);
            let id = entry.recordings.last().map(|recording| recording.id.clone());
            let told = json!({ "at": Timestamp(now.utc), "call_id": entry.view.id, "recording": id });
            self.events.publish(event.1, &told);
        });
    }

    /// A recording is whole, or was cut short. Its call may be over by then.
    pub(crate) fn recording_ended(&self, file: &str, milliseconds: u64, problem: Option<&str>, now: Now) {
        let id = file.split('.').next().unwrap_or_default();
        let call_id = id.split('-').next().unwrap_or_default();
        let seconds = milliseconds as f64 / 1000.0;
        if let Some(entry) = self.list().calls.get_mut(call_id) {
            let ended = problem.map_or(RecordingStatus::Ended, |_| RecordingStatus::Failed);
            entry.note(now.utc, "recording_ended", problem.map(str::to_owned));
            if let Some(recording) = entry.recordings.iter_mut().find(|one| one.duration_seconds.is_none()) {
                id.clone_into(&mut recording.id);
                recording.status = ended;
                recording.duration_seconds = Some(seconds);
                recording.problem = problem.map(str::to_owned);
            }
        }
        self.events.publish(
            "recording.ended",
            &json!({
                "at": Timestamp(now.utc), "call_id": call_id, "recording": id, "seconds": seconds, "problem": problem,
            }),
        );
    }
}

impl Entry {
    fn may(&mut self, ask: &RoomAsk) -> Result<(), ControlError> {
        let here = |name: &str| {
            let known = matches!(name, "caller" | "callee" | "agent");
            known || self.participants.iter().any(|one| one.left_at.is_none() && one.name == name)
        };
        match ask {
            RoomAsk::Mute { participant, .. } if !here(participant) => Err(ControlError::UnknownParticipant),
            RoomAsk::Play { participant: Some(name), .. } if !here(name) => {
                Err(ControlError::UnknownParticipant)
            }
            RoomAsk::Record(RecordAction::Start) => {
                self.recorded = true;
                Ok(())
            }
            RoomAsk::Record(_) if !self.recorded => Err(ControlError::NotRecording),
            RoomAsk::Record(action) => {
                self.recorded = *action != RecordAction::Stop;
                Ok(())
            }
            RoomAsk::Mute { .. } | RoomAsk::Play { .. } | RoomAsk::Hold(_) => Ok(()),
        }
    }

    /// The recording that is under way, and the names of what that does to it in the timeline and the events;
    /// nothing where it changes nothing.
    fn records(&mut self, task: Recording, now: Now) -> Option<(&'static str, &'static str)> {
        let number = self.recordings.len() + 1;
        let open = self
            .recordings
            .last_mut()
            .filter(|last| matches!(last.status, RecordingStatus::Recording | RecordingStatus::Paused));
        match (task, open) {
            (Recording::Start, None) => {
                self.recorded = true;
                let id = match number {
                    1 => self.view.id.clone(),
                    number => format!("{}-{number}", self.view.id),
                };
                self.recordings.push(RecordingView {
                    id,
                    status: RecordingStatus::Recording,
                    started_at: Timestamp(now.utc).to_string(),
                    duration_seconds: None,
                    problem: None,
                });
                Some(("recording_started", "recording.started"))
            }
            (Recording::Pause, Some(open)) if open.status == RecordingStatus::Recording => {
                open.status = RecordingStatus::Paused;
                Some(("recording_paused", "recording.paused"))
            }
            (Recording::Resume, Some(open)) if open.status == RecordingStatus::Paused => {
                open.status = RecordingStatus::Recording;
                Some(("recording_resumed", "recording.resumed"))
            }
            // Its end is told once its file is whole.
            (Recording::Stop, Some(open)) => {
                open.status = RecordingStatus::Ended;
                self.recorded = false;
                None
            }
            _ => None,
        }
    }
}
