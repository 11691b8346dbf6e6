use std::future::poll_fn;

use super::*;

async fn next(reader: &mut Reader) -> Option<String> {
    poll_fn(|cx| reader.next(cx)).await.map(|text| String::from_utf8(text.to_vec()).expect("text"))
}

/// A reader behind its first line.
async fn reader(events: &Arc<Events>, last: Option<u64>) -> Reader {
    let mut reader = events.read(last, KEEP_ALIVE).expect("a place");
    assert_eq!(next(&mut reader).await.as_deref(), Some("retry: 2000\n\n"));
    reader
}

fn event(id: u64, n: u32) -> Option<String> {
    Some(format!("id: {id}\nevent: test\ndata: {n}\n\n"))
}

#[tokio::test]
async fn a_reader_gets_what_happens_and_what_it_missed() {
    let events = Arc::new(Events::new(100));
    let mut early = reader(&events, None).await;
    for n in 0..3_u32 {
        events.publish("test", &n);
    }
    assert_eq!(next(&mut early).await, event(100, 0));
    let mut late = reader(&events, Some(100)).await;
    events.publish("test", &3_u32);
    for (id, n) in [(101, 1), (102, 2), (103, 3)] {
        assert_eq!(next(&mut late).await, event(id, n));
        assert_eq!(next(&mut early).await, event(id, n));
    }
    events.close();
    assert_eq!(next(&mut late).await, None);
    assert!(events.read(None, KEEP_ALIVE).is_none(), "nobody reads a stream that is closed");
}

#[tokio::test]
async fn who_missed_more_than_is_kept_is_told() {
    let events = Arc::new(Events::new(1));
    for n in 0..=RING as u32 {
        events.publish("test", &n);
    }
    let mut all = reader(&events, Some(1)).await;
    assert_eq!(next(&mut all).await, event(2, 1), "the ring reaches as far");
    let mut gap = reader(&events, Some(0)).await;
    assert!(next(&mut gap).await.is_some_and(|text| text.starts_with("event: gap\n")));
    assert_eq!(next(&mut gap).await, event(2, 1));
}

#[tokio::test]
async fn a_slow_reader_is_let_go_with_a_note_and_delays_nobody() {
    let events = Arc::new(Events::new(0));
    let mut slow = reader(&events, None).await;
    let mut quick = reader(&events, None).await;
    for n in 0..=QUEUE as u32 {
        events.publish("test", &n);
        assert_eq!(next(&mut quick).await, event(u64::from(n), n));
    }
    for n in 0..QUEUE as u32 {
        assert_eq!(next(&mut slow).await, event(u64::from(n), n));
    }
    assert!(next(&mut slow).await.is_some_and(|text| text.starts_with("event: dropped\n")));
    assert_eq!(next(&mut slow).await, None);
}

#[tokio::test]
async fn readers_that_are_let_go_are_told_and_may_come_back() {
    let events = Arc::new(Events::new(0));
    let mut one = reader(&events, None).await;
    events.publish("test", &0_u32);
    events.let_go();
    events.publish("test", &1_u32);
    assert_eq!(next(&mut one).await, event(0, 0), "what it was told while it might read");
    assert!(next(&mut one).await.is_some_and(|text| text.starts_with("event: dropped\n")));
    assert_eq!(next(&mut one).await, None);
    let mut again = reader(&events, Some(0)).await;
    assert_eq!(next(&mut again).await, event(1, 1));
}

#[tokio::test]
async fn a_reader_that_nothing_is_told_hears_that_the_stream_lives() {
    let events = Arc::new(Events::new(0));
    let mut reader = events.read(None, Duration::from_millis(20)).expect("a place");
    let start = tokio::time::Instant::now();
    let told = [next(&mut reader).await, next(&mut reader).await];
    assert_eq!(told.map(Option::unwrap_or_default), ["retry: 2000\n\n", ": alive\n\n"]);
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[tokio::test]
async fn places_of_readers_that_have_gone_are_free_again() {
    let events = Arc::new(Events::new(0));
    let readers: Vec<_> = (0..MAX_READERS).map(|_| events.read(None, KEEP_ALIVE).expect("a place")).collect();
    assert!(events.read(None, KEEP_ALIVE).is_none());
    drop(readers);
    assert!(events.read(None, KEEP_ALIVE).is_some());
}
