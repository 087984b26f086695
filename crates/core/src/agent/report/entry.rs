//! What is written about one assignment, and how that changes when it is refused.

use super::{Entry, Part, What};
use crate::protocol::{Op, TaskName, WorkerId, path};

impl Entry {
    pub(super) fn operations(&self, me: &WorkerId, task: &TaskName) -> Vec<(Part, Op)> {
        let create = |path: String, data: &[u8]| Op::Create { path, data: data.to_vec(), ephemeral: false };
        let mut parts = vec![(Part::Assignment, Op::Delete { path: path::assignment(me, task), version: self.version })];
        match &self.what {
            What::Result { recorded, letter, .. } => {
                parts.push((Part::Status, create(path::status(task), &recorded.status)));
                parts.extend(recorded.details.as_ref().map(|details| (Part::Details, create(path::plain_result(task), details))));
                parts.extend(letter.as_ref().map(|letter| (Part::Letter, create(path::dead(task), letter))));
            }
            What::Retry(retry) => parts.push((Part::Held, create(path::held(task), &retry.payload))),
            What::GiveBack { payload } => parts.push((Part::NewTask, create(path::task(task), payload))),
            What::Piece { path, record } => parts.push((Part::Record, create(path.clone(), &record.encode()))),
            What::Discard => {}
            What::DeleteOnly { other, .. } => parts.insert(0, (Part::Other, Op::Check { path: other.clone(), version: None })),
        }
        parts
    }

    /// Where the task is when this is written.
    pub(super) fn destination(&self, task: &TaskName) -> String {
        match &self.what {
            What::Result { .. } => path::status(task),
            What::Retry(_) => path::held(task),
            What::GiveBack { .. } => path::task(task),
            What::Piece { path, .. } => path.clone(),
            What::Discard => String::new(),
            What::DeleteOnly { other, .. } => other.clone(),
        }
    }

    pub(super) fn delete_only(&mut self, task: &TaskName) {
        if matches!(self.what, What::DeleteOnly { .. }) {
            return;
        }
        let other = self.destination(task);
        let placeholder = What::GiveBack { payload: Vec::new() };
        let instead_of = Box::new(std::mem::replace(&mut self.what, placeholder));
        self.what = What::DeleteOnly { other, instead_of };
    }

    /// The other place is gone: this one counts again.
    pub(super) fn restore(&mut self) {
        let placeholder = What::GiveBack { payload: Vec::new() };
        self.what = match std::mem::replace(&mut self.what, placeholder) {
            What::DeleteOnly { instead_of, .. } => *instead_of,
            what @ (What::Result { .. } | What::Retry(_) | What::GiveBack { .. } | What::Piece { .. } | What::Discard) => what,
        };
    }

    pub(super) fn without_details(&mut self) {
        match &mut self.what {
            What::Result { recorded, .. } => recorded.details = None,
            What::Retry(_) | What::GiveBack { .. } | What::Piece { .. } | What::Discard | What::DeleteOnly { .. } => {}
        }
    }

    pub(super) fn has_letter(&self) -> bool {
        matches!(&self.what, What::Result { letter: Some(_), .. })
    }

    pub(super) fn without_letter(&mut self) {
        match &mut self.what {
            What::Result { letter, .. } => *letter = None,
            What::Retry(_) | What::GiveBack { .. } | What::Piece { .. } | What::Discard | What::DeleteOnly { .. } => {}
        }
    }
}
