//! Who calls and who is called, from the headers of an INVITE.

use std::net::IpAddr;

use trunkline_sip::headers::{asserted_identities, privacy};
use trunkline_sip::{HeaderName, NameAddr, Request, Scheme, Uri};

use crate::E164;
use crate::e164::{MIN_DIGITS, digits};

/// The calling party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A telephone number.
    Number(E164),
    /// Withheld, or nothing usable in From.
    Anonymous,
    /// Something that is no E.164 number: an extension, a name.
    Other(String),
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Anonymous => f.write_str("anonymous"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Caller {
    /// The caller of an INVITE from a trusted trunk: P-Asserted-Identity, then From (RFC 3325).
    #[must_use]
    pub fn of(request: &Request, country: Option<&str>) -> (Self, Option<String>) {
        let asserted = asserted_identities(&request.headers);
        let from = request.from();
        let candidates: Vec<NameAddr> = asserted.into_iter().chain(from.clone()).collect();
        let display = candidates.iter().find_map(|party| party.display.clone());
        if privacy(&request.headers, "id") || privacy(&request.headers, "user") {
            return (Self::Anonymous, None);
        }
        let number = candidates.iter().find_map(|party| match number_of(&party.uri, country) {
            Called::Number(number) => Some(Self::Number(number)),
            Called::Short(_) | Called::Other(_) => None,
        });
        let other = || from.as_ref().map_or(Self::Anonymous, |from| plain(&from.uri));
        (number.unwrap_or_else(other), display)
    }
}

fn plain(uri: &Uri) -> Caller {
    let user = uri.user().unwrap_or_default();
    let host = uri.host().map(trunkline_sip::format_host).unwrap_or_default();
    let hidden = user.is_empty() || user.eq_ignore_ascii_case("anonymous") || host == "anonymous.invalid";
    if hidden { Caller::Anonymous } else { Caller::Other(user) }
}

/// The called party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// A telephone number.
    Number(E164),
    /// An emergency number or a short code: never turned into E.164.
    Short(String),
    /// Anything else.
    Other(String),
}

/// The called number: of the Request-URI, or of To where that has none.
#[must_use]
pub fn called_number(request: &Request, country: Option<&str>) -> Called {
    let target = request.uri().map(|uri| number_of(&uri, country));
    match target {
        Ok(Called::Other(text)) => {
            let to = request.headers.text(&HeaderName::To).and_then(|v| NameAddr::parse(&v).ok());
            match to.map(|to| number_of(&to.uri, country)) {
                Some(Called::Number(number)) => Called::Number(number),
                _ => Called::Other(text),
            }
        }
        Ok(called) => called,
        Err(_) => Called::Other(String::new()),
    }
}

/// Reads a number as carriers write it: with or without the plus sign, or in national format where
/// the trunk says whose.
fn number_of(uri: &Uri, country: Option<&str>) -> Called {
    let user = uri.user().unwrap_or_default();
    if let Some(number) = E164::parse(&user) {
        return Called::Number(number);
    }
    if *uri.scheme() == Scheme::Tel
        && let Some(context) = uri.param("phone-context").filter(|context| context.starts_with('+'))
        && let Some(number) = E164::parse(&format!("{context}{user}"))
    {
        return Called::Number(number);
    }
    let Some(plain) = digits(&user) else {
        return Called::Other(user);
    };
    if plain.len() < MIN_DIGITS {
        return Called::Short(plain);
    }
    let national = country.and_then(|country| country.parse().ok()).and_then(|country| {
        let number = phonenumber::parse(Some(country), &plain).ok()?;
        phonenumber::is_valid(&number).then(|| number.to_string())
    });
    match national.as_deref().and_then(E164::parse).or_else(|| E164::from_digits(&plain)) {
        Some(number) => Called::Number(number),
        None => Called::Other(plain),
    }
}

/// What the network vouches for about the caller (RFC 8224, ATIS-1000074).
#[must_use]
pub(crate) fn verification(request: &Request) -> Option<String> {
    let verstat = |name: &HeaderName| {
        let value = request.headers.text(name)?;
        let at = value.find("verstat=")?;
        let end = value[at + 8..].find([';', '>', '"', ',', ' ']).unwrap_or(value.len() - at - 8);
        Some(value[at + 8..at + 8 + end].to_owned())
    };
    verstat(&HeaderName::PAssertedIdentity).or_else(|| verstat(&HeaderName::From))
}

/// Whether an address is one that media should never be sent to for a stranger's word: loopback,
/// link-local, multicast, unspecified, broadcast.
#[must_use]
pub(crate) fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_unspecified()
                || v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_multicast() || v6.is_unspecified() || v6.is_unicast_link_local()
        }
    }
}
