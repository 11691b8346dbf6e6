//! SRTP and SRTCP (RFC 3711) of one leg: what it sends is protected, what it gets is opened, in place.
//!
//! ```text
//!                key, source, 48-bit index            64-bit and wider: seen before?
//! packet ─▶ index from sequence and rollover ─▶ replay window ─▶ tag ─▶ decrypt ─▶ window and rollover move
//! ```
//!
//! Nothing is remembered of a packet whose tag is wrong, so whatever strangers send changes nothing. A
//! context lasts as long as its key: a rollover counter that began anew under the same key would encrypt
//! two packets alike.

mod cipher;

use std::fmt;

use trunkline_sdp::{MasterKey, SrtpKeys};

use cipher::{Cipher, MAX_TAG, Place, Protocol};

/// What a protected packet is longer by, at most: tag, and the index of SRTCP.
pub(crate) const OVERHEAD: usize = MAX_TAG + INDEX;
/// The SRTCP index with its flag.
const INDEX: usize = 4;
/// Says in the index that the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// Head of an RTCP packet, which stays readable.
const RTCP_HEAD: usize = 8;
/// Sources whose place is remembered. Only who has the key can make one; of more than these the one that
/// was longest silent is forgotten.
const MAX_SOURCES: usize = 8;
/// Packets behind the newest that are told from replays (RFC 3711 §3.3.2 asks for 64).
const WINDOW: u64 = 128;

/// Both directions of a leg.
pub struct Srtp {
    sender: Sender,
    receiver: Receiver,
    keys: SrtpKeys,
}

impl fmt::Debug for Srtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Srtp({:?})", self.keys)
    }
}

impl Srtp {
    /// From the first packets of both.
    #[must_use]
    pub fn new(keys: &SrtpKeys) -> Self {
        Self { sender: Sender::new(&keys.local), receiver: Receiver::new(&keys.remote), keys: *keys }
    }

    /// Takes the keys of new terms; a direction whose key stays goes on.
    pub fn rekey(&mut self, keys: &SrtpKeys) {
        if keys.local != self.keys.local {
            self.sender = Sender::new(&keys.local);
        }
        if keys.remote != self.keys.remote {
            self.receiver = Receiver::new(&keys.remote);
        }
        self.keys = *keys;
    }

    /// Protects the RTP packet in the first `length` bytes; gives its new length.
    pub fn protect(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        self.sender.rtp(buffer, length)
    }

    /// Protects an RTCP packet likewise.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        self.sender.rtcp(buffer, length)
    }

    /// Opens an RTP packet; gives its new length, `None` for what is not the peer's or came before.
    pub fn open(&mut self, packet: &mut [u8]) -> Option<usize> {
        self.receiver.rtp(packet)
    }

    /// Opens an RTCP packet likewise.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        self.receiver.rtcp(packet)
    }
}

/// What we send: one source, in order.
struct Sender {
    rtp: Cipher,
    rtcp: Cipher,
    rollover: u32,
    sequence: Option<u16>,
    rtcp_index: u32,
}

impl Sender {
    fn new(key: &MasterKey) -> Self {
        let rtp = Cipher::new(key, Protocol::Rtp);
        let rtcp = Cipher::new(key, Protocol::Rtcp);
        Self { rtp, rtcp, rollover: 0, sequence: None, rtcp_index: 0 }
    }

    fn rtp(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let packet = buffer.get_mut(..length)?;
        let (head, sequence, ssrc) = rtp_head(packet)?;
        if self.sequence.is_some_and(|last| sequence < last) {
            self.rollover = self.rollover.wrapping_add(1);
        }
        self.sequence = Some(sequence);
        let place = Place { ssrc, index: index_of(self.rollover, sequence) };
        let tag = self.rtp.seal(packet, head, place, self.rollover.to_be_bytes(), Protocol::Rtp)?;
        put(buffer, length, &tag[..self.rtp.tag_length()])
    }

    fn rtcp(&mut self, buffer: &mut [u8], length: usize) -> Option<usize> {
        let packet = buffer.get_mut(..length)?;
        let ssrc = rtcp_ssrc(packet)?;
        // At a report in five seconds 31 bits last for centuries.
        self.rtcp_index = (self.rtcp_index + 1) & !ENCRYPTED;
        let place = Place { ssrc, index: u64::from(self.rtcp_index) };
        let trailer = (self.rtcp_index | ENCRYPTED).to_be_bytes();
        let tag = self.rtcp.seal(packet, RTCP_HEAD, place, trailer, Protocol::Rtcp)?;
        let tag = &tag[..self.rtcp.tag_length()];
        match self.rtcp {
            Cipher::Counter { .. } => {
                let length = put(buffer, length, &trailer)?;
                put(buffer, length, tag)
            }
            Cipher::Galois { .. } => {
                let length = put(buffer, length, tag)?;
                put(buffer, length, &trailer)
            }
        }
    }
}

/// A source of the peer's.
#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    /// Highest index of RTP, with the window behind it; nothing before its first packet.
    rtp: Option<Seen>,
    rtcp: Option<Seen>,
    /// Counts up; the lowest was longest silent.
    turn: u64,
}

/// Which of the latest packets came.
#[derive(Debug, Clone, Copy)]
struct Seen {
    highest: u64,
    /// A bit for each packet, from the highest down.
    window: u128,
}

