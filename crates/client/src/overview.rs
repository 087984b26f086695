//! The cluster at a glance: who rules, who stands by, who works, how much waits.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::admission::{AdmissionRecord, Closure, PaceRecord, RatesRecord};
use bellwether_core::protocol::record::{CoordinatorRecord, WorkerData, WorkerRecord, decode_worker};
use bellwether_core::protocol::request::{DrainRequest, PauseRecord};
use bellwether_core::protocol::{Node, WorkerId, path};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

/// The cluster at a glance. Its JSON is what `bellwether status` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Overview {
    /// Servers and root that were asked.
    pub zookeeper: String,
    /// Who rules; nobody if there is none.
    pub master: Option<Master>,
    /// Who stands by, the next one first.
    pub standbys: Vec<CoordinatorRecord>,
    /// Who is registered, by id.
    pub workers: Vec<WorkerView>,
    /// Since when nothing is assigned, because somebody wants it so, and why.
    pub paused: Option<Paused>,
    /// What may not come in, and why; nothing if everything may.
    pub closed: Vec<Closure>,
    /// How fast tasks with certain labels are assigned, by label.
    pub rates: BTreeMap<String, PaceRecord>,
    /// Who shall take nothing more, by the operator's names, whether or not there is such a worker.
    pub drains: BTreeMap<String, DrainRequest>,
    /// How much there is of what.
    pub queue: Queue,
}

/// That nothing is assigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Paused {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: Option<String>,
    /// Who wanted it.
    pub by: Option<String>,
}

/// The master in office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Master {
    /// What the operator called it; unknown of a foreign one.
    pub name: Option<String>,
    /// Host it runs on.
    pub host: Option<String>,
    /// Its process.
    pub pid: Option<u32>,
    /// Where it serves metrics and health.
    pub http: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its term.
    pub epoch: Option<i32>,
    /// Since when it rules.
    pub since: Timestamp,
    /// Whether it is one of ours.
    pub foreign: bool,
}

/// A registered worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkerView {
    /// Its incarnation.
    pub worker: WorkerId,
    /// What the operator called it; unknown of a foreign one.
    pub name: Option<String>,
    /// Host it runs on.
    pub host: Option<String>,
    /// Its process.
    pub pid: Option<u32>,
    /// How many slots it has for tasks; 0 while it leaves.
    pub slots: u32,
    /// How many tasks it was given.
    pub assigned: u32,
    /// What tasks may require.
    pub labels: BTreeMap<String, String>,
    /// How much it has of what tasks take while they run.
    pub resources: BTreeMap<String, u32>,
    /// The kinds of tasks that it has handlers for.
    pub kinds: BTreeSet<String>,
    /// Whether it runs commands.
    pub commands: bool,
    /// Where it serves metrics and health.
    pub http: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Since when it is registered.
    pub since: Timestamp,
    /// How it drains, if somebody wants it to take nothing more.
    pub drain: Option<DrainRequest>,
    /// Whether it is one of ours.
    pub foreign: bool,
}

/// How much there is of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Queue {
    /// Tasks that wait for a free slot.
    pub pending: u32,
    /// Tasks that may not run yet.
    pub held: u32,
    /// Tasks that workers have, registered or gone.
    pub assigned: u32,
    /// Results that are kept.
    pub ended: u32,
    /// Dead letters that are kept.
    pub dead: u32,
}

impl Overview {
    /// A cluster without anybody.
    #[must_use]
    pub fn empty(zookeeper: String) -> Self {
        Self {
            zookeeper,
            master: None,
            standbys: Vec::new(),
            workers: Vec::new(),
            paused: None,
            closed: Vec::new(),
            rates: BTreeMap::new(),
            drains: BTreeMap::new(),
            queue: Queue::default(),
        }
    }

    /// How many slots the workers' tasks take, and how many there are. What waits at a worker for a slot takes none.
    #[must_use]
    pub fn slots(&self) -> (u32, u32) {
        let taken = self.workers.iter().map(|worker| worker.assigned.min(worker.slots)).sum();
        (taken, self.workers.iter().map(|worker| worker.slots).sum())
    }
}

