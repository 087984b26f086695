//! A worker, as far as a master knows it, and what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Load, Pace, Question};
use crate::planner::{Amount, Skills};
use crate::protocol::TaskName;
use crate::protocol::record::WorkerRecord;

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    /// What it says of itself.
    pub registration: Registration,
    /// Whether its box is there and was listed.
    pub boxed: Boxed,
    /// What it has, or is about to have.
    pub load: Load,
    /// Whether it was asked to give something back, and its box is the same since.
    pub asked: bool,
    /// How quickly it ends tasks.
    pub pace: Pace,
}

/// Whether a worker lives, and what it offers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Registration {
    /// Its node is there, its data is asked for.
    Unread(Option<Question>),
    /// It may be given work.
    Known(Terms),
    /// It is there, but may not be given work: a foreign worker, or a node that belongs to no session. It is looked at again now and
    /// then, by a question.
    Unusable(Option<Question>),
    /// Its session ended. For a name of our form this is final.
    Gone,
}

/// What a worker offers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Terms {
    /// How many slots it has for tasks, and how much of each resource.
    pub has: Amount,
    /// What it can run.
    pub skills: Skills,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The version of its node, which it raises when it wants no more work. `None`: a foreign worker, which changes it all the time.
    pub version: Option<i32>,
    /// How long at most it has a task, beside the time that this may run: to be started, and to be stopped. `None`: nobody knows.
    pub patience: Option<Duration>,
}

impl Terms {
    /// What one of our workers offers.
    #[must_use]
    pub fn of(record: &WorkerRecord, version: i32) -> Self {
        let has = Amount { slots: record.slots, resources: record.resources.clone() };
        let patience = record.patience_ms.map(Duration::from_millis);
        Self { has, skills: Skills::of(record), labels: record.labels.clone(), version: Some(version), patience }
    }
}

/// What is known of a worker's box.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Boxed {
    /// Not listed yet. Names of which an event was handled since the question was sent are not believed.
    Asked {
        /// The question.
        question: Question,
        /// Names that changed since.
        touched: BTreeSet<TaskName>,
    },
    /// Listed: what it has is known.
    Listed,
    /// There is none.
    Missing,
}

/// What fills a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Our assigning transaction is in flight.
    Placing {
        /// Whether it must stay alone on its worker.
        alone: bool,
    },
    /// The assignment is there.
    Placed {
        /// Whether it must stay alone on its worker.
        alone: bool,
    },
    /// It is asked for: its worker is gone, somebody wants it cancelled, or we did not put it there and must know what it asks.
    Asked(Question),
    /// A transaction that ends or takes back the assignment is in flight or about to be.
    Leaving,
    /// It should end or be taken back, but that was refused for good: it is looked at again by the slow comparison.
    Stuck,
}

impl Slot {
    /// Whether our assigning transaction is in flight.
    #[must_use]
    pub fn is_placing(self) -> bool {
        matches!(self, Slot::Placing { .. })
    }

    /// Whether nothing may be put beside it. Of what is not known yet, that is possible.
    #[must_use]
    pub fn is_alone(self) -> bool {
        match self {
            Slot::Placing { alone } | Slot::Placed { alone } => alone,
            Slot::Asked(_) => true,
            Slot::Leaving | Slot::Stuck => false,
        }
    }
}

impl Worker {
    /// A worker of which only the name is known.
    #[must_use]
    pub fn unknown(registration: Registration, boxed: Boxed) -> Self {
        Self { registration, boxed, load: Load::default(), asked: false, pace: Pace::default() }
    }

    /// Notes that a list of its box that is awaited says nothing about this task any more.
    pub fn touch(&mut self, task: &TaskName) {
        if let Boxed::Asked { touched, .. } = &mut self.boxed {
            touched.insert(task.clone());
        }
    }

    /// How many slots it offers, if that is known.
    #[must_use]
    pub fn slots(&self) -> Option<u32> {
        match &self.registration {
            Registration::Known(terms) => Some(terms.has.slots),
            Registration::Unread(_) | Registration::Unusable(_) | Registration::Gone => None,
        }
    }

    /// For how many slots more than it has it was given tasks.
    #[must_use]
    pub fn excess(&self) -> u32 {
        match &self.registration {
            Registration::Known(terms) if self.load.len() > terms.has.slots as usize || !self.load.is_plain() => {
                self.load.taken().slots.saturating_sub(terms.has.slots)
            }
            Registration::Known(_) | Registration::Unread(_) | Registration::Unusable(_) | Registration::Gone => 0,
        }
    }

    /// Whether its session ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.registration, Registration::Gone)
    }
}
