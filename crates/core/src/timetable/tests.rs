//! A timetable, told of schedules one at a time.

use super::*;
use crate::protocol::payload::{self, Command, Envelope};
use crate::protocol::schedule::{Missed, Overlap};
use crate::protocol::{Node, Op, Stat};

/// ZooKeeper's time of the election, and of the creation of all schedules: the start of the monotonic clock, in seconds.
const START: i64 = 1_000_000;

fn at(seconds: u64) -> Time {
    Time::at(Duration::from_secs(seconds))
}

fn name() -> ScheduleName {
    ScheduleName::listed("s")
}

fn every(seconds: u64) -> ScheduleRecord {
    ScheduleRecord { every_s: Some(seconds), ..ScheduleRecord::new(Envelope::new(Command::Shell("true".into()))) }
}

fn found(record: &ScheduleRecord, version: i32) -> Reading {
    Reading::Found(Node { data: record.encode(), stat: Stat { version, ctime_ms: START * 1000 + 300, ..Stat::default() } })
}

/// A master that has read one schedule.
fn knowing(record: &ScheduleRecord, now: u64) -> (Timetable, Vec<Effect>) {
    let mut timetable = Timetable::new();
    let effects = timetable.on(Event::Began, at(0));
    assert_eq!(effects, [Effect::ReadClock(1), Effect::List(2)]);
    assert_eq!(timetable.on(Event::ClockRead(1, Some(START * 1000)), at(0)), []);
    assert_eq!(timetable.on(Event::Listed(2, vec![name()]), at(0)), [Effect::Read(3, name())]);
    let effects = timetable.on(Event::Read(3, name(), found(record, 4)), at(now));
    (timetable, effects)
}

/// The only transaction among the effects: its number, which version it expects, what the schedule says then, and the tasks made.
fn fired(effects: &[Effect]) -> (u64, i32, ScheduleRecord, Vec<String>) {
    let writes: Vec<_> =
        effects.iter().filter_map(|effect| if let Effect::Write(id, multi) = effect { Some((*id, multi)) } else { None }).collect();
    let [(id, multi)] = writes[..] else { panic!("one transaction of {effects:?}") };
    let [Op::Set { path, data, version: Some(version) }, creates @ ..] = multi.ops.as_slice() else { panic!("{multi:?}") };
    assert_eq!(path, "/bellwether/schedules/s");
    let tasks = creates.iter().map(|op| {
        let Op::Create { path, data, ephemeral: false } = op else { panic!("{op:?}") };
        let task = payload::decode(data).expect("a task");
        assert_eq!((task.envelope.name.as_deref(), task.envelope.labels["schedule"].as_str()), (Some("s"), "s"));
        path.clone()
    });
    (id, *version, ScheduleRecord::decode(data).expect("a schedule").0, tasks.collect())
}

fn tasks(ticks: &[i64]) -> Vec<String> {
    ticks.iter().map(|tick| path::task(&name().task(START + tick))).collect()
}

fn applied(id: u64) -> Event {
    Event::WriteEnded(id, Outcome::applied())
}

#[test]
fn a_schedule_fires_at_its_tick_and_waits_for_the_next() {
    let (mut timetable, effects) = knowing(&every(10), 1);
    assert_eq!(effects, [Effect::Arm(Duration::from_secs(10))], "counted from the second in which it was created");
    assert_eq!(timetable.on(Event::Rang, at(9)), [Effect::Arm(Duration::from_secs(10))], "too early");
    let (id, version, record, made) = fired(&timetable.on(Event::Rang, at(10)));
    assert_eq!((version, record.last, record.fired, made), (4, Some(START + 10), Some(START + 10), tasks(&[10])));
    assert_eq!(timetable.on(Event::Rang, at(30)), [], "one transaction at a time");
    let effects = timetable.on(applied(id), at(11));
    let late = Duration::from_secs(1);
    assert_eq!(effects[0], Effect::Tell(Fact::Fired { schedule: name(), task: name().task(START + 10), late }));
    assert_eq!(effects[1..], [Effect::Arm(Duration::from_secs(20))]);
    let (_, version, ..) = fired(&timetable.on(Event::Rang, at(20)));
    assert_eq!(version, 5);
}

#[test]
fn what_was_missed_is_made_up_for_as_asked() {
    let of = |missed, now| {
        let (_, effects) = knowing(&ScheduleRecord { missed, ..every(100) }, now);
        let (_, _, record, made) = fired(&effects);
        (record.last.expect("a tick") - START, made)
    };
    assert_eq!(of(Missed::All, 350), (300, tasks(&[100, 200, 300])));
    assert_eq!(of(Missed::Once, 350), (300, tasks(&[300])));
    assert_eq!(of(Missed::Once, 399), (300, tasks(&[300])));
    assert_eq!(of(Missed::Skip, 350), (300, tasks(&[300])));
    assert_eq!(of(Missed::Skip, 390), (300, tasks(&[])), "too late");
    let (last, made) = of(Missed::All, 100_000);
    assert_eq!((last, made.len()), (6400, 64), "the others follow");
}

#[test]
fn a_new_master_goes_on_where_the_last_one_ended() {
    let (_, effects) = knowing(&ScheduleRecord { last: Some(START + 20), missed: Missed::All, ..every(10) }, 30);
    assert_eq!(fired(&effects).3, tasks(&[30]));
    let (_, effects) = knowing(&ScheduleRecord { last: Some(START + 30), ..every(10) }, 30);
    assert_eq!(effects, [Effect::Arm(Duration::from_secs(40))]);
}

