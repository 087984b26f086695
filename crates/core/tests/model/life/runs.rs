//! The runs: each a small world with a budget of faults. With the rules as they are nothing may be found; with one rule taken out, the
//! run named beside it must find the hole.

use std::time::Duration;

use bellwether_core::admission::Limits;
use bellwether_core::master::Settings;
use bellwether_core::protocol::{Multi, path};
use stateright::{Checker, HasDiscoveries, Model, Property};

use super::array::{ARRAY_OF_FOUR, ARRAY_OF_ONE, ARRAY_OF_TWO, ARRAY_RETRIED};
use super::budget::{Budget, Fault};
use super::client::Client;
use super::part::Part;
use super::steps::Step;
use super::strangers::{BOOK_HAND, BOOK_WORKER, CHILD, RETRIED, TASK, TIMED};
use super::variant::Variant;
use super::world::{Rules, SOMEBODY, World};
use crate::report::{Kind, Report, Run};

const HOLDS: &str = "nothing breaks";
const ENDS: &str = "everything ends";
const ENDED: &str = "every task ended";
const SPENT: &str = "every fault happened";

/// Most steps that a run may take: several times what the largest one here does, and far less than memory holds.
const STEPS_MAX: usize = 2_000_000;

/// A small world and what may happen to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Slots of each worker that is registered at the start.
    workers: &'static [u32],
    /// Tasks that are pending at the start, submitted just now.
    tasks: &'static [&'static str],
    /// Tasks that are held at the start, because they wait for `t`.
    children: &'static [&'static str],
    /// Tasks that a client process is about to submit.
    submits: &'static [&'static str],
    /// What else clients are about to submit.
    together: Together,
    /// Whether a worker out of the book is registered, and may be given work.
    book_worker: bool,
    /// Whether somebody is in office already, or about to be.
    ruled: bool,
    /// Whether the tasks are assigned already, and as many run as there are slots.
    assigned: bool,
    /// Whether a worker was given a task ahead of its slots, and another worker joins.
    ahead: bool,
    /// Whether workers say how long they take, so that one that takes longer is silent.
    silent: bool,
    /// What the tasks ask for.
    payload: &'static str,
    /// What a command may exit with.
    exits: &'static [i32],
    budget: &'static [(Fault, u8)],
}

/// What is submitted that belongs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Together {
    /// Nothing.
    Nothing,
    /// A group of two, in two transactions.
    Group,
    /// The same task by two clients, under one key.
    Key,
}

/// One worker with one slot, one master, one task.
const PLAIN: Scenario = Scenario {
    name: "",
    workers: &[1],
    tasks: &["t"],
    children: &[],
    submits: &[],
    together: Together::Nothing,
    book_worker: false,
    ruled: true,
    assigned: false,
    ahead: false,
    silent: false,
    payload: TASK,
    exits: &[0],
    budget: &[],
};

use Fault::{
    AskDrain, AskDrainFast, BookAssign, BookMaster, Cancel, ChangeAssignment, ChangeTask, Compare, CrashBookWorker, CrashMaster,
    CrashWorker, DeleteAssignment, DeleteBox, DeleteEpoch, DeleteMaster, DeleteRecord, DeleteStatuses, DeleteTasks, DeleteTodo,
    DeleteWorker, Drain, ExpireLocally, ExpireMaster, ExpireWorker, GarbleRecord, GarbleTodo, Hire, MoveBack, Pause, Reset, Resubmit,
    Resume, Reuse, Ring, Stand, Submit, SuspendClient, SuspendMaster, SuspendWorker, UnknownClient, UnknownMaster, UnknownWorker, Withdraw,
};

/// A command that may fail, and is tried again once.
const TRIED_AGAIN: Scenario = Scenario { payload: RETRIED, exits: &[0, 3], ..PLAIN };

/// A worker runs a task for longer than it may, and says nothing, or says it at last.
const SILENT: Scenario = Scenario { assigned: true, silent: true, payload: TIMED, ..PLAIN };

/// One that runs only after another has succeeded.
const CHILD_WAITS: Scenario = Scenario { children: &["c"], ..PLAIN };
/// Two tasks on a worker with one slot, and another worker joins: it could run the one that waits.
const AHEAD: Scenario = Scenario { tasks: &["t", "v"], assigned: true, ahead: true, ..PLAIN };

/// One slot, and so many tasks that results wait for one another.
const IN_COMPANY: Scenario = Scenario { tasks: &["t", "u", "v", "w"], assigned: true, ..PLAIN };

