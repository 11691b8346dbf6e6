//! Programs of events, seeded: any order of a peer's messages, the edges' answers and the clock
//! leaves the shard idle, with one record a call and no room open.

use trunkline_testkit::{Dice, program};

fn dealt(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..200).map(|_| u8::try_from(dice.roll() >> 56).unwrap_or(0)).collect()
}

#[test]
fn any_program_ends_with_an_idle_shard() {
    let (mut began, mut sent) = (0, 0);
    for seed in 0..1000 {
        let outcome = program::run(&dealt(seed));
        began += outcome.began;
        sent += outcome.sent;
    }
    // The programs did reach the machines.
    assert!(began > 1000 && sent > 10_000, "{began} calls, {sent} messages");
}

#[test]
fn any_program_of_an_answered_call_whose_legs_are_taken_over_ends_with_an_idle_shard() {
    // INVITE, its port, its agent, ACK; another INVITE with Replaces, its port; then chance.
    let answered = [0, 0, 5, 6, 6, 6, 1, 0, 13, 25, 5, 6];
    let mut replaced = 0;
    for seed in 0..500 {
        replaced += program::run(&[&answered[..], &dealt(seed)].concat()).replaced;
    }
    assert!(replaced > 510, "{replaced} legs replaced");
}
