//! The thread that writes recordings.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use trunkline_sdp::media::RoomEvent;

use super::ogg_opus::OggOpus;
use super::tap::{BLOCK, Block, Spout, Tap, pipe};
use super::wav::Wav;
use super::{RecordFile, RecordFormat};
use crate::pool::Report;
use crate::worker::Sink;

/// How often the thread looks for blocks: well within what a recording holds.
const LOOK: Duration = Duration::from_millis(100);
/// Names that are tried where a file is there already.
const MAX_NAMES: u32 = 1000;

/// What a file has to be able to do.
pub(crate) trait WriteSeek: Write + Seek + Send {}

impl<T: Write + Seek + Send> WriteSeek for T {}

/// An open file.
pub(crate) type Medium = Box<dyn WriteSeek>;

/// How a file is made that must not be there yet.
pub(crate) type Open = fn(&Path) -> io::Result<Medium>;

/// Bytes that are gathered before they are written; a block is longer and goes as it is.
const GATHERED: usize = 1024;

/// A file on a disk.
pub(crate) fn open_file(path: &Path) -> io::Result<Medium> {
    Ok(Box::new(BufWriter::with_capacity(GATHERED, File::create_new(path)?)))
}

/// What a recording is written as.
pub(super) trait Format: Send {
    /// Left and right in turns.
    fn write(&mut self, frames: &[i16]) -> io::Result<()>;

    /// The file is whole.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A recording that begins.
struct Start {
    call: u64,
    file: Box<RecordFile>,
    spout: Spout,
}

/// The way to the thread, which ends with the last of these.
#[derive(Clone)]
pub(crate) struct Recorders {
    starts: Sender<Start>,
    open: Arc<AtomicUsize>,
}

impl Recorders {
    /// Starts the thread.
    pub(crate) fn start(sink: Sink, open_medium: Open) -> io::Result<Self> {
        let (starts, receiver) = channel();
        let open = Arc::new(AtomicUsize::new(0));
        let writer = Writer { takes: Vec::new(), sink, open_medium, open: Arc::clone(&open) };
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok(Self { starts, open })
    }

    /// Begins a recording.
    pub(crate) fn record(&self, call: u64, file: Box<RecordFile>) -> Tap {
        let (tap, spout) = pipe();
        self.open.fetch_add(1, Ordering::AcqRel);
        if self.starts.send(Start { call, file, spout }).is_err() {
            self.open.fetch_sub(1, Ordering::AcqRel);
        }
        tap
    }

    /// Recordings whose files are not whole.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

struct Writer {
    takes: Vec<Take>,
    sink: Sink,
    open_medium: Open,
    open: Arc<AtomicUsize>,
}

/// A recording under way.
struct Take {
    call: u64,
    part: PathBuf,
    whole: PathBuf,
    format: Box<dyn Format>,
    spout: Spout,
    samples: u64,
}

impl Writer {
    fn run(mut self, starts: &Receiver<Start>) {
        loop {
            let start = match self.takes.is_empty() {
                true => starts.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => starts.recv_timeout(LOOK),
            };
            match start {
                Ok(start) => self.begin(start),
                Err(RecvTimeoutError::Timeout) => {}
                // The rooms are gone too: what they said last is there.
                Err(RecvTimeoutError::Disconnected) if self.takes.is_empty() => return,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
            }
            self.write_all();
        }
    }

    fn begin(&mut self, start: Start) {
        let Start { call, file, spout } = start;
        match self.file(&file) {
            Ok((part, whole, format)) => {
                self.takes.push(Take { call, part, whole, format, spout, samples: 0 });
            }
            Err(error) => self.ended(call, &file.path, 0, Some(&error)),
        }
    }

    fn file(&self, file: &RecordFile) -> io::Result<(PathBuf, PathBuf, Box<dyn Format>)> {
        if let Some(folder) = file.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        for number in 1..=MAX_NAMES {
            let whole = numbered(&file.path, number);
            let part = suffixed(&whole, ".part");
            if whole.exists() {
                continue;
            }
            let medium = match (self.open_medium)(&part) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            let format: Box<dyn Format> = match file.format {
                RecordFormat::Wav => Box::new(Wav::new(medium)?),
                RecordFormat::Opus => Box::new(OggOpus::new(medium)?),
            };
            return Ok((part, whole, format));
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn write_all(&mut self) {
        let mut at = 0;
        while let Some(take) = self.takes.get_mut(at) {
            match take.write() {
                Ok(true) => at += 1,
                outcome => {
                    let take = self.takes.swap_remove(at);
                    self.finish(take, outcome.err());
                }
            }
        }
    }

    /// Whatever became of it, what was written is kept under the file's own name.
    fn finish(&self, take: Take, problem: Option<io::Error>) {
        let finished = take.format.finish();
        let renamed = std::fs::rename(&take.part, &take.whole);
        let problem = problem.or(finished.err()).or(renamed.err());
        self.ended(take.call, &take.whole, take.samples, problem.as_ref());
    }

    fn ended(&self, call: u64, path: &Path, samples: u64, problem: Option<&io::Error>) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let problem = problem.map(ToString::to_string);
        let event = RoomEvent::RecordingEnded { file, milliseconds: samples / 8, problem };
        (self.sink)(Report::Room(call, event));
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Take {
    /// Writes what there is; false where the room has ended the recording.
    fn write(&mut self) -> io::Result<bool> {
        loop {
            match self.spout.full.try_recv() {
                Ok(block) => {
                    self.block(&block)?;
                    // There is room for all of them.
                    let _ = self.spout.empty.try_send(block);
                }
                Err(TryRecvError::Empty) => return Ok(true),
                Err(TryRecvError::Disconnected) => return Ok(false),
            }
        }
    }

    fn block(&mut self, block: &Block) -> io::Result<()> {
        let mut missed = block.missed;
        while missed > 0 {
            let silent = missed.min(BLOCK as u64);
            self.format.write(&[0; 2 * BLOCK][..2 * silent as usize])?;
            missed -= silent;
            self.samples += silent;
        }
        self.format.write(&block.samples[..2 * block.length])?;
        self.samples += block.length as u64;
        Ok(())
    }
}

/// `name.wav`, `name-2.wav`, …
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_path_buf();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{number}.{extension}"))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
