//! The machines of RFC 3261 §17 row by row: what each state does with each input, and when its timers
//! fire. T1 is 500 ms, T2 4 s, T4 5 s.

use std::time::Duration;

use super::invite_client::InviteClient;
use super::invite_server::InviteServer;
use super::non_invite_client::NonInviteClient;
use super::non_invite_server::NonInviteServer;
use super::*;
use crate::time::{Mono, Timers};

const MESSAGE: Bytes = Bytes::from_static(b"message");
const ACK: Bytes = Bytes::from_static(b"ack");

const fn ms(milliseconds: u64) -> Mono {
    Mono(Duration::from_millis(milliseconds))
}

/// Runs timers until none is left; the times at which something was sent, and how it ended.
fn run_out(
    deadline: impl Fn() -> Option<Mono>,
    mut fire: impl FnMut(Mono) -> Vec<Action>,
) -> (Vec<u64>, Vec<Action>) {
    let mut sent = Vec::new();
    for _ in 0..100 {
        let Some(at) = deadline() else { return (sent, Vec::new()) };
        let actions = fire(at);
        if matches!(actions.last(), Some(Action::Terminate)) {
            return (sent, actions);
        }
        sent.extend(actions.iter().map(|_| u64::try_from(at.0.as_millis()).unwrap_or(0)));
    }
    panic!("the machine never ends");
}

