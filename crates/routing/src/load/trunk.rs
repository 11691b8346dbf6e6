//! `[[trunk]]`.

use std::ops::Range;
use std::time::Duration;

use trunkline_sip::digest::Algorithm;
use trunkline_sip::{Hop, Scheme, Uri, parse_host_port};

use super::attributes;
use super::entries::{limits, networks, patterns};
use super::reader::{Entry, Reader, TextOrTable};
use crate::e164::MIN_DIGITS;
use crate::outbound::may_be_set;
use crate::problem::Report;
use crate::{
    Direction, DtmfMethod, E164, MediaEncryption, Privacy, ReferForm, Secret, Transport, Trunk, TrunkAddress,
    TrunkAuth,
};

/// For how long a trunk that registers asks where it does not say: 300 s.
const REGISTER_EXPIRES: Duration = Duration::from_secs(300);

pub(super) fn read(entry: Entry<'_>, report: &mut Report<'_>) -> Option<Trunk> {
    let span = entry.span.clone();
    let mut reader = Reader::of_entry(&entry, report);
    let name = reader.required("name");
    let direction = direction(&mut reader);
    let allowed_addresses = networks(&mut reader, "allowed_addresses");
    let require_certificate = reader.boolean("require_certificate").unwrap_or(false);
    let media_addresses = networks(&mut reader, "media_addresses");
    let allowed_numbers = patterns(&mut reader, "allowed_numbers");
    let addresses = addresses(&mut reader);
    let auth = auth(&mut reader);
    let (challenge, challenge_algorithms) = challenge(&mut reader);
    let register = reader.boolean("register").unwrap_or(false);
    let register_expires = reader.seconds("register_expires_seconds", 60..=86_400);
    let options_interval = reader.seconds("options_interval_seconds", 5..=3600);
    let outbound_numbers = numbers(&mut reader);
    let allowed_destinations = patterns(&mut reader, "allowed_destinations");
    let short_codes = short_codes(&mut reader);
    let follow_redirects = reader.boolean("follow_redirects").unwrap_or(false);
    let (asserted_identity, privacy) = identity(&mut reader);
    let (calls_per_second, max_calls) =
        (small(&mut reader, "calls_per_second"), small(&mut reader, "max_calls"));
    let (refer, accept_refer, replaces) = transfers(&mut reader);
    let headers = headers(&mut reader);
    let transport = transport(&mut reader);
    let (media_encryption, sdes_over_plaintext, savp_then_plain) = srtp(&mut reader);
    let dtmf = dtmf(&mut reader);
    let destination_country = country(&mut reader);
    let headers_to_attributes = attributes::headers_to_attributes(&mut reader);
    let limits = limits(&mut reader);
    reader.finish(&[]);
    let trunk = Trunk {
        name: name?.0,
        direction,
        allowed_addresses,
        require_certificate,
        media_addresses,
        allowed_numbers,
        addresses,
        auth,
        challenge,
        challenge_algorithms,
        register,
        register_expires: register_expires.unwrap_or(REGISTER_EXPIRES),
        options_interval,
        outbound_numbers,
        allowed_destinations,
        short_codes,
        follow_redirects,
        asserted_identity,
        privacy,
        calls_per_second,
        max_calls,
        refer,
        accept_refer,
        replaces,
        headers: Secret::new(headers),
        transport,
        media_encryption,
        sdes_over_plaintext,
        savp_then_plain,
        dtmf,
        destination_country,
        headers_to_attributes,
        limits,
    };
    check(&trunk, &span, report);
    Some(trunk)
}

fn direction(reader: &mut Reader<'_, '_, '_>) -> Direction {
    let given = reader.choice(
        "direction",
        &[("inbound", Direction::Inbound), ("outbound", Direction::Outbound), ("both", Direction::Both)],
    );
    given.unwrap_or(Direction::Both)
}