/// Two elements, and one worker with one slot.
const OF_TWO: Scenario = Scenario { payload: ARRAY_OF_TWO, ..PLAIN };

const fn plain(name: &'static str, budget: &'static [(Fault, u8)]) -> Scenario {
    Scenario { name, budget, ..PLAIN }
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { tasks: &["t", "v"], ..plain("two tasks, nothing goes wrong", &[]) },
    // Answers that are lost, and connections.
    plain("answers to the master lost", &[(UnknownMaster, 2)]),
    plain("answers to the worker lost", &[(UnknownWorker, 2), (Ring, 1)]),
    plain("answers to both lost", &[(UnknownMaster, 1), (UnknownWorker, 1), (Ring, 1)]),
    plain("the worker cut off", &[(SuspendWorker, 1), (UnknownWorker, 1), (Ring, 1)]),
    plain("the worker cut off twice", &[(SuspendWorker, 2)]),
    plain("the master cut off twice", &[(SuspendMaster, 2)]),
    plain("both cut off", &[(SuspendWorker, 1), (SuspendMaster, 1)]),
    // Sessions that end, and processes.
    plain("the worker expired", &[(ExpireWorker, 1), (SuspendWorker, 1)]),
    Scenario { assigned: true, ..plain("the worker expired, unanswered", &[(ExpireWorker, 1), (UnknownMaster, 1)]) },
    plain("the worker given up too early", &[(SuspendWorker, 1), (ExpireLocally, 1)]),
    plain("the master expired", &[(ExpireMaster, 1), (Stand, 1), (SuspendMaster, 1)]),
    plain("the master killed", &[(CrashMaster, 1), (Stand, 1), (UnknownMaster, 1)]),
    plain("the worker killed, another comes", &[(CrashWorker, 1), (Hire, 1)]),
    Scenario { workers: &[1, 1], ..plain("the worker killed, another is there", &[(CrashWorker, 1)]) },
    plain("both killed", &[(CrashMaster, 1), (Stand, 1), (CrashWorker, 1)]),
    Scenario { workers: &[], ..plain("a worker comes and goes", &[(Hire, 1), (ExpireWorker, 1)]) },
    Scenario { workers: &[], tasks: &[], ruled: false, ..plain("a worker comes while a master begins", &[(Hire, 1), (Submit, 1)]) },
    Scenario { tasks: &["t", "v"], assigned: true, ..plain("expired while it reports", &[(ExpireWorker, 1), (UnknownWorker, 1)]) },
    // What people want.
    plain("withdrawn and submitted again", &[(Withdraw, 1), (Resubmit, 1)]),
    plain("cancelled, unanswered", &[(Cancel, 1), (UnknownMaster, 1)]),
    plain("cancelled, the worker killed", &[(Cancel, 1), (CrashWorker, 1)]),
    plain("cancelled, the worker cut off", &[(Cancel, 1), (SuspendWorker, 1)]),
    plain("cancelled, the master killed", &[(Cancel, 1), (CrashMaster, 1), (Stand, 1)]),
    Scenario { workers: &[1, 1], ..plain("drained", &[(Drain, 1), (Ring, 1)]) },
    plain("drained, cut off", &[(Drain, 1), (SuspendWorker, 1)]),
    // What is asked of workers and of masters.
    Scenario { name: "recalled", ..AHEAD },
    Scenario { name: "results in company", budget: &[(Ring, 1)], ..IN_COMPANY },
    Scenario { name: "results in company, unanswered", budget: &[(UnknownWorker, 1)], ..IN_COMPANY },
    Scenario { name: "results in company, the worker killed", budget: &[(CrashWorker, 1)], ..IN_COMPANY },
    Scenario { name: "results in company, drained", budget: &[(AskDrain, 1)], ..IN_COMPANY },
    plain("told to drain, cut off", &[(AskDrain, 1), (SuspendWorker, 1)]),
    plain("told to drain at once, unanswered", &[(AskDrainFast, 1), (UnknownWorker, 1), (Ring, 1)]),
    plain("paused, the master killed", &[(Pause, 1), (Resume, 1), (CrashMaster, 1), (Stand, 1)]),
    // What people delete and change.
    plain("registration deleted", &[(DeleteWorker, 1)]),
    Scenario { tasks: &["t", "v"], ..plain("box deleted", &[(DeleteBox, 1)]) },
    Scenario { tasks: &["t", "v"], ..plain("assignment deleted", &[(DeleteAssignment, 1)]) },
    plain("assigned twice, cut off", &[(MoveBack, 1), (SuspendWorker, 1)]),
    plain("assigned twice, unanswered", &[(MoveBack, 1), (UnknownWorker, 1), (Ring, 1)]),
    plain("payload changed", &[(ChangeTask, 1), (ChangeAssignment, 1)]),
    plain("statuses deleted", &[(DeleteStatuses, 1), (Cancel, 1)]),
    plain("office deleted", &[(DeleteMaster, 1), (Stand, 1)]),
    plain("epoch deleted", &[(DeleteEpoch, 1), (Stand, 1)]),
    Scenario { assigned: true, ..plain("state reset", &[(Reset, 1), (Stand, 1)]) },
    Scenario { assigned: true, ..plain("state reset, then submitted", &[(Reset, 1), (Submit, 1)]) },
    Scenario { assigned: true, ..plain("tasks deleted, a name used again", &[(DeleteTasks, 1), (Reuse, 1)]) },
    // What rests.
    Scenario { name: "tried again, unanswered", budget: &[(UnknownWorker, 1), (Ring, 1)], ..TRIED_AGAIN },
    Scenario { name: "tried again, the master unanswered", budget: &[(UnknownMaster, 1)], ..TRIED_AGAIN },
    Scenario { name: "tried again, cut off", budget: &[(SuspendWorker, 1)], ..TRIED_AGAIN },
    Scenario { name: "tried again, the worker killed", budget: &[(CrashWorker, 1)], ..TRIED_AGAIN },
    Scenario { name: "tried again, the master killed", budget: &[(CrashMaster, 1), (Stand, 1)], ..TRIED_AGAIN },
    Scenario { name: "tried again, cancelled", budget: &[(Cancel, 1)], ..TRIED_AGAIN },
    // What waits for others.
    Scenario { name: "a child waits", exits: &[0, 3], ..CHILD_WAITS },
    Scenario { name: "a child waits, the master unanswered", budget: &[(UnknownMaster, 1)], ..CHILD_WAITS },
    Scenario { name: "a child waits, the master killed", budget: &[(CrashMaster, 1), (Stand, 1)], ..CHILD_WAITS },
    Scenario { name: "a child waits, the parent cancelled", budget: &[(Cancel, 1)], ..CHILD_WAITS },
    Scenario { name: "a child waits, the parent deleted", budget: &[(DeleteAssignment, 1)], ..CHILD_WAITS },
    Scenario { name: "a child waits, the worker killed", budget: &[(CrashWorker, 1)], ..CHILD_WAITS },
    // What should be over long ago.
    Scenario { name: "silent", workers: &[1, 1], budget: &[(Compare, 2)], ..SILENT },
    Scenario { name: "silent, unanswered", budget: &[(Compare, 2), (UnknownMaster, 1), (UnknownWorker, 1)], ..SILENT },
    Scenario { name: "silent, cut off", budget: &[(Compare, 2), (SuspendWorker, 1)], ..SILENT },
    Scenario { name: "silent, cancelled", budget: &[(Compare, 2), (Cancel, 1)], ..SILENT },
    // Arrays.
    Scenario { name: "an array of four", payload: ARRAY_OF_FOUR, ..PLAIN },
    Scenario { name: "an array on two workers", workers: &[1, 1], ..OF_TWO },
    Scenario { name: "an array, the master unanswered", budget: &[(UnknownMaster, 1)], ..OF_TWO },
    Scenario { name: "an array, the worker unanswered", budget: &[(UnknownWorker, 1), (Ring, 1)], ..OF_TWO },
    Scenario { name: "an array, the worker cut off", budget: &[(SuspendWorker, 1)], ..OF_TWO },
    Scenario { name: "an array, the master cut off", budget: &[(SuspendMaster, 1)], ..OF_TWO },
    Scenario { name: "an array, the worker expired", assigned: true, budget: &[(ExpireWorker, 1)], payload: ARRAY_OF_ONE, ..OF_TWO },
    Scenario { name: "an array, the worker killed", workers: &[1, 1], assigned: true, budget: &[(CrashWorker, 1)], ..OF_TWO },
    Scenario { name: "an array, the master killed", budget: &[(CrashMaster, 1), (Stand, 1)], ..OF_TWO },
    Scenario { name: "an array, cancelled", assigned: true, budget: &[(Cancel, 1)], ..OF_TWO },
    Scenario { name: "an array, told to drain at once", budget: &[(AskDrainFast, 1)], ..OF_TWO },
    Scenario { name: "an array, a piece deleted", budget: &[(DeleteAssignment, 1)], ..OF_TWO },
    Scenario { name: "an array, tried again", payload: ARRAY_RETRIED, exits: &[0, 3], ..PLAIN },
    // What people delete and change of one.
    Scenario { name: "an array, a record deleted", assigned: true, budget: &[(DeleteRecord, 1), (CrashMaster, 1), (Stand, 1)], ..OF_TWO },
    Scenario { name: "an array, a record garbled", budget: &[(GarbleRecord, 1)], ..OF_TWO },
    Scenario { name: "an array, todo deleted", budget: &[(DeleteTodo, 1)], ..OF_TWO },
    Scenario { name: "an array, todo garbled", assigned: true, budget: &[(GarbleTodo, 1), (CrashMaster, 1), (Stand, 1)], ..OF_TWO },
    // The book.
    plain("a book master between", &[(DeleteMaster, 1), (BookMaster, 1), (BookAssign, 1), (Stand, 1)]),
    Scenario { workers: &[], book_worker: true, ..plain("a book worker", &[(CrashBookWorker, 1), (Hire, 1)]) },
    // Submissions.
    Scenario { workers: &[], tasks: &[], submits: &["t", "v"], ..plain("submitted, unanswered", &[(UnknownClient, 2)]) },
    Scenario { workers: &[], tasks: &[], submits: &["t", "v"], ..plain("submitted, cut off", &[(SuspendClient, 1), (ExpireLocally, 1)]) },
    Scenario { tasks: &[], submits: &["t"], ..plain("submitted and run", &[(UnknownClient, 1), (SuspendClient, 1)]) },
    // What belongs together.
    Scenario { tasks: &[], together: Together::Group, ..plain("a group in two parts", &[(UnknownClient, 1)]) },
    Scenario { tasks: &[], together: Together::Group, ..plain("a group, the master killed", &[(CrashMaster, 1)]) },
    Scenario { workers: &[], tasks: &[], together: Together::Key, ..plain("one key, two clients", &[(UnknownClient, 2)]) },
    Scenario { workers: &[], tasks: &[], together: Together::Key, ..plain("one key, cut off", &[(SuspendClient, 1), (ExpireLocally, 1)]) },
];

