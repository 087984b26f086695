//! What a master makes of schedules: a task of each tick, exactly once, whoever rules.
//!
//! A tick is fired by one fenced transaction: the schedule says at the version that was read that this tick is over, and the task is
//! created. So a tick is over if and only if its task was created or left out on purpose, however often masters follow one another, and
//! a change that somebody makes to the schedule meanwhile is read first. Ticks are counted by ZooKeeper's time: no machine's clock
//! decides. Whether the office is held is decided in [`crate::election`]; what is a tick, in [`crate::protocol::schedule`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Time;
use crate::master::Reading;
use crate::master::clock::Clock;
use crate::protocol::schedule::{Rhythm, ScheduleRecord, Tick};
use crate::protocol::{Multi, Outcome, Refusal, ScheduleName, TaskName, Why, path};
use crate::view::Question;

mod fire;
#[cfg(test)]
mod tests;

use fire::Firing;

/// What happened, as the shell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The watch is armed and the office is proven: believe nothing that was not read since.
    Began,
    /// Writing must stop until [`Event::Began`].
    Paused,
    /// It is time for the slow comparison of beliefs with ZooKeeper.
    ReconcileDue,
    /// When the epoch was set, by ZooKeeper's clock; `None`: that may not be read.
    ClockRead(Question, Option<i64>),
    /// The names under `/bellwether/schedules`.
    Listed(Question, Vec<ScheduleName>),
    /// A schedule's data.
    Read(Question, ScheduleName, Reading),
    /// It was made, changed or deleted.
    Moved(ScheduleName),
    /// Whether a schedule's last task has ended, or is nowhere.
    LookedFor(Question, ScheduleName, bool),
    /// A transaction ended.
    WriteEnded(u64, Outcome),
    /// What was missing of the layout is there again.
    LayoutMended,
    /// The time that was asked for has come.
    Rang,
}

/// What the shell is ordered to do. Every answer carries the question's number back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Read when the epoch was set.
    ReadClock(Question),
    /// List `/bellwether/schedules`.
    List(Question),
    /// Read a schedule.
    Read(Question, ScheduleName),
    /// See whether this task of a schedule has ended, or is nowhere.
    LookFor(Question, ScheduleName, TaskName),
    /// Commit this behind the fence.
    Write(u64, Multi),
    /// Create what is missing of the layout.
    MendLayout,
    /// Ring once, at this monotonic time; a later order replaces an earlier one.
    Arm(Duration),
    /// Tell operators and metrics.
    Tell(Fact),
}

/// What operators and metrics should hear about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    /// A tick was fired.
    Fired {
        /// Of which schedule.
        schedule: ScheduleName,
        /// The task that was made.
        task: TaskName,
        /// How late, in ZooKeeper's time.
        late: Duration,
    },
    /// Ticks before this one, or with it, were left out.
    LeftOut {
        /// Of which schedule.
        schedule: ScheduleName,
        /// The last of them.
        tick: Tick,
        /// Why.
        why: LeftOut,
    },
    /// It fires never, until somebody mends it.
    Broken {
        /// Which.
        schedule: ScheduleName,
        /// What is wrong with it.
        why: String,
    },
    /// A transaction was refused for a reason that should not occur.
    Surprised {
        /// At this path.
        path: String,
        /// Why.
        why: Why,
    },
    /// Nothing fires, because ZooKeeper's time is not known.
    Timeless,
}

/// Why a tick got no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeftOut {
    /// Nobody ruled at the time, and it is not made up for.
    Missed,
    /// The task of the tick before has not ended.
    Overlap,
    /// There is a task of its name.
    Taken,
}

/// Most transactions in flight.
const WRITES_IN_FLIGHT: usize = 16;

/// What is known of a schedule that can fire.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Plan {
    record: ScheduleRecord,
    rhythm: Rhythm,
    version: i32,
    /// When it was created: periods are counted from there.
    anchor: Tick,
    /// Its next tick; `None` while it is paused, or if there is none.
    next: Option<Tick>,
    /// Ticks whose task is there already.
    taken: BTreeSet<Tick>,
    /// Whether the last task was found ended: it stays so.
    free: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Entry {
    /// It is being read.
    Asked(Question),
    /// It waits for its next tick.
    Set(Box<Plan>),
    /// It is due, and it is being looked whether its last task has ended.
    Looking(Question, Box<Plan>),
    /// Its transaction is in flight. `again`: somebody changed it meanwhile, maybe we.
    Firing { plan: Box<Plan>, again: bool },
    /// It waits for the layout.
    Blocked(Box<Plan>),
    /// It is no schedule, or may not be written. The slow comparison looks at it again.
    Broken,
}

