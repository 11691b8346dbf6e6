//! Rooms of more than two, on a clock of the test's.

use trunkline_sdp::control::AgentNews;

use super::*;
use crate::codec::{Decoder, Encoder};
use crate::linear_to_ulaw;

/// A peer: it says a tone and keeps what it hears.
pub(super) struct Peer {
    member: Member,
    far: UdpSocket,
    codec: Codec,
    ptime: u32,
    hertz: f64,
    encoder: Encoder,
    decoder: Decoder,
    pub(super) said: usize,
    pub(super) sequence: u16,
    /// What it heard, and the sequence numbers and timestamps of the packets.
    heard: Vec<i16>,
    pub(super) packets: Vec<(u16, u32)>,
}

pub(super) fn member(place: usize) -> Member {
    Member::leg(place).expect("a place")
}

fn sine(hertz: f64, n: usize) -> i16 {
    (6000.0 * (std::f64::consts::TAU * hertz * n as f64 / 8000.0).sin()) as i16
}

impl Peer {
    pub(super) fn comes(
        room: &mut Room,
        place: usize,
        codec: Codec,
        ptime: u32,
        hertz: f64,
        start: Instant,
    ) -> Self {
        let payload_type = codec.payload_type();
        let (leg, far) = leg(|spec| Some(MediaSpec { codec, payload_type, ptime, ..spec }), start);
        assert!(room.add(member(place), leg));
        let coders = (Encoder::at(codec, 8000).expect("one"), Decoder::at(codec, 8000).expect("one"));
        Self {
            member: member(place),
            far,
            codec,
            ptime,
            hertz,
            encoder: coders.0,
            decoder: coders.1,
            said: 0,
            sequence: 1,
            heard: Vec::new(),
            packets: Vec::new(),
        }
    }

    /// Says a packet and hears what there is.
    fn talks(&mut self, room: &mut Room, now: Instant) {
        let samples = self.ptime as usize * 8;
        let pcm: Vec<i16> = (self.said..self.said + samples).map(|n| sine(self.hertz, n)).collect();
        let (mut payload, mut bytes) = ([0; 480], [0; 600]);
        let length = self.encoder.encode(&pcm, &mut payload);
        let timestamp = (self.said as u32) * (self.codec.clock_rate() / 8000);
        let payload_type = self.codec.payload_type();
        let header = RtpHeader { marker: false, payload_type, sequence: self.sequence, timestamp, ssrc: 9 };
        let length = write_rtp(&header, &payload[..length], &mut bytes);
        self.said += samples;
        self.sequence += 1;
        let from = self.far.local_addr().expect("an address");
        room.packet(self.member.place(), &bytes[..length], from, now);
        self.hears();
    }

    fn hears(&mut self) {
        let mut packet = [0; 700];
        while let Ok(length) = self.far.recv(&mut packet) {
            let (header, payload) = RtpHeader::read(&packet[..length]).expect("RTP");
            if header.payload_type != self.codec.payload_type() {
                continue;
            }
            let mut pcm = [0; 960];
            let count = self.decoder.decode(payload, &mut pcm);
            self.heard.extend(&pcm[..count]);
            self.packets.push((header.sequence, header.timestamp));
        }
    }

    /// How loud a tone is in the last half second of what it heard.
    fn loudness(&self, hertz: f64) -> f64 {
        let tail = &self.heard[self.heard.len().saturating_sub(4000)..];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in tail.iter().enumerate() {
            let phase = std::f64::consts::TAU * hertz * n as f64 / 8000.0;
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
        }
        2.0 * (re * re + im * im).sqrt() / tail.len() as f64
    }

    /// The tones of those that it hears.
    fn tones(&self, all: &[f64]) -> Vec<f64> {
        let loud = |hertz: &&f64| {
            let loudness = self.loudness(**hertz);
            assert!(!(300.0..3000.0).contains(&loudness), "{hertz} Hz is neither here nor there: {loudness}");
            loudness >= 3000.0
        };
        all.iter().filter(loud).copied().collect()
    }

