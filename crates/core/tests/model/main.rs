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
use stateright::{Checker, HasDiscoveries, Model, Property};

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
        world.steps(steps);
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
    let mut start = World::new(coordinators, Budget { sessions: 3, ..Budget::NONE });
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

fn check(name: &str, cluster: Cluster, finish: HasDiscoveries) -> impl Checker<Cluster> {
    let began = Instant::now();
    let checker = cluster.checker().threads(2).finish_when(finish).target_state_count(STEPS_MAX).spawn_bfs().join();
    assert!(checker.state_count() < STEPS_MAX, "{name}: the bounds are too wide, or something in the state grows without end");
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{name}: {states} states, depth {depth}, {:.1} s", began.elapsed().as_secs_f32());
    for (property, path) in checker.discoveries().into_iter().filter(|(property, _)| FAILURES.contains(property)) {
        let steps = path.into_actions();
        println!("  not so in {} steps: {property}\n  {steps:?}", steps.len());
    }
    checker
}

/// Every history within the budget keeps every promise, and what must be reachable is reached.
#[track_caller]
fn holds(name: &str, cluster: Cluster, reachable: &'static [&'static str]) {
    check(name, Cluster { reachable, ..cluster }, HasDiscoveries::AnyFailures).assert_properties();
}

/// Two coordinators, the first in office: [`holds`] with the real rules.
#[track_caller]
fn fence_holds(name: &str, budget: Budget, reachable: &'static [&'static str]) {
    holds(name, in_office(2, Rules::real(budget), budget), reachable);
}

/// Some history within the budget breaks the ledger's second promise when the rules are weaker, and none does with the real ones.
/// Returns where the first such history ends.
#[track_caller]
fn is_found_out(name: &str, weaken: fn(&mut Rules), budget: Budget) -> World {
    let mut rules = Rules::real(budget);
    weaken(&mut rules);
    let checker = check(name, in_office(2, rules, budget), HasDiscoveries::AnyOf([PROMISES].into()));
    let last = checker.discovery(PROMISES).unwrap_or_else(|| panic!("{name}: nothing was found")).last_state().clone();
    assert_eq!(last.broken, Some(Broken::Promise(Promise::OnlyTheMasterWrites)));
    fence_holds("  the same, by the real rules", budget, &[RULES]);
    last
}

#[test]
fn a_version_check_on_the_master_alone_is_found_out() {
    // The successor's `/master` has the same version: a predecessor whose session lives writes into its term.
    let budget = Budget { masters_deleted: 1, ..Budget::WRITE };
    let last = is_found_out("the master's version alone", |rules| rules.fence = Fence::MasterVersionOnly, budget);
    assert_eq!(last.zookeeper.office(), Some(last.coordinators[1].session));
}

#[test]
fn the_epoch_alone_is_found_out() {
    // Nobody is in office, and the epoch does not tell.
    let budget = Budget { masters_deleted: 1, ..Budget::WRITE };
    let last = is_found_out("the epoch alone, deleted by hand", |rules| rules.fence = Fence::EpochOnly, budget);
    assert_eq!(last.zookeeper.office(), None);
    // It takes no hand: a master steps down, and what it wrote before lands late.
    let budget = Budget { stops: 1, unknown: 1, ..Budget::WRITE };
    is_found_out("the epoch alone, stepped down", |rules| rules.fence = Fence::EpochOnly, budget);
}

#[test]
fn the_epoch_and_any_master_is_found_out() {
    // A master out of the book took the office, and the epoch did not move.
    let budget = Budget { masters_deleted: 1, book_masters: 1, ..Budget::WRITE };
    let last = is_found_out("the epoch and any master", |rules| rules.fence = Fence::EpochAndAnyMaster, budget);
    assert_eq!(last.zookeeper.office(), Some(BOOK));
}

#[test]
fn an_epoch_that_starts_over_is_found_out() {
    // Deleted and created again, it comes to a number that a former master still holds.
    let budget = Budget { masters_deleted: 1, epochs_deleted: 1, ..Budget::WRITE };
    is_found_out("epochs that start alike", |rules| rules.epochs_start_alike = true, budget);
}

#[test]
fn the_fence_holds_when_the_office_is_deleted() {
    let reachable = &[RULES, FOLLOWS, ASSIGNS, REFUSED];
    let deleted = Budget { masters_deleted: 1, ..Budget::WRITE };
    fence_holds("deleted and suspended", Budget { suspensions: 1, ..deleted }, reachable);
    fence_holds("deleted and unanswered", Budget { unknown: 1, sessions: 1, ..deleted }, reachable);
    fence_holds("deleted and proven", Budget { proofs: 2, ..deleted }, reachable);
}

#[test]
fn the_fence_holds_when_sessions_end() {
    let reachable = &[RULES, FOLLOWS, ASSIGNS];
    let session = Budget { sessions: 1, ..Budget::WRITE };
    fence_holds("expired and suspended", Budget { expiries: 1, suspensions: 1, ..session }, reachable);
    fence_holds("expired and unanswered", Budget { expiries: 1, unknown: 1, ..session }, reachable);
    fence_holds("given up too early", Budget { local_expiries: 1, suspensions: 1, ..session }, reachable);
}

#[test]
fn the_fence_holds_when_connections_come_and_go() {
    let suspended = Budget { suspensions: 2, ..Budget::WRITE };
    fence_holds("suspended and proven", Budget { proofs: 2, ..suspended }, &[RULES]);
    fence_holds("suspended and unanswered", Budget { unknown: 2, ..suspended }, &[RULES]);
}

#[test]
fn the_fence_holds_when_a_master_steps_down() {
    let reachable = &[RULES, FOLLOWS, ASSIGNS];
    let stopped = Budget { stops: 1, ..Budget::WRITE };
    fence_holds("stopped and suspended", Budget { suspensions: 1, ..stopped }, reachable);
    fence_holds("stopped, unanswered and deleted", Budget { unknown: 1, masters_deleted: 1, ..stopped }, reachable);
}

#[test]
fn two_coordinators_without_an_epoch_agree() {
    let reachable = &[RULES];
    let started = Budget { sessions: 2, ..Budget::NONE };
    holds("started, writing", from_nothing(2, Budget { writes: 1, doubles: 1, ..started }), reachable);
    holds("started and expired", from_nothing(2, Budget { expiries: 1, ..started }), reachable);
    holds("started without the epoch", from_nothing(2, Budget { epochs_deleted: 1, ..started }), reachable);
}

#[test]
fn a_candidate_whose_answers_are_lost_ends_in_office() {
    let reachable = &[RULES, FOUND];
    let started = Budget { sessions: 2, ..Budget::NONE };
    holds("started and unanswered", from_nothing(2, Budget { unknown: 1, ..started }), reachable);
    holds("started and suspended", from_nothing(2, Budget { suspensions: 1, ..started }), reachable);
}

#[test]
fn three_coordinators_agree() {
    let ended = Budget { expiries: 2, ..Budget::NONE };
    holds("three, two of which end", in_office(3, Rules::real(ended), ended), &[RULES, FOLLOWS]);
    let ended = Budget { expiries: 1, sessions: 1, ..Budget::WRITE };
    holds("three, one of which comes back", in_office(3, Rules::real(ended), ended), &[RULES, FOLLOWS, ASSIGNS]);
}
