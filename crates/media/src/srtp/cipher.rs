//! The transforms of the suites, in place and without allocation (RFC 3711 §4, RFC 6188, RFC 7714).
//!
//! A packet has a head that stays readable, a body that is encrypted, and behind it the tag. Of SRTCP a
//! trailer with the index belongs to it too: before the tag of counter mode, behind that of GCM.

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc};
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha1::Sha1;
use trunkline_sdp::{MasterKey, Suite};

/// Longest tag.
pub(super) const MAX_TAG: usize = 16;
/// Blocks encrypted at once: what a processor works on side by side.
const BLOCKS: usize = 8;
/// Bytes of the key of HMAC-SHA1.
const AUTH_KEY: usize = 20;
/// Labels of the session keys of RTP (RFC 3711 §4.3.1); those of RTCP are three further.
const ENCRYPTION: u8 = 0;
const AUTHENTICATION: u8 = 1;
const SALT: u8 = 2;
const RTCP: u8 = 3;

/// Which of the two protocols a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

/// Where a packet stands: its source and its number among all of the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) ssrc: u32,
    pub(super) index: u64,
}

/// The session keys of one direction of one protocol.
pub(super) enum Cipher {
    Counter { aes: Aes, salt: [u8; 14], mac: Box<Hmac<Sha1>>, tag: usize },
    Galois { aead: Box<LessSafeKey>, salt: [u8; 12] },
}

impl Cipher {
    /// Derives the session keys (RFC 3711 §4.3, RFC 7714 §11).
    pub(super) fn new(master: &MasterKey, protocol: Protocol) -> Self {
        let label = |label| if protocol == Protocol::Rtp { label } else { label + RTCP };
        let mut key = [0; 32];
        let key = &mut key[..master.suite().key_length()];
        derive(master, label(ENCRYPTION), key);
        let gcm = match master.suite() {
            Suite::AesCm128Sha1_80 | Suite::AesCm128Sha1_32 | Suite::AesCm256Sha1_80 => None,
            Suite::AeadAes128Gcm => Some(&AES_128_GCM),
            Suite::AeadAes256Gcm => Some(&AES_256_GCM),
        };
        if let Some(algorithm) = gcm {
            let mut salt = [0; 12];
            derive(master, label(SALT), &mut salt);
            let key = UnboundKey::new(algorithm, key).expect("a suite has keys of its cipher's length");
            return Self::Galois { aead: Box::new(LessSafeKey::new(key)), salt };
        }
        let (mut salt, mut mac) = ([0; 14], [0; AUTH_KEY]);
        derive(master, label(SALT), &mut salt);
        derive(master, label(AUTHENTICATION), &mut mac);
        let short = master.suite() == Suite::AesCm128Sha1_32 && protocol == Protocol::Rtp;
        Self::Counter {
            aes: Aes::new(key),
            salt,
            mac: Box::new(<Hmac<Sha1> as Mac>::new_from_slice(&mac).expect("a key of any length is taken")),
            tag: if short { 4 } else { 10 },
        }
    }

    /// Bytes of the tag.
    pub(super) const fn tag_length(&self) -> usize {
        match self {
            Self::Counter { tag, .. } => *tag,
            Self::Galois { .. } => MAX_TAG,
        }
    }

    /// Encrypts `packet` behind its `head` bytes. Gives the tag, of which [`Self::tag_length`] bytes count.
    /// `trailer` is authenticated too: the rollover counter of RTP, the index of RTCP.
    pub(super) fn seal(
        &self,
        packet: &mut [u8],
        head: usize,
        place: Place,
        trailer: [u8; 4],
        protocol: Protocol,
    ) -> Option<[u8; MAX_TAG]> {
        let mut tag = [0; MAX_TAG];
        match self {
            Self::Counter { aes, salt, mac, .. } => {
                aes.apply(counter_block(salt, place), packet.get_mut(head..)?);
                tag.copy_from_slice(&mac_of(mac, packet, trailer)[..MAX_TAG]);
            }
            Self::Galois { aead, salt } => {
                let (aad, body) = packet.split_at_mut_checked(head)?;
                let nonce = nonce(salt, place, protocol);
                let sealed = match protocol {
                    Protocol::Rtp => aead.seal_in_place_separate_tag(nonce, Aad::from(&*aad), body),
                    Protocol::Rtcp => {
                        aead.seal_in_place_separate_tag(nonce, Aad::from(joined(aad, trailer)?), body)
                    }
                };
                tag.copy_from_slice(sealed.ok()?.as_ref());
            }
        }
        Some(tag)
    }

