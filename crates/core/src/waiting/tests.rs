//! Waiting, event by event.

use super::*;

fn task(name: &str) -> TaskName {
    TaskName::listed(name)
}

fn now() -> Time {
    Time::at(Duration::ZERO)
}

fn waiting_for(name: &str) -> Waiting {
    let mut waiting = Waiting::new(Duration::from_secs(60));
    waiting.on(Event::Connected, now());
    let effects = waiting.on(Event::Wanted(vec![task(name)]), now());
    assert_eq!(effects, [Effect::Arm(Duration::from_secs(60)), Effect::Register(vec![task(name)])], "first of all");
    assert_eq!(waiting.on(Event::Registered, now()), [Effect::Look(task(name))]);
    waiting
}

fn nothing_yet(waiting: &mut Waiting, name: &str) -> Vec<Effect> {
    waiting.on(Event::Looked { task: task(name), found: None }, now())
}

#[test]
fn a_result_that_comes_later_is_heard_of() {
    let mut waiting = waiting_for("t");
    assert_eq!(nothing_yet(&mut waiting, "t"), [Effect::Locate(task("t"))]);
    assert_eq!(waiting.on(Event::Located { task: task("t"), somewhere: true }, now()), []);
    assert_eq!(waiting.on(Event::Stirred(task("t")), now()), [Effect::Look(task("t"))]);
    let looked = Event::Looked { task: task("t"), found: Some(b"done".to_vec()) };
    assert_eq!(waiting.on(looked, now()), [Effect::Ended(task("t"), b"done".to_vec())]);
    assert!(waiting.is_empty());
}

#[test]
fn what_was_submitted_just_now_is_not_looked_for_unless_the_connection_broke() {
    for (first, second) in [(Event::Submitted(vec![task("t")]), None), (Event::Submitted(vec![task("t")]), Some(Event::Connected))] {
        let mut waiting = Waiting::new(Duration::from_secs(60));
        waiting.on(Event::Connected, now());
        waiting.on(first, now());
        let broke = second.is_some();
        second.into_iter().for_each(|event| drop(waiting.on(event, now())));
        waiting.on(Event::Wanted(vec![task("t")]), now());
        waiting.on(Event::Registered, now());
        assert_eq!(nothing_yet(&mut waiting, "t").is_empty(), !broke);
    }
    let mut waiting = waiting_for("t");
    waiting.on(Event::Submitted(vec![task("t")]), now());
    assert_eq!(nothing_yet(&mut waiting, "t"), [], "also if it was wanted before");
    waiting.on(Event::Submitted((0..SUBMITTED_MAX + 5).map(|i| task(&format!("s{i:06}"))).collect()), now());
    assert_eq!(waiting.submitted.len(), SUBMITTED_MAX);
    assert!(!waiting.submitted.contains_key(&task("s000004")) && waiting.submitted.contains_key(&task("s000005")));
}

#[test]
fn a_task_that_is_nowhere_twice_is_nowhere() {
    let mut waiting = waiting_for("t");
    nothing_yet(&mut waiting, "t");
    let missing = || Event::Located { task: task("t"), somewhere: false };
    assert_eq!(waiting.on(missing(), now()), [Effect::Look(task("t"))], "its status may have appeared meanwhile");
    assert_eq!(nothing_yet(&mut waiting, "t"), [Effect::Locate(task("t"))]);
    assert_eq!(waiting.on(missing(), now()), [Effect::Look(task("t"))], "and even now");
    assert_eq!(nothing_yet(&mut waiting, "t"), [Effect::Nowhere(task("t"))]);
    assert!(waiting.is_empty());
}

#[test]
fn a_task_that_was_tried_again_and_ended_while_it_was_looked_for_is_not_nowhere() {
    let mut waiting = waiting_for("t");
    let missing = || Event::Located { task: task("t"), somewhere: false };
    // Each time it was where it had just been looked for: held and assigned by turns, and then it ended.
    nothing_yet(&mut waiting, "t");
    waiting.on(missing(), now());
    nothing_yet(&mut waiting, "t");
    assert_eq!(waiting.on(missing(), now()), [Effect::Look(task("t"))]);
    let looked = Event::Looked { task: task("t"), found: Some(b"done".to_vec()) };
    assert_eq!(waiting.on(looked, now()), [Effect::Ended(task("t"), b"done".to_vec())]);
}

