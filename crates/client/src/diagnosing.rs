//! What is wrong with a cluster, as far as its tree tells, and how to mend it.
//!
//! Nothing here is changed by looking but one ephemeral node that is deleted at once. What can be mended safely is a [`Fix`]: it is made
//! of versions and absences that were seen, so that it does nothing when they have changed since.

use std::time::Duration;

use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::admission::AdmissionRecord;
use bellwether_core::protocol::multi::MULTI_BYTES_MAX;
use bellwether_core::protocol::version::{self, Admission};
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, WorkerId, layout, path};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;

/// What one look has found. Its JSON is what `bellwether doctor` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// What was looked at, in a word.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub severity: Severity,
    /// What was seen.
    pub text: String,
    /// How to mend it; empty if there is nothing to mend.
    pub mend: String,
    /// What `--fix` would do.
    #[serde(skip)]
    pub fix: Option<Fix>,
}

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is.
    Fine,
    /// It works, but somebody should look at it.
    Odd,
    /// Something does not work.
    Broken,
}

/// What is safe to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// Create what is missing of the layout.
    Layout,
    /// Delete this empty node, if it is as it was seen.
    Delete {
        /// Its path.
        path: String,
        /// The version that was seen.
        version: i32,
    },
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn fine(check: &'static str, text: String) -> Self {
        Self { check, severity: Severity::Fine, text, mend: String::new(), fix: None }
    }

    /// Somebody should look at it.
    #[must_use]
    pub fn odd(check: &'static str, text: String, mend: String) -> Self {
        Self { check, severity: Severity::Odd, text, mend, fix: None }
    }

    /// It does not work.
    #[must_use]
    pub fn broken(check: &'static str, text: String, mend: String) -> Self {
        Self { check, severity: Severity::Broken, text, mend, fix: None }
    }

    fn with(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

/// A clock that is further away than this spoils delays that people compute.
const SKEW_MAX: Duration = Duration::from_secs(5);

/// Whether ZooKeeper takes requests as large as ours may be. What is asked for is refused for another reason, so that nothing changes.
pub(crate) async fn size(store: &Store) -> Finding {
    const ROOM: usize = 1024;
    let size = MULTI_BYTES_MAX - ROOM;
    // Nobody has ever set it so often.
    let probe = Multi::new().check(path::TASKS, i32::MAX).create(path::submitted("doctor"), vec![b'x'; size]);
    let shown = format!("{} KiB", size / 1024);
    match store.commit(probe).await {
        Outcome::Refused(Refusal::At { .. }) | Outcome::Applied(_) => Finding::fine("size", format!("requests of {shown} are taken")),
        Outcome::Unknown | Outcome::Refused(_) => Finding::broken(
            "size",
            format!("a request of {shown} was not answered: ZooKeeper cuts the connection, and with it everything that is on its way"),
            "let jute.maxbuffer be 1048575 (as it is unless set) or more for all servers".to_owned(),
        ),
    }
}

/// Whether this program may take part.
async fn protocol(store: &Store) -> Result<Finding, ReadError> {
    let said = store.get(path::VERSION).await?.map(|node| node.data);
    Ok(match version::admission(said.as_deref()) {
        Admission::Welcome => Finding::fine("protocol", format!("the cluster speaks protocol {}", shown(said.as_deref()))),
        Admission::Unsaid => {
            let text = format!("{} does not say which protocol the cluster speaks", path::VERSION);
            Finding::odd("protocol", text, format!("create what is missing of the layout; {} when it starts", who_lays_out(store)))
        }
        Admission::Refused(mismatch) => Finding::broken("protocol", mismatch.to_string(), "as it says".to_owned()),
    })
}

fn shown(data: Option<&[u8]>) -> String {
    String::from_utf8_lossy(data.unwrap_or_default()).trim().to_owned()
}

/// Looks at everything.
pub(crate) async fn look(store: &Store, asked_timeout: Duration) -> Result<Vec<Finding>, ReadError> {
    store.sync().await?;
    let mut findings = vec![timeout(store.timeout(), asked_timeout)];
    findings.push(layout_of(store).await?);
    findings.push(protocol(store).await?);
    findings.push(office(store).await?);
    findings.push(admission(store).await?);
    findings.extend(boxes(store).await?);
    findings.extend(children_of_tasks(store).await?);
    Ok(findings)
}

fn timeout(granted: Duration, asked: Duration) -> Finding {
    let (granted_text, asked_text) = (humantime::format_duration(granted), humantime::format_duration(asked));
    match granted == asked {
        true => Finding::fine("session", format!("sessions last {granted_text} without a sign of life, as configured")),
        false => Finding::odd(
            "session",
            format!("zookeeper.session_timeout is {asked_text}, ZooKeeper grants {granted_text}"),
            "change minSessionTimeout or maxSessionTimeout in zoo.cfg (2 and 20 ticks unless set), or ask for what is granted".to_owned(),
        ),
    }
}

async fn layout_of(store: &Store) -> Result<Finding, ReadError> {
    let looks: Vec<_> = layout::NODES.into_iter().chain([path::EPOCH]).map(|node| (node, store.stat(node))).collect();
    let mut missing = Vec::new();
    for (node, look) in looks {
        if look.await?.is_none() {
            missing.push(node);
        }
    }
    let by_us = missing.iter().any(|node| *node != path::EPOCH);
    Ok(match missing.as_slice() {
        [] => Finding::fine("layout", "every node of the layout is there".to_owned()),
        [path::EPOCH] => {
            Finding::odd("layout", "there is no epoch yet: no coordinator has ever ruled".to_owned(), "start a coordinator".to_owned())
        }
        missing => {
            let text = format!("{} nodes of the layout are missing: {}", missing.len(), missing.join(", "));
            let finding = Finding::odd("layout", text, format!("create them; {} when it starts", who_lays_out(store)));
            if by_us { finding.with(Fix::Layout) } else { finding }
        }
    })
}

fn who_lays_out(store: &Store) -> &'static str {
    match store.access().identities() {
        None => "any service does so",
        Some(_) => "the admin may (bellwether acl apply), and a coordinator does so",
    }
}