fn transport(reader: &mut Reader<'_, '_, '_>) -> Transport {
    let given = reader.choice(
        "transport",
        &[
            ("auto", Transport::Auto),
            ("udp", Transport::Udp),
            ("tcp", Transport::Tcp),
            ("tls", Transport::Tls),
        ],
    );
    given.unwrap_or(Transport::Auto)
}

/// Whether there is encryption, whether keys may be read by others, and what is offered first.
fn srtp(reader: &mut Reader<'_, '_, '_>) -> (MediaEncryption, bool, bool) {
    let over_plaintext = reader.boolean("sdes_over_plaintext").unwrap_or(false);
    let then_plain = reader.boolean("savp_then_plain").unwrap_or(false);
    (encryption(reader), over_plaintext, then_plain)
}

fn encryption(reader: &mut Reader<'_, '_, '_>) -> MediaEncryption {
    let given = reader.choice(
        "media_encryption",
        &[
            ("disable", MediaEncryption::Disable),
            ("allow", MediaEncryption::Allow),
            ("require", MediaEncryption::Require),
        ],
    );
    given.unwrap_or_default()
}

/// How transfers go by it: how a target is written, and what the carrier may and knows.
fn transfers(reader: &mut Reader<'_, '_, '_>) -> (ReferForm, bool, bool) {
    let accept_refer = reader.boolean("accept_refer").unwrap_or(false);
    let replaces = reader.boolean("replaces").unwrap_or(false);
    (refer(reader), accept_refer, replaces)
}

fn refer(reader: &mut Reader<'_, '_, '_>) -> ReferForm {
    let given = reader.choice(
        "refer",
        &[("e164@trunk", ReferForm::AtTrunk), ("tel", ReferForm::Tel), ("as-given", ReferForm::AsGiven)],
    );
    given.unwrap_or_default()
}

fn dtmf(reader: &mut Reader<'_, '_, '_>) -> DtmfMethod {
    let given = reader.choice(
        "dtmf",
        &[
            ("auto", DtmfMethod::Auto),
            ("rfc4733", DtmfMethod::Rfc4733),
            ("info", DtmfMethod::Info),
            ("inband", DtmfMethod::Inband),
        ],
    );
    given.unwrap_or_default()
}

/// What does not fit together.
fn check(trunk: &Trunk, span: &Range<usize>, report: &mut Report<'_>) {
    if trunk.media_encryption == MediaEncryption::Require && !trunk.sdes_over_plaintext {
        let name = &trunk.name;
        match trunk.transport {
            Transport::Udp | Transport::Tcp => report.error(span, format!(
                "trunk {name:?} requires SRTP, whose keys would be readable; write transport = \"tls\" (or sdes_over_plaintext = true)",
            )),
            Transport::Auto => report.warning(span, format!(
                "trunk {name:?} requires SRTP, so calls over UDP or TCP are refused; write transport = \"tls\"",
            )),
            Transport::Tls => {}
        }
    }
    if trunk.savp_then_plain && trunk.media_encryption != MediaEncryption::Allow {
        report.error(span, format!(
            "trunk {:?}: savp_then_plain goes with media_encryption = \"allow\"; leave it out, or write that",
            trunk.name,
        ));
    }
    if trunk.require_certificate && trunk.addresses.is_empty() {
        report.error(span, format!(
            "trunk {:?} requires a certificate; write the name in it as address = \"…\"",
            trunk.name,
        ));
    }
    check_authentication(trunk, span, report);
    let proves = trunk.require_certificate || trunk.challenge || trunk.register;
    if trunk.takes_calls() && trunk.allowed_addresses.is_empty() && !proves {
        report.warning(
            span,
            format!(
                "trunk {:?} takes calls from any address; list the carrier's in allowed_addresses",
                trunk.name,
            ),
        );
    }
    let out = (trunk.auth.is_some() && !trunk.challenge) || !trunk.outbound_numbers.is_empty();
    if out && trunk.addresses.is_empty() {
        report.error(
            span,
            format!(
                "trunk {:?} places no calls; say where they go out: address = \"sip.example.com\"",
                trunk.name
            ),
        );
    }
}