impl Seen {
    /// Whether a packet is new; older ones than the window are taken for replays.
    fn is_new(seen: Option<Self>, index: u64) -> bool {
        let Some(seen) = seen else { return true };
        match seen.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < WINDOW && seen.window >> behind & 1 == 0,
        }
    }

    fn with(seen: Option<Self>, index: u64) -> Self {
        let Some(seen) = seen else { return Self { highest: index, window: 1 } };
        match index.checked_sub(seen.highest) {
            Some(ahead) => {
                let shifted = u32::try_from(ahead).ok().and_then(|ahead| seen.window.checked_shl(ahead));
                Self { highest: index, window: shifted.unwrap_or(0) | 1 }
            }
            None => Self { window: seen.window | 1 << (seen.highest - index), ..seen },
        }
    }
}

/// What the peer sends.
struct Receiver {
    rtp: Cipher,
    rtcp: Cipher,
    sources: [Option<Source>; MAX_SOURCES],
    turn: u64,
}

impl Receiver {
    fn new(key: &MasterKey) -> Self {
        let rtp = Cipher::new(key, Protocol::Rtp);
        let rtcp = Cipher::new(key, Protocol::Rtcp);
        Self { rtp, rtcp, sources: [None; MAX_SOURCES], turn: 0 }
    }

    fn rtp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let (head, sequence, ssrc) = rtp_head(packet)?;
        let seen = self.find(ssrc).and_then(|source| source.rtp);
        let index = guess(seen.map(|seen| seen.highest), sequence)?;
        if !Seen::is_new(seen, index) {
            return None;
        }
        let rollover = ((index >> 16) as u32).to_be_bytes();
        let length = self.rtp.open(packet, head, Place { ssrc, index }, rollover, Protocol::Rtp)?;
        self.source(ssrc).rtp = Some(Seen::with(seen, index));
        Some(length)
    }

    fn rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let ssrc = rtcp_ssrc(packet)?;
        let tag = self.rtcp.tag_length();
        // Index before the tag, or behind it.
        let (body, at) = match self.rtcp {
            Cipher::Counter { .. } => (packet.len(), packet.len().checked_sub(tag + INDEX)?),
            Cipher::Galois { .. } => (packet.len().checked_sub(INDEX)?, packet.len().checked_sub(INDEX)?),
        };
        let trailer: [u8; INDEX] = packet.get(at..at + INDEX)?.try_into().ok()?;
        let word = u32::from_be_bytes(trailer);
        if word & ENCRYPTED == 0 {
            return None;
        }
        let index = u64::from(word & !ENCRYPTED);
        let seen = self.find(ssrc).and_then(|source| source.rtcp);
        if !Seen::is_new(seen, index) {
            return None;
        }
        let place = Place { ssrc, index };
        let length = match self.rtcp {
            Cipher::Counter { .. } => {
                // The index has moved in front of the tag: what is authenticated with it ends before.
                packet.copy_within(at + INDEX.., at);
                self.rtcp.open(packet.get_mut(..body - INDEX)?, RTCP_HEAD, place, trailer, Protocol::Rtcp)?
            }
            Cipher::Galois { .. } => {
                self.rtcp.open(packet.get_mut(..body)?, RTCP_HEAD, place, trailer, Protocol::Rtcp)?
            }
        };
        self.source(ssrc).rtcp = Some(Seen::with(seen, index));
        Some(length)
    }

    fn find(&self, ssrc: u32) -> Option<&Source> {
        self.sources.iter().flatten().find(|source| source.ssrc == ssrc)
    }

    /// The source of a packet that is the peer's.
    fn source(&mut self, ssrc: u32) -> &mut Source {
        self.turn += 1;
        let turn = self.turn;
        let known = self.sources.iter().position(|slot| slot.is_some_and(|source| source.ssrc == ssrc));
        let at = known.unwrap_or_else(|| {
            let age = |at: &usize| self.sources[*at].map_or(0, |source| source.turn);
            (0..MAX_SOURCES).min_by_key(age).unwrap_or(0)
        });
        if known.is_none() {
            self.sources[at] = None;
        }
        let source = self.sources[at].get_or_insert(Source { ssrc, rtp: None, rtcp: None, turn });
        source.turn = turn;
        source
    }
}

/// The index that a sequence number most likely means (RFC 3711 §3.3.1); `None` for one before the first
/// of all, or past the last.
fn guess(highest: Option<u64>, sequence: u16) -> Option<u64> {
    let Some(highest) = highest else { return Some(u64::from(sequence)) };
    let distance = i64::from(sequence.wrapping_sub(highest as u16) as i16);
    highest.checked_add_signed(distance).filter(|index| index >> 48 == 0)
}

fn index_of(rollover: u32, sequence: u16) -> u64 {
    u64::from(rollover) << 16 | u64::from(sequence)
}

/// Bytes that stay readable, sequence number and source of an RTP packet.
fn rtp_head(packet: &[u8]) -> Option<(usize, u16, u32)> {
    let (first, sequence) = (*packet.first()?, packet.get(2..4)?);
    let ssrc = packet.get(8..12)?;
    let mut head = 12 + usize::from(first & 0x0f) * 4;
    if first & 0x10 != 0 {
        let length = packet.get(head + 2..head + 4)?;
        head += 4 + usize::from(u16::from_be_bytes([length[0], length[1]])) * 4;
    }
    let numbers = (u16::from_be_bytes(sequence.try_into().ok()?), u32::from_be_bytes(ssrc.try_into().ok()?));
    (first >> 6 == 2 && head <= packet.len()).then_some((head, numbers.0, numbers.1))
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let ssrc = packet.get(4..RTCP_HEAD)?.try_into().ok()?;
    (packet[0] >> 6 == 2).then_some(u32::from_be_bytes(ssrc))
}

/// Writes behind what is there; gives the new length.
fn put(buffer: &mut [u8], length: usize, more: &[u8]) -> Option<usize> {
    buffer.get_mut(length..length + more.len())?.copy_from_slice(more);
    Some(length + more.len())
}

#[cfg(test)]
mod tests;
