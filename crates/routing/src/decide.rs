//! The decision for one incoming call, and the steps that led to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline_sip::headers::diversions;
use trunkline_sip::{HeaderName, Request};

use crate::caller::{is_special, verification};
use crate::candidates::{Candidate, candidates, choose, list};
use crate::{
    Agent, CallLimits, Called, Caller, Destination, Mode, Number, Pii, RouteTable, Trunk, called_number,
};

/// How long an agent may take where neither number nor trunk says: 30 s.
pub(crate) const RINGING_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call may last where neither number nor trunk says: an hour.
pub(crate) const MAX_CALL_DURATION: Duration = Duration::from_secs(3600);

/// A call as it comes in.
#[derive(Debug, Clone, Copy)]
pub struct InboundCall<'a> {
    /// The peer's address.
    pub source: IpAddr,
    /// Names in its verified client certificate.
    pub names: &'a [String],
    /// The trunk that it has proved to belong to: by credentials, or by coming over the flow that the
    /// trunk is registered on.
    pub proved: Option<&'a str>,
    /// The INVITE.
    pub request: &'a Request,
}

/// Where a call goes. The call keeps these entries, whatever the table becomes.
#[derive(Debug, Clone)]
pub struct Route {
    /// The number of ours: the one called, or the one that calls.
    pub number: Arc<Number>,
    /// The trunk that carries the call.
    pub trunk: Arc<Trunk>,
    /// Who talks for us.
    pub agent: Arc<Agent>,
    /// Who calls.
    pub caller: Caller,
    /// Who is called.
    pub called: Destination,
    /// Attributes for the agent: mapped headers, display name, diversion, verification.
    pub attributes: Pii<Vec<(String, String)>>,
    /// The caller is masked for the agent.
    pub hide_phone_number: bool,
    /// Longest wait for the agent.
    pub ringing_timeout: Duration,
    /// Longest call.
    pub max_call_duration: Duration,
}

impl Route {
    /// Whether media may be exchanged with an address from the peer's description: any ordinary
    /// one, and a special one or one of `ours` only where the trunk names it.
    #[must_use]
    pub fn media_address_is_fine(&self, address: IpAddr, ours: bool) -> bool {
        let address = address.to_canonical();
        !(ours || is_special(address)) || self.trunk.covers_media(address)
    }
}

/// What becomes of a call.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It goes to an agent.
    Route(Box<Route>),
    /// The "not in service" announcement, then 480.
    NotInService {
        /// The number that has no agent.
        number: Arc<Number>,
        /// The trunk it came by.
        trunk: Arc<Trunk>,
    },
    /// It is refused.
    Refuse {
        /// SIP code.
        code: u16,
        /// Why, for the log; it may name numbers.
        reason: Pii<String>,
        /// The trunk that it came by, where one was chosen or only one holds the source.
        trunk: Option<Arc<Trunk>>,
    },
    /// No trunk claims the source.
    Stranger,
}

/// The steps of a decision, in words.
pub type Steps = Vec<String>;

/// Decides. `steps` collects the explanation where one is wanted.
#[must_use]
pub fn decide(table: &RouteTable, call: &InboundCall<'_>, steps: &mut Option<Steps>) -> Decision {
    let mut note = |text: &dyn Fn() -> String| {
        if let Some(steps) = steps {
            steps.push(text());
        }
    };
    let holding = candidates(table, call);
    if holding.is_empty() {
        note(&|| format!("no inbound trunk holds {}: the peer is unknown", call.source));
        return Decision::Stranger;
    }
    note(&|| format!("trunks that hold {}: {}", call.source, list(&holding)));
    // The called number is read in each trunk's national format until one names a number of ours.
    let found = holding.iter().find_map(|candidate| {
        match called_number(call.request, candidate.trunk.destination_country.as_deref()) {
            Called::Number(number) => table.numbers.get(&number).cloned(),
            Called::Short(_) | Called::Other(_) => None,
        }
    });
    let Some(number) = found else {
        let first = holding[0].trunk.destination_country.as_deref();
        let reason = match called_number(call.request, first) {
            Called::Number(number) => format!("{number} is not in the tables"),
            Called::Short(code) => {
                format!("{code} is an emergency number or a short code, never routed")
            }
            Called::Other(text) => format!("{text:?} is no telephone number"),
        };
        note(&|| format!("{reason}: 404"));
        return Decision::Refuse { code: 404, reason: Pii::new(reason), trunk: alone(&holding) };
    };
    note(&|| format!("called number {} ({})", number.number, number.name));
    let Some(trunk) = choose(&holding, &number, call, &mut note) else {
        let bound = number.trunk.as_ref().map_or("", |trunk| &trunk.name);
        let reason = format!("{} is reached by trunk {bound} only", number.number);
        note(&|| format!("{reason}: 404"));
        return Decision::Refuse { code: 404, reason: Pii::new(reason), trunk: alone(&holding) };
    };
    finish(table, call, number, trunk, &mut note)
}

