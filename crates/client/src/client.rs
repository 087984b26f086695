//! The handle that programs hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::protocol::group::{GroupRecord, GroupState};
use bellwether_core::protocol::key::{self, KeyRecord};
use bellwether_core::protocol::result::TaskResult;
use bellwether_core::protocol::schedule::ScheduleRecord;
use bellwether_core::protocol::{Multi, Outcome, Refusal, ScheduleName, TaskName, Why, WorkerId, path};
use bellwether_core::submission::{GroupStep, Guard, Submittal};
use serde::Serialize;

use crate::admission::Door;
use crate::asking;
use crate::batch::{self, NewGroup};
use crate::diagnosing::{self, Finding, Fix, Severity};
use crate::error::{ClosedBecause, Error, SubmitError};
use crate::explaining::{self, Explanation, Surroundings};
use crate::finding;
use crate::follow::{self, Follow};
use crate::forgetting;
use crate::groups::{self, Group, Progress};
use crate::history::{self, OfficeHistory, TaskHistory};
use crate::letters::{self, Letter};
use crate::link;
use crate::listing::{self, Filter, Listing};
use crate::names::Names;
use crate::overview::{self, Overview};
use crate::schedules::{self, ScheduleView, Scheduled};
use crate::settings::ClientSettings;
use crate::submissions::Submit;
use crate::supervisor::{self, Family, Leave};
use crate::task::{NewTask, TaskState, TaskView};
use crate::waiting::{Expect, Waiter};

/// A client of one cluster. Clones are the same client; when the last is dropped, its session ends.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    family: Family,
    settings: ClientSettings,
    names: Names,
    door: Door,
}

/// What a wish to cancel led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancel {
    /// The wish is recorded; the master fulfils it.
    Asked,
    /// It was recorded before.
    AskedBefore,
    /// The task had ended.
    Ended(Box<TaskResult>),
}

/// The mark that a task is to be cancelled.
#[derive(Serialize)]
struct CancelMark<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    by: &'a str,
}

/// How much longer than its request timeout a submission is waited for, so that its withdrawal is heard.
const WITHDRAWAL: std::time::Duration = std::time::Duration::from_millis(500);

impl Client {
    /// Starts a client and waits until it has a session.
    ///
    /// # Errors
    /// [`ClosedBecause`]: why there is none.
    pub async fn connect(settings: impl Into<ClientSettings>) -> Result<Self, ClosedBecause> {
        let client = Self::start(settings.into())?;
        client.connected().await?;
        Ok(client)
    }

    /// Starts a client, which goes on to open a session by itself.
    ///
    /// # Errors
    /// The process cannot start a thread.
    pub fn start(settings: ClientSettings) -> Result<Self, ClosedBecause> {
        let family = supervisor::start(settings.clone())?;
        Ok(Self { inner: Arc::new(Inner { family, settings, names: Names::new(), door: Door::default() }) })
    }

    /// Waits until there is a session and a connection.
    ///
    /// # Errors
    /// [`ClosedBecause`]: why there will be none.
    pub async fn connected(&self) -> Result<(), ClosedBecause> {
        link::connected(&mut self.inner.family.links.clone()).await.map(drop)
    }

    /// What is wrong with the connection at this moment, for people; `None` if requests can be sent.
    #[must_use]
    pub fn outage(&self) -> Option<String> {
        self.inner.family.links.borrow().outage()
    }

    /// What it was started with.
    #[must_use]
    pub fn settings(&self) -> &ClientSettings {
        &self.inner.settings
    }

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

