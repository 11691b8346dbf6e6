//! What an agent says, on its way to the caller: any amount at any pace in, one packet's worth at a
//! time out, with marks that come back when they are reached or cleared.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Most bytes queued, about 131 s of G.711. More is thrown away and counted: an agent that dumps
/// more than that is broken, and its caller has long stopped listening.
pub const MAX_QUEUED_BYTES: usize = 1 << 20;
/// Most marks that wait; further ones come back at once.
const MAX_MARKS: usize = 1024;
/// Bytes of G.711 in a millisecond.
const BYTES_PER_MS: usize = 8;
/// Audio is held until this much is there or this long has passed, so that an agent whose messages
/// come in bursts does not stutter.
const FIRST_PREFILL_MS: usize = 60;
/// The prefill after the queue has run dry in the middle of speech.
const MAX_PREFILL_MS: usize = 160;
/// A refill within this time of running dry was one utterance interrupted.
const SAME_SPEECH: Duration = Duration::from_millis(300);

/// The queue.
#[derive(Debug)]
pub struct Playout {
    audio: VecDeque<u8>,
    /// Marks with the byte position that they stand behind.
    marks: VecDeque<(u64, u64)>,
    queued: u64,
    played: u64,
    dropped: u64,
    prefill_ms: usize,
    /// When audio came into an empty queue; `None` while playing.
    filling: Option<Instant>,
    ran_dry: Option<Instant>,
}

impl Default for Playout {
    fn default() -> Self {
        Self {
            audio: VecDeque::new(),
            marks: VecDeque::new(),
            queued: 0,
            played: 0,
            dropped: 0,
            prefill_ms: FIRST_PREFILL_MS,
            filling: None,
            ran_dry: None,
        }
    }
}

impl Playout {
    /// Queues audio.
    pub fn push(&mut self, audio: &[u8], now: Instant) {
        let room = MAX_QUEUED_BYTES - self.audio.len();
        let taken = audio.len().min(room);
        self.dropped += (audio.len() - taken) as u64;
        if self.audio.is_empty() && taken > 0 {
            let same_speech = self.ran_dry.is_some_and(|at| now.duration_since(at) < SAME_SPEECH);
            if same_speech && self.prefill_ms < MAX_PREFILL_MS {
                self.prefill_ms = (self.prefill_ms + 50).min(MAX_PREFILL_MS);
            }
            self.filling = Some(now);
        }
        self.audio.extend(&audio[..taken]);
        self.queued += taken as u64;
    }

    /// Sets a mark behind what is queued; false where it is reached already.
    pub fn mark(&mut self, id: u64) -> bool {
        // Marks that were cleared come back before this one.
        let reached = self.audio.is_empty() && self.marks.is_empty();
        if reached || self.marks.len() >= MAX_MARKS {
            return false;
        }
        self.marks.push_back((self.queued, id));
        true
    }

    /// Throws the queue away; the marks in it are reached.
    pub fn clear(&mut self) {
        self.audio.clear();
        self.played = self.queued;
        self.filling = None;
        self.ran_dry = None;
    }

    /// The next mark that playing has reached.
    pub fn reached(&mut self) -> Option<u64> {
        let (position, id) = *self.marks.front()?;
        (position <= self.played).then(|| {
            self.marks.pop_front();
            id
        })
    }

    /// Fills `out` with the next audio; false where there is nothing to play yet. The last packet
    /// of an utterance is padded with `silence`.
    pub fn take(&mut self, out: &mut [u8], silence: u8, now: Instant) -> bool {
        if let Some(since) = self.filling {
            let enough = self.audio.len() >= self.prefill_ms * BYTES_PER_MS;
            let waited = now.duration_since(since) >= Duration::from_millis(self.prefill_ms as u64);
            if !enough && !waited {
                return false;
            }
            self.filling = None;
        }
        if self.audio.is_empty() {
            return false;
        }
        let count = out.len().min(self.audio.len());
        for (place, byte) in out.iter_mut().zip(self.audio.drain(..count)) {
            *place = byte;
        }
        out[count..].fill(silence);
        self.played += count as u64;
        if self.audio.is_empty() {
            self.ran_dry = Some(now);
        }
        true
    }

    /// Bytes queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.audio.len()
    }

    /// Whether all was played.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.audio.is_empty()
    }

    /// Bytes thrown away because the queue was full.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: u8 = 0xff;

    fn ms(base: Instant, ms: u64) -> Instant {
        base + Duration::from_millis(ms)
    }

    #[test]
    fn audio_waits_for_the_prefill_and_comes_out_in_packets() {
        let (mut playout, start) = (Playout::default(), Instant::now());
        let mut packet = [0; 160];
        playout.push(&[1; 320], start);
        assert!(!playout.take(&mut packet, SILENCE, start), "40 ms are not enough yet");
        playout.push(&[2; 200], ms(start, 10));
        assert!(playout.take(&mut packet, SILENCE, ms(start, 10)));
        assert_eq!(packet, [1; 160]);
        playout.take(&mut packet, SILENCE, ms(start, 30));
        playout.take(&mut packet, SILENCE, ms(start, 50));
        assert_eq!(packet, [2; 160]);
        assert!(playout.take(&mut packet, SILENCE, ms(start, 70)));
        assert_eq!((packet[39], packet[40]), (2, SILENCE));
        assert!(!playout.take(&mut packet, SILENCE, ms(start, 90)));
    }

    #[test]
    fn a_short_word_is_played_after_the_wait() {
        let (mut playout, start) = (Playout::default(), Instant::now());
        let mut packet = [0; 160];
        playout.push(&[1], start);
        assert!(!playout.take(&mut packet, SILENCE, ms(start, 59)));
        assert!(playout.take(&mut packet, SILENCE, ms(start, 60)));
    }

    #[test]
    fn marks_come_back_when_played_or_cleared() {
        let (mut playout, start) = (Playout::default(), Instant::now());
        let mut packet = [0; 160];
        assert!(!playout.mark(1), "nothing is queued: reached at once");
        playout.push(&[0; 640], start);
        assert!(playout.mark(2));
        playout.push(&[0; 160], start);
        assert!(playout.mark(3));
        for n in 0..4 {
            assert_eq!(playout.reached(), None);
            playout.take(&mut packet, SILENCE, ms(start, n * 20));
        }
        assert_eq!(playout.reached(), Some(2));
        assert_eq!(playout.reached(), None);
        playout.clear();
        assert_eq!(playout.reached(), Some(3));
        assert!(playout.is_empty());
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let mut playout = Playout::default();
        for _ in 0..40 {
            playout.push(&[0; 65_536], Instant::now());
        }
        assert_eq!(playout.len(), MAX_QUEUED_BYTES);
        assert_eq!(playout.dropped(), 40 * 65_536 - MAX_QUEUED_BYTES as u64);
    }
}