/// All schedules, as a master in office believes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Timetable {
    clock: Clock,
    running: bool,
    asked: Question,
    /// Answers to this question and earlier ones are of another time.
    floor: Question,
    /// The list that is awaited, and what moved since it was asked for.
    listing: Option<(Question, BTreeSet<ScheduleName>)>,
    entries: BTreeMap<ScheduleName, Entry>,
    /// Those that are set, in the order in which they are due.
    due: BTreeSet<(Tick, ScheduleName)>,
    writes: BTreeMap<u64, (ScheduleName, Firing)>,
    last_write: u64,
    alarm: Option<Duration>,
    /// Of which it was told that they are broken.
    told: BTreeSet<ScheduleName>,
    effects: Vec<Effect>,
}

impl Timetable {
    /// Of a master that has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many schedules wait for a tick.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.due.len()
    }

    /// Takes one event in. Facts may come in any order and twice.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Effect> {
        match event {
            Event::Began => self.resync(now),
            Event::Paused => self.running = false,
            Event::ReconcileDue => self.reconcile(),
            Event::ClockRead(question, elected_ms) => self.on_clock_read(question, elected_ms),
            Event::Listed(question, names) => self.on_listed(question, names),
            Event::Read(question, name, reading) => self.on_read(question, &name, reading, now),
            Event::Moved(name) => self.on_moved(name),
            Event::LookedFor(question, name, ended) => self.on_looked_for(question, &name, ended, now),
            Event::WriteEnded(id, outcome) => self.on_write_ended(id, &outcome, now),
            Event::LayoutMended => self.on_layout_mended(),
            Event::Rang => self.alarm = None,
        }
        self.wake(now);
        std::mem::take(&mut self.effects)
    }

    fn ask(&mut self) -> Question {
        self.asked += 1;
        self.asked
    }

    fn tell(&mut self, fact: Fact) {
        self.effects.push(Effect::Tell(fact));
    }

    /// Forgets everything and reads it again: there are few schedules, and each says all that counts.
    fn resync(&mut self, now: Time) {
        self.running = true;
        self.clock.begin(now);
        self.floor = self.asked;
        self.entries.clear();
        self.due.clear();
        self.writes.clear();
        let question = self.ask();
        self.effects.push(Effect::ReadClock(question));
        self.list();
    }

    fn reconcile(&mut self) {
        if self.running && self.listing.is_none() {
            self.list();
        }
    }

    fn list(&mut self) {
        let question = self.ask();
        self.listing = Some((question, BTreeSet::new()));
        self.effects.push(Effect::List(question));
    }

    fn on_clock_read(&mut self, question: Question, elected_ms: Option<i64>) {
        if question > self.floor {
            self.clock.set(elected_ms);
            if elected_ms.is_none() {
                self.tell(Fact::Timeless);
            }
        }
    }

    fn on_listed(&mut self, question: Question, names: Vec<ScheduleName>) {
        let Some((_, touched)) = self.listing.take_if(|(asked, _)| *asked == question) else { return };
        let listed: BTreeSet<ScheduleName> = names.into_iter().collect();
        let gone = self.entries.keys().filter(|name| !listed.contains(*name) && !touched.contains(*name));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.forget(&name);
        }
        for name in listed.into_iter().filter(|name| !touched.contains(name)) {
            match self.entries.get(&name) {
                None | Some(Entry::Broken) => self.read(name),
                Some(Entry::Asked(_) | Entry::Set(_) | Entry::Looking(..) | Entry::Firing { .. } | Entry::Blocked(_)) => {}
            }
        }
    }

    fn on_moved(&mut self, name: ScheduleName) {
        if let Some((_, touched)) = &mut self.listing {
            touched.insert(name.clone());
        }
        match self.entries.get_mut(&name) {
            // Its version is checked by the transaction, whose answer comes first or second.
            Some(Entry::Firing { again, .. }) => *again = true,
            Some(Entry::Asked(_) | Entry::Set(_) | Entry::Looking(..) | Entry::Blocked(_) | Entry::Broken) | None => self.read(name),
        }
    }

    fn read(&mut self, name: ScheduleName) {
        self.forget(&name);
        let question = self.ask();
        self.entries.insert(name.clone(), Entry::Asked(question));
        self.effects.push(Effect::Read(question, name));
    }

    fn forget(&mut self, name: &ScheduleName) {
        if let Some(Entry::Set(plan)) = self.entries.remove(name)
            && let Some(next) = plan.next
        {
            self.due.remove(&(next, name.clone()));
        }
    }

    fn on_read(&mut self, question: Question, name: &ScheduleName, reading: Reading, now: Time) {
        if self.entries.get(name) != Some(&Entry::Asked(question)) {
            return;
        }
        let node = match reading {
            Reading::Absent => {
                self.told.remove(name);
                return self.forget(name);
            }
            Reading::Denied => return self.break_off(name, "it may not be read; check its ACL".to_owned()),
            Reading::Found(node) => node,
        };
        // Just written, as the answer before this one told: so late it is at least.
        if node.stat.version > 0 && self.clock.now_ms(now).is_some_and(|ours| ours < node.stat.mtime_ms) {
            self.clock.heard(node.stat.mtime_ms, now.mono);
        }
        match ScheduleRecord::decode(&node.data) {
            Err(why) => self.break_off(name, why.to_string()),
            Ok((record, rhythm)) => {
                self.told.remove(name);
                let anchor = node.stat.ctime_ms.div_euclid(1000);
                let plan = Plan { record, rhythm, version: node.stat.version, anchor, next: None, taken: BTreeSet::new(), free: false };
                self.set(name, Box::new(plan));
            }
        }
    }

    fn break_off(&mut self, name: &ScheduleName, why: String) {
        self.entries.insert(name.clone(), Entry::Broken);
        if self.told.insert(name.clone()) {
            self.tell(Fact::Broken { schedule: name.clone(), why });
        }
    }

    fn set(&mut self, name: &ScheduleName, mut plan: Box<Plan>) {
        plan.next = if plan.record.paused { None } else { plan.rhythm.next(plan.anchor, plan.over()) };
        if let Some(next) = plan.next {
            self.due.insert((next, name.clone()));
        }
        self.entries.insert(name.clone(), Entry::Set(plan));
    }

    fn on_layout_mended(&mut self) {
        let blocked = |(name, entry): (&ScheduleName, &Entry)| matches!(entry, Entry::Blocked(_)).then(|| name.clone());
        let blocked: Vec<ScheduleName> = self.entries.iter().filter_map(blocked).collect();
        blocked.into_iter().for_each(|name| self.read(name));
    }

    /// Fires what is due; when the next one is, the shell rings.
    fn wake(&mut self, now: Time) {
        let Some(now_ms) = self.clock.now_ms(now).filter(|_| self.running) else { return };
        while self.writes.len() < WRITES_IN_FLIGHT
            && let Some((tick, name)) = self.due.first().filter(|(tick, _)| tick.saturating_mul(1000) <= now_ms).cloned()
        {
            self.due.remove(&(tick, name.clone()));
            if let Some(Entry::Set(plan)) = self.entries.remove(&name) {
                self.fire(&name, plan, now_ms);
            }
        }
        let next = self.due.first().filter(|_| self.writes.len() < WRITES_IN_FLIGHT).map(|(tick, _)| {
            let ahead_ms = tick.saturating_mul(1000).saturating_sub(now_ms).max(0);
            now.mono.saturating_add(Duration::from_millis(ahead_ms.unsigned_abs()))
        });
        if let Some(at) = next.filter(|at| self.alarm != Some(*at)) {
            self.alarm = Some(at);
            self.effects.push(Effect::Arm(at));
        }
    }

    fn on_looked_for(&mut self, question: Question, name: &ScheduleName, ended: bool, now: Time) {
        if !matches!(self.entries.get(name), Some(Entry::Looking(asked, _)) if *asked == question) {
            return;
        }
        let (Some(Entry::Looking(_, mut plan)), Some(now_ms)) = (self.entries.remove(name), self.clock.now_ms(now)) else { return };
        if ended {
            plan.free = true;
            self.fire(name, plan, now_ms);
        } else {
            self.skip(name, plan, now_ms);
        }
    }

    fn on_write_ended(&mut self, id: u64, outcome: &Outcome, now: Time) {
        let Some((name, firing)) = self.writes.remove(&id) else { return };
        if !matches!(self.entries.get(&name), Some(Entry::Firing { .. })) {
            return;
        }
        let Some(Entry::Firing { mut plan, again }) = self.entries.remove(&name) else { return };
        match outcome {
            Outcome::Applied(_) if again => {
                self.tell_fired(&name, &firing, now);
                self.read(name);
            }
            Outcome::Applied(_) => {
                self.tell_fired(&name, &firing, now);
                (plan.record, plan.version, plan.free) = (firing.record, plan.version.wrapping_add(1), false);
                plan.taken.clear();
                self.set(&name, plan);
            }
            Outcome::Refused(Refusal::At { index: 0, why: Why::NoNode | Why::BadVersion }) => self.read(name),
            Outcome::Refused(Refusal::At { index, why }) if *index > 0 => match (why, firing.ticks.get(index - 1)) {
                (Why::NodeExists, Some(tick)) => {
                    plan.taken.insert(*tick);
                    self.tell(Fact::LeftOut { schedule: name.clone(), tick: *tick, why: LeftOut::Taken });
                    self.set(&name, plan);
                }
                (Why::NoNode, _) => {
                    self.entries.insert(name, Entry::Blocked(plan));
                    self.effects.push(Effect::MendLayout);
                }
                _ => self.surprised(&name, path::TASKS, *why),
            },
            // Not in office, not sent, or nobody knows: the next resync reads what is there.
            Outcome::Refused(Refusal::Fence(_) | Refusal::Whole(Why::NotSent)) | Outcome::Unknown => self.running = false,
            Outcome::Refused(Refusal::At { why, .. } | Refusal::Whole(why)) => self.surprised(&name, &path::schedule(&name), *why),
        }
    }

    fn surprised(&mut self, name: &ScheduleName, path: &str, why: Why) {
        self.entries.insert(name.clone(), Entry::Broken);
        if self.told.insert(name.clone()) {
            self.tell(Fact::Surprised { path: path.to_owned(), why });
        }
    }
}
