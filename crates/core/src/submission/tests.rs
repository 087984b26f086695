//! What a client submits, through lost answers, refusals and company.

use super::*;
use crate::protocol::payload::{Command, Envelope};

fn now() -> Time {
    Time::at(Duration::ZERO)
}

fn submit(submissions: &mut Submissions, ticket: u64) -> Vec<Effect> {
    let tasks = vec![Submittal::pending(TaskName::listed(&format!("t{ticket}")), b"true".to_vec())];
    let guard = Guard::Once(format!("g{ticket}"));
    submissions.on(Event::Submitted { ticket, guard, group: None, tasks }, now())
}

fn connected() -> Submissions {
    let mut submissions = Submissions::new(8, Duration::from_millis(100));
    assert_eq!(submissions.on(Event::Connected, now()), []);
    submissions
}

fn guarded(ticket: u64) -> Multi {
    Multi::new().create(format!("/bellwether/submitted/g{ticket}"), b"")
}

#[test]
fn the_guard_of_an_answered_submission_goes_with_the_next_one() {
    let mut submissions = connected();
    assert_eq!(submit(&mut submissions, 1), [Effect::Write(1, guarded(1).create("/tasks/t1", b"true"))]);
    assert_eq!(submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::applied() }, now()), [Effect::Accepted(1)]);
    let second = guarded(2).delete("/bellwether/submitted/g1", None).create("/tasks/t2", b"true");
    assert_eq!(submit(&mut submissions, 2), [Effect::Write(2, second)]);
}

#[test]
fn a_lost_answer_is_repeated_behind_its_guard_and_the_guard_stays() {
    let mut submissions = connected();
    let first = submit(&mut submissions, 1);
    let effects = submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::Unknown }, now());
    assert_eq!(effects, [Effect::Arm(Duration::from_millis(100))]);
    assert_eq!(submissions.on(Event::Connected, now()), first);
    let exists = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(0, Why::NodeExists) };
    assert_eq!(submissions.on(exists, now()), [Effect::Accepted(1)]);
    assert_eq!(submissions.on(Event::Closing, now()), [], "a copy may still be on its way");
}

#[test]
fn a_guard_that_somebody_removed_is_left_out() {
    let mut submissions = connected();
    submit(&mut submissions, 1);
    submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::applied() }, now());
    submit(&mut submissions, 2);
    let refused = Event::WriteEnded { ticket: 2, outcome: Outcome::refused(1, Why::NoNode) };
    assert_eq!(submissions.on(refused, now()), [Effect::Write(2, guarded(2).create("/tasks/t2", b"true"))]);
}

#[test]
fn what_was_never_sent_can_be_withdrawn_and_what_was_sent_cannot() {
    let mut submissions = Submissions::new(1, Duration::from_millis(100));
    submit(&mut submissions, 1);
    let withdrawn = |ticket| Event::Withdrawn { ticket };
    assert_eq!(submissions.on(withdrawn(1), now()), [Effect::Failed(1, Failure::Withdrawn)]);
    submit(&mut submissions, 2);
    submissions.on(Event::Connected, now());
    assert_eq!(submissions.on(withdrawn(2), now()), [], "it may be applied");
    assert_eq!(submissions.unanswered(), 1);
}

#[test]
fn a_submission_that_fails_leaves_the_guards_before_it_to_the_next() {
    let mut submissions = connected();
    submit(&mut submissions, 1);
    submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::applied() }, now());
    submit(&mut submissions, 2);
    submissions.on(Event::WriteEnded { ticket: 2, outcome: Outcome::refused(2, Why::NodeExists) }, now());
    assert_eq!(submissions.on(Event::Closing, now()), [Effect::RemoveGuards(vec!["g1".into()])]);
}

#[test]
fn what_finds_no_layout_that_we_may_create_is_not_submitted_and_what_may_be_is_tried_on() {
    let mut submissions = Submissions::new(2, Duration::from_millis(100));
    submissions.on(Event::Connected, now());
    let keyed = |ticket: u64| {
        let record = KeyRecord { key: format!("k{ticket}"), ..keyed(&format!("t{ticket}"), "a") };
        let tasks = vec![Submittal::pending(record.task.clone(), b"true".to_vec())];
        Event::Submitted { ticket, guard: Guard::Key(record), group: None, tasks }
    };
    for ticket in 1..=3 {
        submissions.on(keyed(ticket), now());
    }
    submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::Unknown }, now());
    let refused = Event::WriteEnded { ticket: 2, outcome: Outcome::refused(0, Why::NoNode) };
    assert_eq!(submissions.on(refused, now())[0], Effect::MendLayout);
    let why = Failure::NotLaidOut("/tasks".into());
    let effects = submissions.on(Event::LayoutNotMended(why.clone()), now());
    assert_eq!(effects, [Effect::Failed(2, why.clone()), Effect::Failed(3, why.clone()), Effect::Unconfirmed(1, why)]);
    assert_eq!(submissions.unanswered(), 1);
    assert!(matches!(submissions.on(Event::Connected, now()).as_slice(), [Effect::Write(1, _)]), "it may have been applied");
}

