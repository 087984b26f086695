//! Lists of tasks: what lies where, filtered, in the order in which people look for it.

use std::collections::{BTreeMap, HashSet};

use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::array::piece_of;
use bellwether_core::protocol::result::{Status, decode_status};
use bellwether_core::protocol::{Node, TaskName, WorkerId, path};
use schemars::JsonSchema;
use serde::Serialize;

use crate::array_view;
use crate::finding::created;
use crate::reading;
use crate::task::{TaskState, TaskView};

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// In one of these states; in any if there is none. Whose payload is kept as a dead letter is dead, too, however it ended.
    pub states: Vec<TaskState>,
    /// With all of these labels.
    pub labels: BTreeMap<String, String>,
    /// With a name between these two, both included.
    pub between: Option<(TaskName, TaskName)>,
    /// Elements of this group.
    pub group: Option<TaskName>,
    /// Submitted under this key.
    pub key: Option<String>,
    /// At most so many; all if there is none.
    pub limit: Option<usize>,
}

/// Tasks, in this order: arrays that have not ended, assigned, pending and held ones by name, then ended ones, the last name first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listing {
    /// Those that passed the filter, up to the limit.
    pub tasks: Vec<TaskView>,
    /// Whether there may be more.
    pub more: bool,
}

/// Where a task was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    state: Option<TaskState>,
    task: TaskName,
    worker: Option<WorkerId>,
    path: String,
}

/// How many nodes are read before it is looked whether the limit is reached.
const PAGE: usize = 500;
/// The same where there is no limit: between two pages nothing is on its way.
const LARGE_PAGE: usize = 20_000;

impl Filter {
    fn wants(&self, state: TaskState) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    fn wants_ended(&self) -> bool {
        TaskState::ALL.into_iter().any(|state| state.is_final() && self.wants(state))
    }

    fn has(&self, task: &TaskName) -> bool {
        let between = self.between.as_ref().is_none_or(|(from, to)| (from..=to).contains(&task));
        between && self.group.as_ref().is_none_or(|group| task.group().is_some_and(|(of, _)| of == *group))
    }

    fn passes(&self, view: &TaskView) -> bool {
        let state = self.wants(view.state) || (view.dead_letter && self.wants(TaskState::Dead));
        let key = self.key.is_none() || self.key == view.key;
        state && key && self.labels.iter().all(|(label, value)| view.labels.get(label) == Some(value))
    }
}

/// Lists them. A task that moves meanwhile may be missing; one that was seen twice is shown once, where it came last.
pub(crate) async fn list(store: &Store, filter: &Filter) -> Result<Listing, ReadError> {
    store.sync().await?;
    let places = places(store, filter).await?;
    let mut arrays = arrays(store, filter).await?;
    let letters = letters(store, filter).await?;
    let limit = filter.limit.unwrap_or(usize::MAX);
    let mut tasks: Vec<TaskView> = Vec::new();
    let mut living: HashSet<TaskName> = HashSet::new();
    let size = if filter.limit.is_some() { PAGE } else { LARGE_PAGE };
    living.extend(arrays.iter().map(|view| view.task.clone()));
    tasks.append(&mut arrays);
    let (unended, ended) = places.split_at(places.iter().position(|place| place.state.is_none()).unwrap_or(places.len()));
    for page in unended.chunks(size).chain(ended.chunks(size)) {
        let unwanted = |place: &Place, node: &Node| {
            let outcome = place.state.is_none().then(|| outcome_of(&node.data)).flatten();
            let dead = filter.wants(TaskState::Dead) && letters.contains(place.task.as_str());
            outcome.is_some_and(|outcome| !filter.wants(outcome) && !dead)
        };
        for mut view in views(store, page, unwanted).await? {
            view.dead_letter = view.state.is_final() && letters.contains(view.task.as_str());
            if !filter.passes(&view) {
                continue;
            }
            if !view.state.is_final() {
                living.insert(view.task.clone());
            } else if living.remove(&view.task) {
                tasks.retain(|seen| seen.task != view.task);
            }
            tasks.push(view);
        }
        if tasks.len() > limit {
            break;
        }
    }
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    Ok(Listing { tasks, more })
}