/// What registering, challenging and asking for health need.
fn check_authentication(trunk: &Trunk, span: &Range<usize>, report: &mut Report<'_>) {
    let name = &trunk.name;
    if trunk.challenge && trunk.auth.is_none() {
        let what = "write the credentials that they show as auth_username and auth_password";
        report.error(span, format!("trunk {name:?} challenges its callers; {what}"));
    }
    if trunk.register && (trunk.auth.is_none() || trunk.addresses.is_empty()) {
        let what = "write where as address = \"…\" and who as auth_username and auth_password";
        report.error(span, format!("trunk {name:?} registers; {what}"));
    }
    if trunk.options_interval.is_some() && trunk.addresses.is_empty() {
        let what = "say which: address = \"sip.example.com\"";
        report.error(span, format!("trunk {name:?} asks its addresses for their health; {what}"));
    }
}

/// `address = "…"`, or `addresses` with a priority and a weight each; the preferred first.
fn addresses(reader: &mut Reader<'_, '_, '_>) -> Vec<TrunkAddress> {
    let one = reader.string("address");
    let list = reader.strings_or_tables("addresses", "addresses").unwrap_or_default();
    let mut found: Vec<TrunkAddress> = Vec::new();
    let report = &mut *reader.report;
    if let Some((text, span)) = one {
        found.extend(hop(&text, &span, report).map(plain_address));
    }
    for item in list {
        let address = match item {
            TextOrTable::Text(text, span) => hop(&text, &span, report).map(plain_address),
            TextOrTable::Table(entry) => weighted_address(&entry, report),
        };
        found.extend(address);
    }
    found.sort_by_key(|address| address.priority);
    found
}

const fn plain_address(hop: Hop) -> TrunkAddress {
    TrunkAddress { hop, priority: 10, weight: 10 }
}

fn weighted_address(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<TrunkAddress> {
    let mut reader = Reader::of_entry(entry, report);
    let address = reader.required("address");
    let [priority, weight] = ["priority", "weight"]
        .map(|key| reader.integer(key, 0..=65_535).and_then(|n| u16::try_from(n).ok()).unwrap_or(10));
    reader.finish(&[]);
    let (text, span) = address?;
    Some(TrunkAddress { hop: hop(&text, &span, report)?, priority, weight })
}

/// `sip.example.com`, `192.0.2.7:5080` or `sip:sip.example.com;transport=tls`.
fn hop(text: &str, span: &Range<usize>, report: &mut Report<'_>) -> Option<Hop> {
    let found = match text.split_once(':').map(|(scheme, _)| scheme) {
        Some("sip" | "sips") => Uri::parse(text).ok().and_then(|uri| uri_hop(&uri)),
        _ => parse_host_port(text).map(|found| Hop {
            host: found.host,
            port: found.port,
            transport: None,
            name: None,
        }),
    };
    if found.is_none() {
        report.error(
            span,
            format!("{text:?} is no address; write a host, host:port or \"sip:host;transport=tcp\""),
        );
    }
    found
}

fn uri_hop(uri: &Uri) -> Option<Hop> {
    let transport = match uri.param("transport") {
        Some(name) => Some(name.parse().ok()?),
        None => (*uri.scheme() == Scheme::Sips).then_some(trunkline_sip::Transport::Tls),
    };
    Some(Hop { host: uri.host()?.clone(), port: uri.port(), transport, name: None })
}

/// `auth_username` and `auth_password`, which need each other, and `auth_realm`.
fn auth(reader: &mut Reader<'_, '_, '_>) -> Option<TrunkAuth> {
    let username = reader.string("auth_username");
    let password = reader.secret("auth_password");
    let realm = reader.string("auth_realm");
    match (username, password) {
        (Some((username, _)), Some(password)) => {
            Some(TrunkAuth { username, password, realm: realm.map(|(text, _)| text) })
        }
        (Some((_, span)), None) if !reader.has("auth_password") => {
            reader.report.error(&span, "auth_username needs auth_password = \"…\" or { env = \"NAME\" }");
            None
        }
        (None, Some(_)) => {
            let span = reader.span();
            reader.report.error(&span, "auth_password needs auth_username = \"…\"");
            None
        }
        _ => None,
    }
}

/// What the carrier is told of who calls, and what it may show.
fn identity(reader: &mut Reader<'_, '_, '_>) -> (bool, Privacy) {
    let asserted = reader.boolean("asserted_identity").unwrap_or(false);
    let privacy = reader.choice("privacy", &[("none", Privacy::None), ("id", Privacy::Id)]);
    (asserted, privacy.unwrap_or(Privacy::None))
}

/// Whether callers are challenged, and with which hashes.
fn challenge(reader: &mut Reader<'_, '_, '_>) -> (bool, Vec<Algorithm>) {
    (reader.boolean("challenge").unwrap_or(false), algorithms(reader))
}

fn algorithms(reader: &mut Reader<'_, '_, '_>) -> Vec<Algorithm> {
    const KNOWN: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Md5, Algorithm::Sha512_256];
    let Some(names) = reader.strings("challenge_algorithms") else {
        return KNOWN[..2].to_vec();
    };
    let span = reader.span();
    if names.is_empty() {
        let what = "challenge_algorithms is empty; write [\"SHA-256\", \"MD5\"]";
        reader.report.error(&span, what.to_owned());
    }
    let mut algorithms = Vec::new();
    for (name, span) in names {
        match KNOWN.into_iter().find(|known| known.name() == name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let what = format!("{name:?} is no hash; write \"SHA-256\", \"MD5\" or \"SHA-512-256\"");
                reader.report.error(&span, what);
            }
        }
    }
    algorithms
}

