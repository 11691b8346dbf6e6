//! For tests: a [`World`] of one gateway shard and one caller on a virtual clock, with a network
//! between them that loses, doubles, delays and reorders by a seed, and edges that answer after a
//! while. A whole call takes microseconds, and a seed replays it.

mod network;
mod world;

pub use network::{Dice, Faults, Network};
pub use world::{AgentPlan, Plan, World, gateway_address, table};
