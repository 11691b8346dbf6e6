//! `[[agent]]` and `[[number]]`, and what they share with `[[trunk]]`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::attributes::metadata;
use super::reader::{Entry, Placed, Reader};
use super::{closest, slot};
use crate::problem::Report;
use crate::table::Builtin;
use crate::{
    Agent, AgentUrl, CallLimits, Connect, E164, Mode, Number, NumberPattern, Protocol, RouteTable, Trunk,
};

/// How long one agent address may take where the agent does not say: 5 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Samples a second of linear audio where the agent does not say.
const SAMPLE_RATE: u32 = 8000;

pub(super) fn agent(entry: Entry<'_>, report: &mut Report<'_>) -> Option<Agent> {
    let mut reader = Reader::of_entry(&entry, report);
    let name = reader.required("name");
    let mode = reader
        .choice("mode", &[("realtime", Mode::Realtime), ("pipeline", Mode::Pipeline), ("text", Mode::Text)]);
    let addresses = reader.strings("connect");
    let protocol = protocol(&mut reader);
    let events = reader.boolean("events").unwrap_or(false);
    let reconnect = reader.seconds("reconnect_seconds", 0..=300).unwrap_or_default();
    let connect_timeout = reader.seconds("connect_timeout_seconds", 1..=60).unwrap_or(CONNECT_TIMEOUT);
    let secret = reader.secret("secret");
    reader.finish(&[]);
    let connect = connect(addresses, &entry.span, report)?;
    let name = name?.0;
    if matches!(connect, Connect::Urls(_)) && protocol.is_none() {
        let what = "needs protocol = \"twilio\" or \"l16\"";
        report.error(&entry.span, format!("agent {name:?} {what}"));
    }
    if connect == Connect::DialIn && secret.is_none() {
        report.error(&entry.span, format!("agent {name:?} dials in; give it a secret = \"…\" to show"));
    }
    Some(Agent {
        name,
        mode: mode.unwrap_or(Mode::Realtime),
        connect,
        protocol: protocol.unwrap_or_default(),
        events,
        reconnect,
        connect_timeout,
        secret,
    })
}

/// What the agent's socket speaks, where it says so.
fn protocol(reader: &mut Reader<'_, '_, '_>) -> Option<Protocol> {
    let rate = reader.integer("sample_rate", 8000..=24_000);
    let fits = rate.is_none_or(|rate| matches!(rate, 8000 | 16_000 | 24_000));
    let rate = rate.and_then(|rate| u32::try_from(rate).ok());
    let l16 = Protocol::L16 { rate: rate.unwrap_or(SAMPLE_RATE) };
    let protocol = reader.choice("protocol", &[("twilio", Protocol::Twilio), ("l16", l16)]);
    let span = reader.span();
    if !fits {
        reader.report.error(&span, "sample_rate is 8000, 16000 or 24000");
    } else if rate.is_some() && protocol != Some(l16) {
        reader.report.error(&span, "sample_rate goes with protocol = \"l16\"; Twilio's is always 8000");
    }
    protocol
}

pub(super) fn number(entry: Entry<'_>, report: &mut Report<'_>, table: &RouteTable) -> Option<Number> {
    let mut reader = Reader::of_entry(&entry, report);
    let number = reader.required("number");
    let name = reader.string("name").map(|(text, _)| text).unwrap_or_default();
    let trunk = reader.string("trunk");
    let slots = [reader.string("inbound"), reader.string("outbound"), reader.string("sms")];
    let active = reader.boolean("active").unwrap_or(true);
    let limits = limits(&mut reader);
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
    Some(Number { number, name, trunk, inbound, outbound, sms, active, limits, metadata })
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

fn connect(
    addresses: Option<Vec<(String, Range<usize>)>>,
    entry: &Range<usize>,
    report: &mut Report<'_>,
) -> Option<Connect> {
    let addresses = addresses.filter(|list| !list.is_empty());
    let Some(addresses) = addresses else {
        report
            .error(entry, "connect is missing; write connect = \"ws://…\", \"builtin:echo\" or \"dial-in\"");
        return None;
    };
    let (first, span) = &addresses[0];
    if addresses.len() == 1 {
        if first == "dial-in" {
            return Some(Connect::DialIn);
        }
        if let Some(name) = first.strip_prefix("builtin:") {
            return builtin(name, span, report).map(Connect::Builtin);
        }
    }
    let alone = addresses.len() == 1;
    let mut urls = Vec::new();
    for (url, span) in &addresses {
        if url.starts_with("ws://") || url.starts_with("wss://") {
            urls.push(AgentUrl::new(url.clone()));
        } else {
            let write = match alone {
                true => "write ws://…, wss://…, builtin:… or dial-in",
                false => "a list takes only ws://… and wss://…",
            };
            report.error(span, format!("{url:?} is no agent address; {write}"));
        }
    }
    (!urls.is_empty()).then_some(Connect::Urls(urls))
}

fn builtin(name: &str, span: &Range<usize>, report: &mut Report<'_>) -> Option<Builtin> {
    match name {
        "echo" => Some(Builtin::Echo),
        "tone" => Some(Builtin::Tone),
        "silence" => Some(Builtin::Silence),
        other => match other.strip_prefix("announce?file=") {
            Some(file) if !file.is_empty() => {
                let place = report.place(span);
                report.sounds.push((file.to_owned(), place));
                Some(Builtin::Announce(file.to_owned()))
            }
            _ => {
                report.error(span, format!(
                    "{name:?} is no built-in agent; write builtin:echo, builtin:tone, builtin:silence or builtin:announce?file=…",
                ));
                None
            }
        },
    }
}
