use std::sync::Arc;

use trunkline_routing::{Source, load};

use super::*;

fn trunk(limits: &str) -> Arc<Trunk> {
    let text = format!(
        "[[trunk]]\nname = \"t\"\naddress = \"192.0.2.1\"\nallowed_addresses = [\"192.0.2.1\"]\n{limits}"
    );
    let (table, problems) = load(&[Source { name: "t".to_owned(), text }], None).expect("loads");
    assert!(problems.is_empty(), "{problems:?}");
    Arc::clone(&table.trunks[0])
}

#[test]
fn further_legs_count_once_each_until_they_are_gone() {
    let (loads, trunk) = (TrunkLoads::default(), trunk("max_calls = 2"));
    let (one, two) = (CallHandle(1), CallHandle(2));
    assert_eq!(loads.take(&trunk, 0), Ok(()));
    assert_eq!(loads.take_leg(&trunk, (one, 1), 0), Ok(()));
    assert_eq!(loads.take_leg(&trunk, (one, 1), 0), Ok(()), "the trunk's next address");
    assert_eq!(loads.take_leg(&trunk, (two, 1), 0), Err(Overload::Calls));
    assert_eq!(loads.take(&trunk, 0), Err(Overload::Calls), "calls and legs share the limit");
    loads.leg_gone(one, Some(2));
    loads.leg_gone(two, Some(1));
    assert_eq!(loads.take(&trunk, 0), Err(Overload::Calls), "what was not counted gives nothing back");
    loads.leg_gone(one, Some(1));
    loads.leg_gone(one, Some(1));
    assert_eq!(loads.take_leg(&trunk, (two, 1), 0), Ok(()));
    assert_eq!(loads.take_leg(&trunk, (two, 2), 0), Err(Overload::Calls), "given back once only");
}

#[test]
fn a_call_that_ends_takes_its_legs_with_it_and_nothing_is_kept() {
    let (loads, trunk) = (TrunkLoads::default(), trunk("max_calls = 3"));
    let call = CallHandle(7);
    for nth in 1..=3 {
        assert_eq!(loads.take_leg(&trunk, (call, nth), 0), Ok(()));
    }
    loads.leg_gone(call, Some(2));
    loads.leg_gone(call, None);
    assert!(loads.legs.is_empty());
    assert_eq!(loads.loads.get("t").map(|load| load.active), Some(0));
}

#[test]
fn further_legs_count_towards_the_rate() {
    let (loads, trunk) = (TrunkLoads::default(), trunk("calls_per_second = 1"));
    assert_eq!(loads.take_leg(&trunk, (CallHandle(1), 1), 5), Ok(()));
    assert_eq!(loads.take_leg(&trunk, (CallHandle(2), 1), 5), Err(Overload::Rate));
    assert_eq!(loads.take_leg(&trunk, (CallHandle(2), 1), 6), Ok(()));
}