    /// Neither a sequence number nor a step of time was left out.
    fn steady(&self) {
        let step = self.ptime * self.codec.clock_rate() / 1000;
        for two in self.packets.windows(2) {
            assert_eq!(two[1].0, two[0].0.wrapping_add(1), "{:?}", self.codec);
            assert_eq!(two[1].1, two[0].1.wrapping_add(step), "{:?}", self.codec);
        }
    }
}

/// So many steps of 10 ms, in which each says what is due.
pub(super) fn talk(room: &mut Room, peers: &mut [&mut Peer], steps: std::ops::Range<u64>, start: Instant) {
    for n in steps {
        let now = start + Duration::from_millis(10 * n);
        for peer in peers.iter_mut().filter(|peer| (10 * n).is_multiple_of(u64::from(peer.ptime))) {
            peer.talks(room, now);
        }
        tick(room, now + Duration::from_millis(6));
        peers.iter_mut().for_each(|peer| peer.hears());
    }
}

fn everybody(peers: &[&Peer]) -> Hearing {
    Hearing::among(peers.iter().fold(Members::NONE, |all, peer| all.with(peer.member)))
}

const TONES: [f64; 3] = [400.0, 700.0, 1100.0];

#[test]
fn three_hear_the_two_others_and_not_themselves_whatever_their_codecs_and_packet_times() {
    let codecs = [
        [(Codec::Pcmu, 20), (Codec::Pcmu, 20), (Codec::Pcmu, 20)],
        [(Codec::Pcmu, 20), (Codec::Pcma, 30), (Codec::G722, 20)],
        [(Codec::Opus, 20), (Codec::G722, 20), (Codec::Pcma, 60)],
        [(Codec::Pcmu, 10), (Codec::Pcmu, 10), (Codec::Opus, 20)],
    ];
    for codecs in codecs {
        let start = Instant::now();
        let mut room = empty(start);
        let mut come = |place: usize| {
            let (codec, ptime) = codecs[place];
            Peer::comes(&mut room, place, codec, ptime, TONES[place], start)
        };
        let (mut a, mut b, mut c) = (come(0), come(1), come(2));
        room.arrange(everybody(&[&a, &b, &c]), start);
        room.start(start);
        talk(&mut room, &mut [&mut a, &mut b, &mut c], 0..150, start);
        assert_eq!(a.tones(&TONES), [700.0, 1100.0], "{codecs:?}");
        assert_eq!(b.tones(&TONES), [400.0, 1100.0], "{codecs:?}");
        assert_eq!(c.tones(&TONES), [400.0, 700.0], "{codecs:?}");
        [&a, &b, &c].iter().for_each(|peer| peer.steady());
    }
}

#[test]
fn somebody_comes_and_goes_without_a_gap_or_a_click() {
    let start = Instant::now();
    let mut room = empty(start);
    let mut a = Peer::comes(&mut room, 0, Codec::Pcmu, 20, 400.0, start);
    let mut b = Peer::comes(&mut room, 1, Codec::Pcmu, 20, 700.0, start);
    room.arrange(everybody(&[&a, &b]), start);
    room.start(start);
    talk(&mut room, &mut [&mut a, &mut b], 0..100, start);
    assert_eq!((a.tones(&TONES), b.tones(&TONES)), (vec![700.0], vec![400.0]));
    let mut c = Peer::comes(&mut room, 2, Codec::Pcmu, 20, 1100.0, start);
    room.arrange(everybody(&[&a, &b, &c]), start);
    talk(&mut room, &mut [&mut a, &mut b, &mut c], 100..200, start);
    assert_eq!(a.tones(&TONES), [700.0, 1100.0]);
    assert!(room.remove(c.member).is_some() && room.remove(c.member).is_none());
    talk(&mut room, &mut [&mut a, &mut b], 200..300, start);
    assert_eq!((a.tones(&TONES), b.tones(&TONES)), (vec![700.0], vec![400.0]));
    for peer in [&a, &b] {
        for two in peer.packets.windows(2) {
            assert_eq!(two[1].0, two[0].0.wrapping_add(1), "no sequence number is left out");
        }
        let longest = peer.heard.split(|sample| sample.abs() > 500).map(<[i16]>::len).skip(1).max();
        assert!(longest.is_some_and(|samples| samples < 40), "a gap of {longest:?} samples");
        // Two tones of 6000 at 700 and 1100 Hz make steps of 8000 at most, three make more.
        let steepest = peer.heard.windows(2).map(|two| i32::from(two[0]).abs_diff(two[1].into())).max();
        assert!(steepest.is_some_and(|step| step < 9000), "a click of {steepest:?}");
    }
}

