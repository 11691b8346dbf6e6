//! Time as an argument.

use std::time::Duration;

/// Monotonic time since an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub Duration);

impl std::ops::Add<Duration> for Mono {
    type Output = Self;
    /// The latest time there is, where that lies beyond it.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Mono {
    /// Time passed since `earlier`; zero where that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The present: monotonic for deadlines, UTC for records and schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic.
    pub mono: Mono,
    /// Since the Unix epoch.
    pub utc: Duration,
}

/// The timer values of RFC 3261 §17.1.1.1 and Table 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate; first retransmission interval.
    pub t1: Duration,
    /// Longest retransmission interval of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// How long a message may linger in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// 64×T1: timers B, F, H, J, L and M, and how long a 2xx waits for its ACK.
    #[must_use]
    pub fn transaction_timeout(&self) -> Duration {
        self.t1 * 64
    }

    /// The interval after `current`: doubled, at most T2.
    #[must_use]
    pub fn backed_off(&self, current: Duration) -> Duration {
        (current * 2).min(self.t2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_the_last_is_the_last() {
        let late = Mono(Duration::from_secs(7)) + Duration::MAX;
        assert_eq!(late, Mono(Duration::MAX));
        assert_eq!(late.since(Mono(Duration::MAX)), Duration::ZERO);
    }
}
