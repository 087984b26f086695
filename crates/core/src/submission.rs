//! How a client submits so that a lost reply never doubles a task.
//!
//! A submission is one transaction: create its guard, delete the guard of the submission before it, create the tasks. It is repeated,
//! also from a new session, until the answer is "applied" or "the guard exists": both mean submitted.
//!
//! With a key, the guard stays, and holds the name of the task: whoever meets it reads it, and learns whether that is the same task. A
//! group that is too large for one transaction is submitted in several: see [`GroupStep`].
//!
//! A guard is only deleted when its transaction was answered at once. Where an answer was lost, a copy of the request may still be
//! on its way, and the guard is all that stops it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Time;
use crate::protocol::key::KeyRecord;
use crate::protocol::multi::MULTI_BYTES_MAX;
use crate::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};

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

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Submission {
    ticket: u64,
    guard: Guard,
    group: Option<GroupStep>,
    tasks: Vec<Submittal>,
    /// The guards that this one's transaction removes.
    retired: Vec<String>,
    sent: bool,
    /// Whether an answer was ever lost: then the guard stays.
    uncertain: bool,
}

/// All submissions of one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Submissions {
    window: usize,
    retry_after: Duration,
    connected: bool,
    waiting: VecDeque<Submission>,
    /// Guards that are not needed any more.
    retired: Vec<String>,
}

impl Submissions {
    /// A client with at most `window` transactions in flight.
    #[must_use]
    pub fn new(window: usize, retry_after: Duration) -> Self {
        Self { window: window.max(1), retry_after, connected: false, waiting: VecDeque::new(), retired: Vec::new() }
    }

