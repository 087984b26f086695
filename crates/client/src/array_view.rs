//! Arrays as they are seen: how far one is, who runs what of it, where one element is and how it ended. Nothing here costs a request for
//! each element: what is not given out stands in one node, what is with workers in the names of assignments, what has ended in a few nodes
//! of some thousand elements each.

use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::array::{
    ArraySummary, ArrayTodo, ElementEnd, PieceName, PieceOrder, PieceRecord, Span, decode_results, piece_of,
};
use bellwether_core::protocol::payload::{self, Task};
use bellwether_core::protocol::result::{Stream as Written, TaskOutcome, TaskResult};
use bellwether_core::protocol::{Node, TaskName, WorkerId, path};
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::finding::{self, created};
use crate::reading;
use crate::task::{TaskState, TaskView};

/// How far an array is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ArrayProgress {
    /// What has ended, for good.
    #[serde(flatten)]
    pub summary: ArraySummary,
    /// How many elements wait to be given out.
    pub waiting: u32,
    /// How many are with workers, or ended and not counted yet.
    pub running: u32,
    /// Why nothing more is given out, if that is so before all have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// An array, and who runs what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ArrayView {
    /// The array as a task, with its progress.
    #[serde(flatten)]
    pub task: TaskView,
    /// What workers have of it at the moment.
    pub pieces: Vec<PieceView>,
}

/// Elements that follow one another and are with one worker, which runs them one after another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PieceView {
    /// Who has them.
    pub worker: WorkerId,
    /// The first of them.
    pub from: u32,
    /// The last of them.
    pub to: u32,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// Since when it has them.
    pub since: Timestamp,
}

/// How one element of an array ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Element {
    /// Its number.
    pub element: u32,
    /// How it ended.
    pub outcome: TaskOutcome,
    /// The same with the exit code, or the signal.
    pub end: ElementEnd,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Who ran it.
    pub worker: WorkerId,
    /// Why it ended as it did, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What its handler returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The end of what it wrote to its standard error, if it failed and that was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Written>,
}

impl ArrayProgress {
    /// As its node says.
    pub(crate) fn of(todo: &ArrayTodo) -> Self {
        let stopped = todo.stopped.as_ref().map(|stopped| stopped.reason.clone());
        Self { summary: todo.summary.clone(), waiting: todo.left(), running: todo.out(), stopped }
    }

    /// Of an array of which nothing was given out.
    pub(crate) fn new(span: Span) -> Self {
        Self { summary: ArraySummary::new(span), waiting: span.len(), running: 0, stopped: None }
    }

    /// Of one that has ended.
    pub(crate) fn ended(summary: ArraySummary) -> Self {
        Self { summary, waiting: 0, running: 0, stopped: None }
    }

    /// How many elements have ended.
    #[must_use]
    pub fn done(&self) -> u32 {
        self.summary.tally.ended()
    }

    /// Where an array that has not ended is in its life: with workers as soon as anything of it is.
    fn state(&self, todo: &ArrayTodo) -> TaskState {
        let resting = !todo.waiting.is_empty() && todo.waiting.iter().all(|waiting| waiting.due_ms > 0);
        match self.running {
            0 if resting => TaskState::Held,
            0 => TaskState::Pending,
            _ => TaskState::Assigned,
        }
    }
}

/// An array that has not ended, out of its two nodes; `None` if it is none.
pub(crate) fn living(array: &TaskName, node: &Node, todo: &Node) -> Option<TaskView> {
    let todo = ArrayTodo::decode(&todo.data)?;
    let progress = ArrayProgress::of(&todo);
    let view = TaskView::living(array.clone(), progress.state(&todo), None, &node.data, created(node));
    Some(TaskView { not_before: None, array: Some(Box::new(progress)), ..view })
}

