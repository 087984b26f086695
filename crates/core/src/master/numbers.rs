//! Where a master keeps the numbers of its questions and transactions.

use super::Master;
use super::cancels::Cancel;
use crate::numbering::{Numbered, Rename};
use crate::view::{Boxed, Registration, Slot, Waiting};

impl Master {
    /// Renames every number that it holds: see [`crate::numbering`].
    pub fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Question, &mut self.asked);
        rename(Numbered::Question, &mut self.floor);
        self.survey.renumber(rename);
        for waiting in self.view.tasks.values_mut() {
            if let Waiting::Unread(Some(question)) = waiting {
                rename(Numbered::Question, question);
            }
        }
        for worker in self.view.workers.values_mut() {
            if let Registration::Unread(Some(question)) = &mut worker.registration {
                rename(Numbered::Question, question);
            }
            if let Boxed::Asked { question, .. } = &mut worker.boxed {
                rename(Numbered::Question, question);
            }
            for slot in worker.load.values_mut() {
                if let Slot::Asked(question) = slot {
                    rename(Numbered::Question, question);
                }
            }
        }
        for cancel in self.cancels.values_mut() {
            if let Cancel::Asked(question) = cancel {
                rename(Numbered::Question, question);
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
