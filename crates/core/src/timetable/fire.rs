//! Which ticks get a task, and the transaction that makes it.

use std::time::Duration;

use super::{Effect, Entry, Fact, LeftOut, Plan, Timetable};
use crate::Time;
use crate::protocol::multi::BATCH_BYTES_MAX;
use crate::protocol::schedule::{Missed, Overlap, ScheduleRecord, Tick};
use crate::protocol::{Multi, ScheduleName, path};

/// Until how late a tick is made up for that need not be.
const SOON_S: i64 = 60;
/// Most tasks that are made by one transaction.
const TICKS_AT_A_TIME: usize = 64;
/// The label by which a schedule's tasks are found, unless it gives them one of this name itself.
const LABEL: &str = "schedule";

/// A transaction that fires.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Firing {
    /// What the schedule says afterwards.
    pub(super) record: ScheduleRecord,
    /// The ticks of which tasks are made, in the order of the operations.
    pub(super) ticks: Vec<Tick>,
    /// Whether ticks before the last one, or with it, get none.
    left_out: Option<LeftOut>,
}

impl Plan {
    /// No tick up to this one is due any more.
    pub(super) fn over(&self) -> Tick {
        self.record.last.unwrap_or(self.anchor)
    }

    /// Ticks that are due and get a task, the tick that is over then, and whether others are left out.
    fn choose(&self, now: Tick) -> Option<(Vec<Tick>, Tick, Option<LeftOut>)> {
        let first = self.next?;
        if self.record.missed == Missed::All {
            let ticks: Vec<Tick> = self.rhythm.due(self.anchor, self.over(), now).take(TICKS_AT_A_TIME).collect();
            let last = *ticks.last()?;
            return Some((ticks, last, None));
        }
        let last = self.rhythm.last(self.anchor, self.over(), now)?;
        let made_up_for = self.record.missed == Missed::Once || now - last <= SOON_S;
        let left_out = (!made_up_for || last != first).then_some(LeftOut::Missed);
        Some((if made_up_for { vec![last] } else { Vec::new() }, last, left_out))
    }
}

impl Timetable {
    /// A schedule is due: fires it, or finds out first whether it may.
    pub(super) fn fire(&mut self, name: &ScheduleName, plan: Box<Plan>, now_ms: i64) {
        let Some((ticks, last, left_out)) = plan.choose(now_ms.div_euclid(1000)) else { return self.set(name, plan) };
        let before = plan.record.fired.filter(|_| plan.record.overlap == Overlap::Skip && !plan.free && !ticks.is_empty());
        if let Some(before) = before {
            let question = self.ask();
            self.effects.push(Effect::LookFor(question, name.clone(), name.task(before)));
            self.entries.insert(name.clone(), Entry::Looking(question, plan));
            return;
        }
        let ticks = ticks.into_iter().filter(|tick| !plan.taken.contains(tick)).collect();
        self.write(name, plan, ticks, last, left_out);
    }

    /// What is due gets no task, because the last one has not ended.
    pub(super) fn skip(&mut self, name: &ScheduleName, plan: Box<Plan>, now_ms: i64) {
        match plan.choose(now_ms.div_euclid(1000)) {
            Some((_, last, _)) => self.write(name, plan, Vec::new(), last, Some(LeftOut::Overlap)),
            None => self.set(name, plan),
        }
    }

    fn write(&mut self, name: &ScheduleName, plan: Box<Plan>, mut ticks: Vec<Tick>, mut last: Tick, left_out: Option<LeftOut>) {
        let payload = payload(name, &plan.record);
        let room = BATCH_BYTES_MAX.saturating_sub(plan.record.encode().len() + 256) / (payload.len() + 512);
        if ticks.len() > room.max(1) {
            ticks.truncate(room.max(1));
            last = ticks.last().copied().unwrap_or(last);
        }
        let fired = ticks.last().copied().or(plan.record.fired);
        let record = ScheduleRecord { last: Some(last), fired, ..plan.record.clone() };
        let mut multi = Multi::new().set(path::schedule(name), record.encode(), Some(plan.version));
        for tick in &ticks {
            multi = multi.create(path::task(&name.task(*tick)), payload.clone());
        }
        self.last_write += 1;
        self.writes.insert(self.last_write, (name.clone(), Firing { record, ticks, left_out }));
        self.effects.push(Effect::Write(self.last_write, multi));
        self.entries.insert(name.clone(), Entry::Firing { plan, again: false });
    }

    pub(super) fn tell_fired(&mut self, name: &ScheduleName, firing: &Firing, now: Time) {
        let now_ms = self.clock.now_ms(now).unwrap_or(0);
        for tick in &firing.ticks {
            let late_ms = now_ms.saturating_sub(tick.saturating_mul(1000)).max(0);
            let late = Duration::from_millis(late_ms.unsigned_abs());
            self.tell(Fact::Fired { schedule: name.clone(), task: name.task(*tick), late });
        }
        if let (Some(why), Some(tick)) = (firing.left_out, firing.record.last) {
            self.tell(Fact::LeftOut { schedule: name.clone(), tick, why });
        }
    }
}

fn payload(name: &ScheduleName, record: &ScheduleRecord) -> Vec<u8> {
    let mut task = record.task.clone();
    task.name.get_or_insert_with(|| name.to_string());
    task.labels.entry(LABEL.to_owned()).or_insert_with(|| name.to_string());
    task.encode()
}
