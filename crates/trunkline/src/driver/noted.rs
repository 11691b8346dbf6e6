//! What the API shows and tells of calls, noted as inputs pass.

use bytes::Bytes;
use serde_json::json;
use trunkline_call::{CallHandle, Input, LegStart, RoomEvent, Shard, Timestamp};
use trunkline_sdp::Member;
use trunkline_sdp::control::{Recording, TransferResult};
use trunkline_sip::text::OneLine;

use super::Edges;
use crate::aliases::replaced;
use crate::masking::digits_hidden;

/// What is known of a call before it has begun.
#[derive(Default)]
pub(super) struct FirstLeg {
    /// Our id, where the API expects the call.
    id: Option<String>,
    /// The Call-ID, where its ladder was opened for it.
    call_id: Option<Bytes>,
}

impl Edges {
    /// Hands an input to the shard; what the API tells of it is noted.
    pub(super) fn hand_over(&self, shard: &mut Shard, input: Input) {
        let now = self.clock.now();
        match &input {
            Input::Message(message, ..) => self.calls.ladders.received(shard.index(), message, now.mono),
            Input::AgentConnected(call, outcome) => self.calls.agent(*call, outcome, now),
            Input::Press(call, keys) => {
                self.calls.pressed(*call, None, keys, now);
            }
            Input::Room(call, RoomEvent::Digit(member, digit) | RoomEvent::Heard(member, digit)) => {
                self.calls.pressed(*call, Some(*member), digit.encode_utf8(&mut [0; 4]), now);
            }
            Input::Room(_, RoomEvent::RecordingEnded { file, milliseconds, problem }) => {
                self.calls.recording_ended(file, *milliseconds, problem.as_deref(), now);
            }
            Input::LegClosed(call, member, stats) => self.calls.leg_closed(*call, *member, stats),
            _ => {}
        }
        shard.handle(input, now);
    }

    /// The messages of a call that may begin are kept from its first one on. Gives what is to be forgotten
    /// where it does not.
    pub(super) fn open_ladder(&self, shard: usize, input: &Input) -> FirstLeg {
        let (id, call_id) = match input {
            Input::Message(message, ..) => (None, message.call_id().cloned().unwrap_or_default()),
            Input::Place(place) => (Some(place.id.clone()), place.sip_call_id.clone().into()),
            _ => return FirstLeg::default(),
        };
        let opened = self.calls.ladders.open(shard, &call_id);
        FirstLeg { id, call_id: opened.then_some(call_id) }
    }

    pub(super) fn never_began(&self, shard: usize, first_leg: FirstLeg) {
        if let Some(call_id) = first_leg.call_id {
            self.calls.ladders.forget(shard, &call_id);
        }
        if let Some(id) = first_leg.id {
            self.calls.never_began(&id);
        }
    }

    /// Hands over what begins no call; the messages of a leg that comes into one are kept from its INVITE on.
    pub(super) fn hand_over_to_call(&self, shard: &mut Shard, input: Input) {
        let comes = match &input {
            Input::Message(message, ..) if replaced(message).is_some() => Some((**message).clone()),
            _ => None,
        };
        let Some((message, call_id)) = comes.and_then(|it| it.call_id().cloned().map(|id| (it, id))) else {
            return self.hand_over(shard, input);
        };
        let opened = self.calls.ladders.open(shard.index(), &call_id);
        self.hand_over(shard, input);
        if opened && !shard.keeps(&message) {
            self.calls.ladders.forget(shard.index(), &call_id);
        }
    }

    /// A further leg is called, or comes.
    pub(super) fn leg_began(&self, call: CallHandle, start: LegStart) {
        self.calls.leg_began(call, start, self.clock.now());
    }

    /// A leg leaves the room.
    pub(super) fn close_leg(&self, call: CallHandle, member: Member) {
        self.calls.left(call, member, self.clock.now());
        self.pool.close_leg(call.0, member);
    }

    /// Something becomes of a call's recording.
    pub(super) fn record(&self, call: CallHandle, call_id: &str, task: Recording) {
        self.recordings.ask(&self.pool, call, call_id, task);
        self.calls.recording(call, task, self.clock.now());
    }

    /// A transfer has come out.
    pub(super) fn transfer_ended(&self, call: CallHandle, result: &TransferResult) {
        self.calls.transferred(call, result, self.clock.now());
        let (ok, code, reason) = (result.ok, result.code, OneLine(&result.reason));
        let (call, sip_call_id) = self.calls.names(call);
        tracing::info!(%call, sip_call_id = %OneLine(&sip_call_id), ok, code, reason = %digits_hidden(&reason.to_string(), self.log_numbers), "a transfer ended");
    }

    /// A trunk's registration or health has changed.
    pub(super) fn trunk_changed(&self, name: &str) {
        let table = self.table.load();
        if let Some(trunk) = self.links.views(&table).into_iter().find(|trunk| trunk.name == name) {
            let at = Timestamp(self.clock.now().utc);
            self.calls.events.publish("trunk.changed", &json!({ "at": at, "trunk": trunk }));
        }
    }
}
