//! Key presses that we send: as telephone events (RFC 4733 §2.5), or as tones (ITU-T Q.23) to a peer that
//! takes no events.
//!
//! ```text
//! press("5w#") ─▶ queue ── a packet is due ─▶ Event 5, 20 ms … 160 ms, end, end, end ─▶ quiet, 100 ms ─▶ …
//! ```
//! While keys are pressed nothing else is sent: what the agent says waits. They can be cut short: what waits is dropped,
//! and the press under way ends as any does, early.

use std::collections::VecDeque;
use std::f64::consts::TAU;

/// Length of a press: 160 ms.
const PRESS: u32 = 1280;
/// Quiet behind it: 100 ms.
const GAP: u32 = 800;
/// Half a second and a second, for `w` and `W`.
const PAUSES: [u32; 2] = [4000, 8000];
/// How often the end of an event is sent (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// Keys and pauses that wait; further ones are not taken.
const MAX_QUEUED: usize = 512;
/// The keys in the order of their event codes (RFC 4733 §3.2).
const KEYS: &[u8] = b"0123456789*#ABCD";
/// Row and column of each, in hertz.
const TONES: [(f64, f64); 16] = [
    (941.0, 1336.0),
    (697.0, 1209.0),
    (697.0, 1336.0),
    (697.0, 1477.0),
    (770.0, 1209.0),
    (770.0, 1336.0),
    (770.0, 1477.0),
    (852.0, 1209.0),
    (852.0, 1336.0),
    (852.0, 1477.0),
    (941.0, 1209.0),
    (941.0, 1477.0),
    (697.0, 1633.0),
    (770.0, 1633.0),
    (852.0, 1633.0),
    (941.0, 1633.0),
];
/// Loudness of each of the two tones.
const AMPLITUDE: f64 = 7000.0;

#[derive(Debug, Clone, Copy)]
enum Step {
    Key(u8),
    Quiet(u32),
}

#[derive(Debug, Clone, Copy)]
struct Press {
    event: u8,
    elapsed: u32,
    ends: u8,
    /// It ends with the next packet.
    cut: bool,
}

/// What one packet is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A telephone event: its payload, and whether it is the first of its press.
    Event { payload: [u8; 4], first: bool },
    /// Silence.
    Quiet,
}

/// The keys that wait to be pressed, and the one that is.
#[derive(Debug, Default)]
pub(crate) struct Keypad {
    queue: VecDeque<Step>,
    press: Option<Press>,
}

impl Keypad {
    /// Puts keys behind those that wait; what is no key is passed over.
    pub(crate) fn press(&mut self, keys: &str) {
        for byte in keys.bytes() {
            let step = match byte {
                b'w' => Some(Step::Quiet(PAUSES[0])),
                b'W' => Some(Step::Quiet(PAUSES[1])),
                key => KEYS.iter().position(|known| *known == key).map(|event| Step::Key(event as u8)),
            };
            self.queue.extend(step.filter(|_| self.queue.len() < MAX_QUEUED));
        }
    }

    /// What waits is not pressed any more, and what is pressed is let go with the next packet.
    pub(crate) fn cut(&mut self) {
        self.queue.clear();
        if let Some(press) = &mut self.press {
            press.cut = true;
        }
    }

    /// Whether nothing is to be pressed.
    pub(crate) fn is_idle(&self) -> bool {
        self.press.is_none() && self.queue.is_empty()
    }

    /// What the next packet of so many samples is.
    pub(crate) fn step(&mut self, samples: u32) -> Due {
        if let Some(press) = &mut self.press {
            return match press.step(samples) {
                Some(due) => due,
                None => {
                    self.press = None;
                    self.queue.push_front(Step::Quiet(GAP));
                    self.quiet(samples)
                }
            };
        }
        match self.queue.front().copied() {
            Some(Step::Key(event)) => {
                self.queue.pop_front();
                let mut press = Press { event, elapsed: 0, ends: 0, cut: false };
                let due = press.step(samples);
                self.press = Some(press);
                due.unwrap_or(Due::Quiet)
            }
            Some(Step::Quiet(_)) | None => self.quiet(samples),
        }
    }

