//! Results and what is given back: one transaction at a time, with all that is waiting in it.
//!
//! In front of each stands the check that this incarnation is registered. The index of a refused operation decides what happens:
//! at the check, everything stops; elsewhere, that one entry is mended or dropped and the others are sent again.

mod entry;

use std::collections::{BTreeMap, BTreeSet};

use super::company::Company;
use super::{Agent, Effect, Fact, Stage};
use crate::Time;
use crate::lifecycle::Retry;
use crate::numbering::{Numbered, Rename};
use crate::protocol::array::PieceRecord;
use crate::protocol::multi::BATCH_BYTES_MAX;
use crate::protocol::result::{Recorded, TaskResult};
use crate::protocol::{Multi, Op, Outcome, Refusal, TaskName, Why, path};

/// How long what was refused for rights or children is left alone.
const LOOK_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(10);
/// Most entries in one transaction.
const BATCH: usize = 128;

/// What is to be written about one assignment, or about the worker itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    /// The version of the assignment that was run; `None`: it could not be read.
    version: Option<i32>,
    what: What,
    /// Whether the assignment is known to be the one that this is about. Not after an outage, until it was read again.
    confirmed: bool,
    /// Whether it waits for the layout, or for somebody who mends what it was refused for.
    blocked: bool,
    /// Whether it was refused for rights or children, which was told once.
    stuck: bool,
    /// Whether a transaction about it was sent whose answer was lost.
    sent: bool,
}

/// What will not be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Dropped {
    pub(super) what: Settled,
    /// Whether a transaction about it was sent whose answer was lost: it may have been applied.
    pub(super) sent: bool,
}

/// How an attempt is settled: what is told when it is known that it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Settled {
    /// By a result.
    Result { result: Box<TaskResult>, recorded: Recorded },
    /// By another attempt.
    Retry(Retry),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    Result {
        result: Box<TaskResult>,
        recorded: Recorded,
        letter: Option<Vec<u8>>,
    },
    /// It failed and is tried again.
    Retry(Retry),
    GiveBack {
        payload: Vec<u8>,
    },
    /// What became of a piece.
    Piece {
        path: String,
        record: Box<PieceRecord>,
    },
    /// There is no array that it could be a piece of: it goes, and leaves nothing.
    Discard,
    /// Its status exists, or it is pending, too: only the assignment goes.
    DeleteOnly {
        /// The other place, which must still be there.
        other: String,
        /// What was to be written.
        instead_of: Box<What>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Check,
    Description,
    Answer,
    Assignment,
    Status,
    Details,
    Letter,
    NewTask,
    Held,
    Record,
    /// The other place of a task that is in two.
    Other,
}

/// What waits to be written, and what is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Outbox {
    entries: BTreeMap<TaskName, Entry>,
    /// What this worker says of itself since it registered, until it is written.
    description: Option<(String, Vec<u8>)>,
    /// The master's request that is answered, until its end is written.
    answer: Option<String>,
    flight: Option<Flight>,
    last_write: u64,
    /// Whether the last transaction was refused as a whole: then the next one holds a single entry.
    one_by_one: bool,
    /// Until when what is ready waits for others.
    pub(super) company: Company,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Flight {
    id: u64,
    tasks: BTreeSet<TaskName>,
    describes: bool,
    answers: bool,
    /// For each operation: whose it is, and what it is about.
    parts: Vec<(Option<TaskName>, Part)>,
}

impl What {
    /// Whether nothing of it was run.
    fn gives_back(&self) -> bool {
        match self {
            What::GiveBack { .. } => true,
            What::Piece { record, .. } => record.done() == 0,
            What::Result { .. } | What::Retry(_) | What::Discard | What::DeleteOnly { .. } => false,
        }
    }
}

