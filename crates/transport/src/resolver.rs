//! Finding a hop (RFC 3263, RFC 2782): NAPTR, then SRV by priority and weight, then A and AAAA. An
//! explicit port means no SRV; an explicit transport means no NAPTR. What comes out is tried in its
//! order.

mod hickory;

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use trunkline_sip::{Hop, Host, Transport as Kind};

pub use hickory::SystemDns;

/// A NAPTR record, as far as SIP reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first within an order.
    pub preference: u16,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub service: String,
    /// The name that the SRV records stand under.
    pub replacement: String,
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host.
    pub target: String,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// There is no such name, or no such record.
    #[error("no such record")]
    NotFound,
    /// The servers do not answer, or answer with a failure.
    #[error("the name servers fail")]
    Unavailable,
}

/// An answer to come.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Vec<T>, DnsError>> + Send + 'a>>;

/// What answers questions; tests have their own.
pub trait Dns: Send + Sync {
    /// NAPTR records of a domain.
    fn naptr<'a>(&'a self, domain: &'a str) -> Answer<'a, Naptr>;
    /// SRV records of a service.
    fn srv<'a>(&'a self, service: &'a str) -> Answer<'a, Srv>;
    /// A and AAAA records of a host.
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, IpAddr>;
}

/// Messages larger than this do not go over UDP where the transport is ours to choose
/// (RFC 3261 §18.1.1).
pub const MAX_UDP_BYTES: usize = 1300;

/// Where a hop may be reached, in the order to try. `bytes` is the size of the message; `dice` gives
/// numbers for the choice among SRV weights.
///
/// # Errors
/// Where nothing is found.
pub async fn resolve(
    dns: &dyn Dns,
    hop: &Hop,
    bytes: usize,
    dice: &mut (dyn FnMut() -> u64 + Send),
) -> Result<Vec<(Kind, SocketAddr)>, DnsError> {
    let large = bytes > MAX_UDP_BYTES;
    let name = match &hop.host {
        Host::IpAddr(ip) => {
            let place = |kind| (kind, SocketAddr::new(*ip, hop.port.unwrap_or(port_of(kind))));
            return Ok(kinds(hop, large).iter().copied().map(place).collect());
        }
        Host::Domain(name) => name.to_string(),
    };
    if hop.port.is_some() {
        return addresses(dns, hop, large, &name).await;
    }
    let services = match hop.transport {
        Some(kind) => vec![(kind, service_of(kind, &name))],
        None => services(dns, &name, large).await,
    };
    let mut found = Vec::new();
    let (mut unavailable, mut denied) = (false, false);
    for (kind, service) in services {
        match dns.srv(&service).await {
            Ok(records) => {
                for record in ordered(records, dice) {
                    // A root target says that the service is decidedly not there (RFC 2782).
                    if record.target == "." {
                        denied = true;
                        continue;
                    }
                    // One dead target does not hide the others.
                    let hosts = dns.addresses(&record.target).await.unwrap_or_default();
                    found.extend(hosts.into_iter().map(|ip| (kind, SocketAddr::new(ip, record.port))));
                }
            }
            Err(DnsError::NotFound) => {}
            Err(DnsError::Unavailable) => unavailable = true,
        }
    }
    match found.is_empty() {
        false => Ok(found),
        true if unavailable => Err(DnsError::Unavailable),
        true if denied => Err(DnsError::NotFound),
        true => addresses(dns, hop, large, &name).await,
    }
}

/// The transports to try where no record names one: a message that is too large for UDP goes there only
/// where TCP is refused (RFC 3261 §18.1.1).
fn kinds(hop: &Hop, large: bool) -> &[Kind] {
    match &hop.transport {
        Some(kind) => std::slice::from_ref(kind),
        None if large => &[Kind::Tcp, Kind::Udp],
        None => &[Kind::Udp],
    }
}

/// The SRV names to ask for, by NAPTR or, without it, each transport that we speak.
async fn services(dns: &dyn Dns, name: &str, large: bool) -> Vec<(Kind, String)> {
    // Some carriers' servers fail at NAPTR and know the rest, so a failure is no more than an absence.
    let mut records = dns.naptr(name).await.unwrap_or_default();
    records.sort_by_key(|record| (record.order, record.preference));
    let named = |record: &Naptr| {
        let kind = match record.service.to_ascii_uppercase().as_str() {
            "SIP+D2U" => Kind::Udp,
            "SIP+D2T" => Kind::Tcp,
            "SIPS+D2T" => Kind::Tls,
            _ => return None,
        };
        Some((kind, record.replacement.clone()))
    };
    let mut services: Vec<_> = records.iter().filter_map(named).collect();
    if services.is_empty() {
        services = [Kind::Udp, Kind::Tcp, Kind::Tls].map(|kind| (kind, service_of(kind, name))).into();
    }
    if large {
        // Whatever the domain prefers: over UDP it would not arrive whole.
        services.sort_by_key(|(kind, _)| *kind == Kind::Udp);
    }
    services
}

/// The addresses of the name itself, by each transport.
async fn addresses(
    dns: &dyn Dns,
    hop: &Hop,
    large: bool,
    name: &str,
) -> Result<Vec<(Kind, SocketAddr)>, DnsError> {
    let found = dns.addresses(name).await?;
    if found.is_empty() {
        return Err(DnsError::NotFound);
    }
    let by = |kind: &Kind| {
        let (kind, port) = (*kind, hop.port.unwrap_or(port_of(*kind)));
        found.iter().map(move |ip| (kind, SocketAddr::new(*ip, port))).collect::<Vec<_>>()
    };
    Ok(kinds(hop, large).iter().flat_map(by).collect())
}

fn service_of(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Udp => format!("_sip._udp.{name}"),
        Kind::Tls => format!("_sips._tcp.{name}"),
        _ => format!("_sip._tcp.{name}"),
    }
}

const fn port_of(kind: Kind) -> u16 {
    match kind {
        Kind::Tls => 5061,
        _ => 5060,
    }
}

/// SRV records in the order to try: by priority, and within one by weighted chance (RFC 2782).
fn ordered(mut records: Vec<Srv>, dice: &mut (dyn FnMut() -> u64 + Send)) -> Vec<Srv> {
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let group = records.iter().take_while(|record| record.priority == priority);
        let total: u64 = group.map(|record| u64::from(record.weight)).sum();
        let mut drawn = dice() % (total + 1);
        let mut chosen = 0;
        for (at, record) in records.iter().enumerate().take_while(|(_, record)| record.priority == priority) {
            chosen = at;
            if u64::from(record.weight) >= drawn {
                break;
            }
            drawn -= u64::from(record.weight);
        }
        ordered.push(records.remove(chosen));
    }
    ordered
}

#[cfg(test)]
mod tests;
