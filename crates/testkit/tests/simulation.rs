//! Whole calls between a shard and its peer: without faults as ladders, with faults by the thousand.
//! Every run ends with both sides idle, every room closed, one record a call, and both sides of one
//! mind about how it ended (`agree`).

use std::time::Duration;

use trunkline_call::{CallRecord, CallerEvent, EndedBy};
use trunkline_signalling::dialog::Ended;
use trunkline_testkit::{AgentPlan, CalleePlan, Dice, Far, Faults, Plan, Terms, World};

const PLAN: Plan = Plan {
    faults: Faults::NONE,
    seed: 1,
    agent: AgentPlan::Comes(Duration::from_millis(50)),
    ports: true,
    caller_leaves: Duration::from_secs(5),
    agent_leaves: None,
    terms: Terms { reliable: false, refresher: None, without_update: false },
    callee: None,
    transfer: None,
};

const CALLEE: CalleePlan = CalleePlan { rings: Duration::from_secs(1), refuses: None, leaves: None };

/// Longer than anything a call leaves behind: two transactions one after the other, and a dialog
/// that waits for its ACK.
const LONG: Duration = Duration::from_secs(4000);

fn run(plan: Plan) -> World {
    let mut world = World::new(plan);
    world.run(LONG);
    world
}

fn check(world: &World, seed: u64) {
    let ladder = world.ladder.join("\n");
    assert!(world.is_idle(), "seed {seed}: something is left\n{ladder}");
    assert!(world.rooms.is_empty(), "seed {seed}: a room is open\n{ladder}");
    let known = world.invites_arrived > 0 || matches!(world.far, Far::Callee(_));
    assert_eq!(world.records.len(), usize::from(known), "seed {seed}: records\n{ladder}");
    let ends = ends(world);
    // Behind the reason, how the BYE ended that went out for it: answered, or crossed by the other's.
    let once = matches!(ends.as_slice(), [] | [_] | [_, Ended::OurBye | Ended::PeerBye]);
    assert!(once, "seed {seed}: the peer ended {ends:?}\n{ladder}");
    match (&world.far, ends.first(), world.records.first()) {
        (Far::Caller(_), Some(end), Some(record)) => {
            let answered = world.caller_events.iter().any(|event| matches!(event, CallerEvent::Answered(_)));
            assert!(agree(*end, answered, record), "seed {seed}: {end:?} {answered} {record:?}\n{ladder}");
        }
        (Far::Callee(callee), Some(end), Some(record)) => {
            assert!(
                agree_when_called(*end, callee.answered, record),
                "seed {seed}: {end:?} {} {record:?}\n{ladder}",
                callee.answered
            );
        }
        // It never heard of the call.
        (Far::Callee(_), None, Some(record)) => assert_ne!(record.sip_code, 200, "seed {seed}\n{ladder}"),
        (Far::Caller(_), Some(end), None) => assert_eq!(*end, Ended::Lost, "seed {seed}\n{ladder}"),
        (_, end, None) => panic!("seed {seed}: {end:?} without a record\n{ladder}"),
        (Far::Caller(_), None, Some(_)) => panic!("seed {seed}: the caller never ended\n{ladder}"),
    }
}

fn ends(world: &World) -> Vec<Ended> {
    let of_caller = world.caller_events.iter().filter_map(|event| match event {
        CallerEvent::Ended(why) => Some(*why),
        CallerEvent::Progress(..) | CallerEvent::Answered(_) | CallerEvent::Refer => None,
    });
    match &world.far {
        Far::Caller(_) => of_caller.collect(),
        Far::Callee(callee) => callee.ends.clone(),
    }
}

/// Reasons of the gateway's own end of a call that was answered.
const GATEWAY_ENDS: [&str; 6] = [
    "the agent left",
    "hung up by request",
    "the caller never acknowledged the answer",
    "the session timer ran out",
    "the caller's side is gone",
    "the callee's side does not answer",
];

