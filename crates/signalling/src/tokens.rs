//! Randomness as an argument: a key comes from the edge, hashes and tokens are made from it.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher128};

/// Builds hashers whose results a peer cannot foresee, so that it cannot crowd one bucket of a
/// table keyed by what it sends.
#[derive(Clone, Copy)]
pub struct KeyedHash {
    key: (u64, u64),
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}

impl KeyedHash {
    /// A hash under `key`.
    #[must_use]
    pub const fn new(key: (u64, u64)) -> Self {
        Self { key }
    }

    /// Begins a fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Printing {
        Printing(SipHasher128::new_with_keys(self.key.0, self.key.1))
    }
}

/// A keyed hash of 128 bits that stands for what was hashed: without the key no two inputs that
/// share it can be found, and by chance none ever do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u128);

/// A fingerprint in the making. Parts are set off from one another.
#[derive(Debug)]
pub struct Printing(SipHasher128);

impl Printing {
    /// Adds a part.
    pub fn part(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.0.write_u64(number);
    }

    /// The fingerprint.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finish128().as_u128())
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

/// Tags, branches and Call-IDs: unique by a counter, unguessable by the key (RFC 3261 §19.3).
#[derive(Debug, Clone)]
pub struct Tokens {
    hash: KeyedHash,
    count: u64,
}

impl Tokens {
    /// Tokens under `key`; one key serves one shard.
    #[must_use]
    pub const fn new(key: (u64, u64)) -> Self {
        Self { hash: KeyedHash::new(key), count: 0 }
    }

    /// A fresh number.
    pub fn number(&mut self) -> u64 {
        self.count += 1;
        let mut hasher = self.hash.build_hasher();
        hasher.write_u64(self.count);
        hasher.finish()
    }

    /// A fresh tag or Call-ID of 64 bits and a counter.
    pub fn token(&mut self) -> String {
        let number = self.number();
        format!("{number:016x}{:x}", self.count)
    }

    /// A fresh branch (RFC 3261 §8.1.1.7).
    pub fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.token())
    }
}
