//! From a request of the API to a call that a shard places: routing says whether it may be, admission
//! and the trunk's limits whether there is room, and then it gets its names.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use trunkline_api::{
    CallView, FieldError, LiveMedia, PlaceError, PlaceRequest, RecordAction, Repeat, RoomAsk,
    TransferFallback, TransferMode, TransferRequest,
};
use trunkline_call::{CallHandle, CallStart, Input, PlaceCall, RoomEvent, Timestamp, call_id};
use trunkline_media::LegStats;
use trunkline_routing::{
    E164, OutboundCall, OutboundRefusal, Pii, Route, decide_outbound, hides, is_dialable, is_own_parameter,
    mask, may_be_set,
};
use trunkline_sdp::control::{self, AgentAsk, Mute, Play, Recording, Transfer};
use trunkline_sdp::media::are_keys;
use trunkline_sdp::{Codec, Member};
use trunkline_signalling::{Mono, Tokens};

use crate::admission::{Permit, Shed};
use crate::calls::{Calls, pending, quality};
use crate::driver::Edges;
use crate::recordings::Recordings;
use crate::trunks::Overload;

/// Idempotency keys that are remembered, the oldest going first, and for how long.
const MAX_KEYS: usize = 10_000;
const KEY_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Most dynamic variables of a call, and the longest of their values.
const MAX_VARIABLES: usize = 64;
const MAX_VALUE: usize = 4096;

/// Places calls.
pub(crate) struct Placer {
    edges: Arc<Edges>,
    state: Mutex<State>,
}

struct State {
    tokens: Tokens,
    /// The oldest first.
    answers: VecDeque<Answer>,
}

/// What a request with an idempotency key was answered.
struct Answer {
    repeat: Repeat,
    view: CallView,
    at: Mono,
}

impl State {
    /// What the same request was answered before; a refusal where its key came with another.
    fn answered_before(
        &mut self,
        repeat: Option<&Repeat>,
        now: Mono,
    ) -> Result<Option<CallView>, PlaceError> {
        while self.answers.front().is_some_and(|answer| now.since(answer.at) >= KEY_LIFE)
            || self.answers.len() >= MAX_KEYS
        {
            self.answers.pop_front();
        }
        let Some(repeat) = repeat else { return Ok(None) };
        match self.answers.iter().find(|answer| answer.repeat.key == repeat.key) {
            Some(answer) if answer.repeat.asked != repeat.asked => {
                let detail = "this Idempotency-Key came with another request before".to_owned();
                Err(error(422, "idempotency_key_reused", detail, None))
            }
            before => Ok(before.map(|answer| answer.view.clone())),
        }
    }
}

impl Placer {
    pub(crate) fn new(edges: Arc<Edges>, key: (u64, u64)) -> Self {
        // The halves the other way round than the shards': no token of one is another's.
        let state = Mutex::new(State { tokens: Tokens::new((key.1, key.0)), answers: VecDeque::new() });
        Self { edges, state }
    }

    /// The calls in progress and the last that ended.
    pub(crate) fn calls(&self) -> &Calls {
        &self.edges.calls
    }

    /// What the media of a call comes to now; none where it is not up.
    pub(crate) fn live_media(&self, id: &str) -> Option<oneshot::Receiver<Vec<LiveMedia>>> {
        let call = self.edges.calls.active(id).ok()?;
        let first = self.edges.calls.first_name(call);
        let (tell, told) = oneshot::channel();
        let named = move |leg: LegStats| LiveMedia {
            participant: if leg.member == Member::FIRST { first.clone() } else { leg.member.to_string() },
            codec: leg.codec.map(Codec::name),
            quality: quality(&leg.stats),
        };
        self.edges.pool.stats(call.0, move |legs| {
            // Whoever asked may have gone.
            let _ = tell.send(legs.into_iter().map(named).collect());
        });
        self.edges.pool.flush();
        Some(told)
    }

    /// Where recordings are.
    pub(crate) fn recordings(&self) -> &Recordings {
        &self.edges.recordings
    }

