//! The decision for a transfer: whether a call may be put through there at all, how the carrier is told
//! of it, and by which way we would call there ourselves.

use std::fmt;
use std::sync::Arc;

use trunkline_sip::{Scheme, Uri, format_host};

use crate::caller::{national, number_of};
use crate::decide::{MAX_CALL_DURATION, RINGING_TIMEOUT};
use crate::e164::digits;
use crate::outbound::{shows, way_out};
use crate::{
    Called, Caller, Destination, E164, Number, NumberPattern, OutboundRefusal, Pii, Route, RouteTable, Trunk,
    hides, may_dial,
};

/// Longest target that is looked at.
const MAX_TARGET: usize = 256;

/// How a trunk wants the target of a transfer written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReferForm {
    /// `tel:+14155550100`.
    Tel,
    /// `sip:+14155550100@` and the trunk's own host.
    #[default]
    AtTrunk,
    /// As whoever asks has written it.
    AsGiven,
}

/// A place that calls of a number may be transferred to: `+1415*`, `sip:*@example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationPattern {
    /// Numbers.
    Number(NumberPattern),
    /// SIP addresses: user and host, in which `*` stands for anything.
    Sip {
        /// User.
        user: String,
        /// Host.
        host: String,
    },
}

impl DestinationPattern {
    /// Reads a pattern.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sip = text.strip_prefix("sip:").or_else(|| text.strip_prefix("sips:"));
        let Some(address) = sip else {
            return NumberPattern::parse(text.strip_prefix("tel:").unwrap_or(text)).map(Self::Number);
        };
        let (user, host) = address.split_once('@')?;
        let legal = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "<>@;?".contains(c))
        };
        (legal(user) && legal(host)).then(|| Self::Sip { user: user.to_owned(), host: host.to_lowercase() })
    }

    fn matches(&self, target: &Target) -> bool {
        match (self, target) {
            (Self::Number(pattern), Target::Number { number, .. }) => pattern.matches(*number),
            (Self::Sip { user, host }, Target::Sip(uri)) => {
                let of = uri.host().map(format_host).unwrap_or_default().to_lowercase();
                glob(user, &uri.user().unwrap_or_default()) && glob(host, &of)
            }
            (Self::Number(_), Target::Sip(_)) | (Self::Sip { .. }, Target::Number { .. }) => false,
        }
    }
}

impl fmt::Display for DestinationPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(pattern) => pattern.fmt(f),
            Self::Sip { user, host } => write!(f, "sip:{user}@{host}"),
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// Whom a call is to be put through to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Number { number: E164, given: String },
    Sip(Uri),
}

impl Target {
    fn parse(text: &str, trunk: &Trunk) -> Option<Self> {
        let odd = |c: char| c.is_control() || c.is_whitespace() || "<>\"\\,".contains(c);
        let country = trunk.destination_country.as_deref();
        if text.len() > MAX_TARGET {
            return None;
        }
        if !text.contains(':') {
            let number = E164::parse(text).or_else(|| national(country, &digits(text)?))?;
            return Some(Self::Number { number, given: format!("tel:{number}") });
        }
        let uri = Uri::parse(text).ok().filter(|_| !text.contains(odd))?;
        match uri.scheme() {
            Scheme::Tel => match number_of(&uri, country) {
                Called::Number(number) => Some(Self::Number { number, given: text.to_owned() }),
                Called::Short(_) | Called::Other(_) => None,
            },
            // What would send the request elsewhere than the address says, or put fields into it.
            Scheme::Sip | Scheme::Sips => {
                let diverts = uri.params().has("maddr") || uri.params().has("method");
                let host = uri.host().filter(|_| uri.headers().next().is_none() && !diverts)?;
                // A number at the trunk's own host is that number.
                match number_of(&uri, country) {
                    Called::Number(number) if trunk.has_host(&format_host(host)) => {
                        Some(Self::Number { number, given: text.to_owned() })
                    }
                    Called::Number(_) | Called::Short(_) | Called::Other(_) => Some(Self::Sip(uri)),
                }
            }
            Scheme::Other(_) => None,
        }
    }
}