#[test]
fn an_invite_that_nobody_answers_is_sent_seven_times_and_times_out() {
    // §17.1.1.2: timer A doubles from T1, timer B is 64×T1.
    let (timers, mut out) = (Timers::default(), Vec::new());
    let machine = std::cell::RefCell::new(InviteClient::start(MESSAGE, false, &timers, ms(0), &mut out));
    assert_eq!(out, [Action::Send(MESSAGE)]);
    let (sent, end) = run_out(
        || machine.borrow().deadline(),
        |at| {
            let mut out = Vec::new();
            machine.borrow_mut().timeout(at, &mut out);
            out
        },
    );
    assert_eq!(sent, [500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(end, [Action::TimedOut, Action::Terminate]);
}

#[test]
fn an_invite_client_acknowledges_refusals_and_passes_every_2xx() {
    let timers = Timers::default();
    for reliable in [false, true] {
        let mut machine = InviteClient::start(MESSAGE, reliable, &timers, ms(0), &mut Vec::new());
        let mut respond = |code, now| {
            let mut out = Vec::new();
            machine.response(code, || ACK, &timers, now, &mut out);
            out
        };
        assert_eq!(respond(180, ms(10)), [Action::Pass]);
        let refused = respond(486, ms(20));
        assert_eq!(refused[..2], [Action::Send(ACK), Action::Pass]);
        assert_eq!(refused.len(), if reliable { 3 } else { 2 }, "timer D is 0 on reliable transports");
        if !reliable {
            assert_eq!(respond(486, ms(30)), [Action::Send(ACK)], "the ACK was lost");
            assert_eq!(respond(200, ms(40)), []);
        }
    }
    // RFC 6026 §7.2: Accepted passes the 200s of other branches up too.
    let mut machine = InviteClient::start(MESSAGE, false, &timers, ms(0), &mut Vec::new());
    for _ in 0..2 {
        let mut out = Vec::new();
        machine.response(200, || ACK, &timers, ms(10), &mut out);
        assert_eq!(out, [Action::Pass]);
    }
    assert_eq!(machine.deadline(), Some(ms(32_010)), "timer M");
}

#[test]
fn a_refused_invite_is_answered_again_until_its_ack() {
    // §17.2.1: timer G from T1 to T2, timer H 64×T1, timer I T4.
    let (timers, mut out) = (Timers::default(), Vec::new());
    let mut machine = InviteServer::new(false);
    machine.retransmitted(&mut out);
    assert_eq!(out, [], "nothing to repeat yet");
    machine.respond(180, &MESSAGE, &timers, ms(0), &mut out);
    machine.retransmitted(&mut out);
    assert_eq!(out.len(), 2);
    machine.respond(486, &ACK, &timers, ms(0), &mut out);
    assert_eq!((machine.is_final(), machine.deadline()), (true, Some(ms(500))));
    let mut again = Vec::new();
    machine.timeout(&timers, ms(500), &mut again);
    assert_eq!((again.as_slice(), machine.deadline()), (&[Action::Send(ACK)][..], Some(ms(1500))));
    machine.acknowledged(&timers, ms(600), &mut again);
    assert_eq!(machine.deadline(), Some(ms(5600)));
    let mut end = Vec::new();
    machine.timeout(&timers, ms(5600), &mut end);
    assert_eq!(end, [Action::Terminate]);
}

#[test]
fn an_accepted_invite_absorbs_copies_for_64_t1() {
    // RFC 6026 §7.1: the 2xx itself is sent again by the dialog.
    let (timers, mut out) = (Timers::default(), Vec::new());
    let mut machine = InviteServer::new(false);
    machine.respond(200, &MESSAGE, &timers, ms(0), &mut out);
    machine.retransmitted(&mut out);
    machine.respond(486, &ACK, &timers, ms(1), &mut out);
    assert_eq!(out, [Action::Send(MESSAGE)], "sent once, the rest ignored");
    assert_eq!(machine.deadline(), Some(ms(32_000)));
}

#[test]
fn a_request_is_sent_until_t2_and_slower_once_it_was_heard() {
    // §17.1.2.2: timer E doubles to T2, is T2 in Proceeding; timer F 64×T1; timer K T4.
    let timers = Timers::default();
    let machine =
        std::cell::RefCell::new(NonInviteClient::start(MESSAGE, false, &timers, ms(0), &mut Vec::new()));
    let (sent, end) = run_out(
        || machine.borrow().deadline(),
        |at| {
            let mut out = Vec::new();
            machine.borrow_mut().timeout(&timers, at, &mut out);
            out
        },
    );
    assert_eq!(sent, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(end, [Action::TimedOut, Action::Terminate]);
    let mut machine = NonInviteClient::start(MESSAGE, false, &timers, ms(0), &mut Vec::new());
    let mut out = Vec::new();
    machine.response(100, &timers, ms(10), &mut out);
    machine.timeout(&timers, ms(500), &mut out);
    assert_eq!(machine.deadline(), Some(ms(4500)));
    machine.response(200, &timers, ms(600), &mut out);
    machine.response(200, &timers, ms(700), &mut out);
    assert_eq!(out, [Action::Pass, Action::Send(MESSAGE), Action::Pass]);
    assert_eq!(machine.deadline(), Some(ms(5600)), "timer K");
}

#[test]
fn an_answered_request_is_answered_again_for_64_t1_and_not_kept_on_reliable_transports() {
    // §17.2.2: timer J.
    let timers = Timers::default();
    for (reliable, kept) in [(false, Some(ms(32_000))), (true, None)] {
        let (mut machine, mut out) = (NonInviteServer::new(reliable), Vec::new());
        machine.retransmitted(&mut out);
        assert_eq!(out, []);
        machine.respond(200, &MESSAGE, &timers, ms(0), &mut out);
        assert_eq!(out.contains(&Action::Terminate), reliable);
        assert_eq!(machine.deadline(), kept);
    }
}

#[test]
fn a_callee_rings_as_long_as_it_likes_and_a_cancelled_invite_ends_64_t1_later() {
    // §17.1.1.2: Proceeding has no timer. §9.1: without a final response behind the CANCEL, 64×T1.
    let timers = Timers::default();
    let mut machine = InviteClient::start(MESSAGE, false, &timers, ms(0), &mut Vec::new());
    let mut out = Vec::new();
    machine.response(180, || ACK, &timers, ms(10), &mut out);
    assert_eq!(machine.deadline(), None);
    machine.give_up(&timers, ms(300_000));
    assert_eq!(machine.deadline(), Some(ms(332_000)));
    machine.response(180, || ACK, &timers, ms(310_000), &mut out);
    assert_eq!(machine.deadline(), Some(ms(332_000)), "one more 180 changes nothing");
    out.clear();
    machine.timeout(ms(332_000), &mut out);
    assert_eq!(out, [Action::TimedOut, Action::Terminate]);
    // Given up before anything came: the CANCEL goes behind the first provisional response.
    let mut machine = InviteClient::start(MESSAGE, false, &timers, ms(0), &mut Vec::new());
    machine.give_up(&timers, ms(100));
    assert_eq!(machine.deadline(), Some(ms(500)), "timer A goes on");
    machine.response(180, || ACK, &timers, ms(1000), &mut Vec::new());
    assert_eq!(machine.deadline(), Some(ms(33_000)));
}

#[test]
fn over_reliable_transports_nothing_is_sent_twice() {
    let timers = Timers::default();
    // §17.1.1.2: no timer A, B alone.
    let mut invite = InviteClient::start(MESSAGE, true, &timers, ms(0), &mut Vec::new());
    let mut out = Vec::new();
    assert_eq!(invite.deadline(), Some(ms(32_000)));
    invite.timeout(ms(32_000), &mut out);
    assert_eq!(out, [Action::TimedOut, Action::Terminate]);
    // §17.1.2.2: no timer E, and K is 0.
    let mut request = NonInviteClient::start(MESSAGE, true, &timers, ms(0), &mut Vec::new());
    assert_eq!(request.deadline(), Some(ms(32_000)));
    out.clear();
    request.response(200, &timers, ms(5), &mut out);
    assert_eq!(out, [Action::Pass, Action::Terminate]);
    // §17.2.1: no timer G; the ACK ends it, since I is 0.
    let mut server = InviteServer::new(true);
    out.clear();
    server.respond(486, &MESSAGE, &timers, ms(0), &mut out);
    assert_eq!((out.as_slice(), server.deadline()), (&[Action::Send(MESSAGE)][..], Some(ms(32_000))));
    out.clear();
    server.acknowledged(&timers, ms(5), &mut out);
    assert_eq!(out, [Action::Terminate]);
}

#[test]
fn a_refusal_that_is_never_acknowledged_is_told() {
    // §17.2.1: timer H.
    for reliable in [false, true] {
        let (timers, mut out) = (Timers::default(), Vec::new());
        let mut server = InviteServer::new(reliable);
        server.respond(486, &MESSAGE, &timers, ms(0), &mut out);
        out.clear();
        server.timeout(&timers, ms(32_000), &mut out);
        assert_eq!(out, [Action::TimedOut, Action::Terminate]);
    }
}

mod layer {
    use trunkline_sip::{
        Flow, HeaderName, Hop, Message, Method, Request, Response, Target, Transport, read, reply,
    };

    use super::*;
    use crate::tokens::KeyedHash;

    fn flow(transport: Transport, connection: Option<u64>) -> Flow {
        let (local, remote) = (([192, 0, 2, 10], 5060).into(), ([192, 0, 2, 20], 5060).into());
        Flow { transport, local, remote, connection }
    }

    fn ours(method: Method) -> Request {
        let mut request = Request::new(method, "sip:b@192.0.2.20");
        let number = format!("1 {}", request.method);
        for (name, value) in [
            (HeaderName::Via, "SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKours"),
            (HeaderName::From, "<sip:a@192.0.2.10>;tag=a"),
            (HeaderName::To, "<sip:b@192.0.2.20>"),
            (HeaderName::CallId, "c1"),
            (HeaderName::CSeq, &number),
        ] {
            request.headers.push(name, value.as_bytes().to_vec());
        }
        request
    }

    fn table() -> Transactions {
        Transactions::new(Timers::default(), KeyedHash::new((1, 2)))
    }

    /// What the layer passes up of a response.
    fn passed(table: &mut Transactions, response: &Response) -> Option<u16> {
        let message = read::datagram(&response.to_bytes()).expect("a message");
        table.receive(message, flow(Transport::Udp, None), ms(10));
        match table.poll_inbound() {
            Some(Inbound::Response(_, response) | Inbound::StrayOk(response, _)) => Some(response.code()),
            Some(other) => panic!("{other:?}"),
            None => None,
        }
    }

    type Spoil = fn(&mut Response);

    #[test]
    fn responses_that_are_wrong_are_dropped() {
        let mut table = table();
        let target = Target::Flow { flow: flow(Transport::Udp, None), fallback: None };
        let invite = ours(Method::Invite);
        table.request(invite.clone(), target, ms(0));
        let good = |code| reply::to(&invite, code, Some("b"));
        let wrong: &[(&str, Spoil)] = &[
            ("two Vias in two lines", |r| r.headers.push(HeaderName::Via, "SIP/2.0/UDP 192.0.2.99")),
            ("two Vias in one line", |r| {
                let both = "SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKours, SIP/2.0/UDP 192.0.2.99";
                r.headers.set(HeaderName::Via, both);
            }),
            ("another Call-ID", |r| r.headers.set(HeaderName::CallId, "c2")),
            ("two Call-IDs", |r| r.headers.push(HeaderName::CallId, "c1")),
            ("no From", |r| r.headers.remove(&HeaderName::From)),
            ("no To", |r| r.headers.remove(&HeaderName::To)),
            ("an unreadable To", |r| r.headers.set(HeaderName::To, "<<>")),
            ("no Call-ID", |r| r.headers.remove(&HeaderName::CallId)),
            ("no CSeq", |r| r.headers.remove(&HeaderName::CSeq)),
            ("no Via", |r| r.headers.remove(&HeaderName::Via)),
        ];
        for (what, spoil) in wrong {
            for code in [180, 200, 486] {
                let mut response = good(code);
                spoil(&mut response);
                assert_eq!(passed(&mut table, &response), None, "{what}, {code}");
            }
        }
        assert_eq!(passed(&mut table, &reply::to(&invite, 200, None)), None, "a dialog without a name");
        assert_eq!(
            passed(&mut table, &reply::to(&invite, 180, None)),
            Some(180),
            "early ones may do without"
        );
        assert_eq!(passed(&mut table, &good(200)), Some(200), "the transaction is as it was");
    }

    #[test]
    fn a_lost_connection_sends_again_only_what_waits_for_an_answer() {
        let mut table = table();
        let hop = Hop {
            host: std::net::IpAddr::from([192, 0, 2, 20]).into(),
            port: None,
            transport: Some(Transport::Tcp),
            name: None,
        };
        let target = Target::Flow { flow: flow(Transport::Tcp, Some(7)), fallback: Some(hop) };
        let invite = ours(Method::Invite);
        table.request(invite.clone(), target.clone(), ms(0));
        assert_eq!(passed(&mut table, &reply::to(&invite, 200, Some("b"))), Some(200));
        let mut options = ours(Method::Options);
        options.headers.set(HeaderName::Via, "SIP/2.0/TCP 192.0.2.10:5060;branch=z9hG4bKother");
        table.request(options, target, ms(10));
        while table.poll_transmit().is_some() {}
        table.connection_lost(7);
        let again = table.poll_transmit().expect("the OPTIONS goes elsewhere");
        assert!(again.payload.starts_with(b"OPTIONS") && matches!(again.target, Target::Hop(_)));
        assert!(table.poll_transmit().is_none() && table.poll_inbound().is_none(), "the INVITE is answered");
    }

    #[test]
    fn the_answer_to_a_cancel_has_the_tag_of_its_invite() {
        let mut table = table();
        let invite = ours(Method::Invite);
        table.receive(Message::Request(invite.clone()), flow(Transport::Udp, None), ms(0));
        let Some(Inbound::Request(id, ..)) = table.poll_inbound() else { panic!("the INVITE comes up") };
        table.respond(id, &reply::to(&invite, 180, Some("mine")), ms(1));
        let mut cancel = ours(Method::Cancel);
        cancel.headers.set(HeaderName::CSeq, "1 CANCEL");
        table.receive(Message::Request(cancel), flow(Transport::Udp, None), ms(2));
        let _ringing = table.poll_transmit();
        let answer = table.poll_transmit().expect("an answer");
        let Ok(Message::Response(answer)) = read::datagram(&answer.payload) else { panic!("a response") };
        assert_eq!((answer.code(), answer.to().and_then(|to| to.tag())), (200, Some("mine")));
    }
}
