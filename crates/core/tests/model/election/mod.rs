//! Election and fence, model-checked: the real [`Election`](bellwether_core::election::Election) of two or three coordinators over a
//! toy ZooKeeper, with a master that writes whenever it may. The fence must hold in every history within the bounds, and each weaker
//! one must be found out.
//!
//! The bounds are budgets per kind of fault ([`world::Budget`]): every history is explored in which no kind happens more often. Faults
//! are combined in twos and threes, because all of them at once would take hours. Time stands still: every armed timer may ring.

mod coordinator;
mod fence;
mod steps;
mod world;
mod zookeeper;

use std::time::Instant;

use bellwether_core::election::Event;
use bellwether_core::invariant::Promise;
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use crate::report::{Kind, Report, Run};
use fence::Fence;
use steps::Step;
use world::{BOOK, Broken, Budget, Rules, World};

const PROMISES: &str = "every promise of the ledger is kept";
const TERMS: &str = "a master's write commits only in its term";
const ORDERS: &str = "the orders of an election fit together";
const ONE_EACH: &str = "no two masters share an epoch";
/// What must never be found.
const FAILURES: [&str; 4] = [PROMISES, TERMS, ORDERS, ONE_EACH];
const RULES: &str = "somebody rules";
const FOLLOWS: &str = "somebody else follows";
const ASSIGNS: &str = "the successor assigns the task";
const REFUSED: &str = "the fence refuses a write";
const FOUND: &str = "a ballot whose answer was lost ends in office";

/// Most steps that a run may take: several times what the largest one here does, and far less than memory holds.
const STEPS_MAX: usize = 6_000_000;

/// One run of the checker.
struct Cluster {
    rules: Rules,
    start: World,
    /// The epoch of the first term.
    first: i32,
    /// What must be reachable, or the run is vacuous.
    reachable: &'static [&'static str],
}

impl Model for Cluster {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.start.clone()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(self.rules, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.step(&step, self.rules);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(PROMISES, |_, world: &World| !matches!(world.broken, Some(Broken::Promise(_)))),
            Property::always(TERMS, |_, world: &World| world.broken != Some(Broken::PastTerm)),
            Property::always(ORDERS, |_, world: &World| !matches!(world.broken, Some(Broken::Orders(_)))),
            Property::always(ONE_EACH, |_, world: &World| {
                let mut epochs: Vec<_> = world.coordinators.iter().filter_map(|one| one.master).map(|master| master.epoch).collect();
                epochs.sort_unstable();
                epochs.windows(2).all(|pair| pair[0] != pair[1])
            }),
            Property::sometimes(RULES, |_, world: &World| world.coordinators.iter().any(|one| one.writable().is_some())),
            Property::sometimes(FOLLOWS, |model: &Self, world: &World| {
                world.coordinators[1..].iter().filter_map(|one| one.writable()).any(|epoch| epoch > model.first)
            }),
            Property::sometimes(ASSIGNS, |model: &Self, world: &World| world.assigned_in().is_some_and(|epoch| epoch > model.first)),
            Property::sometimes(REFUSED, |_, world: &World| world.coordinators.iter().any(|one| one.answers.contains(&Event::WriteFenced))),
            Property::sometimes(FOUND, |_, world: &World| world.coordinators.iter().any(|one| one.found && one.writable().is_some())),
        ];
        properties.retain(|property| property.expectation.discovery_is_failure() || self.reachable.contains(&property.name));
        properties
    }
}

/// The first of these coordinators rules, the others stand by in line.
fn in_office(coordinators: usize, rules: Rules, budget: Budget) -> Cluster {
    let mut start = World::new(coordinators, Budget { sessions: 4, ..Budget::NONE });
    for who in 0..coordinators {
        start.step(&Step::Open { who, doubled: false }, rules);
        start.settle(rules);
    }
    start.budget = budget;
    let first = start.coordinators[0].writable().expect("the first rules");
    Cluster { rules, start, first, reachable: &[RULES] }
}

/// Coordinators that were never started, and no epoch.
fn from_nothing(coordinators: usize, budget: Budget) -> Cluster {
    Cluster { rules: Rules::real(budget), start: World::new(coordinators, budget), first: 0, reachable: &[RULES] }
}

/// Explores all of it, or as much as it takes to find something.
fn explore(name: &str, cluster: Cluster, finish: HasDiscoveries) -> (Report, Option<World>) {
    let began = Instant::now();
    let checker = cluster.checker().finish_when(finish).target_state_count(STEPS_MAX).spawn_bfs().join();
    let mut report = Report::new(name, checker.unique_state_count(), checker.max_depth(), began.elapsed());
    report.unfinished = checker.state_count() >= STEPS_MAX;
    let mut last = None;
    for (property, path) in checker.discoveries().into_iter().filter(|(property, _)| FAILURES.contains(property)) {
        if last.is_some() && property != PROMISES {
            continue;
        }
        let end = path.last_state().clone();
        let what = match end.broken {
            Some(Broken::Promise(promise)) => format!("{}: {}", promise.number(), promise.words()),
            Some(Broken::Orders(words)) => words.to_owned(),
            Some(Broken::PastTerm) | None => property.to_owned(),
        };
        let steps = path.into_actions();
        report.found = Some((steps.len(), what, format!("{property}\n    after {steps:?}")));
        last = Some(end);
    }
    let wanted = checker.model().properties().into_iter().filter(|property| matches!(property.expectation, Expectation::Sometimes));
    let missed = wanted.map(|property| property.name).find(|name| checker.discovery(name).is_none());
    report.vacuous = missed.filter(|_| report.found.is_none());
    (report, last)
}

