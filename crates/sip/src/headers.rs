//! Typed headers: one file a family, each naming its RFC.

mod cseq;
mod forwarding;
mod identity;
mod media_type;
mod reason;
mod reliable;
mod replaces;
mod timers;
mod user_to_user;
mod via;

pub use cseq::CSeq;
pub use forwarding::{Forwarded, diversions, history};
pub use identity::{asserted_identities, privacy};
pub use media_type::MediaType;
pub use reason::Reason;
pub use reliable::{RAck, parse_rseq};
pub use replaces::Replaces;
pub use timers::{Refresher, SessionExpires, parse_delta};
pub use user_to_user::UserToUser;
pub use via::Via;

use crate::{HeaderName, Headers, Method, NameAddr};

/// Every readable `name-addr` under a header that holds a list of them (Route, Record-Route,
/// Contact, Refer-To, Referred-By). Values that are no addresses are left out.
pub fn addresses(headers: &Headers, name: &HeaderName) -> impl Iterator<Item = NameAddr> {
    headers.elements(name).filter_map(|element| NameAddr::parse(&element).ok())
}

/// Max-Forwards (RFC 3261 §20.22): 0 to 255.
#[must_use]
pub fn max_forwards(headers: &Headers) -> Option<u8> {
    let text = headers.text(&HeaderName::MaxForwards)?;
    crate::text::number(text.trim()).and_then(|hops| u8::try_from(hops).ok())
}

/// The methods that Allow names, in order; `None` where there is no Allow, which says nothing of what
/// the peer takes (RFC 3261 §20.5).
#[must_use]
pub fn allowed_methods(headers: &Headers) -> Option<Vec<Method>> {
    headers.first(&HeaderName::Allow)?;
    Some(headers.elements(&HeaderName::Allow).map(|token| Method::from_token(&token)).collect())
}

/// The option tags of Require or Supported, in order (RFC 3261 §20.32, §20.37).
pub fn option_tags(headers: &Headers, name: &HeaderName) -> impl Iterator<Item = String> {
    headers.elements(name)
}

#[cfg(test)]
mod tests;
