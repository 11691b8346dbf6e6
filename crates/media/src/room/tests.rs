use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use trunkline_sdp::Codec;
use trunkline_sdp::control::{AgentAsk, Recording};

use trunkline_sdp::media::DtmfMethod;

use super::*;
use crate::RtpHeader;
use crate::participant::{Frame, RoomIo};
use crate::ports::Ports;
use crate::write_rtp;

/// Says one byte over and over, a thousand at a time, whenever it is asked.
struct Generator;

const SAID: u8 = 0x55;

impl Participant for Generator {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, frame: Frame<'_>, room: &mut RoomIo<'_>) {
        // What it hears it forgets: the reading path is exercised all the same.
        let _ = (frame.payload.len(), room.ptime());
    }

    fn fill(&mut self, room: &mut RoomIo<'_>) {
        room.play(&[SAID; 1000]);
    }
}

mod mixing;
mod recording;

/// µ-law to and from there.
fn terms(remote: SocketAddr) -> MediaSpec {
    MediaSpec {
        codec: Codec::Pcmu,
        payload_type: 0,
        events: Some(101),
        events_rate: 8000,
        ptime: 20,
        remote: Some(remote),
        written: Some(remote),
        signalling: Some(remote.ip()),
        remote_rtcp: None,
        rtcp_mux: false,
        sends: true,
        receives: true,
        srtp: None,
        dtmf: DtmfMethod::Auto,
    }
}

/// A leg whose peer is a socket of the test's.
fn leg(change: impl FnOnce(MediaSpec) -> Option<MediaSpec>, start: Instant) -> (RtpLeg, UdpSocket) {
    let far = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    far.set_nonblocking(true).expect("a mode");
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = probe.local_addr().expect("an address").port() & !1;
    drop(probe);
    let pair = Ports::new(&(port..=port + 40)).open(IpAddr::from([127, 0, 0, 1]), start).expect("a pair");
    let spec = change(terms(far.local_addr().expect("an address")));
    (RtpLeg::new(pair, spec, 7, start), far)
}

/// A room whose clock's grid begins a second before.
fn empty(start: Instant) -> Room {
    Room::new(1, start.checked_sub(Duration::from_secs(1)).expect("a while ago"), start)
}

/// A room that plays to a socket of the test's.
fn room(agent: Box<dyn Participant>, start: Instant) -> (Room, UdpSocket) {
    let (leg, far) = leg(Some, start);
    let mut room = empty(start);
    assert!(room.add(Member::FIRST, leg));
    room.join(agent, start);
    room.start(start);
    (room, far)
}

/// Its thread looks after a room: shortly before, and then.
fn tick(room: &mut Room, now: Instant) {
    room.wake_at(now.checked_sub(Duration::from_millis(6)).expect("a while ago"));
    room.tick(now);
}

/// The events of a room.
fn told(room: &mut Room) -> Vec<RoomEvent> {
    std::iter::from_fn(|| room.floor.told.next()).collect()
}

#[test]
fn a_generator_never_pauses() {
    let start = Instant::now();
    let (mut room, far) = room(Box::new(Generator), start);
    let mut packet = [0; 400];
    for n in 0..500 {
        tick(&mut room, start + Duration::from_millis(20 * n));
        assert_eq!(room.floor.told.next(), None);
        let length = far.recv(&mut packet).expect("a packet a tick");
        assert_eq!(length, 172);
        assert!(packet[12..length].iter().all(|byte| *byte == SAID), "packet {n} has silence in it");
    }
}

#[test]
fn packets_that_come_are_taken_and_answered_by_the_clock_alone() {
    let start = Instant::now();
    let (mut room, far) = room(Box::new(Generator), start);
    let from = far.local_addr().expect("an address");
    let mut bytes = [0; 172];
    for sequence in 0..50u16 {
        let timestamp = u32::from(sequence) * 160;
        let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 };
        assert_eq!(write_rtp(&header, &[0xff; 160], &mut bytes), 172);
        room.packet(0, &bytes, from, start);
        assert_eq!(room.floor.told.next(), None);
    }
    far.recv(&mut bytes).expect_err("nothing is sent before the clock says so");
    assert_eq!(room.floor.line(Member::FIRST).expect("there").leg.stats().packets_received, 50);
}

