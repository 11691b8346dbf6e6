//! `name-addr` and `addr-spec` with header parameters (RFC 3261 §20.10): the shape of From, To,
//! Contact, Route, Refer-To, P-Asserted-Identity, Diversion and their kin.

use crate::{Params, Uri, UriError, text};

/// A URI with an optional display name and header parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// Display name without its quotes.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Parameters of the header, such as `tag`.
    pub params: Params,
}

impl NameAddr {
    /// Reads one value (no comma list). Without angle brackets, parameters belong to the header,
    /// not to the URI (RFC 3261 §20).
    ///
    /// # Errors
    /// Where the address is no URI or a quoted name never ends.
    pub fn parse(value: &str) -> Result<Self, UriError> {
        let value = value.trim();
        if !text::quotes_balance(value) {
            return Err(UriError::Blank);
        }
        match opening_bracket(value) {
            Some(open) => {
                let close = value[open..].find('>').ok_or(UriError::Blank)? + open;
                let display = text::unquote(value[..open].trim());
                Ok(Self {
                    display: (!display.is_empty()).then_some(display),
                    uri: Uri::parse(value[open + 1..close].trim())?,
                    params: Params::parse(&value[close + 1..]),
                })
            }
            None => {
                let cut = value.find(';').unwrap_or(value.len());
                let bare = value[..cut].trim();
                Ok(Self { display: None, uri: Uri::parse(bare)?, params: Params::parse(&value[cut..]) })
            }
        }
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }
}

/// The bracket that opens the address: the first one outside a quoted display name.
fn opening_bracket(value: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    value.bytes().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return true,
            _ => {}
        }
        false
    })
}

impl std::fmt::Display for NameAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", text::quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

#[cfg(test)]
mod tests;
