//! Who calls and who is called, from the headers of an INVITE.

use std::net::IpAddr;

use trunkline_sip::headers::{asserted_identities, privacy};
use trunkline_sip::{Request, Scheme, Uri};

use crate::e164::{MIN_DIGITS, digits};
use crate::{E164, Trunk, mask};

/// Digits of the longest numbers that are dialled without a country code: those of North America.
const LONGEST_LOCAL: usize = 10;

/// The calling party. `{:?}` masks it.
#[derive(Clone, PartialEq, Eq)]
pub enum Caller {
    /// A telephone number.
    Number(E164),
    /// Withheld, or nothing usable in From.
    Anonymous,
    /// Something that is no E.164 number: an extension, a name.
    Other(String),
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(_) | Self::Other(_) => f.write_str(&mask(&self.to_string())),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
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
    /// The caller of an INVITE: P-Asserted-Identity where the trunk is trusted, then From (RFC 3325).
    #[must_use]
    pub fn of(request: &Request, trunk: &Trunk) -> (Self, Option<String>) {
        let country = trunk.destination_country.as_deref();
        let asserted = match trunk.is_trusted() {
            true => asserted_identities(&request.headers),
            false => Vec::new(),
        };
        let from = request.from();
        let candidates = || asserted.iter().chain(from);
        let display = candidates().find_map(|party| party.display.clone());
        if privacy(&request.headers, "id") || privacy(&request.headers, "user") {
            return (Self::Anonymous, None);
        }
        let number = candidates().find_map(|party| match number_of(&party.uri, country) {
            Called::Number(number) => Some(Self::Number(number)),
            Called::Short(_) | Called::Other(_) => None,
        });
        let other = || from.map_or(Self::Anonymous, |from| plain(&from.uri));
        (number.unwrap_or_else(other), display)
    }
}

fn plain(uri: &Uri) -> Caller {
    let user = uri.user().unwrap_or_default();
    let host = uri.host().map(trunkline_sip::format_host).unwrap_or_default();
    let hidden = user.is_empty() || user.eq_ignore_ascii_case("anonymous") || host == "anonymous.invalid";
    if hidden { Caller::Anonymous } else { Caller::Other(user) }
}

/// The called party. `{:?}` masks it.
#[derive(Clone, PartialEq, Eq)]
pub enum Called {
    /// A telephone number.
    Number(E164),
    /// An emergency number or a short code: never turned into E.164.
    Short(String),
    /// Anything else.
    Other(String),
}

impl std::fmt::Debug for Called {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => std::fmt::Debug::fmt(number, f),
            Self::Short(code) => f.write_str(code),
            Self::Other(text) => f.write_str(&mask(text)),
        }
    }
}

/// The called number: of the Request-URI, or of To where that has none.
#[must_use]
pub fn called_number(request: &Request, country: Option<&str>) -> Called {
    let target = request.uri().map(|uri| number_of(&uri, country));
    match target {
        Ok(Called::Other(text)) => match request.to().map(|to| number_of(&to.uri, country)) {
            Some(Called::Number(number)) => Called::Number(number),
            _ => Called::Other(text),
        },
        Ok(called) => called,
        Err(_) => Called::Other(String::new()),
    }
}

/// Reads a number as carriers write it: with or without the plus sign, or in national format where
/// the trunk says whose.
pub(crate) fn number_of(uri: &Uri, country: Option<&str>) -> Called {
    let user = uri.user().unwrap_or_default();
    if let Some(number) = E164::parse(&user) {
        return Called::Number(number);
    }
    // Before a context could turn 112 into +49 30 112; a plus sign makes no number of one.
    if let Some(short) = digits(user.trim_start_matches('+')).filter(|digits| digits.len() < MIN_DIGITS) {
        return Called::Short(short);
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
    match national(country, &plain).or_else(|| international(&plain)) {
        Some(number) => Called::Number(number),
        None => Called::Other(plain),
    }
}

/// A number in the national format of a country, by its digits.
pub(crate) fn national(country: Option<&str>, digits: &str) -> Option<E164> {
    let number = phonenumber::parse(Some(country?.parse().ok()?), digits).ok()?;
    phonenumber::is_valid(&number).then(|| number.to_string()).as_deref().and_then(E164::parse)
}

/// A number with its country code but without the plus sign. A short one is as well a local number, so it
/// has to be one of the country that it begins with.
fn international(plain: &str) -> Option<E164> {
    let number = E164::from_digits(plain)?;
    let is_valid = || {
        let parsed = phonenumber::parse(None, number.to_string());
        parsed.is_ok_and(|parsed| phonenumber::is_valid(&parsed))
    };
    (plain.len() > LONGEST_LOCAL || is_valid()).then_some(number)
}

/// What the network vouches for about the caller (RFC 8224, ATIS-1000074): the `verstat` parameter of the
/// number in P-Asserted-Identity or From, on a trunk whose peers are believed.
#[must_use]
pub(crate) fn verification(request: &Request, trunk: &Trunk) -> Option<String> {
    if !trunk.is_trusted() {
        return None;
    }
    let asserted = asserted_identities(&request.headers);
    let mut parties = asserted.iter().chain(request.from());
    parties.find_map(|party| {
        let places = [party.uri.user_params(), party.uri.params(), party.params.clone()];
        places.iter().find_map(|params| params.value("verstat").map(str::to_owned))
    })
}

/// Whether an address is one that media should never be sent to for a stranger's word: loopback,
/// link-local, multicast, unspecified, broadcast.
#[must_use]
pub(crate) fn is_special(address: IpAddr) -> bool {
    // An IPv4 address mapped into IPv6 goes where the one that it means goes.
    match address.to_canonical() {
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
