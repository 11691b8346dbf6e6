//! The one place where the daemon reads a clock for its machines.

use std::time::{Instant, SystemTime};

use trunkline_signalling::{Mono, Now};

/// A clock that starts when it is made.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Now {
        let utc = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now { mono: Mono(self.0.elapsed()), utc }
    }

    /// The instant of a deadline.
    #[must_use]
    pub fn instant(&self, at: Mono) -> Instant {
        self.0 + at.0
    }
}