/// Says so many bytes at once and leaves.
struct Leaver {
    bytes: usize,
    lost: bool,
}

impl Participant for Leaver {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, room: &mut RoomIo<'_>) {
        room.play(&vec![SAID; self.bytes]);
        if self.lost { room.lost() } else { room.leave_when_played() }
    }

    fn hear(&mut self, _frame: Frame<'_>, _room: &mut RoomIo<'_>) {}
}

#[test]
fn what_an_agent_said_before_it_left_is_played_out_for_ten_seconds_at_most() {
    for (seconds, lost, played) in [(1, false, 50), (1, true, 50), (30, false, 500), (30, true, 500)] {
        let start = Instant::now();
        let (mut room, far) = room(Box::new(Leaver { bytes: 8000 * seconds, lost }), start);
        let mut packet = [0; 400];
        let mut heard = 0;
        let mut left = None;
        for n in 0..600 {
            tick(&mut room, start + Duration::from_millis(20 * n));
            left = room.floor.told.next();
            if let Ok(length) = far.recv(&mut packet) {
                heard += u64::from(packet[12..length].iter().all(|byte| *byte == SAID));
            }
            if left.is_some() {
                break;
            }
        }
        let wanted = if lost { RoomEvent::AgentLost } else { RoomEvent::AgentLeft };
        assert_eq!(left, Some(wanted));
        assert!((played - 2..=played + 2).contains(&heard), "{seconds} s, lost {lost}: {heard} packets");
    }
}

/// Wants µ-law: says a byte of it, and keeps what it hears.
struct Ulaw(Arc<Mutex<Vec<u8>>>);

impl Participant for Ulaw {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, room: &mut RoomIo<'_>) {
        room.play(&[SAID; 1600]);
    }

    fn hear(&mut self, frame: Frame<'_>, _room: &mut RoomIo<'_>) {
        assert_eq!(frame.codec, Codec::Pcmu);
        self.0.lock().expect("whole").extend_from_slice(frame.payload);
    }
}

#[test]
fn a_caller_in_a_law_and_an_agent_in_mu_law_understand_each_other() {
    let start = Instant::now();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let (mut room, far) = room(Box::new(Ulaw(Arc::clone(&kept))), start);
    let spec =
        MediaSpec { codec: Codec::Pcma, payload_type: 8, ..terms(far.local_addr().expect("an address")) };
    room.update(Member::FIRST, spec, start);
    // 0xd5 is A-law's smallest step above nought, 8 of 32,768.
    let header = RtpHeader { marker: false, payload_type: 8, sequence: 1, timestamp: 0, ssrc: 9 };
    let mut bytes = [0; 172];
    assert_eq!(write_rtp(&header, &[0xd5; 160], &mut bytes), 172);
    room.packet(0, &bytes, far.local_addr().expect("an address"), start);
    let heard = kept.lock().expect("whole").clone();
    assert!(heard.len() == 160 && heard.iter().all(|byte| crate::ulaw_to_linear(*byte) == 8), "{heard:?}");
    for n in 0..20 {
        tick(&mut room, start + Duration::from_millis(20 * n));
    }
    let mut packet = [0; 400];
    let length = far.recv(&mut packet).expect("a packet");
    assert_eq!(packet[1] & 0x7f, 8, "the caller's payload type");
    let mut loud = false;
    let mut last = length;
    while let Ok(length) = far.recv(&mut packet) {
        last = length;
        let linear: Vec<i16> = packet[12..length].iter().map(|byte| crate::alaw_to_linear(*byte)).collect();
        let wanted = i32::from(crate::ulaw_to_linear(SAID));
        // A-law has other steps: within one of them it is the same sound.
        loud |= linear.iter().all(|sample| (i32::from(*sample) - wanted).abs() <= wanted.abs() / 16);
    }
    assert!(loud && last == 172);
}

