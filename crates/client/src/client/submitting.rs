//! What is submitted: tasks one by one, many at a time, in groups, and again.

use std::collections::BTreeSet;

use super::Client;
use bellwether_common::zk_runtime;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::group::{GroupRecord, GroupState};
use bellwether_core::protocol::key::{self, KeyRecord};
use bellwether_core::submission::{GroupStep, Guard, Submittal};

use crate::batch::{self, NewGroup};
use crate::error::{ClosedBecause, Error, SubmitError};
use crate::finding;
use crate::letters;
use crate::submissions::Submit;
use crate::task::NewTask;
use crate::waiting::Submitted;

/// How much longer than its request timeout a submission is waited for, so that its withdrawal is heard.
const WITHDRAWAL: std::time::Duration = std::time::Duration::from_millis(500);

impl Client {
    /// Submits tasks, all of them or none, and gives their names. Repeated until it is confirmed, and never doubled. Each task gets
    /// a name of its own; all together must fit into one transaction of 900 KiB. One with a [key](NewTask::key) is submitted alone, and if the
    /// same was submitted under that key before, the name of that one is given.
    ///
    /// # Errors
    /// [`SubmitError`]. After all but [`SubmitError::Unconfirmed`] nothing was submitted.
    pub async fn submit(&self, tasks: Vec<NewTask>) -> Result<Vec<TaskName>, SubmitError> {
        let names = tasks.iter().map(|_| self.inner.names.task()).collect();
        self.submit_as(names, tasks).await
    }

    /// A new unique name, for [`submit_as`](Self::submit_as).
    #[must_use]
    pub fn new_name(&self) -> TaskName {
        self.inner.names.task()
    }

    /// As [`submit`](Self::submit), under names of the caller's: one that an interrupted program knew before it submitted tells
    /// afterwards whether it was submitted. `names` has as many as `tasks`.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); a name that is taken is [`Failure::NameTaken`](bellwether_core::submission::Failure::NameTaken).
    pub async fn submit_as(&self, names: Vec<TaskName>, tasks: Vec<NewTask>) -> Result<Vec<TaskName>, SubmitError> {
        let guard = self.guard_of(&names, &tasks)?;
        let parents = tasks.iter().flat_map(|task| &task.envelope.after).filter(|parent| !names.contains(parent)).cloned();
        let parents: BTreeSet<TaskName> = parents.collect();
        let submittals = self.submittals(&names, tasks)?;
        self.look_for_parents(parents).await?;
        self.submit_all(guard, None, submittals).await
    }

    pub(super) fn submittals(&self, names: &[TaskName], tasks: Vec<NewTask>) -> Result<Vec<Submittal>, SubmitError> {
        let settings = &self.inner.settings;
        let submittal = |(task, new): (&TaskName, NewTask)| {
            let held = new.is_held();
            let payload = self.sealed(task, new.payload(&settings.submitter, settings.payload_max)?)?;
            Ok(Submittal { task: task.clone(), payload, held, letter: None })
        };
        names.iter().zip(tasks).map(submittal).collect()
    }

    /// With a signature, if there is a key.
    fn sealed(&self, task: &TaskName, payload: Vec<u8>) -> Result<Vec<u8>, SubmitError> {
        let settings = &self.inner.settings;
        match &settings.signer {
            Some(signer) => signer.seal(task, &payload, settings.payload_max),
            None => Ok(payload),
        }
    }

    /// Of a single task with a key, that of the key.
    pub(super) fn guard_of(&self, names: &[TaskName], tasks: &[NewTask]) -> Result<Guard, SubmitError> {
        let Some(task) = tasks.iter().find(|task| task.envelope.key.is_some()) else { return Ok(self.new_guard()) };
        let (Some(key), [name], [_]) = (&task.envelope.key, names, tasks) else {
            return Err(SubmitError::Contradictory("a key is for one task, and several are submitted together".to_owned()));
        };
        key::check(key)?;
        Ok(Guard::Key(KeyRecord::new(key, name.clone(), &task.command, &task.envelope)))
    }

    fn new_guard(&self) -> Guard {
        Guard::Once(self.inner.names.guard())
    }

    /// Submits a group under a new id, and gives it. All of it is submitted or nothing runs: a group that is too large for one transaction is
    /// submitted in several, and no element runs before the last of them; what a client leaves that dies in between is cancelled by the
    /// master, after an hour.
    ///
    /// # Errors
    /// [`SubmitError`]. After [`SubmitError::Unconfirmed`] its id tells what became of it.
    pub async fn submit_group(&self, group: NewGroup) -> Result<TaskName, SubmitError> {
        self.submit_group_as(self.new_name(), group).await
    }

    /// As [`submit_group`](Self::submit_group), under a name of the caller's.
    ///
    /// # Errors
    /// As [`submit_group`](Self::submit_group).
    pub async fn submit_group_as(&self, id: TaskName, group: NewGroup) -> Result<TaskName, SubmitError> {
        let size = u32::try_from(group.tasks.len()).unwrap_or(u32::MAX);
        let (max_fails, name) = (group.max_fails, group.name.clone());
        let tasks = group.named(&id)?;
        let names: Vec<TaskName> = (0..size).map(|index| id.element(index)).collect();
        let inside = |parent: &&TaskName| parent.group().is_some_and(|(group, _)| group == id);
        let parents = tasks.iter().flat_map(|task| &task.envelope.after).filter(|parent| !inside(parent)).cloned().collect();
        let submittals = self.elements(&names, tasks)?;
        self.look_for_parents(parents).await?;
        let submitter = Some(self.inner.settings.submitter.clone());
        let record = GroupRecord { max_fails, name, submitter, ..GroupRecord::new(size, GroupState::Open) };
        for (index, chunk) in batch::fitting(&id, &record, submittals).into_iter().enumerate() {
            match self.submit_all(self.new_guard(), Some(chunk.step), chunk.tasks).await {
                Ok(_) => {}
                // Nobody knows: its id tells, and what is there of it does not run before all of it is.
                Err(SubmitError::Unconfirmed { why, .. }) => return Err(SubmitError::Unconfirmed { tasks: vec![id], why }),
                Err(error) => {
                    if index > 0 {
                        // If that cannot be said, either, the master does it by itself, later.
                        let _ = self.cancel_group(&id, Some("it could not be wholly submitted")).await;
                    }
                    return Err(error);
                }
            }
        }
        Ok(id)
    }

