//! What a member is given by the room's clock, gathered to whole packets; and the seams where one thing
//! follows another.

use trunkline_sdp::Codec;

use crate::g711::{encode, linear};
use crate::leg::MAX_PAYLOAD;

/// Samples of an edge: 5 ms.
const EDGE: usize = 40;
/// Samples that may wait: a packet that is nearly whole, and a step.
const CAPACITY: usize = 2 * MAX_PAYLOAD;

/// Samples that wait for their packet.
pub(super) struct Outlet {
    samples: [i16; CAPACITY],
    length: usize,
    /// Samples since the last packet.
    owed: usize,
    /// The last sample that the member was given.
    last: i16,
    /// What comes next does not follow from what was before.
    seam: bool,
}

impl Default for Outlet {
    fn default() -> Self {
        Self { samples: [0; CAPACITY], length: 0, owed: 0, last: 0, seam: false }
    }
}

impl Outlet {
    /// Something else comes from now on.
    pub(super) const fn cut(&mut self) {
        self.seam = true;
    }

    /// Whether the next frame has to be joined to the one before.
    pub(super) const fn is_cut(&self) -> bool {
        self.seam
    }

    /// A frame that goes out: joined to the one before, if something was cut.
    pub(super) fn join(&mut self, frame: &mut [i16]) {
        if std::mem::take(&mut self.seam) {
            smooth(self.last, frame);
        }
        self.passed(frame.last().copied());
    }

    /// A frame of G.711 that goes out: joined to the one before, if something was cut.
    pub(super) fn join_encoded(&mut self, frame: &mut [u8], codec: Codec) {
        if std::mem::take(&mut self.seam) {
            let mut edge = [0; EDGE];
            let edge = &mut edge[..frame.len().min(EDGE)];
            for (sample, byte) in edge.iter_mut().zip(&*frame) {
                *sample = linear(*byte, codec);
            }
            smooth(self.last, edge);
            for (byte, sample) in frame.iter_mut().zip(edge) {
                *byte = encode(*sample, codec);
            }
        }
        self.passed(frame.last().map(|byte| linear(*byte, codec)));
    }

    /// The last sample of what goes out by itself.
    pub(super) const fn passed(&mut self, last: Option<i16>) {
        if let Some(last) = last {
            self.last = last;
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// What waits is thrown away.
    pub(super) const fn clear(&mut self) {
        self.length = 0;
        self.seam = true;
    }

    /// Nothing goes out by the clock.
    pub(super) const fn rest(&mut self) {
        (self.length, self.owed) = (0, 0);
    }

    /// A step of so many samples is over; true where a packet of `packet` is due.
    pub(super) const fn due(&mut self, step: usize, packet: usize) -> bool {
        self.owed += step;
        let due = self.owed >= packet;
        if due {
            self.owed -= packet;
        }
        due
    }

    /// Puts a step's samples behind those that wait.
    pub(super) fn push(&mut self, frame: &mut [i16]) {
        self.join(frame);
        let count = frame.len().min(CAPACITY - self.length);
        self.samples[self.length..self.length + count].copy_from_slice(&frame[..count]);
        self.length += count;
    }

    /// Takes a packet; where less waits it begins with silence.
    pub(super) fn take(&mut self, out: &mut [i16]) {
        let count = out.len().min(self.length);
        let missing = out.len() - count;
        out[..missing].fill(0);
        out[missing..].copy_from_slice(&self.samples[..count]);
        self.samples.copy_within(count..self.length, 0);
        self.length -= count;
    }
}

/// Bends the beginning of a frame so that it follows from `last` without a click.
pub(super) fn smooth(last: i16, frame: &mut [i16]) {
    let Some(first) = frame.first() else { return };
    let offset = i32::from(last) - i32::from(*first);
    for (at, sample) in (0..EDGE as i32).zip(frame) {
        let bent = i32::from(*sample) + offset * (EDGE as i32 - at) / EDGE as i32;
        *sample = bent.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_packets_of_any_length_and_nothing_is_lost() {
        for (step, packet) in [(80, 160), (80, 240), (160, 160), (80, 120), (80, 480)] {
            let mut outlet = Outlet::default();
            let (mut said, mut given) = (0i16, Vec::new());
            for _ in 0..60 {
                let mut frame: Vec<i16> = (0..step as i16).map(|n| said + n).collect();
                said += step as i16;
                outlet.push(&mut frame);
                if outlet.due(step, packet) {
                    let mut out = vec![0; packet];
                    outlet.take(&mut out);
                    given.extend(out);
                }
            }
            assert!(given.iter().copied().eq(0..given.len() as i16), "{step} {packet}");
            assert!(given.len() + packet > 60 * step);
        }
    }

    #[test]
    fn a_cut_bends_the_next_frame_to_the_one_before() {
        let mut outlet = Outlet::default();
        outlet.push(&mut [5000; 160]);
        outlet.cut();
        let mut frame = [-5000; 160];
        outlet.join(&mut frame);
        assert_eq!((frame[0], frame[40]), (5000, -5000));
        assert!(frame.windows(2).all(|two| two[0].abs_diff(two[1]) <= 260));
    }
}
