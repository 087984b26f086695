//! What became of a task, step by step, and of the office, term by term: from what ZooKeeper keeps of them, in its own order.

use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_core::protocol::array::{PieceRecord, Span};
use bellwether_core::protocol::payload;
use bellwether_core::protocol::record::{CoordinatorRecord, History as Terms};
use bellwether_core::protocol::result::AttemptRecord;
use bellwether_core::protocol::{Node, TaskName, WorkerId, path};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::array_view::{self, PieceView};
use crate::finding::created;
use crate::reading;
use crate::task::{TaskState, TaskView};

/// The steps of a task, the first one first. Its JSON is what `bellwether history` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TaskHistory {
    /// The task.
    pub task: TaskName,
    /// What happened. Of more than 32 attempts, the first ones are forgotten; of more than 1,000 pieces of an array, the first ones are left
    /// out.
    pub steps: Vec<Step>,
}

/// One step of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// When: by ZooKeeper's clock where there is a `zxid`, otherwise by that of the machine that noted it. Unknown of some.
    pub at: Option<Timestamp>,
    /// ZooKeeper's number of the transaction, in hex, if its node is there still.
    pub zxid: Option<String>,
    /// When it was over, of what takes time.
    pub until: Option<Timestamp>,
    /// `submitted`, `attempt`, `held`, `pending`, `given-out` (an array), `piece` (elements of an array that ran one after another),
    /// `assigned`, `cancel-asked`, `dead-letter` or `ended`.
    pub what: &'static str,
    /// Which elements of an array it is about, the first and the last of them.
    pub elements: Option<Span>,
    /// Which attempt it is about.
    pub attempt: Option<u32>,
    /// Who had it.
    pub worker: Option<WorkerId>,
    /// Under which term.
    pub epoch: Option<i32>,
    /// How it went on: why an attempt or the task ended, who submitted it, who wants it cancelled.
    pub why: Option<String>,
}

impl Step {
    fn new(what: &'static str) -> Self {
        Self { at: None, zxid: None, until: None, what, elements: None, attempt: None, worker: None, epoch: None, why: None }
    }

    fn of_node(what: &'static str, node: &Node) -> Self {
        Self { at: Some(created(node)), zxid: Some(format!("{:#x}", node.stat.czxid)), ..Self::new(what) }
    }

    fn of_attempt(record: &AttemptRecord) -> Self {
        Self {
            at: record.started.or(Some(record.ended)),
            attempt: Some(record.attempt),
            worker: Some(record.worker.clone()),
            epoch: record.epoch,
            why: Some(record.why.clone()),
            ..Self::new("attempt")
        }
    }

    fn of_record(record: &PieceRecord) -> Self {
        let last = record.from.saturating_add(record.done().saturating_sub(1));
        Self {
            at: Some(record.started),
            until: Some(record.ended),
            elements: Some(Span { from: record.from, to: last }),
            attempt: Some(record.attempt),
            worker: Some(record.worker.clone()),
            epoch: record.epoch,
            why: Some(told(record)),
            ..Self::new("piece")
        }
    }

    fn of_piece(piece: PieceView) -> Self {
        Self {
            at: Some(piece.since),
            elements: Some(Span { from: piece.from, to: piece.to }),
            attempt: Some(piece.attempt),
            worker: Some(piece.worker),
            ..Self::new("assigned")
        }
    }
}