/// A rule, how it is taken out, and where that is found.
pub(crate) struct Hole {
    pub(crate) rule: &'static str,
    pub(crate) without: &'static str,
    pub(crate) variant: Variant,
    pub(crate) found_by: &'static str,
}

/// What must be found.
pub(crate) const HOLES: &[Hole] = &[
    hole("§2 old answers", "an answer is believed though a later question was asked", Variant::OldAnswers, "withdrawn and submitted again"),
    hole("§2 the door", "answers of an earlier session are handed over", Variant::DoorOpen, "expired while it reports"),
    hole("§2 unknown", "a master takes an unknown outcome for a success", Variant::UnknownApplied, "answers to the master lost"),
    hole("§2 order of lists", "workers are listed before boxes", Variant::WorkersFirst, "a worker comes while a master begins"),
    hole("1 layout", "nobody re-creates what is missing", Variant::LayoutLeft, "statuses deleted"),
    hole("2 submissions", "without a guard", Variant::Unguarded, "submitted, unanswered"),
    hole("4 incarnations", "an unregistered worker goes on", Variant::UnregisteredStays, "registration deleted"),
    hole("4 incarnations", "a new session goes by the old name", Variant::SameName, "the worker given up too early"),
    hole("5 P5", "the worker is not checked when it is assigned to", Variant::WorkerUnchecked, "the worker killed, another comes"),
    hole("6 results", "the worker does not check itself", Variant::SelfUnchecked, "registration deleted"),
    hole("6 results", "the assignment's version is not looked at", Variant::AnyVersion, "payload changed"),
    hole("6 results", "in two transactions", Variant::ResultInTwo, "the worker killed, another comes"),
    hole("6 results", "which operation was refused is not looked at", Variant::IndexIgnored, "statuses deleted"),
    hole("7 giving back", "in two transactions", Variant::GiveBackInTwo, "drained, cut off"),
    hole("7 recall", "the master takes what it believes is not started", Variant::RecallTaken, "recalled"),
    hole("7 taking back", "from a worker that only fell silent", Variant::SilentTakenBack, "the worker cut off"),
    hole("7 the backstop", "what a silent worker has is given again", Variant::SilentGivenAgain, "silent"),
    hole("7 taking back", "the loss is not counted", Variant::LossUncounted, "the worker killed, another comes"),
    hole("8 the order to stop", "a worker does not hear that it is gone", Variant::StopUnheard, "cancelled, unanswered"),
    hole("8 czxid", "two assignments look the same", Variant::CzxidUnseen, "assigned twice, cut off"),
    hole("8 slots", "free before the group is dead", Variant::SlotFreeAtOnce, "assignment deleted"),
    hole("9 another attempt", "in two transactions", Variant::GiveBackInTwo, "tried again, the worker killed"),
    hole("12 old statuses", "those older than /tasks are left", Variant::OldLeft, "tasks deleted, a name used again"),
    hole("13 doubles", "a task in both places is left there", Variant::DoublesLeft, "a book master between"),
    hole("9 parents", "their status is not looked at", Variant::ParentUnread, "a child waits"),
    hole("groups", "an element runs before all are submitted", Variant::GroupUnread, "a group in two parts"),
    hole("keys", "the key is not kept", Variant::KeyUnkept, "one key, two clients"),
    hole("16 arrays", "todo at any version, and unanswered writes repeated", Variant::TodoRepeated, "an array, the master unanswered"),
    hole("16 arrays", "a piece given out stays in todo", Variant::PieceStaysTodo, "an array of four"),
    hole("16 arrays", "a piece taken back stays with its worker", Variant::PieceNotTaken, "an array, the worker killed"),
    hole("16 arrays", "a record beside its assignment", Variant::RecordBeside, "an array of four"),
    hole("16 arrays", "a record is not deleted when it is taken in", Variant::RecordLeft, "an array of four"),
    hole("16 arrays", "a record is not read", Variant::RecordUnread, "an array of four"),
    hole("15 moves", "at whatever version", Variant::MoveAnyVersion, "payload changed"),
];

