//! The caller's packets in their order.
//!
//! In-order packets pass at once, so a clean network costs no delay. A gap holds what follows it
//! until the missing packet comes, until [`MAX_HELD`] packets wait, or until who uses it has waited long
//! enough; then the gap is told, so that it can be filled and time does not shrink.

use crate::RtpHeader;

/// Most packets that wait behind a gap: 60 ms of the usual packets.
const MAX_HELD: usize = 3;
/// Longest payload held: 60 ms of G.711.
const MAX_PAYLOAD: usize = 480;
/// A jump this large is a new stream, not a gap.
const RESYNC: u16 = 50;

#[derive(Debug, Clone, Copy)]
struct Held {
    sequence: u16,
    timestamp: u32,
    length: usize,
    payload: [u8; MAX_PAYLOAD],
}

/// Puts the packets of one source in order.
#[derive(Debug, Default)]
pub struct Receiver {
    next: Option<u16>,
    ssrc: u32,
    held: Vec<Held>,
}

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub enum Ordered<'a> {
    /// The next payload and its timestamp.
    Audio(&'a [u8], u32),
    /// This many packets never came.
    Gap(u16),
}

impl Receiver {
    /// Takes a packet; `deliver` gets what is now in order.
    pub fn push(&mut self, header: &RtpHeader, payload: &[u8], mut deliver: impl FnMut(Ordered<'_>)) {
        let sequence = header.sequence;
        let next = match self.next {
            Some(next) if self.ssrc == header.ssrc => next,
            _ => {
                self.held.clear();
                self.ssrc = header.ssrc;
                sequence
            }
        };
        let ahead = sequence.wrapping_sub(next);
        if ahead > u16::MAX / 2 {
            // Late or a copy. A source that restarted its numbers far behind is followed.
            if next.wrapping_sub(sequence) < RESYNC {
                return;
            }
            return self.resync(header, payload, deliver);
        }
        if ahead >= RESYNC {
            return self.resync(header, payload, deliver);
        }
        if ahead == 0 {
            deliver(Ordered::Audio(payload, header.timestamp));
            self.next = Some(next.wrapping_add(1));
            return self.flush(deliver);
        }
        if payload.len() > MAX_PAYLOAD {
            // Too large to be held: the gap is given up at once.
            deliver(Ordered::Gap(ahead));
            return self.resync(header, payload, deliver);
        }
        self.next = Some(next);
        self.hold(header, payload);
        if self.held.len() >= MAX_HELD {
            self.give_up(deliver);
        }
    }

    /// The number of the packet that others wait for.
    #[must_use]
    pub fn waits_for(&self) -> Option<u16> {
        self.next.filter(|_| !self.held.is_empty())
    }

    /// Waits no longer: the gap is told, and what follows it up to the next.
    pub fn give_up(&mut self, mut deliver: impl FnMut(Ordered<'_>)) {
        if let (Some(next), Some(held)) = (self.next, self.held.first()) {
            let first = held.sequence;
            deliver(Ordered::Gap(first.wrapping_sub(next)));
            self.next = Some(first);
            self.flush(deliver);
        }
    }

    fn resync(&mut self, header: &RtpHeader, payload: &[u8], mut deliver: impl FnMut(Ordered<'_>)) {
        self.held.clear();
        deliver(Ordered::Audio(payload, header.timestamp));
        self.next = Some(header.sequence.wrapping_add(1));
    }

    /// Keeps a packet in its place; copies are dropped.
    fn hold(&mut self, header: &RtpHeader, payload: &[u8]) {
        let Some(next) = self.next else { return };
        let sequence = header.sequence;
        if self.held.iter().any(|held| held.sequence == sequence) {
            return;
        }
        let (timestamp, length) = (header.timestamp, payload.len());
        let mut held = Held { sequence, timestamp, length, payload: [0; MAX_PAYLOAD] };
        held.payload[..length].copy_from_slice(payload);
        let rank = |s: u16| s.wrapping_sub(next);
        let at = self.held.partition_point(|other| rank(other.sequence) < rank(sequence));
        self.held.insert(at, held);
    }

    fn flush(&mut self, mut deliver: impl FnMut(Ordered<'_>)) {
        while let (Some(next), Some(held)) = (self.next, self.held.first()) {
            if held.sequence != next {
                return;
            }
            deliver(Ordered::Audio(&held.payload[..held.length], held.timestamp));
            self.next = Some(next.wrapping_add(1));
            self.held.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sequences: &[u16]) -> Vec<String> {
        run_with(sequences, 160)
    }

    fn run_with(sequences: &[u16], bytes: usize) -> Vec<String> {
        let mut receiver = Receiver::default();
        let mut out = Vec::new();
        for sequence in sequences {
            let timestamp = u32::from(*sequence) * 160;
            let header =
                RtpHeader { marker: false, payload_type: 0, sequence: *sequence, timestamp, ssrc: 1 };
            receiver.push(&header, &vec![7; bytes], |ordered| {
                out.push(match ordered {
                    Ordered::Audio(_, timestamp) => (timestamp / 160).to_string(),
                    Ordered::Gap(count) => format!("gap {count}"),
                });
            });
        }
        out
    }

    #[test]
    fn order_is_kept_and_copies_dropped() {
        assert_eq!(run(&[1, 2, 3]), ["1", "2", "3"]);
        assert_eq!(run(&[65_535, 1, 0, 2, 2, 1]), ["65535", "0", "1", "2"]);
        assert_eq!(run(&[1, 4, 3, 2, 5]), ["1", "2", "3", "4", "5"]);
    }

    #[test]
    fn a_lost_packet_is_told_after_three() {
        assert_eq!(run(&[1, 3, 4, 5, 6, 2]), ["1", "gap 1", "3", "4", "5", "6"]);
    }

    #[test]
    fn packets_too_long_to_wait_pass_at_once() {
        assert_eq!(run_with(&[1, 3, 4, 5], 640), ["1", "gap 1", "3", "4", "5"]);
    }

    #[test]
    fn jumps_are_followed() {
        assert_eq!(run(&[1, 1000, 1001]), ["1", "1000", "1001"]);
        assert_eq!(run(&[1000, 1, 2]), ["1000", "1", "2"]);
    }
}