#[test]
fn after_an_outage_everything_is_looked_for_again() {
    let mut waiting = waiting_for("t");
    nothing_yet(&mut waiting, "t");
    waiting.on(Event::Disconnected, now());
    assert_eq!(waiting.on(Event::Connected, now()), [Effect::Register(vec![task("t")])]);
    assert_eq!(waiting.on(Event::Registered, now()), [Effect::Look(task("t"))]);
}

#[test]
fn it_is_said_that_somebody_waits_until_nobody_does() {
    let mut waiting = waiting_for("t");
    waiting.on(Event::Looked { task: task("t"), found: Some(vec![]) }, now());
    let soon = Time::at(Duration::from_secs(1));
    assert_eq!(waiting.on(Event::Wanted(vec![task("u")]), soon), [Effect::Look(task("u"))], "it still is");
    waiting.on(Event::Looked { task: task("u"), found: Some(vec![]) }, soon);
    assert_eq!(waiting.on(Event::Rang, Time::at(Duration::from_secs(60))), [Effect::Unregister]);
    assert_eq!(waiting.on(Event::Rang, Time::at(Duration::from_secs(60))), []);
    assert!(waiting.on(Event::Wanted(vec![task("v")]), soon).contains(&Effect::Register(vec![task("v")])));
}

#[test]
fn whoever_waits_for_long_says_so_anew_and_names_what_is_left() {
    let mut waiting = waiting_for("t");
    nothing_yet(&mut waiting, "t");
    let mut effects = Vec::new();
    for minute in 1..=10 {
        effects = waiting.on(Event::Rang, Time::at(Duration::from_secs(60 * minute)));
        assert_eq!(effects.contains(&Effect::Renew(vec![task("t")])), minute == 10, "{effects:?}");
    }
    assert!(!effects.contains(&Effect::Look(task("t"))), "its watch is armed");
}

#[test]
fn who_is_expected_is_told_of_before_he_comes() {
    let mut waiting = Waiting::new(Duration::from_secs(60));
    waiting.on(Event::Connected, now());
    assert_eq!(waiting.on(Event::Expected, now()), [Effect::Arm(Duration::from_secs(60)), Effect::Register(vec![])]);
    waiting.on(Event::Registered, now());
    assert!(!waiting.on(Event::Rang, now()).contains(&Effect::Unregister), "he may come");
    assert_eq!(waiting.on(Event::Wanted(vec![task("t")]), now()), [Effect::Look(task("t"))]);
}

#[test]
fn one_timer_ticks_and_in_time_every_task_is_looked_for_everywhere() {
    let mut waiting = waiting_for("t00");
    waiting.on(Event::Unwanted(vec![task("t00")]), now());
    let all: Vec<TaskName> = (0..20).map(|i| task(&format!("t{i:02}"))).collect();
    assert!(!waiting.on(Event::Wanted(all), now()).iter().any(|effect| matches!(effect, Effect::Arm(_))), "one ticks already");
    for i in 0..20 {
        nothing_yet(&mut waiting, &format!("t{i:02}"));
    }
    let located = |effects: Vec<Effect>| effects.into_iter().filter(|effect| matches!(effect, Effect::Locate(_))).collect::<Vec<_>>();
    let (first, second) = (located(waiting.on(Event::Rang, now())), located(waiting.on(Event::Rang, now())));
    assert_eq!((first.len(), second.len()), (16, 16));
    assert_eq!(second[..4], ["t16", "t17", "t18", "t19"].map(|name| Effect::Locate(task(name))));
    waiting.on(Event::Unwanted((0..20).map(|i| task(&format!("t{i:02}"))).collect()), now());
    assert_eq!(waiting.on(Event::Rang, now()), [Effect::Unregister], "nothing to wait for, nothing to tick for");
}

