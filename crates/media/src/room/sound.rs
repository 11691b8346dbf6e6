//! A sound that is played to a leg instead of what it would hear.

use std::sync::Arc;

use crate::g711::ulaw_to_linear;

/// One on its way.
pub(super) struct Playing {
    audio: Arc<[u8]>,
    at: usize,
    repeat: bool,
}

impl Playing {
    /// A sound in µ-law from its beginning.
    pub(super) const fn new(audio: Arc<[u8]>, repeat: bool) -> Self {
        Self { audio, at: 0, repeat }
    }

    /// The next of it, then silence; true where that was the last.
    pub(super) fn take(&mut self, out: &mut [i16]) -> bool {
        let mut filled = 0;
        while filled < out.len() {
            let rest = self.audio.get(self.at..).unwrap_or_default();
            let count = rest.len().min(out.len() - filled);
            for (sample, byte) in out[filled..].iter_mut().zip(&rest[..count]) {
                *sample = ulaw_to_linear(*byte);
            }
            (filled, self.at) = (filled + count, self.at + count);
            if self.at >= self.audio.len() {
                if !self.repeat || self.audio.is_empty() {
                    out[filled..].fill(0);
                    return true;
                }
                self.at = 0;
            }
        }
        false
    }
}
