//! The handle that programs hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_common::store::{ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::protocol::result::TaskResult;
use bellwether_core::protocol::{TaskName, WorkerId, path};

use crate::admission::Door;
use crate::asking;
use crate::error::{ClosedBecause, Error};
use crate::finding;
use crate::follow::{self, Follow};
use crate::groups::{self, Group, Progress};
use crate::history::{self, OfficeHistory, TaskHistory};
use crate::link;
use crate::listing::{self, Filter, Listing};
use crate::names::Names;
use crate::overview::{self, Overview};
use crate::settings::ClientSettings;
use crate::supervisor::{self, Family, Leave};
use crate::task::TaskView;
use crate::waiting::{Expect, KeptOut, Waiter};

mod arrays;
mod judging;
mod mending;
mod rehearsing;
mod scheduling;
mod submitting;

pub use mending::CancelOptions;
pub use rehearsing::{Foresight, Prospect, Rehearsed};

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

impl Client {
    /// Starts a client and waits until it has a session. Takes an address, `host:port,host:port/root`, or [`ClientSettings`].
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

    /// Who ruled when.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn terms(&self) -> Result<OfficeHistory, Error> {
        self.ask(|store| async move { history::of_office(&store).await }).await
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

    /// What is kept because we wait may be what keeps work out.
    pub(crate) fn kept_out(&self) {
        // One for each submission that was refused, and one a second for each that waits.
        self.inner.family.waiting.do_send(KeptOut);
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
