//! Telephone events (RFC 4733 §2): one digit a key press, told at its first packet.
//!
//! An event is known by its RTP timestamp, so copies, late packets and lost ends change nothing. A
//! key held for longer than a duration can say goes on in a new segment whose timestamp is where
//! the one before ended (§2.5.1.3); that is still the same press.
//!
//! ```text
//!          first packet: the digit
//! none ─────────────────────────────▶ pressed ◀─┐ the same timestamp: longer, or at its end; nothing is told
//!                                        │ └────┘ an older timestamp: late, dropped
//!                                        ├── a newer one that goes on where this one's time was up: the same press
//!                                        └── any other newer one: the next press, its digit is told
//! ```

/// Turns event packets into digits.
#[derive(Debug, Default)]
pub struct DigitReader {
    last: Option<Press>,
}

#[derive(Debug, Clone, Copy)]
struct Press {
    event: u8,
    timestamp: u32,
    duration: u16,
    ended: bool,
}

/// How much of a segment's end may be lost, in samples: a second. A key that is let go and pressed again
/// within it, after seven seconds and with all its ends lost, is taken for one press.
const SEGMENT_SLACK: u32 = 8000;

impl DigitReader {
    /// Takes the payload of an event packet; gives the digit where a new press begins.
    pub fn read(&mut self, timestamp: u32, payload: &[u8]) -> Option<char> {
        let [event, flags, high, low, ..] = *payload else {
            return None;
        };
        let digit = digit_of(event)?;
        let duration = u16::from_be_bytes([high, low]);
        let ended = flags & 0x80 != 0;
        let press = Press { event, timestamp, duration, ended };
        let Some(last) = &mut self.last else {
            self.last = Some(press);
            return Some(digit);
        };
        let ahead = timestamp.wrapping_sub(last.timestamp);
        if ahead == 0 {
            last.duration = last.duration.max(duration);
            last.ended |= ended;
            return None;
        }
        if ahead > u32::MAX / 2 {
            return None;
        }
        let gap = ahead.abs_diff(u32::from(last.duration));
        let long = last.duration > u16::MAX - SEGMENT_SLACK as u16;
        let continues = last.event == event && !last.ended && long && gap <= SEGMENT_SLACK;
        self.last = Some(press);
        (!continues).then_some(digit)
    }
}

/// The digit of an event code: 0-9, *, #, A-D (RFC 4733 §3.2).
const fn digit_of(event: u8) -> Option<char> {
    Some(match event {
        0..=9 => (b'0' + event) as char,
        10 => '*',
        11 => '#',
        12..=15 => (b'A' + event - 12) as char,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(event: u8, ended: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [event, if ended { 0x8a } else { 0x0a }, high, low]
    }

    fn read(reader: &mut DigitReader, packets: &[(u32, [u8; 4])]) -> String {
        packets.iter().filter_map(|(timestamp, payload)| reader.read(*timestamp, payload)).collect()
    }

    #[test]
    fn one_press_is_one_digit_under_copies_loss_and_disorder() {
        let mut reader = DigitReader::default();
        let press = [
            (1000, packet(5, false, 160)),
            (1000, packet(5, false, 160)),
            (1000, packet(5, true, 800)),
            (1000, packet(5, false, 320)),
            (1000, packet(5, true, 800)),
        ];
        assert_eq!(read(&mut reader, &press), "5");
        assert_eq!(read(&mut reader, &[(9000, packet(5, true, 800))]), "5", "only its end arrived");
        assert_eq!(read(&mut reader, &[(1000, packet(5, true, 800))]), "", "late");
    }

    #[test]
    fn a_missing_end_does_not_swallow_the_next_press() {
        let mut reader = DigitReader::default();
        let presses =
            [(1000, packet(1, false, 160)), (5000, packet(1, false, 160)), (9000, packet(11, false, 160))];
        assert_eq!(read(&mut reader, &presses), "11#");
    }

    #[test]
    fn a_long_press_in_segments_is_one_digit() {
        let mut reader = DigitReader::default();
        let segments = [
            (0, packet(9, false, 160)),
            (0, packet(9, false, 65_535)),
            (65_535, packet(9, false, 160)),
            (65_535, packet(9, true, 4000)),
        ];
        assert_eq!(read(&mut reader, &segments), "9");
    }

    #[test]
    fn a_long_press_is_one_digit_though_packets_round_the_boundary_are_lost_doubled_or_late() {
        let segment = |timestamp, durations: &[u16]| -> Vec<_> {
            durations.iter().map(|duration| (timestamp, packet(9, false, *duration))).collect()
        };
        let end = [(65_535, packet(9, true, 4000))];
        // What arrives before the boundary, what behind it.
        let cases: [(&[u16], &[u16]); 6] = [
            (&[160, 65_215], &[160]),
            (&[160, 64_895, 64_895], &[320, 160]),
            (&[160, 63_999], &[1280]),
            (&[160, 57_700], &[160]),
            (&[160, 65_535, 65_535, 65_375], &[160, 160]),
            (&[65_535], &[160]),
        ];
        for (before, behind) in cases {
            let mut reader = DigitReader::default();
            let packets = [segment(0, before), segment(65_535, behind), segment(0, &[65_535]), end.to_vec()];
            assert_eq!(read(&mut reader, &packets.concat()), "9", "{before:?} {behind:?}");
            assert_eq!(read(&mut reader, &[(90_000, packet(9, false, 160))]), "9", "pressed again");
        }
        let mut reader = DigitReader::default();
        let presses = [segment(0, &[160, 65_215]), vec![(65_535, packet(8, false, 160))]];
        assert_eq!(read(&mut reader, &presses.concat()), "98", "another key");
        let mut reader = DigitReader::default();
        let presses = [segment(0, &[160, 57_000]), segment(65_535, &[160])];
        assert_eq!(read(&mut reader, &presses.concat()), "99", "too much is missing");
    }

    #[test]
    fn timestamps_wrap_and_other_events_are_no_digits() {
        let mut reader = DigitReader::default();
        assert_eq!(
            read(&mut reader, &[(u32::MAX - 10, packet(1, true, 800)), (2000, packet(2, true, 800))]),
            "12"
        );
        assert_eq!(read(&mut reader, &[(9000, packet(16, true, 800))]), "");
        assert_eq!(reader.read(20_000, &[1, 2]), None);
    }
}
