//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966).
//!
//! A [`Uri`] keeps the text it was read from, so that a Contact goes back out as a Request-URI
//! byte for byte, and knows where its parts lie in it.

use std::ops::Range;

use crate::host::{HostPort, parse_host_port};
use crate::{Host, Params, text};

/// Scheme of a URI, compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the schemes' names")]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    Other(Box<str>),
}

/// A URI as it was written, with its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    text: Box<str>,
    scheme: Scheme,
    /// User part (SIP) or number (tel).
    user: Option<Range<usize>>,
    host: Option<HostPort>,
    params: Range<usize>,
    headers: Range<usize>,
}

/// Why a text is no URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No colon, or something that is no scheme before it.
    #[error("a URI starts with a scheme and a colon, like sip:")]
    NoScheme,
    /// Blank or control character inside.
    #[error("a URI has no blanks and no control characters")]
    Blank,
    /// The host or the port of a sip: or sips: URI cannot be read.
    #[error("the host or the port of the URI cannot be read")]
    BadHost,
    /// A tel: URI without digits.
    #[error("a tel: URI needs a number")]
    NoNumber,
}

impl Uri {
    /// Reads a URI. Schemes other than `sip`, `sips` and `tel` are kept as they are.
    ///
    /// # Errors
    /// See [`UriError`].
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let colon = text.find(':').ok_or(UriError::NoScheme)?;
        let name = &text[..colon];
        let legal = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !legal {
            return Err(UriError::NoScheme);
        }
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(UriError::Blank);
        }
        let start = colon + 1;
        let is = |scheme: &str| name.eq_ignore_ascii_case(scheme);
        if is("sip") {
            return parse_sip(text, Scheme::Sip, start);
        }
        if is("sips") {
            return parse_sip(text, Scheme::Sips, start);
        }
        if is("tel") {
            return parse_tel(text, start);
        }
        Ok(Self {
            scheme: Scheme::Other(name.to_ascii_lowercase().into()),
            user: None,
            host: None,
            params: text.len()..text.len(),
            headers: text.len()..text.len(),
            text: text.into(),
        })
    }

    /// The URI as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Whether the scheme is `sip` or `sips`.
    #[must_use]
    pub const fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part or tel number without its parameters and password, escapes resolved.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        let raw = &self.text[self.user.clone()?];
        let plain = raw.split([';', ':']).next().unwrap_or(raw);
        Some(text::unescape(plain))
    }

    /// Parameters inside the user part (`+1415…;npdi;rn=…@`) or of the tel number.
    #[must_use]
    pub fn user_params(&self) -> Params {
        match (&self.scheme, &self.user) {
            (Scheme::Tel, _) => self.params(),
            (_, Some(user)) => {
                let raw = self.text[user.clone()].split(':').next().unwrap_or("");
                Params::parse(raw.split_once(';').map_or("", |(_, params)| params))
            }
            _ => Params::default(),
        }
    }

    /// Host of a sip: or sips: URI.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref().map(|hp| &hp.host)
    }

    /// Port, where one was written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.host.as_ref().and_then(|hp| hp.port)
    }

    /// URI parameters (`;transport=tcp`).
    #[must_use]
    pub fn params(&self) -> Params {
        Params::parse(&self.text[self.params.clone()])
    }

    /// One URI parameter: `None` where it is absent, empty where it has no value.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        self.params().value(name).map(str::to_owned)
    }

    /// Header fields behind the question mark (`Replaces=…`), escapes resolved.
    pub fn headers(&self) -> impl Iterator<Item = (String, String)> {
        let all = &self.text[self.headers.clone()];
        all.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (text::unescape(name), text::unescape(value))
        })
    }

    /// The URI without its header fields, as a Request-URI must be (RFC 3261 §19.1.5).
    #[must_use]
    pub fn without_headers(&self) -> &str {
        match self.headers.is_empty() {
            true => &self.text,
            false => &self.text[..self.headers.start - 1],
        }
    }

    /// Whether a Route entry is a loose router (`;lr`, RFC 3261 §16.12).
    #[must_use]
    pub fn is_loose(&self) -> bool {
        self.params().has("lr")
    }
}

fn parse_sip(text: &str, scheme: Scheme, start: usize) -> Result<Uri, UriError> {
    let body = &text[start..];
    // An `@` ends the user part; in params or headers it must be escaped, so the last one counts
    // only within what precedes an unescaped `?` after the host. A `?` may stand in the user part.
    let at = user_end(body);
    let user = at.map(|at| start..start + at);
    let host_start = at.map_or(start, |at| start + at + 1);
    let tail = &text[host_start..];
    let question = tail.find('?').map_or(text.len(), |q| host_start + q);
    let semicolon = text[host_start..question].find(';').map_or(question, |s| host_start + s);
    let host = parse_host_port(&text[host_start..semicolon]).ok_or(UriError::BadHost)?;
    Ok(Uri {
        scheme,
        user,
        host: Some(host),
        params: semicolon..question,
        headers: (question + 1).min(text.len())..text.len(),
        text: text.into(),
    })
}

/// Position of the `@` behind the user part. Header fields may hold an unescaped `@` from careless
/// writers (`?Replaces=a@b`), so an `@` counts only if no host could have ended before it.
fn user_end(body: &str) -> Option<usize> {
    let at = body.find('@')?;
    let before = &body[..at];
    let host_ended = before.find('?').is_some_and(|q| {
        let host = before[..q].split(';').next().unwrap_or("");
        parse_host_port(host).is_some() && before[q..].contains('=')
    });
    (!host_ended).then_some(at)
}

fn parse_tel(text: &str, start: usize) -> Result<Uri, UriError> {
    let end = text[start..].find(';').map_or(text.len(), |s| start + s);
    let number = &text[start..end];
    if !number.bytes().any(|b| b.is_ascii_hexdigit() || b == b'*' || b == b'#') {
        return Err(UriError::NoNumber);
    }
    Ok(Uri {
        scheme: Scheme::Tel,
        user: Some(start..end),
        host: None,
        params: end..text.len(),
        headers: text.len()..text.len(),
        text: text.into(),
    })
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
