//! `[[agent]]`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use trunkline_sip::{Hop, Uri, format_host};

use super::reader::{Entry, Reader};
use crate::problem::Report;
use crate::{
    Agent, AgentUrl, Builtin, Connect, Mode, Protocol, RouteTable, RtpAddress, RtpFormat, SipPlace, Trunk,
};

/// How long one agent address may take where the agent does not say: 5 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Samples a second of linear audio where the agent does not say.
const SAMPLE_RATE: u32 = 8000;

pub(super) fn agent(entry: Entry<'_>, report: &mut Report<'_>, table: &RouteTable) -> Option<Agent> {
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
    let connect = connect(addresses, &entry.span, report, table)?;
    let name = name?.0;
    let is_rtp = matches!(protocol, Some(Protocol::Rtp(_)));
    let problem = match &connect {
        Connect::Builtin(_) => None,
        Connect::DialIn if secret.is_none() => Some("dials in; give it a secret = \"…\" to show"),
        Connect::Sip(_) if protocol.is_some() => Some("is a SIP endpoint; leave protocol out"),
        Connect::Sip(_) if events => Some("is a SIP endpoint, which has no events"),
        Connect::Sip(_) if !reconnect.is_zero() => Some("is a SIP endpoint, which has no socket to lose"),
        Connect::Sip(_) => None,
        Connect::Urls(_) | Connect::DialIn if is_rtp => {
            Some("speaks RTP; write connect = \"rtp://host:port\"")
        }
        Connect::Urls(_) if protocol.is_none() => Some("needs protocol = \"twilio\" or \"l16\""),
        Connect::Rtp(_) if !is_rtp => Some("is at an rtp:// address; write protocol = \"rtp\""),
        Connect::Rtp(_) if events => Some("speaks RTP, which has no events"),
        Connect::Rtp(_) if !reconnect.is_zero() => Some("speaks RTP, which has no connection to lose"),
        Connect::Urls(_) | Connect::DialIn | Connect::Rtp(_) => None,
    };
    if let Some(problem) = problem {
        report.error(&entry.span, format!("agent {name:?} {problem}"));
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

/// What the agent speaks, where it says so.
fn protocol(reader: &mut Reader<'_, '_, '_>) -> Option<Protocol> {
    let span = reader.span();
    let said = reader.integer("sample_rate", 8000..=24_000);
    if said.is_some_and(|rate| !matches!(rate, 8000 | 16_000 | 24_000)) {
        reader.report.error(&span, "sample_rate is 8000, 16000 or 24000");
        return None;
    }
    let rate = said.and_then(|rate| u32::try_from(rate).ok()).unwrap_or(SAMPLE_RATE);
    let formats = [("PCMU", RtpFormat::Pcmu), ("PCMA", RtpFormat::Pcma), ("L16", RtpFormat::L16 { rate })];
    let format = reader.choice("codec", &formats);
    let rtp = Protocol::Rtp(format.unwrap_or(RtpFormat::Pcmu));
    let words = [("twilio", Protocol::Twilio), ("l16", Protocol::L16 { rate }), ("rtp", rtp)];
    let protocol = reader.choice("protocol", &words);
    if format.is_some() && protocol != Some(rtp) {
        reader.report.error(&span, "codec goes with protocol = \"rtp\"");
    }
    let linear = matches!(protocol, Some(Protocol::L16 { .. } | Protocol::Rtp(RtpFormat::L16 { .. })));
    if said.is_some() && !linear {
        let goes =
            "sample_rate goes with protocol = \"l16\", or \"rtp\" with codec = \"L16\"; the others have 8000";
        reader.report.error(&span, goes);
    }
    protocol
}

fn connect(
    addresses: Option<Vec<(String, Range<usize>)>>,
    entry: &Range<usize>,
    report: &mut Report<'_>,
    table: &RouteTable,
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
        if first.starts_with("sip:") || first.starts_with("sips:") {
            return sip_place(first, span, report, table).map(|place| Connect::Sip(Box::new(place)));
        }
        if let Some(address) = first.strip_prefix("rtp://") {
            let address = rtp_address(address);
            if address.is_none() {
                report.error(span, format!("{first:?} is no RTP address; write rtp://host:port"));
            }
            return address.map(Connect::Rtp);
        }
    }
    let alone = addresses.len() == 1;
    let mut urls = Vec::new();
    for (url, span) in &addresses {
        if url.starts_with("ws://") || url.starts_with("wss://") {
            urls.push(AgentUrl::new(url.clone()));
        } else {
            let write = match alone {
                true => "write ws://…, wss://…, sip:…, rtp://…, builtin:… or dial-in",
                false => "a list takes only ws://… and wss://…",
            };
            report.error(span, format!("{url:?} is no agent address; {write}"));
        }
    }
    (!urls.is_empty()).then_some(Connect::Urls(urls))
}

/// The address of a SIP endpoint and the trunk that has its host.
fn sip_place(
    text: &str,
    span: &Range<usize>,
    report: &mut Report<'_>,
    table: &RouteTable,
) -> Option<SipPlace> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>\"\\,".contains(c);
    let uri = Uri::parse(text).ok().filter(|uri| !text.contains(odd) && uri.headers().next().is_none());
    let port = uri.as_ref().and_then(Uri::port);
    let host = uri.as_ref().and_then(Uri::host).map(format_host);
    let Some(host) = host else {
        report.error(span, format!("{text:?} is no SIP address; write sip:name@host"));
        return None;
    };
    let fits = |trunk: &&Arc<Trunk>| trunk.places_calls() && trunk.has_host(&host);
    // Of several trunks to one host, as those of one machine are, that of the port.
    let exact = |trunk: &&Arc<Trunk>| {
        let of_it = |hop: &Hop| hop.port == port && format_host(&hop.host).eq_ignore_ascii_case(&host);
        fits(trunk) && trunk.addresses.iter().any(|address| of_it(&address.hop))
    };
    let trunk = table.trunks.iter().find(exact).or_else(|| table.trunks.iter().find(fits));
    if trunk.is_none() && report.complete {
        let problem = format!(
            "no trunk that calls go out by has the host {host}; write a [[trunk]] with address = {host:?}"
        );
        report.error(span, problem);
    }
    Some(SipPlace { address: text.to_owned(), trunk: Arc::clone(trunk?) })
}

fn rtp_address(text: &str) -> Option<RtpAddress> {
    let (host, port) = text.trim_end_matches('/').rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let plain = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None => host.to_owned(),
    };
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    let is_name =
        !plain.is_empty() && plain.bytes().all(fine) && (plain.contains(':') == host.starts_with('['));
    is_name.then_some(RtpAddress { host: plain, port })
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
