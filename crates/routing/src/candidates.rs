//! The trunks that a call may have come by, and the one of them that it is taken to have come by:
//!
//! ```text
//! every inbound trunk ── holds the peer? ──▶ candidates
//! candidates ── the number's trunk ▸ the Request-URI's host ▸ the longest prefix ▸ the files' order ──▶ trunk
//! ```

use std::fmt;
use std::sync::Arc;

use crate::{Called, InboundCall, Number, RouteTable, Trunk, called_number};

/// How a trunk holds a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// By credentials, or by the flow that the trunk is registered on.
    Proof,
    /// By the name in a verified certificate.
    Certificate,
    /// By a network with a prefix of that length; 0 where the trunk takes anyone.
    Network(u8),
}

impl Hold {
    /// How closely: a proof and a certificate are as close as a single address.
    const fn length(self) -> u8 {
        match self {
            Self::Proof | Self::Certificate => u8::MAX,
            Self::Network(length) => length,
        }
    }
}

/// A trunk that holds the peer of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) trunk: &'a Arc<Trunk>,
    hold: Hold,
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.trunk.name)?;
        match self.hold {
            Hold::Proof => f.write_str(" (proved)"),
            Hold::Certificate => f.write_str(" (its certificate)"),
            Hold::Network(0) => f.write_str(" (takes anyone)"),
            Hold::Network(length) => write!(f, " (/{length})"),
        }
    }
}

/// The inbound trunks that hold a call's peer.
pub(crate) fn candidates<'a>(table: &'a RouteTable, call: &InboundCall<'_>) -> Vec<Candidate<'a>> {
    let inbound = table.trunks.iter().filter(|trunk| trunk.takes_calls());
    let holding = inbound.filter_map(|trunk| {
        let hold = match call.proved == Some(&*trunk.name) {
            true => Some(Hold::Proof),
            false if trunk.challenge => None,
            false if trunk.is_named(call.names) => Some(Hold::Certificate),
            false => trunk.claims(call.source).map(Hold::Network),
        };
        hold.map(|hold| Candidate { trunk, hold })
    });
    holding.collect()
}

/// The trunks one of whose credentials a caller must show before its call is decided: those that hold
/// its source, where no other does or the number is bound to one of them. Empty where none is needed.
#[must_use]
pub fn asks_for_proof<'a>(table: &'a RouteTable, call: &InboundCall<'_>) -> Vec<&'a Arc<Trunk>> {
    if call.proved.is_some() {
        return Vec::new();
    }
    let holds = |trunk: &Trunk| trunk.is_named(call.names) || trunk.claims(call.source).is_some();
    let asking = table.trunks.iter().filter(|trunk| trunk.takes_calls() && trunk.challenge && holds(trunk));
    let asking: Vec<_> = asking.collect();
    if asking.is_empty() || candidates(table, call).is_empty() {
        return asking;
    }
    let bound =
        asking.iter().any(|trunk| match called_number(call.request, trunk.destination_country.as_deref()) {
            Called::Number(number) => {
                let own = table.numbers.get(&number).and_then(|number| number.trunk.as_ref());
                own.is_some_and(|own| own.name == trunk.name)
            }
            Called::Short(_) | Called::Other(_) => false,
        });
    if bound { asking } else { Vec::new() }
}

/// One of the candidates, or none where the number is bound to another. `note` hears every rule that was
/// asked until one decided.
pub(crate) fn choose(
    all: &[Candidate<'_>],
    number: &Number,
    call: &InboundCall<'_>,
    note: &mut impl FnMut(&dyn Fn() -> String),
) -> Option<Arc<Trunk>> {
    let (trunk, why) = match (&number.trunk, all) {
        (Some(bound), _) => {
            let held = all.iter().find(|candidate| candidate.trunk.name == bound.name)?;
            (held.trunk, "the one that the number is bound to")
        }
        (None, [only]) => (only.trunk, "the only one that holds the source"),
        (None, _) => among_several(all, number, call, note)?,
    };
    note(&|| format!("trunk {}: {why}", trunk.name));
    Some(Arc::clone(trunk))
}

/// Of those that read the called number as ours was read: the one of the Request-URI's host, then the
/// longest prefix, then the first in the files.
fn among_several<'a>(
    all: &[Candidate<'a>],
    number: &Number,
    call: &InboundCall<'_>,
    note: &mut impl FnMut(&dyn Fn() -> String),
) -> Option<(&'a Arc<Trunk>, &'static str)> {
    note(&|| "by the number's trunk: undecided, it is bound to none".to_owned());
    let reads = |candidate: &&Candidate<'_>| {
        let called = called_number(call.request, candidate.trunk.destination_country.as_deref());
        called == Called::Number(number.number)
    };
    let reading: Vec<_> = all.iter().filter(reads).copied().collect();
    if reading.len() < all.len() {
        note(&|| format!("the called number is ours as these read it: {}", list(&reading)));
    }
    let host = call.request.uri().ok().and_then(|uri| uri.host().map(trunkline_sip::format_host));
    let host = host.unwrap_or_default();
    if let Some(named) = reading.iter().find(|candidate| candidate.trunk.has_host(&host)) {
        return Some((named.trunk, "the Request-URI names its host"));
    }
    note(&|| format!("by the Request-URI's host: undecided, {host} is an address of none"));
    let longest = reading.iter().map(|candidate| candidate.hold.length()).max()?;
    let mut closest = reading.iter().filter(|candidate| candidate.hold.length() == longest);
    let first = closest.next()?;
    Some(match closest.next() {
        None => (first.trunk, "no other names the source more closely"),
        Some(_) => (
            first.trunk,
            "no other names the source more closely, and of those that do so alike it is the first in the files",
        ),
    })
}

/// Candidates by name, with how each holds the peer.
pub(crate) fn list(candidates: &[Candidate<'_>]) -> String {
    candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
