//! What is different in tables that were read again: each key with its old and its new value, in the
//! configuration's words. Secrets are compared and never shown.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use crate::{
    Agent, Builtin, CallLimits, Connect, Number, Protocol, ReferForm, RouteTable, RtpFormat, Trunk,
    TrunkAddress,
};

/// The keys of an entry and their values as text.
type Keys = Vec<(&'static str, String)>;

impl RouteTable {
    /// What a change from `self` to `next` would mean, a line each.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let by_name = |table: &Self| -> BTreeMap<String, Arc<Trunk>> {
            table.trunks.iter().map(|trunk| (trunk.name.clone(), Arc::clone(trunk))).collect()
        };
        compare("trunk", &by_name(self), &by_name(next), trunk_changes, &mut lines);
        if let Some(order) = order_change(self, next) {
            lines.push(order);
        }
        compare("agent", &self.agents, &next.agents, agent_changes, &mut lines);
        compare("number", &self.numbers, &next.numbers, number_changes, &mut lines);
        let (old, new) = (name_of(self.default_agent.as_ref()), name_of(next.default_agent.as_ref()));
        if old != new {
            lines.push(format!("~ default_agent {old} -> {new}"));
        }
        lines
    }
}

/// One line an entry that came or went, and one a key of those that stayed.
fn compare<K: Ord + Display, E>(
    kind: &str,
    old: &BTreeMap<K, Arc<E>>,
    new: &BTreeMap<K, Arc<E>>,
    changes: fn(&E, &E) -> Vec<String>,
    lines: &mut Vec<String>,
) {
    for (name, entry) in new {
        match old.get(name) {
            None => lines.push(format!("+ {kind} {name}")),
            Some(before) => {
                lines
                    .extend(changes(before, entry).iter().map(|change| format!("~ {kind} {name}: {change}")));
            }
        }
    }
    lines.extend(old.keys().filter(|name| !new.contains_key(name)).map(|name| format!("- {kind} {name}")));
}

/// The order of the trunks that stayed, which decides between those that an address does not.
fn order_change(old: &RouteTable, new: &RouteTable) -> Option<String> {
    let order = |table: &RouteTable, other: &RouteTable| -> Vec<String> {
        let stays = |trunk: &&Arc<Trunk>| other.trunks.iter().any(|o| o.name == trunk.name);
        table.trunks.iter().filter(stays).map(|trunk| trunk.name.clone()).collect()
    };
    let (before, after) = (order(old, new), order(new, old));
    (before != after).then(|| {
        format!(
            "~ order of the trunks {} -> {}: the first decides where nothing else does",
            list(&before),
            list(&after)
        )
    })
}

fn trunk_changes(old: &Trunk, new: &Trunk) -> Vec<String> {
    let mut lines = different(&trunk_keys(old), &trunk_keys(new));
    let password = |trunk: &Trunk| trunk.auth.as_ref().map(|auth| auth.password.reveal().clone());
    if password(old) != password(new) {
        lines.push("auth_password: another one".to_owned());
    }
    // Carriers take tokens in them.
    if old.headers != new.headers {
        let names = |trunk: &Trunk| {
            list(&trunk.headers.reveal().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())
        };
        lines.push(format!("headers: others, {} -> {}", names(old), names(new)));
    }
    if lines.is_empty() && old != new {
        lines.push("changed".to_owned());
    }
    lines
}

fn trunk_keys(trunk: &Trunk) -> Keys {
    let (auth, seconds) = (trunk.auth.as_ref(), |span: Duration| span.as_secs().to_string());
    let mut keys = vec![
        ("direction", word(&trunk.direction)),
        ("allowed_addresses", list(&trunk.allowed_addresses)),
        ("require_certificate", trunk.require_certificate.to_string()),
        ("media_addresses", list(&trunk.media_addresses)),
        ("allowed_numbers", list(&trunk.allowed_numbers)),
        ("addresses", list(&trunk.addresses.iter().map(address).collect::<Vec<_>>())),
        ("auth_username", option(auth.map(|auth| &auth.username))),
        ("auth_realm", option(auth.and_then(|auth| auth.realm.as_ref()))),
        ("challenge", trunk.challenge.to_string()),
        (
            "challenge_algorithms",
            list(&trunk.challenge_algorithms.iter().map(|hash| hash.name()).collect::<Vec<_>>()),
        ),
        ("register", trunk.register.to_string()),
        ("register_expires_seconds", seconds(trunk.register_expires)),
        ("options_interval_seconds", option(trunk.options_interval.map(seconds).as_ref())),
        ("outbound_numbers", list(&trunk.outbound_numbers)),
        ("allowed_destinations", list(&trunk.allowed_destinations)),
        ("short_codes", list(&trunk.short_codes)),
        ("follow_redirects", trunk.follow_redirects.to_string()),
        ("asserted_identity", trunk.asserted_identity.to_string()),
        ("privacy", word(&trunk.privacy)),
        ("calls_per_second", option(trunk.calls_per_second.as_ref())),
        ("max_calls", option(trunk.max_calls.as_ref())),
        ("refer", refer(trunk.refer).to_owned()),
        ("accept_refer", trunk.accept_refer.to_string()),
        ("replaces", trunk.replaces.to_string()),
        ("transport", word(&trunk.transport)),
        ("media_encryption", word(&trunk.media_encryption)),
        ("sdes_over_plaintext", trunk.sdes_over_plaintext.to_string()),
        ("savp_then_plain", trunk.savp_then_plain.to_string()),
        ("dtmf", word(&trunk.dtmf)),
        ("destination_country", option(trunk.destination_country.as_ref())),
        ("headers_to_attributes", pairs(&trunk.headers_to_attributes)),
    ];
    keys.extend(limit_keys(&trunk.limits));
    keys
}

