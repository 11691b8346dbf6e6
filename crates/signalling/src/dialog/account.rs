//! Our account at a peer: its challenges to the requests of one leg are answered, once each
//! (RFC 3261 §22.2 and §22.3, RFC 8760).
//!
//! Only a leg that we place has one, and it goes to whom the leg was placed to: a challenge that comes
//! with somebody else's call never gets an answer. The server and a proxy before it may both ask; each
//! has its own challenge.

use std::fmt;
use std::sync::Arc;

use trunkline_sip::digest::{Asked, Challenge, Credentials};
use trunkline_sip::{Request, Response};

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
        Self { account, asked: [None, None] }
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