    /// How many submissions are not answered yet.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.waiting.len()
    }

    /// Takes one event in.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Submitted { ticket, guard, group, tasks } => {
                let submission = Submission { ticket, guard, group, tasks, retired: Vec::new(), sent: false, uncertain: false };
                self.on_submitted(submission, &mut effects);
            }
            Event::GuardRead { ticket, found } => self.on_guard_read(ticket, found.as_deref(), now, &mut effects),
            Event::Connected => self.connected = true,
            Event::Disconnected => self.connected = false,
            Event::WriteEnded { ticket, outcome } => self.on_write_ended(ticket, &outcome, now, &mut effects),
            Event::LayoutMended => {}
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
        let bytes = submission.multi().bytes();
        if bytes > MULTI_BYTES_MAX {
            effects.push(Effect::Failed(submission.ticket, Failure::TooLarge { bytes }));
            return;
        }
        self.waiting.push_back(submission);
    }

    /// What was never sent is forgotten, and certainly not submitted. What was sent may be, and goes on until that is known.
    fn on_withdrawn(&mut self, ticket: u64, effects: &mut Vec<Effect>) {
        let unsent = |submission: &Submission| submission.ticket == ticket && !submission.sent && !submission.uncertain;
        if let Some(index) = self.waiting.iter().position(unsent) {
            self.failed(index, Failure::Withdrawn, effects);
        }
    }

    fn send(&mut self, effects: &mut Vec<Effect>) {
        if !self.connected {
            return;
        }
        let in_flight = self.waiting.iter().filter(|submission| submission.sent).count();
        let room = self.window.saturating_sub(in_flight);
        for submission in self.waiting.iter_mut().filter(|submission| !submission.sent).take(room) {
            submission.sent = true;
            submission.retired.append(&mut self.retired);
            effects.push(Effect::Write(submission.ticket, submission.multi()));
        }
    }

    fn on_write_ended(&mut self, ticket: u64, outcome: &Outcome, now: Time, effects: &mut Vec<Effect>) {
        let Some(index) = self.waiting.iter().position(|submission| submission.ticket == ticket) else { return };
        let submission = &mut self.waiting[index];
        match outcome {
            Outcome::Applied(_) => self.accepted(index, effects),
            Outcome::Refused(Refusal::At { index: operation, why }) => self.refused(index, *operation, *why, now, effects),
            Outcome::Refused(Refusal::Whole(Why::NotSent)) => self.again(index, now, effects),
            Outcome::Refused(Refusal::Whole(why) | Refusal::Fence(why)) => {
                let failure = Failure::Refused { path: path::TASKS.to_owned(), why: *why };
                self.failed(index, failure, effects);
            }
            Outcome::Unknown => {
                submission.uncertain = true;
                self.again(index, now, effects);
            }
        }
    }

    fn accepted(&mut self, index: usize, effects: &mut Vec<Effect>) {
        let Some(submission) = self.waiting.remove(index) else { return };
        if let Guard::Once(name) = submission.guard
            && !submission.uncertain
        {
            self.retired.push(name);
        }
        effects.push(Effect::Accepted(submission.ticket));
    }

    fn again(&mut self, index: usize, now: Time, effects: &mut Vec<Effect>) {
        self.waiting[index].sent = false;
        // Not at once: a disconnect that we have not heard of would answer the same.
        self.connected = false;
        effects.push(Effect::Arm(now.mono + self.retry_after));
    }

    fn refused(&mut self, index: usize, operation: usize, why: Why, now: Time, effects: &mut Vec<Effect>) {
        let submission = &mut self.waiting[index];
        let retired = submission.retired.len();
        match (operation, why) {
            (0, Why::NodeExists) => match &submission.guard {
                Guard::Once(_) => self.accepted(index, effects),
                Guard::Key(record) => effects.push(Effect::ReadGuard(submission.ticket, record.node())),
            },
            (_, Why::NoNode) if (1..=retired).contains(&operation) => {
                // Somebody else removed that guard: all the better.
                submission.retired.remove(operation - 1);
                submission.sent = false;
            }
            (_, Why::NoNode | Why::BadVersion) if submission.is_about_group(operation) && submission.group_is_there() => {
                let failure = submission.failure(operation, why);
                self.failed(index, failure, effects);
            }
            (_, Why::NoNode) if submission.letter_at(operation).is_some() => {
                let failure = submission.failure(operation, why);
                self.failed(index, failure, effects);
            }
            (_, Why::NoNode) => {
                submission.sent = false;
                effects.push(Effect::MendLayout);
                self.again(index, now, effects);
            }
            (_, why) => {
                let failure = submission.failure(operation, why);
                self.failed(index, failure, effects);
            }
        }
    }

    /// Somebody submitted under this key before, or we did and never heard of it.
    fn on_guard_read(&mut self, ticket: u64, found: Option<&[u8]>, now: Time, effects: &mut Vec<Effect>) {
        let Some(index) = self.waiting.iter().position(|submission| submission.ticket == ticket) else { return };
        let Guard::Key(ours) = self.waiting[index].guard.clone() else { return };
        // It went meanwhile: its time was over.
        let Some(found) = found else { return self.again(index, now, effects) };
        match KeyRecord::decode(found).filter(|theirs| theirs.key == ours.key) {
            None => self.failed(index, Failure::KeyUnreadable(ours.key), effects),
            Some(theirs) if theirs.task == ours.task => self.accepted(index, effects),
            Some(theirs) if theirs.digest == ours.digest => {
                let Some(submission) = self.waiting.remove(index) else { return };
                self.retired.extend(submission.retired);
                effects.push(Effect::AcceptedBefore(ticket, theirs.task));
            }
            Some(theirs) => self.failed(index, Failure::KeyTaken { key: ours.key, task: theirs.task }, effects),
        }
    }

    /// Nothing of it was applied, so the guards that it should have removed are still to be removed.
    fn failed(&mut self, index: usize, failure: Failure, effects: &mut Vec<Effect>) {
        let Some(submission) = self.waiting.remove(index) else { return };
        self.retired.extend(submission.retired);
        effects.push(Effect::Failed(submission.ticket, failure));
    }
}