    fn quiet(&mut self, samples: u32) -> Due {
        if let Some(Step::Quiet(left)) = self.queue.front_mut() {
            *left = left.saturating_sub(samples);
            if *left == 0 {
                self.queue.pop_front();
            }
        }
        Due::Quiet
    }
}

impl Press {
    /// The next packet; nothing once the end was said often enough.
    fn step(&mut self, samples: u32) -> Option<Due> {
        if self.ends == ENDS {
            return None;
        }
        let first = self.elapsed == 0;
        // The end is said again with the duration that it had.
        self.elapsed = if self.ends == 0 { self.elapsed + samples } else { self.elapsed };
        let end = self.elapsed >= PRESS || self.cut;
        self.ends += u8::from(end);
        let [high, low] = u16::try_from(self.elapsed).unwrap_or(u16::MAX).to_be_bytes();
        // Volume 10: -10 dBm0.
        let flags = if end { 0x80 } else { 0 } | 10;
        Some(Due::Event { payload: [self.event, flags, high, low], first })
    }
}

/// The key of an event.
pub(crate) fn key(event: u8) -> Option<char> {
    KEYS.get(usize::from(event)).map(|key| char::from(*key))
}

/// The tones of an event, for a packet that begins `offset` samples into it.
pub(crate) fn tone(event: u8, offset: u32, samples: &mut [i16]) {
    let (row, column) = TONES[usize::from(event) % TONES.len()];
    for (at, sample) in samples.iter_mut().enumerate() {
        let time = f64::from(offset + at as u32) / 8000.0;
        *sample = (AMPLITUDE * ((TAU * row * time).sin() + (TAU * column * time).sin())) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each packet of 20 ms is, until the keypad is idle.
    fn packets(keypad: &mut Keypad) -> Vec<Due> {
        let mut all = Vec::new();
        while !keypad.is_idle() {
            all.push(keypad.step(160));
        }
        all
    }

    #[test]
    fn a_press_grows_ends_three_times_and_is_followed_by_quiet() {
        let mut keypad = Keypad::default();
        keypad.press("5#");
        let all = packets(&mut keypad);
        let event = |event: u8, flags: u8, duration: u16, first| {
            let [high, low] = duration.to_be_bytes();
            Due::Event { payload: [event, flags, high, low], first }
        };
        let mut wanted = Vec::new();
        for code in [5, 11] {
            wanted.extend((1..8).map(|n| event(code, 10, 160 * n, n == 1)));
            wanted.extend([event(code, 0x8a, 1280, false); 3]);
            wanted.extend([Due::Quiet; 5]);
        }
        assert_eq!(all, wanted);
    }

    #[test]
    fn pauses_are_as_long_as_they_say() {
        for (keys, packets_of_quiet) in [("w", 25), ("W", 50), ("wW", 75)] {
            let mut keypad = Keypad::default();
            keypad.press(keys);
            assert_eq!(packets(&mut keypad), vec![Due::Quiet; packets_of_quiet], "{keys}");
        }
    }

    #[test]
    fn every_packet_time_ends_and_too_many_keys_are_not_taken() {
        for samples in [80, 160, 240, 320, 480] {
            let mut keypad = Keypad::default();
            keypad.press(&"1".repeat(2000));
            assert_eq!(keypad.queue.len(), MAX_QUEUED);
            let mut steps = 0;
            while !keypad.is_idle() && steps < 100_000 {
                keypad.step(samples);
                steps += 1;
            }
            assert!(keypad.is_idle());
        }
    }

    #[test]
    fn keys_are_cut_short_and_the_one_that_is_pressed_ends_three_times() {
        let mut keypad = Keypad::default();
        keypad.press("56w7");
        for _ in 0..3 {
            assert!(matches!(keypad.step(160), Due::Event { payload: [5, 10, ..], .. }));
        }
        keypad.cut();
        for _ in 0..3 {
            let Due::Event { payload: [5, flags, high, low], first: false } = keypad.step(160) else {
                panic!("its end");
            };
            assert_eq!((flags & 0x80, u16::from_be_bytes([high, low])), (0x80, 640));
        }
        // The quiet behind it, and then nothing.
        for _ in 0..5 {
            assert_eq!(keypad.step(160), Due::Quiet);
        }
        assert!(keypad.is_idle());
        keypad.cut();
        assert!(keypad.is_idle());
    }
}