#[test]
fn no_more_than_the_limit_is_armed_and_the_others_get_their_turn() {
    let mut waiting = Waiting::new(Duration::from_secs(60));
    waiting.on(Event::Connected, now());
    waiting.on(Event::Wanted(many(1)), now());
    waiting.on(Event::Registered, now());
    let looked: usize = many(WATCHES_MAX + 10).into_iter().skip(1).map(|task| looks(&waiting.on(Event::Wanted(vec![task]), now()))).sum();
    assert_eq!(looked + 1, WATCHES_MAX);
    let effects = waiting.on(Event::Looked { task: task("t00000"), found: Some(vec![]) }, now());
    assert_eq!(effects, [Effect::Ended(task("t00000"), vec![]), Effect::Look(task(&format!("t{WATCHES_MAX:05}")))]);
}

fn many(count: usize) -> Vec<TaskName> {
    (0..count).map(|i| task(&format!("t{i:05}"))).collect()
}

/// Waits for so many that were submitted just now.
fn waiting_for_many(count: usize) -> (Waiting, Vec<Effect>) {
    let mut waiting = Waiting::new(Duration::from_secs(60));
    waiting.on(Event::Connected, now());
    waiting.on(Event::Submitted(many(count)), now());
    waiting.on(Event::Wanted(many(count)), now());
    let effects = waiting.on(Event::Registered, now());
    (waiting, effects)
}

fn read_of(effects: &[Effect]) -> Vec<TaskName> {
    let read = |effect: &Effect| if let Effect::Read(tasks) = effect { Some(tasks.clone()) } else { None };
    effects.iter().find_map(read).unwrap_or_default()
}

fn answered(tasks: Vec<TaskName>, ended: impl Fn(&TaskName) -> bool) -> Event {
    Event::Read(tasks.into_iter().map(|task| (task.clone(), ended(&task).then(|| b"done".to_vec()))).collect())
}

fn looks(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Look(_))).count()
}

#[test]
fn what_ends_quickly_is_read_and_not_watched() {
    let (mut waiting, mut effects) = waiting_for_many(5000);
    let (mut ended, mut reads, mut watched, mut at) = (0, 0, 0, Duration::ZERO);
    // In each fiftieth of a second a hundred more have ended.
    for done in (100..6000).step_by(100).map(|done| many(done.min(5000))) {
        at += Duration::from_millis(20);
        loop {
            watched += looks(&effects);
            ended += effects.iter().filter(|effect| matches!(effect, Effect::Ended(..))).count();
            let read = read_of(&effects);
            if read.is_empty() {
                break;
            }
            reads += read.len();
            effects = waiting.on(answered(read, |task| Some(task) <= done.last()), Time::at(at));
        }
        effects = waiting.on(Event::ReadDue, Time::at(at));
    }
    assert!(ended >= 5000 - 64, "{ended} have ended");
    assert!(reads < 10_000, "{reads} were read for 5000 that have ended");
    assert!(watched <= 64 + 128, "{watched} were watched");
}

/// Plays fiftieths of a second, and says how many were watched in each.
fn watched_by_round(waiting: &mut Waiting, mut effects: Vec<Effect>, rounds: u64, ended: impl Fn(&TaskName) -> bool) -> Vec<usize> {
    let play = |round| {
        let read = read_of(&effects);
        let mut watched = 0;
        if !read.is_empty() {
            effects = waiting.on(answered(read, &ended), Time::at(Duration::from_millis(20 * round)));
            watched += looks(&effects);
        }
        effects = waiting.on(Event::ReadDue, Time::at(Duration::from_millis(20 * (round + 1))));
        watched + looks(&effects)
    };
    (1..=rounds).map(play).collect()
}

#[test]
fn what_does_not_end_is_watched_a_few_at_a_time_and_after_half_a_second_all_of_it() {
    let (mut waiting, effects) = waiting_for_many(WATCHES_MAX);
    assert_eq!(looks(&effects), 0, "at first it is read");
    let watched = watched_by_round(&mut waiting, effects, 30, |_| false);
    assert!(watched[..10].iter().sum::<usize>() < 300, "few in the first fifth of a second: {watched:?}");
    assert_eq!(watched[..26].iter().sum::<usize>(), WATCHES_MAX, "{watched:?}");
}

