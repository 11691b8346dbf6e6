//! What the system gives at random: pure machines are handed it once, at their start.

use std::fs::File;
use std::io::{self, Read};

/// A key from the system, for hashes and tokens.
pub(crate) fn random_key() -> io::Result<(u64, u64)> {
    let bytes: [u8; 16] = random_bytes()?;
    let (a, b) = bytes.split_at(8);
    let number = |half: &[u8]| half.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    Ok((number(a), number(b)))
}

/// Random bytes.
pub(crate) fn random_bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
