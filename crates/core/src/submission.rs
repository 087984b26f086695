//! How a client submits so that a lost reply never doubles a task.
//!
//! A submission is one transaction: create its guard, delete the guard of the submission before it, create the tasks. It is repeated,
//! also from a new session, until the answer is "applied" or "the guard exists": both mean submitted.
//!
//! Submissions that wait while others are on their way travel together, behind one guard; each is as whole as if it travelled alone. None
//! waits for company: what can be sent is sent.
//!
//! With a key, the guard stays, and holds the name of the task: whoever meets it reads it, and learns whether that is the same task. A
//! group that is too large for one transaction is submitted in several: see [`GroupStep`].
//!
//! A guard is only deleted when its transaction was answered at once. Where an answer was lost, a copy of the request may still be
//! on its way, and the guard is all that stops it.

mod parcel;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::Time;
use crate::protocol::key::KeyRecord;
use crate::protocol::multi::{BATCH_BYTES_MAX, MULTI_BYTES_MAX};
use crate::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};
use parcel::{Parcel, Part, Submission};

/// A task to submit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Submittal {
    /// Its name, which nobody else has.
    pub task: TaskName,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether it may not run yet: then it lies under `/bellwether/held`.
    pub held: bool,
    /// The dead letter that it is made from, which goes in the same transaction.
    pub letter: Option<TaskName>,
}

impl Submittal {
    /// A task that may run now.
    #[must_use]
    pub fn pending(task: TaskName, payload: Vec<u8>) -> Self {
        Self { task, payload, held: false, letter: None }
    }

    fn path(&self) -> String {
        if self.held { path::held(&self.task) } else { path::task(&self.task) }
    }

    fn parent(&self) -> &'static str {
        if self.held { path::HELD } else { path::TASKS }
    }

    /// About how many bytes it takes in a request.
    fn bytes(&self) -> usize {
        let letter = self.letter.iter().fold(Multi::new(), |multi, letter| multi.delete(path::dead(letter), None));
        Multi::new().create(self.path(), Vec::new()).bytes() + self.payload.len() + letter.bytes()
    }

    fn add_to(&self, multi: Multi) -> Multi {
        let multi = multi.create(self.path(), self.payload.clone());
        self.letter.iter().fold(multi, |multi, letter| multi.delete(path::dead(letter), None))
    }
}

/// What stands for a submission once it is accepted, so that no copy of it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Guard {
    /// A node of this unique name, which goes with the next submission.
    Once(String),
    /// The node of a key, which stays.
    Key(KeyRecord),
}

impl Guard {
    fn path(&self) -> String {
        match self {
            Guard::Once(name) => path::submitted(name),
            Guard::Key(record) => record.node(),
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Guard::Once(_) => Vec::new(),
            Guard::Key(record) => record.encode(),
        }
    }

    fn parent(&self) -> &'static str {
        match self {
            Guard::Once(_) => path::SUBMITTED,
            Guard::Key(_) => path::KEYS,
        }
    }
}

/// What a submission does to the record of the group that its tasks are elements of. The first one creates it, the last one says that it
/// is complete, and those between check that nobody gave it up; as long as it is not complete, no element runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupStep {
    /// The group.
    pub group: TaskName,
    /// What is done.
    pub write: GroupWrite,
}

/// See [`GroupStep`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupWrite {
    /// This record is created.
    Create(Vec<u8>),
    /// The record is as it was created.
    Check,
    /// The record, as it was created, becomes this one.
    Complete(Vec<u8>),
}

impl GroupStep {
    fn add_to(&self, multi: Multi) -> Multi {
        let path = path::group(&self.group);
        match &self.write {
            GroupWrite::Create(record) => multi.create(path, record.clone()),
            GroupWrite::Check => multi.check(path, 0),
            GroupWrite::Complete(record) => multi.set(path, record.clone(), Some(0)),
        }
    }
}

