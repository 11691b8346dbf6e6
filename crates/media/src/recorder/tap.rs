//! The room's end of a recording. Nothing here waits or allocates.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

/// Samples of a channel in a block: 200 ms.
pub(super) const BLOCK: usize = 1600;
/// Blocks of a recording: what a disk may be late, 2 s. 64 KB.
pub(super) const BLOCKS: usize = 10;

/// A piece of a recording.
pub(super) struct Block {
    /// Left and right in turns.
    pub(super) samples: [i16; 2 * BLOCK],
    /// Samples of a channel that are filled.
    pub(super) length: usize,
    /// Samples of a channel that are missing before it.
    pub(super) missed: u64,
}

/// Where a room's recording goes in.
pub(crate) struct Tap {
    full: SyncSender<Box<Block>>,
    empty: Receiver<Box<Block>>,
    block: Option<Box<Block>>,
    missed: u64,
    paused: bool,
}

/// Where it comes out.
pub(super) struct Spout {
    pub(super) full: Receiver<Box<Block>>,
    pub(super) empty: SyncSender<Box<Block>>,
}

/// Both ends of a recording.
pub(super) fn pipe() -> (Tap, Spout) {
    let (full, full_out) = sync_channel(BLOCKS);
    let (empty_in, empty) = sync_channel(BLOCKS);
    for _ in 0..BLOCKS {
        let block = Block { samples: [0; 2 * BLOCK], length: 0, missed: 0 };
        // There is room for all of them.
        let _ = empty_in.try_send(Box::new(block));
    }
    let tap = Tap { full, empty, block: None, missed: 0, paused: false };
    (tap, Spout { full: full_out, empty: empty_in })
}

impl Tap {
    /// Leaves out what follows, or goes on.
    pub(crate) const fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Takes what both sides say at a time, as many samples of each; false once the recording has ended.
    pub(crate) fn hear(&mut self, left: &[i16], right: &[i16]) -> bool {
        if self.paused {
            return true;
        }
        let (mut left, mut right) = (left, right);
        while !left.is_empty() && !right.is_empty() {
            let block = match &mut self.block {
                Some(block) => block,
                none => match self.empty.try_recv() {
                    Ok(mut block) => {
                        (block.length, block.missed) = (0, std::mem::take(&mut self.missed));
                        none.insert(block)
                    }
                    // The recording has ended: nothing comes back any more.
                    Err(TryRecvError::Disconnected) => return false,
                    // The disk is late.
                    Err(TryRecvError::Empty) => {
                        self.missed += left.len().min(right.len()) as u64;
                        return true;
                    }
                },
            };
            let count = left.len().min(right.len()).min(BLOCK - block.length);
            let free = block.samples[2 * block.length..].chunks_exact_mut(2);
            for (pair, (left, right)) in free.zip(left[..count].iter().zip(&right[..count])) {
                (pair[0], pair[1]) = (*left, *right);
            }
            block.length += count;
            (left, right) = (&left[count..], &right[count..]);
            if block.length == BLOCK && !self.send() {
                return false;
            }
        }
        true
    }

    fn send(&mut self) -> bool {
        self.block.take().is_none_or(|block| self.full.try_send(block).is_ok())
    }
}

impl Drop for Tap {
    /// What was said last goes out too; that the other end then finds nothing more ends the recording.
    fn drop(&mut self) {
        self.send();
    }
}