/// Every history keeps every promise, and what must be reachable is reached.
fn holds(name: &'static str, cluster: fn() -> Cluster, reachable: &'static [&'static str]) -> Run {
    Run { name, kind: Kind::Holds, job: Box::new(move || explore(name, Cluster { reachable, ..cluster() }, HasDiscoveries::AnyFailures).0) }
}

/// Two coordinators, the first in office.
fn fence_holds(name: &'static str, budget: Budget, reachable: &'static [&'static str]) -> Run {
    let cluster = move || in_office(2, Rules::real(budget), budget);
    Run { name, kind: Kind::Holds, job: Box::new(move || explore(name, Cluster { reachable, ..cluster() }, HasDiscoveries::AnyFailures).0) }
}

/// Some history breaks a promise when the rules are weaker. `ends`: where the first such history must end.
fn hole(name: &'static str, without: &'static str, weaken: fn(&mut Rules), budget: Budget, ends: fn(&World) -> bool) -> Run {
    let job = move || {
        let mut rules = Rules::real(budget);
        weaken(&mut rules);
        let (mut report, last) = explore(name, in_office(2, rules, budget), HasDiscoveries::AnyOf([PROMISES].into()));
        let expected = |last: &World| last.broken == Some(Broken::Promise(Promise::OnlyTheMasterWrites)) && ends(last);
        if !last.is_some_and(|last| expected(&last)) {
            report.found = None;
        }
        report
    };
    Run { name, kind: Kind::Hole { rule: "5 fence", without }, job: Box::new(job) }
}

/// The fence with a part left out, and what the same budget comes to with all of it.
fn holes() -> Vec<Run> {
    // The successor's `/master` has the same version: a predecessor whose session lives writes into its term.
    let deleted = Budget { masters_deleted: 1, ..Budget::WRITE };
    let stopped = Budget { stops: 1, unknown: 1, ..Budget::WRITE };
    let followed = Budget { masters_deleted: 1, book_masters: 1, ..Budget::WRITE };
    let restarted = Budget { masters_deleted: 1, epochs_deleted: 1, ..Budget::WRITE };
    let successor = |last: &World| last.zookeeper.office() == Some(last.coordinators[1].session);
    let nobody = |last: &World| last.zookeeper.office().is_none();
    let early = Budget { local_expiries: 1, suspensions: 1, sessions: 1, ..Budget::WRITE };
    let by_name = hole("given up too early", "", |rules| rules.owned_by_name = true, early, |_| true);
    vec![
        hole("office deleted", "the master's version alone", |rules| rules.fence = Fence::MasterVersionOnly, deleted, successor),
        // Nobody is in office, and the epoch does not tell.
        hole("office deleted", "the epoch alone", |rules| rules.fence = Fence::EpochOnly, deleted, nobody),
        // It takes no hand: a master steps down, and what it wrote before lands late.
        hole("stepped down", "the epoch alone", |rules| rules.fence = Fence::EpochOnly, stopped, |_| true),
        // A master out of the book took the office, and the epoch did not move.
        hole(
            "a book master follows",
            "the epoch and any master",
            |rules| rules.fence = Fence::EpochAndAnyMaster,
            followed,
            |last| last.zookeeper.office() == Some(BOOK),
        ),
        // Deleted and created again, it comes to a number that a former master still holds.
        hole("office and epoch deleted", "an epoch starts over", |rules| rules.epochs_start_alike = true, restarted, |_| true),
        // It gave its session up, and finds its own name in an office that the server has not ended yet.
        Run { kind: Kind::Hole { rule: "3 ownership", without: "an office is ours if our name is on it" }, ..by_name },
        fence_holds("election: office deleted", deleted, &[RULES]),
        fence_holds("election: stepped down", stopped, &[RULES]),
        fence_holds("election: a book master follows", followed, &[RULES]),
        fence_holds("election: office and epoch deleted", restarted, &[RULES]),
    ]
}

/// All runs of this model.
pub(crate) fn runs() -> Vec<Run> {
    let deleted = Budget { masters_deleted: 1, ..Budget::WRITE };
    let session = Budget { sessions: 1, ..Budget::WRITE };
    let suspended = Budget { suspensions: 2, ..Budget::WRITE };
    let stopped = Budget { stops: 1, ..Budget::WRITE };
    let follows = &[RULES, FOLLOWS, ASSIGNS];
    let refused = &[RULES, FOLLOWS, ASSIGNS, REFUSED];
    let mut runs = holes();
    runs.extend([
        fence_holds("election: deleted and suspended", Budget { suspensions: 1, ..deleted }, refused),
        fence_holds("election: deleted and unanswered", Budget { unknown: 1, sessions: 1, ..deleted }, refused),
        fence_holds("election: deleted and proven", Budget { proofs: 2, ..deleted }, refused),
        fence_holds("election: expired and suspended", Budget { expiries: 1, suspensions: 1, ..session }, follows),
        fence_holds("election: expired and unanswered", Budget { expiries: 1, unknown: 1, ..session }, follows),
        fence_holds("election: given up too early", Budget { local_expiries: 1, suspensions: 1, ..session }, follows),
        fence_holds("election: suspended and proven", Budget { proofs: 2, ..suspended }, &[RULES]),
        fence_holds("election: suspended and unanswered", Budget { unknown: 2, ..suspended }, &[RULES]),
        fence_holds("election: stopped and suspended", Budget { suspensions: 1, ..stopped }, follows),
        fence_holds("election: stopped, unanswered, deleted", Budget { unknown: 1, masters_deleted: 1, ..stopped }, follows),
    ]);
    runs.extend(wishes());
    runs.extend(starts());
    runs.extend(queues());
    runs
}

/// The master is asked to step down.
fn wishes() -> Vec<Run> {
    const WISH: Budget = Budget { wishes: 1, sessions: 1, ..Budget::WRITE };
    const QUIET: Budget = Budget { writes: 0, ..WISH };
    let follows = &[RULES, FOLLOWS, ASSIGNS];
    let for_everybody = || {
        let rules = Rules { wishes_name_nobody: true, ..Rules::real(WISH) };
        let (mut report, last) = explore("asked to step down", in_office(2, rules, WISH), HasDiscoveries::AnyOf([ORDERS].into()));
        report.found.take_if(|_| !last.is_some_and(|last| matches!(last.broken, Some(Broken::Orders(_)))));
        report
    };
    let kind = Kind::Hole { rule: "5 stepping down", without: "a wish names no term" };
    vec![
        fence_holds("election: asked to step down", WISH, follows),
        fence_holds("election: asked to step down, suspended", Budget { suspensions: 1, ..QUIET }, &[RULES, FOLLOWS]),
        fence_holds("election: asked to step down, unanswered", Budget { unknown: 1, ..QUIET }, &[RULES, FOLLOWS]),
        Run { name: "asked to step down", kind, job: Box::new(for_everybody) },
    ]
}

/// Nobody is in office yet, or three stand by.
fn starts() -> [Run; 7] {
    const STARTED: Budget = Budget { sessions: 2, ..Budget::NONE };
    let found = &[RULES, FOUND];
    [
        holds("election: started, writing", || from_nothing(2, Budget { writes: 1, doubles: 1, ..STARTED }), &[RULES]),
        holds("election: started and expired", || from_nothing(2, Budget { expiries: 1, ..STARTED }), &[RULES]),
        holds("election: started without the epoch", || from_nothing(2, Budget { epochs_deleted: 1, ..STARTED }), &[RULES]),
        holds("election: started and unanswered", || from_nothing(2, Budget { unknown: 1, ..STARTED }), found),
        holds("election: started and suspended", || from_nothing(2, Budget { suspensions: 1, ..STARTED }), found),
        holds("election: three, two of which end", || three(Budget { expiries: 2, ..Budget::NONE }), &[RULES, FOLLOWS]),
        holds(
            "election: three, one comes back",
            || three(Budget { expiries: 1, sessions: 1, ..Budget::WRITE }),
            &[RULES, FOLLOWS, ASSIGNS],
        ),
    ]
}

fn three(budget: Budget) -> Cluster {
    in_office(3, Rules::real(budget), budget)
}

/// Four coordinators of which one ends, while the second in line has the patience that its delay gives it. When two end at the same
/// time, one that moves up may still hear that the office was vacant, stand, and be refused: that costs a candidacy and nothing else.
fn queued(unordered: bool) -> Cluster {
    let budget = Budget { expiries: 1, ..Budget::NONE };
    let rules = Rules { patient: true, unordered, ..Rules::real(budget) };
    in_office(4, rules, budget)
}

/// Two wake and one stands, for each vacancy.
fn queues() -> [Run; 2] {
    let without_order = || {
        let (mut report, last) = explore("four, one of which ends", queued(true), HasDiscoveries::AnyOf([ORDERS].into()));
        report.found.take_if(|_| !last.is_some_and(|last| matches!(last.broken, Some(Broken::Orders(_)))));
        report
    };
    let kind = Kind::Hole { rule: "14 standbys", without: "each takes itself for the first in line" };
    [
        holds("election: four, one of which ends", || queued(false), &[RULES, FOLLOWS]),
        Run { name: "four, one of which ends", kind, job: Box::new(without_order) },
    ]
}