    fn submittals(&self, names: &[TaskName], tasks: Vec<NewTask>) -> Result<Vec<Submittal>, SubmitError> {
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
    fn guard_of(&self, names: &[TaskName], tasks: &[NewTask]) -> Result<Guard, SubmitError> {
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
    fn elements(&self, names: &[TaskName], tasks: Vec<NewTask>) -> Result<Vec<Submittal>, SubmitError> {
        let element = |((index, name), task): ((u32, &TaskName), NewTask)| {
            let made = self.submittals(std::slice::from_ref(name), vec![task]);
            made.map_err(|why| SubmitError::Element { index, why: Box::new(why) })
        };
        let made: Result<Vec<Vec<Submittal>>, SubmitError> = (0..).zip(names).zip(tasks).map(element).collect();
        made.map(|made| made.into_iter().flatten().collect())
    }

    /// Wants all tasks of a group cancelled that have not ended. The wish is durable: whoever rules fulfils it. Gives the group as it is
    /// then; of one that had ended, nothing changes.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::Denied`], or why there is no answer.
    pub async fn cancel_group(&self, group: &TaskName, reason: Option<&str>) -> Result<Group, Error> {
        let (asked, reason) = (group.clone(), reason.map(str::to_owned));
        let cancelled = self.ask(move |store| {
            let (asked, reason) = (asked.clone(), reason.clone());
            async move { groups::cancel(&store, &asked, reason).await }
        });
        cancelled.await?
    }

    /// What a task waits for must be there when it is submitted.
    async fn look_for_parents(&self, parents: BTreeSet<TaskName>) -> Result<(), SubmitError> {
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

    async fn submit_all(&self, guard: Guard, group: Option<GroupStep>, tasks: Vec<Submittal>) -> Result<Vec<TaskName>, SubmitError> {
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
            Ok(Ok(Ok(answer))) => answer.map(|first| first.map_or(names, |first| vec![first])),
            Ok(Ok(Err(_))) | Err(_) => Err(ClosedBecause::Thread("it ended".to_owned()).into()),
            Ok(Err(_)) => Err(SubmitError::Unconfirmed { tasks: names, why: self.reason("it gave no answer in time") }),
        }
    }

    /// All dead letters, by name.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn dead_letters(&self) -> Result<Vec<Letter>, Error> {
        self.ask(|store| async move { letters::list(&store).await }).await
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
        let result = self.result(task).await?.ok_or_else(|| Error::NotEnded(task.clone()))?;
        let payload = result.request_again().ok_or_else(|| Error::NotKept(task.clone()))?;
        let again = self.new_name();
        let payload = self.sealed(&again, payload)?;
        let submittal = Submittal { task: again.clone(), payload, held: false, letter: None };
        self.submit_all(self.new_guard(), None, vec![submittal]).await?;
        Ok(again)
    }

    /// Why a task does not run.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], or why there is no answer.
    pub async fn explain(&self, task: &TaskName) -> Result<Explanation, Error> {
        let (view, overview) = (self.status(task).await?, self.overview().await?);
        let assigned = self.list(Filter { states: vec![TaskState::Assigned], ..Filter::default() }).await?.tasks;
        let around = Surroundings { obstacle: self.obstacle(task).await?, assigned };
        Ok(explaining::explain(&view, &overview, &around))
    }

    /// What became of a task, step by step.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], or why there is no answer.
    pub async fn history(&self, task: &TaskName) -> Result<TaskHistory, Error> {
        let asked = task.clone();
        let steps = self.ask(move |store| {
            let asked = asked.clone();
            async move { history::of_task(&store, &asked).await }
        });
        match steps.await? {
            Some(steps) => Ok(TaskHistory { task: task.clone(), steps }),
            None => Err(Error::NoSuchTask(task.clone())),
        }
    }

    /// What happens from now on, as a stream: tasks, workers, masters, and each break of the connection, of which nothing is known.
    ///
    /// ```no_run
    /// # async fn example(client: bellwether_client::Client) {
    /// use futures::StreamExt;
    ///
    /// let mut events = client.events();
    /// while let Some(event) = events.next().await {
    ///     println!("{} {} {:?}", event.at, event.what, event.task);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> Follow {
        self.follow()
    }

    /// The same.
    #[must_use]
    pub fn follow(&self) -> Follow {
        follow::start(self.inner.family.links.clone(), self.inner.family.supervisor.clone())
    }