fn finish(
    table: &RouteTable,
    call: &InboundCall<'_>,
    number: Arc<Number>,
    trunk: Arc<Trunk>,
    note: &mut impl FnMut(&dyn Fn() -> String),
) -> Decision {
    let (caller, display) = Caller::of(call.request, &trunk);
    if !caller_is_allowed(&trunk, &caller) {
        let reason = format!("the caller is not among allowed_numbers of trunk {}", trunk.name);
        note(&|| format!("{reason}: 403"));
        return Decision::Refuse { code: 403, reason: Pii::new(reason), trunk: Some(trunk) };
    }
    if !trunk.allowed_numbers.is_empty() {
        note(&|| format!("caller {caller} is among allowed_numbers of trunk {}", trunk.name));
    }
    if !number.active {
        let reason = format!("{} is not active", number.number);
        note(&|| format!("{reason}: 486"));
        return Decision::Refuse { code: 486, reason: Pii::new(reason), trunk: Some(trunk) };
    }
    let agent = number.inbound.clone().or_else(|| table.default_agent.clone());
    let Some(agent) = agent.filter(|agent| agent.mode != Mode::Text) else {
        note(&|| format!("{} has no inbound agent: announcement, then 480", number.number));
        return Decision::NotInService { number, trunk };
    };
    note(&|| match number.inbound {
        Some(_) => format!("agent {}: the number's inbound slot", agent.name),
        None => format!("agent {}: the default_agent, for the number has no inbound one", agent.name),
    });
    let (n, t) = (number.limits, trunk.limits);
    note(&|| limits_told(&n, &t));
    Decision::Route(Box::new(Route {
        attributes: Pii::new(attributes(call.request, &trunk, &caller, display)),
        caller,
        called: number.number.into(),
        agent,
        hide_phone_number: hides(&number, &trunk),
        ringing_timeout: n.ringing_timeout.or(t.ringing_timeout).unwrap_or(RINGING_TIMEOUT),
        max_call_duration: n.max_call_duration.or(t.max_call_duration).unwrap_or(MAX_CALL_DURATION),
        number,
        trunk,
    }))
}

/// Where the limits come from.
fn limits_told(number: &CallLimits, trunk: &CallLimits) -> String {
    let from = |number: bool, trunk: bool| match (number, trunk) {
        (true, _) => "the number's",
        (false, true) => "the trunk's",
        (false, false) => "the default",
    };
    let hides = from(number.hide_phone_number.is_some(), trunk.hide_phone_number.is_some());
    let rings = from(number.ringing_timeout.is_some(), trunk.ringing_timeout.is_some());
    let lasts = from(number.max_call_duration.is_some(), trunk.max_call_duration.is_some());
    format!("ringing_timeout is {rings}, max_call_duration {lasts}, hide_phone_number {hides}")
}

/// Whether the caller is masked: the number's word, else the trunk's.
#[must_use]
pub fn hides(number: &Number, trunk: &Trunk) -> bool {
    number.limits.hide_phone_number.or(trunk.limits.hide_phone_number).unwrap_or(false)
}

/// The trunk where only one holds the source.
fn alone(holding: &[Candidate<'_>]) -> Option<Arc<Trunk>> {
    match holding {
        [only] => Some(Arc::clone(only.trunk)),
        _ => None,
    }
}

pub(crate) fn caller_is_allowed(trunk: &Trunk, caller: &Caller) -> bool {
    trunk.allowed_numbers.is_empty()
        || matches!(caller, Caller::Number(number) if trunk.allowed_numbers.iter().any(|p| p.matches(*number)))
}

/// Longest attribute value handed on, in characters.
const MAX_ATTRIBUTE: usize = 1024;

fn attributes(
    request: &Request,
    trunk: &Trunk,
    caller: &Caller,
    display: Option<String>,
) -> Vec<(String, String)> {
    let mut attributes = Vec::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let clean = value.chars().filter(|c| !c.is_control()).take(MAX_ATTRIBUTE);
            attributes.push((name.to_owned(), clean.collect()));
        }
    };
    put("caller_name", display);
    let diverted = diversions(&request.headers).into_iter().next();
    put("diversion", diverted.map(|step| step.from.uri.user().unwrap_or_default()));
    put("verification", verification(request, trunk));
    let identity = request.headers.text(&HeaderName::Identity);
    // Its payload names the caller.
    let shown = *caller != Caller::Anonymous;
    put("identity", identity.filter(|_| shown).map(std::borrow::Cow::into_owned));
    for (header, attribute) in &trunk.headers_to_attributes {
        let value = request.headers.text(&HeaderName::from_token(header));
        put(attribute, value.map(std::borrow::Cow::into_owned));
    }
    attributes
}

#[cfg(test)]
mod tests;