async fn office(store: &Store) -> Result<Finding, ReadError> {
    Ok(match store.get(path::MASTER).await? {
        None => Finding::broken("master", "nobody rules".to_owned(), "start a coordinator, or see in its log why it stands by".to_owned()),
        Some(node) if node.stat.ephemeral_owner == 0 => Finding::broken(
            "master",
            "/master belongs to nobody's session: it is a leftover, and nobody can rule until it is gone".to_owned(),
            "see who made it, and delete it with zkCli.sh: delete /master".to_owned(),
        ),
        Some(node) => match serde_json::from_slice::<bellwether_core::protocol::record::CoordinatorRecord>(&node.data) {
            Ok(record) => Finding::fine("master", format!("{} rules on {}", record.name, record.host)),
            Err(_) => {
                Finding::odd("master", "a foreign master rules: ours stand by".to_owned(), "stop it if it is not meant to rule".to_owned())
            }
        },
    })
}

async fn admission(store: &Store) -> Result<Finding, ReadError> {
    let record = store.get(path::ADMISSION).await?.map(|node| AdmissionRecord::decode(&node.data));
    let closed: Vec<String> = record.iter().flat_map(|record| &record.closed).map(ToString::to_string).collect();
    Ok(match closed.as_slice() {
        [] => Finding::fine("admission", "work is taken in".to_owned()),
        closed => {
            let mend = "start more workers, or cancel what nobody needs; the limits are coordinator.max_pending and coordinator.quota";
            Finding::odd("admission", format!("some work is kept out: {}", closed.join("; ")), mend.to_owned())
        }
    })
}

