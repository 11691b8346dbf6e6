//! What a room gives to its recording, read from the file.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use super::mixing::{Peer, Sings, member, talk};
use super::*;
use crate::pool::Report;
use crate::recorder::{RecordFile, RecordFormat, Recorders, open_file};

struct Recorded {
    recorders: Recorders,
    reports: Receiver<Report>,
    path: std::path::PathBuf,
}

impl Recorded {
    fn new(name: &str) -> Self {
        let (sender, reports) = channel();
        let sink = Arc::new(move |report| {
            let _ = sender.send(report);
        });
        let name = format!("trunkline-room-{}-{name}.wav", std::process::id());
        let path = std::env::temp_dir().join(name);
        Self { recorders: Recorders::start(sink, open_file).expect("a thread"), reports, path }
    }

    fn begin(&self, room: &mut Room) {
        let file = RecordFile { path: self.path.clone(), format: RecordFormat::Wav };
        room.record(|| self.recorders.record(1, Box::new(file)));
    }

    /// Both channels, once the room has stopped.
    fn channels(self, room: &mut Room) -> [Vec<i16>; 2] {
        room.stop();
        let ended = self.reports.recv_timeout(Duration::from_secs(20)).expect("an end");
        assert!(
            matches!(&ended, Report::Room(1, RoomEvent::RecordingEnded { problem: None, .. })),
            "{ended:?}"
        );
        let all = read(&self.path);
        std::fs::remove_file(&self.path).expect("gone");
        [0, 1].map(|side| all.iter().skip(side).step_by(2).copied().collect())
    }
}

fn read(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).expect("a WAV file");
    reader.samples().map(|sample| sample.expect("one")).collect()
}

fn loud(samples: &[i16], hertz: f64) -> bool {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = std::f64::consts::TAU * hertz * n as f64 / 8000.0;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    let loudness = 2.0 * (re * re + im * im).sqrt() / samples.len() as f64;
    assert!(!(300.0..3000.0).contains(&loudness), "{hertz} Hz is neither here nor there: {loudness}");
    loudness >= 3000.0
}

#[test]
fn the_caller_is_on_the_left_and_all_others_are_on_the_right() {
    let start = Instant::now();
    let mut room = empty(start);
    let mut caller = Peer::comes(&mut room, 0, Codec::Pcma, 20, 400.0, start);
    let mut callee = Peer::comes(&mut room, 1, Codec::G722, 20, 700.0, start);
    room.join(Box::new(Sings::default()), start);
    room.arrange(Hearing::among(Members::of(&[member(0), member(1), Member::AGENT])), start);
    room.start(start);
    let recorded = Recorded::new("sides");
    recorded.begin(&mut room);
    talk(&mut room, &mut [&mut caller, &mut callee], 0..150, start);
    let [left, right] = recorded.channels(&mut room);
    assert_eq!((left.len(), right.len()), (12_000, 12_000), "a second and a half");
    let (left, right) = (&left[4000..], &right[4000..]);
    assert_eq!([400.0, 700.0, 1100.0].map(|hertz| loud(left, hertz)), [true, false, false]);
    assert_eq!([400.0, 700.0, 1100.0].map(|hertz| loud(right, hertz)), [false, true, true]);
}

#[test]
fn who_has_the_callers_place_is_on_the_left_without_a_gap() {
    let start = Instant::now();
    let mut room = empty(start);
    let mut caller = Peer::comes(&mut room, 0, Codec::Pcmu, 20, 400.0, start);
    room.join(Box::new(Sings::default()), start);
    room.start(start);
    let recorded = Recorded::new("place");
    recorded.begin(&mut room);
    talk(&mut room, &mut [&mut caller], 0..60, start);
    let mut next = Peer::comes(&mut room, 1, Codec::Pcma, 20, 700.0, start);
    talk(&mut room, &mut [&mut caller, &mut next], 60..80, start);
    room.party(member(1), start);
    let mut hearing = Hearing::among(Members::of(&[member(0), Member::AGENT]));
    hearing.hand_over(member(0), member(1));
    room.arrange(hearing, start);
    room.remove(member(0));
    talk(&mut room, &mut [&mut next], 80..150, start);
    let [left, right] = recorded.channels(&mut room);
    assert_eq!([400.0, 700.0].map(|hertz| loud(&left[2000..6000], hertz)), [true, false]);
    assert_eq!([400.0, 700.0].map(|hertz| loud(&left[8000..12_000], hertz)), [false, true]);
    // The agent sings on.
    assert!((2000..12_000).step_by(1000).all(|from| loud(&right[from..from + 1000], 1100.0)));
}