    /// Checks and decrypts `packet`, which ends with its tag; gives its length without.
    pub(super) fn open(
        &self,
        packet: &mut [u8],
        head: usize,
        place: Place,
        trailer: [u8; 4],
        protocol: Protocol,
    ) -> Option<usize> {
        let length = packet.len().checked_sub(self.tag_length())?;
        match self {
            Self::Counter { aes, salt, mac, tag } => {
                let (plain, theirs) = packet.split_at_mut_checked(length)?;
                let ours = mac_of(mac, plain, trailer);
                if !are_equal(theirs, &ours[..*tag]) {
                    return None;
                }
                aes.apply(counter_block(salt, place), plain.get_mut(head..)?);
            }
            Self::Galois { aead, salt } => {
                let (aad, body) = packet.split_at_mut_checked(head)?;
                let nonce = nonce(salt, place, protocol);
                match protocol {
                    Protocol::Rtp => aead.open_in_place(nonce, Aad::from(&*aad), body),
                    Protocol::Rtcp => aead.open_in_place(nonce, Aad::from(joined(aad, trailer)?), body),
                }
                .ok()?;
            }
        }
        Some(length)
    }
}

/// AES of both key lengths, one way: counter mode needs no more.
pub(super) enum Aes {
    Short(Box<Aes128Enc>),
    Long(Box<Aes256Enc>),
}

impl Aes {
    fn new(key: &[u8]) -> Self {
        match key.len() {
            32 => Self::Long(Box::new(Aes256Enc::new(GenericArray::from_slice(key)))),
            _ => Self::Short(Box::new(Aes128Enc::new(GenericArray::from_slice(key)))),
        }
    }

    /// Adds the key stream that begins at a block (RFC 3711 §4.1.1).
    fn apply(&self, first: [u8; 16], data: &mut [u8]) {
        let mut counter = 0u16;
        for chunk in data.chunks_mut(16 * BLOCKS) {
            let mut blocks = [GenericArray::from(first); BLOCKS];
            let blocks = &mut blocks[..chunk.len().div_ceil(16)];
            for block in blocks.iter_mut() {
                block[14..].copy_from_slice(&counter.to_be_bytes());
                counter = counter.wrapping_add(1);
            }
            match self {
                Self::Short(aes) => aes.encrypt_blocks(blocks),
                Self::Long(aes) => aes.encrypt_blocks(blocks),
            }
            for (byte, key) in chunk.iter_mut().zip(blocks.iter().flatten()) {
                *byte ^= key;
            }
        }
    }
}

fn derive(master: &MasterKey, label: u8, out: &mut [u8]) {
    // A salt of 12 bytes is padded on the right (RFC 7714 §11).
    let mut block = [0; 16];
    block[..master.salt().len()].copy_from_slice(master.salt());
    block[7] ^= label;
    out.fill(0);
    Aes::new(master.key()).apply(block, out);
}

/// salt · 2^16 ⊕ SSRC · 2^64 ⊕ index · 2^16 (RFC 3711 §4.1.1).
fn counter_block(salt: &[u8; 14], place: Place) -> [u8; 16] {
    let number = u128::from(place.ssrc) << 64 ^ u128::from(place.index & 0xffff_ffff_ffff) << 16;
    let mut block = [0; 16];
    block[..14].copy_from_slice(salt);
    (u128::from_be_bytes(block) ^ number).to_be_bytes()
}

/// RFC 7714 §8.1 and §9.1: two zero bytes, SSRC, rollover counter and sequence number; for RTCP two more
/// zero bytes and the index of 31 bits. Both are the index in six bytes.
fn nonce(salt: &[u8; 12], place: Place, protocol: Protocol) -> Nonce {
    let index = match protocol {
        Protocol::Rtp => place.index & 0xffff_ffff_ffff,
        Protocol::Rtcp => place.index & 0x7fff_ffff,
    };
    let number = u128::from(place.ssrc) << 48 ^ u128::from(index);
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&number.to_be_bytes()[4..]);
    for (byte, salt) in bytes.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    Nonce::assume_unique_for_key(bytes)
}

