//! What reception reports are made of (RFC 3550 §6.4.1, A.3, A.8), and the opinion score.

use std::time::Duration;

use trunkline_sdp::media::MediaStats;

/// Reception figures of one RTP source.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Timestamp units in a second.
    rate: u32,
    base: u32,
    highest: u32,
    received: u64,
    /// Packets of sources before this one.
    expected_before: u64,
    transit: u32,
    /// Jitter in timestamp units, scaled by 16.
    jitter: u32,
    ssrc: Option<u32>,
    /// What follows a packet whose number was far off; where it comes, the source counts anew.
    restart: Option<u16>,
    last_report: (u64, u64),
    round_trip: Option<Duration>,
}

/// Most packets that may be missing before a jump is a source that counts anew, and how far behind a
/// packet may be that is only late (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
const MAX_MISORDER: u16 = 100;

/// Of a stream of G.711.
impl Default for Quality {
    fn default() -> Self {
        Self::new(8000)
    }
}

impl Quality {
    /// Figures of a source that counts so many timestamp units in a second.
    #[must_use]
    pub const fn new(rate: u32) -> Self {
        Self {
            rate,
            base: 0,
            highest: 0,
            received: 0,
            expected_before: 0,
            transit: 0,
            jitter: 0,
            ssrc: None,
            restart: None,
            last_report: (0, 0),
            round_trip: None,
        }
    }

    /// The source counts at another rate from now on.
    pub(crate) fn count_in(&mut self, rate: u32) {
        self.jitter = (u64::from(self.jitter) * u64::from(rate) / u64::from(self.rate)) as u32;
        self.rate = rate;
    }

    /// Counts a packet; `arrival` in timestamp units.
    pub fn received(&mut self, ssrc: u32, sequence: u16, timestamp: u32, arrival: u32) {
        if self.ssrc != Some(ssrc) {
            self.expected_before = self.expected();
            self.ssrc = Some(ssrc);
            self.base = u32::from(sequence);
            self.highest = u32::from(sequence);
            self.transit = arrival.wrapping_sub(timestamp);
        }
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < MAX_DROPOUT {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        } else if ahead <= u16::MAX - MAX_MISORDER {
            if self.restart != Some(sequence) {
                self.restart = Some(sequence.wrapping_add(1));
                return;
            }
            self.expected_before = self.expected();
            self.base = u32::from(sequence);
            self.highest = u32::from(sequence);
            self.transit = arrival.wrapping_sub(timestamp);
        }
        self.restart = None;
        self.received += 1;
        let transit = arrival.wrapping_sub(timestamp);
        let difference = transit.wrapping_sub(self.transit) as i32;
        self.transit = transit;
        let difference = difference.unsigned_abs().min(self.rate);
        self.jitter = self.jitter + difference - ((self.jitter + 8) >> 4);
    }

    /// Takes a round trip measured from a report.
    pub fn round_trip(&mut self, span: Duration) {
        self.round_trip = Some(span);
    }

    /// The source that is being received.
    #[must_use]
    pub const fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Highest sequence number with its cycles.
    #[must_use]
    pub const fn highest(&self) -> u32 {
        self.highest
    }

    /// Packets that never came.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// Jitter in timestamp units.
    #[must_use]
    pub const fn jitter(&self) -> u32 {
        self.jitter >> 4
    }

    /// The share lost since the last report, in 256ths (RFC 3550 A.3).
    pub fn fraction_lost(&mut self) -> u8 {
        let (expected, received) = (self.expected(), self.received);
        let expected_now = expected - self.last_report.0.min(expected);
        let received_now = received - self.last_report.1.min(received);
        self.last_report = (expected, received);
        let lost = expected_now.saturating_sub(received_now);
        u8::try_from(lost * 256 / expected_now.max(1)).unwrap_or(u8::MAX)
    }

    /// The figures for the call's record.
    #[must_use]
    pub fn stats(&self) -> MediaStats {
        let jitter_ms = f64::from(self.jitter()) / f64::from(self.rate) * 1000.0;
        let lost = self.lost();
        let share = lost as f64 / (self.expected().max(1)) as f64;
        MediaStats {
            packets_received: self.received,
            packets_lost: lost,
            jitter_ms,
            round_trip_ms: self.round_trip.map(|span| span.as_secs_f64() * 1000.0),
            mos: if self.received == 0 { 0.0 } else { opinion_score(share, jitter_ms, self.round_trip) },
            ..MediaStats::default()
        }
    }

    fn expected(&self) -> u64 {
        match self.ssrc {
            Some(_) => self.expected_before + u64::from(self.highest.wrapping_sub(self.base)) + 1,
            None => self.expected_before,
        }
    }
}

/// The E-model (ITU-T G.107) for G.711 without concealment: delay from jitter and half the round
/// trip, loss with Bpl = 4.3; then MOS from R (Annex B).
fn opinion_score(lost_share: f64, jitter_ms: f64, round_trip: Option<Duration>) -> f64 {
    let delay = 20.0 + 2.0 * jitter_ms + round_trip.map_or(0.0, |span| span.as_secs_f64() * 500.0);
    let delay_impairment = 0.024 * delay + if delay > 177.3 { 0.11 * (delay - 177.3) } else { 0.0 };
    let percent = lost_share * 100.0;
    let loss_impairment = 95.0 * percent / (percent + 4.3);
    let r = (93.2 - delay_impairment - loss_impairment).clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_jitter_are_those_of_the_stream() {
        let mut quality = Quality::default();
        for n in 0..1000u32 {
            if n % 10 != 3 {
                let wobble = if n % 2 == 0 { 80 } else { 0 };
                quality.received(1, (65_000 + n) as u16, n * 160, n * 160 + wobble);
            }
        }
        assert_eq!((quality.lost(), quality.fraction_lost()), (100, 25));
        assert!((60..=80).contains(&quality.jitter()), "{}", quality.jitter());
        let stats = quality.stats();
        assert!(stats.mos < 3.0 && stats.mos > 1.0, "{}", stats.mos);
    }

    #[test]
    fn a_source_that_counts_anew_lost_nothing_and_one_stray_number_changes_nothing() {
        let mut quality = Quality::default();
        let mut play = |from: u16, count: u16| {
            for n in 0..count {
                quality.received(1, from.wrapping_add(n), 0, 0);
            }
            (quality.stats().packets_received, quality.lost(), quality.highest() as u16)
        };
        assert_eq!(play(65_500, 100), (100, 0, 63), "over the wrap");
        assert_eq!(play(20_000, 1), (100, 0, 63), "stray");
        assert_eq!(play(64, 10), (110, 0, 73));
        assert_eq!(play(20_000, 10), (119, 0, 20_009), "ahead; the first of them only says so");
        assert_eq!(play(500, 10), (128, 0, 509), "behind");
        assert_eq!(play(505, 1), (129, 0, 509), "late");
        assert_eq!(play(3509, 1), (129, 0, 509), "too far for a loss");
        assert_eq!(play(3508, 1), (130, 2997, 3508), "just not; one late packet came twice");
    }

    #[test]
    fn a_clean_stream_scores_well_and_a_new_source_goes_on_counting() {
        let mut quality = Quality::default();
        for n in 0..100u32 {
            quality.received(1, n as u16, n * 160, n * 160);
        }
        for n in 0..100u32 {
            quality.received(2, 5000 + n as u16, n * 160, 16_000 + n * 160);
        }
        let stats = quality.stats();
        assert_eq!((stats.packets_received, stats.packets_lost), (200, 0));
        assert!(stats.mos > 4.3, "{}", stats.mos);
    }
}
