//! What the master asks of ZooKeeper: watches, lists, reads and transactions, as tasks on ZooKeeper's runtime.

use std::time::Duration;

use actix::{AsyncContext, Context};
use bellwether_common::reader;
use bellwether_common::store::{ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::election;
use bellwether_core::master::{Aged, ArrayFound, Effect, Event, Ground, Reading};
use bellwether_core::protocol::{Multi, Node, TaskName, WorkerId, path};
use futures::stream::{self, StreamExt};
use tracing::{debug, warn};

use super::{Answers, MasterActor, WatchesArmed};

/// What a master watches, each with all that is below it. Not `/status`: the end of an assignment says that a slot is free.
const WATCHED: [&str; 8] =
    [path::TASKS, path::ASSIGN, path::WORKERS, path::CANCEL, path::HELD, path::GROUPS, path::WORKER_REQUESTS, path::PAUSED];
/// Most questions in flight, and most answers in one message.
const WINDOW: usize = 256;
/// Most nodes that are read by one request: what it costs is mostly the request, and some are large.
const TOGETHER: usize = 32;
/// Most such requests, and others, that are on their way.
const IN_FLIGHT: usize = 32;
/// How long to wait before a layout that could not be mended is tried again.
const MEND_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl MasterActor {
    pub(super) fn arm_watches(&mut self, context: &Context<Self>) {
        self.round += 1;
        let (round, own, store) = (self.round, context.address(), self.pen.store().clone());
        let (office, serial) = (self.office.clone(), self.serial());
        let arming: Vec<_> = WATCHED.iter().map(|tree| store.watch_tree(tree, own.clone().recipient())).collect();
        zk_runtime::spawn(async move {
            let mut watches = Vec::with_capacity(arming.len());
            for watch in arming {
                match watch.await {
                    Ok(watch) => watches.push(watch),
                    Err(error) => {
                        debug!(%error, "a watch could not be armed");
                        office.do_send(super::Told { serial, event: election::Event::WriteUnknown });
                        return;
                    }
                }
            }
            own.do_send(WatchesArmed { round, watches });
        });
    }

    /// Sends questions in core's order and posts the answers in portions. An answer that was cut off is no answer: the office
    /// proves itself anew, and everything is read again.
    pub(super) fn ask(&mut self, questions: Vec<Effect>, context: &Context<Self>) {
        if questions.is_empty() {
            return;
        }
        let (own, store) = (context.address(), self.pen.store().clone());
        let (office, serial) = (self.office.clone(), self.serial());
        zk_runtime::spawn(async move {
            let answers = stream::iter(together(questions)).map(|questions| answer_all(&store, questions)).buffered(IN_FLIGHT);
            let mut portions = answers.ready_chunks(IN_FLIGHT);
            while let Some(portion) = portions.next().await {
                let asked = portion.iter().map(Vec::len).sum::<usize>();
                let events: Vec<Event> = portion.into_iter().flatten().flatten().collect();
                let cut_off = events.len() < asked;
                // Waits until the actor has taken it in: so many answers and no more lie in its mailbox.
                if own.send(Answers(events)).await.is_err() {
                    return;
                }
                if cut_off {
                    office.do_send(super::Told { serial, event: election::Event::WriteUnknown });
                    return;
                }
            }
        });
    }

    pub(super) fn write(&mut self, id: u64, multi: Multi, context: &Context<Self>) {
        let own = context.address();
        let op = purpose(&multi);
        self.observer.writing(id, op, &multi);
        let writing = self.pen.write_as(op, multi);
        zk_runtime::spawn(async move {
            let outcome = writing.await;
            // Bounded by the transactions that core lets fly.
            own.do_send(Answers(vec![Event::WriteEnded(id, outcome)]));
        });
    }

    pub(super) fn mend_layout(&mut self, context: &Context<Self>) {
        let (own, store) = (context.address(), self.pen.store().clone());
        zk_runtime::spawn(async move {
            // What waits for the layout would be refused again at once if it were told too early.
            while let Err(error) = store.ensure_layout().await {
                warn!(%error, "the layout is incomplete and could not be mended");
                tokio::time::sleep(MEND_AGAIN_AFTER).await;
                if !own.connected() {
                    return;
                }
            }
            own.do_send(Answers(vec![Event::LayoutMended]));
        });
    }
}

/// The label under which a transaction is counted: the purpose of its first operation that says one.
fn purpose(multi: &Multi) -> &'static str {
    use bellwether_core::protocol::Op;
    let purpose = |op: &Op| match op {
        Op::Create { path, .. } if path.starts_with("/assign/") => Some("assign"),
        Op::Create { path, .. } if path.starts_with("/tasks/") => Some("take_back"),
        Op::Delete { path, .. } if path.starts_with(path::CANCEL) => Some("cancel"),
        Op::Create { .. } | Op::Delete { .. } | Op::Set { .. } | Op::Check { .. } => None,
    };
    multi.ops.iter().find_map(purpose).unwrap_or("housekeeping")
}