    /// As [`submittals`](Self::submittals); says which element it is that cannot be submitted.
    pub(super) fn elements(&self, names: &[TaskName], tasks: Vec<NewTask>) -> Result<Vec<Submittal>, SubmitError> {
        let element = |((index, name), task): ((u32, &TaskName), NewTask)| {
            let made = self.submittals(std::slice::from_ref(name), vec![task]);
            made.map_err(|why| SubmitError::Element { index, why: Box::new(why) })
        };
        let made: Result<Vec<Vec<Submittal>>, SubmitError> = (0..).zip(names).zip(tasks).map(element).collect();
        made.map(|made| made.into_iter().flatten().collect())
    }

    /// What a task waits for must be there when it is submitted.
    pub(super) async fn look_for_parents(&self, parents: BTreeSet<TaskName>) -> Result<(), SubmitError> {
        for parent in parents {
            let asked = parent.clone();
            let found = self.ask(move |store| {
                let asked = asked.clone();
                // Twice: it may move while it is looked for.
                async move { Ok(finding::exists(&store, &asked).await? || finding::exists(&store, &asked).await?) }
            });
            if !found.await? {
                return Err(SubmitError::NoSuchParent(parent));
            }
        }
        Ok(())
    }

    pub(super) async fn submit_all(
        &self,
        guard: Guard,
        group: Option<GroupStep>,
        tasks: Vec<Submittal>,
    ) -> Result<Vec<TaskName>, SubmitError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        self.admit(&tasks).await?;
        let unsent_for = self.inner.settings.request_timeout;
        let names: Vec<TaskName> = tasks.iter().map(|submittal| submittal.task.clone()).collect();
        let submit = Submit { guard, group, tasks, unsent_for };
        let sent = self.inner.family.submissions.send(submit);
        // What was never sent is withdrawn first, so that it does not run behind the back of somebody who tries again.
        let patience = unsent_for + WITHDRAWAL;
        let answered = zk_runtime::spawn(async move { tokio::time::timeout(patience, sent).await });
        match answered.await {
            Ok(Ok(Ok(answer))) => answer.map(|first| match first {
                Some(first) => vec![first],
                None => {
                    // One for each submission that was in the window.
                    self.inner.family.waiting.do_send(Submitted(names.clone()));
                    names
                }
            }),
            Ok(Ok(Err(_))) | Err(_) => Err(ClosedBecause::Thread("it ended".to_owned()).into()),
            Ok(Err(_)) => Err(SubmitError::Unconfirmed { tasks: names, why: self.reason("it gave no answer in time") }),
        }
    }

    /// Submits what a dead task was to do as a new task, from the beginning, and removes its letter: both or neither.
    ///
    /// # Errors
    /// [`SubmitError`]; [`Error::NoSuchLetter`] and [`Failure::NoLetter`](bellwether_core::submission::Failure::NoLetter) if there
    /// is none, or somebody else was quicker.
    pub async fn retry_dead(&self, dead: &TaskName) -> Result<TaskName, SubmitError> {
        let asked = dead.clone();
        let read = self.ask(move |store| {
            let asked = asked.clone();
            async move { letters::again(&store, &asked).await }
        });
        let payload = read.await?.ok_or_else(|| Error::NoSuchLetter(dead.clone()))??;
        let task = self.new_name();
        let payload = self.sealed(&task, payload)?;
        let submittal = Submittal { task: task.clone(), payload, held: false, letter: Some(dead.clone()) };
        self.submit_all(self.new_guard(), None, vec![submittal]).await?;
        Ok(task)
    }

    /// Submits what an ended task did as a new task, from the beginning. A dead letter goes with it, so that a task is run again once;
    /// one without a letter is run again as often as it is asked for.
    ///
    /// # Errors
    /// [`SubmitError`]; [`Error::NoSuchTask`], [`Error::NotEnded`], and [`Error::NotKept`] if its result does not say what it did.
    pub async fn retry(&self, task: &TaskName) -> Result<TaskName, SubmitError> {
        match self.retry_dead(task).await {
            Err(SubmitError::Unread(Error::NoSuchLetter(_))) => {}
            retried => return retried,
        }
        let view = self.status(task).await?;
        if view.array_of.is_some() {
            return Err(Error::ElementAlone(task.clone()).into());
        }
        let result = view.result.ok_or_else(|| Error::NotEnded(task.clone()))?;
        let payload = result.request_again().ok_or_else(|| Error::NotKept(task.clone()))?;
        let again = self.new_name();
        let payload = self.sealed(&again, payload)?;
        let submittal = Submittal { task: again.clone(), payload, held: false, letter: None };
        self.submit_all(self.new_guard(), None, vec![submittal]).await?;
        Ok(again)
    }
}
