//! Arrays: one entry of the queue each, which yields pieces one at a time.
//!
//! Each element of an array is in one of four places: waiting in its `todo`, in one assignment, in one record of a worker, or ended and in
//! its results. Every way from one to another is one transaction. Those of the master set `todo` at its version, so that of two that were
//! decided on the same knowledge one commits; of each array only one is in flight, and whatever is refused or unknown is answered by
//! reading the array again. What a master must read of an array does not depend on how many elements have ended.
//!
//! * here: which arrays there are, and what is read of them
//! * `giving`: pieces for workers
//! * `taking`: what became of pieces
//! * `steps`: transactions, and how they end
//! * `ending`: cancelling, the end, and what is left behind
//! * `mending`: what somebody changed by hand

mod ending;
mod giving;
mod mending;
mod steps;
mod taking;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroI64;
use std::sync::Arc;

use super::items::Item;
use super::{Effect, Fact, Master, Reading};
use crate::Time;
use crate::numbering::{Numbered, Rename};
use crate::planner::{Requirement, Ticket};
use crate::protocol::array::{ArrayRequest, ArrayTodo, PieceName, PieceOrder, PieceRecord, Waiting};
use crate::protocol::payload::{self, Task};
use crate::protocol::{Stat, TaskName, Why, WorkerId, path};
use crate::view::{Entry, Lane, Question, Ready};
pub use steps::{ArrayStep, Given};

/// What was read of an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArrayFound {
    /// Its node.
    pub node: Reading,
    /// Its `todo`.
    pub todo: Reading,
    /// The names below its node, listed after `todo` was read.
    pub children: Vec<String>,
    /// The names below its lines; only of one without `todo`.
    pub lines: Vec<String>,
    /// Whether it has a status, or waits as a task; only of one without `todo`.
    pub needed: bool,
    /// The names and the data of its results; only where all of it was asked for.
    pub results: Option<Vec<(String, Vec<u8>)>>,
}

/// What is known of arrays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Arrays {
    known: BTreeMap<TaskName, Array>,
    /// Those of which something has changed.
    touched: BTreeSet<TaskName>,
    /// Those without `todo`, until somebody removes them.
    over: BTreeSet<TaskName>,
    /// How many of these were looked at again.
    swept: usize,
    /// Whether they have to be listed.
    unlisted: bool,
    listing: Option<Question>,
    /// Those that were taken since that was asked.
    taken: BTreeSet<TaskName>,
}

/// One that has not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Array {
    stand: Stand,
    /// Whether it had not ended when it was read before: by us it ends with a status.
    lived: bool,
    /// Pieces that workers have, or are about to have.
    out: BTreeMap<PieceName, Out>,
    /// Pieces that have left their workers.
    left: BTreeMap<PieceName, Left>,
    /// Pieces of workers that are gone, which are to be taken back.
    lost: BTreeSet<PieceName>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