    /// What is wrong with the cluster, as far as its tree and its clock tell.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn diagnose(&self) -> Result<Vec<Finding>, Error> {
        let asked = self.inner.settings.session.session_timeout;
        let mut findings = self.ask(move |store| async move { diagnosing::look(&store, asked).await }).await?;
        // A second time: a connection may break by chance, too.
        let mut size = self.ask(|store| async move { Ok(diagnosing::size(&store).await) }).await?;
        if size.severity == Severity::Broken {
            size = self.ask(|store| async move { Ok(diagnosing::size(&store).await) }).await?;
        }
        findings.push(size);
        match self.zookeeper_time().await {
            Ok(time) => findings.push(diagnosing::clock(time, bellwether_common::clock::wall())),
            Err(Error::Denied { what }) => {
                findings.push(Finding::broken(
                    "rights",
                    format!("no right to {what}"),
                    "check the ACLs and the credentials in [zookeeper]".to_owned(),
                ));
            }
            Err(error) => return Err(error),
        }
        Ok(findings)
    }

    /// Mends what a finding says, if it is as it was seen.
    ///
    /// # Errors
    /// Why it could not be mended.
    pub async fn mend(&self, fix: &Fix) -> Result<(), Error> {
        let fix = fix.clone();
        let mended = self.ask(move |store| {
            let fix = fix.clone();
            async move { diagnosing::mend(&store, &fix).await }
        });
        mended.await?
    }

    /// Who ruled when.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn terms(&self) -> Result<OfficeHistory, Error> {
        self.ask(|store| async move { history::of_office(&store).await }).await
    }

    /// Removes a dead letter: nobody can retry it any more.
    ///
    /// # Errors
    /// [`Error::NoSuchLetter`], or why there is no answer.
    pub async fn purge_dead(&self, dead: &TaskName) -> Result<(), Error> {
        let asked = dead.clone();
        let purged = self.ask(move |store| {
            let asked = asked.clone();
            async move { letters::purge(&store, &asked).await }
        });
        match purged.await?? {
            true => Ok(()),
            false => Err(Error::NoSuchLetter(dead.clone())),
        }
    }

    /// A new unique name for a schedule.
    #[must_use]
    pub fn new_schedule_name(&self) -> ScheduleName {
        let unique = self.inner.names.task();
        ScheduleName::listed(&format!("schedule-{}", unique.as_str().trim_start_matches("task-")))
    }

    /// Makes a schedule: `record` says when, `task` what; the record's own task is not looked at.
    ///
    /// # Errors
    /// [`SubmitError`]: what is wrong with it; [`Error::ScheduleExists`] if there is another one of this name.
    pub async fn make_schedule(&self, name: &ScheduleName, task: NewTask, record: ScheduleRecord) -> Result<Scheduled, SubmitError> {
        let settings = &self.inner.settings;
        let mut envelope = task.envelope(&settings.submitter, settings.payload_max)?;
        if let Some(signer) = &settings.signer {
            envelope = signer.seal_schedule(name, envelope)?;
        }
        let record = ScheduleRecord { task: envelope, ..record };
        record.check().map_err(SubmitError::BadSchedule)?;
        let name = name.clone();
        let made = self.ask(move |store| {
            let (name, record) = (name.clone(), record.clone());
            async move { schedules::make(&store, &name, &record).await }
        });
        Ok(made.await??)
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>, Error> {
        self.ask(|store| async move { schedules::list(&store).await }).await
    }

    /// One schedule.
    ///
    /// # Errors
    /// [`Error::NoSuchSchedule`], or why there is no answer.
    pub async fn schedule(&self, name: &ScheduleName) -> Result<ScheduleView, Error> {
        let asked = name.clone();
        let shown = self.ask(move |store| {
            let asked = asked.clone();
            async move { schedules::show(&store, &asked).await }
        });
        shown.await?.ok_or_else(|| Error::NoSuchSchedule(name.clone()))
    }

    /// Deletes a schedule. The tasks that it made stay.
    ///
    /// # Errors
    /// [`Error::NoSuchSchedule`], or why there is no answer.
    pub async fn delete_schedule(&self, name: &ScheduleName) -> Result<(), Error> {
        let asked = name.clone();
        let deleted = self.ask(move |store| {
            let asked = asked.clone();
            async move { schedules::delete(&store, &asked).await }
        });
        deleted.await??.then_some(()).ok_or_else(|| Error::NoSuchSchedule(name.clone()))
    }

    /// From now on no tick of a schedule counts.
    ///
    /// # Errors
    /// [`Error::NoSuchSchedule`], or why there is no answer.
    pub async fn pause_schedule(&self, name: &ScheduleName) -> Result<(), Error> {
        self.change_schedule(name, schedules::Wish::Pause).await
    }

    /// From now on the ticks of a schedule count again.
    ///
    /// # Errors
    /// [`Error::NoSuchSchedule`], or why there is no answer.
    pub async fn resume_schedule(&self, name: &ScheduleName) -> Result<(), Error> {
        let now = self.zookeeper_time().await?;
        self.change_schedule(name, schedules::Wish::Resume(now.as_second())).await
    }

    async fn change_schedule(&self, name: &ScheduleName, wish: schedules::Wish) -> Result<(), Error> {
        let asked = name.clone();
        let changed = self.ask(move |store| {
            let asked = asked.clone();
            async move { schedules::change(&store, &asked, wish).await }
        });
        changed.await??.then_some(()).ok_or_else(|| Error::NoSuchSchedule(name.clone()))
    }

    /// What time it is by the clock of ZooKeeper's leader, a moment ago: delays are counted by it.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn zookeeper_time(&self) -> Result<jiff::Timestamp, Error> {
        let guard = self.inner.names.guard();
        let found = self.ask(move |store| {
            let node = path::submitted(&format!("clock-{guard}"));
            async move { asking::time_by(&store, node).await }
        });
        found.await?
    }

    /// Waits for tasks, however long they take; survives sessions. Each is answered once.
    pub async fn wait(&self, tasks: Vec<TaskName>) -> Waiter {
        Waiter::new(tasks, self.inner.family.waiting.clone())
    }

    /// Says that somebody waits from now on, before there is anything to wait for: what ends after this is not removed before it was
    /// waited for. For whoever submits what he will wait for.
    pub async fn expect(&self) {
        // Without an answer in time it is said later, when somebody waits.
        let said = self.inner.family.waiting.send(Expect);
        let patience = self.inner.settings.request_timeout;
        drop(zk_runtime::spawn(async move { tokio::time::timeout(patience, said).await }).await);
    }

    /// Removes the result of a task that has ended: from then on nobody knows of it. A dead letter stays.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::NotEnded`], or why there is no answer.
    pub async fn forget(&self, task: &TaskName) -> Result<(), Error> {
        let asked = task.clone();
        let forgotten = self.ask(move |store| {
            let asked = asked.clone();
            async move { forgetting::forget(&store, &asked).await }
        });
        forgotten.await?
    }

    /// How a task ended; `None` if it has not.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], or why there is no answer.
    pub async fn result(&self, task: &TaskName) -> Result<Option<TaskResult>, Error> {
        let view = self.status(task).await?;
        Ok(view.result.map(|result| *result))
    }

    /// Where a task is.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], or why there is no answer.
    pub async fn status(&self, task: &TaskName) -> Result<TaskView, Error> {
        let asked = task.clone();
        let found = self.ask(move |store| {
            let asked = asked.clone();
            async move { finding::find(&store, &asked).await }
        });
        found.await?.ok_or_else(|| Error::NoSuchTask(task.clone()))
    }

    /// The group of this id, which names its elements; `None` if there is none.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn group(&self, group: &TaskName) -> Result<Option<Group>, Error> {
        Ok(self.groups_among(std::slice::from_ref(group)).await?.remove(group))
    }

    /// Those of these ids that are groups.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn groups_among(&self, ids: &[TaskName]) -> Result<BTreeMap<TaskName, Group>, Error> {
        let asked = ids.to_vec();
        let found = self.ask(move |store| {
            let asked = asked.clone();
            async move { groups::among(&store, asked).await }
        });
        found.await?
    }

    /// Where the elements of a group are.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn progress_of(&self, group: &Group) -> Result<Progress, Error> {
        let asked = group.clone();
        self.ask(move |store| {
            let asked = asked.clone();
            async move { groups::progress(&store, &asked).await }
        })
        .await
    }

    /// Where a worker serves its pages, `host:port`: this incarnation, or a later one of the same name. `None` if none is registered.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn pages_of(&self, worker: &WorkerId) -> Result<Option<String>, Error> {
        let worker = worker.clone();
        self.ask(move |store| {
            let worker = worker.clone();
            async move { overview::pages_of(&store, &worker).await }
        })
        .await
    }

    /// Whether this worker has the task at this moment.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn is_assigned(&self, task: &TaskName, worker: &WorkerId) -> Result<bool, Error> {
        let path = path::assignment(worker, task);
        self.ask(move |store| store.stat(&path)).await.map(|stat| stat.is_some())
    }

    /// The cluster at a glance.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn overview(&self) -> Result<Overview, Error> {
        let address = self.inner.settings.address();
        self.ask(move |store| {
            let address = address.clone();
            async move { overview::read(&store, address).await }
        })
        .await
    }

    /// Tasks, filtered.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn list(&self, filter: Filter) -> Result<Listing, Error> {
        self.ask(move |store| {
            let filter = filter.clone();
            async move { listing::list(&store, &filter).await }
        })
        .await
    }

    /// Wants a task cancelled. The wish is durable: whoever rules fulfils it, and the task's result says so.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::Denied`], or why there is no answer.
    pub async fn cancel(&self, task: &TaskName, reason: Option<&str>) -> Result<Cancel, Error> {
        if let Some(result) = self.status(task).await?.result {
            return Ok(Cancel::Ended(result));
        }
        let mark = CancelMark { reason, by: &self.inner.settings.submitter };
        let mark = Multi::new().create(path::cancel(task), bellwether_core::protocol::record::encode(&mark));
        let marked = self.ask(move |store| {
            let mark = mark.clone();
            async move { commit_mark(&store, mark).await }
        });
        marked.await?
    }

    /// What keeps a task from being ended, or `None`: a znode that somebody put below a task's makes that one immovable, for the master
    /// as for everybody. A wish to cancel is kept, and fulfilled when the obstacle is gone.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn obstacle(&self, task: &TaskName) -> Result<Option<String>, Error> {
        let path = path::task(task);
        let asked = path.clone();
        let stat = self.ask(move |store| store.stat(&asked)).await?;
        let children = stat.map_or(0, |stat| stat.children);
        Ok((children > 0).then(|| format!("{path} has {children} children, and can neither run nor end before they are deleted")))
    }

    /// Closes the session and waits for ZooKeeper's word. Whoever waits still is told that the client was closed.
    pub async fn close(&self) {
        // The thread may be gone already.
        let _ = self.inner.family.supervisor.send(Leave).await;
    }

    pub(crate) fn door(&self) -> &Door {
        &self.inner.door
    }

    fn reason(&self, otherwise: &str) -> String {
        link::reason(&self.inner.family.links, otherwise)
    }

    /// A question that does no harm when it is asked twice.
    pub(crate) async fn ask_again<T, F, Q>(&self, question: Q) -> Result<T, Error>
    where
        T: Send + 'static,
        Q: Fn(Store) -> F + Send + 'static,
        F: Future<Output = Result<T, ReadError>> + Send + 'static,
    {
        self.ask(question).await
    }

    /// How to follow the connection.
    pub(crate) fn links(&self) -> link::Links {
        self.inner.family.links.clone()
    }

    async fn ask<T, F, Q>(&self, question: Q) -> Result<T, Error>
    where
        T: Send + 'static,
        Q: Fn(Store) -> F + Send + 'static,
        F: Future<Output = Result<T, ReadError>> + Send + 'static,
    {
        asking::ask(self.inner.family.links.clone(), self.inner.settings.request_timeout, question).await
    }
}

/// Creates the mark. Repeated after an unknown outcome: a mark that is there already is as good, and one that comes too late is
/// removed by the master.
async fn commit_mark(store: &Store, mark: Multi) -> Result<Result<Cancel, Error>, ReadError> {
    let why = match store.commit(mark).await {
        Outcome::Applied(_) => return Ok(Ok(Cancel::Asked)),
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => return Err(ReadError::Interrupted),
        Outcome::Refused(Refusal::At { why, .. } | Refusal::Whole(why) | Refusal::Fence(why)) => why,
    };
    let denied = |what: String| Ok(Err(Error::Denied { what }));
    match why {
        Why::NodeExists => Ok(Ok(Cancel::AskedBefore)),
        Why::NoAuth => denied(format!("create a mark below {}", path::CANCEL)),
        Why::NoNode => match store.ensure_layout().await {
            Ok(()) | Err(LayoutError::Read(_)) => Err(ReadError::Interrupted),
            Err(error) => denied(format!("mark the task: {error}")),
        },
        why => Ok(Err(Error::Refused(format!("the mark below {}: {why}", path::CANCEL)))),
    }
}
