//! What is taken away or put right: cancelled, forgotten, purged, mended.

use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};
use serde::Serialize;

use super::{Cancel, Client};
use crate::asking;
use crate::diagnosing::{self, Finding, Fix, Severity};
use crate::error::Error;
use crate::forgetting;
use crate::groups::{self, Group};
use crate::letters::{self, Letter};

/// The mark that a task is to be cancelled.
#[derive(Serialize)]
struct CancelMark<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    by: &'a str,
}

impl Client {
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
        let asked = task.clone();
        let forgotten = self.ask(move |store| {
            let asked = asked.clone();
            async move { forgetting::forget(&store, &asked).await }
        });
        forgotten.await?
    }

    /// Wants a task cancelled. The wish is durable: whoever rules fulfils it, and the task's result says so.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], [`Error::ElementAlone`], [`Error::Denied`], or why there is no answer.
    pub async fn cancel(&self, task: &TaskName, reason: Option<&str>) -> Result<Cancel, Error> {
        let view = self.status(task).await?;
        if let Some(result) = view.result {
            return Ok(Cancel::Ended(result));
        }
        if view.array_of.is_some() {
            return Err(Error::ElementAlone(task.clone()));
        }
        let mark = CancelMark { reason, by: &self.inner.settings.submitter };
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
            Err(error) => denied(format!("mark the task: {error}")),
        },
        why => Ok(Err(Error::Refused(format!("the mark below {}: {why}", path::CANCEL)))),
    }
}