#[test]
fn two_of_the_same_codec_exchange_their_payloads_as_they_are_at_once_and_without_a_clock() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        let start = Instant::now();
        let mut room = empty(start);
        let mut a = Peer::comes(&mut room, 0, codec, 20, 400.0, start);
        let mut b = Peer::comes(&mut room, 1, codec, 20, 700.0, start);
        room.arrange(everybody(&[&a, &b]), start);
        room.start(start);
        assert_eq!(room.wake_at(start), None, "nothing goes by the clock");
        for n in 0..50 {
            let now = start + Duration::from_millis(20 * n);
            a.talks(&mut room, now);
            b.talks(&mut room, now);
            b.hears();
            assert_eq!(b.packets.len() as u64, n + 1, "at once");
        }
        a.hears();
        assert_eq!((a.tones(&TONES), b.tones(&TONES)), (vec![700.0], vec![400.0]), "{codec:?}");
        [&a, &b].iter().for_each(|peer| peer.steady());
        assert_eq!(room.wake_at(start), None);
    }
}

#[test]
fn who_is_muted_is_not_heard_and_who_is_held_hears_music_and_is_not_heard() {
    let start = Instant::now();
    let mut room = empty(start);
    let mut a = Peer::comes(&mut room, 0, Codec::Pcmu, 20, 400.0, start);
    let mut b = Peer::comes(&mut room, 1, Codec::Pcma, 20, 700.0, start);
    let mut c = Peer::comes(&mut room, 2, Codec::Pcmu, 20, 1100.0, start);
    let mut hearing = everybody(&[&a, &b, &c]);
    hearing.mute(a.member);
    room.arrange(hearing, start);
    room.start(start);
    talk(&mut room, &mut [&mut a, &mut b, &mut c], 0..100, start);
    assert_eq!(a.tones(&TONES), [700.0, 1100.0], "who is muted hears");
    assert_eq!((b.tones(&TONES), c.tones(&TONES)), (vec![1100.0], vec![700.0]));
    // The first is held: the others go on.
    room.arrange(Hearing::among(Members::of(&[b.member, c.member])), start);
    let music: Vec<u8> = (0..8000).map(|n| linear_to_ulaw(sine(1600.0, n))).collect();
    room.play(a.member, music.into(), true);
    talk(&mut room, &mut [&mut a, &mut b, &mut c], 100..200, start);
    assert_eq!(a.tones(&[400.0, 700.0, 1100.0, 1600.0]), [1600.0]);
    assert_eq!((b.tones(&TONES), c.tones(&TONES)), (vec![1100.0], vec![700.0]));
    // Without music there is silence, whose packets go on.
    room.hush(a.member);
    talk(&mut room, &mut [&mut a, &mut b, &mut c], 200..300, start);
    assert!(a.tones(&[400.0, 700.0, 1100.0, 1600.0]).is_empty());
    [&a, &b, &c].iter().for_each(|peer| peer.steady());
}

/// Says a tone of 1100 Hz and keeps what it hears, in A-law.
#[derive(Default)]
pub(super) struct Sings {
    heard: Arc<Mutex<Vec<u8>>>,
    at: usize,
}

impl Participant for Sings {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcma)
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, frame: Frame<'_>, _room: &mut RoomIo<'_>) {
        assert_eq!((frame.codec, frame.payload.len()), (Codec::Pcma, 160));
        self.heard.lock().expect("whole").extend_from_slice(frame.payload);
    }

    fn fill(&mut self, room: &mut RoomIo<'_>) {
        let words: [u8; 800] = std::array::from_fn(|n| crate::linear_to_alaw(sine(1100.0, self.at + n)));
        self.at += words.len();
        room.play(&words);
    }
}

