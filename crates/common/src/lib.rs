//! What the services of Bellwether share: the shell around `bellwether-core`.
//!
//! What lives here: the ZooKeeper session and everything that reads and writes through it, configuration ([`config`]), metrics
//! ([`metrics`]), who may do what ([`access`]), the HTTP pages ([`http`]), keys ([`signing`]), and the start and end of a process ([`boot`],
//! [`exit`]). What does not: decisions (they
//! are the core's) and anything that only one role needs.

pub mod access;
pub mod audit;
pub mod boot;
pub mod clock;
pub mod config;
pub mod exit;
pub mod http;
pub mod leash;
pub mod local_zookeeper;
pub mod metrics;
pub mod output;
pub mod pen;
pub mod reader;
pub mod session;
pub mod signing;
pub mod store;
pub mod tls;
pub mod txnlog;
pub mod wait;
pub mod watch;
pub mod zk_runtime;