const fn refer(form: ReferForm) -> &'static str {
    match form {
        ReferForm::AtTrunk => "e164@trunk",
        ReferForm::Tel => "tel",
        ReferForm::AsGiven => "as-given",
    }
}

fn agent_changes(old: &Agent, new: &Agent) -> Vec<String> {
    let keys = |agent: &Agent| {
        vec![
            ("mode", word(&agent.mode)),
            ("connect", connect(&agent.connect)),
            ("protocol", protocol(agent.protocol)),
            ("events", agent.events.to_string()),
            ("reconnect_seconds", agent.reconnect.as_secs().to_string()),
            ("connect_timeout_seconds", agent.connect_timeout.as_secs().to_string()),
        ]
    };
    let mut lines = different(&keys(old), &keys(new));
    if old.secret != new.secret {
        lines.push("secret: another one".to_owned());
    }
    if lines.is_empty() && old != new {
        lines.push("changed".to_owned());
    }
    lines
}

fn number_changes(old: &Number, new: &Number) -> Vec<String> {
    different(&number_keys(old), &number_keys(new))
}

fn number_keys(number: &Number) -> Keys {
    let trunk = number.trunk.as_ref().map(|trunk| &trunk.name);
    let mut keys = vec![
        ("name", number.name.clone()),
        ("trunk", option(trunk)),
        ("inbound", name_of(number.inbound.as_ref())),
        ("outbound", name_of(number.outbound.as_ref())),
        ("sms", name_of(number.sms.as_ref())),
        ("active", number.active.to_string()),
        ("noise_suppression", number.noise_suppression.to_string()),
        ("allowed_destinations", list(&number.allowed_destinations)),
        ("metadata", pairs(&number.metadata)),
    ];
    keys.extend(limit_keys(&number.limits));
    keys
}

fn limit_keys(limits: &CallLimits) -> Keys {
    let seconds = |limit: Option<Duration>| option(limit.map(|limit| limit.as_secs()).as_ref());
    vec![
        ("hide_phone_number", option(limits.hide_phone_number.as_ref())),
        ("ringing_timeout_seconds", seconds(limits.ringing_timeout)),
        ("max_call_duration_seconds", seconds(limits.max_call_duration)),
    ]
}

fn different(old: &Keys, new: &Keys) -> Vec<String> {
    let pairs = old.iter().zip(new).filter(|((_, old), (_, new))| old != new);
    pairs.map(|((key, old), (_, new))| format!("{key} {old} -> {new}")).collect()
}

fn address(address: &TrunkAddress) -> String {
    let hop = &address.hop;
    let port = hop.port.map(|port| format!(":{port}")).unwrap_or_default();
    let transport = hop.transport.map(|kind| format!(" over {}", kind.to_string().to_lowercase()));
    let host = trunkline_sip::format_host(&hop.host);
    format!("{host}{port}{} {}/{}", transport.unwrap_or_default(), address.priority, address.weight)
}

fn connect(connect: &Connect) -> String {
    match connect {
        Connect::DialIn => "dial-in".to_owned(),
        Connect::Sip(place) => format!("{} over {}", place.address, place.trunk.name),
        Connect::Rtp(address) => format!("rtp://{address}"),
        Connect::Builtin(Builtin::Announce(file)) => format!("builtin:announce?file={file}"),
        Connect::Builtin(builtin) => format!("builtin:{}", word(builtin)),
        Connect::Urls(urls) => list(urls),
    }
}

fn protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::Twilio => "twilio".to_owned(),
        Protocol::L16 { rate } => format!("l16 at {rate}"),
        Protocol::Rtp(RtpFormat::Pcmu) => "rtp with PCMU".to_owned(),
        Protocol::Rtp(RtpFormat::Pcma) => "rtp with PCMA".to_owned(),
        Protocol::Rtp(RtpFormat::L16 { rate }) => format!("rtp with L16 at {rate}"),
    }
}

fn name_of(agent: Option<&Arc<Agent>>) -> String {
    agent.map_or_else(|| "none".to_owned(), |agent| agent.name.clone())
}

fn pairs(pairs: &[(String, String)]) -> String {
    list(&pairs.iter().map(|(name, value)| format!("{name} = {value:?}")).collect::<Vec<_>>())
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

#[cfg(test)]
mod tests;