/// Whether what the caller knows of the end and the gateway's record fit together.
fn agree(end: Ended, answered: bool, record: &CallRecord) -> bool {
    let (by, reason, code) = (record.ended_by, record.reason.as_str(), record.sip_code);
    match end {
        // Its BYE; the gateway's may have crossed it.
        Ended::OurBye => code == 200 && (reason == "the caller hung up" || GATEWAY_ENDS.contains(&reason)),
        // The gateway's BYE; the caller had no part in it, unless it gave up unheard.
        Ended::PeerBye => code == 200 && by != EndedBy::Caller && GATEWAY_ENDS.contains(&reason),
        // It gave up.
        Ended::Refused(487) => !answered && code == 487 && by == EndedBy::Caller && reason == "cancelled",
        Ended::Refused(refusal) => !answered && code == refusal && by != EndedBy::Caller,
        // It waited in vain: for any answer, or for the refresh of its session, and then said BYE.
        Ended::Lost | Ended::SessionExpired if answered => {
            code == 200 && (reason == "the caller hung up" || GATEWAY_ENDS.contains(&reason))
        }
        Ended::Lost | Ended::SessionExpired => reason != "the caller hung up",
        Ended::Cancelled | Ended::Rejected(_) | Ended::NoAck | Ended::NoPrack => false,
    }
}

/// The same where the gateway placed the call.
fn agree_when_called(end: Ended, answered: bool, record: &CallRecord) -> bool {
    let (by, reason, code) = (record.ended_by, record.reason.as_str(), record.sip_code);
    match end {
        // Its BYE, of its own will or because it waited in vain.
        Ended::OurBye | Ended::NoAck | Ended::SessionExpired | Ended::Lost => {
            answered && (reason == "the callee hung up" || by != EndedBy::Callee)
        }
        // Where its 200 crossed the CANCEL, the call was never answered for the gateway.
        Ended::PeerBye => answered && by != EndedBy::Callee,
        Ended::Rejected(refusal) => !answered && (code == refusal || by != EndedBy::Callee),
        Ended::Cancelled => !answered && code != 200 && by != EndedBy::Callee,
        Ended::NoPrack => !answered && code != 200,
        Ended::Refused(_) => false,
    }
}

#[test]
fn a_plain_call_has_the_plain_ladder() {
    let world = run(PLAN);
    check(&world, 1);
    assert_eq!(world.ladder, ["-> INVITE", "<- 100", "<- 180", "<- 200", "-> ACK", "-> BYE", "<- 200"]);
    let record = &world.records[0];
    assert_eq!((record.sip_code, record.reason.as_str()), (200, "the caller hung up"));
}

#[test]
fn the_agent_ends_the_call() {
    let world = run(Plan { agent_leaves: Some(Duration::from_secs(1)), ..PLAN });
    check(&world, 1);
    assert_eq!(world.ladder, ["-> INVITE", "<- 100", "<- 180", "<- 200", "-> ACK", "<- BYE", "-> 200"]);
    assert_eq!(world.records[0].reason, "the agent left");
}

#[test]
fn a_caller_that_gives_up_is_answered_487_and_the_late_agent_released() {
    let agent = AgentPlan::Comes(Duration::from_secs(3));
    let world = run(Plan { agent, caller_leaves: Duration::from_secs(2), ..PLAN });
    check(&world, 1);
    assert_eq!(world.ladder, ["-> INVITE", "<- 100", "<- 180", "-> CANCEL", "<- 200", "<- 487", "-> ACK"],);
    assert_eq!((world.records[0].sip_code, world.records[0].reason.as_str()), (487, "cancelled"));
}

#[test]
fn no_port_no_agent_and_a_silent_agent_have_their_codes() {
    for (plan, code) in [
        (Plan { ports: false, ..PLAN }, 503),
        (Plan { agent: AgentPlan::Fails(Duration::from_millis(10)), ..PLAN }, 480),
        (Plan { agent: AgentPlan::Never, caller_leaves: Duration::from_secs(100), ..PLAN }, 480),
    ] {
        let world = run(plan);
        check(&world, 1);
        assert!(
            world.caller_events.contains(&CallerEvent::Ended(Ended::Refused(code))),
            "{:?}",
            world.caller_events
        );
        assert_eq!(world.records[0].sip_code, code);
    }
}

#[test]
fn a_call_out_has_the_plain_ladder() {
    let world = run(Plan { callee: Some(CALLEE), ..PLAN });
    check(&world, 1);
    assert_eq!(world.ladder, ["<- INVITE", "-> 180", "-> 200", "<- ACK", "<- BYE", "-> 200"]);
    assert_eq!((world.records[0].sip_code, world.records[0].reason.as_str()), (200, "hung up by request"));
    let leaves = Some(Duration::from_secs(1));
    let world = run(Plan { callee: Some(CalleePlan { leaves, ..CALLEE }), ..PLAN });
    check(&world, 1);
    assert_eq!(world.ladder, ["<- INVITE", "-> 180", "-> 200", "<- ACK", "-> BYE", "<- 200"]);
    assert_eq!(world.records[0].ended_by, EndedBy::Callee);
}

