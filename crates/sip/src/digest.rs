//! Digest authentication (RFC 7616, and RFC 8760 for SIP): reading a challenge and answering it.
//!
//! ```text
//! 401 / 407 ── Challenge::of ──▶ the strongest that we can answer ── answer ──▶ Authorization
//! ```
//! The other way round, [`challenge`] asks and [`Answer`] is what comes back; `nonce` holds what is
//! asked with.

mod answer;
mod nonce;

use std::fmt;

use md5::Md5;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512_256};

use crate::text::{quote, split_outside, unquote};
use crate::{HeaderName, Headers, Method};

pub use answer::{Answer, challenge};
pub use nonce::NonceKey;

/// Challenges of one response that are looked at; the rest is noise.
const MAX_CHALLENGES: usize = 8;

/// The hash of a challenge, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// The only one that every peer knows.
    Md5,
    /// RFC 8760.
    Sha256,
    /// RFC 8760.
    Sha512_256,
}

/// What is protected beside the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Qop {
    Auth,
    AuthInt,
}

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The protection space.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// The hash.
    pub algorithm: Algorithm,
    /// The nonce of the request before was right but too old.
    pub stale: bool,
    session: bool,
    opaque: Option<String>,
    qop: Option<Qop>,
    /// Asked by a proxy (407) rather than by the server itself (401).
    proxy: bool,
}

/// Who answers.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// User name.
    pub username: &'a str,
    /// Password.
    pub password: &'a str,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials {{ username: {:?}, .. }}", self.username)
    }
}

/// What is asked for, as far as a digest covers it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a Method,
    /// Request-URI, byte for byte as on the request line.
    pub uri: &'a str,
    /// Body.
    pub body: &'a [u8],
}

impl Algorithm {
    fn parse(name: &str) -> Option<(Self, bool)> {
        let lower = name.to_ascii_lowercase();
        let (base, session) =
            lower.strip_suffix("-sess").map_or((lower.as_str(), false), |base| (base, true));
        let algorithm = match base {
            "md5" => Self::Md5,
            "sha-256" => Self::Sha256,
            "sha-512-256" => Self::Sha512_256,
            _ => return None,
        };
        Some((algorithm, session))
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// The hash of the parts with colons between them, in hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        let bytes = parts.join(&b':');
        match self {
            Self::Md5 => hex(&Md5::digest(&bytes)),
            Self::Sha256 => hex(&Sha256::digest(&bytes)),
            Self::Sha512_256 => hex(&Sha512_256::digest(&bytes)),
        }
    }
}

impl Challenge {
    /// The challenge of the server itself, or of a proxy, that we can answer, for a realm if one is
    /// asked for. Of several the strongest, whatever their order: who stands between us and the server
    /// could put a weaker one on top of what the server wrote. Of equal ones the first (RFC 8760 §2.4).
    #[must_use]
    pub fn of(headers: &Headers, proxy: bool, realm: Option<&str>) -> Option<Self> {
        let name = if proxy { HeaderName::ProxyAuthenticate } else { HeaderName::WwwAuthenticate };
        let fields = headers.all(&name).take(MAX_CHALLENGES);
        let parsed = fields.filter_map(|header| Self::parse(&header.text(), proxy));
        let ours = parsed.filter(|challenge| realm.is_none_or(|wanted| challenge.realm == wanted));
        // Of equals `max_by_key` takes the last.
        ours.collect::<Vec<_>>().into_iter().rev().max_by_key(|challenge| challenge.algorithm)
    }

    /// One header value; nothing where it asks for what we do not have.
    fn parse(value: &str, proxy: bool) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let fields = fields(rest);
        let field =
            |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let (algorithm, session) = Algorithm::parse(field("algorithm").as_deref().unwrap_or("MD5"))?;
        let qop = match field("qop") {
            None => None,
            Some(list) => Some(choose(&list)?),
        };
        Some(Self {
            realm: field("realm")?,
            nonce: field("nonce")?,
            algorithm,
            stale: field("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            session,
            opaque: field("opaque"),
            qop,
            proxy,
        })
    }

    /// The header that carries the answer.
    #[must_use]
    pub const fn header(&self) -> HeaderName {
        if self.proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization }
    }

    /// The answer: the header's value. `count` is how often this nonce was answered, from 1; `cnonce`
    /// stays the same for as long, which the `-sess` algorithms ask for (RFC 7616 §3.4.2).
    #[must_use]
    pub fn answer(&self, who: Credentials<'_>, asked: Asked<'_>, cnonce: &str, count: u32) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let (nonce, count) = (self.nonce.as_bytes(), format!("{count:08x}"));
        let mut secret = hash(&[who.username.as_bytes(), self.realm.as_bytes(), who.password.as_bytes()]);
        if self.session {
            secret = hash(&[secret.as_bytes(), nonce, cnonce.as_bytes()]);
        }
        let (method, uri) = (asked.method.as_str().as_bytes(), asked.uri.as_bytes());
        let subject = match self.qop {
            Some(Qop::AuthInt) => hash(&[method, uri, hash(&[asked.body]).as_bytes()]),
            Some(Qop::Auth) | None => hash(&[method, uri]),
        };
        let response = match self.qop {
            Some(qop) => hash(&[
                secret.as_bytes(),
                nonce,
                count.as_bytes(),
                cnonce.as_bytes(),
                qop.name().as_bytes(),
                subject.as_bytes(),
            ]),
            None => hash(&[secret.as_bytes(), nonce, subject.as_bytes()]),
        };
        self.written(who.username, asked.uri, cnonce, &count, &response)
    }

    fn written(&self, username: &str, uri: &str, cnonce: &str, count: &str, response: &str) -> String {
        let session = if self.session { "-sess" } else { "" };
        let mut value = format!(
            "Digest username={},realm={},nonce={},uri={},response=\"{response}\",algorithm={}{session}",
            quote(username),
            quote(&self.realm),
            quote(&self.nonce),
            quote(uri),
            self.algorithm.name(),
        );
        if let Some(qop) = self.qop {
            value += &format!(",qop={},nc={count}", qop.name());
        }
        if self.qop.is_some() || self.session {
            value += &format!(",cnonce={}", quote(cnonce));
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(",opaque={}", quote(opaque));
        }
        value
    }
}

/// The `name=value` pairs of a challenge or an answer, names in lower case.
fn fields(text: &str) -> Vec<(String, String)> {
    split_outside(text, b',')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), unquote(value.trim())))
        .collect()
}

impl Qop {
    const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// `auth` where it is offered: a body that a proxy touches would break `auth-int`.
fn choose(list: &str) -> Option<Qop> {
    let offered = |wanted: &str| list.split(',').any(|word| word.trim().eq_ignore_ascii_case(wanted));
    if offered("auth") {
        return Some(Qop::Auth);
    }
    offered("auth-int").then_some(Qop::AuthInt)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
