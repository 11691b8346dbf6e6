//! Our account at a peer: its challenges to the requests of one leg are answered, once each
//! (RFC 3261 §22.2 and §22.3, RFC 8760).
//!
//! A leg that we place has one, and it goes to whom the leg was placed to. A leg that came to us has the one of
//! its trunk where that names the realm, and only requests that go back to the host it came from are answered
//! for: whoever calls in could else have us show what we make of the password (RFC 3261 §26.1). The server and a
//! proxy before it may both ask; each has its own challenge.
//!
//! ```text
//!              401 or 407 of our realm             2xx
//! unasked ───────────────────────────▶ tried ───────────────▶ proved: later requests are signed at once, nc + 1
//!    │                                   │ stale, once: tried with the new nonce │ a new challenge: tried
//!    └ another realm's: refused          └ any other: refused, the password is wrong
//! ```

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use trunkline_sip::digest::{Asked, Challenge, Credentials};
use trunkline_sip::{Host, Request, Response, Target};

use super::leg::{Cx, Leg};
use super::state::Dialog;
use crate::Tokens;

/// User name, password, and the realm that may ask for them.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Only challenges of this realm are answered; any realm's where absent.
    pub realm: Option<String>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account {{ username: {:?}, realm: {:?}, .. }}", self.username, self.realm)
    }
}

/// The account in use by one leg, or for the registration of one trunk.
#[derive(Debug)]
pub struct Answering {
    account: Arc<Account>,
    /// The only host that may ask, where it did not choose us but we it.
    home: Option<IpAddr>,
    /// The server's challenge, and a proxy's.
    asked: [Option<InUse>; 2],
}

/// A challenge that is answered.
#[derive(Debug)]
struct InUse {
    challenge: Challenge,
    /// Chosen with the first answer, kept as long as the nonce.
    cnonce: Option<String>,
    /// How often the nonce was used.
    count: u32,
    /// The request under way carries an answer to a challenge that came with its refusal.
    tried: bool,
}

impl InUse {
    /// Whether a new challenge may be answered in place of this one: the request under way was not
    /// refused before, or the nonce had only grown too old; that once, a server that says so again and
    /// again is not followed.
    const fn gives_way_to(&self, new: &Challenge) -> bool {
        !self.tried || (new.stale && !self.challenge.stale)
    }
}

impl Answering {
    /// Nothing was asked yet.
    #[must_use]
    pub const fn new(account: Arc<Account>) -> Self {
        Self { account, home: None, asked: [None, None] }
    }

    /// The same for a leg that came from that host.
    pub(super) const fn from_home(account: Arc<Account>, home: IpAddr) -> Self {
        Self { account, home: Some(home), asked: [None, None] }
    }

    /// Whether what goes there may show what we make of the password.
    fn goes_home(&self, dialog: &Dialog) -> bool {
        let Some(home) = self.home else { return true };
        match dialog.target() {
            Target::Flow { flow, .. } => flow.remote.ip() == home,
            Target::Hop(hop) => matches!(hop.host, Host::IpAddr(ip) if ip == home),
        }
    }

    /// Takes the challenges of a 401 or 407; whether its request is to be sent again with the answers.
    /// A second refusal means that the password is wrong.
    pub fn challenged(&mut self, response: &Response) -> bool {
        let mut again = false;
        for (proxy, asked) in [false, true].into_iter().zip(&mut self.asked) {
            let Some(challenge) = Challenge::of(&response.headers, proxy, self.account.realm.as_deref())
            else {
                continue;
            };
            if asked.as_ref().is_some_and(|before| !before.gives_way_to(&challenge)) {
                return false;
            }
            *asked = Some(InUse { challenge, cnonce: None, count: 0, tried: true });
            again = true;
        }
        again
    }

    /// The next request goes to another server: what this one asked for is not shown to it.
    pub(super) fn restart(&mut self) {
        self.asked = [None, None];
    }

    /// The request under way was taken.
    pub fn accepted(&mut self) {
        for asked in self.asked.iter_mut().flatten() {
            asked.tried = false;
        }
    }

    /// Puts the answers into a request, where challenges are known.
    pub fn sign(&mut self, request: &mut Request, tokens: &mut Tokens) {
        for asked in self.asked.iter_mut().flatten() {
            asked.count += 1;
            let cnonce = asked.cnonce.get_or_insert_with(|| tokens.token());
            let who = Credentials { username: &self.account.username, password: &self.account.password };
            let what = Asked { method: &request.method, uri: &request.target, body: &request.body };
            let answer = asked.challenge.answer(who, what, cnonce, asked.count);
            request.headers.push(asked.challenge.header(), answer);
        }
    }
}

impl Leg {
    /// Puts the answer to the peer's challenge into a request, where there was one.
    pub(super) fn sign(&mut self, request: &mut Request, cx: &mut Cx<'_>) {
        let dialog = &self.dialog;
        if let Some(answering) = self.answering.as_mut().filter(|answering| answering.goes_home(dialog)) {
            answering.sign(request, cx.tokens);
        }
    }

    /// Whether a response is a challenge that our account answers, so that its request goes out again.
    pub(super) fn challenged(&mut self, response: &Response) -> bool {
        let dialog = &self.dialog;
        let Some(answering) = self.answering.as_mut().filter(|answering| answering.goes_home(dialog)) else {
            return false;
        };
        match response.code() {
            401 | 407 => answering.challenged(response),
            200..=299 => {
                answering.accepted();
                false
            }
            _ => false,
        }
    }
}
