use std::sync::mpsc::{Receiver, channel};

use trunkline_sdp::Codec;

use super::*;
use crate::participant::{Frame, RoomIo};

/// Panics at its news; else silent.
struct Fragile;

impl Participant for Fragile {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::Pcmu)
    }

    fn start(&mut self, _room: &mut RoomIo<'_>) {}

    fn hear(&mut self, _frame: Frame<'_>, _room: &mut RoomIo<'_>) {}

    fn tell(&mut self, news: &AgentNews, room: &mut RoomIo<'_>) {
        assert_ne!(*news, AgentNews::SpeechStarted, "planted");
        room.leave_when_played();
    }
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const SOON: Duration = Duration::from_secs(10);

fn pool(ports: RangeInclusive<u16>) -> (Pool, Receiver<Report>) {
    let (sender, reports) = channel();
    let config = PoolConfig { threads: 1, addresses: vec![HERE], ports, no_media: Duration::from_secs(60) };
    let pool = Pool::start(&config, move |report| sender.send(report).expect("heard")).expect("threads");
    (pool, reports)
}

fn spec() -> MediaSpec {
    MediaSpec {
        codec: Codec::Pcmu,
        payload_type: 0,
        events: None,
        events_rate: 8000,
        ptime: 20,
        remote: None,
        written: None,
        signalling: Some(HERE),
        remote_rtcp: None,
        rtcp_mux: false,
        sends: true,
        receives: true,
        srtp: None,
        dtmf: trunkline_sdp::media::DtmfMethod::Auto,
    }
}

#[test]
fn a_panic_at_a_command_costs_its_room_only_and_its_ports_come_back() {
    let (pool, reports) = pool(46_000..=46_003);
    for call in [1, 2] {
        assert!(pool.open(call, Member::FIRST, HERE, Some(spec()), 7).is_some());
        pool.join(call, Box::new(Fragile));
        pool.begin(call);
    }
    assert!(pool.open(3, Member::FIRST, HERE, None, 7).is_none(), "every port is taken");
    pool.tell(1, AgentNews::SpeechStarted);
    pool.tell(1, AgentNews::SpeechStarted);
    pool.tell(2, AgentNews::SpeechStopped);
    pool.flush();
    assert_eq!(reports.recv_timeout(SOON), Ok(Report::Room(1, RoomEvent::Failed("its room panicked"))));
    assert_eq!(reports.recv_timeout(SOON), Ok(Report::Room(2, RoomEvent::AgentLeft)), "once, and the next");
    pool.close(1);
    pool.close(2);
    pool.flush();
    for call in [1, 2] {
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Closed(closed, _)) if closed == call));
    }
    assert!(pool.is_alive());
    assert_eq!(locked(&pool.ports).free(), 2);
}

#[test]
fn legs_come_into_a_room_and_leave_it_and_their_ports_come_back() {
    let (pool, reports) = pool(46_100..=46_107);
    let second = Member::leg(1).expect("a place");
    let open = |call, member| pool.open(call, member, HERE, Some(spec()), 7);
    let (one, two) = (open(1, Member::FIRST).expect("free"), open(1, second).expect("free"));
    assert_ne!(one, two);
    pool.close_leg(1, second);
    pool.close_leg(1, second);
    // A place that is taken, and a room that is gone.
    assert!(open(1, Member::FIRST).is_some() && open(2, second).is_some());
    pool.close(1);
    pool.flush();
    let next = || reports.recv_timeout(SOON).expect("a report");
    assert_eq!(next(), Report::LegClosed(1, second, next_stats()));
    assert_eq!(next(), Report::LegClosed(1, second, MediaStats::default()), "there is none");
    let failed = RoomEvent::Failed("its media port cannot be polled");
    assert_eq!(next(), Report::Room(1, failed.clone()));
    assert_eq!(next(), Report::Room(2, failed));
    assert!(matches!(next(), Report::Closed(1, _)));
    assert_eq!(locked(&pool.ports).free(), 4);
}

/// The thread that is asked to end is often not yet waiting, or busy, when the pool is gone already.
#[test]
fn threads_end_with_their_pool_whatever_they_are_at() {
    for turn in 0..200 {
        let (pool, reports) = pool(46_200..=46_203);
        if turn % 2 == 0 {
            assert!(pool.open(1, Member::FIRST, HERE, Some(spec()), 7).is_some());
            pool.begin(1);
            pool.flush();
        }
        drop(pool);
        // What reports goes with the threads.
        let end = std::iter::repeat_with(|| reports.recv_timeout(SOON)).find_map(Result::err);
        assert_eq!(end, Some(std::sync::mpsc::RecvTimeoutError::Disconnected), "turn {turn}");
    }
}

/// Of a leg that heard nothing.
fn next_stats() -> MediaStats {
    crate::Quality::new(8000).stats()
}