#[test]
fn a_name_that_is_taken_fails_alone() {
    let mut submissions = connected();
    submit(&mut submissions, 1);
    let refused = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(1, Why::NodeExists) };
    let failure = Failure::NameTaken(TaskName::listed("t1"));
    assert_eq!(submissions.on(refused, now()), [Effect::Failed(1, failure)]);
    assert_eq!(submissions.unanswered(), 0);
}

#[test]
fn a_letter_goes_with_the_task_that_is_made_from_it_or_there_is_no_such_task() {
    let mut submissions = connected();
    let (task, old) = (TaskName::listed("new"), TaskName::listed("old"));
    let tasks = vec![Submittal { task, payload: b"true".to_vec(), held: true, letter: Some(old.clone()) }];
    let submitted = submissions.on(Event::Submitted { ticket: 1, guard: Guard::Once("g1".into()), group: None, tasks }, now());
    let multi = guarded(1).create("/bellwether/held/new", b"true").delete("/bellwether/dead/old", None);
    assert_eq!(submitted, [Effect::Write(1, multi)]);
    let refused = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(2, Why::NoNode) };
    assert_eq!(submissions.on(refused, now()), [Effect::Failed(1, Failure::NoLetter(old))]);
}

#[test]
fn nothing_is_sent_while_disconnected_and_no_more_than_the_window() {
    let mut submissions = Submissions::new(1, Duration::from_millis(100));
    assert_eq!(submit(&mut submissions, 1), []);
    assert!(matches!(submissions.on(Event::Connected, now()).as_slice(), [Effect::Write(1, _)]));
    assert_eq!(submit(&mut submissions, 2), []);
    let effects = submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::applied() }, now());
    assert!(matches!(effects.as_slice(), [Effect::Accepted(1), Effect::Write(2, _)]));
}

fn keyed(task: &str, argument: &str) -> KeyRecord {
    let command = Command::Argv(vec![argument.to_owned()]);
    KeyRecord::new("k", TaskName::listed(task), &command, &Envelope::new(command.clone()))
}

fn submit_keyed(record: &KeyRecord) -> (Submissions, Vec<Effect>) {
    let mut submissions = connected();
    let tasks = vec![Submittal::pending(record.task.clone(), b"true".to_vec())];
    let event = Event::Submitted { ticket: 1, guard: Guard::Key(record.clone()), group: None, tasks };
    let effects = submissions.on(event, now());
    (submissions, effects)
}

#[test]
fn a_key_leads_to_the_first_task_or_to_nothing() {
    let first = keyed("t1", "x");
    let (_, effects) = submit_keyed(&first);
    let multi = Multi::new().create(first.node(), first.encode()).create("/tasks/t1", b"true");
    assert_eq!(effects, [Effect::Write(1, multi)]);
    let answers = [
        (&first, "t1", "x", Effect::Accepted(1)),
        (&first, "t2", "x", Effect::AcceptedBefore(1, TaskName::listed("t1"))),
        (&first, "t2", "y", Effect::Failed(1, Failure::KeyTaken { key: "k".into(), task: TaskName::listed("t1") })),
    ];
    for (there, task, argument, answer) in answers {
        let ours = keyed(task, argument);
        let (mut submissions, _) = submit_keyed(&ours);
        let refused = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(0, Why::NodeExists) };
        assert_eq!(submissions.on(refused, now()), [Effect::ReadGuard(1, first.node())]);
        let found = Some(there.encode());
        assert_eq!(submissions.on(Event::GuardRead { ticket: 1, found }, now()), [answer]);
        assert_eq!(submissions.on(Event::Closing, now()), [], "the guard of a key stays");
    }
    let (mut submissions, first_try) = submit_keyed(&first);
    submissions.on(Event::WriteEnded { ticket: 1, outcome: Outcome::refused(0, Why::NodeExists) }, now());
    let gone = submissions.on(Event::GuardRead { ticket: 1, found: None }, now());
    assert_eq!((gone, submissions.on(Event::Connected, now())), (vec![Effect::Arm(Duration::from_millis(100))], first_try));
}

