//! From a request of the API to a call that a shard places: routing says whether it may be, admission
//! and the trunk's limits whether there is room, and then it gets its names.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use trunkline_api::{CallView, PlaceError, PlaceRequest};
use trunkline_call::{CallStart, PlaceCall, call_id};
use trunkline_routing::{
    OutboundCall, OutboundRefusal, Pii, Route, decide_outbound, hides, is_own_parameter, mask, may_be_set,
};
use trunkline_sdp::media::are_keys;
use trunkline_signalling::Tokens;

use crate::admission::{Permit, Shed};
use crate::calls::{Calls, pending};
use crate::driver::Edges;
use crate::trunks::Overload;

/// Idempotency keys that are remembered.
const MAX_KEYS: usize = 1000;
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
    /// Key and id, the oldest first.
    keys: VecDeque<(String, String)>,
}

impl Placer {
    pub(crate) fn new(edges: Arc<Edges>, key: (u64, u64)) -> Self {
        // The halves the other way round than the shards': no token of one is another's.
        let state = Mutex::new(State { tokens: Tokens::new((key.1, key.0)), keys: VecDeque::new() });
        Self { edges, state }
    }

    /// The calls in progress and the last that ended.
    pub(crate) fn calls(&self) -> &Calls {
        &self.edges.calls
    }

    /// Places a call.
    pub(crate) fn place(&self, request: PlaceRequest, key: Option<String>) -> Result<CallView, PlaceError> {
        // One at a time, so that one key places one call.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = key.as_ref().and_then(|key| state.keys.iter().find(|(known, _)| known == key));
        if let Some(view) = before.and_then(|(_, id)| self.edges.calls.call(id)) {
            return Ok(view);
        }
        let variables = variables(&request)?;
        let fields: Vec<(String, String)> = request.headers.clone().into_iter().collect();
        if let Some((name, _)) = fields.iter().find(|(name, value)| !may_be_set(name, value)) {
            let detail =
                format!("{name:?} may not be set; name fields such as X-Tenant, without line breaks");
            return Err(error(400, "bad_header", detail, Some("/headers")));
        }
        if request.dtmf_prefix.as_ref().is_some_and(|keys| !are_keys(keys)) {
            let detail = "dtmf_prefix is 1 to 128 of 0-9 * # A-D, w for half a second, W for a second";
            return Err(error(400, "bad_digits", detail.to_owned(), Some("/dtmf_prefix")));
        }
        let route = self.route(&request)?;
        let permit = self.admit(&route)?;
        let now = self.edges.clock.now();
        let (id, sip_call_id) = (call_id(now, state.tokens.number()), state.tokens.token());
        let start = CallStart {
            call_id: id.clone(),
            sip_call_id: sip_call_id.clone(),
            direction: "outbound",
            from: Pii::new(shown(&route)),
            to: Pii::new(route.called.to_string()),
            trunk: route.trunk.name.clone(),
            agent: route.agent.name.clone(),
            started_at: now.utc.as_secs_f64(),
        };
        let view = pending(start);
        self.edges.calls.expect(view.clone());
        if let Some(key) = key {
            state.keys.push_back((key, id.clone()));
            if state.keys.len() > MAX_KEYS {
                state.keys.pop_front();
            }
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
            if !(1..=300).contains(&seconds) {
                let detail = "ringing_timeout_seconds is 1 to 300".to_owned();
                return Err(error(400, "bad_timeout", detail, Some("/ringing_timeout_seconds")));
            }
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

/// Dynamic variables as text: strings as they stand, everything else as JSON.
fn variables(request: &PlaceRequest) -> Result<Vec<(String, String)>, PlaceError> {
    let pointer = Some("/dynamic_variables");
    if request.dynamic_variables.len() > MAX_VARIABLES {
        return Err(error(
            400,
            "bad_variable",
            format!("at most {MAX_VARIABLES} dynamic_variables"),
            pointer,
        ));
    }
    let mut variables = Vec::new();
    for (name, value) in &request.dynamic_variables {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if is_own_parameter(name) || name.is_empty() || text.len() > MAX_VALUE {
            let detail = format!(
                "{name:?} is none: names are not empty and not the gateway's own (system__…), values at most {MAX_VALUE} bytes"
            );
            return Err(error(400, "bad_variable", detail, pointer));
        }
        variables.push((name.clone(), text));
    }
    Ok(variables)
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
