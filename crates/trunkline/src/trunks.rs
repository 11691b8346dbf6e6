//! How many calls each trunk carries out, and how fast: `max_calls` and `calls_per_second` of a trunk.
//!
//! A call out counts on its trunk, and so does each further leg that a call places: who is called for a
//! transfer, an agent behind SIP. A call that came in does not, but its transfers do, or a caller who
//! can have agents transfer could have the trunk carry any number of calls.

use dashmap::DashMap;
use trunkline_call::{CallHandle, CallRecord};
use trunkline_routing::Trunk;

#[cfg(test)]
mod tests;

#[derive(Debug, Default)]
struct Load {
    active: u32,
    second: u64,
    placed: u32,
}

/// The loads of all trunks that calls have gone out by.
#[derive(Debug, Default)]
pub(crate) struct TrunkLoads {
    loads: DashMap<String, Load>,
    /// The further legs that are counted: the call's, by their numbers, with their trunks.
    legs: DashMap<CallHandle, Vec<(u32, String)>>,
}

/// Why a trunk takes no further call now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overload {
    Calls,
    Rate,
}

impl Overload {
    /// What stands in the way of a further leg.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Calls => "it has as many calls as its max_calls",
            Self::Rate => "it has placed its calls_per_second",
        }
    }
}

impl TrunkLoads {
    /// Takes a place on a trunk for a call out; it is given back when the call's record is written.
    pub(crate) fn take(&self, trunk: &Trunk, second: u64) -> Result<(), Overload> {
        let mut load = self.loads.entry(trunk.name.clone()).or_default();
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

    /// Takes a place for a further leg of a call, once: it keeps it on its way from one of the trunk's
    /// addresses to the next.
    pub(crate) fn take_leg(
        &self,
        trunk: &Trunk,
        (call, nth): (CallHandle, u32),
        second: u64,
    ) -> Result<(), Overload> {
        let counted = |legs: &Vec<(u32, String)>| legs.iter().any(|(of, _)| *of == nth);
        if self.legs.get(&call).is_some_and(|legs| counted(&legs)) {
            return Ok(());
        }
        self.take(trunk, second)?;
        self.legs.entry(call).or_default().push((nth, trunk.name.clone()));
        Ok(())
    }

    /// A further leg is gone, or all of them with their call.
    pub(crate) fn leg_gone(&self, call: CallHandle, nth: Option<u32>) {
        let Some(nth) = nth else {
            for (_, trunk) in self.legs.remove(&call).into_iter().flat_map(|(_, legs)| legs) {
                self.give_back(&trunk);
            }
            return;
        };
        let gone = self.legs.get_mut(&call).and_then(|mut legs| {
            let at = legs.iter().position(|(of, _)| *of == nth)?;
            Some(legs.swap_remove(at).1)
        });
        if let Some(trunk) = gone {
            self.give_back(&trunk);
        }
    }

    /// A call is over.
    pub(crate) fn ended(&self, record: &CallRecord) {
        if record.direction == "outbound" {
            self.give_back(&record.trunk);
        }
    }

    fn give_back(&self, trunk: &str) {
        if let Some(mut load) = self.loads.get_mut(trunk) {
            load.active = load.active.saturating_sub(1);
        }
    }
}
