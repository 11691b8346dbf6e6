//! Whole calls between a caller and a shard: without faults as ladders, with faults by the thousand.
//! Every run ends with both sides idle, every room closed, one record a call, and both sides of one
//! mind about how it ended.

use std::time::Duration;

use trunkline_call::CallerEvent;
use trunkline_signalling::dialog::Ended;
use trunkline_testkit::{AgentPlan, Dice, Faults, Plan, World};

const PLAN: Plan = Plan {
    faults: Faults::NONE,
    seed: 1,
    agent: AgentPlan::Comes(Duration::from_millis(50)),
    ports: true,
    caller_leaves: Duration::from_secs(5),
    agent_leaves: None,
};

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
    assert!(world.records.len() <= 1, "seed {seed}: {} records\n{ladder}", world.records.len());
    let ends = world.caller_events.iter().filter(|event| matches!(event, CallerEvent::Ended(_))).count();
    assert_eq!(ends, 1, "seed {seed}: the caller ended {ends} times\n{ladder}");
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
fn thousands_of_calls_over_a_bad_network_all_end() {
    for seed in 0..4000 {
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
        let plan = Plan {
            faults,
            seed,
            agent,
            ports: !dice.percent(5),
            caller_leaves: Duration::from_millis(dice.below(20_000)),
            agent_leaves: dice.percent(40).then(|| Duration::from_millis(dice.below(10_000))),
        };
        let world = run(plan);
        check(&world, seed);
        let answered = world.caller_events.iter().any(|event| matches!(event, CallerEvent::Answered(_)));
        // The caller was connected: then the gateway too says that the call was answered. The other
        // way round the 200 or the CANCEL may have crossed.
        if answered {
            assert_eq!(world.records[0].sip_code, 200, "seed {seed}\n{}", world.ladder.join("\n"));
        }
        for event in &world.caller_events {
            if let CallerEvent::Ended(Ended::Refused(code)) = event
                && *code != 482
            {
                assert_eq!(world.records[0].sip_code, *code, "seed {seed}\n{}", world.ladder.join("\n"));
            }
        }
    }
}