/// What happened, as a client's shell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// Somebody wants these tasks submitted together.
    Submitted {
        /// To be handed back.
        ticket: u64,
        /// What stands for it.
        guard: Guard,
        /// What it does to the record of a group.
        group: Option<GroupStep>,
        /// The tasks.
        tasks: Vec<Submittal>,
    },
    /// Requests can be sent: a session was opened, or goes on.
    Connected,
    /// Requests cannot be sent.
    Disconnected,
    /// A transaction ended.
    WriteEnded {
        /// Which submission.
        ticket: u64,
        /// How.
        outcome: Outcome,
    },
    /// The guard of a key was read, behind a `sync`.
    GuardRead {
        /// Which submission.
        ticket: u64,
        /// What is there.
        found: Option<Vec<u8>>,
    },
    /// What was missing of the layout is there.
    LayoutMended,
    /// It is not, and we cannot create it: this is what becomes of whatever cannot have been submitted.
    LayoutNotMended(Failure),
    /// The timer that was armed went off, and the session is connected or not.
    Rang {
        /// Whether it is.
        connected: bool,
    },
    /// Whoever wanted it waits no longer.
    Withdrawn {
        /// Which submission.
        ticket: u64,
    },
    /// Nothing more will be submitted.
    Closing,
}

/// What the client orders its shell to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Commit; then [`Event::WriteEnded`].
    Write(u64, Multi),
    /// Read this guard behind a `sync`; then [`Event::GuardRead`]. If there is no answer, the outcome of the transaction is unknown.
    ReadGuard(u64, String),
    /// Create what is missing of the layout; then [`Event::LayoutMended`].
    MendLayout,
    /// Delete these guards; nothing depends on how it ends.
    RemoveGuards(Vec<String>),
    /// Ring once, at this monotonic time.
    Arm(Duration),
    /// The tasks are accepted.
    Accepted(u64),
    /// The same task was submitted under this key before, as this one: nothing was created.
    AcceptedBefore(u64, TaskName),
    /// They are not, and never will be.
    Failed(u64, Failure),
    /// They may be: an answer was lost, and for now this stands in the way of finding out. It is tried on.
    Unconfirmed(u64, Failure),
}

/// Why a submission failed. Nothing of it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// A task of that name exists.
    #[error("a task named {0} exists already; choose another name")]
    NameTaken(TaskName),
    /// There is no such dead letter: it was purged, or retried by somebody else.
    #[error("there is no dead letter of {0}: it was purged, or retried by somebody else")]
    NoLetter(TaskName),
    /// Another task was submitted under this key.
    #[error("another task was submitted under the key {key:?}, as {task}; choose another key, or submit the same task")]
    KeyTaken {
        /// The key.
        key: String,
        /// The first task.
        task: TaskName,
    },
    /// What stands in the place of this key is not about it.
    #[error("the guard of the key {0:?} is of another key, or does not decode; choose another key")]
    KeyUnreadable(String),
    /// The record of the group is gone, or changed: it was cancelled while it was being submitted.
    #[error("the group {0} was cancelled while it was being submitted; what was submitted of it is cancelled, too")]
    GroupGivenUp(TaskName),
    /// Of the layout this is missing, and only coordinators and the admin may create it.
    #[error("no coordinator has laid out this cluster yet: {0} is not there")]
    NotLaidOut(String),
    /// The session may not write there.
    #[error("no right to create {0}; check the ACLs and the credentials in [zookeeper]")]
    Denied(String),
    /// All tasks together are too large for one transaction.
    #[error("the submission has {bytes} bytes, one transaction takes {MULTI_BYTES_MAX}; submit fewer tasks at a time")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// It was withdrawn before it was ever sent.
    #[error("it was not sent: zookeeper could not be reached in time")]
    Withdrawn,
    /// ZooKeeper refused for a reason that should not occur.
    #[error("zookeeper refused {path}: {why}")]
    Refused {
        /// At this path.
        path: String,
        /// Why.
        why: Why,
    },
}