impl Outbox {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        rename(Numbered::Write, &mut self.last_write);
        self.flight.iter_mut().for_each(|flight| rename(Numbered::Write, &mut flight.id));
    }

    /// Whether nothing is left to be written, but what is stuck.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.values().all(|entry| entry.stuck) && self.flight.is_none() && self.description.is_none()
    }

    /// Whether nothing is to be written but results, and fewer than this.
    pub(super) fn has_few_results_alone(&self, few: usize) -> bool {
        let result = |entry: &Entry| matches!(entry.what, What::Result { .. } | What::Retry(_));
        let nothing_else = self.description.is_none() && self.answer.is_none() && !self.one_by_one;
        nothing_else && self.entries.len() < few && self.entries.values().all(result)
    }

    /// Whether something is to be written about a task.
    pub(super) fn holds(&self, task: &TaskName) -> bool {
        self.entries.contains_key(task)
    }

    /// Everything that something is to be written about.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &TaskName> {
        self.entries.keys()
    }

    /// Everything that has a result of which it is certain that it was not written.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = &TaskName> {
        let results = self.entries.iter().filter(|(_, entry)| matches!(entry.what, What::Result { .. }) && !entry.sent);
        results.map(|(task, _)| task).filter(|task| !self.in_flight(task))
    }

    pub(super) fn in_flight(&self, task: &TaskName) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.tasks.contains(task))
    }

    pub(super) fn record(&mut self, task: &TaskName, version: i32, result: Box<TaskResult>, recorded: Recorded, letter: Option<Vec<u8>>) {
        self.insert(task, Some(version), What::Result { result, recorded, letter });
    }

    pub(super) fn try_again(&mut self, task: &TaskName, version: i32, retry: Retry) {
        self.insert(task, Some(version), What::Retry(retry));
    }

    pub(super) fn reject_unread(&mut self, task: &TaskName, result: TaskResult, recorded: Recorded) {
        self.insert(task, None, What::Result { result: Box::new(result), recorded, letter: None });
    }

    pub(super) fn give_back(&mut self, task: &TaskName, version: i32, payload: Vec<u8>) {
        self.insert(task, Some(version), What::GiveBack { payload });
    }

    pub(super) fn record_piece(&mut self, task: &TaskName, version: i32, path: String, record: PieceRecord) {
        self.insert(task, Some(version), What::Piece { path, record: Box::new(record) });
    }

    pub(super) fn discard(&mut self, task: &TaskName, version: i32) {
        self.insert(task, Some(version), What::Discard);
    }

    fn insert(&mut self, task: &TaskName, version: Option<i32>, what: What) {
        self.entries.insert(task.clone(), Entry { version, what, confirmed: true, blocked: false, stuck: false, sent: false });
    }

    /// What this worker says of itself changed.
    pub(super) fn describe(&mut self, path: String, record: Vec<u8>) {
        self.description = Some((path, record));
    }

    /// What was asked at this path is done with what is given back by now.
    pub(super) fn answer(&mut self, path: String) {
        self.answer = Some(path);
    }

    /// What was asked is asked no more.
    pub(super) fn answered(&mut self) {
        self.answer = None;
    }

    /// Everything that is about to be given back.
    pub(super) fn given_back(&self) -> impl Iterator<Item = &TaskName> {
        self.entries.iter().filter(|(_, entry)| entry.what.gives_back()).map(|(task, _)| task)
    }

    /// Nothing is sent before its assignment was read again; what is in flight may end either way.
    pub(super) fn hold(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.unanswered(&flight);
        }
        // It is read again what is asked.
        self.answer = None;
        for entry in self.entries.values_mut() {
            entry.confirmed = false;
            // Whoever was mending the layout may have been interrupted: the next refusal asks for it again.
            entry.blocked = false;
        }
    }

    fn unanswered(&mut self, flight: &Flight) {
        for task in &flight.tasks {
            if let Some(entry) = self.entries.get_mut(task) {
                entry.sent = true;
            }
        }
    }

    /// Not to be sent before its assignment was read again.
    pub(super) fn doubt(&mut self, task: &TaskName) {
        if let Some(entry) = self.entries.get_mut(task) {
            entry.confirmed = false;
        }
    }

    pub(super) fn confirm(&mut self, task: &TaskName) {
        if let Some(entry) = self.entries.get_mut(task) {
            entry.confirmed = true;
        }
    }

    pub(super) fn unblock(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.blocked = false);
    }

    /// Forgets what was to be written about a task; hands out what would have settled it.
    pub(super) fn drop_task(&mut self, task: &TaskName) -> Option<Dropped> {
        let Entry { what, sent, .. } = self.entries.remove(task)?;
        match what {
            What::Result { result, recorded, .. } => Some(Dropped { what: Settled::Result { result, recorded }, sent }),
            What::Retry(retry) => Some(Dropped { what: Settled::Retry(retry), sent }),
            What::GiveBack { .. } | What::Piece { .. } | What::Discard | What::DeleteOnly { .. } => None,
        }
    }
}