#[test]
fn a_group_in_several_transactions_is_given_up_with_its_record() {
    let group = TaskName::listed("g");
    let mut submissions = connected();
    let mut step = |ticket: u64, write: GroupWrite| {
        let tasks = vec![Submittal { task: group.element(0), payload: b"x".to_vec(), held: true, letter: None }];
        let group = Some(GroupStep { group: group.clone(), write });
        submissions.on(Event::Submitted { ticket, guard: Guard::Once(format!("g{ticket}")), group, tasks }, now())
    };
    let held = |multi: Multi| multi.create("/bellwether/held/g.0", b"x");
    let path = "/bellwether/groups/g";
    assert_eq!(step(1, GroupWrite::Create(b"r".to_vec())), [Effect::Write(1, held(guarded(1).create(path, b"r")))]);
    assert_eq!(step(2, GroupWrite::Check), [Effect::Write(2, held(guarded(2).check(path, 0)))]);
    assert_eq!(step(3, GroupWrite::Complete(b"s".to_vec())), [Effect::Write(3, held(guarded(3).set(path, b"s", Some(0))))]);
    for (ticket, why) in [(2, Why::NoNode), (3, Why::BadVersion)] {
        let refused = Event::WriteEnded { ticket, outcome: Outcome::refused(1, why) };
        assert_eq!(submissions.on(refused, now()), [Effect::Failed(ticket, Failure::GroupGivenUp(group.clone()))]);
    }
    let refused = Event::WriteEnded { ticket: 1, outcome: Outcome::refused(1, Why::NoNode) };
    assert_eq!(submissions.on(refused, now())[0], Effect::MendLayout, "there is no place for groups yet");
}

fn tasks_of(effects: &[Effect]) -> Vec<Vec<String>> {
    let created = |multi: &Multi| {
        let names = multi.ops.iter().filter_map(|op| op.path().strip_prefix("/tasks/"));
        names.map(str::to_owned).collect()
    };
    let multis = effects.iter().filter_map(|effect| match effect {
        Effect::Write(_, multi) => Some(created(multi)),
        _ => None,
    });
    multis.collect()
}

fn ended(ticket: u64, outcome: Outcome) -> Event {
    Event::WriteEnded { ticket, outcome }
}

#[test]
fn nobody_waits_for_company_and_what_waits_travels_together() {
    let mut submissions = connected();
    let first: Vec<_> = (1..=9).map(|ticket| tasks_of(&submit(&mut submissions, ticket)).len()).collect();
    assert_eq!(first, [1, 1, 1, 1, 0, 0, 0, 0, 0], "as many as may fly light go at once");
    let effects = submissions.on(ended(1, Outcome::applied()), now());
    assert_eq!(effects[0], Effect::Accepted(1));
    assert_eq!(tasks_of(&effects), [["t5", "t6", "t7", "t8", "t9"]], "one transaction, behind one guard");
    let effects = submissions.on(ended(5, Outcome::applied()), now());
    assert_eq!(effects, [5, 6, 7, 8, 9].map(Effect::Accepted));
    assert_eq!(submissions.unanswered(), 3);
}

#[test]
fn what_is_full_does_not_wait_for_what_is_light() {
    let mut submissions = Submissions::new(100, Duration::from_millis(100));
    for ticket in 1..=(4 + 2 * PARCEL as u64 + 3) {
        submit(&mut submissions, ticket);
    }
    let sizes: Vec<usize> = tasks_of(&submissions.on(Event::Connected, now())).iter().map(Vec::len).collect();
    assert_eq!(sizes, [PARCEL, PARCEL, 7], "all that waits at once, and nothing stays behind");
    let more: Vec<usize> =
        (1000..1000 + PARCEL as u64 + 2).flat_map(|ticket| tasks_of(&submit(&mut submissions, ticket))).map(|t| t.len()).collect();
    assert_eq!(more, [1, 1, 1], "then as many as may fly light");
    assert_eq!(submissions.unanswered(), 7 + 3 * PARCEL + 2);
}

