//! The decision for a call that we place: whose number is shown, by which trunk, with which agent,
//! and whether that destination may be dialled at all.

use std::sync::Arc;

use trunkline_sip::{Hop, Uri};

use crate::caller::{national, number_of};
use crate::decide::{MAX_CALL_DURATION, RINGING_TIMEOUT};
use crate::e164::{MIN_DIGITS, digits};
use crate::{
    Agent, Called, Caller, Destination, E164, Mode, Number, Pii, Route, RouteTable, Trunk, hides, mask,
};

/// Digits behind the country code that a pattern must have to name a premium range.
const NAMES_PREMIUM: usize = 2;

/// Longest name or value of a field that is set.
const MAX_FIELD: usize = 1024;

/// A call that somebody wants placed.
#[derive(Clone, Copy)]
pub struct OutboundCall<'a> {
    /// Whom to call.
    pub to: &'a str,
    /// Our number that is shown.
    pub from: &'a str,
    /// Who talks; the number's outbound slot where absent.
    pub agent: Option<&'a str>,
    /// Which trunk; the number's where absent.
    pub trunk: Option<&'a str>,
}

impl std::fmt::Debug for OutboundCall<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { to, from, agent, trunk } = self;
        let mut told = f.debug_struct("OutboundCall");
        told.field("to", &mask(to)).field("from", &mask(from)).field("agent", agent).field("trunk", trunk);
        told.finish()
    }
}

/// Why a call is not placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundRefusal {
    /// The destination is no telephone number.
    #[error("{:?} is no E.164 number; write a plus sign, the country code and the number", .0.reveal())]
    BadNumber(Pii<String>),
    /// The destination is an emergency number or a short code that no trunk names.
    #[error(
        "{0} is an emergency number or a short code; these are never dialled but where short_codes of a trunk names them"
    )]
    ShortCode(String),
    /// The number to be shown is not ours.
    #[error("{:?} is no number of ours", .0.reveal())]
    UnknownFrom(Pii<String>),
    /// The number to be shown is switched off.
    #[error("{0} is not active")]
    Inactive(E164),
    /// Nobody would talk.
    #[error("{0} has no outbound agent and none was named")]
    NoAgent(E164),
    /// There is no such agent.
    #[error("{0:?} is no agent of the tables")]
    UnknownAgent(String),
    /// The agent cannot speak.
    #[error("{0:?} is a text agent and cannot take calls")]
    TextAgent(String),
    /// There is no such trunk, or it takes no calls out.
    #[error("{0:?} is no trunk that calls go out by")]
    UnknownTrunk(String),
    /// No trunk takes calls from that number.
    #[error("no trunk takes calls out from {0}")]
    NoTrunk(E164),
    /// The trunk's destinations do not hold that one.
    #[error("{to} is not among allowed_destinations of trunk {trunk}")]
    Denied {
        /// The destination.
        to: E164,
        /// The trunk.
        trunk: String,
    },
    /// The destination costs extra.
    #[error("{to} is a premium number; name its range in allowed_destinations of trunk {trunk} to allow it")]
    Premium {
        /// The destination.
        to: E164,
        /// The trunk.
        trunk: String,
    },
}

/// Whether operators and API users may put that field into an INVITE: fields of their own, and those
/// that carry an identity or a subject; never those that the protocol works by, nor a line break.
#[must_use]
pub fn may_be_set(name: &str, value: &str) -> bool {
    const FINE: [&str; 6] =
        ["subject", "priority", "user-to-user", "geolocation", "geolocation-routing", "accept-language"];
    let lower = name.to_ascii_lowercase();
    let known = lower.starts_with("x-") || FINE.contains(&lower.as_str());
    let printable = value.chars().all(|c| !c.is_control()) && value.len() <= MAX_FIELD;
    known && name.len() <= MAX_FIELD && trunkline_sip::text::is_token(name) && printable
}

/// Whether a text has the form of a number that may be meant, whatever country its trunk is in.
#[must_use]
pub fn is_dialable(text: &str) -> bool {
    digits(text.trim_start_matches('+')).is_some()
}

/// Decides.
///
/// # Errors
/// See [`OutboundRefusal`].
pub fn decide_outbound(table: &RouteTable, call: &OutboundCall<'_>) -> Result<Route, OutboundRefusal> {
    let short = short_code(call.to)?;
    let from = E164::parse(call.from).and_then(|from| table.numbers.get(&from));
    let number = from.ok_or_else(|| OutboundRefusal::UnknownFrom(Pii::new(call.from.to_owned())))?;
    if !number.active {
        return Err(OutboundRefusal::Inactive(number.number));
    }
    let agent = speaker(table, number, call.agent)?;
    let trunk = way_out(table, number, call.trunk, short.as_deref())?;
    let called = destination(call.to, short, &trunk)?;
    let (n, t) = (number.limits, trunk.limits);
    Ok(Route {
        agent,
        caller: Caller::Number(number.number),
        called,
        attributes: Pii::default(),
        hide_phone_number: hides(number, &trunk),
        ringing_timeout: n.ringing_timeout.or(t.ringing_timeout).unwrap_or(RINGING_TIMEOUT),
        max_call_duration: n.max_call_duration.or(t.max_call_duration).unwrap_or(MAX_CALL_DURATION),
        number: Arc::clone(number),
        trunk,
    })
}

/// The short code that is dialled, where it is one.
fn short_code(text: &str) -> Result<Option<String>, OutboundRefusal> {
    let plain = digits(text.trim_start_matches('+'));
    let plain = plain.ok_or_else(|| OutboundRefusal::BadNumber(Pii::new(text.to_owned())))?;
    // Nobody means +911: a plus sign with so few digits is a slip.
    match plain.len() < MIN_DIGITS {
        true if text.contains('+') => Err(OutboundRefusal::ShortCode(plain)),
        short => Ok(short.then_some(plain)),
    }
}