/// What may be missing without anything being found: the versions and names in each transaction suffice, and that a master reads what
/// it finds assigned.
pub(crate) const SPARE: &[Hole] = &[
    hole("§2 unknown", "a master's write is sent again instead of read", Variant::UnknownRepeated, "answers to both lost"),
    hole("§2 sync", "a worker's late write overtakes what it reads", Variant::GhostsOvertake, "the worker cut off"),
    hole("§2 sync", "a worker's late write overtakes what it reads", Variant::GhostsOvertake, "drained, cut off"),
    hole("16 arrays", "todo at any version", Variant::TodoAnyVersion, "an array, the master cut off"),
];

const fn hole(rule: &'static str, without: &'static str, variant: Variant, found_by: &'static str) -> Hole {
    Hole { rule, without, variant, found_by }
}

struct Life {
    rules: Rules,
    start: World,
}

impl Model for Life {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.start.clone()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(&self.rules, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.step(&step, &self.rules);
        next.seal();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(HOLDS, |_, world: &World| world.broken.is_none()),
            Property::always(ENDS, |model: &Self, world: &World| {
                world.broken.is_some() || !world.is_quiet(&model.rules) || world.judge(&model.rules).is_none()
            }),
            Property::sometimes(ENDED, |_, world: &World| world.ledger.unfinished().next().is_none() && !world.ledger.ended().is_empty()),
            Property::sometimes(SPENT, |_, world: &World| world.budget.is_spent()),
        ]
    }
}