#[test]
fn what_comes_behind_the_last_that_has_ended_was_not_read_in_vain() {
    // Three in each fiftieth of a second, in their order: far more are read than end.
    let (mut waiting, mut effects) = waiting_for_many(1000);
    let (mut reads, mut watched) = (0, 0);
    for round in 1..=300 {
        let ended = many(3 * round);
        let at = Duration::from_millis(20 * u64::try_from(round).unwrap());
        reads += usize::from(!read_of(&effects).is_empty());
        effects = waiting.on(answered(read_of(&effects), |task| Some(task) <= ended.last()), Time::at(at));
        watched += looks(&effects);
        effects = waiting.on(Event::ReadDue, Time::at(at + Duration::from_millis(20)));
        watched += looks(&effects);
    }
    assert_eq!((waiting.len(), watched, reads), (100, 0, 300), "each was heard of at once, and none watched");
}

#[test]
fn what_ends_out_of_its_turn_is_heard_of_although_others_end_before_it_all_the_time() {
    let (mut waiting, mut effects) = waiting_for_many(1000);
    let last = many(1000).pop().expect("a thousand");
    let heard = (0..200).find(|round| {
        // Ten more have come, whose names come before all others, and ten of them have ended.
        let new: Vec<TaskName> = (0..10).map(|i| task(&format!("a{round:03}{i}"))).collect();
        let at = Duration::from_millis(20 * round);
        waiting.on(Event::Submitted(new.clone()), Time::at(at));
        waiting.on(Event::Wanted(new), Time::at(at));
        let before = format!("a{round:03}");
        let ended = |task: &TaskName| *task == last || task.as_str() < before.as_str();
        let said = waiting.on(answered(read_of(&effects), ended), Time::at(at));
        effects = waiting.on(Event::ReadDue, Time::at(at + Duration::from_millis(20)));
        said.contains(&Effect::Ended(last.clone(), b"done".to_vec()))
    });
    assert!(heard.is_some_and(|round| round < 100), "after {heard:?} rounds");
}

#[test]
fn what_takes_longer_than_others_is_watched_while_those_are_read() {
    let (mut waiting, mut effects) = waiting_for_many(3000);
    let long: BTreeSet<TaskName> = many(30).into_iter().collect();
    let mut watched = BTreeSet::new();
    for round in 1..100 {
        let read = read_of(&effects);
        let open = !read.is_empty();
        let at = Time::at(Duration::from_millis(20 * round));
        if open {
            effects = waiting.on(answered(read, |task| !long.contains(task)), at);
        } else {
            effects = waiting.on(Event::ReadDue, at);
        }
        watched.extend(effects.iter().filter_map(|effect| if let Effect::Look(task) = effect { Some(task.clone()) } else { None }));
    }
    assert_eq!(waiting.len(), 30, "all others have been heard of");
    assert_eq!(watched, long);
}

#[test]
fn with_as_many_watches_as_there_may_be_the_others_are_read_by_turns() {
    let (mut waiting, mut effects) = waiting_for_many(WATCHES_MAX + 1000);
    let short = many(WATCHES_MAX + 1000).split_off(WATCHES_MAX + 900);
    for round in 1..2500 {
        let read = read_of(&effects);
        let at = Time::at(Duration::from_millis(20 * round));
        effects = match read.is_empty() {
            // Something else ends all the time, so that reading goes on.
            true => waiting.on(Event::ReadDue, at),
            // By then each of them was read in vain as often as it may be, and waits for another turn.
            false => waiting.on(answered(read, |task| round > 1300 && short.contains(task)), at),
        };
        waiting.count_end(at);
    }
    assert_eq!(waiting.len(), WATCHES_MAX + 900, "the last of them were found, too");
    assert_eq!(waiting.busy, WATCHES_MAX);
}

#[test]
fn what_may_be_nowhere_is_looked_for_as_ever_and_a_break_forgets_what_was_being_read() {
    let mut waiting = Waiting::new(Duration::from_secs(60));
    waiting.on(Event::Connected, now());
    waiting.on(Event::Wanted(many(600)), now());
    let effects = waiting.on(Event::Registered, now());
    let read = read_of(&effects);
    let looked = waiting.on(answered(read.clone(), |_| false), now());
    assert_eq!(looks(&looked), read.len(), "nobody knows whether they were ever submitted");
    waiting.on(Event::Disconnected, now());
    waiting.on(Event::Connected, now());
    let again = waiting.on(Event::Registered, now());
    assert_eq!(read_of(&again), read);
    assert_eq!(waiting.busy, 0);
}