#[test]
fn two_who_exchange_frames_undecoded_and_an_echo_are_recorded_too_and_hear_the_same_as_without() {
    let start = Instant::now();
    let mut room = empty(start);
    let mut caller = Peer::comes(&mut room, 0, Codec::Pcmu, 20, 400.0, start);
    room.join(Box::new(Mirror), start);
    room.start(start);
    let recorded = Recorded::new("echo");
    recorded.begin(&mut room);
    talk(&mut room, &mut [&mut caller], 0..150, start);
    assert_eq!(caller.packets.len(), 75, "each packet came back, at once and once");
    let [left, right] = recorded.channels(&mut room);
    assert!(loud(&left[4000..], 400.0) && loud(&right[4000..], 400.0));
    talk(&mut room, &mut [&mut caller], 150..160, start);
    assert_eq!(
        room.wake_at(start + Duration::from_secs(9)),
        room.next_step,
        "a step that finds nothing to do"
    );
    tick(&mut room, start + Duration::from_secs(9));
    assert_eq!(room.next_step, None, "the clock stands again");
}

#[test]
fn what_the_network_lost_and_what_a_pause_left_out_is_missing_on_both_sides_alike() {
    let start = Instant::now();
    let mut room = empty(start);
    let mut caller = Peer::comes(&mut room, 0, Codec::Pcmu, 20, 400.0, start);
    room.join(Box::new(Sings::default()), start);
    room.start(start);
    let recorded = Recorded::new("loss");
    recorded.begin(&mut room);
    talk(&mut room, &mut [&mut caller], 0..60, start);
    // For 300 ms nothing comes of the caller.
    talk(&mut room, &mut [], 60..90, start);
    caller.said += 15 * 160;
    caller.sequence += 15;
    talk(&mut room, &mut [&mut caller], 90..120, start);
    room.pause(true);
    talk(&mut room, &mut [&mut caller], 120..150, start);
    room.pause(false);
    talk(&mut room, &mut [&mut caller], 150..170, start);
    let [left, right] = recorded.channels(&mut room);
    assert_eq!((left.len(), right.len()), (11_200, 11_200), "1.7 s without the pause");
    // The hole in the left is where it was, within what is held of a voice, and as long.
    let quiet: Vec<usize> = left
        .chunks(80)
        .enumerate()
        .skip(10)
        .filter(|(_, part)| part.iter().all(|sample| sample.abs() < 100))
        .map(|(at, _)| at)
        .collect();
    assert!((20..=34).contains(&quiet.len()), "{quiet:?}");
    assert!(quiet[0] >= 60 && *quiet.last().expect("some") <= 100, "{quiet:?}");
    assert!(loud(&left[1600..4800], 400.0) && loud(&left[8800..], 400.0));
    assert!(right[1600..].chunks(80).all(|part| part.iter().any(|sample| sample.abs() > 3000)), "no hole");
}

#[test]
fn a_packet_of_a_recorded_call_costs_no_allocation_on_its_thread() {
    let start = Instant::now();
    let (mut talks, far) = room(Box::new(Generator), start);
    let recorded = Recorded::new("allocation");
    recorded.begin(&mut talks);
    let from = far.local_addr().expect("an address");
    let mut bytes = [0; 172];
    let mut packets = |range: std::ops::Range<u16>| {
        for sequence in range {
            let now = start + Duration::from_millis(20 * u64::from(sequence));
            let timestamp = u32::from(sequence) * 160;
            let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 };
            assert_eq!(write_rtp(&header, &[0x21; 160], &mut bytes), 172);
            talks.packet(0, &bytes, from, now);
            tick(&mut talks, now + Duration::from_millis(6));
            while far.recv(&mut [0; 400]).is_ok() {}
        }
    };
    packets(1..100);
    let counted = allocation_counter::measure(|| packets(100..1000));
    assert_eq!((counted.count_total, counted.count_current), (0, 0), "{counted:?}");
    let [left, right] = recorded.channels(&mut talks);
    assert_eq!(left.len(), right.len());
}
