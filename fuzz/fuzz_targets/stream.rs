//! A byte stream: cut into pieces of any size it yields what it yields in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_sip::stream::{FrameError, Framed, Framer};

fuzz_target!(|data: &[u8]| {
    let Some((step, bytes)) = data.split_first() else { return };
    let whole = frames(bytes, bytes.len().max(1));
    let pieces = frames(bytes, usize::from(*step).max(1));
    assert_eq!(whole, pieces);
});

fn frames(bytes: &[u8], step: usize) -> (Vec<Framed>, Option<FrameError>) {
    let mut framer = Framer::default();
    let mut all = Vec::new();
    for piece in bytes.chunks(step) {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => all.push(frame),
                Ok(None) => break,
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, None)
}