/// Why a transfer is not tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefusal {
    /// The target is neither a number nor an address.
    #[error("{0:?} is no number, tel: or sip: address that a call can be transferred to")]
    BadTarget(String),
    /// The number has no such destination.
    #[error("{to} is not among allowed_destinations of number {number}")]
    NotAllowed {
        /// The target.
        to: String,
        /// The number whose call it is.
        number: E164,
    },
    /// No trunk has the target's host.
    #[error("no trunk that calls go out by has the host of {0}")]
    NoTrunk(String),
    /// It may not be called.
    #[error(transparent)]
    Outbound(#[from] OutboundRefusal),
}

/// A transfer that may be tried.
#[derive(Debug, Clone)]
pub struct TransferRoute {
    /// The target as records show it.
    pub to: String,
    /// Refer-To, in the form that the call's trunk wants.
    pub refer_to: String,
    /// How we would call there ourselves, or why we may not.
    pub bridge: Result<Box<Route>, TransferRefusal>,
}

/// Decides about a transfer of the call that has this route, by the tables as they are now. `peer` is the
/// host of who would be asked, for a trunk without an address.
///
/// # Errors
/// See [`TransferRefusal`].
pub fn decide_transfer(
    table: &RouteTable,
    route: &Route,
    peer: &str,
    to: &str,
) -> Result<TransferRoute, TransferRefusal> {
    let bad = || TransferRefusal::BadTarget(to.chars().take(MAX_TARGET).collect());
    let target = Target::parse(to, &route.trunk).ok_or_else(bad)?;
    let our_number = route.number.number;
    let denied = || TransferRefusal::NotAllowed { to: to.to_owned(), number: our_number };
    let number = table.numbers.get(&our_number).ok_or_else(denied)?;
    if !number.allowed_destinations.iter().any(|pattern| pattern.matches(&target)) {
        return Err(denied());
    }
    let host = route.trunk.address_host().unwrap_or_else(|| peer.to_owned());
    let (shown, refer_to) = match &target {
        Target::Number { number, given } => {
            // The carrier bills the same whoever of the two calls.
            may_dial(&route.trunk, *number)?;
            let form = match route.trunk.refer {
                ReferForm::Tel => format!("<tel:{number}>"),
                ReferForm::AtTrunk => format!("<sip:{number}@{host}>"),
                ReferForm::AsGiven => format!("<{given}>"),
            };
            (number.to_string(), form)
        }
        Target::Sip(uri) => {
            sip_guard(&route.trunk, uri)?;
            (uri.to_string(), format!("<{uri}>"))
        }
    };
    Ok(TransferRoute { to: shown, refer_to, bridge: bridge(table, route, number, &target).map(Box::new) })
}

/// The route of a second leg of ours.
fn bridge(
    table: &RouteTable,
    route: &Route,
    number: &Arc<Number>,
    target: &Target,
) -> Result<Route, TransferRefusal> {
    let (trunk, called) = match target {
        Target::Number { number: to, .. } => {
            let trunk = way_out(table, number, None, None)?;
            may_dial(&trunk, *to)?;
            (trunk, Destination::Number(*to))
        }
        Target::Sip(uri) => {
            let host = uri.host().map(format_host).unwrap_or_default();
            let fits =
                |trunk: &&Arc<Trunk>| trunk.places_calls() && trunk.has_host(&host) && shows(trunk, number);
            let trunk = table.trunks.iter().find(fits);
            let trunk = trunk.ok_or_else(|| TransferRefusal::NoTrunk(uri.to_string()))?;
            sip_guard(trunk, uri)?;
            (Arc::clone(trunk), Destination::Address(uri.to_string()))
        }
    };
    let (n, t) = (number.limits, trunk.limits);
    Ok(Route {
        agent: Arc::clone(&route.agent),
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

/// A number behind a SIP address at the trunk is guarded as the number itself.
fn sip_guard(trunk: &Trunk, uri: &Uri) -> Result<(), TransferRefusal> {
    let at_trunk = uri.host().is_some_and(|host| trunk.has_host(&format_host(host)));
    if !at_trunk {
        return Ok(());
    }
    match number_of(uri, trunk.destination_country.as_deref()) {
        Called::Number(number) => Ok(may_dial(trunk, number)?),
        Called::Short(code) if trunk.short_codes.contains(&code) => Ok(()),
        Called::Short(code) => Err(OutboundRefusal::ShortCode(code).into()),
        Called::Other(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
