//! A node's file as each part of the node wants it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::random::random_bytes;
use anyhow::Context;
use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use trunkline_api::{Key, Keys, Scope};
use trunkline_call::{Advertised, Challenger, ListenerNames, Shard, ShardConfig, Spread};
use trunkline_media::PoolConfig;
use trunkline_routing::{ApiKey, ApiScope, ListenAddress, Node, RouteTable};
use trunkline_sdp::KeySeed;
use trunkline_signalling::Timers;
use trunkline_signalling::dialog::InDialogPolicy;
use trunkline_transport::{Guard, GuardLimits, Listen, LiveTls, Transport};

use crate::driver::{Dispatcher, Edges, Queues, drive};
use crate::links::TrunkLinks;
use crate::nonces::Nonces;

use super::EDGE_TIMEOUT;

/// The flood guard; it knows peers by the tables in force, and carriers that we are registered with.
pub(super) fn guard(node: &Node, table: &Arc<ArcSwap<RouteTable>>, links: &Arc<TrunkLinks>) -> Guard {
    let limits = GuardLimits {
        peer: node.sip.peer_messages_per_second,
        stranger: node.sip.stranger_messages_per_second,
        ..GuardLimits::default()
    };
    let (table, links) = (Arc::clone(table), Arc::clone(links));
    Guard::new(limits, move |source, names| {
        table.load().is_known(source, names) || links.is_registrar(source)
    })
}

/// Where records go: relative to the configuration, or under systemd to the folder that the unit was
/// given, since the configuration's own may not be written then.
pub(super) fn data_folder(folder: &Path, data_dir: &str) -> PathBuf {
    match std::env::var_os("STATE_DIRECTORY") {
        Some(state) => PathBuf::from(state).join(data_dir),
        None => folder.join(data_dir),
    }
}

/// The keys of the API.
pub(super) fn keys(keys: &[ApiKey], is_local: bool) -> Keys {
    let keys = keys.iter().map(|key| Key {
        name: key.name.as_str().into(),
        hash: key.hash,
        scope: match key.scope {
            ApiScope::Read => Scope::Read,
            ApiScope::Operate => Scope::Operate,
            ApiScope::Admin => Scope::Admin,
        },
    });
    Keys::new(keys.collect(), is_local)
}

pub(super) fn pool_config(node: &Node, threads: usize) -> PoolConfig {
    PoolConfig {
        threads,
        addresses: node.media.listen_addresses.clone(),
        ports: node.media.ports.clone(),
        no_media: node.media.no_media_timeout,
    }
}

fn shard_config(
    node: &Node,
    (index, spread): (usize, Spread),
    key: (u64, u64),
    key_seed: KeySeed,
    challenger: &Challenger,
) -> ShardConfig {
    let [t1, t2, t4] = node.sip.timers;
    ShardConfig {
        shard: u16::try_from(index).unwrap_or(u16::MAX),
        spread,
        // Each shard has a key of its own, so that their tokens never meet.
        key: (key.0 ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), key.1),
        // Calls of all shards have numbers of their own.
        key_seed,
        timers: Timers { t1, t2, t4 },
        own_addresses: own_addresses(node),
        media_addresses: node.media.listen_addresses.as_slice().into(),
        advertised: Advertised {
            listeners: listener_names(node),
            external_address: node.sip.external_address,
            external_host: node.sip.external_host.clone(),
            local_networks: node.sip.local_networks.clone(),
        },
        challenger: challenger.clone(),
        codecs: node.media.codecs.clone(),
        unknown_peers: node.sip.unknown_peers,
        in_dialog: InDialogPolicy {
            info: node.sip.accept_info,
            message: node.sip.accept_message,
            refer: false,
        },
        edge_timeout: EDGE_TIMEOUT,
    }
}

/// Starts a driver for each shard.
pub(super) fn start_shards(
    node: &Node,
    key: (u64, u64),
    queues: Vec<Queues>,
    edges: &Arc<Edges>,
) -> anyhow::Result<JoinSet<()>> {
    let no_chance = "the system gives no random bytes";
    let key_seed = KeySeed::new(random_bytes().context(no_chance)?);
    // One key and one book for all shards.
    let challenger = Challenger::new(random_bytes().context(no_chance)?, Arc::<Nonces>::default());
    // Else the first question about one would wait for them on its shard, and all its calls with it.
    std::thread::Builder::new()
        .name("plans".to_owned())
        .spawn(trunkline_routing::read_numbering_plans)
        .context("no thread could be started")?;
    let mut drivers = JoinSet::new();
    for (index, queues) in queues.into_iter().enumerate() {
        let config = shard_config(node, (index, edges.dispatcher.spread()), key, key_seed, &challenger);
        drivers.spawn(drive(Shard::new(config, edges.table.load_full()), queues, Arc::clone(edges)));
    }
    Ok(drivers)
}

/// The listeners that peers know by names of their own.
fn listener_names(node: &Node) -> Vec<ListenerNames> {
    let own = |listen: &&ListenAddress| listen.external_address.is_some() || listen.external_host.is_some();
    let names = node.sip.listen.iter().filter(own).map(|listen| ListenerNames {
        transport: listen.transport,
        listen: listen.address,
        external_address: listen.external_address,
        external_host: listen.external_host.clone(),
    });
    names.collect()
}

/// The addresses of this machine's interfaces; none where the system does not tell.
fn interfaces() -> Vec<IpAddr> {
    let list = match nix::ifaddrs::getifaddrs() {
        Ok(list) => list,
        Err(error) => {
            tracing::warn!(%error, "the system does not tell its addresses; media may be aimed at them");
            return Vec::new();
        }
    };
    list.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip().into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    })
    .collect()
}

/// What we listen on, what peers are told, and the addresses of this machine: where no caller's media
/// may go, or the gateway would talk to itself.
pub(super) fn own_addresses(node: &Node) -> Arc<[IpAddr]> {
    let listeners = node.sip.listen.iter().map(|listen| listen.address.ip());
    let written = listeners.chain(node.media.listen_addresses.iter().copied());
    let external = node.sip.listen.iter().filter_map(|listen| listen.external_address);
    let told = external.chain(node.sip.external_address);
    written.filter(|address| !address.is_unspecified()).chain(told).chain(interfaces()).collect()
}

/// Opens the SIP listeners; what they receive goes to the shards.
pub(super) fn listen(
    node: &Node,
    tls: Option<Arc<LiveTls>>,
    guard: Arc<Guard>,
    dispatcher: Dispatcher,
) -> anyhow::Result<Arc<Transport>> {
    let listeners: Vec<Listen> =
        node.sip.listen.iter().map(|l| Listen { kind: l.transport, address: l.address }).collect();
    let sink = Arc::new(move |received| dispatcher.received(received));
    Transport::bind(&listeners, tls, guard, &node.sip.name_servers, sink).context("cannot listen for SIP")
}
