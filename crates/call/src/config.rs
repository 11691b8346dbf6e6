//! What a shard is told once: how we are seen, and which policies hold.

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use trunkline_routing::UnknownPeers;
use trunkline_sdp::{Codec, KeySeed};
use trunkline_signalling::dialog::{InDialogPolicy, LocalAddress};
use trunkline_signalling::{KeyedHash, Timers, Tokens};
use trunkline_sip::{Flow, Transport};

use crate::Challenger;

/// What peers of one listener are told, where that is not what they are told in general.
#[derive(Debug, Clone)]
pub struct ListenerNames {
    /// Its transport.
    pub transport: Transport,
    /// Its address, which may be unspecified, and port.
    pub listen: SocketAddr,
    /// Instead of [`Advertised::external_address`].
    pub external_address: Option<IpAddr>,
    /// Instead of [`Advertised::external_host`].
    pub external_host: Option<String>,
}

impl ListenerNames {
    fn hears(&self, flow: &Flow) -> bool {
        let (own, reached) = (self.listen, flow.local);
        let any = own.ip().is_unspecified() && own.is_ipv4() == reached.is_ipv4();
        self.transport == flow.transport && own.port() == reached.port() && (any || own.ip() == reached.ip())
    }
}

/// The addresses that peers are told.
#[derive(Debug, Clone, Default)]
pub struct Advertised {
    /// Listeners with names of their own.
    pub listeners: Vec<ListenerNames>,
    /// Replaces the local address towards peers outside `local_networks`.
    pub external_address: Option<IpAddr>,
    /// Stands in Contact and Via over TLS, so that a reconnect verifies.
    pub external_host: Option<String>,
    /// Networks that see the local address.
    pub local_networks: Vec<IpNet>,
}

impl Advertised {
    /// The address that the peer of a flow is told in place of `local`.
    #[must_use]
    pub fn address(&self, local: IpAddr, flow: &Flow) -> IpAddr {
        let own = self.listener(flow).and_then(|names| names.external_address);
        let external = own.or(self.external_address).filter(|address| address.is_ipv4() == local.is_ipv4());
        if self.is_near(flow) { local } else { external.unwrap_or(local) }
    }

    /// How we name ourselves on a flow.
    #[must_use]
    pub fn on(&self, flow: &Flow) -> LocalAddress {
        let own = self.listener(flow).and_then(|names| names.external_host.as_ref());
        let sent_by = match own.or(self.external_host.as_ref()) {
            Some(host) if flow.transport == Transport::Tls && !self.is_near(flow) => {
                format!("{host}:{}", flow.local.port())
            }
            _ => SocketAddr::new(self.address(flow.local.ip(), flow), flow.local.port()).to_string(),
        };
        LocalAddress { sent_by, transport: flow.transport }
    }

    fn listener(&self, flow: &Flow) -> Option<&ListenerNames> {
        self.listeners.iter().find(|names| names.hears(flow))
    }

    fn is_near(&self, flow: &Flow) -> bool {
        self.local_networks.iter().any(|network| network.contains(&flow.remote.ip()))
    }
}

/// How Call-IDs are spread over the shards. Those that we mint carry their shard, so that all legs of a call
/// live together.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    hash: KeyedHash,
    shards: usize,
}

impl Spread {
    /// Over so many shards, of which there is at least one.
    #[must_use]
    pub const fn over(shards: usize, hash: KeyedHash) -> Self {
        Self { hash, shards }
    }

    /// The shard of a Call-ID.
    #[must_use]
    pub fn shard_of(&self, call_id: &[u8]) -> usize {
        let mut hasher = self.hash.build_hasher();
        hasher.write(call_id);
        (hasher.finish() % self.shards.max(1) as u64) as usize
    }

    /// Whether a Call-ID belongs to that shard.
    #[must_use]
    pub fn is_of(&self, call_id: &[u8], shard: usize) -> bool {
        self.shards <= 1 || self.shard_of(call_id) == shard
    }

    /// A fresh Call-ID whose messages go to that shard.
    #[must_use]
    pub fn call_id_of(&self, shard: usize, tokens: &mut Tokens) -> String {
        loop {
            let call_id = tokens.token();
            if self.is_of(call_id.as_bytes(), shard) {
                return call_id;
            }
        }
    }
}