impl WorkerView {
    /// A worker that says nothing of itself.
    #[must_use]
    pub fn foreign(worker: WorkerId, since: Timestamp) -> Self {
        let (labels, resources) = (BTreeMap::new(), BTreeMap::new());
        Self {
            worker,
            name: None,
            host: None,
            pid: None,
            slots: 0,
            assigned: 0,
            labels,
            resources,
            kinds: BTreeSet::new(),
            commands: true,
            http: None,
            version: None,
            since,
            drain: None,
            foreign: true,
        }
    }
}

/// Reads all of it: by a fixed number of requests, and one more for each hundred workers, boxes, standbys and drains.
pub(crate) async fn read(store: &Store, zookeeper: String) -> Result<Overview, ReadError> {
    store.sync().await?;
    let office = store.get(path::MASTER);
    let counts = [path::TASKS, path::HELD, path::STATUS, path::DEAD].map(|place| store.stat(place));
    let master = office.await?.map(|node| master_of(&node));
    let mut numbers = [0; 4];
    for (number, count) in numbers.iter_mut().zip(counts) {
        *number = count.await?.map_or(0, |stat| u32::try_from(stat.children).unwrap_or(0));
    }
    let [pending, held, ended, dead] = numbers;
    let boxes = boxes(store).await?;
    let queue = Queue { pending, held, assigned: boxes.values().sum(), ended, dead };
    let drains = drains(store).await?;
    let workers = workers(store, &boxes, &drains).await?;
    let paused = store.get(path::PAUSED).await?.map(|node| paused_of(&node));
    let (admission, rates) = (store.get(path::ADMISSION), store.get(path::RATES));
    let closed = admission.await?.map(|node| AdmissionRecord::decode(&node.data).closed).unwrap_or_default();
    let rates = rates.await?.map(|node| RatesRecord::decode(&node.data).labels).unwrap_or_default();
    Ok(Overview { zookeeper, master, standbys: standbys(store).await?, workers, paused, closed, rates, drains, queue })
}

