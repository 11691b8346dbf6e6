//! `trunkline.toml`: the node. A bad one keeps the daemon from starting; at a reload it changes
//! nothing.

mod api;
mod changes;
mod clashes;
mod media;
mod recording;
mod sip;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use trunkline_sdp::Codec;
use trunkline_sip::Transport;

use crate::load::{Entry, Reader, parse_document};
use crate::problem::{Place, Report};
use crate::{Problem, Severity};

pub use api::{ApiKey, ApiScope, ApiSettings};
pub use changes::key_changes;

/// What happens to peers that no trunk claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownPeers {
    /// Silence.
    Drop,
    /// 403, without state.
    Reject,
}

/// A socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// UDP, TCP or TLS.
    pub transport: Transport,
    /// Address and port.
    pub address: SocketAddr,
    /// What peers are told of this listener, where that is not what `[sip]` says.
    pub external_address: Option<IpAddr>,
    /// The same of the name in our Contact over TLS.
    pub external_host: Option<String>,
    /// Where it is written, for clashes.
    pub place: Place,
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
    /// PEM file with the authorities of carriers' certificates; the public ones where absent.
    pub carrier_ca: Option<String>,
    /// Where the section stands, for what is wrong with the files.
    pub place: Place,
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
    /// Messages a second that are read from one peer of a trunk.
    pub peer_messages_per_second: u32,
    /// Messages a second that are read from one stranger.
    pub stranger_messages_per_second: u32,
    /// Most new calls in a second.
    pub new_calls_per_second: u32,
    /// INFO inside a dialog is taken.
    pub accept_info: bool,
    /// MESSAGE inside a dialog is taken.
    pub accept_message: bool,
    /// Name servers to ask; those of the system where empty.
    pub name_servers: Vec<SocketAddr>,
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

/// What recordings are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingFormat {
    /// WAV.
    Wav,
    /// Opus in Ogg.
    Opus,
}

/// `[recording]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingSettings {
    /// What they are written as.
    pub format: RecordingFormat,
    /// Their folder, relative to that of the records.
    pub directory: String,
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
    /// Recordings.
    pub recording: RecordingSettings,
    /// API.
    pub api: ApiSettings,
    /// Which tables belong to it.
    pub routes: RouteSettings,
}

/// `[routes]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// Patterns of the table files, relative to this file.
    pub files: Vec<(String, Place)>,
    /// Answers numbers without an inbound agent.
    pub default_agent: Option<(String, Place)>,
}

/// Why there is no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeError {
    /// Every problem of its file.
    pub problems: Vec<Problem>,
    /// The tables that it names all the same, so that theirs can be told too.
    pub routes: RouteSettings,
}

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
    let sections = ["node", "sip", "media", "recording", "api", "routes"].map(|key| top.table(key));
    top.finish(&[]);
    let [node, sip, media_entry, recording, api, routes] = sections;
    let (name, data_dir) = names(node.as_ref(), &mut report);
    let sip = sip::read(sip.as_ref(), &mut report);
    let media = media::read(media_entry.as_ref(), &mut report);
    let recording = recording::read(recording.as_ref(), &mut report);
    let settings = api::read(api.as_ref(), &mut report);
    clashes::check(&sip.listen, (&media, media_entry.as_ref()), (settings.listen, api.as_ref()), &mut report);
    let api = settings;
    let routes = route_settings(routes.as_ref(), &mut report);
    if report.problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(NodeError { problems: report.problems, routes });
    }
    Ok(Node { name, data_dir, sip, media, recording, api, routes })
}

fn names(entry: Option<&Entry<'_>>, report: &mut Report<'_>) -> (String, String) {
    let defaults = ("trunkline".to_owned(), "data".to_owned());
    let Some(entry) = entry else { return defaults };
    let mut reader = Reader::of_entry(entry, report);
    let (name, data_dir) = (reader.string("name"), reader.string("data_dir"));
    reader.finish(&[]);
    (name.map_or(defaults.0, |(text, _)| text), data_dir.map_or(defaults.1, |(text, _)| text))
}

fn route_settings(entry: Option<&Entry<'_>>, report: &mut Report<'_>) -> RouteSettings {
    let default = |report: &Report<'_>, span| vec![("routes/*.toml".to_owned(), report.place(span))];
    let Some(entry) = entry else {
        return RouteSettings { files: default(report, &(0..0)), default_agent: None };
    };
    let mut reader = Reader::of_entry(entry, report);
    let (files, agent) = (reader.strings("files"), reader.string("default_agent"));
    // A list that cannot be read names no files, rather than others than were meant.
    let files = files.or_else(|| entry.table.contains_key("files").then(Vec::new));
    reader.finish(&[]);
    let mut placed = |(text, span)| (text, report.place(&span));
    let default_agent = agent.map(&mut placed);
    let files: Option<Vec<_>> = files.map(|list| list.into_iter().map(placed).collect());
    RouteSettings { files: files.unwrap_or_else(|| default(report, &entry.span)), default_agent }
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

#[cfg(test)]
mod tests;
