//! What a worker has to offer to a task, and why it is given none.

use std::collections::BTreeMap;
use std::fmt;

use super::{Amount, Requirement, Skills};
use crate::protocol::{TaskName, WorkerId};

/// What a worker has to offer. Built from what a master believes, or by whoever explains why a task waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The worker.
    pub worker: &'a WorkerId,
    /// What it can run.
    pub skills: &'a Skills,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// What it has in all. Without slots it takes nothing.
    pub has: Amount,
    /// What its tasks take.
    pub taken: Amount,
    /// How many tasks it has.
    pub tasks: u32,
    /// How many slots beyond its own it may be given tasks for: they wait there, so that a slot does not wait for the master.
    pub lookahead: u32,
    /// Whether it lately began and ended as many tasks within a second as it has slots.
    pub brisk: bool,
    /// Whether what it has must stay alone.
    pub reserved: bool,
    /// Whether somebody asked it to take nothing more.
    pub draining: bool,
}

/// Why a worker is not given a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Exclusion {
    /// Somebody asked it to take nothing more, or it is about to leave.
    Draining,
    /// It has no handler for tasks of this kind, or, without a kind, runs no commands.
    Kind(Option<String>),
    /// It has not this label, or another value of it.
    Label {
        /// The label.
        name: String,
        /// What the task requires.
        wanted: String,
        /// What the worker has.
        has: Option<String>,
    },
    /// The task needs more slots than the worker has, even when it is idle.
    Slots {
        /// How many it needs.
        wanted: u32,
        /// How many there are.
        has: u32,
    },
    /// The task needs more of a resource than the worker has, even when it is idle.
    Resource {
        /// The resource.
        name: String,
        /// How much it needs.
        wanted: u32,
        /// How much there is.
        has: u32,
    },
    /// Other tasks take its slots.
    Full {
        /// How many the task needs.
        wanted: u32,
        /// How many are free.
        free: u32,
    },
    /// Other tasks take what it has of a resource.
    Used {
        /// The resource.
        name: String,
        /// How much the task needs.
        wanted: u32,
        /// How much is free.
        free: u32,
    },
    /// The task must run alone, and the worker has others.
    NotIdle {
        /// How many others.
        tasks: u32,
    },
    /// It has a task that must run alone.
    Reserved,
    /// Its room is kept for a task that goes before, and needs more than is free.
    Kept {
        /// That task.
        task: TaskName,
    },
}

impl Exclusion {
    /// Whether waiting may help. Otherwise somebody has to change the task or the worker.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Exclusion::Full { .. } | Exclusion::Used { .. } | Exclusion::NotIdle { .. } | Exclusion::Reserved | Exclusion::Kept { .. } => {
                true
            }
            Exclusion::Draining | Exclusion::Kind(_) | Exclusion::Label { .. } | Exclusion::Slots { .. } | Exclusion::Resource { .. } => {
                false
            }
        }
    }

    /// One word for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Exclusion::Draining => "draining",
            Exclusion::Kind(_) => "kind",
            Exclusion::Label { .. } => "label",
            Exclusion::Slots { .. } => "slots",
            Exclusion::Resource { .. } => "resource",
            Exclusion::Full { .. } => "full",
            Exclusion::Used { .. } => "resource-used",
            Exclusion::NotIdle { .. } => "not-idle",
            Exclusion::Reserved => "reserved",
            Exclusion::Kept { .. } => "kept",
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exclusion::Draining => write!(f, "it is draining"),
            Exclusion::Kind(Some(kind)) => write!(f, "it has no handler for tasks of kind {kind}"),
            Exclusion::Kind(None) => write!(f, "it runs no commands"),
            Exclusion::Label { name, wanted, has: None } => write!(f, "it has no label {name}, the task requires {name}={wanted}"),
            Exclusion::Label { name, wanted, has: Some(has) } => write!(f, "it has {name}={has}, the task requires {name}={wanted}"),
            Exclusion::Slots { wanted, has } => write!(f, "it has {has} slots in all, the task needs {wanted}"),
            Exclusion::Resource { name, wanted, has } => write!(f, "it has {name}={has} in all, the task needs {name}={wanted}"),
            Exclusion::Full { wanted, free } => write!(f, "{free} of its slots are free, the task needs {wanted}"),
            Exclusion::Used { name, wanted, free } => write!(f, "{name}={free} of it is free, the task needs {name}={wanted}"),
            Exclusion::NotIdle { tasks } => write!(f, "the task must run alone, and it has {tasks} others"),
            Exclusion::Reserved => write!(f, "it has a task that must run alone"),
            Exclusion::Kept { task } => write!(f, "what is free of it is kept for {task}, which goes before and needs more"),
        }
    }
}

