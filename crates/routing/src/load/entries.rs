//! `[[number]]`, and what it shares with `[[trunk]]`.

use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;

use super::attributes::metadata;
use super::reader::{Entry, Placed, Reader};
use super::{closest, slot};
use crate::problem::Report;
use crate::{CallLimits, DestinationPattern, E164, Number, NumberPattern, RouteTable, Trunk};

pub(super) fn number(entry: Entry<'_>, report: &mut Report<'_>, table: &RouteTable) -> Option<Number> {
    let mut reader = Reader::of_entry(&entry, report);
    let number = reader.required("number");
    let name = reader.string("name").map(|(text, _)| text).unwrap_or_default();
    let trunk = reader.string("trunk");
    let slots = [reader.string("inbound"), reader.string("outbound"), reader.string("sms")];
    let active = reader.boolean("active").unwrap_or(true);
    let noise_suppression = reader.boolean("noise_suppression").unwrap_or(false);
    let limits = limits(&mut reader);
    let allowed_destinations = destinations(&mut reader);
    let trunk = trunk.and_then(|(name, span)| bound_trunk(table, &name, &span, reader.report));
    let metadata = metadata(&mut reader, trunk.as_deref());
    reader.finish(&[]);
    warn_of_closed_way(trunk.as_deref(), slots[0].as_ref(), report);
    let [inbound, outbound, sms] = slots;
    let mut named = |slot_name: Option<(String, Range<usize>)>, voice| {
        slot_name.and_then(|(name, span)| slot(table, &name, &span, voice, report))
    };
    let (inbound, outbound, sms) = (named(inbound, true), named(outbound, true), named(sms, false));
    let (text, span) = number?;
    let Some(number) = E164::parse(&text) else {
        report.error(&span, format!("{text:?} is no E.164 number; write a plus sign, the country code and the number, like \"+14155550100\""));
        return None;
    };
    Some(Number {
        number,
        name,
        trunk,
        inbound,
        outbound,
        sms,
        active,
        noise_suppression,
        limits,
        allowed_destinations,
        metadata,
    })
}

fn bound_trunk(
    table: &RouteTable,
    name: &str,
    span: &Range<usize>,
    report: &mut Report<'_>,
) -> Option<Arc<Trunk>> {
    let found = table.trunks.iter().find(|trunk| trunk.name == name);
    if found.is_none() && report.complete {
        let names: Vec<String> = table.trunks.iter().map(|trunk| trunk.name.clone()).collect();
        report.error(span, format!("unknown trunk {name:?}{}", closest(name, names.iter())));
    }
    found.map(Arc::clone)
}

/// An inbound slot never hears a call where the number's only trunk takes none.
fn warn_of_closed_way(trunk: Option<&Trunk>, inbound: Option<&Placed>, report: &mut Report<'_>) {
    if let (Some(trunk), Some((agent, span))) = (trunk, inbound)
        && !trunk.takes_calls()
    {
        report.warning(span, format!(
            "the number's trunk {:?} is outbound only, so nobody calls {agent:?}; write outbound = {agent:?}, or direction = \"both\" on the trunk",
            trunk.name,
        ));
    }
}

pub(super) fn limits(reader: &mut Reader<'_, '_, '_>) -> CallLimits {
    CallLimits {
        hide_phone_number: reader.boolean("hide_phone_number"),
        ringing_timeout: reader.seconds("ringing_timeout_seconds", 1..=300),
        max_call_duration: reader.seconds("max_call_duration_seconds", 60..=86_400),
    }
}

pub(crate) fn networks(reader: &mut Reader<'_, '_, '_>, key: &'static str) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (text, span) in reader.strings(key).unwrap_or_default() {
        match text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)) {
            Ok(network) => networks.push(network),
            Err(_) => reader.report.error(&span, format!(
                "{text:?} is no address; write an IP like \"192.0.2.7\" or a network like \"54.172.60.0/30\"",
            )),
        }
    }
    networks
}

pub(super) fn patterns(reader: &mut Reader<'_, '_, '_>, key: &'static str) -> Vec<NumberPattern> {
    let mut patterns = Vec::new();
    for (text, span) in reader.strings(key).unwrap_or_default() {
        match NumberPattern::parse(&text) {
            Some(pattern) => patterns.push(pattern),
            None => reader.report.error(
                &span,
                format!("{text:?} is no number; write \"+14155550100\" or a prefix like \"+1415*\"",),
            ),
        }
    }
    patterns
}

/// Whom a number's calls may be transferred to.
fn destinations(reader: &mut Reader<'_, '_, '_>) -> Vec<DestinationPattern> {
    let mut patterns = Vec::new();
    for (text, span) in reader.strings("allowed_destinations").unwrap_or_default() {
        match DestinationPattern::parse(&text) {
            Some(pattern) => patterns.push(pattern),
            None => reader.report.error(&span, format!(
                "{text:?} is no destination; write \"+14155550100\", a prefix like \"+1415*\" or \"sip:*@example.com\"",
            )),
        }
    }
    patterns
}
