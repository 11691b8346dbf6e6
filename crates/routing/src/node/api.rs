//! `[api]` and `[[api.key]]`: where the HTTP API listens, and who may do what there.

use std::net::SocketAddr;

use super::{count, parsed};
use crate::load::{Entry, Reader};
use crate::problem::Report;

/// What a key allows; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiScope {
    /// To look.
    Read,
    /// To place and to steer calls.
    Operate,
    /// To have the tables read again.
    Admin,
}

/// A key of the API. The key itself is nowhere: who shows it proves it by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What the log calls it.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// What it allows.
    pub scope: ApiScope,
}

/// `[api]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// Requests that one key, or one address without a key, may make in a second.
    pub requests_per_second: u32,
    /// Ended calls that the API still shows.
    pub ended_calls: usize,
    /// Whether it shows the SIP messages of calls.
    pub ladders: bool,
    /// Whether events tell telephone numbers and keys in full.
    pub event_numbers: bool,
    /// Keys; without any, everyone who reaches the listener may do everything.
    pub keys: Vec<ApiKey>,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            requests_per_second: 100,
            ended_calls: 1000,
            ladders: true,
            event_numbers: false,
            keys: Vec::new(),
        }
    }
}

pub(super) fn read(entry: Option<&Entry<'_>>, report: &mut Report<'_>) -> ApiSettings {
    let mut settings = ApiSettings::default();
    let Some(entry) = entry else { return settings };
    let mut reader = Reader::of_entry(entry, report);
    settings.listen = parsed(&mut reader, "listen", "an address and port").unwrap_or(settings.listen);
    settings.requests_per_second = count(&mut reader, "requests_per_second", settings.requests_per_second);
    if let Some(calls) = reader.integer("ended_calls", 0..=100_000) {
        settings.ended_calls = usize::try_from(calls).unwrap_or(0);
    }
    settings.ladders = reader.boolean("ladders").unwrap_or(settings.ladders);
    settings.event_numbers = reader.boolean("event_numbers").unwrap_or(settings.event_numbers);
    if let Some((_, span)) = reader.string("token") {
        let instead = "token is no longer a key of [api]; `trunkline key` prints a key and its [[api.key]]";
        reader.report.error(&span, instead.to_owned());
    }
    let entries = reader.tables("key");
    let named_none = entries.is_empty();
    reader.finish(&[]);
    for entry in &entries {
        if let Some(key) = key(entry, &settings.keys, report) {
            settings.keys.push(key);
        }
    }
    if !settings.listen.ip().is_loopback() && named_none {
        report.error(&entry.span, format!(
            "the API would listen on {} for anyone; give it an [[api.key]], which `trunkline key` prints, or listen on 127.0.0.1",
            settings.listen,
        ));
    }
    settings
}

fn key(entry: &Entry<'_>, before: &[ApiKey], report: &mut Report<'_>) -> Option<ApiKey> {
    let mut reader = Reader::of_entry(entry, report);
    let (name, hash) = (reader.required("name"), reader.required("hash"));
    let scopes = [("read", ApiScope::Read), ("operate", ApiScope::Operate), ("admin", ApiScope::Admin)];
    let scope = match reader.has("scope") {
        true => reader.choice("scope", &scopes),
        false => Some(ApiScope::Read),
    };
    reader.finish(&[]);
    let ((name, name_span), (hash, hash_span)) = (name?, hash?);
    if before.iter().any(|key| key.name == name) {
        report.error(&name_span, format!("there are two keys {name:?}"));
    }
    let bytes = hex(&hash);
    if bytes.is_none() {
        report.error(
            &hash_span,
            "hash is the SHA-256 of the key in 64 hexadecimal digits; `trunkline key` prints both".to_owned(),
        );
    }
    Some(ApiKey { name, hash: bytes?, scope: scope? })
}

/// 32 bytes from their hexadecimal digits.
fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