impl Submission {
    fn multi(&self) -> Multi {
        let guarded = Multi::new().create(self.guard.path(), self.guard.data());
        let cleaned = self.retired.iter().fold(guarded, |multi, guard| multi.delete(path::submitted(guard), None));
        let grouped = self.group.iter().fold(cleaned, |multi, step| step.add_to(multi));
        self.tasks.iter().fold(grouped, |multi, submittal| submittal.add_to(multi))
    }

    /// Whose operation that is, and whether it is the one about its letter.
    fn part_at(&self, operation: usize) -> Option<(&Submittal, bool)> {
        let mut parts = self.tasks.iter().flat_map(|submittal| {
            let letter = submittal.letter.is_some().then_some((submittal, true));
            [Some((submittal, false)), letter].into_iter().flatten()
        });
        parts.nth(operation.checked_sub(1 + self.retired.len() + usize::from(self.group.is_some()))?)
    }

    fn is_about_group(&self, operation: usize) -> bool {
        self.group.is_some() && operation == 1 + self.retired.len()
    }

    /// Whether its record was created by an earlier submission.
    fn group_is_there(&self) -> bool {
        self.group.as_ref().is_some_and(|step| !matches!(step.write, GroupWrite::Create(_)))
    }

    fn letter_at(&self, operation: usize) -> Option<&TaskName> {
        self.part_at(operation).filter(|(_, letter)| *letter).and_then(|(submittal, _)| submittal.letter.as_ref())
    }

