//! The rules with one of them taken out. The rules themselves know nothing of this: what they order and what they are told is rewritten
//! between them and the toy.

use bellwether_core::master::Reading;
use bellwether_core::protocol::group::{GroupRecord, GroupState};
use bellwether_core::protocol::request::RecallRequest;
use bellwether_core::protocol::{Change, Multi, Node, Op, Outcome, Refusal, Stat, TaskName, Why, path};
use bellwether_core::{agent, master};

use super::array;
use super::zookeeper::ZooKeeper;

/// Which rule is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// None.
    None,
    /// §1: nobody re-creates a layout node that was deleted.
    LayoutLeft,
    /// §2: a submission has no guard.
    Unguarded,
    /// §4: an unregistered worker goes on as if it were registered.
    UnregisteredStays,
    /// §4: a worker registers under the name that it had in its first session.
    SameName,
    /// Workers are listed before boxes.
    WorkersFirst,
    /// An answer is believed although a later question about the same name was asked.
    OldAnswers,
    /// What an earlier session answers is handed over.
    DoorOpen,
    /// After an unknown outcome the transaction is sent again, behind what was sent since, and its second answer is believed. The first
    /// copy may land at any time.
    UnknownRepeated,
    /// A master takes an unknown outcome for a success.
    UnknownApplied,
    /// What was sent before a disconnect may land after what was sent and read later.
    GhostsOvertake,
    /// The master does not check that the worker is registered.
    WorkerUnchecked,
    /// A worker does not check that it is registered.
    SelfUnchecked,
    /// A worker deletes an assignment at whatever version.
    AnyVersion,
    /// A result is written in two transactions: the status, then the assignment's end.
    ResultInTwo,
    /// What is given back is written in two transactions: the assignment's end, then the task.
    GiveBackInTwo,
    /// Which operation was refused is not looked at: every refusal means that the assignment was taken away.
    IndexIgnored,
    /// The master takes back from a worker that only fell silent.
    SilentTakenBack,
    /// The master gives what a silent worker has to somebody else, instead of ending it.
    SilentGivenAgain,
    /// The master takes what a worker has not started, as far as it knows, instead of asking for it.
    RecallTaken,
    /// The master takes back without counting the loss.
    LossUncounted,
    /// A worker does not hear that an assignment is gone.
    StopUnheard,
    /// A worker does not see which creation of an assignment it reads.
    CzxidUnseen,
    /// A slot is free as soon as its command was told to die.
    SlotFreeAtOnce,
    /// Statuses older than `/tasks` are left.
    OldLeft,
    /// A task found in `/tasks` and assigned, too, is left in both.
    DoublesLeft,
    /// The master moves a task at whatever version.
    MoveAnyVersion,
    /// What a held task waits for is taken for done, without a look at its status.
    ParentUnread,
    /// An element of a group may run, whether or not the others are submitted.
    GroupUnread,
    /// What was submitted under a key leaves no trace of the key.
    KeyUnkept,
    /// A master changes what of an array is not given out at whatever version.
    TodoAnyVersion,
    /// The same, and such a write that nobody answered is sent again as in [`Variant::UnknownRepeated`].
    TodoRepeated,
    /// A piece that is given out stays among what is not.
    PieceStaysTodo,
    /// What is taken back from a worker that is gone stays in its box.
    PieceNotTaken,
    /// A worker records a piece and keeps its assignment.
    RecordBeside,
    /// A record that was taken in is left where it was.
    RecordLeft,
    /// What is recorded of a piece is not read: what left its worker is given out again.
    RecordUnread,
}

impl Variant {
    /// What a master's transaction becomes.
    pub(crate) fn of_master(self, multi: Multi) -> Multi {
        match self {
            Variant::WorkerUnchecked => map(multi, |op| match op {
                // Its box is there as long as it may have anything: that proves nothing.
                Op::Check { path, .. } if path.starts_with(path::WORKERS) => {
                    Op::Check { path: path.replacen(path::WORKERS, path::ASSIGN, 1), version: None }
                }
                op => op,
            }),
            Variant::DoublesLeft if multi.ops.iter().any(|op| matches!(op, Op::Check { path, .. } if path.starts_with(path::ASSIGN))) => {
                Multi::new()
            }
            Variant::OldLeft => {
                let kept =
                    |op: &Op| !matches!(op, Op::Delete { path, .. } if path.starts_with(path::STATUS) || path.starts_with(path::RESULTS));
                Multi { ops: multi.ops.into_iter().filter(kept).collect() }
            }
            Variant::MoveAnyVersion => any_version(multi, path::TASKS),
            Variant::TodoAnyVersion | Variant::TodoRepeated => array::todo_at_any_version(multi),
            Variant::PieceNotTaken => array::without_taking_back(multi),
            Variant::RecordLeft => array::without_deleting_records(multi),
            _ => multi,
        }
    }