#[test]
fn an_agent_in_a_conference_hears_both_others_and_is_heard_by_them() {
    let start = Instant::now();
    let mut room = empty(start);
    let mut a = Peer::comes(&mut room, 0, Codec::Pcmu, 20, 400.0, start);
    let mut b = Peer::comes(&mut room, 1, Codec::Pcmu, 10, 700.0, start);
    let kept = Arc::new(Mutex::new(Vec::new()));
    room.join(Box::new(Sings { heard: Arc::clone(&kept), at: 0 }), start);
    room.start(start);
    talk(&mut room, &mut [&mut a, &mut b], 0..100, start);
    assert_eq!(
        (a.tones(&TONES), b.tones(&TONES)),
        (vec![1100.0], vec![]),
        "the caller and the agent at first"
    );
    room.arrange(Hearing::among(Members::of(&[a.member, b.member, Member::AGENT])), start);
    talk(&mut room, &mut [&mut a, &mut b], 100..200, start);
    assert_eq!(a.tones(&TONES), [700.0, 1100.0]);
    assert_eq!(b.tones(&TONES), [400.0, 1100.0]);
    let mut ear = Peer::comes(&mut empty(start), 0, Codec::Pcma, 20, 0.0, start);
    ear.heard = kept.lock().expect("whole").iter().map(|byte| crate::alaw_to_linear(*byte)).collect();
    assert_eq!(ear.tones(&TONES), [400.0, 700.0]);
    assert!((15_500..16_500).contains(&ear.heard.len()), "two seconds and nothing more: {}", ear.heard.len());
    // It goes: the two go on talking.
    room.drop_agent(start);
    talk(&mut room, &mut [&mut a, &mut b], 200..300, start);
    assert_eq!((a.tones(&TONES), b.tones(&TONES)), (vec![700.0], vec![400.0]));
    [&a, &b].iter().for_each(|peer| peer.steady());
}

#[test]
fn a_packet_of_a_mix_costs_no_allocation() {
    let start = Instant::now();
    let mut room = empty(start);
    let peers: Vec<_> =
        (0..3).map(|place| Peer::comes(&mut room, place, Codec::Pcmu, 20, TONES[place], start)).collect();
    room.join(Box::new(Generator), start);
    room.arrange(Hearing::among(Members::of(&[member(0), member(1), member(2), Member::AGENT])), start);
    room.start(start);
    let mut bytes = [0; 172];
    let mut packets = |range: std::ops::Range<u16>| {
        for sequence in range {
            let now = start + Duration::from_millis(20 * u64::from(sequence));
            let timestamp = u32::from(sequence) * 160;
            let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 };
            assert_eq!(write_rtp(&header, &[0x21; 160], &mut bytes), 172);
            for peer in &peers {
                // One is lost now and then.
                if !sequence.is_multiple_of(50) {
                    let from = peer.far.local_addr().expect("an address");
                    room.packet(peer.member.place(), &bytes, from, now);
                }
                while peer.far.recv(&mut [0; 400]).is_ok() {}
            }
            tick(&mut room, now + Duration::from_millis(6));
        }
    };
    packets(1..200);
    let counted = allocation_counter::measure(|| packets(200..1200));
    assert_eq!((counted.count_total, counted.count_current), (0, 0), "{counted:?}");
}

#[test]
fn an_agent_waits_until_a_late_answer_says_where_its_words_go() {
    let start = Instant::now();
    let (unagreed, far) = leg(|_| None, start);
    let mut room = empty(start);
    assert!(room.add(Member::FIRST, unagreed));
    room.join(Box::new(Leaver { bytes: 1600, lost: false }), start);
    room.start(start);
    (0..50).for_each(|n| tick(&mut room, start + Duration::from_millis(20 * n)));
    assert_eq!(told(&mut room), [], "it has not begun");
    room.update(Member::FIRST, terms(far.local_addr().expect("an address")), start);
    (50..70).for_each(|n| tick(&mut room, start + Duration::from_millis(20 * n)));
    let words = sent(&far).iter().filter(|packet| packet.4 == [SAID; 160]).count();
    assert_eq!((words, told(&mut room)), (10, vec![RoomEvent::AgentLeft]), "all that it said is heard");
}

/// Leaves at its first news.
#[derive(Clone, Default)]
struct Quitter(Listener, bool);