/// Boxes of workers that are gone: the master deletes them when they are empty. One that stays has been left by somebody else.
async fn boxes(store: &Store) -> Result<Vec<Finding>, ReadError> {
    let names = store.children(path::ASSIGN).await?.unwrap_or_default();
    let workers = store.children(path::WORKERS).await?.unwrap_or_default();
    let mut findings = Vec::new();
    let left: Vec<WorkerId> = names.iter().filter(|name| !workers.contains(name)).map(|name| WorkerId::listed(name)).collect();
    for worker in &left {
        let place = path::assign_box(worker);
        let Some(stat) = store.stat(&place).await? else { continue };
        findings.push(match stat.children {
            0 if worker.operator_name().is_some() => {
                Finding::odd("box", format!("{place} is empty, and its worker is gone"), format!("delete {place}"))
                    .with(Fix::Delete { path: place.clone(), version: stat.version })
            }
            tasks => Finding::odd(
                "box",
                format!("{place} has {tasks} tasks, and its worker is gone"),
                "the master takes them back: see whether one rules".to_owned(),
            ),
        });
    }
    if findings.is_empty() {
        findings.push(Finding::fine("box", format!("{} boxes, each with its worker", names.len())));
    }
    Ok(findings)
}

/// How many tasks are looked at: enough to find what somebody did by hand.
const TASKS_MAX: usize = 10_000;

async fn children_of_tasks(store: &Store) -> Result<Vec<Finding>, ReadError> {
    let names = store.children(path::TASKS).await?.unwrap_or_default();
    let tasks: Vec<TaskName> = names.iter().take(TASKS_MAX).map(|name| TaskName::listed(name)).collect();
    let mut findings = Vec::new();
    for page in tasks.chunks(500) {
        let stats: Vec<_> = page.iter().map(|task| (path::task(task), store.stat(&path::task(task)))).collect();
        for (place, stat) in stats {
            let children = stat.await?.map_or(0, |stat| stat.children);
            if children > 0 {
                let text = format!("{place} has {children} children: it can neither run nor end");
                findings.push(Finding::broken("children", text, format!("with zkCli.sh: deleteall what is below {place}")));
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::fine("children", format!("none of {} pending tasks has children", tasks.len())));
    }
    Ok(findings)
}

/// How far this machine's clock is from ZooKeeper's.
pub(crate) fn clock(zookeeper: Timestamp, here: Timestamp) -> Finding {
    let ms = here.as_millisecond() - zookeeper.as_millisecond();
    let skew = Duration::from_millis(ms.unsigned_abs());
    let way = if ms < 0 { "behind" } else { "ahead of" };
    let text = format!("this machine's clock is {} {way} ZooKeeper's", humantime::format_duration(skew));
    match skew > SKEW_MAX {
        true => Finding::odd(
            "clock",
            text,
            "synchronise the clocks (chrony, systemd-timesyncd): --at is by ZooKeeper's, times in results are not".to_owned(),
        ),
        false => Finding::fine("clock", text),
    }
}

/// Mends. That it is mended already is as good.
pub(crate) async fn mend(store: &Store, fix: &Fix) -> Result<Result<(), Error>, ReadError> {
    let Fix::Delete { path, version } = fix else {
        return match store.ensure_layout().await {
            Ok(()) => Ok(Ok(())),
            Err(bellwether_common::store::LayoutError::Read(error)) => Err(error),
            Err(error) => Ok(Err(Error::of_layout(error, "lay out the cluster"))),
        };
    };
    match store.commit(Multi::new().delete(path, Some(*version))).await {
        Outcome::Applied(_) | Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => Ok(Ok(())),
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => Err(ReadError::Interrupted),
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => Ok(Err(Error::Denied { what: format!("delete {path}") })),
        Outcome::Refused(refusal) => Ok(Err(Error::Refused(format!("the deletion of {path}, at {refusal}: it is not as it was")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_and_a_timeout_are_judged_by_how_far_they_are() {
        let at = |ms| Timestamp::from_millisecond(ms).expect("a time");
        assert_eq!(clock(at(10_000), at(12_000)).severity, Severity::Fine);
        let far = clock(at(10_000), at(3_000));
        assert!(far.severity == Severity::Odd && far.text.contains("7s behind"), "{far:?}");
        assert_eq!(timeout(Duration::from_secs(10), Duration::from_secs(10)).severity, Severity::Fine);
        assert!(timeout(Duration::from_secs(4), Duration::from_secs(10)).text.contains("grants 4s"));
    }
}
