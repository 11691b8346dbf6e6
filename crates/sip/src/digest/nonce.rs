//! Nonces that need no memory: the time at which one was made, a number that is never the same, and
//! their HMAC (RFC 2104) under a key that all shards have. Whoever shows one that we did not make is
//! told so from the nonce alone.

use std::fmt;

use sha2::Sha256;
use sha2::digest::Digest;

use super::answer::same;
use super::hex;

/// Block size of SHA-256, in bytes.
const BLOCK: usize = 64;
/// Digits of the time and of the number in front of the HMAC.
const HEAD: usize = 16 + 16;

/// Makes and reads nonces.
#[derive(Clone, Copy)]
pub struct NonceKey([u8; 32]);

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(..)")
    }
}

impl NonceKey {
    /// Under that key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A nonce made at `second`; `number` sets it off from others of the same second.
    #[must_use]
    pub fn make(&self, second: u64, number: u64) -> String {
        let mut nonce = format!("{second:016x}{number:016x}");
        let mac = self.mac(nonce.as_bytes());
        nonce += &mac;
        nonce
    }

    /// When a nonce was made; `None` where it was not made with this key.
    #[must_use]
    pub fn made_at(&self, nonce: &str) -> Option<u64> {
        let (head, mac) = (nonce.get(..HEAD)?, nonce.get(HEAD..)?);
        let ours = same(self.mac(head.as_bytes()).as_bytes(), mac.as_bytes());
        u64::from_str_radix(head.get(..16)?, 16).ok().filter(|_| ours)
    }

    fn mac(&self, text: &[u8]) -> String {
        let pad = |with: u8| {
            let mut block = [with; BLOCK];
            for (byte, key) in block.iter_mut().zip(self.0) {
                *byte ^= key;
            }
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
        hex(&Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_is_that_of_rfc_4231() {
        // Test case 2 with its key filled up with zeros, which HMAC does too.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            NonceKey::new(key).mac(b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn only_our_own_nonces_are_read() {
        let (ours, other) = (NonceKey::new([7; 32]), NonceKey::new([8; 32]));
        let nonce = ours.make(1_800_000_000, 5);
        assert_eq!(ours.made_at(&nonce), Some(1_800_000_000));
        assert_eq!(other.made_at(&nonce), None);
        assert_eq!(ours.made_at(&nonce.replacen('0', "1", 1)), None);
        for garbage in ["", "abc", "é".repeat(40).as_str()] {
            assert_eq!(ours.made_at(garbage), None);
        }
        assert_ne!(nonce, ours.make(1_800_000_000, 6));
    }
}
