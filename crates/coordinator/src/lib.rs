//! The coordinator: a process that stands for election, and as the master assigns tasks to workers.
//!
//! Its rules are `bellwether_core::election`, `bellwether_core::master`, `bellwether_core::timetable` and
//! `bellwether_core::janitor`; here are the actors around them. `supervisor` is the
//! family tree: who lives when, and what a suspended or lost session means for each.

mod janitor;
mod master;
mod observe;
mod office;
mod supervisor;
mod timetable;
mod unknown;

pub use supervisor::run;