    /// What a master's transaction becomes at the last moment.
    pub(crate) fn at_execution(self, multi: Multi, zookeeper: &ZooKeeper) -> Multi {
        if self == Variant::PieceStaysTodo {
            return array::todo_as_it_is(multi, zookeeper);
        }
        if self == Variant::RecallTaken {
            return taken_instead(multi, zookeeper);
        }
        if self == Variant::SilentGivenAgain {
            return given_again(multi, zookeeper);
        }
        if self != Variant::LossUncounted {
            return multi;
        }
        let assigned = multi.ops.iter().find(|op| matches!(op, Op::Delete { path, .. } if path.starts_with(path::ASSIGN)));
        let Some(as_it_is) = assigned.and_then(|op| zookeeper.get(op.path())) else { return multi };
        map(multi, |op| match op {
            Op::Create { path, ephemeral, .. } if path.starts_with(path::TASKS) => {
                Op::Create { path, data: as_it_is.data.clone(), ephemeral }
            }
            op => op,
        })
    }

    /// What a worker's transaction becomes.
    pub(crate) fn of_worker(self, multi: Multi) -> Vec<Multi> {
        let creates =
            |multi: &Multi, parent: &str| multi.ops.iter().any(|op| matches!(op, Op::Create { path, .. } if path.starts_with(parent)));
        match self {
            Variant::SelfUnchecked => vec![map(multi, |op| match op {
                Op::Check { path, .. } if path.starts_with(path::WORKERS) => {
                    Op::Check { path: path.replacen(path::WORKERS, path::ASSIGN, 1), version: None }
                }
                op => op,
            })],
            Variant::AnyVersion => vec![any_version(multi, path::ASSIGN)],
            Variant::RecordBeside => vec![array::without_leaving(multi)],
            Variant::ResultInTwo if creates(&multi, path::STATUS) => {
                let (ends, rest): (Vec<Op>, Vec<Op>) = multi.ops.into_iter().partition(|op| matches!(op, Op::Delete { .. }));
                vec![Multi { ops: rest }, Multi { ops: ends }]
            }
            Variant::GiveBackInTwo if creates(&multi, path::TASKS) || creates(&multi, path::HELD) => {
                let (created, rest): (Vec<Op>, Vec<Op>) = multi.ops.into_iter().partition(|op| matches!(op, Op::Create { .. }));
                vec![Multi { ops: rest }, Multi { ops: created }]
            }
            _ => vec![multi],
        }
    }

    /// What a client's transaction becomes.
    pub(crate) fn of_client(self, mut multi: Multi) -> Multi {
        if self == Variant::Unguarded {
            multi.ops.retain(|op| !op.path().starts_with(path::SUBMITTED));
        }
        if self == Variant::KeyUnkept {
            multi.ops.retain(|op| !op.path().starts_with(path::KEYS));
        }
        multi
    }

    /// What a master reads of the record of a group.
    pub(crate) fn group_read(self, found: Reading) -> Reading {
        match (self, found) {
            (Variant::GroupUnread, Reading::Found(mut node)) => {
                let record = GroupRecord::decode(&node.data).expect("every record here is one of ours");
                node.data = record.in_state(GroupState::Submitted, None).encode();
                Reading::Found(node)
            }
            (_, found) => found,
        }
    }

    /// What a master reads of a status.
    pub(crate) fn status_read(self, found: Reading) -> Reading {
        match self {
            Variant::ParentUnread => Reading::Found(Node { data: b"done".to_vec(), stat: Stat::default() }),
            _ => found,
        }
    }

