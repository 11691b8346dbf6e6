//! Who may do what: bearer keys (RFC 6750), known by their SHA-256 only, each with a scope.
//!
//! Without keys everyone who reaches the listener may do everything, so it is on loopback then, and
//! what a browser sends on behalf of a page of somebody else's is refused.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::limit::{Limiter, Source};
use crate::server::Peer;
use crate::{Problem, Shared};

/// What a key allows; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To look.
    Read,
    /// To place and to steer calls.
    Operate,
    /// To have the tables read again.
    Admin,
}

impl Scope {
    /// As the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

/// A key that the daemon takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What the log calls it.
    pub name: Arc<str>,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// What it allows.
    pub scope: Scope,
}

/// All keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<Key>,
    open: bool,
}

impl Keys {
    /// These keys. Without any, an API that only this machine reaches is open; any other is closed.
    #[must_use]
    pub const fn new(keys: Vec<Key>, is_local: bool) -> Self {
        let open = keys.is_empty() && is_local;
        Self { keys, open }
    }

    /// Whether everyone may do everything.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// The key that somebody shows. How long it takes tells nothing of the keys there are.
    #[must_use]
    pub fn find(&self, shown: &str) -> Option<&Key> {
        let hash = hash(shown);
        self.keys.iter().fold(None, |found, key| if same(&key.hash, &hash) { Some(key) } else { found })
    }

    /// Whether a secret is a key that allows so much.
    #[must_use]
    pub fn allows(&self, shown: &str, scope: Scope) -> bool {
        self.find(shown).is_some_and(|key| key.scope >= scope)
    }
}

/// What is kept of a key.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Compares secrets without telling by the time how much of them fits.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// Who makes a request: the name of its key, nothing where the API is open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller(pub(crate) Option<Arc<str>>);

/// What stands before routes of one scope.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) backend: Shared,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) scope: Scope,
}

/// Lets a request through whose key allows it and whose turn it is.
pub(crate) async fn check(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let keys = gate.backend.keys();
    let shown = bearer(request.headers());
    let key = shown.and_then(|shown| keys.find(shown));
    let source = match key {
        Some(key) => Source::Key(Arc::clone(&key.name)),
        None => address(&request),
    };
    if !gate.limiter.take(source) {
        return too_many().into_response();
    }
    match (keys.is_open(), key) {
        (true, _) if is_foreign(request.headers()) => {
            let detail = "without keys the API takes no requests of web pages, nor under names but localhost";
            return Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail).into_response();
        }
        (true, _) => {}
        (false, None) => return unauthorized(shown.is_some()).into_response(),
        (false, Some(key)) if key.scope < gate.scope => return lacks(gate.scope).into_response(),
        (false, Some(_)) => {}
    }
    let name = key.map(|key| Arc::clone(&key.name));
    request.extensions_mut().insert(Caller(name.clone()));
    let looks = request.method() == Method::GET;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if !looks {
        let key = name.as_deref().unwrap_or("-");
        tracing::info!(key, %method, path, status = response.status().as_u16(), "asked by the API");
    }
    response
}

/// Stands before routes that have secrets of their own: wrong ones are counted, so that nobody may guess
/// without end. What shows the right one costs nothing: a host may run many agents.
pub(crate) async fn count_guesses(
    State(limiter): State<Arc<Limiter>>,
    request: Request,
    next: Next,
) -> Response {
    let source = address(&request);
    // Before the secret is looked at, or requests that come together would all be.
    if !limiter.take(source.clone()) {
        return too_many().into_response();
    }
    let response = next.run(request).await;
    if response.status() != StatusCode::UNAUTHORIZED {
        limiter.give_back(&source);
    }
    response
}

/// The address that a request came from.
fn address(request: &Request) -> Source {
    let peer = request.extensions().get::<Peer>();
    Source::Address(peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0))
}

fn too_many() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "slow down")
        .header(header::RETRY_AFTER, "1")
}

/// Whether who shows this may still look.
pub(crate) fn may_read(keys: &Keys, headers: &HeaderMap) -> bool {
    keys.is_open() || bearer(headers).is_some_and(|shown| keys.allows(shown, Scope::Read))
}

pub(crate) fn unauthorized(shown: bool) -> Problem {
    let (detail, challenge) = match shown {
        true => ("there is no such API key", "Bearer realm=\"trunkline\", error=\"invalid_token\""),
        false => ("show an API key as a bearer", "Bearer realm=\"trunkline\""),
    };
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).header(header::WWW_AUTHENTICATE, challenge)
}

fn lacks(scope: Scope) -> Problem {
    let name = scope.name();
    let challenge = format!("Bearer realm=\"trunkline\", error=\"insufficient_scope\", scope=\"{name}\"");
    Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", &format!("this takes a key of scope {name}"))
        .header(header::WWW_AUTHENTICATE, &challenge)
}

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a browser sends this for a page from elsewhere: by its `Origin`, or under a name that was
/// made to point here.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let host = text(header::HOST).is_some_and(|host| !is_here(host));
    let origin = text(header::ORIGIN)
        .is_some_and(|origin| !origin.split_once("://").is_some_and(|(_, host)| is_here(host)));
    host || origin
}

/// Whether a host, with or without a port, is this machine.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str, scope: Scope) -> Key {
        Key { name: name.into(), hash: hash(secret), scope }
    }

    #[test]
    fn a_key_is_found_by_its_hash_and_allows_its_scope_and_less() {
        let keys = vec![key("a", "one", Scope::Read), key("b", "two", Scope::Operate)];
        let keys = Keys::new(keys, true);
        assert!(!keys.is_open());
        assert_eq!(keys.find("two").map(|key| &*key.name), Some("b"));
        assert_eq!(keys.find("three"), None);
        assert!(keys.allows("two", Scope::Read) && keys.allows("two", Scope::Operate));
        assert!(!keys.allows("two", Scope::Admin) && !keys.allows("one", Scope::Operate));
        // FIPS 180-2, "abc".
        assert_eq!(hash("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn without_keys_only_this_machine_is_let_in() {
        assert!(Keys::new(Vec::new(), true).is_open());
        assert!(!Keys::new(Vec::new(), false).is_open());
    }

    #[test]
    fn pages_from_elsewhere_are_known_by_origin_and_host() {
        let headers = |fields: &[(header::HeaderName, &str)]| {
            let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value")));
            fields.collect::<HeaderMap>()
        };
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "127.0.0.1:80"] {
            assert!(!is_foreign(&headers(&[(header::HOST, host)])), "{host}");
        }
        assert!(!is_foreign(&headers(&[(header::ORIGIN, "http://localhost:3000")])));
        for origin in ["http://evil.example", "null", "http://127.0.0.1.evil.example"] {
            let fields = [(header::HOST, "localhost"), (header::ORIGIN, origin)];
            assert!(is_foreign(&headers(&fields)), "{origin}");
        }
        assert!(is_foreign(&headers(&[(header::HOST, "rebound.example:8080")])));
    }
}