/// What became of the elements of a piece.
fn told(record: &PieceRecord) -> String {
    let succeeded: u32 = record.runs.iter().filter(|(end, _)| end.is_success()).map(|(_, count)| *count).sum();
    let again = record.again.iter().map(Span::len).fold(0, u32::saturating_add);
    let others = [
        (record.done().saturating_sub(succeeded), "failed"),
        (again, "to be tried again"),
        (record.rest.map_or(0, |rest| rest.len()), "handed back"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0).map(|(count, how)| format!(", {count} {how}"));
    format!("{succeeded} succeeded{}", others.collect::<String>())
}

/// Most pieces of an array that are told of.
const PIECES_MAX: usize = 1_000;

/// What became of the pieces of an array, in the order in which they began, and who has some.
async fn of_pieces(store: &Store, array: &TaskName) -> Result<Vec<Step>, ReadError> {
    let mut steps: Vec<Step> =
        array_view::records(store, array).await?.iter().filter(|record| record.done() > 0).map(Step::of_record).collect();
    let out = array_view::pieces(store, Some(array)).await?;
    steps.extend(out.into_iter().map(|(_, piece)| Step::of_piece(piece)));
    steps.sort_by_key(|step| step.at);
    let more = steps.len().saturating_sub(PIECES_MAX);
    Ok(steps.split_off(more))
}

/// What is there of a task now.
#[derive(Debug, Default)]
struct Found {
    nodes: Vec<(Step, i64)>,
    attempts: Vec<AttemptRecord>,
    submitter: Option<String>,
    /// What became of an array since it is given out.
    pieces: Vec<Step>,
}

impl Found {
    fn living(&mut self, what: &'static str, worker: Option<WorkerId>, node: &Node) {
        let envelope = payload::decode_assigned(&node.data).ok().map(|task| task.envelope);
        let step = Step { worker, attempt: envelope.as_ref().map(payload::Envelope::attempt), ..Step::of_node(what, node) };
        if let Some(envelope) = envelope {
            self.attempts = envelope.attempts;
            self.submitter = envelope.submitter;
        }
        self.nodes.push((step, node.stat.czxid));
    }

    fn steps(mut self, task: &TaskName) -> Vec<Step> {
        let submitted = task.submitted_ms().and_then(|ms| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
        self.nodes.sort_by_key(|(_, zxid)| *zxid);
        let given_out = self.nodes.iter().position(|(step, _)| step.what == "given-out").map_or(self.nodes.len(), |index| index + 1);
        let later = self.nodes.split_off(given_out);
        let first = Step { at: submitted, why: self.submitter, ..Step::new("submitted") };
        // An attempt is over before the node is created that tells of it.
        std::iter::once(first)
            .chain(self.attempts.iter().map(Step::of_attempt))
            .chain(self.nodes.into_iter().map(|(step, _)| step))
            .chain(self.pieces)
            .chain(later.into_iter().map(|(step, _)| step))
            .collect()
    }
}

/// Looks everywhere; `None` if there is nothing of it.
pub(crate) async fn of_task(store: &Store, task: &TaskName) -> Result<Option<Vec<Step>>, ReadError> {
    let synced = store.sync();
    let places = [("pending", path::task(task)), ("held", path::held(task))].map(|(what, place)| (what, store.get(&place)));
    let (status, mark, letter) = (store.get(&path::status(task)), store.get(&path::cancel(task)), store.get(&path::dead(task)));
    let boxes = store.children(path::ASSIGN);
    let (array, todo) = (store.get(&path::array(task)), store.stat(&path::array_todo(task)));
    synced.await?;
    let mut found = Found::default();
    for (what, place) in places {
        if let Some(node) = place.await? {
            found.living(what, None, &node);
        }
    }
    if let Some(node) = mark.await? {
        let by = serde_json::from_slice::<serde_json::Value>(&node.data).ok().and_then(|mark| Some(mark.get("by")?.as_str()?.to_owned()));
        found.nodes.push((Step { why: by, ..Step::of_node("cancel-asked", &node) }, node.stat.czxid));
    }
    if let Some(node) = letter.await? {
        found.nodes.push((Step::of_node("dead-letter", &node), node.stat.czxid));
    }
    let workers: Vec<WorkerId> = boxes.await?.unwrap_or_default().iter().map(|worker| WorkerId::listed(worker)).collect();
    let assignments = workers.iter().map(|worker| path::assignment(worker, task)).collect();
    for (worker, (_, answer)) in workers.into_iter().zip(reader::read_nodes(store, assignments).await) {
        if let Some(node) = answer? {
            found.living("assigned", Some(worker), &node);
        }
    }
    // Its node has the number of the transaction that took it from where it was submitted, or wrote its first lines.
    let (array, todo, status) = (array.await?, todo.await?, status.await?);
    if let Some(node) = array.filter(|_| todo.is_some() || status.is_some()) {
        found.living("given-out", None, &node);
        found.pieces = of_pieces(store, task).await?;
    }
    if let Some(node) = status {
        let result = reading::of_status(store, task, &node).await?;
        let step = Step {
            attempt: Some(result.attempt),
            worker: result.worker.clone(),
            epoch: result.epoch,
            why: Some(result.why()),
            ..Step::of_node("ended", &node)
        };
        found.nodes.push((step, node.stat.czxid));
        found.attempts.clone_from(&result.attempts);
        found.submitter = result.submitter;
    }
    if found.nodes.is_empty()
        && let Some(view) = array_view::element(store, task).await?
    {
        return Ok(Some(of_element(&view)));
    }
    Ok((!found.nodes.is_empty()).then(|| found.steps(task)))
}

/// What is kept of an element of an array: where it is, or how it ended.
fn of_element(view: &TaskView) -> Vec<Step> {
    let submitted = Step { at: Some(view.since).filter(|_| view.result.is_none()), why: view.submitter.clone(), ..Step::new("submitted") };
    let ended = view.result.as_ref().map(|result| Step {
        at: Some(result.ended),
        epoch: result.epoch,
        why: Some(result.why()),
        ..Step::new("ended")
    });
    let now = match view.state {
        TaskState::Held => "held",
        TaskState::Assigned => "assigned",
        _ => "pending",
    };
    let last = ended.unwrap_or_else(|| Step::new(now));
    vec![submitted, Step { attempt: Some(view.attempt), worker: view.worker.clone(), ..last }]
}

/// Who ruled when, the first term first. Its JSON is what `bellwether master history` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OfficeHistory {
    /// The last 64 terms.
    pub terms: Vec<TermView>,
}

/// A term of mastership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TermView {
    /// The epoch.
    pub epoch: i32,
    /// What the operator called the coordinator.
    pub name: String,
    /// Host it ran on.
    pub host: String,
    /// Its session, in hex.
    pub session: String,
    /// When it won, by its own clock.
    pub since: Timestamp,
    /// How long nobody had ruled before, as far as it saw; unknown if it saw no vacancy begin.
    pub vacant_ms: Option<u64>,
    /// Whether it rules now.
    pub rules: bool,
    /// Why it ended, as its successor knows; unknown of the last one.
    pub ended: Option<String>,
}

