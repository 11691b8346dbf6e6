//! Transfers and holds between a shard, its caller and who else is called: as ladders, and by the thousand over a
//! bad network. Every run ends with everybody idle, every room closed, one record, and each wish for a transfer
//! answered once.

use std::time::Duration;

use trunkline_sdp::control::{Fallback, TransferMode};
use trunkline_testkit::{AgentPlan, CalleePlan, Dice, Faults, Plan, ReferPlan, Terms, TransferPlan, World};

const CALLEE: CalleePlan = CalleePlan { rings: Duration::from_secs(1), refuses: None, leaves: None };

const TRANSFER: TransferPlan = TransferPlan {
    at: Duration::from_secs(1),
    mode: TransferMode::Cold,
    fallback: Fallback::None,
    key: None,
    settled: None,
    refer: ReferPlan { answer: 202, outcome: Some((Duration::from_secs(1), 200)), leaves: None },
    callee: CALLEE,
    hold: None,
    held: None,
    taken: None,
};

const PLAN: Plan = Plan {
    faults: Faults::NONE,
    seed: 1,
    agent: AgentPlan::Comes(Duration::from_millis(50)),
    ports: true,
    caller_leaves: Duration::from_secs(20),
    agent_leaves: None,
    terms: Terms { reliable: false, refresher: None, without_update: false },
    callee: None,
    transfer: Some(TRANSFER),
};

fn run(plan: Plan) -> World {
    let mut world = World::new(plan);
    world.run(Duration::from_secs(4000));
    let (seed, ladder) = (plan.seed, world.ladder.join("\n"));
    assert!(world.is_idle(), "seed {seed}: something is left\n{ladder}");
    assert!(world.rooms.is_empty(), "seed {seed}: a room is open\n{ladder}");
    assert_eq!(world.records.len(), usize::from(world.invites_arrived > 0), "seed {seed}: records\n{ladder}");
    if let Some(record) = world.records.first() {
        let through = world.transfers.iter().filter(|result| result.ok).count();
        let told = usize::from(record.transferred_to.is_some());
        // Who takes the caller's place is told too.
        let taken = usize::from(world.place_was_taken());
        let expected = (through + taken).min(1);
        assert_eq!(expected, told, "seed {seed}: {:?} {record:?}\n{ladder}", world.transfers);
        // The other wishes were refused as such, as the completion of a transfer that is over.
        let known = record.transfer.as_ref().is_none_or(|result| world.transfers.contains(result));
        assert!(known, "seed {seed}: {:?} {record:?}\n{ladder}", world.transfers);
    }
    world
}

fn transfer(transfer: TransferPlan) -> World {
    run(Plan { transfer: Some(transfer), ..PLAN })
}

#[test]
fn a_cold_transfer_has_the_plain_ladder() {
    let world = transfer(TRANSFER);
    let expected = "-> INVITE,<- 100,<- 180,<- 200,-> ACK,<- REFER,-> 202,-> NOTIFY,<- 200,-> NOTIFY,<- 200,<- BYE,-> 200";
    assert_eq!(world.ladder.join(","), expected);
    assert_eq!(world.records[0].reason, "transferred");
}

#[test]
fn a_bridge_and_a_warm_transfer_have_two_legs() {
    for (mode, settled) in
        [(TransferMode::Bridge, None), (TransferMode::Warm, Some((Duration::from_secs(3), true)))]
    {
        let world = transfer(TransferPlan { mode, settled, ..TRANSFER });
        assert!(world.transfers.iter().any(|result| result.ok), "{:?}", world.transfers);
        assert!(
            world.seconds.len() == 1 && world.seconds[0].1.answered && world.seconds[0].1.ends.len() == 1
        );
        assert_eq!(world.records[0].reason, "the caller hung up");
    }
}

#[test]
fn another_leg_has_the_callers_place_and_then_its_transfer() {
    let world = transfer(TransferPlan {
        at: Duration::from_secs(4),
        taken: Some(Duration::from_secs(2)),
        ..TRANSFER
    });
    assert!(world.place_was_taken());
    assert_eq!(world.ladder.iter().filter(|line| line.ends_with("BYE")).count(), 1, "{:?}", world.ladder);
    assert_eq!(world.records[0].transferred_to.as_deref(), Some("+14155550188"));
}

#[test]
fn holds_of_both_sides_meet_and_the_call_goes_on() {
    let span = Some((Duration::from_secs(2), Duration::from_secs(4)));
    let world = transfer(TransferPlan { at: Duration::from_secs(10), hold: span, held: span, ..TRANSFER });
    let glares = world.ladder.iter().filter(|line| line.ends_with("491")).count();
    assert!(glares > 0, "{:?}", world.ladder);
    assert_eq!(world.records[0].reason, "transferred");
}

fn dealt(seed: u64) -> Plan {
    let mut dice = Dice::new(seed);
    let faults = Faults {
        loss: dice.below(40),
        doubled: dice.below(30),
        delay: Duration::from_millis(1 + dice.below(1500)),
    };
    let mut millis = |bound| Duration::from_millis(dice.below(bound));
    let (at, rings, outcome, leaves, settled, key) =
        (millis(8000), millis(8000), millis(70_000), millis(20_000), millis(15_000), millis(12_000));
    let (hold, held) = ((millis(5000), millis(9000)), (millis(5000), millis(9000)));
    let taken = millis(9000);
    let (caller_leaves, agent_leaves, callee_leaves) = (millis(60_000), millis(40_000), millis(30_000));
    let modes = [TransferMode::Cold, TransferMode::Bridge, TransferMode::Warm, TransferMode::Attended];
    let code = [200, 200, 486, 503][dice.below(4) as usize];
    let plan = TransferPlan {
        at,
        mode: modes[dice.below(4) as usize],
        fallback: if dice.percent(50) { Fallback::Bridge } else { Fallback::None },
        key: dice.percent(30).then(|| dice.percent(70).then_some(key)),
        settled: dice.percent(70).then(|| (settled, dice.percent(70))),
        refer: ReferPlan {
            answer: [202, 202, 202, 603, 480][dice.below(5) as usize],
            outcome: dice.percent(80).then_some((outcome, code)),
            leaves: dice.percent(40).then_some(leaves),
        },
        callee: CalleePlan {
            rings,
            refuses: dice.percent(25).then(|| [404, 480, 486, 503, 603][dice.below(5) as usize]),
            leaves: dice.percent(40).then_some(callee_leaves),
        },
        hold: dice.percent(40).then_some(hold),
        held: dice.percent(40).then_some(held),
        taken: dice.percent(40).then_some(taken),
    };
    Plan {
        faults,
        seed,
        agent: AgentPlan::Comes(Duration::from_millis(dice.below(500))),
        caller_leaves,
        agent_leaves: dice.percent(30).then_some(agent_leaves),
        transfer: Some(plan),
        ..PLAN
    }
}

#[test]
fn thousands_of_transfers_over_a_bad_network_all_end() {
    let (mut through, mut taken) = (0, 0);
    for seed in 0..2000 {
        let world = run(dealt(seed));
        through += usize::from(world.transfers.iter().any(|result| result.ok));
        taken += usize::from(world.place_was_taken());
    }
    assert!(through > 100 && taken > 300, "{through} of them work all the same, {taken} places are taken");
}