fn numbers(reader: &mut Reader<'_, '_, '_>) -> Vec<E164> {
    let mut numbers = Vec::new();
    for (text, span) in reader.strings("outbound_numbers").unwrap_or_default() {
        match E164::parse(&text) {
            Some(number) => numbers.push(number),
            None => reader.report.error(&span, format!("{text:?} is no number; write \"+14155550100\"")),
        }
    }
    numbers
}

/// Emergency numbers and short codes: fewer digits than a number has.
fn short_codes(reader: &mut Reader<'_, '_, '_>) -> Vec<String> {
    let mut codes = Vec::new();
    for (text, span) in reader.strings("short_codes").unwrap_or_default() {
        if !text.is_empty() && text.len() < MIN_DIGITS && text.bytes().all(|b| b.is_ascii_digit()) {
            codes.push(text);
        } else {
            reader
                .report
                .error(&span, format!("{text:?} is no short code; write one to six digits, like \"911\""));
        }
    }
    codes
}

/// Fields for every INVITE; never one of the protocol's own, nor a line break.
fn headers(reader: &mut Reader<'_, '_, '_>) -> Vec<(String, String)> {
    let span = reader.span();
    let given = reader.map("headers");
    for (name, value) in &given {
        if !may_be_set(name, value) {
            reader.report.error(
                &span,
                format!(
                    "headers: {name:?} may not be set; write fields such as X-Tenant, without line breaks"
                ),
            );
        }
    }
    given
}

fn small(reader: &mut Reader<'_, '_, '_>, key: &'static str) -> Option<u32> {
    reader.integer(key, 1..=1_000_000).and_then(|n| u32::try_from(n).ok())
}

fn country(reader: &mut Reader<'_, '_, '_>) -> Option<String> {
    let (text, span) = reader.string("destination_country")?;
    if text.parse::<phonenumber::country::Id>().is_err() {
        reader.report.error(&span, format!("{text:?} is no country; write its two letters, like \"US\""));
        return None;
    }
    Some(text)
}
