//! SRTP keys in descriptions (SDES, RFC 4568; suites of RFC 4568, 6188 and 7714).
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<key and salt in base64>|2^31
//! ```
//!
//! A line that asks for what we do not do is passed over as if it were not there: an offer may have
//! others (RFC 4568 §6.1). That goes for a master key identifier too, which would stand in every packet.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use crate::Media;

/// Some peers leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Longest key and salt of a suite.
const LONGEST: usize = 46;
/// Most packets under one key (RFC 3711 §9.2), as a power of two.
const MAX_LIFETIME: u32 = 48;
/// Most crypto lines of an m-line that are looked at.
const MAX_LINES: usize = 16;

/// How packets are encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES in counter mode with 80 bits of HMAC-SHA1: what everybody has.
    AesCm128Sha1_80,
    /// The same with 32 bits on RTP.
    AesCm128Sha1_32,
    /// With a key of 256 bits (RFC 6188).
    AesCm256Sha1_80,
    /// Galois counter mode (RFC 7714).
    AeadAes128Gcm,
    /// With a key of 256 bits.
    AeadAes256Gcm,
}

impl Suite {
    /// Every suite, in the order of our offers: what carriers know best stands first.
    pub const ALL: [Self; 5] = [
        Self::AesCm128Sha1_80,
        Self::AesCm128Sha1_32,
        Self::AesCm256Sha1_80,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256Sha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of the master key.
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256Sha1_80 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt.
    #[must_use]
    pub const fn salt_length(self) -> usize {
        match self {
            Self::AesCm128Sha1_80 | Self::AesCm128Sha1_32 | Self::AesCm256Sha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }
}

/// A suite with its master key and salt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    bytes: [u8; LONGEST],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ***", self.suite.name())
    }
}

impl MasterKey {
    /// A key of a suite; `None` where the bytes are not as many as its key and salt have.
    #[must_use]
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        let length = suite.key_length() + suite.salt_length();
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..length).filter(|_| key_and_salt.len() == length)?.copy_from_slice(key_and_salt);
        Some(Self { suite, bytes })
    }

    /// Its suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The master key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_length()]
    }

    /// The master salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.bytes[self.suite.key_length()..][..self.suite.salt_length()]
    }
}

/// What the keys of our side of a stream are made from: 32 bytes that nobody can foresee.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeySeed([u8; 32]);

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl KeySeed {
    /// Keys from these bytes, which come from the system's random source.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The seed of one leg, by the number of its call, and of the leg among all that the call ever has. No two
    /// legs in the life of a seed share both: streams under one key could be read by whoever has recorded them.
    #[must_use]
    pub fn of_leg(&self, call: u64, leg: u32) -> Self {
        let hash = Sha256::new().chain_update(self.0).chain_update("leg").chain_update(call.to_be_bytes());
        Self(hash.chain_update(leg.to_be_bytes()).finalize().into())
    }

    /// The seed of the keys that come after these.
    #[must_use]
    pub fn next(&self) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update("next").finalize().into())
    }

    /// The key of a suite: each has its own, so that what one suite did with its key says nothing of
    /// another.
    #[must_use]
    pub fn master_key(&self, suite: Suite) -> MasterKey {
        let mut bytes = [0; LONGEST];
        for (half, chunk) in (0u8..).zip(bytes.chunks_mut(32)) {
            let hash = Sha256::new().chain_update(self.0).chain_update(suite.name()).chain_update([half]);
            chunk.copy_from_slice(&hash.finalize()[..chunk.len()]);
        }
        bytes[suite.key_length() + suite.salt_length()..].fill(0);
        MasterKey { suite, bytes }
    }
}

/// The keys of both sides, and the tag that joins our line to the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrtpKeys {
    /// Tag of the line.
    pub tag: u32,
    /// What we send is encrypted with.
    pub local: MasterKey,
    /// What the peer sends is encrypted with.
    pub remote: MasterKey,
}

/// A crypto line that we could use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CryptoLine {
    pub(crate) tag: u32,
    pub(crate) key: MasterKey,
}

impl CryptoLine {
    /// The lines of an m-line that we could use, in the peer's order.
    pub(crate) fn all(media: &Media) -> impl Iterator<Item = Self> {
        let lines = media.attributes.iter().filter(|attribute| attribute.name == "crypto").take(MAX_LINES);
        lines.filter_map(|line| Self::parse(line.value.as_deref()?))
    }

    /// Reads what stands behind `a=crypto:`.
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (tag, suite, keys) = (words.next()?, words.next()?, words.next()?);
        let plain = (1..=9).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| plain)?;
        let suite = Suite::from_name(suite)?;
        if !words.all(is_harmless) {
            return None;
        }
        // Several keys need an identifier in each packet to tell them apart.
        let inline = strip_ignoring_case(keys, "inline:").filter(|inline| !inline.contains(';'))?;
        let mut parts = inline.split('|');
        let key = MasterKey::new(suite, &BASE64.decode(parts.next()?).ok()?)?;
        match (parts.next(), parts.next()) {
            (None, _) => {}
            (Some(lifetime), None) if is_lifetime(lifetime) => {}
            (Some(_), _) => return None,
        }
        Some(Self { tag, key })
    }
}

