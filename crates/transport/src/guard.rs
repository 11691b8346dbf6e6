//! The flood guard: how many messages a source may send before they are parsed. Strangers have a
//! small allowance each and one together; peers that a trunk names have a large one each.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;

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

/// Whether an address is a peer of a trunk.
type IsPeer = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Counts messages in windows of a second.
pub struct Guard {
    limits: GuardLimits,
    is_peer: IsPeer,
    start: Instant,
    window: AtomicU64,
    strangers: AtomicU64,
    counts: DashMap<IpAddr, u32>,
    shed: AtomicU64,
}

impl Guard {
    /// A guard that asks `is_peer` who belongs to a trunk.
    #[must_use]
    pub fn new(limits: GuardLimits, is_peer: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self {
            limits,
            is_peer: Box::new(is_peer),
            start: Instant::now(),
            window: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            counts: DashMap::new(),
            shed: AtomicU64::new(0),
        }
    }

    /// Whether a message from `source` is read.
    #[must_use]
    pub fn admits(&self, source: IpAddr) -> bool {
        let second = self.start.elapsed().as_secs();
        if self.window.swap(second, Ordering::Relaxed) != second {
            self.counts.clear();
            self.strangers.store(0, Ordering::Relaxed);
        }
        let peer = (self.is_peer)(source);
        let limit = if peer { self.limits.peer } else { self.limits.stranger };
        let all = if peer { 0 } else { self.strangers.fetch_add(1, Ordering::Relaxed) };
        let counted = self.counts.len() < MAX_SOURCES || self.counts.contains_key(&source);
        let own = if counted {
            let mut count = self.counts.entry(source).or_insert(0);
            *count += 1;
            *count
        } else {
            0
        };
        let admitted = own <= limit && all < u64::from(self.limits.strangers);
        if !admitted {
            self.shed.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Whether an address belongs to a trunk.
    #[must_use]
    pub fn is_peer(&self, source: IpAddr) -> bool {
        (self.is_peer)(source)
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
        let guard = Guard::new(limits, move |source| source == peer);
        let admitted = |source: [u8; 4], count| (0..count).filter(|_| guard.admits(source.into())).count();
        assert_eq!(admitted([203, 0, 113, 1], 9), 3);
        assert_eq!(admitted([203, 0, 113, 2], 9), 1, "the common allowance is used up");
        assert_eq!(admitted([192, 0, 2, 1], 500), 500);
        assert_eq!(guard.shed(), 14);
    }
}
