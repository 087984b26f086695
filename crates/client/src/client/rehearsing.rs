//! What would be submitted, and what would become of it: everything that a submission looks at, and nothing that it does.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::protocol::admission::Closure;
use bellwether_core::protocol::key::KeyRecord;
use bellwether_core::protocol::payload;
use bellwether_core::protocol::schedule::ScheduleRecord;
use bellwether_core::protocol::{ScheduleName, TaskName};
use bellwether_core::submission::{Failure, Guard, Submittal};
use schemars::JsonSchema;
use serde::Serialize;

use super::Client;
use crate::batch::NewGroup;
use crate::error::{Error, SubmitError};
use crate::explaining::{self, Explanation, Surroundings};
use crate::task::{NewTask, TaskState, TaskView};

/// A task as it would be submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// Its name; one that [`Client::submit`] gives is another.
    pub task: TaskName,
    /// What would be written.
    pub payload: Vec<u8>,
    /// Whether it might not run at once.
    pub held: bool,
    /// What would stand for it, if it has a key.
    key: Option<KeyRecord>,
}

/// What a cluster would make of tasks at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Foresight {
    /// Servers and root that were asked.
    pub zookeeper: String,
    /// Why they would not be taken in now, if they would not.
    pub closed: Option<Closure>,
    /// The task that was submitted under the same key before, in place of which nothing would be submitted.
    pub first: Option<TaskName>,
    /// What would keep them from running, for each kind of them.
    pub prospects: Vec<Prospect>,
}

/// What tasks that ask the same of workers would find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Prospect {
    /// How many of them ask that.
    pub tasks: u32,
    /// Of the first of them.
    pub explanation: Explanation,
}

/// What tells tasks apart that cannot be run by the same workers, or fall under other limits.
type Kind = (Option<String>, BTreeMap<String, String>, Option<u32>, BTreeMap<String, u32>, BTreeMap<String, String>);

impl Client {
    /// What [`submit_as`](Self::submit_as) would write. Asks nobody, and needs no session.
    ///
    /// # Errors
    /// As [`submit_as`](Self::submit_as), for all that is wrong with the tasks themselves.
    pub fn rehearse(&self, names: &[TaskName], tasks: Vec<NewTask>) -> Result<Vec<Rehearsed>, SubmitError> {
        let key = match self.guard_of(names, &tasks)? {
            Guard::Key(record) => Some(record),
            Guard::Once(_) => None,
        };
        let submittals = self.submittals(names, tasks)?;
        Ok(submittals.into_iter().map(|submittal| Rehearsed { key: key.clone(), ..rehearsed(submittal) }).collect())
    }

    /// What [`submit_group_as`](Self::submit_group_as) would write. Asks nobody.
    ///
    /// # Errors
    /// As [`submit_group_as`](Self::submit_group_as), for all that is wrong with the tasks themselves.
    pub fn rehearse_group(&self, id: &TaskName, group: NewGroup) -> Result<Vec<Rehearsed>, SubmitError> {
        let tasks = group.named(id)?;
        let names: Vec<TaskName> = (0..).take(tasks.len()).map(|index| id.element(index)).collect();
        Ok(self.elements(&names, tasks)?.into_iter().map(rehearsed).collect())
    }

    /// The task that each tick of a schedule would submit. Asks nobody.
    ///
    /// # Errors
    /// As [`make_schedule`](Self::make_schedule), for all that is wrong with it.
    pub fn rehearse_schedule(&self, name: &ScheduleName, task: NewTask, record: ScheduleRecord) -> Result<Rehearsed, SubmitError> {
        let payload = self.schedule_of(name, task, record)?.task.encode();
        Ok(Rehearsed { task: TaskName::listed(name.as_str()), payload, held: false, key: None })
    }

    /// What the cluster would make of them now. Writes nothing.
    ///
    /// # Errors
    /// What a submission would fail for that only the cluster knows, or why there is no answer.
    pub async fn foresee(&self, tasks: &[Rehearsed]) -> Result<Foresight, SubmitError> {
        let views: Vec<TaskView> = tasks.iter().map(seen).collect();
        let own: BTreeSet<&TaskName> = tasks.iter().map(|task| &task.task).collect();
        let parents = views.iter().flat_map(|view| &view.after).filter(|parent| !own.contains(parent)).cloned();
        self.look_for_parents(parents.collect()).await?;
        let key = tasks.iter().find_map(|task| task.key.as_ref());
        let first = match key {
            Some(record) => self.submitted_before(record).await?,
            None => None,
        };
        let admission = self.admission().await?;
        let closed = admission.and_then(|record| views.iter().find_map(|view| record.refuses(&view.labels).cloned()));
        let overview = self.overview().await?;
        let mut around = Surroundings::default();
        self.look_around(&mut around).await?;
        let mut kinds: BTreeMap<Kind, (u32, &TaskView)> = BTreeMap::new();
        for view in &views {
            let kind = (view.kind.clone(), view.require.clone(), view.slots, view.resources.clone(), view.labels.clone());
            kinds.entry(kind).or_insert((0, view)).0 += 1;
        }
        let prospect = |(tasks, view): (u32, &TaskView)| Prospect { tasks, explanation: explaining::explain(view, &overview, &around) };
        let prospects = kinds.into_values().map(prospect).collect();
        Ok(Foresight { zookeeper: self.settings().address(), closed, first, prospects })
    }

    /// The task that stands under this key, if it is the same one.
    async fn submitted_before(&self, record: &KeyRecord) -> Result<Option<TaskName>, SubmitError> {
        let node = record.node();
        let found = self.ask(move |store| {
            let (synced, read) = (store.sync(), store.get(&node));
            async move {
                synced.await?;
                read.await
            }
        });
        let Some(found) = found.await? else { return Ok(None) };
        match KeyRecord::decode(&found.data).filter(|theirs| theirs.key == record.key) {
            None => Err(Failure::KeyUnreadable(record.key.clone()).into()),
            Some(theirs) if theirs.digest == record.digest => Ok(Some(theirs.task)),
            Some(theirs) => Err(Failure::KeyTaken { key: record.key.clone(), task: theirs.task }.into()),
        }
    }
}

fn rehearsed(Submittal { task, payload, held, .. }: Submittal) -> Rehearsed {
    Rehearsed { task, payload, held, key: None }
}

/// As if it had just been submitted.
fn seen(task: &Rehearsed) -> TaskView {
    let state = if task.held { TaskState::Held } else { TaskState::Pending };
    TaskView::living(task.task.clone(), state, None, &task.payload, bellwether_common::clock::wall())
}

impl Rehearsed {
    /// What it says of itself, as JSON.
    ///
    /// # Errors
    /// Never for what was rehearsed: it was encoded from that.
    pub fn envelope(&self) -> Result<serde_json::Value, Error> {
        serde_json::from_slice(&self.payload).map_err(|error| Error::Refused(error.to_string()))
    }

    /// What it runs, in one line.
    #[must_use]
    pub fn command(&self) -> String {
        payload::decode(&self.payload).map(|task| task.command.display(SHOWN)).unwrap_or_default()
    }
}

/// How much of a command is shown.
const SHOWN: usize = 200;