/// Policies of a shard.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Which shard this is; call handles carry it.
    pub shard: u16,
    /// How Call-IDs are spread over the shards.
    pub spread: Spread,
    /// The key that tokens and hashes are made from.
    pub key: (u64, u64),
    /// What SRTP keys are made from: random bytes of the system's.
    pub key_seed: KeySeed,
    /// T1, T2, T4.
    pub timers: Timers,
    /// How we are seen.
    pub advertised: Advertised,
    /// Addresses of the node itself, where no caller's media may be sent.
    pub own_addresses: Arc<[IpAddr]>,
    /// Addresses that media ports are opened on, as configured.
    pub media_addresses: Arc<[IpAddr]>,
    /// Codecs, the preferred first.
    pub codecs: Vec<Codec>,
    /// What strangers get.
    pub unknown_peers: UnknownPeers,
    /// How callers authenticate to us.
    pub challenger: Challenger,
    /// INFO and MESSAGE.
    pub in_dialog: InDialogPolicy,
    /// A call that waits for an edge's answer for so long goes on without it.
    pub edge_timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(transport: Transport, local: &str, remote: &str) -> Flow {
        let (local, remote) = (local.parse().expect("address"), remote.parse().expect("address"));
        Flow { transport, local, remote, connection: None }
    }

    #[test]
    fn peers_are_told_the_outside_address_near_ones_the_local_one() {
        let advertised = Advertised {
            listeners: Vec::new(),
            external_address: Some([203, 0, 113, 7].into()),
            external_host: Some("sip.example.com".to_owned()),
            local_networks: vec!["10.0.0.0/8".parse().expect("network")],
        };
        let told = |transport, local, remote| advertised.on(&flow(transport, local, remote)).sent_by;
        assert_eq!(told(Transport::Udp, "10.0.0.5:5060", "198.51.100.1:5060"), "203.0.113.7:5060");
        assert_eq!(told(Transport::Udp, "10.0.0.5:5060", "10.9.9.9:5060"), "10.0.0.5:5060");
        assert_eq!(told(Transport::Tls, "10.0.0.5:5061", "198.51.100.1:5061"), "sip.example.com:5061");
        assert_eq!(told(Transport::Tls, "10.0.0.5:5061", "10.9.9.9:5061"), "10.0.0.5:5061");
        // An IPv4 address is no use to an IPv6 peer.
        assert_eq!(told(Transport::Udp, "[2001:db8::5]:5060", "[2001:db8::9]:5060"), "[2001:db8::5]:5060");
    }
    #[test]
    fn a_call_id_of_ours_belongs_to_its_shard_and_others_are_spread_over_all() {
        for shards in 1..=8 {
            let spread = Spread::over(shards, KeyedHash::new((1, 2)));
            let mut tokens = Tokens::new((3, 4));
            for shard in 0..shards {
                assert_eq!(spread.shard_of(spread.call_id_of(shard, &mut tokens).as_bytes()), shard);
            }
            let seen: std::collections::BTreeSet<_> =
                (0..1000).map(|n| spread.shard_of(format!("{n}@carrier").as_bytes())).collect();
            assert_eq!(seen.len(), shards);
        }
    }

    #[test]
    fn a_listener_may_have_names_of_its_own() {
        let names = |transport, listen: &str, address: [u8; 4], host: &str| ListenerNames {
            transport,
            listen: listen.parse().expect("address"),
            external_address: Some(address.into()),
            external_host: Some(host.to_owned()),
        };
        let advertised = Advertised {
            listeners: vec![
                names(Transport::Udp, "10.0.0.5:5060", [203, 0, 113, 8], "a.example.com"),
                names(Transport::Tls, "0.0.0.0:5061", [203, 0, 113, 9], "b.example.com"),
            ],
            external_address: Some([203, 0, 113, 7].into()),
            external_host: None,
            local_networks: Vec::new(),
        };
        let told = |transport, local| advertised.on(&flow(transport, local, "198.51.100.1:5060")).sent_by;
        assert_eq!(told(Transport::Udp, "10.0.0.5:5060"), "203.0.113.8:5060");
        assert_eq!(told(Transport::Tls, "10.1.1.1:5061"), "b.example.com:5061");
        // Another listener, of another transport or address, has the general name.
        assert_eq!(told(Transport::Tcp, "10.0.0.5:5060"), "203.0.113.7:5060");
        assert_eq!(told(Transport::Udp, "10.0.0.6:5060"), "203.0.113.7:5060");
        let media = advertised
            .address([10, 0, 0, 5].into(), &flow(Transport::Udp, "10.0.0.5:5060", "198.51.100.1:5060"));
        assert_eq!(media, IpAddr::from([203, 0, 113, 8]), "media is told the listener's address too");
    }
}
