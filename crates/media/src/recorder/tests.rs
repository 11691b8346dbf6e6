use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use trunkline_sdp::Codec;
use trunkline_sdp::media::RoomEvent;

use super::tap::{BLOCK, BLOCKS};
use super::writer::{Medium, open_file};
use super::*;
use crate::codec::Decoder;
use crate::pool::Report;

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("trunkline-recordings-{}-{number}", std::process::id())))
    }

    fn file(&self, format: RecordFormat) -> Box<RecordFile> {
        let name = if format == RecordFormat::Wav { "call.wav" } else { "call.ogg" };
        Box::new(RecordFile { path: self.0.join("sub").join(name), format })
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.0.join("sub")) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("one").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn recorders(open: Open) -> (Recorders, Receiver<Report>) {
    let (sender, reports) = channel();
    let sink = Arc::new(move |report| {
        let _ = sender.send(report);
    });
    (Recorders::start(sink, open).expect("a thread"), reports)
}

fn sine(hertz: f64, from: usize, count: usize) -> Vec<i16> {
    let sample = |n: usize| (6000.0 * (std::f64::consts::TAU * hertz * n as f64 / 8000.0).sin()) as i16;
    (from..from + count).map(sample).collect()
}

/// Says so many packets of 20 ms at a pace that the thread keeps up with.
fn say(tap: &mut Tap, packets: std::ops::Range<usize>) {
    for n in packets {
        assert!(tap.hear(&sine(400.0, n * 160, 160), &sine(700.0, n * 160, 160)));
        if n % 40 == 39 {
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

fn ended(reports: &Receiver<Report>) -> (String, u64, Option<String>) {
    match reports.recv_timeout(Duration::from_secs(20)) {
        Ok(Report::Room(7, RoomEvent::RecordingEnded { file, milliseconds, problem })) => {
            (file, milliseconds, problem)
        }
        other => panic!("{other:?}"),
    }
}

/// The thread counts a recording off right behind its report.
fn all_closed(recorders: &Recorders) -> bool {
    (0..2000).any(|_| {
        let closed = recorders.open() == 0;
        if !closed {
            std::thread::sleep(Duration::from_millis(1));
        }
        closed
    })
}

fn loudness(samples: &[i16], hertz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = std::f64::consts::TAU * hertz * n as f64 / 8000.0;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    2.0 * (re * re + im * im).sqrt() / samples.len() as f64
}

fn channels(path: &Path) -> [Vec<i16>; 2] {
    let mut reader = hound::WavReader::open(path).expect("a WAV file");
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 8000));
    let all: Vec<i16> = reader.samples().map(|sample| sample.expect("one")).collect();
    [0, 1].map(|side| all.iter().skip(side).step_by(2).copied().collect())
}

#[test]
fn each_side_is_in_its_channel_and_the_file_has_its_name_once_it_is_whole() {
    let folder = Folder::new();
    let (recorders, reports) = recorders(open_file);
    for name in ["call.wav", "call-2.wav"] {
        let mut tap = recorders.record(7, folder.file(RecordFormat::Wav));
        say(&mut tap, 0..80);
        assert!(folder.names().contains(&format!("{name}.part")), "{:?}", folder.names());
        assert!(!folder.names().contains(&name.to_owned()));
        // What is said in a pause is left out.
        tap.pause(true);
        assert!(tap.hear(&[1; 160], &[1; 160]));
        tap.pause(false);
        say(&mut tap, 80..90);
        drop(tap);
        assert_eq!(ended(&reports), (name.to_owned(), 1800, None));
        assert!(all_closed(&recorders));
        let sides = channels(&folder.0.join("sub").join(name));
        assert_eq!(sides, [sine(400.0, 0, 90 * 160), sine(700.0, 0, 90 * 160)]);
    }
    assert_eq!(folder.names(), ["call-2.wav", "call.wav"]);
}

#[test]
fn opus_in_ogg_has_each_side_in_a_stream_of_its_own_and_its_true_length() {
    let folder = Folder::new();
    let (recorders, reports) = recorders(open_file);
    let mut tap = recorders.record(7, folder.file(RecordFormat::Opus));
    say(&mut tap, 0..120);
    drop(tap);
    assert_eq!(ended(&reports), ("call.ogg".to_owned(), 2400, None));
    let bytes = std::fs::read(folder.0.join("sub/call.ogg")).expect("there");
    let mut reader = ogg::PacketReader::new(Cursor::new(bytes));
    let mut next = || reader.read_packet().expect("whole");
    assert_eq!(next().expect("a head").data[..10], *b"OpusHead\x01\x02");
    assert_eq!(next().expect("tags").data[..8], *b"OpusTags");
    let decoder = || Decoder::at(Codec::Opus, 8000).expect("one");
    let (mut decoders, mut sides) = ([decoder(), decoder()], [Vec::new(), Vec::new()]);
    let mut last = None;
    while let Some(packet) = next() {
        let data = packet.data.clone();
        assert!(data[0] & 3 == 0 && data[1] < 252, "one short frame of the first stream");
        let length = usize::from(data[1]);
        let first = [&data[..1], &data[2..2 + length]].concat();
        for ((decoder, side), data) in
            decoders.iter_mut().zip(&mut sides).zip([&first[..], &data[2 + length..]])
        {
            let mut pcm = [0; 960];
            let count = decoder.decode(data, &mut pcm);
            assert_eq!(count, 160);
            side.extend(&pcm[..count]);
        }
        last = Some(packet);
    }
    let last = last.expect("a packet");
    assert!(last.last_in_stream());
    assert_eq!(last.absgp_page(), 312 + 120 * 960);
    for (side, (own, other)) in sides.iter().zip([(400.0, 700.0), (700.0, 400.0)]) {
        let tail = &side[8000..16_000];
        assert!(loudness(tail, own) > 3500.0 && loudness(tail, other) < 100.0, "{own}");
    }
}

#[test]
fn a_disk_that_is_late_costs_silence_of_the_same_length_in_both_channels() {
    let folder = Folder::new();
    // The thread cannot begin before it is let.
    static LET: std::sync::Mutex<()> = std::sync::Mutex::new(());
    fn late(path: &Path) -> io::Result<Medium> {
        drop(LET.lock());
        open_file(path)
    }
    let held = LET.lock();
    let (recorders, reports) = recorders(late);
    let mut tap = recorders.record(7, folder.file(RecordFormat::Wav));
    let fits = BLOCK * BLOCKS;
    let (lost, after) = (5000, 4000);
    // All at once, while nothing is taken out: none of these calls waits.
    for n in 0..fits / 160 {
        assert!(tap.hear(&sine(400.0, n * 160, 160), &sine(700.0, n * 160, 160)));
    }
    assert!(tap.hear(&vec![99; lost], &vec![99; lost]));
    drop(held);
    while tap_is_full(&recorders, &folder) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(tap.hear(&sine(400.0, 0, after), &sine(700.0, 0, after)));
    drop(tap);
    let milliseconds = (fits + lost + after) as u64 / 8;
    assert_eq!(ended(&reports), ("call.wav".to_owned(), milliseconds, None));
    let sides = channels(&folder.0.join("sub/call.wav"));
    for (side, hertz) in sides.iter().zip([400.0, 700.0]) {
        assert_eq!(side[..fits], sine(hertz, 0, fits));
        assert!(side[fits..fits + lost].iter().all(|sample| *sample == 0));
        assert_eq!(side[fits + lost..], sine(hertz, 0, after));
    }
}

/// Whether nothing was written yet: WAV's first blocks are more than what is buffered.
fn tap_is_full(recorders: &Recorders, folder: &Folder) -> bool {
    let length = std::fs::metadata(folder.0.join("sub/call.wav.part")).map_or(0, |file| file.len());
    recorders.open() == 1 && length < (2 * 2 * BLOCK * (BLOCKS - 3)) as u64
}

/// A disk of 40,000 bytes.
struct Small(std::fs::File, u64);

impl Write for Small {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let position = self.0.stream_position()?;
        let free = self.1.saturating_sub(position) as usize;
        match free.min(buffer.len()) {
            0 if !buffer.is_empty() => Err(io::ErrorKind::StorageFull.into()),
            count => self.0.write(&buffer[..count]),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Small {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_full_disk_ends_the_recording_is_told_and_what_fitted_is_kept() {
    let folder = Folder::new();
    let small = |path: &Path| Ok(Box::new(Small(std::fs::File::create_new(path)?, 40_000)) as Medium);
    let (recorders, reports) = recorders(small);
    let mut tap = recorders.record(7, folder.file(RecordFormat::Wav));
    let mut packets = 0;
    while tap.hear(&[1000; 160], &[2000; 160]) {
        packets += 1;
        assert!(packets < 2000, "it never ends");
        std::thread::sleep(Duration::from_millis(2));
    }
    let (file, milliseconds, problem) = ended(&reports);
    assert_eq!(file, "call.wav");
    assert!((800..1300).contains(&milliseconds), "{milliseconds}");
    assert!(problem.is_some_and(|problem| problem.contains("no storage space")), "a reason");
    assert!(all_closed(&recorders));
    assert_eq!(folder.names(), ["call.wav"]);
    let sides = channels(&folder.0.join("sub/call.wav"));
    assert!(sides[0].len() > 4000 && sides[0].iter().all(|sample| *sample == 1000), "{}", sides[0].len());
}

#[test]
fn a_file_that_cannot_be_made_is_told_and_costs_nothing_more() {
    let folder = Folder::new();
    std::fs::write(&folder.0, "a file where the folder should be").expect("written");
    let (recorders, reports) = recorders(open_file);
    let mut tap = recorders.record(7, folder.file(RecordFormat::Wav));
    let (_, milliseconds, problem) = ended(&reports);
    assert!(milliseconds == 0 && problem.is_some());
    while tap.hear(&[0; 160], &[0; 160]) {}
    assert!(all_closed(&recorders));
    std::fs::remove_file(&folder.0).expect("gone");
}

#[test]
fn a_tap_whose_blocks_are_all_under_way_when_the_recording_ends_sees_its_end() {
    let (mut tap, spout) = super::tap::pipe();
    // Every block is full and nothing comes back: the disk is late, as far as the tap can tell.
    let all = vec![0; BLOCK * BLOCKS + 160];
    assert!(tap.hear(&all, &all));
    drop(spout);
    assert!(!tap.hear(&all, &all));
}