impl Agent {
    pub(super) fn report(&mut self, now: Time) {
        let Some(me) = self.me().cloned().filter(|_| self.is_registered()) else { return };
        let ready = self.outbox.description.is_some()
            || self.outbox.answer.is_some()
            || self.outbox.entries.values().any(|entry| entry.confirmed && !entry.blocked);
        if self.outbox.flight.is_some() || !ready || self.waits_for_company(now) {
            return;
        }
        let check = Op::Check { path: path::worker(&me), version: None };
        let mut ops = vec![check];
        let mut parts = vec![(None, Part::Check)];
        if let Some((path, data)) = &self.outbox.description {
            ops.push(Op::Set { path: path.clone(), data: data.clone(), version: None });
            parts.push((None, Part::Description));
        }
        if let Some(path) = &self.outbox.answer {
            ops.push(Op::Delete { path: path.clone(), version: None });
            parts.push((None, Part::Answer));
        }
        let most = if self.outbox.one_by_one { 1 } else { BATCH };
        let mut tasks = BTreeSet::new();
        let mut bytes = 0;
        for (task, entry) in self.outbox.entries.iter().filter(|(_, entry)| entry.confirmed && !entry.blocked) {
            let more = entry.operations(&me, task);
            let size: usize = more.iter().map(|(_, op)| op.bytes()).sum();
            if tasks.len() >= most || (!tasks.is_empty() && bytes + size > BATCH_BYTES_MAX) {
                break;
            }
            bytes += size;
            tasks.insert(task.clone());
            for (part, op) in more {
                parts.push((Some(task.clone()), part));
                ops.push(op);
            }
        }
        self.outbox.last_write += 1;
        let id = self.outbox.last_write;
        self.outbox.flight =
            Some(Flight { id, tasks, describes: self.outbox.description.is_some(), answers: self.outbox.answer.is_some(), parts });
        self.effects.push(Effect::Write(id, Multi { ops }));
        self.expect_company(now);
    }

    pub(super) fn on_write_ended(&mut self, id: u64, outcome: &Outcome, now: Time) {
        // One that was held since is answered by what is read.
        let Some(flight) = self.outbox.flight.take_if(|flight| flight.id == id) else { return };
        match outcome {
            Outcome::Applied(_) => self.written(flight),
            Outcome::Refused(Refusal::At { index, why }) => match flight.parts.get(*index).cloned() {
                Some((None, Part::Check)) => self.on_unregistered(),
                Some((None, Part::Answer)) => self.outbox.answer = None,
                Some((None, Part::Description)) | None => self.outbox.description = None,
                Some((Some(task), part)) => self.refused(&task, part, *why, now),
                Some((None, _)) => {}
            },
            // Refused for what it is: one by one, until the guilty one is alone.
            Outcome::Refused(Refusal::Whole(why)) if *why != Why::NotSent => {
                self.outbox.one_by_one = flight.tasks.len() > 1;
                if !self.outbox.one_by_one {
                    flight.tasks.iter().for_each(|task| self.refused(task, Part::Check, *why, now));
                    self.outbox.description.take_if(|_| flight.describes && flight.tasks.is_empty());
                    self.outbox.answer.take_if(|_| flight.answers && flight.tasks.is_empty());
                }
            }
            Outcome::Refused(Refusal::Fence(_) | Refusal::Whole(_)) | Outcome::Unknown => {
                if *outcome == Outcome::Unknown {
                    self.outbox.unanswered(&flight);
                }
                self.outbox.hold();
                self.effects.push(Effect::Arm(super::Timer::Retry, now.mono + self.settings.retry_after));
            }
        }
    }

