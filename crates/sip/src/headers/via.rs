//! Via (RFC 3261 §20.42, RFC 3581 for `rport`, RFC 5118 for IPv6).

use std::net::IpAddr;

use crate::host::{HostPort, format_host, parse_host_port};
use crate::{Host, Params};

/// One hop of a message's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// Transport as written (`UDP`, `TLS`, or one that we do not speak).
    pub transport: String,
    /// `sent-by`.
    pub sent_by: HostPort,
    /// Parameters.
    pub params: Params,
}

/// What marks a branch as one of RFC 3261's (§8.1.1.7).
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

impl Via {
    /// Reads one value: `SIP/2.0/UDP host:port;params`, blanks allowed round the slashes.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (protocol, rest) = value.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        // A Via of another version is read all the same: its request is answered 505 along it.
        let sip = protocol.trim().eq_ignore_ascii_case("SIP") && crate::text::is_token(version.trim());
        let rest = rest.trim_start();
        let end = rest.find(|c: char| c.is_ascii_whitespace())?;
        let transport = &rest[..end];
        if !sip || !crate::text::is_token(transport) {
            return None;
        }
        let sent_by = rest[end..].trim_start();
        let cut = crate::text::find_outside(sent_by, b';').unwrap_or(sent_by.len());
        Some(Self {
            transport: transport.to_owned(),
            sent_by: parse_host_port(&sent_by[..cut])?,
            params: Params::parse(&sent_by[cut..]),
        })
    }

    /// The branch, where it has one.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    /// Whether the branch follows RFC 3261 and so names the transaction by itself.
    #[must_use]
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch().is_some_and(|branch| {
            branch.len() > MAGIC_COOKIE.len()
                && branch.as_bytes()[..MAGIC_COOKIE.len()].eq_ignore_ascii_case(MAGIC_COOKIE.as_bytes())
        })
    }

    /// The `received` address. Some writers put IPv6 in brackets here, some not (RFC 5118 §4.5).
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.value("received")?;
        value.trim_matches(['[', ']']).parse().ok()
    }

    /// The port in `rport`; an empty one asks for it and gives none.
    #[must_use]
    pub fn rport(&self) -> Option<u16> {
        crate::text::number(self.params.value("rport")?).and_then(|port| u16::try_from(port).ok())
    }

    /// Records where the request came from: `received` where the sent-by says otherwise or `rport`
    /// was asked for, and the `rport` value (RFC 3261 §18.2.1, RFC 3581 §4). True where that
    /// changed anything.
    pub fn record_source(&mut self, source: std::net::SocketAddr) -> bool {
        let asked = self.params.has("rport");
        let differs = self.sent_by.host != Host::IpAddr(source.ip());
        // One that came with the request is not believed.
        let changes = asked || differs || self.params.has("received");
        if changes {
            self.params.set("received", Some(&source.ip().to_string()));
        }
        if asked {
            self.params.set("rport", Some(&source.port().to_string()));
        }
        changes
    }
}

impl std::fmt::Display for Via {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, format_host(&self.sent_by.host))?;
        if let Some(port) = self.sent_by.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}