pub(crate) fn master_of(node: &Node) -> Master {
    let since = Timestamp::from_millisecond(node.stat.ctime_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    match serde_json::from_slice::<CoordinatorRecord>(&node.data) {
        Ok(record) => Master {
            name: Some(record.name),
            host: Some(record.host),
            pid: Some(record.pid),
            http: Some(record.http),
            version: Some(record.version),
            epoch: record.epoch,
            since: record.since.unwrap_or(since),
            foreign: false,
        },
        Err(_) => Master { name: None, host: None, pid: None, http: None, version: None, epoch: None, since, foreign: true },
    }
}

/// How many assignments lie in each box.
async fn boxes(store: &Store) -> Result<BTreeMap<WorkerId, u32>, ReadError> {
    let names = store.children(path::ASSIGN).await?.unwrap_or_default();
    let paths = names.iter().map(|name| path::assign_box(&WorkerId::listed(name))).collect();
    let mut boxes = BTreeMap::new();
    for (name, (_, answer)) in names.iter().zip(reader::read_small_nodes(store, paths).await) {
        if let Some(node) = answer? {
            boxes.insert(WorkerId::listed(name), u32::try_from(node.stat.children).unwrap_or(0));
        }
    }
    Ok(boxes)
}

/// What people ask of workers. What the master asks of incarnations lies beside it.
async fn drains(store: &Store) -> Result<BTreeMap<String, DrainRequest>, ReadError> {
    let mut names = store.children(path::WORKER_REQUESTS).await?.unwrap_or_default();
    names.retain(|name| WorkerId::listed(name).operator_name().is_none());
    let paths = names.iter().map(|name| path::worker_request(name)).collect();
    let mut drains = BTreeMap::new();
    for (name, (_, answer)) in names.into_iter().zip(reader::read_small_nodes(store, paths).await) {
        drains.extend(answer?.map(|node| (name, DrainRequest::decode(&node.data))));
    }
    Ok(drains)
}

fn paused_of(node: &Node) -> Paused {
    let since = Timestamp::from_millisecond(node.stat.ctime_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let record = serde_json::from_slice::<PauseRecord>(&node.data).ok();
    let (reason, by) = record.map_or((None, None), |record| (record.reason, record.by));
    Paused { since, reason, by }
}

async fn workers(
    store: &Store,
    boxes: &BTreeMap<WorkerId, u32>,
    drains: &BTreeMap<String, DrainRequest>,
) -> Result<Vec<WorkerView>, ReadError> {
    let mut names = store.children(path::WORKERS).await?.unwrap_or_default();
    names.sort();
    let paths = names.iter().map(|name| path::worker(&WorkerId::listed(name))).collect();
    let mut workers = Vec::new();
    for (name, (_, answer)) in names.iter().zip(reader::read_small_nodes(store, paths).await) {
        if let Some(node) = answer? {
            let id = WorkerId::listed(name);
            let assigned = boxes.get(&id).copied().unwrap_or(0);
            let drain = id.operator_name().and_then(|name| drains.get(name)).cloned();
            workers.push(WorkerView { drain, ..worker_of(id, assigned, &node) });
        }
    }
    Ok(workers)
}

/// Where the pages of a worker are: those of this incarnation, else of one that has its name.
pub(crate) async fn pages_of(store: &Store, worker: &WorkerId) -> Result<Option<String>, ReadError> {
    let http = |node: Node| match decode_worker(&node.data) {
        WorkerData::Ours(record) => Some(record.http.clone()).filter(|http| !http.is_empty()),
        WorkerData::Foreign => None,
    };
    if let Some(node) = store.get(&path::worker(worker)).await? {
        return Ok(http(node));
    }
    let names = store.children(path::WORKERS).await?.unwrap_or_default();
    let same = |id: &WorkerId| id.operator_name().is_some() && id.operator_name() == worker.operator_name();
    let Some(later) = names.iter().map(|name| WorkerId::listed(name)).find(same) else { return Ok(None) };
    Ok(store.get(&path::worker(&later)).await?.and_then(http))
}

fn worker_of(worker: WorkerId, assigned: u32, node: &Node) -> WorkerView {
    let since = Timestamp::from_millisecond(node.stat.ctime_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    match decode_worker(&node.data) {
        WorkerData::Ours(record) => ours(worker, assigned, *record, since),
        WorkerData::Foreign => WorkerView { assigned, ..WorkerView::foreign(worker, since) },
    }
}

fn ours(worker: WorkerId, assigned: u32, record: WorkerRecord, since: Timestamp) -> WorkerView {
    WorkerView {
        worker,
        name: Some(record.name),
        host: Some(record.host),
        pid: Some(record.pid),
        slots: record.slots,
        assigned,
        labels: record.labels,
        resources: record.resources,
        kinds: record.kinds,
        commands: record.commands,
        http: Some(record.http),
        version: Some(record.version),
        since,
        drain: None,
        foreign: false,
    }
}

async fn standbys(store: &Store) -> Result<Vec<CoordinatorRecord>, ReadError> {
    let mut names = store.children(path::STANDBYS).await?.unwrap_or_default();
    // The queue's order is that of the numbers at the end, whatever the names begin with.
    names.sort_by_key(|name| name.len().checked_sub(10).and_then(|at| name.get(at..)).map(str::to_owned));
    let paths = names.iter().map(|name| path::standby(name)).collect();
    let mut standbys = Vec::new();
    for (_, answer) in reader::read_small_nodes(store, paths).await {
        standbys.extend(answer?.and_then(|node| serde_json::from_slice(&node.data).ok()));
    }
    Ok(standbys)
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::Stat;

    use super::*;

    fn node(data: &[u8]) -> Node {
        Node { data: data.to_vec(), stat: Stat { ctime_ms: 1000, ..Stat::default() } }
    }

    #[test]
    fn foreign_masters_and_workers_are_shown_as_such() {
        let master = master_of(&node(b"3a4f"));
        assert!(master.foreign && master.name.is_none());
        assert_eq!(master.since.as_millisecond(), 1000);
        let worker = worker_of(WorkerId::listed("worker-7"), 1, &node(b"Idle"));
        assert!(worker.foreign);
        assert_eq!((worker.slots, worker.assigned), (0, 1));
    }

    #[test]
    fn a_master_of_ours_is_shown_with_its_term() {
        let data = br#"{"bellwether":1,"name":"c1","host":"h","pid":7,"http":"h:1","version":"0","epoch":12}"#;
        let master = master_of(&node(data));
        assert_eq!((master.name.as_deref(), master.epoch, master.foreign), (Some("c1"), Some(12), false));
    }
}
