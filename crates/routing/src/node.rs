//! `trunkline.toml`: the node. A bad one keeps the daemon from starting; at a reload it changes
//! nothing.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use trunkline_sdp::Codec;
use trunkline_sip::Transport;

use crate::load::{Reader, parse_document};
use crate::problem::Report;
use crate::{Problem, Secret, Severity};

/// What happens to peers that no trunk claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownPeers {
    /// Silence.
    Drop,
    /// 403, without state.
    Reject,
}

/// A socket to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress {
    /// UDP, TCP or TLS.
    pub transport: Transport,
    /// Address and port.
    pub address: SocketAddr,
}

/// `[sip.tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with our chain.
    pub certificate: String,
    /// PEM file with our key.
    pub private_key: String,
    /// PEM file with the authorities of client certificates.
    pub client_ca: Option<String>,
}

/// `[sip]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipSettings {
    /// Listeners.
    pub listen: Vec<ListenAddress>,
    /// The address that peers outside `local_networks` see.
    pub external_address: Option<IpAddr>,
    /// The name in our Contact over TLS.
    pub external_host: Option<String>,
    /// Networks that see the local address.
    pub local_networks: Vec<IpNet>,
    /// What strangers get.
    pub unknown_peers: UnknownPeers,
    /// Most calls at once.
    pub max_calls: u32,
    /// Most new calls in a second.
    pub new_calls_per_second: u32,
    /// INFO inside a dialog is taken.
    pub accept_info: bool,
    /// MESSAGE inside a dialog is taken.
    pub accept_message: bool,
    /// T1, T2 and T4.
    pub timers: [Duration; 3],
    /// Certificates.
    pub tls: Option<TlsSettings>,
}

/// `[media]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSettings {
    /// Addresses that media ports are opened on.
    pub listen_addresses: Vec<IpAddr>,
    /// Port range; RTP takes the even ports, RTCP the odd.
    pub ports: RangeInclusive<u16>,
    /// Codecs, the preferred first.
    pub codecs: Vec<Codec>,
    /// A call without media from the caller for so long is ended.
    pub no_media_timeout: Duration,
}

/// The whole file.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name of the node.
    pub name: String,
    /// Where records are written.
    pub data_dir: String,
    /// SIP.
    pub sip: SipSettings,
    /// Media.
    pub media: MediaSettings,
    /// API address.
    pub api_listen: SocketAddr,
    /// API token.
    pub api_token: Option<Secret<String>>,
    /// Patterns of the table files, relative to this file.
    pub route_files: Vec<String>,
    /// Answers numbers without an inbound agent.
    pub default_agent: Option<String>,
}

/// Why there is no node: every problem of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeError(pub Vec<Problem>);

/// Reads the node's file.
///
/// # Errors
/// Every problem, where one of them is an error.
pub fn load_node(name: &str, text: &str) -> Result<Node, NodeError> {
    let (document, errors) = parse_document(text);
    let mut report = Report::new(name, text);
    for error in errors {
        report.error(&error.span().unwrap_or(0..0), error.message());
    }
    let mut top = Reader::of_document(&document, &mut report);
    let sections = ["node", "sip", "media", "api", "routes"].map(|key| top.table(key));
    top.finish(&[]);
    let [node, sip_section, media_section, api_section, routes_section] = sections;
    let mut name = "trunkline".to_owned();
    let mut data_dir = "data".to_owned();
    if let Some(entry) = &node {
        let mut reader = Reader::of_entry(entry, &mut report);
        name = reader.string("name").map_or(name, |(text, _)| text);
        data_dir = reader.string("data_dir").map_or(data_dir, |(text, _)| text);
        reader.finish(&[]);
    }
    let sip = sip(sip_section.as_ref(), &mut report);
    let media = media(media_section.as_ref(), &mut report);
    let (api_listen, api_token) = api(api_section.as_ref(), &mut report);
    let (route_files, default_agent) = routes(routes_section.as_ref(), &mut report);
    if report.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(NodeError(report.problems));
    }
    Ok(Node { name, data_dir, sip, media, api_listen, api_token, route_files, default_agent })
}

/// What holds where `[sip]` says nothing.
fn sip_defaults() -> SipSettings {
    SipSettings {
        listen: [listen("udp:0.0.0.0:5060"), listen("tcp:0.0.0.0:5060")].into_iter().flatten().collect(),
        external_address: None,
        external_host: None,
        local_networks: Vec::new(),
        unknown_peers: UnknownPeers::Drop,
        max_calls: 5000,
        new_calls_per_second: 500,
        accept_info: false,
        accept_message: false,
        timers: [Duration::from_millis(500), Duration::from_secs(4), Duration::from_secs(5)],
        tls: None,
    }
}