/// In their order: reads of a node each that follow one another go together.
fn together(questions: Vec<Effect>) -> Vec<Vec<Effect>> {
    let mut all: Vec<Vec<Effect>> = Vec::new();
    for question in questions {
        match all.last_mut().filter(|last| last.len() < TOGETHER && last.iter().chain([&question]).all(|one| place_of(one).is_some())) {
            Some(last) => last.push(question),
            None => all.push(vec![question]),
        }
    }
    all
}

/// Which node it reads, if it is one of those that are asked for in great numbers.
fn place_of(question: &Effect) -> Option<String> {
    match question {
        Effect::ReadTask(_, task) => Some(path::task(task)),
        Effect::ReadHeld(_, task) => Some(path::held(task)),
        Effect::ReadAssignment(_, worker, task) => Some(path::assignment(worker, task)),
        Effect::ReadCancel(_, task) => Some(path::cancel(task)),
        Effect::ReadStatus(_, task) => Some(path::status(task)),
        _ => None,
    }
}

/// An answer for each of them, `None` where it was cut off.
async fn answer_all(store: &Store, questions: Vec<Effect>) -> Vec<Option<Event>> {
    let Some(places) = questions.iter().map(place_of).collect::<Option<Vec<_>>>() else {
        let answers: Vec<_> = questions.into_iter().map(|question| answer(store, question)).collect();
        return futures::future::join_all(answers).await;
    };
    let found = reader::read_together(store, places).await;
    questions.into_iter().zip(found).map(|(question, (_, found))| heard(question, reading(found)?)).collect()
}

/// What it means that this was found.
fn heard(question: Effect, found: Reading) -> Option<Event> {
    match question {
        Effect::ReadTask(q, task) => Some(Event::TaskRead(q, task, found)),
        Effect::ReadHeld(q, task) => Some(Event::HeldRead(q, task, found)),
        Effect::ReadAssignment(q, worker, task) => Some(Event::AssignmentRead(q, worker, task, found)),
        Effect::ReadCancel(q, task) => Some(Event::CancelRead(q, task, found)),
        Effect::ReadStatus(q, task) => Some(Event::StatusRead(q, task, found)),
        _ => None,
    }
}