/// The arrays that have not ended, by name: as many nodes are read as there are arrays.
pub(crate) async fn arrays(store: &Store, filter: &Filter) -> Result<Vec<TaskView>, ReadError> {
    let unended = TaskState::ALL.into_iter().any(|state| !state.is_final() && filter.wants(state));
    if !unended {
        return Ok(Vec::new());
    }
    let mut names = sorted(store.children(path::ARRAYS).await?);
    names.retain(|name| filter.has(name));
    // What has ended has no such node any more, and what is being submitted has none yet.
    let todos = reader::read_nodes(store, names.iter().map(path::array_todo).collect()).await;
    let mut living = Vec::new();
    for (name, (_, todo)) in names.into_iter().zip(todos) {
        living.extend(todo?.map(|todo| (name, todo)));
    }
    let nodes = reader::read_nodes(store, living.iter().map(|(name, _)| path::array(name)).collect()).await;
    let mut views = Vec::new();
    for ((name, todo), (_, node)) in living.into_iter().zip(nodes) {
        views.extend(node?.and_then(|node| array_view::living(&name, &node, &todo)).filter(|view| filter.passes(view)));
    }
    Ok(views)
}

async fn places(store: &Store, filter: &Filter) -> Result<Vec<Place>, ReadError> {
    let mut places = Vec::new();
    if filter.wants(TaskState::Assigned) {
        let mut boxes = store.children(path::ASSIGN).await?.unwrap_or_default();
        boxes.sort();
        let paths = boxes.iter().map(|worker| path::assign_box(&WorkerId::listed(worker))).collect();
        for (worker, (_, tasks)) in boxes.iter().zip(reader::list_many(store, paths).await) {
            let worker = WorkerId::listed(worker);
            // Pieces belong to the rows of their arrays.
            for task in sorted(tasks?).into_iter().filter(|task| piece_of(task).is_none()) {
                let path = path::assignment(&worker, &task);
                places.push(Place { state: Some(TaskState::Assigned), task, worker: Some(worker.clone()), path });
            }
        }
    }
    for (state, parent, path_of) in
        [(TaskState::Pending, path::TASKS, path::task as fn(&TaskName) -> String), (TaskState::Held, path::HELD, path::held)]
    {
        if filter.wants(state) {
            let tasks = sorted(store.children(parent).await?);
            places.extend(tasks.into_iter().map(|task| Place { state: Some(state), worker: None, path: path_of(&task), task }));
        }
    }
    if filter.wants_ended() {
        let tasks = sorted(store.children(path::STATUS).await?).into_iter().rev();
        places.extend(tasks.map(|task| Place { state: None, worker: None, path: path::status(&task), task }));
    }
    places.retain(|place| filter.has(&place.task));
    Ok(places)
}

/// The names of all dead letters, if any ended task is wanted.
async fn letters(store: &Store, filter: &Filter) -> Result<HashSet<String>, ReadError> {
    match filter.wants_ended() {
        true => Ok(store.children(path::DEAD).await?.unwrap_or_default().into_iter().collect()),
        false => Ok(HashSet::new()),
    }
}

fn sorted(names: Option<Vec<String>>) -> Vec<TaskName> {
    let mut names = names.unwrap_or_default();
    names.sort();
    names.iter().map(|name| TaskName::listed(name)).collect()
}

