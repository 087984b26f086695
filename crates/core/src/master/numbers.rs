//! Where a master keeps the numbers of its questions and transactions.

use super::Master;
use super::cancels::Cancel;
use crate::numbering::{Numbered, Rename};
use crate::view::{Boxed, Question, Registration, Slot, Waiting};

impl Master {
    /// Renames every number that it holds: see [`crate::numbering`].
    pub fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Question, &mut self.asked);
        rename(Numbered::Question, &mut self.floor);
        self.survey.renumber(rename);
        self.sweep.renumber(rename);
        self.vanished.renumber(rename);
        self.parents.renumber(rename);
        self.groups.renumber(rename);
        self.arrays.renumber(rename);
        let waiting = self.view.tasks.values_mut().chain(self.view.held.values_mut());
        waiting.filter_map(asked_of_task).for_each(|question| rename(Numbered::Question, question));
        for worker in self.view.workers.values_mut() {
            asked_of_registration(&mut worker.registration).into_iter().for_each(|question| rename(Numbered::Question, question));
            asked_of_box(&mut worker.boxed).into_iter().for_each(|question| rename(Numbered::Question, question));
            worker.load.values_mut().filter_map(asked_of_slot).for_each(|question| rename(Numbered::Question, question));
        }
        for cancel in self.cancels.values_mut() {
            match cancel {
                Cancel::Asked(question) => rename(Numbered::Question, question),
                Cancel::Wanted { .. } | Cancel::Removing => {}
            }
        }
        rename(Numbered::Write, &mut self.last_write);
        let writes = std::mem::take(&mut self.writes);
        self.writes = writes
            .into_iter()
            .map(|(mut id, batch)| {
                rename(Numbered::Write, &mut id);
                (id, batch)
            })
            .collect();
    }
}

fn asked_of_task(waiting: &mut Waiting) -> Option<&mut Question> {
    match waiting {
        Waiting::Asked(question) => Some(question),
        Waiting::Unread | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Moving { .. } | Waiting::Stuck => None,
    }
}

fn asked_of_registration(registration: &mut Registration) -> Option<&mut Question> {
    match registration {
        Registration::Unread(question) | Registration::Unusable(question) => question.as_mut(),
        Registration::Known(_) | Registration::Gone => None,
    }
}

fn asked_of_box(boxed: &mut Boxed) -> Option<&mut Question> {
    match boxed {
        Boxed::Asked { question, .. } => Some(question),
        Boxed::Listed | Boxed::Missing => None,
    }
}

fn asked_of_slot(slot: &mut Slot) -> Option<&mut Question> {
    match slot {
        Slot::Asked(question) => Some(question),
        Slot::Placing { .. } | Slot::Placed { .. } | Slot::Leaving | Slot::Stuck => None,
    }
}