    /// Places a call.
    pub(crate) fn place(
        &self,
        request: PlaceRequest,
        repeat: Option<Repeat>,
    ) -> Result<CallView, PlaceError> {
        // One at a time, so that one key places one call.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.edges.clock.now();
        if let Some(view) = state.answered_before(repeat.as_ref(), now.mono)? {
            return Ok(view);
        }
        let variables = variables(&request);
        let fields: Vec<(String, String)> = request.headers.clone().into_iter().collect();
        let route = self.route(&request)?;
        let permit = self.admit(&route)?;
        let (id, sip_call_id) = (call_id(now, state.tokens.number()), state.tokens.token());
        let start = CallStart {
            call_id: id.clone(),
            sip_call_id: sip_call_id.clone(),
            direction: "outbound",
            from: Pii::new(shown(&route)),
            to: Pii::new(route.called.to_string()),
            trunk: route.trunk.name.clone(),
            agent: route.agent.name.clone(),
            started_at: Timestamp(now.utc),
        };
        let view = pending(start);
        self.edges.calls.expect(view.clone(), now);
        if let Some(repeat) = repeat {
            state.answers.push_back(Answer { repeat, view: view.clone(), at: now.mono });
        }
        let dtmf_prefix = request.dtmf_prefix;
        let place = PlaceCall { id, sip_call_id, route, variables: Pii::new(variables), fields, dtmf_prefix };
        self.edges.dispatcher.place(place, permit);
        Ok(view)
    }

    fn route(&self, request: &PlaceRequest) -> Result<Route, PlaceError> {
        let table = self.edges.table.load();
        let call = OutboundCall {
            to: &request.to,
            from: &request.from,
            agent: request.agent.as_deref(),
            trunk: request.trunk.as_deref(),
        };
        let mut route = decide_outbound(&table, &call).map_err(|refusal| told(&refusal))?;
        if let Some(seconds) = request.ringing_timeout_seconds {
            route.ringing_timeout = Duration::from_secs(seconds);
        }
        Ok(route)
    }

    fn admit(&self, route: &Route) -> Result<Permit<'_>, PlaceError> {
        let second = self.edges.clock.now().mono.0.as_secs();
        let permit = self.edges.admission.admit(second).map_err(|shed| {
            let (code, why) = match shed {
                Shed::Draining => ("draining", "the gateway takes no new calls"),
                Shed::Full => ("max_calls", "the gateway has as many calls as it may have"),
                Shed::TooFast => ("new_calls_per_second", "too many new calls in this second"),
            };
            error(503, code, why.to_owned(), None)
        })?;
        let name = &route.trunk.name;
        self.edges.trunks.take(&route.trunk, second).map_err(|overload| match overload {
            Overload::Calls => {
                error(429, "trunk_max_calls", format!("trunk {name} has max_calls calls"), None)
            }
            Overload::Rate => error(
                429,
                "trunk_calls_per_second",
                format!("trunk {name} takes no more in this second"),
                None,
            ),
        })?;
        Ok(permit)
    }
}

/// Our number as lists show it.
fn shown(route: &Route) -> String {
    let own = route.caller.to_string();
    if hides(&route.number, &route.trunk) { mask(&own) } else { own }
}

/// Every field of a request that is wrong by itself, whatever the tables say.
pub(crate) fn faults(request: &PlaceRequest) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let mut wrong = |pointer: &str, detail: &str| faults.push(FieldError::new(pointer, detail));
    for (pointer, fine) in
        [("/to", is_dialable(&request.to)), ("/from", E164::parse(&request.from).is_some())]
    {
        if !fine {
            wrong(pointer, "is no number in E.164; write \"+14155550100\"");
        }
    }
    for (name, value) in &request.headers {
        if !may_be_set(name, value) {
            let detail = "may not be set; name fields such as X-Tenant, without line breaks";
            wrong(&format!("/headers/{}", pointer_part(name)), detail);
        }
    }
    if request.dynamic_variables.len() > MAX_VARIABLES {
        wrong("/dynamic_variables", &format!("has more than {MAX_VARIABLES} entries"));
    }
    for ((name, _), (_, text)) in request.dynamic_variables.iter().zip(variables(request)) {
        let ours = is_own_parameter(name);
        let pointer = format!("/dynamic_variables/{}", pointer_part(name));
        if ours || name.is_empty() {
            wrong(&pointer, "is a name of the gateway's own, or empty");
        } else if text.len() > MAX_VALUE {
            wrong(&pointer, &format!("is longer than {MAX_VALUE} bytes"));
        }
    }
    if request.ringing_timeout_seconds.is_some_and(|seconds| !(1..=300).contains(&seconds)) {
        wrong("/ringing_timeout_seconds", "is 1 to 300");
    }
    if request.dtmf_prefix.as_ref().is_some_and(|keys| !are_keys(keys)) {
        wrong("/dtmf_prefix", "is 1 to 128 of 0-9 * # A-D, w for half a second, W for a second");
    }
    faults
}

