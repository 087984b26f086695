//! What a worker has, or is about to have: which tasks, and what they take of it.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

use super::Slot;
use crate::planner::{Amount, Requirement};
use crate::protocol::TaskName;

/// The tasks of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Load {
    slots: BTreeMap<TaskName, Slot>,
    /// What those of them ask for that ask for more than a slot.
    requirements: BTreeMap<TaskName, Arc<Requirement>>,
    changes: Changes,
}

/// Which tasks came, and which left, since somebody asked last: no part of what it has.
#[derive(Debug, Clone, Default)]
struct Changes(Vec<(TaskName, bool)>);

impl PartialEq for Changes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Changes {}

impl std::hash::Hash for Changes {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Load {
    /// What fills a slot.
    #[must_use]
    pub fn get(&self, task: &TaskName) -> Option<&Slot> {
        self.slots.get(task)
    }

    /// What fills a slot.
    pub fn get_mut(&mut self, task: &TaskName) -> Option<&mut Slot> {
        self.slots.get_mut(task)
    }

    /// Whether it has this task.
    #[must_use]
    pub fn contains_key(&self, task: &TaskName) -> bool {
        self.slots.contains_key(task)
    }

    /// Changes how far a task is; of one that is new, it is not known what it asks for.
    pub fn insert(&mut self, task: TaskName, slot: Slot) {
        if self.slots.insert(task.clone(), slot).is_none() {
            self.requirements.remove(&task);
            self.changes.0.push((task, true));
        }
    }

    /// The same of a task of which it is known what it asks for.
    pub fn place(&mut self, task: &TaskName, slot: Slot, requirement: Arc<Requirement>) {
        if self.slots.insert(task.clone(), slot).is_none() {
            self.changes.0.push((task.clone(), true));
        }
        match requirement.is_plain() {
            true => self.requirements.remove(task),
            false => self.requirements.insert(task.clone(), requirement),
        };
    }

    /// Forgets a task.
    pub fn remove(&mut self, task: &TaskName) -> Option<Slot> {
        self.requirements.remove(task);
        let (task, slot) = self.slots.remove_entry(task)?;
        self.changes.0.push((task, false));
        Some(slot)
    }

    /// Forgets all but those of which this is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&TaskName, &Slot) -> bool) {
        let changes = &mut self.changes.0;
        self.slots.retain(|task, slot| {
            let stays = keep(task, slot);
            if !stays {
                changes.push((task.clone(), false));
            }
            stays
        });
        self.requirements.retain(|task, _| self.slots.contains_key(task));
    }

    /// Which tasks came (`true`) and which left, in this order, since this was asked last.
    pub(super) fn take_changes(&mut self) -> Vec<(TaskName, bool)> {
        std::mem::take(&mut self.changes.0)
    }

    /// All of them, by name.
    pub fn iter(&self) -> btree_map::Iter<'_, TaskName, Slot> {
        self.slots.iter()
    }

    /// How far each of them is.
    pub fn values(&self) -> btree_map::Values<'_, TaskName, Slot> {
        self.slots.values()
    }

    /// How far each of them is.
    pub fn values_mut(&mut self) -> btree_map::ValuesMut<'_, TaskName, Slot> {
        self.slots.values_mut()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What a task asks for, as far as that is known.
    #[must_use]
    pub fn requirement(&self, task: &TaskName) -> Arc<Requirement> {
        self.requirements.get(task).cloned().unwrap_or_default()
    }

    /// Whether none of them asks for more than a slot.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.requirements.is_empty()
    }

    /// What all of them take together.
    #[must_use]
    pub fn taken(&self) -> Amount {
        let plain = self.slots.len() - self.requirements.len();
        let mut taken = Amount { slots: u32::try_from(plain).unwrap_or(u32::MAX), ..Amount::default() };
        self.requirements.values().for_each(|requirement| taken.add(&requirement.amount));
        taken
    }
}

impl<'a> IntoIterator for &'a Load {
    type Item = (&'a TaskName, &'a Slot);
    type IntoIter = btree_map::Iter<'a, TaskName, Slot>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::ops::Index<&TaskName> for Load {
    type Output = Slot;

    /// # Panics
    /// It has no such task.
    fn index(&self, task: &TaskName) -> &Slot {
        &self.slots[task]
    }
}
