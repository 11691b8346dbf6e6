//! Where in the call a frame of the caller's stands. Frames follow one another without a gap; where a
//! caller sends nothing for a while (on hold, or because it is silent), what comes next stands where the
//! room's clock is.

use std::time::{Duration, Instant};

/// How far the room's clock may be ahead of the frames before they take its time: what a network's
/// jitter delays a packet by is no pause.
const SLACK: Duration = Duration::from_millis(200);

/// A call's timeline.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    began: Option<Instant>,
    /// Where the next frame stands, in milliseconds since the start.
    next: u64,
}

impl Timeline {
    /// The call is answered.
    pub(crate) const fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// A frame of that many milliseconds passes; gives where it stands.
    pub(crate) fn pass(&mut self, length: u64, now: Instant) -> u64 {
        let began = *self.began.get_or_insert(now);
        let elapsed = u64::try_from(now.saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX);
        let at = self.next;
        let at = if elapsed > at + SLACK.as_millis() as u64 { elapsed } else { at };
        self.next = at.saturating_add(length);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_one_another_and_a_pause_is_counted() {
        let start = Instant::now();
        let ms = |ms: u64| start + Duration::from_millis(ms);
        let mut timeline = Timeline::default();
        timeline.begin(start);
        // Late, and two at once: no gap.
        assert_eq!(
            [timeline.pass(20, ms(30)), timeline.pass(20, ms(110)), timeline.pass(20, ms(110))],
            [0, 20, 40]
        );
        // A caller that was on hold for five seconds.
        assert_eq!([timeline.pass(20, ms(5100)), timeline.pass(20, ms(5120))], [5100, 5120]);
        assert_eq!(timeline.pass(20, start), 5140, "time never runs back");
    }
}