/// What is to be done in a room, in the words of the call: what an agent may ask, the API may.
pub(crate) fn in_room(call: CallHandle, ask: RoomAsk) -> Input {
    let ask = match ask {
        RoomAsk::Hold(on) => return Input::Hold(call, on),
        RoomAsk::Mute { participant, on } => AgentAsk::Mute { mute: Mute { participant, on } },
        RoomAsk::Record(action) => AgentAsk::Record {
            record: match action {
                RecordAction::Start => Recording::Start,
                RecordAction::Pause => Recording::Pause,
                RecordAction::Resume => Recording::Resume,
                RecordAction::Stop => Recording::Stop,
            },
        },
        RoomAsk::Play { sound, participant, repeat } => {
            AgentAsk::Play { play: Play { sound, participant, repeat } }
        }
    };
    Input::Room(call, RoomEvent::Ask(Box::new(ask)))
}

/// A transfer in the call's own words.
pub(crate) fn transfer(request: TransferRequest) -> Transfer {
    Transfer {
        to: request.to,
        mode: match request.mode {
            TransferMode::Cold => control::TransferMode::Cold,
            TransferMode::Attended => control::TransferMode::Attended,
            TransferMode::Warm => control::TransferMode::Warm,
            TransferMode::Bridge => control::TransferMode::Bridge,
        },
        fallback: match request.fallback {
            TransferFallback::None => control::Fallback::None,
            TransferFallback::Bridge => control::Fallback::Bridge,
        },
        requires_confirmation: request.requires_confirmation,
        passcode: request.passcode,
        ringing_timeout_seconds: request.ringing_timeout_seconds,
        silent: request.silent,
    }
}

/// A name as a part of a JSON Pointer (RFC 6901 §3).
fn pointer_part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Dynamic variables as text: strings as they stand, everything else as JSON.
fn variables(request: &PlaceRequest) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    request.dynamic_variables.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A refusal of routing as the API tells it.
fn told(refusal: &OutboundRefusal) -> PlaceError {
    let (status, code, pointer) = match refusal {
        OutboundRefusal::BadNumber(_) => (400, "bad_number", "/to"),
        OutboundRefusal::ShortCode(_) => (400, "short_code", "/to"),
        OutboundRefusal::UnknownFrom(_) => (404, "unknown_from", "/from"),
        OutboundRefusal::Inactive(_) => (409, "inactive_from", "/from"),
        OutboundRefusal::NoAgent(_) => (409, "no_agent", "/agent"),
        OutboundRefusal::UnknownAgent(_) => (404, "unknown_agent", "/agent"),
        OutboundRefusal::TextAgent(_) => (400, "text_agent", "/agent"),
        OutboundRefusal::UnknownTrunk(_) => (404, "unknown_trunk", "/trunk"),
        OutboundRefusal::NoTrunk(_) => (409, "no_trunk", "/trunk"),
        OutboundRefusal::Denied { .. } => (403, "destination_denied", "/to"),
        OutboundRefusal::Premium { .. } => (403, "premium_denied", "/to"),
    };
    error(status, code, refusal.to_string(), Some(pointer))
}

const fn error(status: u16, code: &'static str, detail: String, pointer: Option<&'static str>) -> PlaceError {
    PlaceError { status, code, detail, pointer }
}
