//! The decision for one incoming call, and the steps that led to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline_sip::headers::diversions;
use trunkline_sip::{HeaderName, Request};

use crate::caller::{is_special, verification};
use crate::{Agent, Called, Caller, E164, Mode, Number, RouteTable, Trunk, called_number};

/// How long an agent may take where neither number nor trunk says: 30 s.
const RINGING_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call may last where neither number nor trunk says: an hour.
const MAX_CALL_DURATION: Duration = Duration::from_secs(3600);

/// A call as it comes in.
#[derive(Debug, Clone, Copy)]
pub struct InboundCall<'a> {
    /// The peer's address.
    pub source: IpAddr,
    /// Names in its verified client certificate.
    pub names: &'a [String],
    /// The INVITE.
    pub request: &'a Request,
}

/// Where a call goes. The call keeps these entries, whatever the table becomes.
#[derive(Debug, Clone)]
pub struct Route {
    /// The number called.
    pub number: Arc<Number>,
    /// The trunk it came by.
    pub trunk: Arc<Trunk>,
    /// Who answers.
    pub agent: Arc<Agent>,
    /// Who calls.
    pub caller: Caller,
    /// Attributes for the agent: mapped headers, display name, diversion, verification.
    pub attributes: Vec<(String, String)>,
    /// The caller is masked for the agent.
    pub hide_phone_number: bool,
    /// Longest wait for the agent.
    pub ringing_timeout: Duration,
    /// Longest call.
    pub max_call_duration: Duration,
}

impl Route {
    /// The number called.
    #[must_use]
    pub fn called(&self) -> E164 {
        self.number.number
    }

    /// Whether media may be exchanged with an address from the peer's description: any ordinary
    /// one, and a special one only where it is the peer's own or the trunk names it.
    #[must_use]
    pub fn media_address_is_fine(&self, address: IpAddr) -> bool {
        !is_special(address) || self.trunk.covers_media(address)
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
        /// Why, for the log.
        reason: String,
    },
    /// No trunk claims the source.
    Stranger,
}

/// The steps of a decision, in words.
pub type Steps = Vec<String>;

/// Decides. `steps` collects the explanation where one is wanted.
#[must_use]
pub fn decide(table: &RouteTable, call: &InboundCall<'_>, steps: &mut Option<Steps>) -> Decision {
    let mut note = |text: String| {
        if let Some(steps) = steps {
            steps.push(text);
        }
    };
    let claiming = claiming_trunks(table, call);
    if claiming.is_empty() {
        note(format!("no inbound trunk holds {}: the peer is unknown", call.source));
        return Decision::Stranger;
    }
    note(format!("trunks that hold {}: {}", call.source, names(&claiming)));
    // The called number is read in each trunk's national format until one names a number of ours.
    let found = claiming.iter().find_map(|(trunk, _)| {
        match called_number(call.request, trunk.destination_country.as_deref()) {
            Called::Number(number) => table.numbers.get(&number).cloned(),
            Called::Short(_) | Called::Other(_) => None,
        }
    });
    let Some(number) = found else {
        let first = claiming[0].0.destination_country.as_deref();
        let reason = match called_number(call.request, first) {
            Called::Number(number) => format!("{number} is not in the tables"),
            Called::Short(code) => {
                format!("{code} is an emergency number or a short code, never routed")
            }
            Called::Other(text) => format!("{text:?} is no telephone number"),
        };
        note(format!("{reason}: 404"));
        return Decision::Refuse { code: 404, reason };
    };
    note(format!("called number {} ({})", number.number, number.name));
    let Some(trunk) = choose_trunk(&claiming, &number, call) else {
        let bound = number.trunk.as_ref().map_or("", |trunk| &trunk.name);
        let reason = format!("{} is reached by trunk {bound} only", number.number);
        note(format!("{reason}: 404"));
        return Decision::Refuse { code: 404, reason };
    };
    note(format!("trunk {}", trunk.name));
    finish(table, call, number, trunk, &mut note)
}

fn finish(
    table: &RouteTable,
    call: &InboundCall<'_>,
    number: Arc<Number>,
    trunk: Arc<Trunk>,
    note: &mut impl FnMut(String),
) -> Decision {
    let (caller, display) = Caller::of(call.request, trunk.destination_country.as_deref());
    if !caller_is_allowed(&trunk, &caller) {
        let reason = format!("the caller is not among allowed_numbers of trunk {}", trunk.name);
        note(format!("{reason}: 403"));
        return Decision::Refuse { code: 403, reason };
    }
    if !number.active {
        let reason = format!("{} is not active", number.number);
        note(format!("{reason}: 486"));
        return Decision::Refuse { code: 486, reason };
    }
    let agent = number.inbound.clone().or_else(|| table.default_agent.clone());
    let Some(agent) = agent.filter(|agent| agent.mode != Mode::Text) else {
        note(format!("{} has no inbound agent: announcement, then 480", number.number));
        return Decision::NotInService { number, trunk };
    };
    note(format!("agent {}", agent.name));
    let (n, t) = (number.limits, trunk.limits);
    Decision::Route(Box::new(Route {
        attributes: attributes(call.request, &trunk, &caller, display),
        caller,
        agent,
        hide_phone_number: n.hide_phone_number.or(t.hide_phone_number).unwrap_or(false),
        ringing_timeout: n.ringing_timeout.or(t.ringing_timeout).unwrap_or(RINGING_TIMEOUT),
        max_call_duration: n.max_call_duration.or(t.max_call_duration).unwrap_or(MAX_CALL_DURATION),
        number,
        trunk,
    }))
}

/// The inbound trunks that hold the source address or a name of its certificate, with the length
/// of the prefix that holds it; a certificate's name is as close as a single address.
fn claiming_trunks<'a>(table: &'a RouteTable, call: &InboundCall<'_>) -> Vec<(&'a Arc<Trunk>, u8)> {
    let inbound = table.trunks.iter().filter(|trunk| trunk.takes_calls());
    let claims = inbound.filter_map(|trunk| {
        let named = trunk
            .address
            .as_ref()
            .is_some_and(|address| call.names.iter().any(|name| name.eq_ignore_ascii_case(address)));
        let length = if named { Some(u8::MAX) } else { trunk.claims(call.source) };
        length.map(|length| (trunk, length))
    });
    claims.collect()
}

/// Among several: the number's own trunk, then the Request-URI's host, then the longest prefix, then
/// the first in the files.
fn choose_trunk(
    claiming: &[(&Arc<Trunk>, u8)],
    number: &Number,
    call: &InboundCall<'_>,
) -> Option<Arc<Trunk>> {
    if let Some(bound) = &number.trunk {
        let held = claiming.iter().find(|(trunk, _)| trunk.name == bound.name);
        return held.map(|(trunk, _)| Arc::clone(trunk));
    }
    let host = call.request.uri().ok().and_then(|uri| uri.host().map(trunkline_sip::format_host));
    let by_host = claiming.iter().find(|(trunk, _)| trunk.address.is_some() && trunk.address == host);
    let longest = claiming.iter().map(|(_, length)| *length).max()?;
    let by_prefix = claiming.iter().find(|(_, length)| *length == longest);
    by_host.or(by_prefix).map(|(trunk, _)| Arc::clone(trunk))
}

fn caller_is_allowed(trunk: &Trunk, caller: &Caller) -> bool {
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
    put("verification", verification(request));
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

fn names(trunks: &[(&Arc<Trunk>, u8)]) -> String {
    trunks.iter().map(|(trunk, _)| trunk.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
