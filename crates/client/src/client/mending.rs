//! What is taken away or put right: cancelled, forgotten, purged, mended.

use std::sync::Arc;
use std::time::Duration;

use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_core::protocol::request::{CANCEL_GRACE_MAX, CancelRequest};
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};

use super::{Cancel, Client};
use crate::asking;
use crate::diagnosing::{self, Finding, Fix, Severity};
use crate::error::Error;
use crate::forgetting;
use crate::groups::{self, Group};
use crate::letters::{self, Letter};

/// How tasks are cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CancelOptions {
    pub(crate) reason: Option<String>,
    grace: Option<Duration>,
}

impl CancelOptions {
    /// Without a reason, and at once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Why, for whoever looks at the result.
    #[must_use]
    pub fn reason(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// How long what runs may take to end after SIGTERM, an hour at most; without it, it is killed at once. The task's result is there at
    /// once all the same.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace: Some(grace), ..self }
    }

    /// As it is written; what is shorter than a millisecond is no time.
    pub(crate) fn grace_ms(&self) -> Option<u64> {
        self.grace.map(|grace| u64::try_from(grace.min(CANCEL_GRACE_MAX).as_millis()).unwrap_or(u64::MAX)).filter(|ms| *ms > 0)
    }

    pub(crate) fn of_reason(reason: Option<&str>) -> Self {
        Self { reason: reason.map(str::to_owned), grace: None }
    }
}

impl Client {
    /// Wants all tasks of a group cancelled that have not ended, at once. The wish is durable: whoever rules fulfils it. Gives the group as
    /// it is then; of one that had ended, nothing changes.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::Denied`], or why there is no answer.
    pub async fn cancel_group(&self, group: &TaskName, reason: Option<&str>) -> Result<Group, Error> {
        self.cancel_group_with(group, &CancelOptions::of_reason(reason)).await
    }

    /// The same, with more to be said about how.
    ///
    /// # Errors
    /// As [`cancel_group`](Self::cancel_group).
    pub async fn cancel_group_with(&self, group: &TaskName, options: &CancelOptions) -> Result<Group, Error> {
        let (asked, options) = (group.clone(), options.clone());
        let cancelled = self.ask(move |store| {
            let (asked, options) = (asked.clone(), options.clone());
            async move { groups::cancel(&store, &asked, &options).await }
        });
        cancelled.await?
    }

    /// All dead letters, by name.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn dead_letters(&self) -> Result<Vec<Letter>, Error> {
        self.ask(|store| async move { letters::list(&store).await }).await
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
            // That was said of the layout.
            Err(Error::NotLaidOut { .. }) => {}
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

    /// Removes the result of a task that has ended: from then on nobody knows of it. A dead letter stays.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::NotEnded`], or why there is no answer.
    pub async fn forget(&self, task: &TaskName) -> Result<(), Error> {
        let gone = self.remove(std::slice::from_ref(task)).await?;
        self.is_forgotten(task, gone.first().copied().unwrap_or(false)).await
    }

    /// The same for many, which costs far less than one by one: what became of each, in their order.
    pub async fn forget_all(&self, tasks: &[TaskName]) -> Vec<Result<(), Error>> {
        let (together, on_their_way) = forgetting::TOGETHER;
        let lots = stream::iter(tasks.chunks(together)).map(|lot| self.forget_lot(lot)).buffered(on_their_way);
        lots.concat().await
    }

    async fn forget_lot(&self, lot: &[TaskName]) -> Vec<Result<(), Error>> {
        match self.remove(lot).await {
            Ok(gone) => join_all(lot.iter().zip(gone).map(|(task, gone)| self.is_forgotten(task, gone))).await,
            // One of them spoils the others.
            Err(Error::Refused(_)) => join_all(lot.iter().map(|task| self.forget(task))).await,
            // Each of them would wait for the same.
            Err(error) => vec![Err(error); lot.len()],
        }
    }

    async fn remove(&self, tasks: &[TaskName]) -> Result<Vec<bool>, Error> {
        let asked = Arc::new((tasks.to_vec(), forgetting::Seen::default()));
        let removed = self.ask(move |store| {
            let asked = Arc::clone(&asked);
            async move { forgetting::remove(&store, &asked.0, &asked.1).await }
        });
        removed.await?
    }

    async fn is_forgotten(&self, task: &TaskName, gone: bool) -> Result<(), Error> {
        if gone {
            return Ok(());
        }
        let asked = task.clone();
        let why = self.ask(move |store| {
            let asked = asked.clone();
            async move { forgetting::why_not(&store, &asked).await }
        });
        Err(why.await?)
    }

    /// Wants a task cancelled, at once. The wish is durable: whoever rules fulfils it, and the task's result says so.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::ElementAlone`], [`Error::Denied`], or why there is no answer.
    pub async fn cancel(&self, task: &TaskName, reason: Option<&str>) -> Result<Cancel, Error> {
        self.cancel_with(task, &CancelOptions::of_reason(reason)).await
    }

    /// The same, with more to be said about how.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel), and [`Error::Refused`] for time that an array's elements cannot be given.
    pub async fn cancel_with(&self, task: &TaskName, options: &CancelOptions) -> Result<Cancel, Error> {
        let view = self.status(task).await?;
        if let Some(result) = view.result {
            return Ok(Cancel::Ended(result));
        }
        if view.array_of.is_some() {
            return Err(Error::ElementAlone(task.clone()));
        }
        if view.array.is_some() && options.grace_ms().is_some() {
            return Err(Error::Refused(format!(
                "{task} is an array, and what runs of its elements is killed at once: cancel it without --grace"
            )));
        }
        let by = Some(self.inner.settings.submitter.clone());
        let mark = CancelRequest { reason: options.reason.clone(), by, grace_ms: options.grace_ms(), ..CancelRequest::new() };
        let mark = Multi::new().create(path::cancel(task), bellwether_core::protocol::record::encode(&mark));
        let marked = self.ask(move |store| {
            let mark = mark.clone();
            async move { commit_mark(&store, mark).await }
        });
        marked.await?
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
            Err(error) => Ok(Err(Error::of_layout(error, "mark the task"))),
        },
        why => Ok(Err(Error::Refused(format!("the mark below {}: {why}", path::CANCEL)))),
    }
}
