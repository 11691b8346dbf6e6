//! A network that misbehaves by a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use trunkline_signalling::Mono;

/// A generator that is the same for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// A generator of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// True in that many of a hundred cases.
    pub const fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Percent lost.
    pub loss: u64,
    /// Percent that arrive twice.
    pub doubled: u64,
    /// Longest delay; packets overtake each other within it.
    pub delay: Duration,
}

impl Faults {
    /// A network without faults.
    pub const NONE: Self = Self { loss: 0, doubled: 0, delay: Duration::ZERO };
}

/// Who a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The gateway.
    Gateway,
    /// The caller.
    Caller,
}

/// Packets on their way.
#[derive(Debug)]
pub struct Network {
    faults: Faults,
    dice: Dice,
    flying: BTreeMap<(Mono, u64), (Side, Bytes)>,
    serial: u64,
}

impl Network {
    /// A network with those faults.
    #[must_use]
    pub const fn new(faults: Faults, seed: u64) -> Self {
        Self { faults, dice: Dice::new(seed), flying: BTreeMap::new(), serial: 0 }
    }

    /// Sends a packet, which may get lost.
    pub fn send(&mut self, to: Side, payload: &Bytes, now: Mono) {
        let copies = match (self.dice.percent(self.faults.loss), self.dice.percent(self.faults.doubled)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        };
        for _ in 0..copies {
            let longest = u64::try_from(self.faults.delay.as_micros()).unwrap_or(1).max(1);
            let delay = Duration::from_micros(self.dice.below(longest) + 1);
            self.serial += 1;
            self.flying.insert((now + delay, self.serial), (to, payload.clone()));
        }
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Mono> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    /// A packet that has arrived.
    pub fn arrived(&mut self, now: Mono) -> Option<(Side, Bytes)> {
        let (key, _) = self.flying.first_key_value()?;
        let key = *key;
        (key.0 <= now).then(|| self.flying.remove(&key)).flatten()
    }
}