impl Offer<'_> {
    /// Why this task does not go there now: empty if it may.
    #[must_use]
    pub fn exclusions(&self, requirement: &Requirement) -> Vec<Exclusion> {
        if self.draining || self.has.slots == 0 {
            return vec![Exclusion::Draining];
        }
        let mut why = Vec::new();
        if !self.skills.cover(requirement.kind.as_deref()) {
            why.push(Exclusion::Kind(requirement.kind.clone()));
        }
        why.extend(self.missing_labels(requirement));
        let wanted = &requirement.amount;
        if wanted.slots > self.has.slots {
            why.push(Exclusion::Slots { wanted: wanted.slots, has: self.has.slots });
        }
        for (name, count) in wanted.resources.iter().filter(|(name, count)| **count > self.has.resource(name)) {
            why.push(Exclusion::Resource { name: name.clone(), wanted: *count, has: self.has.resource(name) });
        }
        if why.is_empty() {
            why.extend(self.in_the_way(requirement));
        }
        why
    }

    fn missing_labels(&self, requirement: &Requirement) -> impl Iterator<Item = Exclusion> {
        let missing = requirement.labels.iter().filter(|(name, value)| self.labels.get(*name) != Some(value));
        missing.map(|(name, wanted)| Exclusion::Label { name: name.clone(), wanted: wanted.clone(), has: self.labels.get(name).cloned() })
    }

    /// What is in the way for now.
    fn in_the_way(&self, requirement: &Requirement) -> Vec<Exclusion> {
        let mut why = Vec::new();
        if self.reserved {
            why.push(Exclusion::Reserved);
        }
        if requirement.alone && self.tasks > 0 {
            why.push(Exclusion::NotIdle { tasks: self.tasks });
        }
        if self.takes_ahead(requirement) {
            return why;
        }
        let wanted = &requirement.amount;
        let free = self.has.slots.saturating_sub(self.taken.slots);
        if wanted.slots > free {
            why.push(Exclusion::Full { wanted: wanted.slots, free });
        }
        for (name, count) in &wanted.resources {
            let free = self.has.resource(name).saturating_sub(self.taken.resource(name));
            if *count > free {
                why.push(Exclusion::Used { name: name.clone(), wanted: *count, free });
            }
        }
        why
    }

    /// Whether it may be given this task now.
    #[must_use]
    pub fn takes(&self, requirement: &Requirement) -> bool {
        self.starts(requirement) || self.takes_ahead(requirement)
    }

    /// Whether it could start this task at once.
    #[must_use]
    pub fn starts(&self, requirement: &Requirement) -> bool {
        self.may_take(requirement) && requirement.amount.fits(&self.taken, &self.has) && (!requirement.alone || self.tasks == 0)
    }

    /// Whether it may be given this task to wait there: only what takes a single slot and nothing else, because that one starts with the
    /// first slot that becomes free.
    fn takes_ahead(&self, requirement: &Requirement) -> bool {
        let most = self.has.slots.saturating_add(self.lookahead);
        let full = self.taken.slots >= self.has.slots && self.taken.slots < most;
        full && requirement.amount.is_one() && !requirement.alone && self.may_take(requirement)
    }

    /// Whether it would start it, were it idle.
    pub(super) fn may_take(&self, requirement: &Requirement) -> bool {
        let has = |labels: &BTreeMap<String, String>| labels.iter().all(|(name, value)| self.labels.get(name) == Some(value));
        !self.reserved
            && !self.draining
            && self.has.slots > 0
            && self.skills.cover(requirement.kind.as_deref())
            && requirement.amount.fits(&Amount::default(), &self.has)
            && has(&requirement.labels)
    }

    /// Takes it from what is left.
    pub fn take(&mut self, requirement: &Requirement) {
        self.taken.add(&requirement.amount);
        self.tasks = self.tasks.saturating_add(1);
        self.reserved |= requirement.alone;
    }

    /// Its load as a share of its slots, in millionths.
    pub(super) fn share(&self) -> u64 {
        Self::share_of(self.taken.slots, self.has.slots)
    }

    /// The same of so many slots.
    pub(crate) fn share_of(taken: u32, has: u32) -> u64 {
        u64::from(taken) * 1_000_000 / u64::from(has.max(1))
    }
}
