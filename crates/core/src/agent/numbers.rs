//! Where a worker keeps the numbers of its questions and transactions.

use super::Agent;
use crate::numbering::{Numbered, Rename};

impl Agent {
    /// Renames every number that it holds: see [`crate::numbering`].
    pub fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Question, &mut self.asked);
        rename(Numbered::Question, &mut self.resynced);
        self.box_question.iter_mut().for_each(|question| rename(Numbered::Question, question));
        for run in self.runs.values_mut() {
            rename(Numbered::Question, &mut run.seen);
            if let super::Stage::Unpacked(question) = &mut run.stage {
                rename(Numbered::Question, question);
            }
            run.confirming.iter_mut().for_each(|question| rename(Numbered::Question, question));
        }
        self.unsettled.values_mut().for_each(|unsettled| unsettled.renumber(rename));
        self.unexplained.values_mut().for_each(|unexplained| unexplained.renumber(rename));
        self.outbox.renumber(rename);
        self.requests.renumber(rename);
        self.proof.renumber(rename);
    }
}