/// How a task ended, if that can be seen without reading the whole result: there may be a hundred thousand of them. Our own programs
/// write it behind the name, and what looks like it inside a name has backslashes in between.
fn outcome_of(status: &[u8]) -> Option<TaskState> {
    /// The longest name, with all of its characters escaped, fits.
    const FRONT: usize = 2_000;
    const KEY: &[u8] = br#"","outcome":""#;
    let rest = status.strip_prefix(br#"{"bellwether":1,"task":""#)?;
    let front = &rest[..rest.len().min(FRONT)];
    let at = front.windows(KEY.len()).position(|bytes| bytes == KEY)? + KEY.len();
    let word = rest[at..].split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Those that are `unwanted` are passed over before they are understood.
async fn views(store: &Store, page: &[Place], unwanted: impl Fn(&Place, &Node) -> bool + Send) -> Result<Vec<TaskView>, ReadError> {
    let paths = page.iter().map(|place| place.path.clone()).collect();
    // A payload may be half a mebibyte, and a hundred of them are too much for one reply.
    let nodes = match page.iter().all(|place| place.state.is_none()) {
        true => reader::read_small_nodes(store, paths).await,
        false => reader::read_nodes(store, paths).await,
    };
    let mut views = Vec::new();
    for (place, (_, answer)) in page.iter().zip(nodes) {
        match answer {
            Ok(Some(node)) if unwanted(place, &node) => {}
            Ok(Some(node)) => views.push(view(place, &node)),
            // It moved on, or its owner lets nobody read it.
            Ok(None) | Err(ReadError::NoAuth { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(views)
}

fn view(place: &Place, node: &Node) -> TaskView {
    let since = created(node);
    match place.state {
        Some(state) => TaskView::living(place.task.clone(), state, place.worker.clone(), &node.data, since),
        None => {
            // The details of plain results are not read for a list: the words have the outcome and the code.
            let result = match decode_status(&node.data) {
                Status::Full(result) => *result,
                Status::Plain { words, .. } => reading::of_words(&place.task, &words, node),
            };
            TaskView::ended(result, since)
        }
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::Stat;
    use bellwether_core::protocol::result::{TaskOutcome, TaskResult};

    use super::*;

    #[test]
    fn an_ended_task_is_found_by_the_labels_of_its_result() {
        let mut filter = Filter::default();
        assert!(filter.wants_ended() && filter.wants(TaskState::Held));
        let result = br#"{"bellwether":1,"task":"t","outcome":"failed","attempt":1,"ended":"1970-01-01T00:00:00Z","labels":{"job":"a"}}"#;
        let place = Place { state: None, task: TaskName::listed("t"), worker: None, path: String::new() };
        let view = view(&place, &Node { data: result.to_vec(), stat: Stat::default() });
        filter.labels.insert("job".into(), "a".into());
        assert!(filter.wants_ended() && filter.passes(&view));
        filter.labels.insert("job".into(), "b".into());
        assert!(!filter.passes(&view));
        let filter = Filter { states: vec![TaskState::Failed], ..Filter::default() };
        assert!(filter.wants_ended() && !filter.wants(TaskState::Pending));
    }

    #[test]
    fn an_outcome_is_seen_at_a_glance_or_not_at_all() {
        let result = |task: &str| {
            let task = TaskName::listed(task);
            let result = TaskResult::without_run(task, TaskOutcome::TimedOut, "x".into(), jiff::Timestamp::UNIX_EPOCH);
            serde_json::to_vec(&result).expect("JSON")
        };
        assert_eq!(outcome_of(&result("t")), Some(TaskState::TimedOut));
        assert_eq!(outcome_of(&result(r#"x","outcome":"failed"#)), Some(TaskState::TimedOut));
        for unseen in [&b"done"[..], b"", br#"{"outcome":"failed","bellwether":1}"#, br#"{"bellwether":1,"task":"t","outcome":"lost"}"#] {
            assert_eq!(outcome_of(unseen), None);
        }
    }

    #[test]
    fn a_failed_task_with_a_letter_is_dead_and_failed() {
        let place = Place { state: None, task: TaskName::listed("t"), worker: None, path: String::new() };
        let mut view = view(&place, &Node { data: b"failed exit=1".to_vec(), stat: Stat::default() });
        let only = |state| Filter { states: vec![state], ..Filter::default() };
        assert!(only(TaskState::Failed).passes(&view) && !only(TaskState::Dead).passes(&view));
        view.dead_letter = true;
        assert!(only(TaskState::Failed).passes(&view) && only(TaskState::Dead).passes(&view));
    }

    #[test]
    fn labels_must_all_match() {
        let payload = br#"{"bellwether":1,"shell":"true","labels":{"job":"a","user":"b"}}"#;
        let place = Place { state: Some(TaskState::Pending), task: TaskName::listed("t"), worker: None, path: String::new() };
        let view = view(&place, &Node { data: payload.to_vec(), stat: Stat::default() });
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let with = |pairs| Filter { labels: labels(pairs), ..Filter::default() };
        assert!(with(&[("job", "a")]).passes(&view) && with(&[("job", "a"), ("user", "b")]).passes(&view));
        assert!(!with(&[("job", "b")]).passes(&view) && !with(&[("job", "a"), ("x", "y")]).passes(&view));
    }
}
