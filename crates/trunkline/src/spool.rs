//! Text on its way to a file or a terminal, written by a thread of its own, so that a slow disk delays
//! no call. What comes within a moment shares one write.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Pieces that wait; beyond it further ones are dropped and counted.
const QUEUE: usize = 10_000;
/// How long the first of several pieces waits for the others.
const GATHER: Duration = Duration::from_millis(20);
/// Longest wait at the end of the program for what is still to be written.
const LAST_WRITE: Duration = Duration::from_secs(2);

enum Piece {
    Text(Vec<u8>),
    /// Answer when all before it is written.
    Flush(SyncSender<()>),
}

/// The way into the thread.
#[derive(Clone)]
pub(crate) struct Spool {
    pieces: SyncSender<Piece>,
    dropped: Arc<AtomicU64>,
}

impl Spool {
    /// Starts the thread.
    pub(crate) fn start(name: &str, out: impl Write + Send + 'static) -> io::Result<Self> {
        let (pieces, receiver) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&dropped);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || write_all(out, &receiver, &lost))?;
        Ok(Self { pieces, dropped })
    }

    /// Hands text over, whole lines; false where too much waits already.
    pub(crate) fn push(&self, text: Vec<u8>) -> bool {
        let taken = self.pieces.try_send(Piece::Text(text)).is_ok();
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Waits until all that was handed over is written.
    pub(crate) fn wait_written(&self) {
        let (done, wait) = sync_channel(1);
        let until = Instant::now() + LAST_WRITE;
        let mut request = Piece::Flush(done);
        // A disk that hangs does not keep the program from ending.
        while let Err(TrySendError::Full(again)) = self.pieces.try_send(request) {
            if Instant::now() >= until {
                return;
            }
            request = again;
            std::thread::sleep(GATHER);
        }
        let _ = wait.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// Each write is one log event.
impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(mut out: impl Write, pieces: &Receiver<Piece>, dropped: &AtomicU64) {
    let mut batch = Vec::new();
    let mut flushed = Vec::new();
    // A write that failed may have left half a line behind.
    let mut broken = false;
    while let Ok(first) = pieces.recv() {
        if let Piece::Text(_) = first {
            std::thread::sleep(GATHER);
        }
        for piece in std::iter::once(first).chain(pieces.try_iter().take(QUEUE)) {
            match piece {
                Piece::Text(text) => batch.push(text),
                Piece::Flush(done) => flushed.push(done),
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        let lines = std::mem::take(&mut batch);
        if let Err(error) = write_lines(&mut out, &lines, &mut broken) {
            complain(&format!("{} pieces of text cannot be written: {error}", lines.len()));
        }
        if lost > 0 {
            complain(&format!("{lost} pieces of text were dropped: what takes them is too slow"));
        }
        for done in flushed.drain(..) {
            let _ = done.send(());
        }
    }
}

/// Writes the lines together; where that fails, each by itself, so that what can be written is.
fn write_lines(out: &mut impl Write, lines: &[Vec<u8>], broken: &mut bool) -> io::Result<()> {
    if !std::mem::take(broken) && out.write_all(&lines.concat()).is_ok() {
        return out.flush();
    }
    // How much of the batch came through is not known: lines may stand twice, none is torn.
    let mut outcome = Ok(());
    for line in lines {
        let whole = [b"\n", line.as_slice()].concat();
        if let Err(error) = out.write_all(&whole) {
            *broken = true;
            outcome = Err(error);
        }
    }
    outcome.and(out.flush())
}

/// The last resort. Standard error may be just what cannot be written.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "trunkline: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_was_handed_over_is_written_in_order() {
        let (read, write) = io::pipe().expect("a pipe");
        let spool = Spool::start("test", write).expect("a thread");
        for n in 0..1000 {
            assert!(spool.push(format!("{n}\n").into_bytes()));
        }
        spool.wait_written();
        drop(spool);
        let text = io::read_to_string(read).expect("text");
        let numbers: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }

    /// Takes so many bytes, then fails until it is told that there is room.
    struct Disk {
        room: usize,
        out: io::PipeWriter,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                // Room again at the next try.
                self.room = 1 << 20;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = self.out.write(&bytes[..bytes.len().min(self.room)])?;
            self.room -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_tears_no_line_and_ends_nothing() {
        let (read, out) = io::pipe().expect("a pipe");
        let spool = Spool::start("test", Disk { room: 10, out }).expect("a thread");
        for text in ["first line\n", "second line\n"] {
            assert!(spool.push(text.as_bytes().to_vec()));
            spool.wait_written();
        }
        assert!(spool.push(b"third line\n".to_vec()));
        spool.wait_written();
        drop(spool);
        let text = io::read_to_string(read).expect("text");
        let whole = |line: &str| text.lines().any(|l| l == line);
        assert!(whole("first line") && whole("second line") && whole("third line"), "{text:?}");
    }
}