#[test]
fn what_exceeds_a_transaction_is_split_and_not_refused() {
    const TASKS: u64 = 40;
    let mut submissions = Submissions::new(100, Duration::from_millis(100));
    let mut effects = Vec::new();
    for ticket in 1..=TASKS {
        let tasks = vec![Submittal::pending(TaskName::listed(&format!("t{ticket}")), vec![b'x'; 100 * 1024])];
        let guard = Guard::Once(format!("g{ticket}"));
        effects.extend(submissions.on(Event::Submitted { ticket, guard, group: None, tasks }, now()));
    }
    effects.extend(submissions.on(Event::Connected, now()));
    let mut sent = Vec::new();
    while let Some(written) = effects.iter().position(|effect| matches!(effect, Effect::Write(..))) {
        let Effect::Write(id, multi) = effects.remove(written) else { unreachable!("it was found") };
        assert!(multi.bytes() <= MULTI_BYTES_MAX, "{} bytes", multi.bytes());
        sent.extend(tasks_of(&[Effect::Write(id, multi)]).concat());
        effects.extend(submissions.on(ended(id, Outcome::applied()), now()));
    }
    let accepted: Vec<u64> =
        effects.iter().filter_map(|effect| if let Effect::Accepted(ticket) = effect { Some(*ticket) } else { None }).collect();
    assert_eq!(sent, (1..=TASKS).map(|ticket| format!("t{ticket}")).collect::<Vec<_>>(), "all, and in order");
    assert_eq!(accepted, (1..=TASKS).collect::<Vec<_>>());
}

#[test]
fn one_that_is_refused_is_taken_out_and_the_others_stay_behind_the_same_guard() {
    let mut submissions = Submissions::new(8, Duration::from_millis(100));
    (1..=3).for_each(|ticket| drop(submit(&mut submissions, ticket)));
    let sent = submissions.on(Event::Connected, now());
    assert_eq!(tasks_of(&sent), [["t1", "t2", "t3"]]);
    // A copy may still be on its way.
    submissions.on(ended(1, Outcome::Unknown), now());
    assert_eq!(submissions.on(Event::Connected, now()), sent, "repeated as it was");
    let effects = submissions.on(ended(1, Outcome::refused(2, Why::NodeExists)), now());
    let others = guarded(1).create("/tasks/t1", b"true").create("/tasks/t3", b"true");
    assert_eq!(effects, [Effect::Failed(2, Failure::NameTaken(TaskName::listed("t2"))), Effect::Write(1, others)]);
    let effects = submissions.on(ended(1, Outcome::refused(0, Why::NodeExists)), now());
    assert_eq!(effects, [Effect::Accepted(1), Effect::Accepted(3)], "the copy came first");
}

#[test]
fn what_is_refused_as_a_whole_is_tried_one_by_one_unless_a_copy_is_on_its_way() {
    let whole = || Outcome::Refused(Refusal::Whole(Why::BadArguments));
    let mut submissions = Submissions::new(8, Duration::from_millis(100));
    (1..=2).for_each(|ticket| drop(submit(&mut submissions, ticket)));
    submissions.on(Event::Connected, now());
    let apart = submissions.on(ended(1, whole()), now());
    let alone = |ticket| Effect::Write(ticket, guarded(ticket).create(format!("/tasks/t{ticket}"), b"true"));
    assert_eq!(apart, [alone(1), alone(2)]);
    assert!(matches!(submissions.on(ended(2, whole()), now()).as_slice(), [Effect::Failed(2, Failure::Refused { .. })]));

    let mut submissions = Submissions::new(8, Duration::from_millis(100));
    (1..=2).for_each(|ticket| drop(submit(&mut submissions, ticket)));
    submissions.on(Event::Connected, now());
    submissions.on(ended(1, Outcome::Unknown), now());
    submissions.on(Event::Connected, now());
    let failed = submissions.on(ended(1, whole()), now());
    assert!(matches!(failed.as_slice(), [Effect::Failed(1, _), Effect::Failed(2, _)]), "{failed:?}");
}

#[test]
fn a_key_and_a_letter_travel_alone() {
    let mut submissions = Submissions::new(8, Duration::from_millis(100));
    let record = keyed("t1", "x");
    let tasks = vec![Submittal::pending(record.task.clone(), b"true".to_vec())];
    submissions.on(Event::Submitted { ticket: 1, guard: Guard::Key(record), group: None, tasks }, now());
    submit(&mut submissions, 2);
    let letter = Some(TaskName::listed("old"));
    let tasks = vec![Submittal { letter, ..Submittal::pending(TaskName::listed("t3"), b"true".to_vec()) }];
    submissions.on(Event::Submitted { ticket: 3, guard: Guard::Once("g3".into()), group: None, tasks }, now());
    submit(&mut submissions, 4);
    assert_eq!(tasks_of(&submissions.on(Event::Connected, now())), [["t1"], ["t2"], ["t3"], ["t4"]]);
}