async fn answer(store: &Store, question: Effect) -> Option<Event> {
    match question {
        Effect::ListBoxes(q) => names(store, path::ASSIGN, WorkerId::listed).await.map(|boxes| Event::BoxesListed(q, boxes)),
        Effect::ListWorkers(q) => names(store, path::WORKERS, WorkerId::listed).await.map(|workers| Event::WorkersListed(q, workers)),
        Effect::ListTasks(q) => names(store, path::TASKS, TaskName::listed).await.map(|tasks| Event::TasksListed(q, tasks)),
        Effect::ListHeld(q) => names(store, path::HELD, TaskName::listed).await.map(|tasks| Event::HeldListed(q, tasks)),
        Effect::ReadGround(q) => ground(store).await.map(|ground| Event::GroundRead(q, ground)),
        Effect::LookFor(q, tasks) => look_for(store, tasks).await.map(|found| Event::LookedFor(q, found)),
        Effect::ListResults(q) => results(store).await.map(|results| Event::ResultsListed(q, results)),
        Effect::ListCancels(q) => names(store, path::CANCEL, TaskName::listed).await.map(|tasks| Event::CancelsListed(q, tasks)),
        Effect::ListBox(q, worker) => {
            let tasks = match store.children(&path::assign_box(&worker)).await {
                Ok(names) => names.map(|names| names.iter().map(|name| TaskName::listed(name)).collect()),
                // A box that may not be read is no box: nothing is put into it, and nothing can be taken from it.
                Err(error @ (ReadError::NoAuth { .. } | ReadError::BadPath { .. })) => {
                    warn!(%worker, %error, "the box of a worker may not be read; it is given no work");
                    None
                }
                Err(ReadError::Interrupted) => return None,
            };
            Some(Event::BoxListed(q, worker, tasks))
        }
        Effect::ReadWorker(q, worker) => reading(store.get(&path::worker(&worker)).await).map(|found| Event::WorkerRead(q, worker, found)),
        Effect::ListGroups(q) => names(store, path::GROUPS, TaskName::listed).await.map(|groups| Event::GroupsListed(q, groups)),
        Effect::ReadGroup(q, group) => reading(store.get(&path::group(&group)).await).map(|found| Event::GroupRead(q, group, found)),
        Effect::ListArrays(q) => names(store, path::ARRAYS, TaskName::listed).await.map(|arrays| Event::ArraysListed(q, arrays)),
        Effect::ReadArray(q, array) => read_array(store, &array).await.map(|found| Event::ArrayRead(q, array, Box::new(found))),
        Effect::ReadWholeArray(q, array) => whole_array(store, &array).await.map(|found| Event::ArrayRead(q, array, Box::new(found))),
        Effect::ReadPiece(q, array, piece) => {
            let found = reading(store.get(&path::array_record(&array, &piece)).await)?;
            Some(Event::PieceRead(q, array, piece, found))
        }
        // Read together.
        Effect::ReadTask(..) | Effect::ReadHeld(..) | Effect::ReadAssignment(..) | Effect::ReadCancel(..) | Effect::ReadStatus(..) => None,
        Effect::Write(..) | Effect::MendLayout | Effect::Arm(_) | Effect::Tell(_) => None,
    }
}

/// One round trip: all these requests travel together.
async fn ground(store: &Store) -> Option<Ground> {
    let (epoch, tasks) = (store.stat(path::EPOCH), store.stat(path::TASKS));
    let (status, swept) = (store.stat(path::STATUS), store.get(path::SWEPT));
    let (paused, requests) = (store.stat(path::PAUSED), store.children(path::WORKER_REQUESTS));
    let (admission, rates) = (store.get(path::ADMISSION), store.get(path::RATES));
    let number = |node: Node| std::str::from_utf8(&node.data).ok()?.parse().ok();
    Some(Ground {
        elected_ms: known(epoch.await)?.map(|stat| stat.mtime_ms),
        tasks_czxid: known(tasks.await)?.map(|stat| stat.czxid),
        status_czxid: known(status.await)?.map(|stat| stat.czxid),
        swept: known(swept.await)?.and_then(number),
        paused: known(paused.await)?.is_some(),
        requests: known(requests.await)?.unwrap_or_default(),
        admission: known(admission.await)?.map(|node| node.data),
        rates: known(rates.await)?.map(|node| node.data),
    })
}