/// How much more often everything may happen than in everyday runs: `MODEL_MORE=1` takes hours.
fn more() -> u8 {
    std::env::var("MODEL_MORE").map_or(0, |times| times.parse().expect("MODEL_MORE is a small number"))
}

impl Scenario {
    fn start(&self, rules: &Rules) -> World {
        let mut world = World::new(rules);
        for slots in self.workers {
            world.hire(*slots);
            if self.silent {
                world.hands.last_mut().expect("one was hired").edit().promise();
            }
            world.open_hand(world.hands.len() - 1, rules);
        }
        if self.book_worker {
            world.zookeeper.edit().begin(BOOK_HAND);
            let registered =
                Multi::new().create(format!("/assign/{BOOK_WORKER}"), "").create_ephemeral(format!("/workers/{BOOK_WORKER}"), "Idle");
            world.commit_by_hand(BOOK_HAND, &registered);
        }
        world.stand(rules);
        if self.ruled {
            world.settle(rules);
        }
        if !self.submits.is_empty() {
            world.clients.push(Part::new(Client::new(self.submits, TASK)));
            world.open_client(0, rules);
        }
        match self.together {
            Together::Nothing => {}
            Together::Group => world.clients.push(Part::new(Client::with_group())),
            Together::Key => {
                world.one_key = true;
                world.clients.extend(["t", "v"].map(|task| Part::new(Client::with_key(task, TASK))));
            }
        }
        if self.together != Together::Nothing {
            (0..world.clients.len()).for_each(|index| world.open_client(index, rules));
        }
        for task in self.tasks {
            world.commit_by_hand(SOMEBODY, &Multi::new().create(format!("{}/{task}", path::TASKS), self.payload));
        }
        for task in self.children {
            world.commit_by_hand(SOMEBODY, &Multi::new().create(format!("{}/{task}", path::HELD), CHILD));
        }
        if self.assigned {
            world.settle(rules);
        }
        world.exclusive = self.silent;
        if self.ahead {
            world.hire(1);
            world.open_hand(1, rules);
        }
        world.budget = Budget::of(self.budget).and_more(more());
        world.seal();
        world
    }

