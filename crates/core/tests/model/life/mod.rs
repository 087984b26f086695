//! A task's life, model-checked: the real [`Master`](bellwether_core::master::Master), the real
//! [`Agent`](bellwether_core::agent::Agent) and the real [`Submissions`](bellwether_core::submission::Submissions) over a toy ZooKeeper.
//!
//! Every run explores all histories within its budgets ([`budget`]), and from every state in which nothing is on its way it heals
//! what is broken and sees whether everything ends ([`judge`]). Time stands still: every armed timer may ring, nobody is in doubt.
//! That states do not differ by how much was asked before, numbers of questions are kept as small as their order allows
//! ([`bellwether_core::numbering`]).

mod array;
pub(crate) mod budget;
mod client;
mod hand;
mod inspect;
mod judge;
mod link;
mod part;
mod ruler;
pub(crate) mod runs;
mod steps;
mod strangers;
mod variant;
mod world;
mod zookeeper;

use std::time::Duration;

use bellwether_core::Time;

fn now() -> Time {
    Time::at(Duration::ZERO)
}