/// Sends back what it hears.
struct Mirror;

impl Participant for Mirror {
    fn is_paced(&self) -> bool {
        false
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, frame: Frame<'_>, room: &mut RoomIo<'_>) {
        room.forward(frame.payload);
    }
}

#[test]
fn a_packet_costs_no_allocation() {
    let start = Instant::now();
    let (mut talks, far) = room(Box::new(Generator), start);
    let (mut echoes, other) = room(Box::new(Mirror), start);
    let mut sequence = 0u16;
    let mut bytes = [0; 172];
    let mut second = |seconds: u16| {
        for _ in 0..seconds * 50 {
            // Now and then one is lost, so that the order keeper holds and gives up.
            sequence += if sequence % 40 == 39 { 2 } else { 1 };
            let timestamp = u32::from(sequence) * 160;
            let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 };
            assert_eq!(write_rtp(&header, &[0xff; 160], &mut bytes), 172);
            let now = start + Duration::from_millis(20 * u64::from(sequence));
            talks.packet(0, &bytes, far.local_addr().expect("an address"), now);
            echoes.packet(0, &bytes, other.local_addr().expect("an address"), now);
            tick(&mut talks, now);
            while far.recv(&mut [0; 400]).is_ok() || other.recv(&mut [0; 400]).is_ok() {}
        }
    };
    second(4);
    let counted = allocation_counter::measure(|| second(20));
    assert_eq!((counted.count_total, counted.count_current), (0, 0), "{counted:?}");
}

/// The packets that a room has sent: payload type, marker, sequence, timestamp, payload.
fn sent(far: &UdpSocket) -> Vec<(u8, bool, u16, u32, Vec<u8>)> {
    let mut packet = [0; 400];
    let mut all = Vec::new();
    while let Ok(length) = far.recv(&mut packet) {
        let (header, payload) = RtpHeader::read(&packet[..length]).expect("RTP");
        all.push((header.payload_type, header.marker, header.sequence, header.timestamp, payload.to_vec()));
    }
    all
}

#[test]
fn a_key_is_pressed_in_events_between_what_the_agent_says() {
    let start = Instant::now();
    let (mut room, far) = room(Box::new(Generator), start);
    let ticks = |room: &mut Room, from: u64, to: u64| {
        for n in from..to {
            tick(room, start + Duration::from_millis(20 * n));
            assert_eq!(room.floor.told.next(), None);
        }
    };
    ticks(&mut room, 0, 5);
    room.press(Member::FIRST, "7");
    ticks(&mut room, 5, 30);
    let all = sent(&far);
    assert_eq!(all.len(), 30, "a packet a tick, whatever it is");
    for two in all.windows(2) {
        assert_eq!(two[1].2, two[0].2.wrapping_add(1), "no sequence number is left out");
    }
    let events: Vec<_> = all.iter().filter(|packet| packet.0 == 101).collect();
    assert_eq!(events.len(), 10, "seven, and the end three times");
    assert!(events.iter().all(|event| event.3 == events[0].3), "all of a press have one time");
    assert_eq!(events.iter().filter(|event| event.1).count(), 1, "one marker");
    assert_eq!(events[0].4, [7, 10, 0, 160]);
    assert_eq!(events[9].4, [7, 0x8a, 5, 0]);
    // The clock of the stream went on: 10 packets of the press, 5 of quiet, then the agent again.
    let before = &all[4];
    let after = all.iter().skip(5).find(|packet| packet.0 == 0 && packet.4[0] == SAID).expect("the agent");
    assert_eq!(after.3, before.3.wrapping_add(16 * 160));
}