    /// Of many tasks all go to the one worker.
    fn lookahead(&self) -> u32 {
        match self.tasks.len() {
            0 | 1 => 1,
            2 => u32::from(self.ahead),
            more => u32::try_from(more).unwrap_or(u32::MAX),
        }
    }

    fn rules(&self, variant: Variant) -> Rules {
        let settings = Settings {
            assign_batch: 2,
            lookahead: self.lookahead(),
            queue_timeout: Duration::ZERO,
            max_worker_losses: 3,
            silence_timeout: Duration::from_millis(u64::from(self.silent)),
            classic_workers: self.book_worker,
            group_retention: Duration::ZERO,
            limits: Limits::default(),
        };
        let has_arrays = self.payload.contains(r#""array""#);
        Rules { variant, settings, has_groups: self.together == Together::Group, has_arrays, exits: self.exits }
    }

    /// Explores all of it.
    pub(crate) fn explore(&self, variant: Variant) -> Report {
        let began = std::time::Instant::now();
        let rules = self.rules(variant);
        let most = if more() > 0 { usize::MAX } else { STEPS_MAX };
        let model = Life { start: self.start(&rules), rules };
        let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).target_state_count(most).spawn_bfs().join();
        let states = checker.unique_state_count();
        let mut report = Report::new(self.name, states, checker.max_depth(), began.elapsed());
        report.unfinished = checker.state_count() >= most;
        for property in [HOLDS, ENDS] {
            let Some(path) = checker.discovery(property) else { continue };
            let last = path.last_state().clone();
            let broken = last.broken.clone().or_else(|| last.judge(&checker.model().rules)).expect("something is wrong");
            let steps = path.into_actions();
            report.found = Some((steps.len(), broken.words(), format!("{broken:?}\n    after {steps:?}")));
        }
        let reached = |name| checker.discovery(name).is_some();
        let nobody_works = self.workers.is_empty() && !self.book_worker && !self.budget.iter().any(|(fault, _)| *fault == Hire);
        let wanted = if nobody_works { &[SPENT][..] } else { &[ENDED, SPENT] };
        report.vacuous = wanted.iter().copied().find(|name| report.found.is_none() && !reached(*name));
        report
    }
}

/// All runs of this model.
pub(crate) fn runs() -> Vec<Run> {
    let real = SCENARIOS.iter().map(|scenario| {
        let job = Box::new(|| scenario.explore(Variant::None));
        Run { name: scenario.name, kind: Kind::Holds, job }
    });
    let holes = HOLES.iter().map(|hole| {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == hole.found_by).expect("a scenario of that name");
        let job = Box::new(|| scenario.explore(hole.variant));
        Run { name: hole.found_by, kind: Kind::Hole { rule: hole.rule, without: hole.without }, job }
    });
    let spare = SPARE.iter().map(|hole| {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == hole.found_by).expect("a scenario of that name");
        let job = Box::new(|| scenario.explore(hole.variant));
        Run { name: hole.found_by, kind: Kind::Spare { rule: hole.rule, without: hole.without }, job }
    });
    real.chain(holes).chain(spare).collect()
}
