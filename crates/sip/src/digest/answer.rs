//! The server's side: a challenge in every algorithm that we take, and the answer to it.

use super::{Algorithm, Credentials, fields};
use crate::text::quote;
use crate::{HeaderName, Headers, Method};

/// Answers of one request that are looked at; a client answers one challenge of a realm.
const MAX_ANSWERS: usize = 4;

/// The value of WWW-Authenticate with which a realm asks for credentials in this hash; `stale` says that
/// only the nonce was wrong.
#[must_use]
pub fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
    let (realm, nonce, name) = (quote(realm), quote(nonce), algorithm.name());
    let stale = if stale { ",stale=true" } else { "" };
    format!("Digest realm={realm},nonce={nonce},algorithm={name},qop=\"auth\"{stale}")
}

/// The answer to a challenge of ours, as a request carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who answers.
    pub username: String,
    /// The protection space.
    pub realm: String,
    /// The nonce that is answered.
    pub nonce: String,
    /// How often that nonce was answered, from 1.
    pub count: u32,
    /// The hash.
    pub algorithm: Algorithm,
    uri: String,
    cnonce: String,
    /// The count as written, which the hash covers.
    written_count: String,
    response: String,
}

impl Answer {
    /// The answers in a request for that realm, as far as they answer what we ask.
    #[must_use]
    pub fn of(headers: &Headers, realm: &str) -> Option<Self> {
        let values = headers.all(&HeaderName::Authorization).take(MAX_ANSWERS);
        let mut answers = values.filter_map(|header| Self::parse(&String::from_utf8_lossy(header.value())));
        answers.find(|answer| answer.realm == realm)
    }

    fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let fields = fields(rest);
        let field =
            |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let (algorithm, session) = Algorithm::parse(field("algorithm").as_deref().unwrap_or("MD5"))?;
        // Without qop there is no count, and no telling a replay from an answer.
        let asked = !session && field("qop")? == "auth";
        let written_count = field("nc")?;
        let count = u32::from_str_radix(&written_count, 16).ok()?;
        asked.then_some(Self {
            username: field("username")?,
            realm: field("realm")?,
            nonce: field("nonce")?,
            count,
            algorithm,
            uri: field("uri")?,
            cnonce: field("cnonce")?,
            written_count,
            response: field("response")?,
        })
    }

    /// Whether it proves that who answers knows the password. The name is the caller's to compare: a
    /// wrong one and a wrong password are to take the same time. The URI may differ from the
    /// Request-URI, since proxies rewrite that (RFC 3261 §22.4).
    #[must_use]
    pub fn proves(&self, who: Credentials<'_>, method: &Method) -> bool {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let secret = hash(&[who.username.as_bytes(), self.realm.as_bytes(), who.password.as_bytes()]);
        let subject = hash(&[method.as_str().as_bytes(), self.uri.as_bytes()]);
        let expected = hash(&[
            secret.as_bytes(),
            self.nonce.as_bytes(),
            self.written_count.as_bytes(),
            self.cnonce.as_bytes(),
            b"auth",
            subject.as_bytes(),
        ]);
        same(expected.as_bytes(), self.response.to_ascii_lowercase().as_bytes())
    }
}

/// Compares without telling by the time how much of it fits.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}
