//! Programs of events, seeded: any order of a peer's messages, the edges' answers and the clock
//! leaves the shard idle, with one record a call and no room open.

use trunkline_testkit::{Dice, program};

#[test]
fn any_program_ends_with_an_idle_shard() {
    let (mut began, mut sent) = (0, 0);
    for seed in 0..1000 {
        let mut dice = Dice::new(seed);
        let bytes: Vec<u8> = (0..200).map(|_| u8::try_from(dice.roll() >> 56).unwrap_or(0)).collect();
        let outcome = program::run(&bytes);
        began += outcome.began;
        sent += outcome.sent;
    }
    // The programs did reach the machines.
    assert!(began > 1000 && sent > 10_000, "{began} calls, {sent} messages");
}
