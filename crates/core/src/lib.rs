//! The rules of Bellwether.
//!
//! What lives here: the znode protocol ([`protocol`]) and every decision that a coordinator, a worker or a client takes.
//! What does not: I/O, clocks, async, randomness. Time rides in on the call ([`Time`]), facts ride in as events, orders ride
//! out as effects; all of them are plain values that can be printed, compared and model-checked.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod admission;
pub mod agent;
pub mod cron;
pub mod election;
pub mod invariant;
pub mod janitor;
pub mod lifecycle;
pub mod master;
pub mod numbering;
pub mod piece;
pub mod planner;
pub mod protocol;
pub mod rewind;
pub mod submission;
pub mod time;
pub mod timetable;
pub mod typed;
pub mod view;
pub mod waiting;

pub use time::Time;
