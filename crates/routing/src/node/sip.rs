//! `[sip]` and `[sip.tls]`.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use trunkline_sip::Transport;

use super::{ListenAddress, SipSettings, TlsSettings, UnknownPeers, count, parsed};
use crate::load::{Entry, Reader, TextOrTable, networks};
use crate::problem::{Place, Report};

/// What holds where `[sip]` says nothing.
fn defaults(place: &Place) -> SipSettings {
    let listeners = ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"];
    SipSettings {
        listen: listeners.iter().filter_map(|text| listen(text, place.clone())).collect(),
        external_address: None,
        external_host: None,
        local_networks: Vec::new(),
        unknown_peers: UnknownPeers::Drop,
        max_calls: 5000,
        new_calls_per_second: 500,
        peer_messages_per_second: 20_000,
        stranger_messages_per_second: 20,
        accept_info: false,
        accept_message: false,
        name_servers: Vec::new(),
        timers: [Duration::from_millis(500), Duration::from_secs(4), Duration::from_secs(5)],
        tls: None,
    }
}

pub(super) fn read(entry: Option<&Entry<'_>>, report: &mut Report<'_>) -> SipSettings {
    let mut settings = defaults(&report.place(&entry.map_or(0..0, |entry| entry.span.clone())));
    let Some(entry) = entry else { return settings };
    let mut reader = Reader::of_entry(entry, report);
    if let Some(list) = reader.strings_or_tables("listen", "listeners") {
        settings.listen = listeners(list, &entry.span, &mut reader);
    }
    settings.external_address = parsed(&mut reader, "external_address", "an IP address");
    settings.external_host = reader.string("external_host").map(|(text, _)| text);
    settings.local_networks = networks(&mut reader, "local_networks");
    let unknown =
        reader.choice("unknown_peers", &[("drop", UnknownPeers::Drop), ("reject", UnknownPeers::Reject)]);
    settings.unknown_peers = unknown.unwrap_or(settings.unknown_peers);
    settings.max_calls = count(&mut reader, "max_calls", settings.max_calls);
    settings.new_calls_per_second = count(&mut reader, "new_calls_per_second", settings.new_calls_per_second);
    let (peer, stranger) = (settings.peer_messages_per_second, settings.stranger_messages_per_second);
    settings.peer_messages_per_second = count(&mut reader, "peer_messages_per_second", peer);
    settings.stranger_messages_per_second = count(&mut reader, "stranger_messages_per_second", stranger);
    settings.accept_info = reader.boolean("accept_info").unwrap_or(false);
    settings.accept_message = reader.boolean("accept_message").unwrap_or(false);
    settings.name_servers = name_servers(&mut reader);
    for (at, key) in ["t1_milliseconds", "t2_milliseconds", "t4_milliseconds"].into_iter().enumerate() {
        if let Some(value) = reader.integer(key, 10..=60_000) {
            settings.timers[at] = Duration::from_millis(value.unsigned_abs());
        }
    }
    let tls = reader.table("tls");
    let needs_tls = settings.listen.iter().any(|l| l.transport == Transport::Tls);
    if needs_tls && tls.is_none() {
        reader.report.error(&entry.span, "a tls: listener needs [sip.tls] with certificate and private_key");
    }
    reader.finish(&[]);
    settings.tls = tls.and_then(|entry| tls_settings(&entry, report));
    settings
}

/// Addresses, with a port where it is not 53.
fn name_servers(reader: &mut Reader<'_, '_, '_>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for (text, span) in reader.strings("name_servers").unwrap_or_default() {
        let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
        match address {
            Ok(address) => servers.push(address),
            Err(_) => {
                reader.report.error(&span, format!("{text:?} is no name server; write \"192.0.2.53\""));
            }
        }
    }
    servers
}

fn tls_settings(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<TlsSettings> {
    let mut reader = Reader::of_entry(entry, report);
    let (certificate, key) = (reader.required("certificate"), reader.required("private_key"));
    let client_ca = reader.string("client_ca").map(|(text, _)| text);
    let carrier_ca = reader.string("carrier_ca").map(|(text, _)| text);
    reader.finish(&[]);
    let place = report.place(&entry.span);
    Some(TlsSettings { certificate: certificate?.0, private_key: key?.0, client_ca, carrier_ca, place })
}

fn listeners(
    list: Vec<TextOrTable<'_>>,
    section: &Range<usize>,
    reader: &mut Reader<'_, '_, '_>,
) -> Vec<ListenAddress> {
    if list.is_empty() {
        reader.report.error(section, "listen is empty: nothing could call; leave it out or name a listener");
    }
    let report = &mut *reader.report;
    list.into_iter()
        .filter_map(|item| match item {
            TextOrTable::Text(text, span) => listener(&text, &span, report),
            TextOrTable::Table(entry) => listener_with_names(&entry, report),
        })
        .collect()
}

/// `{ address = "udp:10.0.0.4:5060", external_address = "203.0.113.9" }`.
fn listener_with_names(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<ListenAddress> {
    let mut reader = Reader::of_entry(entry, report);
    let address = reader.required("address");
    let external_address = parsed(&mut reader, "external_address", "an IP address");
    let external_host = reader.string("external_host").map(|(text, _)| text);
    reader.finish(&[]);
    let (text, span) = address?;
    let listener = listener(&text, &span, report)?;
    Some(ListenAddress { external_address, external_host, ..listener })
}

fn listener(text: &str, span: &Range<usize>, report: &mut Report<'_>) -> Option<ListenAddress> {
    let found = listen(text, report.place(span));
    if found.is_none() {
        report.error(
            span,
            format!("{text:?} is no listener; write \"udp:0.0.0.0:5060\", \"tcp:…\" or \"tls:[::]:5061\""),
        );
    }
    found
}

fn listen(text: &str, place: Place) -> Option<ListenAddress> {
    let (transport, address) = text.split_once(':')?;
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        _ => return None,
    };
    let address = address.parse().ok()?;
    Some(ListenAddress { transport, address, external_address: None, external_host: None, place })
}
