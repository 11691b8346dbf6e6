//! The agent as a member of its room.

use trunkline_sdp::Codec;

use super::outlet::Outlet;
use super::voice::Voice;
use crate::participant::{Outcome, Participant};
use crate::playout::Playout;

/// Where the agent sits.
#[derive(Default)]
pub(crate) struct Seat {
    pub(crate) agent: Option<Box<dyn Participant>>,
    /// What it says, paced.
    pub(super) playout: Playout,
    pub(super) outcome: Outcome,
    /// Its socket has more to read than one turn took.
    pub(super) again: bool,
    /// It was told that the agent is gone; that is not told twice.
    pub(super) over: bool,
    /// What it is given of a mix.
    pub(super) outlet: Outlet,
    /// What it forwards past the queue, where that is wanted as samples.
    pub(super) voice: Option<Box<Voice>>,
}

impl Seat {
    /// Whether it hears what is said to it.
    pub(super) fn listens(&self) -> bool {
        self.agent.is_some() && self.outcome == Outcome::Stays
    }

    /// Whether what it plays is paced by the room's clock.
    pub(super) fn is_paced(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.is_paced())
    }

    /// The codec that it speaks.
    pub(super) fn codec(&self) -> Option<Codec> {
        self.agent.as_ref().and_then(|agent| agent.codec())
    }

    /// It goes; what it said and was not played goes with it.
    pub(super) fn leave(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.leave();
        }
        self.playout.clear();
        while self.playout.reached().is_some() {}
        self.outcome = Outcome::Stays;
        self.over = false;
        self.again = false;
        self.voice = None;
    }
}