    fn written(&mut self, flight: Flight) {
        self.outbox.one_by_one = false;
        for task in flight.tasks {
            let entry = self.outbox.entries.remove(&task);
            self.close(&task);
            match entry.map(|entry| entry.what) {
                Some(What::Result { result, .. }) => self.tell(Fact::Recorded(result)),
                Some(What::Retry(retry)) => self.tell_retry(task, retry),
                Some(What::GiveBack { .. }) => self.tell(Fact::GaveBack(task)),
                Some(What::Piece { record, .. }) => self.tell(Fact::PieceRecorded(task, record)),
                Some(What::Discard) => self.tell(Fact::Stale(task)),
                Some(What::DeleteOnly { .. }) | None => {}
            }
        }
        if flight.answers {
            self.outbox.answer = None;
        }
        if flight.describes {
            self.outbox.description = None;
            // From here on nothing new is assigned to us; what came just before is given back.
            self.resync();
        }
    }

    /// Nothing more is done about an assignment, unless an event since said that there is another one of the same name.
    fn close(&mut self, task: &TaskName) {
        if self.runs.remove(task).is_some_and(|run| run.confirming.is_some()) {
            self.look_at(task.clone());
        }
    }

    fn refused(&mut self, task: &TaskName, part: Part, why: Why, now: Time) {
        let Some(entry) = self.outbox.entries.get_mut(task) else { return };
        match (part, why) {
            (Part::Assignment, Why::NoNode) => {
                let dropped = self.outbox.drop_task(task);
                self.close(task);
                match dropped {
                    Some(dropped) => self.settle(task, dropped),
                    None => self.tell(Fact::Stale(task.clone())),
                }
            }
            // What was run is not what is assigned now: that is read, and run.
            (Part::Assignment, Why::BadVersion) => {
                self.outbox.entries.remove(task);
                self.runs.remove(task);
                self.tell(Fact::Stale(task.clone()));
                self.look_at(task.clone());
            }
            (Part::Other, Why::NoNode) => entry.restore(),
            (Part::Status | Part::NewTask | Part::Held, Why::NodeExists) => entry.delete_only(task),
            // The array is gone, and nobody waits for what became of its elements.
            (Part::Record, Why::NoNode) => entry.what = What::Discard,
            (Part::Record, Why::NodeExists) => entry.delete_only(task),
            (Part::Details, Why::NodeExists) => entry.without_details(),
            // The letter of an earlier life; or all together is too large, and the result counts for more.
            (Part::Letter, Why::NodeExists) | (Part::Check, Why::TooLarge) if entry.has_letter() => entry.without_letter(),
            (Part::Status | Part::NewTask | Part::Held | Part::Details | Part::Letter, Why::NoNode) => {
                entry.blocked = true;
                self.effects.push(Effect::MendLayout);
            }
            (
                Part::Assignment | Part::Status | Part::Details | Part::Letter | Part::NewTask | Part::Held | Part::Record | Part::Other,
                _,
            ) => self.stick(task, part, why, now),
            (Part::Check | Part::Description | Part::Answer, _) => {
                // Left where it is: told once, tried no more.
                let path = entry.destination(task);
                self.outbox.entries.remove(task);
                if let Some(run) = self.runs.get_mut(task) {
                    run.stage = Stage::Abandoned;
                }
                self.tell(Fact::Surprised { path, why });
            }
        }
    }
}

impl Agent {
    /// Rights, children, or something that should not occur: told once, and tried again slowly, for somebody may mend it.
    fn stick(&mut self, task: &TaskName, part: Part, why: Why, now: Time) {
        let Some(me) = self.me().cloned() else { return };
        let Some(entry) = self.outbox.entries.get_mut(task) else { return };
        let refused = entry.operations(&me, task).into_iter().find(|(other, _)| *other == part);
        let path = refused.map(|(_, op)| op.path().to_owned()).unwrap_or_default();
        entry.blocked = true;
        let told = std::mem::replace(&mut entry.stuck, true);
        if !told {
            self.tell(Fact::Surprised { path, why });
        }
        self.effects.push(Effect::Arm(super::Timer::LookAgain, now.mono + LOOK_AGAIN_AFTER));
    }
}