    fn failure(&self, operation: usize, why: Why) -> Failure {
        if let (Some(letter), Why::NoNode) = (self.letter_at(operation), why) {
            return Failure::NoLetter(letter.clone());
        }
        if let Some(step) = self.group.as_ref().filter(|_| self.is_about_group(operation)) {
            return match why {
                Why::NodeExists => Failure::NameTaken(step.group.clone()),
                Why::NoNode | Why::BadVersion => Failure::GroupGivenUp(step.group.clone()),
                Why::NoAuth => Failure::Denied(path::GROUPS.to_owned()),
                Why::NotEmpty | Why::NoChildrenForEphemerals | Why::BadArguments | Why::TooLarge | Why::NotSent => {
                    Failure::Refused { path: path::group(&step.group), why }
                }
            };
        }
        match (self.part_at(operation), why) {
            (Some((submittal, false)), Why::NodeExists) => Failure::NameTaken(submittal.task.clone()),
            (Some((_, true)), Why::NoAuth) => Failure::Denied(path::DEAD.to_owned()),
            (Some((submittal, false)), Why::NoAuth) => Failure::Denied(submittal.parent().to_owned()),
            (None, Why::NoAuth) => Failure::Denied(self.guard.parent().to_owned()),
            (part, why) => Failure::Refused { path: part.map_or_else(|| self.guard.path(), |(submittal, _)| submittal.path()), why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::payload::{Command, Envelope};

    fn now() -> Time {
        Time::at(Duration::ZERO)
    }

    fn submit(submissions: &mut Submissions, ticket: u64) -> Vec<Effect> {
        let tasks = vec![Submittal::pending(TaskName::listed(&format!("t{ticket}")), b"true".to_vec())];
        let guard = Guard::Once(format!("g{ticket}"));
        submissions.on(Event::Submitted { ticket, guard, group: None, tasks }, now())
    }

    fn connected() -> Submissions {
        let mut submissions = Submissions::new(8, Duration::from_millis(100));
        assert_eq!(submissions.on(Event::Connected, now()), []);
        submissions
    }

    fn guarded(ticket: u64) -> Multi {
        Multi::new().create(format!("/bellwether/submitted/g{ticket}"), b"")
    }

    #[test]
    fn the_guard_of_an_answered_submission_goes_with_the_next_one() {
        let mut submissions = connected();
        assert_eq!(submit(&mut submissions, 1), [Effect::Write(1, guarded(1).create("/tasks/t1", b"true"))]);
        assert_eq!(submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::applied() }, now()), [Effect::Accepted(1)]);
        let second = guarded(2).delete("/bellwether/submitted/g1", None).create("/tasks/t2", b"true");
        assert_eq!(submit(&mut submissions, 2), [Effect::Write(2, second)]);
    }

    #[test]
    fn a_lost_answer_is_repeated_behind_its_guard_and_the_guard_stays() {
        let mut submissions = connected();
        let first = submit(&mut submissions, 1);
        let effects = submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::Unknown }, now());
        assert_eq!(effects, [Effect::Arm(Duration::from_millis(100))]);
        assert_eq!(submissions.on(Event::Connected, now()), first);
        let exists = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(0, Why::NodeExists) };
        assert_eq!(submissions.on(exists, now()), [Effect::Accepted(1)]);
        assert_eq!(submissions.on(Event::Closing, now()), [], "a copy may still be on its way");
    }

    #[test]
    fn a_guard_that_somebody_removed_is_left_out() {
        let mut submissions = connected();
        submit(&mut submissions, 1);
        submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::applied() }, now());
        submit(&mut submissions, 2);
        let refused = Event::WriteEnded { ticket: 2, outcome: Outcome::refused(1, Why::NoNode) };
        assert_eq!(submissions.on(refused, now()), [Effect::Write(2, guarded(2).create("/tasks/t2", b"true"))]);
    }

    #[test]
    fn what_was_never_sent_can_be_withdrawn_and_what_was_sent_cannot() {
        let mut submissions = Submissions::new(1, Duration::from_millis(100));
        submit(&mut submissions, 1);
        let withdrawn = |ticket| Event::Withdrawn { ticket };
        assert_eq!(submissions.on(withdrawn(1), now()), [Effect::Failed(1, Failure::Withdrawn)]);
        submit(&mut submissions, 2);
        submissions.on(Event::Connected, now());
        assert_eq!(submissions.on(withdrawn(2), now()), [], "it may be applied");
        assert_eq!(submissions.unanswered(), 1);
    }

    #[test]
    fn a_submission_that_fails_leaves_the_guards_before_it_to_the_next() {
        let mut submissions = connected();
        submit(&mut submissions, 1);
        submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::applied() }, now());
        submit(&mut submissions, 2);
        submissions.on(Event::WriteEnded { ticket: 2, outcome: Outcome::refused(2, Why::NodeExists) }, now());
        assert_eq!(submissions.on(Event::Closing, now()), [Effect::RemoveGuards(vec!["g1".into()])]);
    }

    #[test]
    fn a_name_that_is_taken_fails_alone() {
        let mut submissions = connected();
        submit(&mut submissions, 1);
        let refused = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(1, Why::NodeExists) };
        let failure = Failure::NameTaken(TaskName::listed("t1"));
        assert_eq!(submissions.on(refused, now()), [Effect::Failed(1, failure)]);
        assert_eq!(submissions.unanswered(), 0);
    }

    #[test]
    fn a_letter_goes_with_the_task_that_is_made_from_it_or_there_is_no_such_task() {
        let mut submissions = connected();
        let (task, old) = (TaskName::listed("new"), TaskName::listed("old"));
        let tasks = vec![Submittal { task, payload: b"true".to_vec(), held: true, letter: Some(old.clone()) }];
        let submitted = submissions.on(Event::Submitted { ticket: 1, guard: Guard::Once("g1".into()), group: None, tasks }, now());
        let multi = guarded(1).create("/bellwether/held/new", b"true").delete("/bellwether/dead/old", None);
        assert_eq!(submitted, [Effect::Write(1, multi)]);
        let refused = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(2, Why::NoNode) };
        assert_eq!(submissions.on(refused, now()), [Effect::Failed(1, Failure::NoLetter(old))]);
    }

    #[test]
    fn nothing_is_sent_while_disconnected_and_no_more_than_the_window() {
        let mut submissions = Submissions::new(1, Duration::from_millis(100));
        assert_eq!(submit(&mut submissions, 1), []);
        assert_eq!(submit(&mut submissions, 2), []);
        assert!(matches!(submissions.on(Event::Connected, now()).as_slice(), [Effect::Write(1, _)]));
        let effects = submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::applied() }, now());
        assert!(matches!(effects.as_slice(), [Effect::Accepted(1), Effect::Write(2, _)]));
    }

    fn keyed(task: &str, argument: &str) -> KeyRecord {
        let command = Command::Argv(vec![argument.to_owned()]);
        KeyRecord::new("k", TaskName::listed(task), &command, &Envelope::new(command.clone()))
    }

    fn submit_keyed(record: &KeyRecord) -> (Submissions, Vec<Effect>) {
        let mut submissions = connected();
        let tasks = vec![Submittal::pending(record.task.clone(), b"true".to_vec())];
        let event = Event::Submitted { ticket: 1, guard: Guard::Key(record.clone()), group: None, tasks };
        let effects = submissions.on(event, now());
        (submissions, effects)
    }

    #[test]
    fn a_key_leads_to_the_first_task_or_to_nothing() {
        let first = keyed("t1", "x");
        let (_, effects) = submit_keyed(&first);
        let multi = Multi::new().create(first.node(), first.encode()).create("/tasks/t1", b"true");
        assert_eq!(effects, [Effect::Write(1, multi)]);
        let answers = [
            (&first, "t1", "x", Effect::Accepted(1)),
            (&first, "t2", "x", Effect::AcceptedBefore(1, TaskName::listed("t1"))),
            (&first, "t2", "y", Effect::Failed(1, Failure::KeyTaken { key: "k".into(), task: TaskName::listed("t1") })),
        ];
        for (there, task, argument, answer) in answers {
            let ours = keyed(task, argument);
            let (mut submissions, _) = submit_keyed(&ours);
            let refused = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(0, Why::NodeExists) };
            assert_eq!(submissions.on(refused, now()), [Effect::ReadGuard(1, first.node())]);
            let found = Some(there.encode());
            assert_eq!(submissions.on(Event::GuardRead { ticket: 1, found }, now()), [answer]);
            assert_eq!(submissions.on(Event::Closing, now()), [], "the guard of a key stays");
        }
        let (mut submissions, first_try) = submit_keyed(&first);
        submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::refused(0, Why::NodeExists) }, now());
        let gone = submissions.on(Event::GuardRead { ticket: 1, found: None }, now());
        assert_eq!((gone, submissions.on(Event::Connected, now())), (vec![Effect::Arm(Duration::from_millis(100))], first_try));
    }

    #[test]
    fn a_group_in_several_transactions_is_given_up_with_its_record() {
        let group = TaskName::listed("g");
        let mut submissions = connected();
        let mut step = |ticket: u64, write: GroupWrite| {
            let tasks = vec![Submittal { task: group.element(0), payload: b"x".to_vec(), held: true, letter: None }];
            let group = Some(GroupStep { group: group.clone(), write });
            submissions.on(Event::Submitted { ticket, guard: Guard::Once(format!("g{ticket}")), group, tasks }, now())
        };
        let held = |multi: Multi| multi.create("/bellwether/held/g.0", b"x");
        let path = "/bellwether/groups/g";
        assert_eq!(step(1, GroupWrite::Create(b"r".to_vec())), [Effect::Write(1, held(guarded(1).create(path, b"r")))]);
        assert_eq!(step(2, GroupWrite::Check), [Effect::Write(2, held(guarded(2).check(path, 0)))]);
        assert_eq!(step(3, GroupWrite::Complete(b"s".to_vec())), [Effect::Write(3, held(guarded(3).set(path, b"s", Some(0))))]);
        for (ticket, why) in [(2, Why::NoNode), (3, Why::BadVersion)] {
            let refused = Event::WriteEnded { ticket, outcome: Outcome::refused(1, why) };
            assert_eq!(submissions.on(refused, now()), [Effect::Failed(ticket, Failure::GroupGivenUp(group.clone()))]);
        }
        let refused = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(1, Why::NoNode) };
        assert_eq!(submissions.on(refused, now())[0], Effect::MendLayout, "there is no place for groups yet");
    }
}
