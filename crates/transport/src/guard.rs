//! The flood guard: how many messages a source may send before they are parsed. Strangers have a
//! small allowance each and one together; peers that a trunk names have a large one each.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use trunkline_sip::PeerNames;

use crate::caps::subscriber;

/// Messages a second.
#[derive(Debug, Clone, Copy)]
pub struct GuardLimits {
    /// From one stranger.
    pub stranger: u32,
    /// From all strangers together.
    pub strangers: u32,
    /// From one peer.
    pub peer: u32,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { stranger: 20, strangers: 2000, peer: 20_000 }
    }
}

/// Most sources counted in a second; beyond it only the common allowance holds for strangers.
const MAX_SOURCES: usize = 10_000;

/// Whether an address, or a name of a verified certificate, belongs to a trunk.
type IsPeer = Box<dyn Fn(IpAddr, &[String]) -> bool + Send + Sync>;

/// Counts messages in windows of a second.
pub struct Guard {
    limits: GuardLimits,
    is_peer: IsPeer,
    start: Instant,
    window: AtomicU64,
    strangers: AtomicU64,
    counts: DashMap<IpAddr, u32>,
    /// Entries of `counts`.
    sources: AtomicUsize,
    shed: AtomicU64,
}

impl Guard {
    /// A guard that asks `is_peer` who belongs to a trunk.
    #[must_use]
    pub fn new(
        limits: GuardLimits,
        is_peer: impl Fn(IpAddr, &[String]) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            limits,
            is_peer: Box::new(is_peer),
            start: Instant::now(),
            window: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            counts: DashMap::new(),
            sources: AtomicUsize::new(0),
            shed: AtomicU64::new(0),
        }
    }

    /// Whether a message from `source` is read.
    #[must_use]
    pub fn admits(&self, source: IpAddr, names: &PeerNames) -> bool {
        let second = self.start.elapsed().as_secs();
        if self.window.swap(second, Ordering::Relaxed) != second {
            self.counts.clear();
            self.sources.store(0, Ordering::Relaxed);
            self.strangers.store(0, Ordering::Relaxed);
        }
        let peer = self.is_peer(source, names);
        let limit = if peer { self.limits.peer } else { self.limits.stranger };
        let all = if peer { 0 } else { self.strangers.fetch_add(1, Ordering::Relaxed) };
        let own = self.count(source);
        let admitted = own <= limit && all < u64::from(self.limits.strangers);
        if !admitted {
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// How many messages of this second came from `source`; 0 where there are too many sources.
    fn count(&self, source: IpAddr) -> u32 {
        let source = subscriber(source);
        if let Some(mut count) = self.counts.get_mut(&source) {
            *count += 1;
            return *count;
        }
        if self.sources.fetch_add(1, Ordering::Relaxed) >= MAX_SOURCES {
            return 0;
        }
        let mut count = self.counts.entry(source).or_insert(0);
        *count += 1;
        *count
    }

    /// Whether an address or a certificate's name belongs to a trunk.
    #[must_use]
    pub fn is_peer(&self, source: IpAddr, names: &PeerNames) -> bool {
        (self.is_peer)(source, names.as_deref().unwrap_or_default())
    }

    /// Messages not read so far.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_limited_each_and_together_and_peers_are_not() {
        let peer = IpAddr::from([192, 0, 2, 1]);
        let limits = GuardLimits { stranger: 3, strangers: 10, peer: 1000 };
        let guard = Guard::new(limits, move |source, _| source == peer);
        let admitted =
            |source: [u8; 4], count| (0..count).filter(|_| guard.admits(source.into(), &None)).count();
        assert_eq!(admitted([203, 0, 113, 1], 9), 3);
        assert_eq!(admitted([203, 0, 113, 2], 9), 1, "the common allowance is used up");
        assert_eq!(admitted([192, 0, 2, 1], 500), 500);
        assert_eq!(admitted([192, 0, 2, 1], 600), 500, "a peer has a limit of its own");
        assert_eq!(guard.shed(), 114);
    }

    #[test]
    fn the_addresses_of_one_subscriber_are_one_source() {
        let limits = GuardLimits { stranger: 3, strangers: 100, peer: 1000 };
        let guard = Guard::new(limits, |_, _| false);
        let address = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        assert_eq!((0..50).filter(|n| guard.admits(address(*n), &None)).count(), 3);
        assert!(guard.admits(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1]), &None), "a neighbour's /64");
    }
}
