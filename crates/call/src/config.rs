//! What a shard is told once: how we are seen, and which policies hold.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use trunkline_routing::UnknownPeers;
use trunkline_sdp::Codec;
use trunkline_signalling::Timers;
use trunkline_signalling::dialog::{InDialogPolicy, LocalAddress};
use trunkline_sip::{Flow, Transport};

/// The addresses that peers are told.
#[derive(Debug, Clone, Default)]
pub struct Advertised {
    /// Replaces the local address towards peers outside `local_networks`.
    pub external_address: Option<IpAddr>,
    /// Stands in Contact and Via over TLS, so that a reconnect verifies.
    pub external_host: Option<String>,
    /// Networks that see the local address.
    pub local_networks: Vec<IpNet>,
}

impl Advertised {
    /// The address that a peer is told, given the local one that it reached.
    #[must_use]
    pub fn address(&self, local: IpAddr, peer: IpAddr) -> IpAddr {
        let near = self.local_networks.iter().any(|network| network.contains(&peer));
        if near { local } else { self.external_address.unwrap_or(local) }
    }

    /// How we name ourselves on a flow.
    #[must_use]
    pub fn on(&self, flow: &Flow) -> LocalAddress {
        let near = self.local_networks.iter().any(|network| network.contains(&flow.remote.ip()));
        let sent_by = match &self.external_host {
            Some(host) if flow.transport == Transport::Tls && !near => {
                format!("{host}:{}", flow.local.port())
            }
            _ => {
                let address = self.address(flow.local.ip(), flow.remote.ip());
                SocketAddr::new(address, flow.local.port()).to_string()
            }
        };
        LocalAddress { sent_by, transport: flow.transport }
    }
}

/// Policies of a shard.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Which shard this is; call handles carry it.
    pub shard: u16,
    /// The key that tokens and hashes are made from.
    pub key: (u64, u64),
    /// T1, T2, T4.
    pub timers: Timers,
    /// How we are seen.
    pub advertised: Advertised,
    /// Codecs, the preferred first.
    pub codecs: Vec<Codec>,
    /// What strangers get.
    pub unknown_peers: UnknownPeers,
    /// INFO and MESSAGE.
    pub in_dialog: InDialogPolicy,
    /// A call that waits for an edge's answer for so long goes on without it.
    pub edge_timeout: Duration,
}
