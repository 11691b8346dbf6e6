use bytes::Bytes;
use trunkline_sip::{Flow, Transport, read};

use super::*;

const SHARDS: usize = 4;

fn message(start: &str, from: &str, to: &str, call_id: &str, more: &str) -> Box<Message> {
    let text = format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK1\r\nFrom: <sip:a@x>{from}\r\nTo: <sip:b@y>{to}\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n{more}Content-Length: 0\r\n\r\n"
    );
    Box::new(read::datagram(&Bytes::from(text)).expect("a message"))
}

/// The shard that a message reaches.
fn reaches(dispatcher: &Dispatcher, queues: &mut [Queues], message: Box<Message>) -> usize {
    let flow = Flow {
        transport: Transport::Udp,
        local: ([192, 0, 2, 10], 5060).into(),
        remote: ([192, 0, 2, 20], 5060).into(),
        connection: None,
    };
    dispatcher.received(Received::Message(message, flow, None)).expect("there is room");
    let reached: Vec<usize> =
        (0..queues.len()).filter(|shard| queues[*shard].messages.try_recv().is_ok()).collect();
    assert_eq!(reached.len(), 1, "one shard gets it");
    reached[0]
}

/// A Call-ID of that shard, or of another.
fn call_id(dispatcher: &Dispatcher, shard: usize, own: bool, start: &str) -> String {
    let all = (0..).map(|n| format!("{start}{n}"));
    all.into_iter().find(|id| (dispatcher.shard_of_call_id(id.as_bytes()) == shard) == own).expect("one")
}

#[test]
fn an_invite_with_replaces_goes_to_the_dialog_that_it_names_and_its_leg_stays_there() {
    let (dispatcher, mut queues) = Dispatcher::new(SHARDS, (1, 2));
    let reach = |queues: &mut [Queues], message| reaches(&dispatcher, queues, message);
    for shard in 0..SHARDS {
        let old = call_id(&dispatcher, shard, true, "old");
        let new = call_id(&dispatcher, shard, false, "new");
        let elsewhere = dispatcher.shard_of_call_id(new.as_bytes());
        let replaces = format!("Replaces: {old};to-tag=t;from-tag=f\r\n");
        let invite = || message("INVITE sip:x SIP/2.0", ";tag=n", "", &new, &replaces);
        assert_eq!(reach(&mut queues, invite()), shard);
        assert_eq!(reach(&mut queues, invite()), shard, "sent again, before anybody has claimed it");
        let follows = || {
            [
                message("CANCEL sip:x SIP/2.0", ";tag=n", "", &new, ""),
                message("ACK sip:x SIP/2.0", ";tag=n", ";tag=o", &new, ""),
                message("BYE sip:x SIP/2.0", ";tag=n", ";tag=o", &new, ""),
                message("INVITE sip:x SIP/2.0", ";tag=n", ";tag=o", &new, ""),
                // What we ask has our tag in From.
                message("SIP/2.0 200 OK", ";tag=o", ";tag=n", &new, ""),
            ]
        };
        for message in follows() {
            assert_eq!(reach(&mut queues, message), elsewhere, "the shard has not taken it");
        }
        dispatcher.alias(shard, new.as_bytes(), "n", true);
        for message in follows() {
            assert_eq!(reach(&mut queues, message), shard);
        }
        // The leg may itself be replaced.
        let again = format!("Replaces: {new};to-tag=o;from-tag=n\r\n");
        let invite = message("INVITE sip:x SIP/2.0", ";tag=m", "", &old, &again);
        assert_eq!(reach(&mut queues, invite), shard);
        // Another dialog of the same Call-ID is nobody's affair.
        let other = message("BYE sip:x SIP/2.0", ";tag=z", ";tag=o", &new, "");
        assert_eq!(reach(&mut queues, other), elsewhere);
        let unsent = match *message("BYE sip:x SIP/2.0", ";tag=o", ";tag=n", &new, "") {
            Message::Request(request) => request,
            Message::Response(_) => unreachable!("a request was written"),
        };
        dispatcher.received(Received::Unsent(Box::new(unsent))).expect("taken");
        assert!(matches!(queues[shard].replies.try_recv(), Ok(Input::Unsent(_))));
        dispatcher.alias(shard, new.as_bytes(), "n", false);
        for message in follows() {
            assert_eq!(reach(&mut queues, message), elsewhere, "given up");
        }
    }
}

#[test]
fn whoever_claims_last_has_it_and_only_who_has_it_gives_it_up() {
    let (dispatcher, mut queues) = Dispatcher::new(SHARDS, (1, 2));
    let bye = || message("BYE sip:x SIP/2.0", ";tag=n", ";tag=o", "c", "");
    dispatcher.alias(0, b"c", "n", true);
    dispatcher.alias(1, b"c", "n", true);
    dispatcher.alias(0, b"c", "n", false);
    assert_eq!(reaches(&dispatcher, &mut queues, bye()), 1);
    dispatcher.alias(1, b"c", "n", false);
    assert_eq!(reaches(&dispatcher, &mut queues, bye()), dispatcher.shard_of_call_id(b"c"));
}

#[test]
fn a_replaces_outside_an_invite_or_inside_a_dialog_leads_nowhere() {
    let (dispatcher, mut queues) = Dispatcher::new(SHARDS, (1, 2));
    let old = call_id(&dispatcher, 0, true, "old");
    let new = call_id(&dispatcher, 0, false, "new");
    let elsewhere = dispatcher.shard_of_call_id(new.as_bytes());
    let replaces = format!("Replaces: {old};to-tag=t;from-tag=f\r\n");
    for (start, to, replaces) in [
        ("OPTIONS sip:x SIP/2.0", "", replaces.as_str()),
        ("INVITE sip:x SIP/2.0", ";tag=o", &replaces),
        ("INVITE sip:x SIP/2.0", "", "Replaces: nonsense\r\n"),
        ("SIP/2.0 200 OK", "", &replaces),
    ] {
        let message = message(start, ";tag=n", to, &new, replaces);
        assert_eq!(reaches(&dispatcher, &mut queues, message), elsewhere, "{start} {replaces}");
    }
}
