//! A janitor with a handful of results, asked and answered in its own order.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn settings(count_max: usize) -> Settings {
    Settings { retention: DAY, count_max, bytes_max: 1000, guard_retention: DAY }
}

fn task(name: &str) -> TaskName {
    TaskName::listed(name)
}

fn at(seconds: u64) -> Time {
    Time::at(Duration::from_secs(seconds))
}

/// A result that was created so many seconds after the election, by a transaction of that number.
fn measure(second: i64) -> Measure {
    Measure { czxid: second, created_ms: second * 1000, bytes: 10, details: false }
}

/// What it does when these results are there: up to the question who needs what, or to its rest.
fn knowing(settings: Settings, results: &[(&str, Measure)], now: u64) -> (Janitor, Vec<Effect>) {
    let mut janitor = Janitor::new(settings);
    assert_eq!(janitor.on(Event::Began, at(0)), [Effect::ReadClock(1)]);
    janitor.on(Event::ClockRead(1, Some(0)), at(0));
    assert_eq!(janitor.on(Event::Due, at(now)), [Effect::Count(2)]);
    assert_eq!(janitor.on(Event::Counted(2, results.len()), at(now)), [Effect::List(3, Place::Results)]);
    let names: Vec<TaskName> = results.iter().map(|(name, _)| task(name)).collect();
    assert_eq!(janitor.on(Event::Listed(3, names.clone(), Vec::new()), at(now)), [Effect::Measure(4, Place::Results, names)]);
    let measured = results.iter().map(|(name, measure)| (task(name), Some(*measure))).collect();
    let effects = janitor.on(Event::Measured(4, measured), at(now));
    (janitor, effects)
}

fn deletions(effects: &[Effect]) -> (u64, Vec<String>) {
    let [Effect::Write(id, multi)] = effects else { panic!("one transaction: {effects:?}") };
    (*id, multi.ops.iter().map(|op| op.path().to_owned()).collect())
}

fn verified(names: &[(&str, Option<i64>)]) -> Vec<(TaskName, Option<i64>)> {
    names.iter().map(|(name, czxid)| (task(name), *czxid)).collect()
}