/// Most tasks of several submissions in one transaction: beyond that ZooKeeper gets no quicker.
const PARCEL: usize = 128;
/// Most transactions in flight that could have taken more with them: what comes meanwhile travels together with the next.
const LIGHT_IN_FLIGHT: usize = 4;
/// Most bytes in flight, beyond a single transaction.
const BYTES_IN_FLIGHT: usize = 4 * 1024 * 1024;

/// All submissions of one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Submissions {
    window: usize,
    retry_after: Duration,
    connected: bool,
    /// In the order in which they came; none of them was ever sent.
    waiting: VecDeque<Submission>,
    /// What is on its way, or is to be sent again, by the ticket of the first that was in it.
    parcels: BTreeMap<u64, Parcel>,
    /// Guards that are not needed any more.
    retired: Vec<String>,
}

impl Submissions {
    /// A client with at most `window` transactions in flight.
    #[must_use]
    pub fn new(window: usize, retry_after: Duration) -> Self {
        let window = window.max(1);
        Self { window, retry_after, connected: false, waiting: VecDeque::new(), parcels: BTreeMap::new(), retired: Vec::new() }
    }

    /// How many submissions are not answered yet.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.waiting.len() + self.parcels.values().map(|parcel| parcel.members.len()).sum::<usize>()
    }

    /// Takes one event in.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Submitted { ticket, guard, group, tasks } => {
                self.on_submitted(Submission::new(ticket, guard, group, tasks), &mut effects);
            }
            Event::GuardRead { ticket, found } => self.on_guard_read(ticket, found.as_deref(), now, &mut effects),
            Event::Connected => self.connected = true,
            Event::Disconnected => self.connected = false,
            Event::WriteEnded { ticket, outcome } => self.on_write_ended(ticket, &outcome, now, &mut effects),
            Event::LayoutMended => {}
            Event::LayoutNotMended(failure) => self.on_layout_not_mended(&failure, &mut effects),
            Event::Rang { connected } => self.connected = connected,
            Event::Withdrawn { ticket } => self.on_withdrawn(ticket, &mut effects),
            Event::Closing => {
                let retired = std::mem::take(&mut self.retired);
                effects.extend((!retired.is_empty()).then_some(Effect::RemoveGuards(retired)));
            }
        }
        self.send(&mut effects);
        effects
    }

    fn on_submitted(&mut self, submission: Submission, effects: &mut Vec<Effect>) {
        let Submission { ticket, bytes, .. } = submission;
        if bytes > MULTI_BYTES_MAX {
            effects.push(Effect::Failed(ticket, Failure::TooLarge { bytes }));
            return;
        }
        self.waiting.push_back(submission);
    }

    /// What was never sent is forgotten, and certainly not submitted. What was sent may be, and goes on until that is known.
    fn on_withdrawn(&mut self, ticket: u64, effects: &mut Vec<Effect>) {
        if let Some(index) = self.waiting.iter().position(|submission| submission.ticket == ticket) {
            self.waiting.remove(index);
            return effects.push(Effect::Failed(ticket, Failure::Withdrawn));
        }
        let holds = |parcel: &Parcel| parcel.members.iter().any(|member| member.ticket == ticket);
        let unsent = self.parcels.iter().find(|(_, parcel)| !parcel.sent && !parcel.uncertain && holds(parcel)).map(|(id, _)| *id);
        if let Some(id) = unsent {
            self.take_out(id, ticket, Failure::Withdrawn, effects);
        }
    }

    /// What was refused because nothing was there is certainly not submitted, nor what was never sent. What is on its way will be refused,
    /// too. Only of what an answer was lost of nobody knows.
    fn on_layout_not_mended(&mut self, failure: &Failure, effects: &mut Vec<Effect>) {
        let refused: Vec<u64> = self.parcels.iter().filter(|(_, parcel)| !parcel.sent && !parcel.uncertain).map(|(id, _)| *id).collect();
        refused.into_iter().for_each(|id| self.failed(id, failure, effects));
        effects.extend(self.waiting.drain(..).map(|submission| Effect::Failed(submission.ticket, failure.clone())));
        let uncertain = self.parcels.values().filter(|parcel| parcel.uncertain);
        effects.extend(uncertain.flat_map(|parcel| &parcel.members).map(|member| Effect::Unconfirmed(member.ticket, failure.clone())));
    }

    /// First what was sent before, then what has come since.
    fn send(&mut self, effects: &mut Vec<Effect>) {
        if !self.connected {
            return;
        }
        let sent = || self.parcels.values().filter(|parcel| parcel.sent);
        let (mut in_flight, mut light) = (sent().count(), sent().filter(|parcel| parcel.light).count());
        let mut bytes: usize = sent().map(|parcel| parcel.bytes).sum();
        for (id, parcel) in self.parcels.iter_mut().filter(|(_, parcel)| !parcel.sent) {
            if in_flight >= self.window {
                return;
            }
            parcel.send(&mut self.retired);
            (in_flight, light, bytes) = (in_flight + 1, light + usize::from(parcel.light), bytes + parcel.bytes);
            effects.push(Effect::Write(*id, parcel.multi()));
        }
        while in_flight < self.window && (in_flight == 0 || bytes < BYTES_IN_FLIGHT) {
            let Some(mut parcel) = self.pack(light < LIGHT_IN_FLIGHT) else { return };
            parcel.send(&mut self.retired);
            (in_flight, light, bytes) = (in_flight + 1, light + usize::from(parcel.light), bytes + parcel.bytes);
            let id = parcel.members.first().map_or(0, |first| first.ticket);
            effects.push(Effect::Write(id, parcel.multi()));
            self.parcels.insert(id, parcel);
        }
    }

    /// What travels next: as much as waits and fits. `light`: even if more would fit.
    fn pack(&mut self, light: bool) -> Option<Parcel> {
        let first = self.waiting.front()?;
        let (mut count, mut tasks, mut bytes) = (1, first.tasks.len(), first.bytes);
        if first.is_sociable() {
            for next in self.waiting.iter().skip(1) {
                let (more, size) = (next.tasks.len(), next.bytes);
                if !next.is_sociable() || tasks + more > PARCEL || bytes + size > BATCH_BYTES_MAX {
                    break;
                }
                (count, tasks, bytes) = (count + 1, tasks + more, bytes + size);
            }
        }
        let all_fit = count == self.waiting.len();
        if first.is_sociable() && all_fit && tasks < PARCEL && !light {
            return None;
        }
        Some(Parcel::of(self.waiting.drain(..count).collect()))
    }

    fn on_write_ended(&mut self, id: u64, outcome: &Outcome, now: Time, effects: &mut Vec<Effect>) {
        let Some(parcel) = self.parcels.get_mut(&id) else { return };
        match outcome {
            Outcome::Applied(_) => self.accepted(id, effects),
            Outcome::Refused(Refusal::At { index, why }) => self.refused(id, *index, *why, now, effects),
            Outcome::Refused(Refusal::Whole(Why::NotSent)) => self.again(id, now, effects),
            // Refused for what it is: one by one, until the guilty one is alone. A copy that may still be on its way forbids that.
            Outcome::Refused(Refusal::Whole(_)) if parcel.members.len() > 1 && !parcel.uncertain => self.unpack(id),
            Outcome::Refused(Refusal::Whole(why) | Refusal::Fence(why)) => {
                let failure = Failure::Refused { path: path::TASKS.to_owned(), why: *why };
                self.failed(id, &failure, effects);
            }
            Outcome::Unknown => {
                parcel.uncertain = true;
                self.again(id, now, effects);
            }
        }
    }

    fn accepted(&mut self, id: u64, effects: &mut Vec<Effect>) {
        let Some(parcel) = self.parcels.remove(&id) else { return };
        if let Guard::Once(name) = parcel.guard
            && !parcel.uncertain
        {
            self.retired.push(name);
        }
        effects.extend(parcel.members.iter().map(|member| Effect::Accepted(member.ticket)));
    }

    fn again(&mut self, id: u64, now: Time, effects: &mut Vec<Effect>) {
        if let Some(parcel) = self.parcels.get_mut(&id) {
            parcel.sent = false;
        }
        // Not at once: a disconnect that we have not heard of would answer the same.
        self.connected = false;
        effects.push(Effect::Arm(now.mono + self.retry_after));
    }

    fn unpack(&mut self, id: u64) {
        let Some(parcel) = self.parcels.remove(&id) else { return };
        self.retired.extend(parcel.retired);
        for member in parcel.members.into_iter().rev() {
            self.waiting.push_front(Submission { alone: true, ..member });
        }
    }

    fn refused(&mut self, id: u64, operation: usize, why: Why, now: Time, effects: &mut Vec<Effect>) {
        let Some(parcel) = self.parcels.get_mut(&id) else { return };
        match (parcel.part_at(operation), why) {
            (Part::Guard, Why::NodeExists) => match &parcel.guard {
                Guard::Once(_) => self.accepted(id, effects),
                Guard::Key(record) => effects.push(Effect::ReadGuard(id, record.node())),
            },
            (Part::Retired(index), Why::NoNode) => {
                // Somebody else removed that guard: all the better.
                parcel.retired.remove(index);
                parcel.sent = false;
            }
            (Part::Guard | Part::Retired(_), why) if why != Why::NoNode => {
                let failure = parcel.failure(operation, why);
                self.failed(id, &failure, effects);
            }
            (Part::Member(member), why) if why != Why::NoNode || parcel.is_missed_for_good(member, operation) => {
                let (ticket, failure) = (parcel.members[member].ticket, parcel.failure(operation, why));
                self.take_out(id, ticket, failure, effects);
            }
            (Part::Guard | Part::Retired(_) | Part::Member(_), _) => {
                effects.push(Effect::MendLayout);
                self.again(id, now, effects);
            }
        }
    }

    /// Somebody submitted under this key before, or we did and never heard of it.
    fn on_guard_read(&mut self, id: u64, found: Option<&[u8]>, now: Time, effects: &mut Vec<Effect>) {
        let Some(parcel) = self.parcels.get(&id) else { return };
        let Guard::Key(ours) = parcel.guard.clone() else { return };
        // It went meanwhile: its time was over.
        let Some(found) = found else { return self.again(id, now, effects) };
        match KeyRecord::decode(found).filter(|theirs| theirs.key == ours.key) {
            None => self.failed(id, &Failure::KeyUnreadable(ours.key), effects),
            Some(theirs) if theirs.task == ours.task => self.accepted(id, effects),
            Some(theirs) if theirs.digest == ours.digest => {
                let Some(parcel) = self.parcels.remove(&id) else { return };
                self.retired.extend(parcel.retired);
                effects.push(Effect::AcceptedBefore(id, theirs.task));
            }
            Some(theirs) => self.failed(id, &Failure::KeyTaken { key: ours.key, task: theirs.task }, effects),
        }
    }

    /// Nothing of it was applied, so the guards that it should have removed are still to be removed.
    fn failed(&mut self, id: u64, failure: &Failure, effects: &mut Vec<Effect>) {
        let Some(parcel) = self.parcels.remove(&id) else { return };
        self.retired.extend(parcel.retired);
        effects.extend(parcel.members.iter().map(|member| Effect::Failed(member.ticket, failure.clone())));
    }

    /// One of them fails, the others are sent again: behind the same guard, so that they exclude a copy that may still be on its way.
    fn take_out(&mut self, id: u64, ticket: u64, failure: Failure, effects: &mut Vec<Effect>) {
        let Some(parcel) = self.parcels.get_mut(&id) else { return };
        parcel.members.retain(|member| member.ticket != ticket);
        parcel.sent = false;
        if parcel.members.is_empty() {
            self.retired.append(&mut parcel.retired);
            self.parcels.remove(&id);
        }
        effects.push(Effect::Failed(ticket, failure));
    }
}

#[cfg(test)]
mod tests;
