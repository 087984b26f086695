//! The znode protocol: everything that crosses a process boundary, and nothing that decides.
//!
//! Paths ([`path`]), names ([`name`]), payloads ([`payload`]), results ([`result`]), the records of services ([`record`]), schedules ([`schedule`]), signatures
//! ([`signature`]), arrays ([`mod@array`]), the layout ([`layout`]), changes seen through watches ([`change`]), admission
//! ([`admission`]), transactions ([`multi`]), trace context ([`trace`]), who may take part ([`version`]), and who may do what where
//! ([`acl`]).

pub mod acl;
pub mod admission;
pub mod array;
pub mod change;
pub mod group;
pub mod key;
pub mod layout;
pub mod multi;
pub mod name;
pub mod path;
pub mod payload;
pub mod record;
pub mod request;
pub mod result;
pub mod schedule;
pub mod signature;
pub mod trace;
pub mod version;

pub use change::Change;
pub use multi::{Applied, Multi, Op, Outcome, Refusal, Why};
pub use name::{TaskName, WorkerId};
pub use schedule::ScheduleName;

/// The version of everything JSON that we write: the value of the key `bellwether`.
pub const PROTOCOL_VERSION: u32 = 1;

/// Which state of a znode was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stat {
    /// Transaction that created the node: tells two lives of one name apart.
    pub czxid: i64,
    /// Transaction that last set the data.
    pub mzxid: i64,
    /// How often the data was set since creation.
    pub version: i32,
    /// Session that owns the node; 0 for a persistent one.
    pub ephemeral_owner: i64,
    /// How many children it has.
    pub children: i32,
    /// How many bytes its data has.
    pub bytes: i32,
    /// Wall-clock milliseconds of the creation, by ZooKeeper's leader.
    pub ctime_ms: i64,
    /// Wall-clock milliseconds of the last set, by ZooKeeper's leader.
    pub mtime_ms: i64,
}

/// A node's data and the state it was read in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// The data, as it is.
    pub data: Vec<u8>,
    /// The state it was read in.
    pub stat: Stat,
}
