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