/// All of it travels together, and is answered in this order: what is recorded after `todo` was read is listed, too.
async fn read_array(store: &Store, array: &TaskName) -> Option<ArrayFound> {
    let (node, todo) = (store.get(&path::array(array)), store.get(&path::array_todo(array)));
    let children = store.children(&path::array(array));
    let (node, todo) = (reading(node.await)?, reading(todo.await)?);
    let children = known(children.await)?.unwrap_or_default();
    let (mut lines, mut needed) = (Vec::new(), false);
    if todo == Reading::Absent {
        lines = known(store.children(&path::array_lines(array)).await)?.unwrap_or_default();
        for place in [path::status(array), path::task(array), path::held(array)] {
            needed |= known(store.stat(&place).await)?.is_some();
        }
    }
    Some(ArrayFound { node, todo, children, lines, needed, results: None })
}

/// The same with the data of its results.
async fn whole_array(store: &Store, array: &TaskName) -> Option<ArrayFound> {
    let found = read_array(store, array).await?;
    let names: Vec<&String> = found.children.iter().filter(|child| child.starts_with("results-")).collect();
    let mut results = Vec::new();
    for some in names.chunks(TOGETHER) {
        let asked: Vec<_> = some.iter().map(|name| (*name, store.get(&format!("{}/{name}", path::array(array))))).collect();
        for (name, answer) in asked {
            results.extend(known(answer.await)?.map(|node| (name.clone(), node.data)));
        }
    }
    Some(ArrayFound { results: Some(results), ..found })
}

/// Where something lies that may not be read, nothing is known; an answer that was cut off is none.
pub(crate) fn known<T>(answer: Result<Option<T>, ReadError>) -> Option<Option<T>> {
    match answer {
        Ok(found) => Some(found),
        Err(ReadError::NoAuth { .. } | ReadError::BadPath { .. }) => Some(None),
        Err(ReadError::Interrupted) => None,
    }
}

/// Those of them that wait or have ended. Seldom: somebody deleted the box in which they lay.
async fn look_for(store: &Store, tasks: Vec<TaskName>) -> Option<Vec<TaskName>> {
    let looks = stream::iter(tasks).map(|task| async {
        let places = [path::status(&task), path::task(&task), path::held(&task)].map(|place| store.stat(&place));
        for place in places {
            if known(place.await)?.is_some() {
                return Some(Some(task));
            }
        }
        Some(None)
    });
    let found: Vec<Option<Option<TaskName>>> = looks.buffered(WINDOW / 4).collect().await;
    found.into_iter().collect::<Option<Vec<_>>>().map(|found| found.into_iter().flatten().collect())
}

/// Seldom: all of them are looked at.
async fn results(store: &Store) -> Option<Vec<Aged>> {
    let mut results = Vec::new();
    for parent in [path::STATUS, path::RESULTS] {
        let listed = names(store, parent, |name| format!("{parent}/{name}")).await?;
        let looks = stream::iter(listed).map(|path| async { (store.stat(&path).await, path) });
        let mut looks = looks.buffered(WINDOW);
        while let Some((answer, path)) = looks.next().await {
            results.extend(known(answer)?.map(|stat| Aged { path, czxid: stat.czxid }));
        }
    }
    Some(results)
}

pub(crate) async fn names<Name>(store: &Store, parent: &str, name: impl Fn(&str) -> Name) -> Option<Vec<Name>> {
    let listed = match store.children(parent).await {
        Ok(listed) => listed,
        Err(error @ (ReadError::NoAuth { .. } | ReadError::BadPath { .. })) => {
            warn!(parent, %error, "what lies there may not be read, and is left out");
            None
        }
        Err(ReadError::Interrupted) => return None,
    };
    Some(listed.unwrap_or_default().iter().map(|child| name(child)).collect())
}

pub(crate) fn reading(answer: Result<Option<Node>, ReadError>) -> Option<Reading> {
    match answer {
        Ok(Some(node)) => Some(Reading::Found(node)),
        Ok(None) => Some(Reading::Absent),
        Err(ReadError::NoAuth { .. }) => Some(Reading::Denied),
        // A name that ZooKeeper listed but that its client will not send cannot be moved either.
        Err(ReadError::BadPath { .. }) => Some(Reading::Denied),
        Err(ReadError::Interrupted) => None,
    }
}