impl fmt::Display for CryptoLine {
    /// The value of the attribute, with the key in the clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.key.suite.key_length() + self.key.suite.salt_length();
        let inline = base64::engine::general_purpose::STANDARD.encode(&self.key.bytes[..length]);
        write!(f, "{} {} inline:{inline}", self.tag, self.key.suite.name())
    }
}

/// Whether a session parameter changes nothing in what we do (RFC 4568 §6.3): a hint on the size of the
/// replay window, or an extension that may be passed over.
fn is_harmless(parameter: &str) -> bool {
    let window = strip_ignoring_case(parameter, "WSH=").and_then(|size| size.parse().ok());
    window.is_some_and(|size: u32| size >= 64) || parameter.starts_with('-')
}

/// Whether it is a number of packets from 1 to 2^48. Keys are not renewed when it is over: at the usual 50
/// packets a second the shortest in use, 2^20, lasts for six hours.
fn is_lifetime(text: &str) -> bool {
    match text.strip_prefix("2^") {
        Some(power) => power.parse().is_ok_and(|power: u32| power <= MAX_LIFETIME),
        None => text.parse().is_ok_and(|count: u64| (1..=1 << MAX_LIFETIME).contains(&count)),
    }
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn lines_of_the_rfc_are_read_and_written_back() {
        let plain = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let line = CryptoLine::parse(&plain).expect("reads");
        assert_eq!((line.tag, line.key.suite()), (1, Suite::AesCm128Sha1_80));
        assert_eq!((line.key.key(), line.key.salt()), (&b"YS___semctl () {"[..], &b"\t220;}\n}\nunles"[..]));
        assert_eq!(line.to_string(), plain);
        for suite in Suite::ALL {
            let line = CryptoLine { tag: 7, key: KeySeed::new([3; 32]).master_key(suite) };
            assert_eq!(CryptoLine::parse(&line.to_string()), Some(line));
            assert_eq!(CryptoLine::parse(line.to_string().trim_end_matches('=')), Some(line));
        }
        let fine = ["|2^20", "|2^48", "|1048576", " WSH=64", "|2^31 -x=1 wsh=128"];
        assert!(fine.iter().all(|tail| CryptoLine::parse(&format!("{plain}{tail}")) == Some(line)));
    }

    #[test]
    fn what_we_do_not_do_and_what_is_broken_is_passed_over() {
        let plain = format!("AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let bad = [
            String::new(),
            format!("x {plain}"),
            format!("+1 {plain}"),
            format!("1234567890 {plain}"),
            format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            format!("1 AES_CM_128_HMAC_SHA1_80 uri:{KEY}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &KEY[..36]),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", KEY.replace('W', "!")),
            format!("1 {plain}|2^49"),
            format!("1 {plain}|0"),
            format!("1 {plain}|"),
            format!("1 {plain}|1:4"),
            format!("1 {plain}|2^20|1:4"),
            format!("1 {plain};inline:{KEY}"),
            format!("1 {plain} UNENCRYPTED_SRTP"),
            format!("1 {plain} KDR=1"),
            format!("1 {plain} WSH=8"),
        ];
        for line in bad {
            assert_eq!(CryptoLine::parse(&line), None, "{line}");
        }
    }

    #[test]
    fn no_key_is_printed_for_a_log() {
        let seed = KeySeed::new([0x41; 32]);
        let line = CryptoLine { tag: 1, key: seed.master_key(Suite::AesCm128Sha1_80) };
        let keys = SrtpKeys { tag: 1, local: line.key, remote: line.key };
        let text = format!("{seed:?} {line:?} {keys:?} {:?}", line.key);
        let key = line.to_string();
        let inline = key.split("inline:").nth(1).expect("a key");
        assert!(!text.contains(inline) && !text.contains("65") && text.contains("***"), "{text}");
    }

    #[test]
    fn each_suite_has_a_key_of_its_own() {
        let seed = KeySeed::new([1; 32]);
        let keys: Vec<_> =
            Suite::ALL.iter().map(|suite| seed.master_key(*suite).key()[..16].to_vec()).collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key));
        }
        let legs = [(1, 0), (2, 0), (1, 1)].map(|(call, leg)| seed.of_leg(call, leg).0);
        let further: Vec<_> = [seed.next().0, seed.next().next().0].into_iter().chain(legs).collect();
        for (at, seed) in further.iter().enumerate() {
            assert!(!further[..at].contains(seed));
        }
        assert_ne!(
            seed.master_key(Suite::AeadAes128Gcm),
            KeySeed::new([2; 32]).master_key(Suite::AeadAes128Gcm)
        );
    }
}
