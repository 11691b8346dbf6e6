//! Hosts and ports (RFC 3261 §25.1 `hostport`, RFC 5118 for IPv6 references).

use std::net::{IpAddr, Ipv6Addr};

use crate::Host;

/// A host with the port that was written beside it, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address.
    pub host: Host,
    /// Port as written; `None` leaves it to RFC 3263.
    pub port: Option<u16>,
}

/// Reads a host: a name, an IPv4 address, or an IPv6 address with or without brackets.
#[must_use]
pub fn parse_host(text: &str) -> Option<Host> {
    if let Some(inner) = text.strip_prefix('[') {
        // RFC 5118 §4.10: the grammar of RFC 3261 derived one colon too many before an IPv4 tail.
        let address: Ipv6Addr = inner.strip_suffix(']')?.replace(":::", "::").parse().ok()?;
        return Some(Host::IpAddr(IpAddr::V6(address)));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Host::IpAddr(address));
    }
    let name = !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    name.then(|| Host::Domain(text.to_ascii_lowercase().into()))
}

/// Reads `host[:port]`. Blanks around the colon are taken, as some peers write them in Via.
#[must_use]
pub fn parse_host_port(text: &str) -> Option<HostPort> {
    let text = text.trim();
    let (host, rest) = if text.starts_with('[') {
        text.split_at(text.find(']')? + 1)
    } else {
        match text.find(':') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        }
    };
    let rest = rest.trim();
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(port(digits.trim())?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some(HostPort { host: parse_host(host.trim())?, port })
}

fn port(digits: &str) -> Option<u16> {
    let number = crate::text::number(digits)?;
    u16::try_from(number).ok().filter(|port| *port != 0)
}

/// A host as it stands in a URI or a Via: IPv6 in brackets.
#[must_use]
pub fn format_host(host: &Host) -> String {
    match host {
        Host::IpAddr(IpAddr::V6(address)) => format!("[{address}]"),
        Host::IpAddr(IpAddr::V4(address)) => address.to_string(),
        Host::Domain(name) => name.to_string(),
    }
}
