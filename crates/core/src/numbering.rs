//! Numbers that grow without end, made small again for whoever compares states.
//!
//! A role numbers its questions and transactions. The numbers are only ever compared, and a new one is greater than all before it, so a
//! renaming that keeps their order (and 0, which no answer belongs to) leaves every decision as it was. A model checker needs that, or
//! two states that differ in nothing but how much was asked before would never be the same. No service does it.

/// What a number is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Numbered {
    /// A question about what ZooKeeper holds.
    Question,
    /// A transaction.
    Write,
    /// A proof of life.
    Proof,
}

/// Gives every number a new one. It must keep the order of those of a kind, and 0.
pub type Rename<'a> = &'a mut dyn FnMut(Numbered, &mut u64);