/// The head of an RTCP packet and its index (RFC 7714 §9.2).
fn joined(head: &[u8], trailer: [u8; 4]) -> Option<[u8; 12]> {
    let mut out = [0; 12];
    out[..8].copy_from_slice(head.get(..8)?);
    out[8..].copy_from_slice(&trailer);
    Some(out)
}

/// Not ring's: that one does without the processor's instructions for SHA-1 and took most of a packet's time.
fn mac_of(keyed: &Hmac<Sha1>, packet: &[u8], trailer: [u8; 4]) -> [u8; 20] {
    let mut mac = keyed.clone();
    mac.update(packet);
    mac.update(&trailer);
    mac.finalize().into_bytes().into()
}

/// Takes as long whatever differs.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16);
        digits.chunks(2).map(|pair| byte(pair).expect("hex")).collect()
    }

    #[test]
    fn the_key_stream_is_that_of_rfc_3711_b_2() {
        let aes = Aes::new(&hex("2b7e151628aed2a6abf7158809cf4f3c"));
        let mut stream = vec![0; 16 * 0xff02];
        let first = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000").try_into().expect("a block");
        aes.apply(first, &mut stream);
        let known = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab 41e95b3bb0a2e8dd477901e4fca894c0";
        assert_eq!(stream[..48], hex(known));
        let late = "ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae 6a2cc3787889374fbeb4c81b17ba6c44";
        assert_eq!(stream[16 * 0xfeff..], hex(late));
    }

    #[test]
    fn session_keys_are_those_of_rfc_3711_b_3_and_rfc_6188_7() {
        let cases = [
            (
                Suite::AesCm128Sha1_80,
                "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
                "c61e7a93744f39ee10734afe3ff7a087",
                "30cbbc08863d8c85d49db34a9ae1",
                "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
            ),
            (
                Suite::AesCm256Sha1_80,
                "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
                "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
                "fa31791685ca444a9e07c6c64e93",
                "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
            ),
        ];
        for (suite, master, cipher, salt, auth) in cases {
            let master = MasterKey::new(suite, &hex(master)).expect("a key");
            for (label, known) in [(ENCRYPTION, cipher), (SALT, salt), (AUTHENTICATION, auth)] {
                let mut derived = vec![0; hex(known).len()];
                derive(&master, label, &mut derived);
                assert_eq!(derived, hex(known), "{suite:?} {label}");
            }
        }
    }

    #[test]
    fn packets_of_gcm_are_those_of_rfc_7714_16_and_17() {
        let plain = "8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
        let report = "81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
        let cases = [
            (
                16,
                &AES_128_GCM,
                "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833",
                "899d7f27beb16a9152cf765ee4390cce",
                "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade",
            ),
            (
                32,
                &AES_256_GCM,
                "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b",
                "7aa3db36dfffd6b0f9bb7878d7a76c13",
                "",
            ),
        ];
        for (length, algorithm, body, tag, rtcp) in cases {
            let key: Vec<u8> = (0..length).collect();
            let key = UnboundKey::new(algorithm, &key).expect("a key");
            let salt = hex("517569642070726f2071756f").try_into().expect("a salt");
            let cipher = Cipher::Galois { aead: Box::new(LessSafeKey::new(key)), salt };
            let mut packet = hex(plain);
            let place = Place { ssrc: 0x5501_a0b2, index: 0xf17b };
            let sealed = cipher.seal(&mut packet, 12, place, [0; 4], Protocol::Rtp).expect("seals");
            assert_eq!((&packet[12..], &sealed[..]), (&hex(body)[..], &hex(tag)[..]));
            packet.extend(sealed);
            assert_eq!(cipher.open(&mut packet, 12, place, [0; 4], Protocol::Rtp), Some(50));
            assert_eq!(packet[..50], hex(plain));
            let mut packet = hex(report);
            let place = Place { ssrc: 0x4d61_7273, index: 0x5d4 };
            let trailer = 0x8000_05d4_u32.to_be_bytes();
            let sealed = cipher.seal(&mut packet, 8, place, trailer, Protocol::Rtcp).expect("seals");
            packet.extend(sealed);
            if !rtcp.is_empty() {
                assert_eq!(packet[8..], hex(rtcp));
            }
            let length = cipher.open(&mut packet, 8, place, trailer, Protocol::Rtcp).expect("opens");
            assert_eq!(packet[..length], hex(report));
        }
    }
}