enum Stand {
    /// It is to be read, or is being read.
    #[default]
    Unread,
    Asked(Question),
    Known(Box<Known>),
    /// It cannot be changed. The slow comparison looks at it again.
    Stuck,
    /// Somebody changed it by hand; what it should say is being written.
    Mending,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Known {
    task: Task,
    request: ArrayRequest,
    stat: Stat,
    todo: ArrayTodo,
    /// What stands in ZooKeeper, or is being written.
    written: ArrayTodo,
    version: i32,
    /// The results that are being added to.
    chunk: Option<Chunk>,
    /// Pieces that were given since the last transaction.
    fresh: Vec<Given>,
    /// Whether a transaction is under way.
    flight: bool,
    /// When a piece was given last, by ZooKeeper's clock: from then on the next one waits.
    served_ms: Option<i64>,
    /// How long an element takes, in nanoseconds, as far as that is known.
    element_ns: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Out {
    worker: WorkerId,
    waiting: Waiting,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Left {
    /// Its record is being read.
    Asked(Question, Option<Out>),
    /// This became of it.
    Recorded(Box<PieceRecord>, Waiting),
    /// It was not recorded: somebody deleted its assignment.
    Vanished(Waiting),
    /// Somebody wrote into its record: nobody can say what became of it.
    Garbled(Waiting),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Chunk {
    number: u32,
    version: i32,
    data: Vec<u8>,
}

impl Arrays {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        self.listing.iter_mut().for_each(|question| rename(Numbered::Question, question));
        for array in self.known.values_mut() {
            if let Stand::Asked(question) = &mut array.stand {
                rename(Numbered::Question, question);
            }
            for left in array.left.values_mut() {
                if let Left::Asked(question, _) = left {
                    rename(Numbered::Question, question);
                }
            }
        }
    }
}

impl Array {
    fn known(&self) -> Option<&Known> {
        match &self.stand {
            Stand::Known(known) => Some(known),
            Stand::Unread | Stand::Asked(_) | Stand::Stuck | Stand::Mending => None,
        }
    }

    fn known_mut(&mut self) -> Option<&mut Known> {
        match &mut self.stand {
            Stand::Known(known) => Some(known),
            Stand::Unread | Stand::Asked(_) | Stand::Stuck | Stand::Mending => None,
        }
    }
}

impl Known {
    /// Of what is given out next: see [`ArrayTodo::take`].
    fn requirement(&self, budget: u32, now_ms: i64) -> Requirement {
        let waiting = &self.todo.waiting;
        let next = waiting.iter().find(|waiting| waiting.due_ms <= now_ms).or(waiting.iter().min_by_key(|waiting| waiting.due_ms));
        let alone = next.is_some_and(|waiting| waiting.losses > 0 && waiting.losses + 1 >= self.budget(budget));
        Requirement::of(&self.task.envelope, alone)
    }

    fn budget(&self, default: u32) -> u32 {
        crate::lifecycle::loss_budget(&self.task.envelope, default)
    }
}

/// For metrics: how many elements are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ElementCounts {
    /// They wait to be given out.
    pub waiting: u64,
    /// They are with workers, or recorded and not taken in.
    pub assigned: u64,
}

impl Master {
    /// How many elements of arrays that have not ended are where.
    #[must_use]
    pub fn elements(&self) -> ElementCounts {
        let known = self.arrays.known.values().filter_map(Array::known);
        known.fold(ElementCounts::default(), |sum, known| ElementCounts {
            waiting: sum.waiting + u64::from(known.todo.left()),
            assigned: sum.assigned + u64::from(known.todo.out()),
        })
    }

    /// How many arrays have not ended.
    #[must_use]
    pub fn arrays(&self) -> usize {
        self.arrays.known.len()
    }

    pub(super) fn is_array(&self, task: &TaskName) -> bool {
        self.arrays.known.contains_key(task)
    }

    /// Everything is read anew. Pieces whose assignments are certain stay; where the others are is found out again.
    pub(super) fn forget_arrays(&mut self) {
        let names: Vec<TaskName> = self.arrays.known.keys().cloned().collect();
        for name in names {
            self.view.forget(&Entry::array(name.clone()));
            let Some(array) = self.arrays.known.get_mut(&name) else { continue };
            (array.stand, array.left, array.lost) = (Stand::Unread, BTreeMap::new(), BTreeSet::new());
            let workers = &self.view.workers;
            array.out.retain(|piece, out| workers.get(&out.worker).is_some_and(|w| w.load.contains_key(&piece.assignment(&name))));
        }
        self.arrays.touched.clear();
        (self.arrays.listing, self.arrays.unlisted) = (None, true);
    }

    /// Once after everything has to be read anew: what changes then is known here. Later only to find what somebody deleted by hand, or
    /// left behind.
    pub(super) fn list_arrays(&mut self) {
        if std::mem::take(&mut self.arrays.unlisted) {
            let question = self.ask();
            self.arrays.listing = Some(question);
            self.arrays.taken.clear();
            self.effects.push(Effect::ListArrays(question));
        }
    }

    /// The slow comparison: arrays are few.
    pub(super) fn compare_arrays(&mut self) {
        self.arrays.unlisted = self.arrays.listing.is_none() && !(self.arrays.known.is_empty() && self.arrays.over.is_empty());
        self.list_arrays();
    }

    pub(super) fn on_arrays_listed(&mut self, question: Question, listed: Vec<TaskName>) {
        if self.arrays.listing.take_if(|asked| *asked == question).is_none() {
            return;
        }
        let touched = std::mem::take(&mut self.arrays.taken);
        let listed: BTreeSet<TaskName> = listed.into_iter().filter(|array| !touched.contains(array)).collect();
        let there = |array: &TaskName| listed.contains(array) || touched.contains(array);
        self.arrays.over.retain(there);
        for name in self.arrays.known.keys().filter(|array| !there(array)).cloned().collect::<Vec<_>>() {
            self.drop_array(&name);
        }
        for name in &listed {
            let stand = self.arrays.known.get(name).map(|array| &array.stand);
            match stand {
                Some(Stand::Unread | Stand::Stuck) => self.read_array(name),
                Some(Stand::Known(_)) if self.is_torn(name) => self.read_whole_array(name),
                None if !self.arrays.over.contains(name) => self.read_array(name),
                Some(Stand::Asked(_) | Stand::Known(_) | Stand::Mending) | None => {}
            }
        }
        self.look_again_at_ended(listed);
    }

    /// It is not there any more, or has ended: nothing of it is given out.
    fn drop_array(&mut self, name: &TaskName) {
        self.view.forget(&Entry::array(name.clone()));
        self.arrays.known.remove(name);
        self.arrays.touched.remove(name);
    }

    pub(super) fn read_array(&mut self, name: &TaskName) {
        let question = self.ask();
        self.view.forget(&Entry::array(name.clone()));
        let array = self.arrays.known.entry(name.clone()).or_default();
        array.stand = Stand::Asked(question);
        self.effects.push(Effect::ReadArray(question, name.clone()));
    }

    pub(super) fn on_array_read(&mut self, question: Question, name: &TaskName, found: ArrayFound, now: Time) {
        let Some(array) = self.arrays.known.get_mut(name).filter(|array| array.stand == Stand::Asked(question)) else { return };
        let lives = array.lived || !array.out.is_empty();
        if let Some(results) = &found.results
            && self.mend_array(name, &found, results)
        {
            return;
        }
        let Some(array) = self.arrays.known.get_mut(name) else { return };
        let (node, todo) = match (&found.node, &found.todo) {
            (Reading::Found(node), Reading::Found(todo)) => (node, todo),
            // It ends with a status: somebody deleted this.
            (Reading::Found(_), Reading::Absent) if lives && !found.needed && found.results.is_none() => {
                return self.read_whole_array(name);
            }
            (Reading::Absent, _) | (_, Reading::Absent) => return self.array_is_over(name, &found, now),
            (Reading::Denied, _) | (_, Reading::Denied) => return self.array_is_stuck(name, path::array(name), Why::NoAuth),
        };
        let decoded = payload::decode_assigned(&node.data).ok().zip(ArrayTodo::decode(&todo.data));
        let Some((task, request, waiting)) = decoded.and_then(|(task, todo)| {
            let request = task.envelope.array.clone()?;
            Some((task, request, todo))
        }) else {
            let is_array = payload::decode_assigned(&node.data).is_ok_and(|task| task.envelope.array.is_some());
            return match found.results {
                None if is_array => self.read_whole_array(name),
                Some(_) if is_array => self.array_is_garbled(name, path::array_todo(name)),
                Some(_) | None => self.array_is_garbled(name, path::array(name)),
            };
        };
        array.lived = true;
        array.stand = Stand::Known(Box::new(Known {
            task,
            request,
            stat: node.stat,
            written: waiting.clone(),
            todo: waiting,
            version: todo.stat.version,
            chunk: None,
            fresh: Vec::new(),
            flight: false,
            served_ms: None,
            element_ns: None,
        }));
        let unread = found.children.iter().filter_map(|child| PieceName::parse(child)).filter(|piece| !array.left.contains_key(piece));
        let unread: Vec<PieceName> = unread.collect();
        for piece in unread {
            self.read_record(name, piece, None);
        }
        self.weigh_pieces(name);
        self.arrays.touched.insert(name.clone());
    }

    fn array_is_stuck(&mut self, name: &TaskName, path: String, why: Why) {
        if let Some(array) = self.arrays.known.get_mut(name) {
            array.stand = Stand::Stuck;
            self.tell(Fact::Surprised { path, why });
        }
    }

    /// What its pieces take of their workers is known only now, if others have given them out.
    fn weigh_pieces(&mut self, name: &TaskName) {
        let budget = self.settings.max_worker_losses;
        let Some(array) = self.arrays.known.get(name) else { return };
        let Some(known) = array.known() else { return };
        let requirement = Arc::new(Requirement { alone: false, ..known.requirement(budget, 0) });
        for (piece, out) in &array.out {
            let assignment = piece.assignment(name);
            let load = self.view.workers.get_mut(&out.worker).map(|worker| &mut worker.load);
            if let Some((load, slot)) = load.and_then(|load| load.get(&assignment).copied().map(|slot| (load, slot))) {
                load.place(&assignment, slot, Arc::clone(&requirement));
            }
        }
    }

    /// An assignment that this master did not make, or has to take back, is a piece.
    pub(super) fn on_piece_found(&mut self, worker: &WorkerId, task: &TaskName, order: &PieceOrder, gone: bool) {
        let (name, piece) = (order.array.clone(), order.name());
        let waiting = Waiting { span: order.span(), failures: order.failures, losses: order.losses, due_ms: 0 };
        let unknown = !self.arrays.known.contains_key(&name);
        let array = self.arrays.known.entry(name.clone()).or_default();
        array.out.insert(piece, Out { worker: worker.clone(), waiting });
        let slot = if gone { crate::view::Slot::Leaving } else { crate::view::Slot::Placed { alone: false } };
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.load.insert(task.clone(), slot);
        }
        if gone {
            array.lost.insert(piece);
        }
        if unknown && self.surveyed() {
            self.read_array(&name);
        }
        self.weigh_pieces(&name);
        self.arrays.touched.insert(name);
    }

    /// The limits are others: all are filed anew.
    pub(super) fn touch_arrays(&mut self) {
        self.arrays.touched.extend(self.arrays.known.keys().cloned());
    }

    /// Enters it into the queue, or lets it rest, or neither: whatever it can yield now.
    fn file_array(&mut self, name: &TaskName, now: Time) {
        let entry = Entry::array(name.clone());
        self.view.forget(&entry);
        let now_ms = self.clock.now_ms(now).unwrap_or_default();
        let budget = self.settings.max_worker_losses;
        let Some(known) = self.arrays.known.get(name).and_then(Array::known) else { return };
        if known.flight || known.todo.stopped.is_some() || known.todo.waiting.is_empty() || self.is_cancelled(name) {
            return;
        }
        let since_ms = known.served_ms.unwrap_or(known.stat.ctime_ms);
        let ticket = Ticket::new(known.task.envelope.priority, since_ms, known.stat.czxid, entry);
        let envelope = known.task.envelope.clone();
        let untouched = known.todo.left() == known.todo.summary.count;
        let due_ms = known.todo.next_due_ms(now_ms);
        let requirement = Requirement { limited: None, ..known.requirement(budget, now_ms) };
        let created_ms = known.stat.ctime_ms;
        let requirement = Requirement { limited: self.limited(&envelope.labels), ..requirement };
        let expires = if untouched { self.expiry(&envelope, created_ms, None, now) } else { None };
        let ready = Ready::new(requirement, ticket, 0, Vec::new(), now.mono);
        let ready = Ready { payload: None, created_ms: NonZeroI64::new(since_ms), expires: expires.map(Box::new), ..ready };
        match due_ms {
            None => self.view.file(ready, usize::MAX),
            Some(due_ms) => {
                let rest = std::time::Duration::from_millis(u64::try_from(due_ms.saturating_sub(now_ms).saturating_add(1)).unwrap_or(0));
                self.view.rest(ready, now.mono.saturating_add(rest), usize::MAX);
            }
        }
    }

    /// The item that makes an array of a task whose turn has come; `None` if it is none.
    pub(super) fn adoption(&self, entry: &Entry, data: &[u8], version: i32) -> Option<Item> {
        let task = payload::decode_waiting(data).ok()?;
        let request = task.envelope.array?;
        let todo = ArrayTodo::new(request.span()).encode();
        Some(Item::Adopt { entry: entry.clone(), version, payload: data.to_vec(), lines: request.lines.is_some(), todo })
    }

    /// The same of one that is known. Most are none, which is seen without understanding all of it.
    pub(super) fn adoption_of(&self, entry: &Entry, ready: &Ready) -> Option<Item> {
        let data = ready.payload.as_ref()?;
        let key = br#""array""#;
        data.windows(key.len()).any(|window| window == key).then(|| self.adoption(entry, data, ready.version)).flatten()
    }

    pub(super) fn adopted(&mut self, entry: &Entry) {
        self.moved_away_by_us(entry);
        self.arrays.taken.insert(entry.task.clone());
        self.arrays.over.remove(&entry.task);
        self.read_array(&entry.task);
    }

    /// Whether this assignment is a piece, by its name: of an array that is known.
    pub(super) fn is_piece(&self, task: &TaskName) -> bool {
        let piece = crate::protocol::array::piece_of(task);
        piece.is_some_and(|(array, _)| self.arrays.known.contains_key(&array) || self.arrays.over.contains(&array))
    }
}

impl Entry {
    /// Of an array, which waits as long as it can yield something.
    #[must_use]
    pub fn array(task: TaskName) -> Self {
        Self { lane: Lane::Array, task }
    }
}