/// What workers have, of one array, or of all: as many nodes are read as there are pieces.
pub(crate) async fn pieces(store: &Store, of: Option<&TaskName>) -> Result<Vec<(TaskName, PieceView)>, ReadError> {
    let names = store.children(path::ASSIGN).await?.unwrap_or_default();
    let workers: Vec<WorkerId> = names.iter().map(|name| WorkerId::listed(name)).collect();
    let boxes = workers.iter().map(path::assign_box).collect();
    let mut named = Vec::new();
    for (worker, (_, names)) in workers.iter().zip(reader::list_many(store, boxes).await) {
        let names = names?.unwrap_or_default().into_iter().map(|name| TaskName::listed(&name));
        let wanted = names.filter(|name| piece_of(name).is_some_and(|(array, _)| of.is_none_or(|of| *of == array)));
        named.extend(wanted.map(|name| (worker.clone(), name)));
    }
    let nodes = reader::read_nodes(store, named.iter().map(|(worker, name)| path::assignment(worker, name)).collect()).await;
    let mut pieces = Vec::new();
    for ((worker, name), (_, node)) in named.into_iter().zip(nodes) {
        // It may have ended in between.
        let order = node?.and_then(|node| PieceOrder::decode(&name, &node.data).map(|order| (order, created(&node))));
        let Some((order, since)) = order else { continue };
        pieces.push((order.array.clone(), PieceView { worker, from: order.from, to: order.to, attempt: order.attempt(), since }));
    }
    pieces.sort_by_key(|(_, piece)| (piece.from, piece.to));
    Ok(pieces)
}

/// What pieces take of their workers: each as much as one element, which is what it is shown as.
pub(crate) async fn taken(store: &Store) -> Result<Vec<TaskView>, ReadError> {
    let pieces = pieces(store, None).await?;
    let arrays: std::collections::BTreeSet<&TaskName> = pieces.iter().map(|(array, _)| array).collect();
    let nodes = reader::read_nodes(store, arrays.iter().map(|array| path::array(array)).collect()).await;
    let mut of_array = std::collections::BTreeMap::new();
    for (array, (_, node)) in arrays.into_iter().zip(nodes) {
        of_array.extend(node?.map(|node| (array.clone(), node)));
    }
    let view = |(array, piece): &(TaskName, PieceView)| {
        let node = of_array.get(array)?;
        let view = TaskView::living(array.element(piece.from), TaskState::Assigned, Some(piece.worker.clone()), &node.data, created(node));
        Some(TaskView { array: None, array_of: Some(array.clone()), ..view })
    };
    Ok(pieces.iter().filter_map(view).collect())
}

/// The array of this name; `None` if there is none.
pub(crate) async fn read(store: &Store, array: &TaskName) -> Result<Option<ArrayView>, ReadError> {
    let Some(task) = finding::find(store, array).await?.filter(|view| view.array.is_some()) else { return Ok(None) };
    let pieces = if task.state.is_final() { Vec::new() } else { pieces(store, Some(array)).await? };
    Ok(Some(ArrayView { task, pieces: pieces.into_iter().map(|(_, piece)| piece).collect() }))
}

/// Where an element of an array is; `None` if this is none. It is looked for in the order in which elements go: one that goes on meanwhile
/// is met later.
pub(crate) async fn element(store: &Store, name: &TaskName) -> Result<Option<TaskView>, ReadError> {
    let Some((array, index)) = name.group() else { return Ok(None) };
    let (node, todo) = (store.get(&path::array(&array)), store.get(&path::array_todo(&array)));
    let Some(node) = node.await? else { return not_taken_in(store, name, &array, index).await };
    let Some(asked) = payload::decode(&node.data).ok().filter(|task| has(task, index)) else { return Ok(None) };
    let view = TaskView::living(name.clone(), TaskState::Pending, None, &node.data, created(&node));
    let view = TaskView { array: None, array_of: Some(array.clone()), not_before: None, ..view };
    let todo = todo.await?.and_then(|node| ArrayTodo::decode(&node.data));
    if let Some(waiting) = todo.as_ref().and_then(|todo| todo.waiting.iter().find(|waiting| waiting.span.has(index))) {
        let due = Timestamp::from_millisecond(waiting.due_ms).ok().filter(|_| waiting.due_ms > 0);
        let state = if due.is_some() { TaskState::Held } else { TaskState::Pending };
        let (failures, losses) = (waiting.failures, waiting.losses);
        return Ok(Some(TaskView { state, not_before: due, failures, losses, attempt: failures + losses + 1, ..view }));
    }
    let pieces = pieces(store, Some(&array)).await?;
    if let Some((_, piece)) = pieces.into_iter().find(|(_, piece)| (piece.from..=piece.to).contains(&index)) {
        return Ok(Some(TaskView { state: TaskState::Assigned, worker: Some(piece.worker), attempt: piece.attempt, ..view }));
    }
    let ended = |result: TaskResult| {
        let since = result.ended;
        Some(TaskView { array_of: Some(array.clone()), ..TaskView::ended(result, since) })
    };
    match last_record(store, &array, index).await? {
        Some((record, end)) => Ok(ended(result_of(name, &asked, &record, end, index))),
        None if todo.is_none() => Ok(never_run(store, &array, name, &asked).await?.and_then(ended)),
        // On its way from a record back to what waits.
        None => Ok(Some(view)),
    }
}

