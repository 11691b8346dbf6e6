//! The system's resolver, by hickory: it keeps answers for as long as their records say.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Failure, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::{Answer, Dns, DnsError, Naptr, Srv};

/// How long one try may take; there is one more.
const TRY: Duration = Duration::from_secs(2);

/// Asks the name servers that it was given, or those of `/etc/resolv.conf`.
#[derive(Clone)]
pub struct SystemDns(TokioResolver);

impl SystemDns {
    /// Asks `servers`; where there are none, those of the system's configuration.
    ///
    /// # Errors
    /// Where that cannot be read or names no server.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let mut builder = match servers {
            [] => TokioResolver::builder_tokio()?,
            given => {
                let given = given.iter().copied().map(name_server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), given);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = 1;
        Ok(Self(builder.build()?))
    }
}

/// A name server that is asked over UDP, and over TCP where an answer is too long.
fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

impl Dns for SystemDns {
    fn naptr<'a>(&'a self, domain: &'a str) -> Answer<'a, Naptr> {
        Box::pin(async move {
            let lookup =
                self.0.lookup(name(domain)?, RecordType::NAPTR).await.map_err(|error| classify(&error))?;
            let records = lookup.answers().iter().filter_map(|record| match &record.data {
                RData::NAPTR(naptr) => Some(Naptr {
                    order: naptr.order,
                    preference: naptr.preference,
                    service: String::from_utf8_lossy(&naptr.services).into_owned(),
                    replacement: naptr.replacement.to_ascii(),
                }),
                _ => None,
            });
            Ok(records.collect())
        })
    }

    fn srv<'a>(&'a self, service: &'a str) -> Answer<'a, Srv> {
        Box::pin(async move {
            let lookup = self.0.srv_lookup(name(service)?).await.map_err(|error| classify(&error))?;
            let records = lookup.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: srv.target.to_ascii(),
                }),
                _ => None,
            });
            Ok(records.collect())
        })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, IpAddr> {
        Box::pin(async move {
            let host = name(host)?;
            // Asked one by one: the joint question hides the failure of one family behind the other.
            let (four, six) = tokio::join!(self.0.ipv4_lookup(host.clone()), self.0.ipv6_lookup(host));
            let mut found = Vec::new();
            let mut problem = DnsError::NotFound;
            for family in [four, six] {
                match family {
                    Ok(lookup) => {
                        found.extend(lookup.answers().iter().filter_map(|record| record.data.ip_addr()))
                    }
                    Err(error) if classify(&error) == DnsError::Unavailable => {
                        problem = DnsError::Unavailable
                    }
                    Err(_) => {}
                }
            }
            if found.is_empty() { Err(problem) } else { Ok(found) }
        })
    }
}

/// A name that is whole, so that no search list is walked.
fn name(text: &str) -> Result<Name, DnsError> {
    let mut name = Name::from_ascii(text).map_err(|_| DnsError::NotFound)?;
    name.set_fqdn(true);
    Ok(name)
}

fn classify(error: &NetError) -> DnsError {
    match error {
        NetError::Dns(Failure::NoRecordsFound(_)) => DnsError::NotFound,
        _ => DnsError::Unavailable,
    }
}
