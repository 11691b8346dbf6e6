//! The caller's packets in their order.
//!
//! In-order packets pass at once, so a clean network costs no delay. A gap holds what follows it
//! until the missing packet comes, or until [`MAX_HELD`] packets wait; then the gap is told, so that
//! it can be filled with silence and time does not shrink.

/// Most packets that wait behind a gap: 60 ms of the usual packets.
const MAX_HELD: usize = 3;
/// Longest payload held: 60 ms of G.711.
const MAX_PAYLOAD: usize = 480;
/// A jump this large is a new stream, not a gap.
const RESYNC: u16 = 50;

#[derive(Debug, Clone, Copy)]
struct Held {
    sequence: u16,
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
    /// The next payload.
    Audio(&'a [u8]),
    /// This many packets never came.
    Gap(u16),
}

impl Receiver {
    /// Takes a packet; `deliver` gets what is now in order.
    pub fn push(&mut self, ssrc: u32, sequence: u16, payload: &[u8], mut deliver: impl FnMut(Ordered<'_>)) {
        let next = match self.next {
            Some(next) if self.ssrc == ssrc => next,
            _ => {
                self.held.clear();
                self.ssrc = ssrc;
                sequence
            }
        };
        let ahead = sequence.wrapping_sub(next);
        if ahead > u16::MAX / 2 {
            // Late or a copy. A source that restarted its numbers far behind is followed.
            if next.wrapping_sub(sequence) < RESYNC {
                return;
            }
            return self.resync(sequence, payload, deliver);
        }
        if ahead >= RESYNC {
            return self.resync(sequence, payload, deliver);
        }
        if ahead == 0 {
            deliver(Ordered::Audio(payload));
            self.next = Some(next.wrapping_add(1));
            return self.flush(deliver);
        }
        self.hold(sequence, payload);
        self.next = Some(next);
        if self.held.len() >= MAX_HELD {
            let first = self.held[0].sequence;
            deliver(Ordered::Gap(first.wrapping_sub(next)));
            self.next = Some(first);
            self.flush(deliver);
        }
    }

    fn resync(&mut self, sequence: u16, payload: &[u8], mut deliver: impl FnMut(Ordered<'_>)) {
        self.held.clear();
        deliver(Ordered::Audio(payload));
        self.next = Some(sequence.wrapping_add(1));
    }

    /// Keeps a packet in its place; copies and oversized payloads are dropped.
    fn hold(&mut self, sequence: u16, payload: &[u8]) {
        let Some(next) = self.next else { return };
        let rank = |s: u16| s.wrapping_sub(next);
        let known = self.held.iter().any(|held| held.sequence == sequence);
        if known || payload.len() > MAX_PAYLOAD {
            return;
        }
        let mut held = Held { sequence, length: payload.len(), payload: [0; MAX_PAYLOAD] };
        held.payload[..payload.len()].copy_from_slice(payload);
        let at = self.held.partition_point(|other| rank(other.sequence) < rank(sequence));
        self.held.insert(at, held);
    }

    fn flush(&mut self, mut deliver: impl FnMut(Ordered<'_>)) {
        while let (Some(next), Some(held)) = (self.next, self.held.first()) {
            if held.sequence != next {
                return;
            }
            deliver(Ordered::Audio(&held.payload[..held.length]));
            self.next = Some(next.wrapping_add(1));
            self.held.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sequences: &[u16]) -> Vec<String> {
        let mut receiver = Receiver::default();
        let mut out = Vec::new();
        for sequence in sequences {
            receiver.push(1, *sequence, &sequence.to_be_bytes(), |ordered| {
                out.push(match ordered {
                    Ordered::Audio(payload) => u16::from_be_bytes([payload[0], payload[1]]).to_string(),
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
    fn jumps_are_followed() {
        assert_eq!(run(&[1, 1000, 1001]), ["1", "1000", "1001"]);
        assert_eq!(run(&[1000, 1, 2]), ["1000", "1", "2"]);
    }
}
