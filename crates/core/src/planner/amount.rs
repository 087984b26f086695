//! How much a task takes of a worker, and how much a worker has: slots, and resources that the operator counts.

use std::collections::BTreeMap;

use crate::protocol::payload::Envelope;

/// So many slots, and so much of each resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Amount {
    /// How many slots.
    pub slots: u32,
    /// How much of each resource; of one that is not named, nothing.
    pub resources: BTreeMap<String, u32>,
}

impl Amount {
    /// What a task takes that does not say.
    #[must_use]
    pub fn one() -> Self {
        Self { slots: 1, resources: BTreeMap::new() }
    }

    /// What a task takes.
    #[must_use]
    pub fn of(envelope: &Envelope) -> Self {
        let resources = envelope.resources.iter().map(|(name, count)| (name.clone(), count.get())).collect();
        Self { slots: envelope.slots.map_or(1, std::num::NonZeroU32::get), resources }
    }

    /// Whether it is one slot and nothing else.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.slots == 1 && self.resources.is_empty()
    }

    /// As much more.
    pub fn add(&mut self, other: &Self) {
        self.slots = self.slots.saturating_add(other.slots);
        for (name, count) in &other.resources {
            let sum = self.resources.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// How much there is of a resource.
    #[must_use]
    pub fn resource(&self, name: &str) -> u32 {
        self.resources.get(name).copied().unwrap_or(0)
    }

    /// Whether it finds room beside what is taken already.
    #[must_use]
    pub fn fits(&self, taken: &Self, within: &Self) -> bool {
        self.lacks(taken, within) == 0
    }

    /// How much would have to become free first.
    #[must_use]
    pub fn lacks(&self, taken: &Self, within: &Self) -> u64 {
        let lack = |wanted: u32, taken: u32, has: u32| (u64::from(wanted) + u64::from(taken)).saturating_sub(u64::from(has));
        let slots = lack(self.slots, taken.slots, within.slots);
        self.resources.iter().fold(slots, |sum, (name, wanted)| sum + lack(*wanted, taken.resource(name), within.resource(name)))
    }
}