#[test]
fn a_tick_is_left_out_while_the_task_before_goes_on() {
    let record = ScheduleRecord { overlap: Overlap::Skip, last: Some(START + 10), fired: Some(START + 10), ..every(10) };
    let (mut timetable, effects) = knowing(&record, 20);
    assert_eq!(effects, [Effect::LookFor(4, name(), name().task(START + 10))]);
    let (id, _, after, made) = fired(&timetable.on(Event::LookedFor(4, name(), false), at(20)));
    assert_eq!((after.last, after.fired, made), (Some(START + 20), Some(START + 10), tasks(&[])));
    let effects = timetable.on(applied(id), at(20));
    assert_eq!(effects[0], Effect::Tell(Fact::LeftOut { schedule: name(), tick: START + 20, why: LeftOut::Overlap }));
    assert_eq!(timetable.on(Event::Rang, at(30)), [Effect::LookFor(5, name(), name().task(START + 10))]);
    assert_eq!(fired(&timetable.on(Event::LookedFor(5, name(), true), at(30))).3, tasks(&[30]));
}

#[test]
fn who_changes_a_schedule_is_heard_before_it_fires() {
    let (mut timetable, _) = knowing(&every(10), 1);
    let (id, ..) = fired(&timetable.on(Event::Rang, at(10)));
    let refused = Event::WriteEnded(id, Outcome::refused(0, Why::BadVersion));
    assert_eq!(timetable.on(refused, at(10)), [Effect::Read(4, name())]);
    let paused = ScheduleRecord { paused: true, ..every(10) };
    assert_eq!(timetable.on(Event::Read(4, name(), found(&paused, 5)), at(10)), []);
    assert_eq!(timetable.on(Event::Rang, at(1000)), []);
    assert_eq!(timetable.on(Event::Moved(name()), at(1000)), [Effect::Read(5, name())]);
    assert_eq!(timetable.on(Event::Read(5, name(), Reading::Absent), at(1000)), []);
    assert_eq!(timetable.waiting(), 0);
}

#[test]
fn a_change_during_a_transaction_is_read_after_it_and_an_older_answer_is_not_believed() {
    let (mut timetable, _) = knowing(&every(10), 1);
    let (id, ..) = fired(&timetable.on(Event::Rang, at(10)));
    assert_eq!(timetable.on(Event::Moved(name()), at(10)), []);
    let effects = timetable.on(applied(id), at(10));
    assert_eq!(effects[1..], [Effect::Read(4, name())]);
    assert_eq!(timetable.on(Event::Read(3, name(), found(&every(10), 4)), at(10)), [], "of before");
    let after = ScheduleRecord { last: Some(START + 10), ..every(10) };
    assert_eq!(timetable.on(Event::Read(4, name(), found(&after, 5)), at(11)), [Effect::Arm(Duration::from_secs(20))]);
}

#[test]
fn nobody_knows_is_answered_by_reading_everything_again() {
    let (mut timetable, _) = knowing(&every(10), 1);
    let (id, ..) = fired(&timetable.on(Event::Rang, at(10)));
    assert_eq!(timetable.on(Event::WriteEnded(id, Outcome::Unknown), at(10)), []);
    assert_eq!(timetable.on(Event::Rang, at(50)), [], "not before the office is proven");
    assert_eq!(timetable.on(Event::Began, at(50)), [Effect::ReadClock(4), Effect::List(5)]);
    assert_eq!(timetable.on(Event::WriteEnded(id, Outcome::applied()), at(50)), [], "of another time");
}

#[test]
fn a_name_that_is_taken_is_left_out_and_a_layout_is_waited_for() {
    let (mut timetable, _) = knowing(&every(10), 1);
    let (id, ..) = fired(&timetable.on(Event::Rang, at(10)));
    let effects = timetable.on(Event::WriteEnded(id, Outcome::refused(1, Why::NodeExists)), at(10));
    let (id, _, record, made) = fired(&effects);
    assert_eq!((record.last, made), (Some(START + 10), tasks(&[])));
    timetable.on(applied(id), at(10));
    let (id, ..) = fired(&timetable.on(Event::Rang, at(20)));
    assert_eq!(timetable.on(Event::WriteEnded(id, Outcome::refused(1, Why::NoNode)), at(20)), [Effect::MendLayout]);
    assert_eq!(timetable.on(Event::LayoutMended, at(20)), [Effect::Read(4, name())]);
}

#[test]
fn garbage_is_told_once_and_looked_at_again_slowly() {
    let mut timetable = Timetable::new();
    timetable.on(Event::Began, at(0));
    timetable.on(Event::ClockRead(1, Some(START * 1000)), at(0));
    timetable.on(Event::Listed(2, vec![name()]), at(0));
    let garbage = || Reading::Found(Node { data: b"\xff".to_vec(), stat: Stat::default() });
    let effects = timetable.on(Event::Read(3, name(), garbage()), at(0));
    assert!(matches!(effects[..], [Effect::Tell(Fact::Broken { .. })]), "{effects:?}");
    assert_eq!(timetable.on(Event::ReconcileDue, at(60)), [Effect::List(4)]);
    assert_eq!(timetable.on(Event::Listed(4, vec![name()]), at(60)), [Effect::Read(5, name())]);
    assert_eq!(timetable.on(Event::Read(5, name(), garbage()), at(60)), []);
}

#[test]
fn without_zookeepers_time_nothing_fires() {
    let mut timetable = Timetable::new();
    timetable.on(Event::Began, at(0));
    assert_eq!(timetable.on(Event::ClockRead(1, None), at(0)), [Effect::Tell(Fact::Timeless)]);
    timetable.on(Event::Listed(2, vec![name()]), at(0));
    assert_eq!(timetable.on(Event::Read(3, name(), found(&every(1), 0)), at(100)), []);
}
