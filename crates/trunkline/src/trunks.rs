//! How many calls each trunk carries out, and how fast: `max_calls` and `calls_per_second` of a trunk.

use dashmap::DashMap;
use trunkline_call::CallRecord;
use trunkline_routing::Trunk;

#[derive(Debug, Default)]
struct Load {
    active: u32,
    second: u64,
    placed: u32,
}

/// The loads of all trunks that calls have gone out by.
#[derive(Debug, Default)]
pub(crate) struct TrunkLoads(DashMap<String, Load>);

/// Why a trunk takes no further call now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overload {
    Calls,
    Rate,
}

impl TrunkLoads {
    /// Takes a place on a trunk; it is given back when the call's record is written.
    pub(crate) fn take(&self, trunk: &Trunk, second: u64) -> Result<(), Overload> {
        let mut load = self.0.entry(trunk.name.clone()).or_default();
        if load.second != second {
            (load.second, load.placed) = (second, 0);
        }
        if trunk.max_calls.is_some_and(|most| load.active >= most) {
            return Err(Overload::Calls);
        }
        if trunk.calls_per_second.is_some_and(|most| load.placed >= most) {
            return Err(Overload::Rate);
        }
        load.active += 1;
        load.placed += 1;
        Ok(())
    }

    /// A call is over.
    pub(crate) fn ended(&self, record: &CallRecord) {
        if record.direction == "outbound"
            && let Some(mut load) = self.0.get_mut(&record.trunk)
        {
            load.active = load.active.saturating_sub(1);
        }
    }
}
