//! How many calls there may be, and how many new ones in a second. A call takes its place before there
//! is any state of it, and the place travels with what is to become the call: whoever waits for the last
//! call to end sees those too that are on their way to their shard.
//!
//! ```text
//! admit ─▶ Permit ── becomes ──▶ counted until the call has ended
//!             ├── hand_over ─▶ (queue of a shard) ─▶ handed_over ─▶ Permit
//!             └── dropped ───▶ given back
//! ```

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Places and their number.
#[derive(Debug)]
pub(crate) struct Admission {
    max_calls: i64,
    per_second: u64,
    draining: AtomicBool,
    /// Calls, and permits that may become calls.
    active: AtomicI64,
    /// The second in the upper half, and the calls admitted in it.
    window: AtomicU64,
}

/// Why a new call was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shed {
    Draining,
    Full,
    TooFast,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Admission);

impl Admission {
    pub(crate) const fn new(max_calls: u32, per_second: u32) -> Self {
        Self {
            max_calls: max_calls as i64,
            per_second: per_second as u64,
            draining: AtomicBool::new(false),
            active: AtomicI64::new(0),
            window: AtomicU64::new(0),
        }
    }

    /// Takes a place for a new call.
    pub(crate) fn admit(&self, second: u64) -> Result<Permit<'_>, Shed> {
        let before = self.active.fetch_add(1, Ordering::SeqCst);
        let permit = Permit(self);
        // After the place is taken: either we see the drain, or the drain sees the place.
        if self.is_draining() {
            return Err(Shed::Draining);
        }
        if before >= self.max_calls {
            return Err(Shed::Full);
        }
        let counted = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| {
            let count = if window >> 32 == second { window & u64::from(u32::MAX) } else { 0 };
            (count < self.per_second).then_some(second << 32 | (count + 1))
        });
        counted.map(|_| permit).map_err(|_| Shed::TooFast)
    }

    /// The place of a call that was handed over to its shard.
    pub(crate) const fn handed_over(&self) -> Permit<'_> {
        Permit(self)
    }

    /// Calls began that had no place.
    pub(crate) fn began(&self, calls: i64) {
        self.active.fetch_add(calls, Ordering::SeqCst);
    }

    /// A call is over, and all that is to be written of it handed over.
    pub(crate) fn ended(&self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
    }

    /// From now on there are no new calls.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Calls in progress and on their way.
    pub(crate) fn active(&self) -> i64 {
        self.active.load(Ordering::SeqCst)
    }
}

impl Permit<'_> {
    /// The place is that of the calls that began, usually one.
    pub(crate) fn becomes(self, calls: i64) {
        self.0.began(calls - 1);
        self.hand_over();
    }

    /// The place stays taken for whoever is handed the call.
    pub(crate) fn hand_over(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_unless_a_call_began() {
        let admission = Admission::new(2, 100);
        let first = admission.admit(1).expect("room");
        let second = admission.admit(1).expect("room");
        assert_eq!(admission.admit(1).err(), Some(Shed::Full), "before either has become a call");
        first.becomes(1);
        second.becomes(0);
        assert_eq!(admission.active(), 1);
        admission.admit(1).expect("room").hand_over();
        assert_eq!(admission.active(), 2, "a drain sees the call that is on its way");
        drop(admission.handed_over());
        admission.ended();
        assert_eq!(admission.active(), 0);
        admission.drain();
        assert_eq!(admission.admit(1).err(), Some(Shed::Draining));
        assert_eq!(admission.active(), 0);
    }

    #[test]
    fn a_second_admits_its_number_from_all_threads_together() {
        let admission = Admission::new(1_000_000, 50);
        for second in [7, 8] {
            let admitted: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| (0..100).filter(|_| admission.admit(second).is_ok()).count()))
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
            });
            assert_eq!(admitted, 50);
        }
    }
}
