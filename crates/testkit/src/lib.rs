//! For tests: a [`World`] of one gateway shard and one peer, caller or callee, on a virtual clock, with a network
//! between them that loses, doubles, delays and reorders by a seed, and edges that answer after a
//! while. A whole call takes microseconds, and a seed replays it.

mod callee;
mod network;
mod plan;
pub mod program;
mod taker;
mod transfers;
mod world;

pub use callee::{Callee, CalleePlan};
pub use network::{Dice, Faults, Network};
pub use plan::{AgentPlan, Plan, Terms};
pub use transfers::{ReferPlan, TransferPlan};
pub use world::{Far, World, gateway_address, table};