#[test]
fn a_call_out_is_given_up_or_refused() {
    let rings = Duration::from_secs(20);
    let world = run(Plan { callee: Some(CalleePlan { rings, ..CALLEE }), ..PLAN });
    check(&world, 1);
    assert_eq!(world.ladder, ["<- INVITE", "-> 180", "<- CANCEL", "-> 200", "-> 487", "<- ACK"]);
    let world = run(Plan { callee: Some(CalleePlan { refuses: Some(486), ..CALLEE }), ..PLAN });
    check(&world, 1);
    assert_eq!((world.records[0].sip_code, world.records[0].ended_by), (486, EndedBy::Callee));
}

#[test]
fn ringing_is_acknowledged_both_ways() {
    let terms = Terms { reliable: true, ..Terms::default() };
    let world = run(Plan { terms, ..PLAN });
    check(&world, 1);
    assert_eq!(
        world.ladder,
        ["-> INVITE", "<- 100", "<- 180", "-> PRACK", "<- 200", "<- 200", "-> ACK", "-> BYE", "<- 200"]
    );
    let world = run(Plan { terms, callee: Some(CALLEE), ..PLAN });
    check(&world, 1);
    assert_eq!(
        world.ladder,
        ["<- INVITE", "-> 180", "<- PRACK", "-> 200", "-> 200", "<- ACK", "<- BYE", "-> 200"]
    );
}

#[test]
fn sessions_are_refreshed_both_ways_by_update_and_by_invite() {
    for (refresher, without_update) in [("uas", false), ("uas", true), ("uac", false)] {
        let terms = Terms { refresher: Some(refresher), without_update, ..Terms::default() };
        for callee in [None, Some(CALLEE)] {
            let world = run(Plan { terms, callee, caller_leaves: Duration::from_secs(200), ..PLAN });
            check(&world, 1);
            assert_eq!(world.records[0].sip_code, 200, "{:?}", world.ladder);
            assert!(world.records[0].duration_seconds > 190.0, "{:?} {:?}", terms, world.ladder);
            let shard_refreshes = (refresher == "uas") == callee.is_none();
            let arrow = if shard_refreshes { "<-" } else { "->" };
            let method = if without_update { "INVITE" } else { "UPDATE" };
            let refreshes = world.ladder.iter().filter(|line| **line == format!("{arrow} {method}"));
            // The first INVITE is none.
            assert!(refreshes.count() >= 4, "{refresher} {without_update} {:?}", world.ladder);
        }
    }
}

/// A plan of that seed, for a call in or out.
fn dealt(seed: u64, called: bool) -> Plan {
    let mut dice = Dice::new(seed);
    let faults = Faults {
        loss: dice.below(40),
        doubled: dice.below(30),
        delay: Duration::from_millis(1 + dice.below(1500)),
    };
    let span = Duration::from_millis(dice.below(3000));
    let agent = match dice.below(4) {
        0 => AgentPlan::Fails(span),
        1 => AgentPlan::Never,
        _ => AgentPlan::Comes(span),
    };
    let refresher = [None, Some("uas"), Some("uac")][dice.below(3) as usize];
    // Long enough for some refreshes, or for none.
    let longest = if refresher.is_some() { 200_000 } else { 20_000 };
    let callee = CalleePlan {
        rings: Duration::from_millis(dice.below(10_000)),
        refuses: dice.percent(25).then(|| [404, 480, 486, 503, 603][dice.below(5) as usize]),
        leaves: dice.percent(40).then(|| Duration::from_millis(dice.below(longest))),
    };
    Plan {
        faults,
        seed,
        agent,
        ports: !dice.percent(5),
        caller_leaves: Duration::from_millis(dice.below(longest)),
        agent_leaves: dice.percent(40).then(|| Duration::from_millis(dice.below(longest / 2))),
        terms: Terms { reliable: dice.percent(30), refresher, without_update: dice.percent(50) },
        callee: called.then_some(callee),
        transfer: None,
    }
}

#[test]
fn thousands_of_calls_over_a_bad_network_all_end() {
    for seed in 0..4000 {
        let world = run(dealt(seed, false));
        check(&world, seed);
        // The caller was connected: then the gateway too says that the call was answered.
        if world.caller_events.iter().any(|event| matches!(event, CallerEvent::Answered(_))) {
            assert_eq!(world.records[0].sip_code, 200, "seed {seed}\n{}", world.ladder.join("\n"));
        }
    }
}

#[test]
fn thousands_of_calls_out_over_a_bad_network_all_end() {
    for seed in 0..4000 {
        check(&run(dealt(seed, true)), seed);
    }
}