/// An element of an array that no master has taken in yet: it waits where that waits. Looked at after the place where it would be
/// otherwise, it may have gone there meanwhile.
async fn not_taken_in(store: &Store, name: &TaskName, array: &TaskName, index: u32) -> Result<Option<TaskView>, ReadError> {
    let places = [(TaskState::Pending, path::task(array)), (TaskState::Held, path::held(array))];
    let places = places.map(|(state, place)| (state, store.get(&place)));
    for (state, place) in places {
        if let Some(node) = place.await?
            && payload::decode_waiting(&node.data).is_ok_and(|task| has(&task, index))
        {
            let view = TaskView::living(name.clone(), state, None, &node.data, created(&node));
            return Ok(Some(TaskView { array: None, array_of: Some(array.clone()), ..view }));
        }
    }
    Ok(None)
}

fn has(task: &Task, index: u32) -> bool {
    task.envelope.array.as_ref().is_some_and(|array| array.span().has(index))
}

/// How many nodes of results are read at once.
const PAGE: usize = 8;

/// The record by which an element has ended: one that was not taken in yet, or the last of those that were.
async fn last_record(store: &Store, array: &TaskName, index: u32) -> Result<Option<(PieceRecord, ElementEnd)>, ReadError> {
    let names = store.children(&path::array(array)).await?.unwrap_or_default();
    let fresh = names.iter().filter_map(|name| PieceName::parse(name)).filter(|piece| piece.span.has(index));
    let fresh = fresh.map(|piece| path::array_record(array, &piece)).collect();
    for (_, answer) in reader::read_nodes(store, fresh).await {
        let record = answer?.and_then(|node| PieceRecord::decode(&node.data));
        if let Some(found) = record.and_then(|record| final_in(record, index)) {
            return Ok(Some(found));
        }
    }
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix("results-")?.parse().ok()).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    for page in numbers.chunks(PAGE) {
        let paths = page.iter().map(|number| path::array_results(array, *number)).collect();
        for (_, answer) in reader::read_nodes(store, paths).await {
            let records = answer?.map(|node| decode_results(&node.data)).unwrap_or_default();
            if let Some(found) = records.into_iter().rev().find_map(|record| final_in(record, index)) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// All that was recorded of an array: what was taken in, in that order, and what was not yet.
pub(crate) async fn records(store: &Store, array: &TaskName) -> Result<Vec<PieceRecord>, ReadError> {
    let names = store.children(&path::array(array)).await?.unwrap_or_default();
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix("results-")?.parse().ok()).collect();
    numbers.sort_unstable();
    let mut records = Vec::new();
    for page in numbers.chunks(PAGE) {
        let paths = page.iter().map(|number| path::array_results(array, *number)).collect();
        for (_, answer) in reader::read_nodes(store, paths).await {
            records.extend(answer?.map(|node| decode_results(&node.data)).unwrap_or_default());
        }
    }
    let fresh = names.iter().filter_map(|name| PieceName::parse(name)).map(|piece| path::array_record(array, &piece)).collect();
    for (_, answer) in reader::read_nodes(store, fresh).await {
        records.extend(answer?.and_then(|node| PieceRecord::decode(&node.data)));
    }
    Ok(records)
}

fn final_in(record: PieceRecord, index: u32) -> Option<(PieceRecord, ElementEnd)> {
    let verdict = record.of(index).filter(|verdict| verdict.last)?;
    Some((record, verdict.end))
}

/// The result of an element, as of a task by itself.
fn result_of(name: &TaskName, asked: &Task, record: &PieceRecord, end: ElementEnd, index: u32) -> TaskResult {
    let kept = record.details.iter().find(|details| details.element == index).cloned().unwrap_or_default();
    let mut result = TaskResult::without_run(name.clone(), end.outcome(), String::new(), record.ended);
    match end {
        ElementEnd::Exit(code) => result.exit = Some(code),
        ElementEnd::Signal(signal) => result.signal = Some(signal),
        ElementEnd::TimedOut | ElementEnd::Rejected | ElementEnd::Cancelled | ElementEnd::WorkerLost => {}
    }
    result.reason = kept.reason.or_else(|| (result.exit.is_none() && result.signal.is_none()).then(|| end.to_string()));
    (result.attempt, result.worker, result.epoch) = (record.attempt, Some(record.worker.clone()), record.epoch);
    (result.stdout, result.stderr, result.value) = (kept.stdout, kept.stderr, kept.value);
    result.output.clone_from(&record.output);
    say_whose(&mut result, asked);
    result
}

fn say_whose(result: &mut TaskResult, asked: &Task) {
    let envelope = &asked.envelope;
    (result.name, result.submitter, result.labels) = (envelope.name.clone(), envelope.submitter.clone(), envelope.labels.clone());
}

/// Of an array that has ended: what was not run, ended with it.
async fn never_run(store: &Store, array: &TaskName, name: &TaskName, asked: &Task) -> Result<Option<TaskResult>, ReadError> {
    let Some(whole) = reading::result(store, array).await? else { return Ok(None) };
    let outcome = if whole.outcome == TaskOutcome::TimedOut { TaskOutcome::TimedOut } else { TaskOutcome::Cancelled };
    let reason = whole.reason.unwrap_or_else(|| "its array ended before it was run".to_owned());
    let mut result = TaskResult::without_run(name.clone(), outcome, reason, whole.ended);
    say_whose(&mut result, asked);
    Ok(Some(result))
}

/// Elements as they were recorded, node by node.
pub(crate) fn elements(client: Client, array: TaskName) -> impl Stream<Item = Result<Element, Error>> + use<> {
    let nodes = stream::unfold((client, array, Some(0)), |(client, array, number)| async move {
        let number: u32 = number?;
        let path = path::array_results(&array, number);
        let read = client.ask_again(move |store| store.get(&path)).await;
        let (records, next) = match read {
            Ok(Some(node)) => (Ok(decode_results(&node.data)), number.checked_add(1)),
            Ok(None) => (Ok(Vec::new()), None),
            Err(error) => (Err(error), None),
        };
        Some((records, (client, array, next)))
    });
    nodes.flat_map(|records| match records {
        Ok(records) => stream::iter(records.into_iter().flat_map(of_record).map(Ok).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error)]),
    })
}

fn of_record(mut record: PieceRecord) -> Vec<Element> {
    let mut kept: std::collections::BTreeMap<u32, _> =
        std::mem::take(&mut record.details).into_iter().map(|details| (details.element, details)).collect();
    let mut elements = Vec::new();
    for (span, end) in record.finals() {
        for element in span.elements() {
            let kept = kept.remove(&element).unwrap_or_default();
            let (attempt, worker) = (record.attempt, record.worker.clone());
            let (reason, value, stderr) = (kept.reason, kept.value, kept.stderr);
            elements.push(Element { element, outcome: end.outcome(), end, attempt, worker, reason, value, stderr });
        }
    }
    elements
}