/// What is dialled over that trunk, which may know a country whose national numbers are meant.
fn destination(text: &str, short: Option<String>, trunk: &Trunk) -> Result<Destination, OutboundRefusal> {
    if let Some(code) = short {
        let named = trunk.short_codes.contains(&code);
        return if named { Ok(Destination::Short(code)) } else { Err(OutboundRefusal::ShortCode(code)) };
    }
    let country = trunk.destination_country.as_deref();
    let number = E164::parse(text).or_else(|| national(country, &digits(text)?));
    let number = number.ok_or_else(|| OutboundRefusal::BadNumber(Pii::new(text.to_owned())))?;
    may_dial(trunk, number)?;
    Ok(Destination::Number(number))
}

fn speaker(table: &RouteTable, number: &Number, named: Option<&str>) -> Result<Arc<Agent>, OutboundRefusal> {
    let agent = match named {
        Some(name) => table.agents.get(name).ok_or_else(|| OutboundRefusal::UnknownAgent(name.to_owned()))?,
        None => number.outbound_agent().ok_or(OutboundRefusal::NoAgent(number.number))?,
    };
    match agent.mode {
        Mode::Text => Err(OutboundRefusal::TextAgent(agent.name.clone())),
        Mode::Realtime | Mode::Pipeline => Ok(Arc::clone(agent)),
    }
}

/// The named trunk, else the number's own, else the first that takes it; for a short code among those
/// that name it, where one does.
pub(crate) fn way_out(
    table: &RouteTable,
    number: &Number,
    named: Option<&str>,
    short: Option<&str>,
) -> Result<Arc<Trunk>, OutboundRefusal> {
    let takes = |trunk: &&Arc<Trunk>| trunk.places_calls() && shows(trunk, number);
    if let Some(name) = named {
        let unknown = || OutboundRefusal::UnknownTrunk(name.to_owned());
        let trunk = table.trunks.iter().find(|trunk| trunk.name == name && trunk.places_calls());
        let trunk = trunk.ok_or_else(unknown)?;
        return if shows(trunk, number) {
            Ok(Arc::clone(trunk))
        } else {
            Err(OutboundRefusal::NoTrunk(number.number))
        };
    }
    let fits = |trunk: &&Arc<Trunk>| {
        takes(trunk) && short.is_none_or(|code| trunk.short_codes.iter().any(|known| known == code))
    };
    let of = |fits: &dyn Fn(&&Arc<Trunk>) -> bool| {
        number.trunk.as_ref().filter(fits).or_else(|| table.trunks.iter().find(fits))
    };
    let trunk = of(&fits).or_else(|| of(&takes));
    trunk.map(Arc::clone).ok_or(OutboundRefusal::NoTrunk(number.number))
}

/// Whether a trunk may show that number: one that it lists; where it lists none, one that is bound to
/// it or to no trunk.
pub(crate) fn shows(trunk: &Trunk, number: &Number) -> bool {
    if !trunk.outbound_numbers.is_empty() {
        return trunk.outbound_numbers.contains(&number.number);
    }
    number.trunk.as_ref().is_none_or(|bound| bound.name == trunk.name)
}

/// Whether a trunk may be asked for that number.
///
/// # Errors
/// [`OutboundRefusal::Denied`] or [`OutboundRefusal::Premium`].
pub fn may_dial(trunk: &Trunk, to: E164) -> Result<(), OutboundRefusal> {
    let allowed = &trunk.allowed_destinations;
    let denied = || (to, trunk.name.clone());
    if !allowed.is_empty() && !allowed.iter().any(|pattern| pattern.matches(to)) {
        let (to, trunk) = denied();
        return Err(OutboundRefusal::Denied { to, trunk });
    }
    let Some(country_digits) = premium(to) else { return Ok(()) };
    let names = |length: usize| length >= country_digits + NAMES_PREMIUM;
    if allowed.iter().any(|pattern| pattern.matches(to) && names(pattern.length())) {
        return Ok(());
    }
    let (to, trunk) = denied();
    Err(OutboundRefusal::Premium { to, trunk })
}

/// Whether a call over a trunk may follow a redirection to that place: one on a host of the trunk, and
/// no number that the trunk may not be asked for.
#[must_use]
pub fn may_follow(trunk: &Trunk, to: &Uri) -> bool {
    let named = |hop: Hop| trunk.addresses.iter().any(|address| address.hop.host == hop.host);
    if !(trunk.follow_redirects && Hop::of(to).is_some_and(named)) {
        return false;
    }
    match number_of(to, trunk.destination_country.as_deref()) {
        Called::Number(number) => may_dial(trunk, number).is_ok(),
        Called::Short(code) => trunk.short_codes.contains(&code),
        // A name; the trunk knows whom it means.
        Called::Other(_) => true,
    }
}

/// The length of the country code of a number that costs its caller extra.
fn premium(number: E164) -> Option<usize> {
    let parsed = phonenumber::parse(None, number.to_string()).ok()?;
    let kind = parsed.number_type(&phonenumber::metadata::DATABASE);
    let costly = matches!(kind, phonenumber::Type::PremiumRate | phonenumber::Type::SharedCost);
    costly.then(|| parsed.country().code().to_string().len())
}

/// Reads the world's numbering plans, which takes tens of milliseconds and which the first number that is looked at
/// closely waits for otherwise.
pub fn read_numbering_plans() {
    // Any question does.
    let _ = phonenumber::metadata::DATABASE.by_id("US");
}

#[cfg(test)]
mod tests;
