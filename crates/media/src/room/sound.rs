//! A sound that is played to a leg instead of what it would hear.

use std::sync::Arc;

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

    /// The next of it; true where that was the last.
    pub(super) fn take(&mut self, out: &mut [u8]) -> bool {
        let mut filled = 0;
        while filled < out.len() {
            let rest = self.audio.get(self.at..).unwrap_or_default();
            let count = rest.len().min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&rest[..count]);
            (filled, self.at) = (filled + count, self.at + count);
            if self.at >= self.audio.len() {
                if !self.repeat || self.audio.is_empty() {
                    return true;
                }
                self.at = 0;
            }
        }
        false
    }
}