fn three() -> [(&'static str, Measure); 3] {
    [("a", measure(3)), ("b", measure(1)), ("c", measure(2))]
}

/// Removes what may go when these are needed.
fn removes(needs: Needs) -> Vec<TaskName> {
    let (mut janitor, effects) = knowing(settings(1), &three(), 10);
    assert_eq!(effects, [Effect::AskNeeds(5)]);
    match janitor.on(Event::Asked(5, Some(needs)), at(10)).as_slice() {
        [Effect::Verify(6, Place::Results, names)] => names.clone(),
        [Effect::Tell(Fact::KeptInSpite(3, 30)), Effect::List(6, Place::Submitted)] => Vec::new(),
        effects => panic!("{effects:?}"),
    }
}

#[test]
fn the_oldest_of_too_many_go_with_their_details() {
    let details = Measure { details: true, ..measure(1) };
    let (mut janitor, effects) = knowing(settings(1), &[("a", measure(3)), ("b", details), ("c", measure(2))], 10);
    assert_eq!(effects, [Effect::AskNeeds(5)]);
    let effects = janitor.on(Event::Asked(5, Some(Needs::default())), at(10));
    assert_eq!(effects, [Effect::Verify(6, Place::Results, vec![task("b"), task("c")])]);
    let effects = janitor.on(Event::Verified(6, verified(&[("b", Some(1)), ("c", Some(2))])), at(10));
    let (id, paths) = deletions(&effects);
    assert_eq!(paths, ["/status/b", "/bellwether/results/b", "/status/c"]);
    let effects = janitor.on(Event::WriteEnded(id, Outcome::applied()), at(10));
    assert_eq!(effects, [Effect::Tell(Fact::Removed(Place::Results, 2)), Effect::List(7, Place::Submitted)]);
    assert_eq!(janitor.results(), (1, 10));
}

#[test]
fn what_somebody_waits_for_stays_and_so_does_what_is_named() {
    let named = |names: &[&str]| names.iter().map(|name| task(name)).collect();
    assert_eq!(removes(Needs::default()), [task("b"), task("c")]);
    assert_eq!(removes(Needs { since: Some(2), named: named(&[]) }), [task("b")], "what ended since then stays");
    assert_eq!(removes(Needs { since: Some(1), named: named(&[]) }), [], "all of it");
    assert_eq!(removes(Needs { since: None, named: named(&["b"]) }), [task("c"), task("a")]);
    assert_eq!(removes(Needs { since: None, named: named(&["a", "b", "c"]) }), []);
}

#[test]
fn what_is_kept_in_spite_is_told_until_it_is_over() {
    let (mut janitor, _) = knowing(settings(1), &three(), 10);
    janitor.on(Event::Asked(5, Some(Needs { since: Some(0), named: BTreeSet::new() })), at(10));
    assert!(janitor.is_overfull());
    janitor.on(Event::Listed(6, vec![], vec![]), at(10));
    assert_eq!(janitor.on(Event::Listed(7, vec![], vec![]), at(10)), []);
    assert_eq!(janitor.on(Event::Due, at(11)), [Effect::Count(8)]);
    assert_eq!(janitor.on(Event::Counted(8, 3), at(11)), [Effect::AskNeeds(9)]);
    let effects = janitor.on(Event::Asked(9, Some(Needs::default())), at(11));
    assert_eq!(effects, [Effect::Verify(10, Place::Results, vec![task("b"), task("c")])]);
    let (id, _) = deletions(&janitor.on(Event::Verified(10, verified(&[("b", Some(1)), ("c", Some(2))])), at(11)));
    let effects = janitor.on(Event::WriteEnded(id, Outcome::applied()), at(11));
    assert_eq!(effects, [Effect::Tell(Fact::Removed(Place::Results, 2)), Effect::Tell(Fact::KeptInSpite(0, 0))]);
    assert!(!janitor.is_overfull());
}

#[test]
fn results_go_when_they_are_too_old_or_too_large_and_not_before() {
    let old = DAY.as_secs() + 2;
    let (mut janitor, effects) = knowing(settings(100), &three(), old);
    assert_eq!(effects, [Effect::AskNeeds(5)]);
    let effects = janitor.on(Event::Asked(5, Some(Needs::default())), at(old));
    assert_eq!(effects, [Effect::Verify(6, Place::Results, vec![task("b")])], "the others are a day old");
    let (_, effects) = knowing(settings(100), &three(), 10);
    assert_eq!(effects, [Effect::List(5, Place::Submitted)]);
    let (mut janitor, _) = knowing(Settings { bytes_max: 25, ..settings(100) }, &three(), 10);
    let effects = janitor.on(Event::Asked(5, Some(Needs::default())), at(10));
    assert_eq!(effects, [Effect::Verify(6, Place::Results, vec![task("b")])]);
}

#[test]
fn a_name_that_was_used_again_is_another_result() {
    let (mut janitor, _) = knowing(settings(1), &three(), 10);
    janitor.on(Event::Asked(5, Some(Needs::default())), at(10));
    let effects = janitor.on(Event::Verified(6, verified(&[("b", Some(9)), ("c", None)])), at(10));
    assert_eq!(effects, [Effect::Measure(7, Place::Results, vec![task("b")])]);
}

#[test]
fn one_refused_deletion_leaves_the_others() {
    let (mut janitor, _) = knowing(settings(1), &three(), 10);
    janitor.on(Event::Asked(5, Some(Needs::default())), at(10));
    let (id, _) = deletions(&janitor.on(Event::Verified(6, verified(&[("b", Some(1)), ("c", Some(2))])), at(10)));
    let (id, paths) = deletions(&janitor.on(Event::WriteEnded(id, Outcome::refused(0, Why::NotEmpty)), at(10)));
    assert_eq!(paths, ["/status/b/status", "/status/b", "/status/c"], "a worker of the book may have left this");
    let (id, paths) = deletions(&janitor.on(Event::WriteEnded(id, Outcome::refused(0, Why::NoNode)), at(10)));
    assert_eq!(paths, ["/status/b", "/status/c"], "it has not");
    let effects = janitor.on(Event::WriteEnded(id, Outcome::refused(0, Why::NotEmpty)), at(10));
    let told = Effect::Tell(Fact::Surprised { path: "/status/b".into(), why: Why::NotEmpty });
    assert_eq!(effects[0], told);
    assert_eq!(deletions(&effects[1..]).1, ["/status/c"]);
}

#[test]
fn nobody_knows_is_answered_by_verifying_again() {
    let (mut janitor, _) = knowing(settings(1), &three(), 10);
    janitor.on(Event::Asked(5, Some(Needs::default())), at(10));
    let (id, _) = deletions(&janitor.on(Event::Verified(6, verified(&[("b", Some(1)), ("c", Some(2))])), at(10)));
    assert_eq!(janitor.on(Event::WriteEnded(id, Outcome::Unknown), at(10)), []);
    assert_eq!(janitor.on(Event::Due, at(11)), [], "not before the office is proven");
    janitor.on(Event::Began, at(12));
    assert_eq!(janitor.on(Event::Due, at(12)), [Effect::Count(8)]);
    assert_eq!(janitor.on(Event::Counted(8, 2), at(12)), [Effect::List(9, Place::Results)]);
}

#[test]
fn a_list_is_made_only_when_it_is_worth_it() {
    let (mut janitor, _) = knowing(settings(100), &three(), 10);
    janitor.on(Event::Listed(5, vec![], vec![]), at(10));
    janitor.on(Event::Listed(6, vec![], vec![]), at(10));
    let mut looks = |count, second| {
        let [Effect::Count(question)] = janitor.on(Event::Due, at(second))[..] else { panic!("it rests") };
        !janitor.on(Event::Counted(question, count), at(second)).is_empty()
    };
    assert!(!looks(12, 11), "nine more than it knows, of a hundred");
    assert!(!looks(3, 69));
    assert!(looks(13, 70), "ten more");
}

#[test]
fn guards_and_details_that_nobody_needs_go_too() {
    let now = at(2 * DAY.as_secs());
    let mut janitor = Janitor::new(settings(100));
    janitor.on(Event::Began, at(0));
    janitor.on(Event::ClockRead(1, Some(0)), at(0));
    janitor.on(Event::Due, now);
    janitor.on(Event::Counted(2, 0), now);
    let (id, paths) = deletions(&janitor.on(Event::Listed(3, vec![], vec![task("orphan")]), now));
    assert_eq!(paths, ["/bellwether/results/orphan"]);
    let effects = janitor.on(Event::WriteEnded(id, Outcome::applied()), now);
    assert_eq!(effects, [Effect::Tell(Fact::Orphans(1)), Effect::List(4, Place::Submitted)]);
    let guards = vec![task("old"), task("young")];
    assert_eq!(janitor.on(Event::Listed(4, guards.clone(), vec![]), now), [Effect::Measure(5, Place::Submitted, guards)]);
    let young = Measure { created_ms: 2 * 24 * 3600 * 1000, ..measure(7) };
    let measured = vec![(task("old"), Some(measure(1))), (task("young"), Some(young))];
    assert_eq!(janitor.on(Event::Measured(5, measured), now), [Effect::Verify(6, Place::Submitted, vec![task("old")])]);
    let (id, paths) = deletions(&janitor.on(Event::Verified(6, verified(&[("old", Some(1))])), now));
    assert_eq!(paths, ["/bellwether/submitted/old"]);
    let effects = janitor.on(Event::WriteEnded(id, Outcome::applied()), now);
    assert_eq!(effects, [Effect::Tell(Fact::Removed(Place::Submitted, 1)), Effect::List(7, Place::Keys)]);
}
