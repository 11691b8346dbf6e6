//! What is different in a node's file that was read again. All of it but `[routes]`, `[[api.key]]` and the
//! contents of the certificates' files needs a restart, so each key is named.

use std::fmt::{self, Debug, Display};

use super::{ApiKey, ApiSettings, ListenAddress, MediaSettings, Node, SipSettings, TlsSettings};

impl Node {
    /// The keys whose values differ in `next`, a line each.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Vec<String> {
        let (old, new) = (self.settings(), next.settings());
        old.iter()
            .zip(&new)
            .filter(|(old, new)| old != new)
            .map(|((key, old), (_, new))| format!("! {key} {old} -> {new}: takes effect at the next start"))
            .collect()
    }

    /// Every key that is read once, as text.
    fn settings(&self) -> Vec<(&'static str, String)> {
        // What reloads live is told elsewhere.
        let Self { name, data_dir, sip, media, recording, api, routes: _ } = self;
        let ApiSettings { listen, requests_per_second, ended_calls, ladders, event_numbers, keys: _ } = api;
        let mut all = vec![
            ("node.name", name.clone()),
            ("node.data_dir", data_dir.clone()),
            ("api.listen", listen.to_string()),
            ("api.requests_per_second", requests_per_second.to_string()),
            ("api.ended_calls", ended_calls.to_string()),
            ("api.ladders", ladders.to_string()),
            ("api.event_numbers", event_numbers.to_string()),
        ];
        all.extend(sip_settings(sip));
        all.extend(tls_settings(sip.tls.as_ref()));
        all.extend(media_settings(media));
        all.extend([
            ("recording.format", word(&recording.format)),
            ("recording.directory", recording.directory.clone()),
        ]);
        all
    }
}

/// What is different in the keys of the API, which reload live; by their names.
#[must_use]
pub fn key_changes(old: &[ApiKey], new: &[ApiKey]) -> Vec<String> {
    let named = |keys: &[ApiKey], name: &str| keys.iter().find(|key| key.name == name).cloned();
    let gone = old.iter().filter(|key| named(new, &key.name).is_none());
    let gone = gone.map(|key| format!("- api key {}", key.name));
    let other = new.iter().filter_map(|key| match named(old, &key.name) {
        None => Some(format!("+ api key {}", key.name)),
        Some(before) if before != *key => Some(format!("~ api key {}", key.name)),
        Some(_) => None,
    });
    gone.chain(other).collect()
}

fn sip_settings(sip: &SipSettings) -> Vec<(&'static str, String)> {
    let SipSettings {
        listen,
        external_address,
        external_host,
        local_networks,
        unknown_peers,
        max_calls,
        peer_messages_per_second,
        stranger_messages_per_second,
        new_calls_per_second,
        accept_info,
        accept_message,
        name_servers,
        timers: [t1, t2, t4],
        tls: _,
    } = sip;
    vec![
        ("sip.listen", list(listen)),
        ("sip.external_address", option(external_address.as_ref())),
        ("sip.external_host", option(external_host.as_ref())),
        ("sip.local_networks", list(local_networks)),
        ("sip.unknown_peers", word(unknown_peers)),
        ("sip.max_calls", max_calls.to_string()),
        ("sip.peer_messages_per_second", peer_messages_per_second.to_string()),
        ("sip.stranger_messages_per_second", stranger_messages_per_second.to_string()),
        ("sip.new_calls_per_second", new_calls_per_second.to_string()),
        ("sip.accept_info", accept_info.to_string()),
        ("sip.accept_message", accept_message.to_string()),
        ("sip.name_servers", list(name_servers)),
        ("sip.t1_milliseconds", t1.as_millis().to_string()),
        ("sip.t2_milliseconds", t2.as_millis().to_string()),
        ("sip.t4_milliseconds", t4.as_millis().to_string()),
    ]
}

fn tls_settings(tls: Option<&TlsSettings>) -> Vec<(&'static str, String)> {
    let file = |of: fn(&TlsSettings) -> Option<&String>| option(tls.and_then(of));
    vec![
        ("sip.tls.certificate", file(|tls| Some(&tls.certificate))),
        ("sip.tls.private_key", file(|tls| Some(&tls.private_key))),
        ("sip.tls.client_ca", file(|tls| tls.client_ca.as_ref())),
        ("sip.tls.carrier_ca", file(|tls| tls.carrier_ca.as_ref())),
    ]
}

fn media_settings(media: &MediaSettings) -> Vec<(&'static str, String)> {
    let MediaSettings { listen_addresses, ports, codecs, no_media_timeout } = media;
    let codecs: Vec<String> = codecs.iter().map(|codec| codec.name().to_owned()).collect();
    vec![
        ("media.listen_address", list(listen_addresses)),
        ("media.ports", format!("[{}, {}]", ports.start(), ports.end())),
        ("media.codecs", list(&codecs)),
        ("media.no_media_timeout_seconds", no_media_timeout.as_secs().to_string()),
    ]
}

impl Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.socket())?;
        if let Some(address) = self.external_address {
            write!(f, " as {address}")?;
        }
        self.external_host.as_ref().map_or(Ok(()), |host| write!(f, " as {host}"))
    }
}

impl ListenAddress {
    /// As `listen` has it: `udp:0.0.0.0:5060`.
    pub(super) fn socket(&self) -> String {
        format!("{}:{}", self.transport.to_string().to_lowercase(), self.address)
    }
}

fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

fn option<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// A word of the configuration, from the name of its variant.
fn word(variant: &impl Debug) -> String {
    format!("{variant:?}").to_lowercase()
}