/// Reads them.
pub(crate) async fn of_office(store: &Store) -> Result<OfficeHistory, ReadError> {
    let synced = store.sync();
    let (office, epoch) = (store.get(path::MASTER), store.get(path::EPOCH));
    synced.await?;
    let ruling = office.await?.and_then(|node| serde_json::from_slice::<CoordinatorRecord>(&node.data).ok()?.epoch);
    let terms = epoch.await?.map(|node| Terms::decode(&node.data).terms).unwrap_or_default();
    Ok(OfficeHistory { terms: views(terms, ruling) })
}

fn views(terms: Vec<bellwether_core::protocol::record::Term>, ruling: Option<i32>) -> Vec<TermView> {
    let ends: Vec<Option<String>> = terms.iter().skip(1).map(|next| Some(next.previous_ended.clone())).chain([None]).collect();
    let view = |(term, ended): (bellwether_core::protocol::record::Term, Option<String>)| TermView {
        rules: ruling == Some(term.epoch),
        epoch: term.epoch,
        name: term.name,
        host: term.host,
        session: term.session,
        since: term.since,
        vacant_ms: term.vacant_ms,
        ended,
    };
    terms.into_iter().zip(ends).map(view).collect()
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::record::Term;

    use super::*;

    #[test]
    fn a_term_ends_for_the_reason_that_its_successor_knows() {
        let term = |epoch: i32, previous_ended: &str| Term {
            epoch,
            name: "c".into(),
            host: "h".into(),
            session: "0x1".into(),
            since: Timestamp::UNIX_EPOCH,
            previous_ended: previous_ended.into(),
            vacant_ms: Some(7),
        };
        let views = views(vec![term(4, "there was none"), term(5, "upgrade")], Some(5));
        assert_eq!((views[0].ended.as_deref(), views[0].rules), (Some("upgrade"), false));
        assert_eq!((views[1].ended.as_deref(), views[1].rules, views[1].vacant_ms), (None, true, Some(7)));
    }

    #[test]
    fn attempts_come_between_submission_and_what_is_there() {
        let task = TaskName::generate(1_000, 0);
        let record = |attempt| AttemptRecord {
            attempt,
            worker: WorkerId::listed("w"),
            epoch: Some(1),
            started: None,
            ended: Timestamp::UNIX_EPOCH,
            why: "exit=1".into(),
        };
        let nodes = vec![(Step::new("ended"), 9), (Step::new("cancel-asked"), 8)];
        let submitter = Some("me@here".to_owned());
        let found = Found { nodes, attempts: vec![record(1), record(2)], submitter, pieces: Vec::new() };
        let steps = found.steps(&task);
        let what: Vec<&str> = steps.iter().map(|step| step.what).collect();
        assert_eq!(what, ["submitted", "attempt", "attempt", "cancel-asked", "ended"]);
        assert_eq!((steps[0].at, steps[0].why.as_deref()), (Timestamp::from_second(1).ok(), Some("me@here")));
    }

    #[test]
    fn pieces_of_an_array_come_between_its_giving_out_and_its_end() {
        let piece = Step { at: Timestamp::from_second(5).ok(), ..Step::new("piece") };
        let nodes = vec![(Step::new("ended"), 9), (Step::new("given-out"), 3), (Step::new("cancel-asked"), 8)];
        let found = Found { nodes, pieces: vec![piece], ..Found::default() };
        let what: Vec<&str> = found.steps(&TaskName::listed("a")).iter().map(|step| step.what).collect();
        assert_eq!(what, ["submitted", "given-out", "piece", "cancel-asked", "ended"]);
    }
}