impl Participant for Quitter {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, room: &mut RoomIo<'_>) {
        room.play(&[SAID; 8000]);
    }

    fn hear(&mut self, frame: Frame<'_>, room: &mut RoomIo<'_>) {
        self.0.hear(frame, room);
    }

    fn digit(&mut self, digit: char, room: &mut RoomIo<'_>) {
        self.0.digit(digit, room);
    }

    fn tell(&mut self, news: &AgentNews, room: &mut RoomIo<'_>) {
        self.0.news.lock().expect("whole").push(news.clone());
        if self.1 { room.lost() } else { room.leave_when_played() }
    }
}

#[test]
fn who_leaves_or_is_lost_hears_nothing_more() {
    for lost in [false, true] {
        let start = Instant::now();
        let mut room = empty(start);
        let mut a = Peer::comes(&mut room, 0, Codec::Pcmu, 20, 400.0, start);
        let agent = Quitter(Listener::default(), lost);
        room.join(Box::new(agent.clone()), start);
        room.start(start);
        talk(&mut room, &mut [&mut a], 0..20, start);
        assert_eq!(*agent.0.frames.lock().expect("whole"), 10);
        room.tell(&AgentNews::SpeechStarted, start);
        room.tell(&AgentNews::SpeechStopped, start);
        talk(&mut room, &mut [&mut a], 20..60, start);
        room.info(Member::FIRST, '1', start);
        assert_eq!(*agent.0.frames.lock().expect("whole"), 10);
        assert_eq!(agent.0.news.lock().expect("whole").len(), 1);
        assert_eq!(*agent.0.digits.lock().expect("whole"), "");
        let heard = RoomEvent::Heard(Member::FIRST, '1');
        assert_eq!(told(&mut room), [heard], "what it said is still played");
    }
}

#[test]
fn a_gap_is_given_up_after_60_ms_though_nothing_more_comes() {
    let start = Instant::now();
    let notes = Notes::default();
    let (mut room, far) = room(Box::new(notes.clone()), start);
    let from = far.local_addr().expect("an address");
    let mut bytes = [0; 172];
    for sequence in [1u16, 3] {
        let timestamp = u32::from(sequence) * 160;
        let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 };
        assert_eq!(write_rtp(&header, &[0x40; 160], &mut bytes), 172);
        room.packet(0, &bytes, from, start);
    }
    let wake = room.floor.line(Member::FIRST).and_then(|line| line.gap).expect("a gap").1;
    assert_eq!(wake, start + Duration::from_millis(60));
    tick(&mut room, start + Duration::from_millis(59));
    assert_eq!(*notes.0.lock().expect("whole"), [(160, false)], "it is waited for");
    tick(&mut room, start + Duration::from_millis(60));
    assert_eq!(*notes.0.lock().expect("whole"), [(160, false), (160, true), (160, false)]);
}

#[test]
fn a_key_pressed_by_one_is_pressed_towards_the_other_unless_the_call_listens() {
    let start = Instant::now();
    let mut room = empty(start);
    let mut a = Peer::comes(&mut room, 0, Codec::Pcmu, 20, 400.0, start);
    let mut b = Peer::comes(&mut room, 1, Codec::Pcmu, 20, 700.0, start);
    room.arrange(everybody(&[&a, &b]), start);
    room.start(start);
    talk(&mut room, &mut [&mut a, &mut b], 0..10, start);
    room.listen(b.member, true);
    room.info(b.member, '9', start);
    assert_eq!(told(&mut room), [RoomEvent::Digit(b.member, '9')]);
    room.info(a.member, '7', start);
    let mut events = Vec::new();
    for n in 0..30 {
        let now = start + Duration::from_millis(100 + 20 * n);
        b.talks(&mut room, now);
        tick(&mut room, now);
        events.extend(sent(&b.far).into_iter().filter(|packet| packet.0 == 101).map(|packet| packet.4[0]));
        assert!(sent(&a.far).iter().all(|packet| packet.0 == 0), "it is not pressed back");
    }
    assert_eq!(events, [7; 10], "a press, whole");
    assert_eq!(told(&mut room), [RoomEvent::Heard(a.member, '7')]);
    // Whoever has its place next is not listened to.
    assert!(room.remove(b.member).is_some());
    told(&mut room);
    let next = Peer::comes(&mut room, 1, Codec::Pcmu, 20, 700.0, start);
    room.info(next.member, '9', start);
    assert!(!told(&mut room).contains(&RoomEvent::Digit(next.member, '9')));
}