#[test]
fn an_echo_stands_still_while_a_key_is_pressed_and_goes_on_behind_it() {
    let start = Instant::now();
    let (mut room, far) = room(Box::new(Mirror), start);
    let from = far.local_addr().expect("an address");
    let mut bytes = [0; 172];
    room.press(Member::FIRST, "1");
    let mut last = 0;
    for sequence in 0..40u16 {
        let now = start + Duration::from_millis(20 * u64::from(sequence));
        let timestamp = 5000 + u32::from(sequence) * 160;
        let header = RtpHeader { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9 };
        assert!(write_rtp(&header, &[0x21; 160], &mut bytes) > 0);
        room.packet(0, &bytes, from, now);
        tick(&mut room, now);
        for packet in sent(&far) {
            let step = packet.3.wrapping_sub(last) as i32;
            assert!(last == 0 || step >= 0, "time never goes back: {step}");
            last = packet.3;
        }
    }
    assert!(room.next_step.is_none(), "the clock stands again");
    room.packet(0, &bytes, from, start + Duration::from_secs(1));
    let header = RtpHeader { marker: false, payload_type: 0, sequence: 40, timestamp: 5000 + 6400, ssrc: 9 };
    assert!(write_rtp(&header, &[0x21; 160], &mut bytes) > 0);
    room.packet(0, &bytes, from, start + Duration::from_secs(1));
    assert_eq!(sent(&far).last().map(|packet| packet.4[0]), Some(0x21), "it echoes again");
}

#[test]
fn a_peer_that_takes_no_events_hears_the_two_tones_of_a_key() {
    let start = Instant::now();
    let (mut room, far) = room(Box::new(Generator), start);
    room.update(
        Member::FIRST,
        MediaSpec { events: None, ..terms(far.local_addr().expect("an address")) },
        start,
    );
    room.press(Member::FIRST, "1");
    for n in 0..8 {
        tick(&mut room, start + Duration::from_millis(20 * n));
    }
    let linear: Vec<f64> = sent(&far)
        .iter()
        .take(7)
        .flat_map(|packet| {
            packet.4.iter().map(|byte| f64::from(crate::ulaw_to_linear(*byte))).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(linear.len(), 1120);
    let power = |hertz: f64| {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in linear.iter().enumerate() {
            let phase = std::f64::consts::TAU * hertz * n as f64 / 8000.0;
            re += sample * phase.cos();
            im += sample * phase.sin();
        }
        (re * re + im * im).sqrt() / linear.len() as f64
    };
    let (row, column) = (power(697.0), power(1209.0));
    assert!(row > 2500.0 && column > 2500.0, "{row} {column}");
    for other in [770.0, 852.0, 941.0, 1336.0, 1477.0, 1633.0] {
        assert!(power(other) < 500.0, "{other}: {}", power(other));
    }
}

/// Remembers what it heard.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<(usize, bool)>>>);

impl Participant for Notes {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, frame: Frame<'_>, _room: &mut RoomIo<'_>) {
        self.0.lock().expect("whole").push((frame.payload.len(), frame.lost));
    }
}

#[test]
fn comfort_noise_takes_its_place_in_the_order_and_is_neither_heard_nor_missed() {
    let start = Instant::now();
    let notes = Notes::default();
    let (mut room, far) = room(Box::new(notes.clone()), start);
    let from = far.local_addr().expect("an address");
    // Noise after the first packet, in time and late; then one that is lost.
    for (sequence, payload_type) in [(1u16, 0), (2, 13), (3, 0), (5, 0), (4, 13), (7, 0), (8, 0), (9, 13)] {
        let mut bytes = [0; 172];
        let timestamp = u32::from(sequence) * 160;
        let header = RtpHeader { marker: false, payload_type, sequence, timestamp, ssrc: 9 };
        let length = if payload_type == 13 { 1 } else { 160 };
        let length = write_rtp(&header, &[0x40; 160][..length], &mut bytes);
        room.packet(0, &bytes[..length], from, start);
        assert_eq!(room.floor.told.next(), None);
    }
    let heard = std::mem::take(&mut *notes.0.lock().expect("whole"));
    let audio = (160, false);
    assert_eq!(heard, [audio, audio, audio, (160, true), audio, audio]);
}

#[test]
fn a_sound_is_heard_instead_of_the_agent_until_its_end_is_told_or_it_is_hushed() {
    let start = Instant::now();
    let (mut room, far) = room(Box::new(Generator), start);
    let at = |n: u64| start + Duration::from_millis(20 * n);
    room.play(Member::FIRST, [0x21; 400].into(), false);
    (0..5).for_each(|n| tick(&mut room, at(n)));
    let heard: Vec<_> = sent(&far).into_iter().map(|packet| packet.4).collect();
    assert_eq!((heard[0][40], heard[1][159], heard[2][79]), (0x21, 0x21, 0x21));
    assert_eq!(heard[3][40..], [SAID; 120], "the agent again");
    assert_eq!(told(&mut room), [RoomEvent::Played(Member::FIRST)]);
    room.play(Member::FIRST, [0x21; 400].into(), true);
    (5..30).for_each(|n| tick(&mut room, at(n)));
    assert!(sent(&far).iter().all(|packet| packet.4[40..] == [0x21; 120]), "over and over");
    room.hush(Member::FIRST);
    (30..32).for_each(|n| tick(&mut room, at(n)));
    assert!(sent(&far).iter().all(|packet| packet.4[40..] == [SAID; 120]));
    assert_eq!(told(&mut room), [], "what was hushed or repeats has no end to be told");
}

/// Counts what it is told.
#[derive(Clone, Default)]
struct Listener {
    digits: Arc<Mutex<String>>,
    news: Arc<Mutex<Vec<AgentNews>>>,
    frames: Arc<Mutex<usize>>,
}

impl Participant for Listener {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, _frame: Frame<'_>, _room: &mut RoomIo<'_>) {
        *self.frames.lock().expect("whole") += 1;
    }

    fn digit(&mut self, digit: char, _room: &mut RoomIo<'_>) {
        self.digits.lock().expect("whole").push(digit);
    }

    fn tell(&mut self, news: &AgentNews, room: &mut RoomIo<'_>) {
        self.news.lock().expect("whole").push(news.clone());
        room.ask(AgentAsk::Record { record: Recording::Start });
    }
}