fn sip(entry: Option<&crate::load::Entry<'_>>, report: &mut Report<'_>) -> SipSettings {
    let mut settings = sip_defaults();
    let Some(entry) = entry else { return settings };
    let mut reader = Reader::of_entry(entry, report);
    if let Some(list) = reader.strings("listen") {
        settings.listen = listeners(list, &mut reader);
    }
    settings.external_address = parsed(&mut reader, "external_address", "an IP address");
    settings.external_host = reader.string("external_host").map(|(text, _)| text);
    settings.local_networks = crate::load::networks(&mut reader, "local_networks");
    let unknown =
        reader.choice("unknown_peers", &[("drop", UnknownPeers::Drop), ("reject", UnknownPeers::Reject)]);
    settings.unknown_peers = unknown.unwrap_or(settings.unknown_peers);
    settings.max_calls = count(&mut reader, "max_calls", settings.max_calls);
    settings.new_calls_per_second = count(&mut reader, "new_calls_per_second", settings.new_calls_per_second);
    settings.accept_info = reader.boolean("accept_info").unwrap_or(false);
    settings.accept_message = reader.boolean("accept_message").unwrap_or(false);
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

fn tls_settings(entry: &crate::load::Entry<'_>, report: &mut Report<'_>) -> Option<TlsSettings> {
    let mut reader = Reader::of_entry(entry, report);
    let (certificate, key) = (reader.required("certificate"), reader.required("private_key"));
    let client_ca = reader.string("client_ca").map(|(text, _)| text);
    reader.finish(&[]);
    Some(TlsSettings { certificate: certificate?.0, private_key: key?.0, client_ca })
}

fn listeners(
    list: Vec<(String, std::ops::Range<usize>)>,
    reader: &mut Reader<'_, '_, '_>,
) -> Vec<ListenAddress> {
    let mut listeners = Vec::new();
    for (text, span) in list {
        match listen(&text) {
            Some(address) => listeners.push(address),
            None => reader.report.error(
                &span,
                format!(
                    "{text:?} is no listener; write \"udp:0.0.0.0:5060\", \"tcp:…\" or \"tls:[::]:5061\""
                ),
            ),
        }
    }
    listeners
}

fn listen(text: &str) -> Option<ListenAddress> {
    let (transport, address) = text.split_once(':')?;
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        _ => return None,
    };
    Some(ListenAddress { transport, address: address.parse().ok()? })
}

fn media(entry: Option<&crate::load::Entry<'_>>, report: &mut Report<'_>) -> MediaSettings {
    let mut settings = MediaSettings {
        listen_addresses: vec![IpAddr::from([0, 0, 0, 0])],
        ports: 10_000..=30_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        no_media_timeout: Duration::from_secs(60),
    };
    let Some(entry) = entry else { return settings };
    let mut reader = Reader::of_entry(entry, report);
    if let Some(list) = reader.strings("listen_address") {
        settings.listen_addresses.clear();
        for (text, span) in list {
            match text.parse() {
                Ok(address) => settings.listen_addresses.push(address),
                Err(_) => reader.report.error(&span, format!("{text:?} is no IP address")),
            }
        }
    }
    if let Some((numbers, span)) = reader.integers("ports") {
        let ports: Option<Vec<u16>> = numbers.iter().map(|n| u16::try_from(*n).ok()).collect();
        match ports.as_deref() {
            Some([low, high]) if *low >= 1024 && high > low => settings.ports = *low..=*high,
            _ => reader.report.error(&span, "ports must be [lowest, highest], from 1024 to 65535"),
        }
    }
    if let Some(list) = reader.strings("codecs") {
        settings.codecs.clear();
        for (text, span) in list {
            match Codec::from_name(&text) {
                Some(codec) => settings.codecs.push(codec),
                None => {
                    reader.report.error(&span, format!("{text:?} is no codec; write \"PCMU\" or \"PCMA\""))
                }
            }
        }
    }
    if let Some(span) = reader.seconds("no_media_timeout_seconds", 1..=86_400) {
        settings.no_media_timeout = span;
    }
    reader.finish(&[]);
    settings
}

fn api(
    entry: Option<&crate::load::Entry<'_>>,
    report: &mut Report<'_>,
) -> (SocketAddr, Option<Secret<String>>) {
    let default = SocketAddr::from(([127, 0, 0, 1], 8080));
    let Some(entry) = entry else {
        return (default, None);
    };
    let mut reader = Reader::of_entry(entry, report);
    let address = parsed(&mut reader, "listen", "an address and port").unwrap_or(default);
    let token = reader.string("token").map(|(text, _)| Secret::new(text));
    if !address.ip().is_loopback() && token.is_none() {
        reader.report.error(&entry.span, format!(
            "the API would listen on {address} for anyone; give it a token = \"…\" or listen on 127.0.0.1",
        ));
    }
    reader.finish(&[]);
    (address, token)
}

fn routes(entry: Option<&crate::load::Entry<'_>>, report: &mut Report<'_>) -> (Vec<String>, Option<String>) {
    let default = vec!["routes/*.toml".to_owned()];
    let Some(entry) = entry else {
        return (default, None);
    };
    let mut reader = Reader::of_entry(entry, report);
    let files = reader.strings("files").map(|list| list.into_iter().map(|(text, _)| text).collect());
    let agent = reader.string("default_agent").map(|(text, _)| text);
    reader.finish(&[]);
    (files.unwrap_or(default), agent)
}

fn parsed<T: std::str::FromStr>(
    reader: &mut Reader<'_, '_, '_>,
    key: &'static str,
    wanted: &str,
) -> Option<T> {
    let (text, span) = reader.string(key)?;
    let value = text.parse().ok();
    if value.is_none() {
        reader.report.error(&span, format!("{key} is {text:?}; write {wanted}"));
    }
    value
}

fn count(reader: &mut Reader<'_, '_, '_>, key: &'static str, default: u32) -> u32 {
    let value = reader.integer(key, 1..=1_000_000);
    value.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
}