/// Keeps what it hears, and is told of speech.
#[derive(Clone, Default)]
struct Attentive {
    heard: Arc<Mutex<Vec<i16>>>,
    news: Arc<Mutex<Vec<(usize, AgentNews)>>>,
}

impl Participant for Attentive {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn wants_speech(&self) -> bool {
        true
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, frame: Frame<'_>, _room: &mut RoomIo<'_>) {
        let linear = frame.payload.iter().map(|byte| crate::ulaw_to_linear(*byte));
        self.heard.lock().expect("whole").extend(linear);
    }

    fn tell(&mut self, news: &AgentNews, _room: &mut RoomIo<'_>) {
        let at = self.heard.lock().expect("whole").len();
        self.news.lock().expect("whole").push((at / 8, news.clone()));
    }
}

/// Packets of 20 ms that a leg's peer says.
fn say(
    room: &mut Room,
    far: &UdpSocket,
    packets: std::ops::Range<u16>,
    start: Instant,
    what: impl Fn(usize) -> f64,
) {
    let from = far.local_addr().expect("an address");
    for sequence in packets {
        let audio: [u8; 160] =
            std::array::from_fn(|n| linear_to_ulaw(what(usize::from(sequence) * 160 + n) as i16));
        let timestamp = u32::from(sequence) * 160;
        let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 };
        let mut bytes = [0; 172];
        assert_eq!(write_rtp(&header, &audio, &mut bytes), 172);
        room.packet(0, &bytes, from, start + Duration::from_millis(20 * u64::from(sequence)));
    }
}

fn hiss(n: usize) -> f64 {
    let hash = (n as u32 ^ 0x9e37).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    f64::from((hash ^ (hash >> 16)) as i32) / f64::from(i32::MAX) * 800.0
}

#[test]
fn noise_is_taken_out_of_what_a_leg_says_only_where_that_is_wanted() {
    let loudness = |wanted: bool| {
        let start = Instant::now();
        let agent = Attentive::default();
        let (mut room, far) = room(Box::new(agent.clone()), start);
        room.clean(Member::FIRST, wanted);
        say(&mut room, &far, 0..150, start, hiss);
        let heard = agent.heard.lock().expect("whole");
        assert_eq!(heard.len(), 150 * 160, "as long as it was");
        (heard[16_000..].iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 8000.0).sqrt()
    };
    let (as_it_was, cleaned) = (loudness(false), loudness(true));
    assert!(as_it_was > 400.0 && cleaned < as_it_was / 5.0, "{as_it_was} {cleaned}");
}

#[test]
fn an_agent_that_wants_to_know_is_told_when_the_caller_begins_to_speak_and_stops() {
    let start = Instant::now();
    let agent = Attentive::default();
    let (mut room, far) = room(Box::new(agent.clone()), start);
    let voice = |n: usize| 6000.0 * (n as f64 * 0.3).sin();
    say(&mut room, &far, 0..50, start, |_| 0.0);
    say(&mut room, &far, 50..100, start, voice);
    say(&mut room, &far, 100..200, start, |_| 0.0);
    let told = std::mem::take(&mut *agent.news.lock().expect("whole"));
    let [(began, AgentNews::SpeechStarted), (ended, AgentNews::SpeechStopped)] = told[..] else {
        panic!("{told:?}");
    };
    assert!((1000..=1060).contains(&began) && (2440..=2520).contains(&ended), "{told:?}");
    // It speaks again and then sends nothing more.
    say(&mut room, &far, 200..250, start, voice);
    room.slow_tick(Duration::from_secs(60), start + Duration::from_millis(5400));
    assert_eq!(agent.news.lock().expect("whole").len(), 1, "not yet");
    room.slow_tick(Duration::from_secs(60), start + Duration::from_millis(6000));
    assert_eq!(agent.news.lock().expect("whole").last().map(|news| &news.1), Some(&AgentNews::SpeechStopped));
    // One that does not hear the caller is told nothing of it.
    room.arrange(Hearing::default(), start);
    agent.news.lock().expect("whole").clear();
    say(&mut room, &far, 250..300, start, voice);
    assert_eq!(agent.news.lock().expect("whole").len(), 0);
}
