//! A piece of an array: elements that follow one another and are given to one worker, which runs them one after another in one slot.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Span;
use crate::protocol::{PROTOCOL_VERSION, TaskName};

/// What a piece is called below its array: `<from>-<to>.<number>`. Its assignment is called `<array>.<from>-<to>.<number>`. No two
/// pieces of an array are called the same, whatever becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PieceName {
    /// Its elements.
    pub span: Span,
    /// Which of the pieces that were given out of the array, from 1.
    pub number: u32,
}

impl PieceName {
    /// Reads a name; `None` if it is not the one that [`Display`](fmt::Display) gives.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (span, number) = name.split_once('.')?;
        let (from, to) = span.split_once('-')?;
        let [from, to, number] = [from, to, number].map(decimal);
        let piece = Self { span: Span { from: from?, to: to? }, number: number? };
        (!piece.span.is_empty() && piece.number > 0).then_some(piece)
    }

    /// What its assignment is called.
    #[must_use]
    pub fn assignment(&self, array: &TaskName) -> TaskName {
        TaskName::listed(&format!("{array}.{self}"))
    }
}

/// Only as it is written by us: no sign, no leading zero.
fn decimal(digits: &str) -> Option<u32> {
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| canonical)
}

impl fmt::Display for PieceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.span.from, self.span.to, self.number)
    }
}

/// The data of a piece's assignment: which elements of which array. What they run stands in `/bellwether/arrays/<array>`, which a worker
/// reads once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PieceOrder {
    /// The array.
    pub array: TaskName,
    /// The transaction that created its node: tells two lives of one name apart.
    pub czxid: i64,
    /// The first element.
    pub from: u32,
    /// The last element.
    pub to: u32,
    /// Which piece of its array it is.
    pub number: u32,
    /// How many attempts of these elements failed before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// How many were lost with their worker.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub losses: u32,
}

/// As it is written: no envelope and no plain task is read as this, nor this as one of those.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<T> {
    bellwether: u32,
    piece: T,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl PieceOrder {
    /// Its elements.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { from: self.from, to: self.to }
    }

    /// What it is called below its array.
    #[must_use]
    pub fn name(&self) -> PieceName {
        PieceName { span: self.span(), number: self.number }
    }

    /// The ordinal of the attempt that is made of its elements, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.failures.saturating_add(self.losses).saturating_add(1)
    }

    /// As it is written to ZooKeeper.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        crate::protocol::record::encode(&Written { bellwether: PROTOCOL_VERSION, piece: self })
    }

    /// Reads the data of the assignment of this name; `None` if it is not one of a piece, or not of that one.
    #[must_use]
    pub fn decode(task: &TaskName, data: &[u8]) -> Option<Self> {
        let (array, name) = super::piece_of(task)?;
        let Written { bellwether, piece } = serde_json::from_slice::<Written<Self>>(data).ok()?;
        (bellwether <= PROTOCOL_VERSION && piece.array == array && piece.name() == name).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::payload::{self, Rejection};

    #[test]
    fn an_order_reads_back_under_its_own_name_alone_and_is_no_task() {
        let order = PieceOrder { array: TaskName::listed("a"), czxid: 7, from: 5, to: 9, number: 3, failures: 1, losses: 1 };
        let name = order.name().assignment(&order.array);
        assert_eq!(name.as_str(), "a.5-9.3");
        let data = order.encode();
        assert_eq!(PieceOrder::decode(&name, &data), Some(order));
        for other in ["a.5-9.1", "b.5-9.3", "a.5-8.3", "a.5"] {
            assert_eq!(PieceOrder::decode(&TaskName::listed(other), &data), None, "{other}");
        }
        assert!(matches!(payload::decode(&data), Err(Rejection::BadEnvelope(_))), "nobody runs it as a task");
        assert_eq!(PieceOrder::decode(&name, br#"{"bellwether":1,"argv":["a"]}"#), None);
    }
}
