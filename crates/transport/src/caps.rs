//! How many connections there may be: in all, and of one stranger.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

/// Most connections of one stranger.
const MAX_PER_STRANGER: usize = 8;
/// Most connections of one peer of a trunk: carriers keep a few, a proxy one a transport. It bounds what
/// a single host may take where a trunk is open to anyone.
const MAX_PER_PEER: usize = 256;
/// Most connections in all, of which strangers may hold half; further ones are closed as they come.
const MAX_CONNECTIONS: usize = 10_000;

/// Counts connections.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    open: AtomicUsize,
    per_source: DashMap<IpAddr, usize>,
}

/// A place under the caps, given back when dropped.
pub(crate) struct Place {
    caps: Arc<Caps>,
    source: IpAddr,
}

impl Caps {
    /// Takes a place; `None` where there is none left.
    pub(crate) fn place(self: &Arc<Self>, source: IpAddr, stranger: bool) -> Option<Place> {
        let source = subscriber(source);
        let limit = if stranger { MAX_CONNECTIONS / 2 } else { MAX_CONNECTIONS };
        let held = self.per_source.get(&source).map_or(0, |held| *held);
        let own = if stranger { MAX_PER_STRANGER } else { MAX_PER_PEER };
        if self.open.load(Ordering::Relaxed) >= limit || held >= own {
            return None;
        }
        *self.per_source.entry(source).or_insert(0) += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Place { caps: Arc::clone(self), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
        let left = self.caps.per_source.get_mut(&self.source).map(|mut own| {
            *own -= 1;
            *own
        });
        if left == Some(0) {
            self.caps.per_source.remove_if(&self.source, |_, own| *own == 0);
        }
    }
}

/// Whom an address counts for: an IPv6 subscriber has a whole /64.
pub(crate) fn subscriber(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
        IpAddr::V4(_) => source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_holds_eight_and_gets_them_back() {
        let caps = Arc::new(Caps::default());
        let stranger = "2001:db8::1".parse().expect("address");
        let neighbour = "2001:db8::ffff".parse().expect("address");
        let held: Vec<Place> = (0..MAX_PER_STRANGER).filter_map(|_| caps.place(stranger, true)).collect();
        assert_eq!(held.len(), MAX_PER_STRANGER);
        assert!(caps.place(neighbour, true).is_none(), "one subscriber has a whole /64");
        assert!(caps.place(stranger, false).is_some(), "a trunk's peer is under no such limit");
        drop(held);
        assert!(caps.place(neighbour, true).is_some());
        assert!(caps.per_source.is_empty());
    }

    #[test]
    fn one_peer_does_not_take_every_place() {
        let caps = Arc::new(Caps::default());
        let peer = "192.0.2.1".parse().expect("address");
        let held: Vec<Place> = (0..1000).filter_map(|_| caps.place(peer, false)).collect();
        assert_eq!(held.len(), MAX_PER_PEER);
        assert!(caps.place("192.0.2.2".parse().expect("address"), false).is_some());
    }

    #[test]
    fn strangers_leave_half_of_all_places_to_peers() {
        let caps = Arc::new(Caps::default());
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        let all = u32::try_from(MAX_CONNECTIONS).expect("small");
        let strangers: Vec<Place> = (0..all).filter_map(|n| caps.place(address(n), true)).collect();
        assert_eq!(strangers.len(), MAX_CONNECTIONS / 2);
        let peers: Vec<Place> = (0..all).filter_map(|n| caps.place(address(n), false)).collect();
        assert_eq!(peers.len(), MAX_CONNECTIONS / 2);
    }
}
