//! Callers that must authenticate to us (RFC 3261 §22.4, RFC 7616, RFC 8760).
//!
//! ```text
//! INVITE ─▶ 401 with a nonce that nobody remembers ─▶ INVITE with its answer
//!             ▲ wrong name, wrong password               │ right: (nonce, count) into the book
//!             └──────────────────────────────────────────┤ count not higher than before: stale
//!                                                        ▼ goes on
//! ```
//! Until a credential verifies there is no state at all, so that a flood of guesses costs hashes only.

use std::fmt;
use std::sync::Arc;

use trunkline_routing::{Secret, Trunk};
use trunkline_signalling::Now;
use trunkline_sip::digest::{Answer, Credentials, NonceKey, challenge};
use trunkline_sip::{HeaderName, Method, Request};

/// For how long a nonce may be answered, in seconds. A client that reuses one saves a round trip; one
/// that is older is asked again without troubling its user.
const NONCE_LIFE: u64 = 300;
/// The realm of trunks that name none.
const REALM: &str = "trunkline";

/// Which counts of which nonces were used: one book for all shards, kept by the edge.
pub trait NonceBook: Send + Sync + fmt::Debug {
    /// Notes an answer that verified; whether its count is higher than every one before. After `until`
    /// the nonce is of no use any more; both are seconds since the Unix epoch.
    fn takes(&self, nonce: &str, count: u32, until: u64, now: u64) -> bool;
}

/// A book in which nothing can be noted: nobody authenticates.
#[derive(Debug)]
struct Closed;

impl NonceBook for Closed {
    fn takes(&self, _: &str, _: u32, _: u64, _: u64) -> bool {
        false
    }
}

/// Makes challenges and judges their answers.
#[derive(Debug, Clone)]
pub struct Challenger {
    key: NonceKey,
    book: Arc<dyn NonceBook>,
}

impl Default for Challenger {
    fn default() -> Self {
        Self::new([0; 32], Arc::new(Closed))
    }
}

/// What the credentials in a request come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are those of that trunk.
    Proved {
        /// The trunk.
        trunk: String,
        /// The nonce that they answer, its count, and its end.
        nonce: (String, u32, u64),
    },
    /// They are to be asked for, again where the nonce was too old.
    Missing {
        /// The nonce alone was wrong.
        stale: bool,
    },
}

impl Challenger {
    /// Under a key that all shards have, with their book.
    #[must_use]
    pub fn new(key: [u8; 32], book: Arc<dyn NonceBook>) -> Self {
        Self { key: NonceKey::new(key), book }
    }

    /// Judges a request that one of `asking` is asking for credentials; notes nothing.
    pub(crate) fn judge(&self, request: &Request, asking: &[&Arc<Trunk>], now: Now) -> Verdict {
        let Some(answer) = Answer::of(&request.headers, realm(asking)) else {
            return Verdict::Missing { stale: false };
        };
        // Every trunk is tried, and a wrong name costs what a wrong password does.
        let mut proved = None;
        for trunk in asking {
            if proves(&answer, trunk, &request.method) {
                proved = proved.or(Some(trunk));
            }
        }
        match (self.key.made_at(&answer.nonce), proved) {
            (Some(made), Some(trunk)) => {
                let until = made.saturating_add(NONCE_LIFE);
                if now.utc.as_secs() > until {
                    return Verdict::Missing { stale: true };
                }
                Verdict::Proved { trunk: trunk.name.clone(), nonce: (answer.nonce, answer.count, until) }
            }
            // Its password is right, and its nonce is one from before we were started.
            (None, Some(_)) => Verdict::Missing { stale: true },
            (_, None) => Verdict::Missing { stale: false },
        }
    }

    /// Notes an answer that verified; false where it was seen before.
    pub(crate) fn takes(&self, (nonce, count, until): &(String, u32, u64), now: Now) -> bool {
        self.book.takes(nonce, *count, *until, now.utc.as_secs())
    }

    /// The fields of a 401.
    pub(crate) fn ask(
        &self,
        asking: &[&Arc<Trunk>],
        stale: bool,
        number: u64,
        now: Now,
    ) -> Vec<(HeaderName, String)> {
        let nonce = self.key.make(now.utc.as_secs(), number);
        let algorithms = asking.first().map_or(&[][..], |trunk| &trunk.challenge_algorithms);
        let asked = algorithms.iter().map(|algorithm| challenge(realm(asking), &nonce, *algorithm, stale));
        asked.map(|value| (HeaderName::WwwAuthenticate, value)).collect()
    }
}

fn realm<'a>(asking: &[&'a Arc<Trunk>]) -> &'a str {
    let named = asking.first().and_then(|trunk| trunk.auth.as_ref()?.realm.as_deref());
    named.unwrap_or(REALM)
}

fn proves(answer: &Answer, trunk: &Trunk, method: &Method) -> bool {
    let (username, password) = match &trunk.auth {
        Some(auth) => (&*auth.username, Secret::reveal(&auth.password).as_str()),
        None => ("", ""),
    };
    // Both are computed whatever the other says.
    let fits = answer.proves(Credentials { username, password }, method);
    let asked = trunk.challenge_algorithms.contains(&answer.algorithm);
    fits & asked & (answer.username == username) & trunk.auth.is_some()
}