#[test]
fn keys_go_to_the_call_where_it_listens_and_else_to_the_agent() {
    let start = Instant::now();
    let agent = Listener::default();
    let (mut room, _far) = room(Box::new(agent.clone()), start);
    room.info(Member::FIRST, '1', start);
    room.listen(Member::FIRST, true);
    room.info(Member::FIRST, '2', start);
    room.listen(Member::FIRST, false);
    room.info(Member::FIRST, '3', start);
    assert_eq!(*agent.digits.lock().expect("whole"), "13");
    let told: Vec<_> = std::iter::from_fn(|| room.floor.told.next()).collect();
    let heard = |key| RoomEvent::Heard(Member::FIRST, key);
    assert_eq!(told, [heard('1'), RoomEvent::Digit(Member::FIRST, '2'), heard('3')]);
    room.listen(Member::FIRST, true);
    (0..200).for_each(|_| room.info(Member::FIRST, '4', start));
    let passed = std::iter::from_fn(|| room.floor.told.next()).count();
    assert_eq!(passed, 47, "so many in a second with those before, and no more");
    room.slow_tick(Duration::from_secs(30), start);
    room.info(Member::FIRST, '5', start);
    let told: Vec<_> = std::iter::from_fn(|| room.floor.told.next()).collect();
    assert_eq!(told, [RoomEvent::Unheard(153), RoomEvent::Digit(Member::FIRST, '5')]);
}

#[test]
fn an_agent_is_told_its_news_and_asks_its_call() {
    let start = Instant::now();
    let agent = Listener::default();
    let (mut room, _far) = room(Box::new(agent.clone()), start);
    room.tell(&AgentNews::Hold { on: true }, start);
    assert_eq!(*agent.news.lock().expect("whole"), [AgentNews::Hold { on: true }]);
    let asked = AgentAsk::Record { record: Recording::Start };
    assert_eq!(room.floor.told.next(), Some(RoomEvent::Ask(Box::new(asked))));
}