    /// What a worker is told of an outcome.
    pub(crate) fn as_told(self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Refused(Refusal::At { index: 1.., .. }) if self == Variant::IndexIgnored => Outcome::refused(1, Why::NoNode),
            outcome => outcome,
        }
    }

    /// What a master makes of a write of which nobody knows how it ended.
    pub(crate) fn of_unknown(self) -> Outcome {
        if self == Variant::UnknownApplied { Outcome::applied() } else { Outcome::Unknown }
    }

    /// Whether a master's write of which nobody knows how it ended is sent again.
    pub(crate) fn repeats(self, multi: &Multi) -> bool {
        self == Variant::UnknownRepeated || (self == Variant::TodoRepeated && array::sets_todo(multi))
    }

    /// Whether such a write may overtake what is sent later.
    pub(crate) fn repeats_unknown(self) -> bool {
        matches!(self, Variant::UnknownRepeated | Variant::TodoRepeated)
    }

    /// What a master reads of what became of a piece.
    pub(crate) fn record_read(self, found: Reading) -> Reading {
        if self == Variant::RecordUnread { Reading::Absent } else { found }
    }

    /// Whether a worker's late write may land after what it sent later.
    pub(crate) fn lets_ghosts_overtake(self) -> bool {
        self == Variant::GhostsOvertake
    }

    /// Whether a worker hears of this.
    pub(crate) fn hears(self, change: &Change) -> bool {
        let unheard = match self {
            Variant::UnregisteredStays => matches!(change, Change::WorkerGone(_) | Change::BoxGone(_)),
            Variant::StopUnheard => matches!(change, Change::AssignmentGone(..)),
            _ => false,
        };
        !unheard
    }

    /// The answer to a master, as it is handed over: under the number of a later question about the same name, if there is one.
    pub(crate) fn relabel_for_master(self, answer: &mut master::Event, later: &[master::Effect]) {
        if self != Variant::OldAnswers {
            return;
        }
        for question in later {
            match (&mut *answer, question) {
                (master::Event::TaskRead(q, task, _), master::Effect::ReadTask(newer, asked)) if task == asked => *q = *newer,
                (master::Event::WorkerRead(q, worker, _), master::Effect::ReadWorker(newer, asked)) if worker == asked => *q = *newer,
                (master::Event::BoxListed(q, worker, _), master::Effect::ListBox(newer, asked)) if worker == asked => *q = *newer,
                _ => {}
            }
        }
    }

    /// Likewise for a worker.
    pub(crate) fn relabel_for_worker(self, answer: &mut agent::Event, later: &[agent::Effect]) {
        if self != Variant::OldAnswers {
            return;
        }
        for question in later {
            if let (agent::Event::AssignmentRead(q, task, _), agent::Effect::ReadAssignment(newer, asked)) = (&mut *answer, question)
                && task == asked
            {
                *q = *newer;
            }
        }
    }
}

/// What ends an assignment creates its task anew.
fn given_again(multi: Multi, zookeeper: &ZooKeeper) -> Multi {
    let ended = multi.ops.iter().any(|op| matches!(op, Op::Create { path, .. } if path.starts_with(path::STATUS)));
    let assigned = multi.ops.iter().find(|op| matches!(op, Op::Delete { path, .. } if path.starts_with(path::ASSIGN)));
    let Some(as_it_is) = assigned.filter(|_| ended).and_then(|op| zookeeper.get(op.path())) else { return multi };
    map(multi, |op| match op {
        Op::Create { path, ephemeral, .. } if path.starts_with(path::STATUS) => {
            Op::Create { path: path.replacen(path::STATUS, path::TASKS, 1), data: as_it_is.data.clone(), ephemeral }
        }
        op => op,
    })
}

/// The last of the tasks that a worker would be asked for goes back at once.
fn taken_instead(multi: Multi, zookeeper: &ZooKeeper) -> Multi {
    let asked = multi.ops.iter().find_map(|op| match op {
        Op::Create { path, data, .. } => Some((path.strip_prefix(path::WORKER_REQUESTS)?.to_owned(), RecallRequest::decode(data))),
        Op::Check { .. } | Op::Delete { .. } | Op::Set { .. } => None,
    });
    let Some((worker, request)) = asked else { return multi };
    let of = |task: &TaskName| zookeeper.get(&format!("{}{worker}/{task}", path::ASSIGN)).map(|node| (task.clone(), node.data));
    match request.tasks.iter().rev().find_map(of) {
        Some((task, data)) => Multi::new().delete(format!("{}{worker}/{task}", path::ASSIGN), None).create(path::task(&task), data),
        None => multi,
    }
}

fn map(multi: Multi, each: impl Fn(Op) -> Op) -> Multi {
    Multi { ops: multi.ops.into_iter().map(each).collect() }
}

fn any_version(multi: Multi, parent: &str) -> Multi {
    map(multi, |op| match op {
        Op::Delete { path, .. } if path.starts_with(parent) => Op::Delete { path, version: None },
        op => op,
    })
}
