//! How many requests one key, or one address without a key, may make: a bucket each, which fills with
//! time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Sources that are told apart; those beyond share one bucket.
const MAX_SOURCES: usize = 4096;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Key(Arc<str>),
    Address(IpAddr),
    /// Everyone for whom there is no room.
    Others,
}

struct Bucket {
    /// What is in it.
    left: f64,
    seen: Instant,
}

/// The buckets.
pub(crate) struct Limiter {
    per_second: f64,
    buckets: Mutex<HashMap<Source, Bucket>>,
}

impl Limiter {
    /// So many a second; a second's worth may come at once.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second.max(1)), buckets: Mutex::default() }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&self, source: Source) -> bool {
        self.take_at(source, Instant::now())
    }

    /// Gives back one that was taken of late.
    pub(crate) fn give_back(&self, source: &Source) {
        // Held for a look and a sum.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = if buckets.contains_key(source) { source } else { &Source::Others };
        if let Some(bucket) = buckets.get_mut(known) {
            bucket.left = (bucket.left + 1.0).min(self.per_second);
        }
    }

    fn take_at(&self, source: Source, now: Instant) -> bool {
        // Held for a look and a sum.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_SOURCES && !buckets.contains_key(&source) {
            // A bucket that is full again is as good as none.
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.seen) < Duration::from_secs(1));
        }
        let full = buckets.len() >= MAX_SOURCES && !buckets.contains_key(&source);
        let source = if full { Source::Others } else { source };
        let bucket = buckets.entry(source).or_insert(Bucket { left: self.per_second, seen: now });
        let since = now.saturating_duration_since(bucket.seen).as_secs_f64();
        bucket.left = (bucket.left + since * self.per_second).min(self.per_second);
        bucket.seen = now;
        let has = bucket.left >= 1.0;
        if has {
            bucket.left -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_own_second_and_fills_again() {
        let (limiter, start) = (Limiter::new(10), Instant::now());
        let (one, other) = (Source::Key("a".into()), Source::Address([10, 0, 0, 1].into()));
        let taken = (0..30).filter(|_| limiter.take_at(one.clone(), start)).count();
        assert_eq!(taken, 10);
        assert!(limiter.take_at(other, start), "another source has its own");
        let later = start + Duration::from_millis(500);
        let taken = (0..30).filter(|_| limiter.take_at(one.clone(), later)).count();
        assert_eq!(taken, 5);
    }

    #[test]
    fn what_is_given_back_may_be_taken_again_and_no_more() {
        let (limiter, start) = (Limiter::new(2), Instant::now());
        let source = Source::Address([10, 0, 0, 1].into());
        assert!(limiter.take_at(source.clone(), start));
        for _ in 0..5 {
            limiter.give_back(&source);
        }
        let taken = (0..5).filter(|_| limiter.take_at(source.clone(), start)).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_room() {
        let (limiter, start) = (Limiter::new(1), Instant::now());
        let address = |n: u32| Source::Address(IpAddr::from(n.to_be_bytes()));
        let let_in = (0..3 * MAX_SOURCES as u32).filter(|n| limiter.take_at(address(*n), start)).count();
        assert_eq!(let_in, MAX_SOURCES + 1, "the rest shares one bucket");
        assert_eq!(limiter.buckets.lock().expect("sound").len(), MAX_SOURCES + 1);
        assert!(limiter.take_at(address(u32::MAX), start + Duration::from_secs(2)), "and room comes again");
    }
}
