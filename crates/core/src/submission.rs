//! How a client submits so that a lost reply never doubles a task.
//!
//! A submission is one transaction: create its guard, delete the guard of the submission before it, create the tasks. It is repeated,
//! also from a new session, until the answer is "applied" or "the guard exists": both mean submitted.
//!
//! A guard is only deleted when its transaction was answered at once. Where an answer was lost, a copy of the request may still be
//! on its way, and the guard is all that stops it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Time;
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

/// What happened, as a client's shell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// Somebody wants these tasks submitted together.
    Submitted {
        /// To be handed back.
        ticket: u64,
        /// Unique name of the guard.
        guard: String,
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
    /// Create what is missing of the layout; then [`Event::LayoutMended`].
    MendLayout,
    /// Delete these guards; nothing depends on how it ends.
    RemoveGuards(Vec<String>),
    /// Ring once, at this monotonic time.
    Arm(Duration),
    /// The tasks are accepted.
    Accepted(u64),
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
    guard: String,
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
            Event::Submitted { ticket, guard, tasks } => self.on_submitted(ticket, guard, tasks, &mut effects),
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

    fn on_submitted(&mut self, ticket: u64, guard: String, tasks: Vec<Submittal>, effects: &mut Vec<Effect>) {
        let submission = Submission { ticket, guard, tasks, retired: Vec::new(), sent: false, uncertain: false };
        let bytes = submission.multi().bytes();
        if bytes > MULTI_BYTES_MAX {
            effects.push(Effect::Failed(ticket, Failure::TooLarge { bytes }));
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
        if !submission.uncertain {
            self.retired.push(submission.guard);
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
            (0, Why::NodeExists) => self.accepted(index, effects),
            (_, Why::NoNode) if (1..=retired).contains(&operation) => {
                // Somebody else removed that guard: all the better.
                submission.retired.remove(operation - 1);
                submission.sent = false;
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

    /// Nothing of it was applied, so the guards that it should have removed are still to be removed.
    fn failed(&mut self, index: usize, failure: Failure, effects: &mut Vec<Effect>) {
        let Some(submission) = self.waiting.remove(index) else { return };
        self.retired.extend(submission.retired);
        effects.push(Effect::Failed(submission.ticket, failure));
    }
}

impl Submission {
    fn multi(&self) -> Multi {
        let guarded = Multi::new().create(path::submitted(&self.guard), Vec::new());
        let cleaned = self.retired.iter().fold(guarded, |multi, guard| multi.delete(path::submitted(guard), None));
        self.tasks.iter().fold(cleaned, |multi, submittal| submittal.add_to(multi))
    }

    /// Whose operation that is, and whether it is the one about its letter.
    fn part_at(&self, operation: usize) -> Option<(&Submittal, bool)> {
        let mut parts = self.tasks.iter().flat_map(|submittal| {
            let letter = submittal.letter.is_some().then_some((submittal, true));
            [Some((submittal, false)), letter].into_iter().flatten()
        });
        parts.nth(operation.checked_sub(1 + self.retired.len())?)
    }

    fn letter_at(&self, operation: usize) -> Option<&TaskName> {
        self.part_at(operation).filter(|(_, letter)| *letter).and_then(|(submittal, _)| submittal.letter.as_ref())
    }

    fn failure(&self, operation: usize, why: Why) -> Failure {
        if let (Some(letter), Why::NoNode) = (self.letter_at(operation), why) {
            return Failure::NoLetter(letter.clone());
        }
        match (self.part_at(operation), why) {
            (Some((submittal, false)), Why::NodeExists) => Failure::NameTaken(submittal.task.clone()),
            (Some((_, true)), Why::NoAuth) => Failure::Denied(path::DEAD.to_owned()),
            (Some((submittal, false)), Why::NoAuth) => Failure::Denied(submittal.parent().to_owned()),
            (None, Why::NoAuth) => Failure::Denied(path::SUBMITTED.to_owned()),
            (part, why) => Failure::Refused { path: part.map_or(path::SUBMITTED.to_owned(), |(submittal, _)| submittal.path()), why },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Time {
        Time::at(Duration::ZERO)
    }

    fn submit(submissions: &mut Submissions, ticket: u64) -> Vec<Effect> {
        let tasks = vec![Submittal::pending(TaskName::listed(&format!("t{ticket}")), b"true".to_vec())];
        submissions.on(Event::Submitted { ticket, guard: format!("g{ticket}"), tasks }, now())
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
        let submitted = submissions.on(Event::Submitted { ticket: 1, guard: "g1".into(), tasks }, now());
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
}
