//! What a master removes: results that nobody needs any more, and what clients that are gone left behind.
//!
//! Results are kept until they are too old, too many or too large, the oldest first. Whoever waits says so by a node, and since when it is
//! there: what ended since then is kept, and so is what the node names, and what a held task waits for. Results are listed before waiters
//! are: of two transactions, that which created a listed result is then the earlier one whenever a waiter was not listed. So nothing is
//! removed that ended after somebody began to wait for it.
//!
//! Nobody watches `/status`. The janitor counts its children now and then, lists them when there are a tenth of the limit more than it
//! knows, and looks once at each: what it does per result does not depend on how many are kept. It does one thing at a time, in its
//! own time; nothing waits for it. Its transactions carry the fence.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Time;
use crate::admission::Overfull;
use crate::master::clock::Clock;
use crate::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};
use crate::view::Question;

mod shelf;
#[cfg(test)]
mod tests;

use shelf::Shelf;
pub use shelf::{Measure, Place};

/// What happened, as the shell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The office is proven: believe nothing that was not read since.
    Began,
    /// Writing must stop until [`Event::Began`].
    Paused,
    /// It is time to look whether there is something to do.
    Due,
    /// When the epoch was set, by ZooKeeper's clock; `None`: that may not be read.
    ClockRead(Question, Option<i64>),
    /// How many children `/status` has.
    Counted(Question, usize),
    /// What lies there, and of results the details whose status is gone.
    Listed(Question, Vec<TaskName>, Vec<TaskName>),
    /// What each of them is; `None`: it is gone.
    Measured(Question, Vec<(TaskName, Option<Measure>)>),
    /// Who waits, and what held tasks wait for; `None`: that is not known yet.
    Asked(Question, Option<Needs>),
    /// Which transaction created each of them; `None`: it is gone.
    Verified(Question, Vec<(TaskName, Option<i64>)>),
    /// A transaction ended.
    WriteEnded(u64, Outcome),
    /// The operator changed the configuration of the service that runs.
    Configured(Settings),
}

/// What the shell is ordered to do. Every answer carries the question's number back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Read when the epoch was set.
    ReadClock(Question),
    /// Count the children of `/status`.
    Count(Question),
    /// List what lies there. Of results: the details first, then the statuses.
    List(Question, Place),
    /// Look at these.
    Measure(Question, Place, Vec<TaskName>),
    /// See who waits, and what held tasks wait for.
    AskNeeds(Question),
    /// See which transaction created each of these.
    Verify(Question, Place, Vec<TaskName>),
    /// Commit this behind the fence.
    Write(u64, Multi),
    /// Tell operators and metrics.
    Tell(Fact),
}

/// What may not be removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Needs {
    /// The transaction that created the node of whoever waits for the longest time.
    pub since: Option<i64>,
    /// What is named by those who wait, or by held tasks.
    pub named: BTreeSet<TaskName>,
}

/// What operators and metrics should hear about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    /// So many were removed.
    Removed(Place, usize),
    /// So many details were removed whose status was gone.
    Orphans(usize),
    /// So many results, of so many bytes in all, are kept although they are too many or too large: somebody waits. Zero: all is well
    /// again.
    KeptInSpite(usize, u64),
    /// Something may not be removed.
    Surprised {
        /// What.
        path: String,
        /// Why.
        why: Why,
    },
}

/// What a janitor needs to know of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How long results are kept.
    pub retention: Duration,
    /// How many.
    pub count_max: usize,
    /// How many bytes of them.
    pub bytes_max: u64,
    /// How long guards of submissions are kept.
    pub guard_retention: Duration,
}

/// Most that one transaction removes, or one question is about.
const AT_A_TIME: usize = 256;
/// For longer than this no client repeats a submission of which it does not know whether it was made.
const REPEATED_FOR: Duration = Duration::from_secs(3600);
/// How old a list may be when another number of results says that it is out of date.
const LIST_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How old a list may be at all.
const LIST_ANYHOW_AFTER: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    Resting,
    Counting(Question),
    Listing(Question, Place),
    Measuring(Question, Place),
    Asking(Question),
    Verifying(Question, Place),
    /// The nodes of one transaction, in the order of its operations.
    Removing(u64, Place, Vec<(TaskName, String)>),
}

/// The janitor of a master in office.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Janitor {
    settings: Settings,
    clock: Clock,
    clock_asked: Question,
    running: bool,
    asked: Question,
    last_write: u64,
    step: Step,
    shelves: BTreeMap<Place, Shelf>,
    /// Details whose status is gone.
    orphans: Vec<TaskName>,
    needs: Needs,
    /// What could not be removed: not tried again.
    stuck: BTreeSet<TaskName>,
    /// Below whose status a status was looked for: a worker of the book may leave one there.
    below: BTreeSet<TaskName>,
    in_spite: bool,
    effects: Vec<Effect>,
}

impl Janitor {
    /// Of a master that has read nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            clock: Clock::default(),
            clock_asked: 0,
            running: false,
            asked: 0,
            last_write: 0,
            step: Step::Resting,
            shelves: Place::ALL.into_iter().map(|place| (place, Shelf::default())).collect(),
            orphans: Vec::new(),
            needs: Needs::default(),
            stuck: BTreeSet::new(),
            below: BTreeSet::new(),
            in_spite: false,
            effects: Vec::new(),
        }
    }

    /// How many results it knows of, and how many bytes they are.
    #[must_use]
    pub fn results(&self) -> (usize, u64) {
        let shelf = &self.shelves[&Place::Results];
        (shelf.len(), shelf.bytes())
    }

    /// Whether more was kept than may be when it was looked last, because somebody needs it.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        self.in_spite
    }

    /// Whether more is kept than may be, because somebody needs it: then no more work should come in. `None`: that is not known.
    #[must_use]
    pub fn overfull(&self) -> Option<Overfull> {
        let ((count, bytes), settings) = (self.results(), &self.settings);
        let known = self.shelves[&Place::Results].listed.is_some() && self.step == Step::Resting;
        let over = count > settings.count_max || bytes > settings.bytes_max;
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match (known, over, self.in_spite) {
            (true, false, _) => Some(Overfull { count: 0, limit: number(settings.count_max) }),
            (true, true, true) => Some(Overfull { count: number(count), limit: number(settings.count_max) }),
            (true, true, false) | (false, ..) => None,
        }
    }

    /// Takes one event in.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Effect> {
        match event {
            Event::Began => self.begin(now),
            Event::Paused => (self.running, self.step) = (false, Step::Resting),
            Event::Due => self.look(),
            Event::ClockRead(question, elected_ms) if question == self.clock_asked => self.clock.set(elected_ms),
            Event::ClockRead(..) => {}
            Event::Counted(question, count) if self.step == Step::Counting(question) => self.on_counted(count, now),
            Event::Counted(..) => {}
            Event::Listed(question, names, orphans) => self.on_listed(question, names, orphans, now),
            Event::Measured(question, measured) => self.on_measured(question, measured, now),
            Event::Asked(question, needs) if self.step == Step::Asking(question) => self.on_asked(needs, now),
            Event::Asked(..) => {}
            Event::Verified(question, verified) => self.on_verified(question, verified, now),
            Event::WriteEnded(id, outcome) => self.on_write_ended(id, &outcome, now),
            Event::Configured(settings) => self.settings = settings,
        }
        std::mem::take(&mut self.effects)
    }

    fn ask(&mut self) -> Question {
        self.asked += 1;
        self.asked
    }

    fn begin(&mut self, now: Time) {
        (self.running, self.step) = (true, Step::Resting);
        self.clock.begin(now);
        self.clock_asked = self.ask();
        self.effects.push(Effect::ReadClock(self.clock_asked));
    }

    fn look(&mut self) {
        if self.running && self.step == Step::Resting {
            let question = self.ask();
            self.step = Step::Counting(question);
            self.effects.push(Effect::Count(question));
        }
    }

    fn on_counted(&mut self, count: usize, now: Time) {
        let shelf = &self.shelves[&Place::Results];
        let age = shelf.listed.map(|listed| now.since(listed));
        let slack = (self.settings.count_max / 10).max(1);
        let differs = count.abs_diff(shelf.len());
        let due = age.is_none_or(|age| age >= LIST_ANYHOW_AFTER || (differs > 0 && age >= LIST_AGAIN_AFTER));
        if due || differs >= slack { self.list(Place::Results) } else { self.clean(Place::Results, now) }
    }

    fn list(&mut self, place: Place) {
        let question = self.ask();
        self.step = Step::Listing(question, place);
        self.effects.push(Effect::List(question, place));
    }

    fn shelf(&mut self, place: Place) -> &mut Shelf {
        self.shelves.entry(place).or_default()
    }

    fn on_listed(&mut self, question: Question, names: Vec<TaskName>, orphans: Vec<TaskName>, now: Time) {
        let Step::Listing(asked, place) = self.step else { return };
        if asked == question {
            self.shelf(place).listed(names, now.mono);
            self.orphans.extend(orphans);
            self.measure(place, now);
        }
    }

    fn measure(&mut self, place: Place, now: Time) {
        let names = self.shelf(place).unmeasured(AT_A_TIME);
        if names.is_empty() {
            return self.clean(place, now);
        }
        let question = self.ask();
        self.step = Step::Measuring(question, place);
        self.effects.push(Effect::Measure(question, place, names));
    }

    fn on_measured(&mut self, question: Question, measured: Vec<(TaskName, Option<Measure>)>, now: Time) {
        let Step::Measuring(asked, place) = self.step else { return };
        if asked == question {
            measured.into_iter().for_each(|(task, measure)| self.shelf(place).put(task, measure));
            self.measure(place, now);
        }
    }

    /// Everything is known: is there too much of it?
    fn clean(&mut self, place: Place, now: Time) {
        if place != Place::Results {
            return self.remove(place, now);
        }
        if !self.orphans.is_empty() {
            return self.remove_orphans();
        }
        if self.excess(now, &Needs::default()).is_empty() {
            self.tell_in_spite();
            return self.next(place, now);
        }
        let question = self.ask();
        self.step = Step::Asking(question);
        self.effects.push(Effect::AskNeeds(question));
    }

    fn on_asked(&mut self, needs: Option<Needs>, now: Time) {
        match needs {
            Some(needs) => {
                self.needs = needs;
                self.remove(Place::Results, now);
            }
            // The next time.
            None => self.step = Step::Resting,
        }
    }

    /// Results that may go, the oldest first.
    fn excess(&self, now: Time, needs: &Needs) -> Vec<TaskName> {
        let shelf = &self.shelves[&Place::Results];
        let mut count = shelf.len().saturating_sub(self.settings.count_max);
        let mut bytes = shelf.bytes().saturating_sub(self.settings.bytes_max);
        let free = |task: &TaskName| !needs.named.contains(task) && !self.stuck.contains(task);
        let before = needs.since.unwrap_or(i64::MAX);
        let mut excess = Vec::new();
        for (task, measure) in shelf.oldest_first().take_while(|(_, measure)| measure.czxid < before) {
            if count == 0 && bytes == 0 && self.age(measure, now) <= self.settings.retention {
                break;
            }
            if free(task) {
                (count, bytes) = (count.saturating_sub(1), bytes.saturating_sub(measure.bytes));
                excess.push(task.clone());
            }
            if excess.len() == AT_A_TIME {
                break;
            }
        }
        excess
    }

    fn age(&self, measure: &Measure, now: Time) -> Duration {
        self.clock.age(measure.created_ms, now)
    }

    fn remove(&mut self, place: Place, now: Time) {
        let names = match place {
            Place::Results => self.excess(now, &self.needs),
            Place::Submitted | Place::Keys => {
                let least = if place == Place::Submitted { REPEATED_FOR } else { Duration::ZERO };
                let retention = self.settings.guard_retention.max(least);
                let old = |(_, measure): &(&TaskName, &Measure)| self.age(measure, now) > retention;
                let guards = self.shelves[&place].oldest_first().take_while(old);
                guards.map(|(name, _)| name.clone()).filter(|name| !self.stuck.contains(name)).take(AT_A_TIME).collect()
            }
        };
        if names.is_empty() {
            if place == Place::Results {
                self.tell_in_spite();
            }
            return self.next(place, now);
        }
        let question = self.ask();
        self.step = Step::Verifying(question, place);
        self.effects.push(Effect::Verify(question, place, names));
    }

    fn tell_in_spite(&mut self) {
        let (count, bytes) = self.results();
        let over = count > self.settings.count_max || bytes > self.settings.bytes_max;
        if std::mem::replace(&mut self.in_spite, over) || over {
            let fact = if over { Fact::KeptInSpite(count, bytes) } else { Fact::KeptInSpite(0, 0) };
            self.effects.push(Effect::Tell(fact));
        }
    }

    /// A name that was used again meanwhile stands for another result.
    fn on_verified(&mut self, question: Question, verified: Vec<(TaskName, Option<i64>)>, now: Time) {
        let Step::Verifying(asked, place) = self.step else { return };
        if asked != question {
            return;
        }
        let mut nodes = Vec::new();
        for (task, czxid) in verified {
            let known = self.shelf(place).get(&task).copied();
            match known.filter(|known| Some(known.czxid) == czxid) {
                Some(known) => {
                    nodes.push((task.clone(), place.path(&task)));
                    nodes.extend(known.details.then(|| (task.clone(), path::plain_result(&task))));
                }
                None => self.shelf(place).forget(&task, czxid.is_some()),
            }
        }
        if nodes.is_empty() { self.measure(place, now) } else { self.write(place, nodes) }
    }

    fn remove_orphans(&mut self) {
        let rest = self.orphans.split_off(self.orphans.len().min(AT_A_TIME));
        let orphans = std::mem::replace(&mut self.orphans, rest);
        let nodes = orphans.into_iter().map(|task| (task.clone(), path::plain_result(&task))).collect();
        self.write(Place::Results, nodes);
    }

    fn write(&mut self, place: Place, nodes: Vec<(TaskName, String)>) {
        let multi = nodes.iter().fold(Multi::new(), |multi, (_, node)| multi.delete(node.as_str(), None));
        self.last_write += 1;
        self.step = Step::Removing(self.last_write, place, nodes);
        self.effects.push(Effect::Write(self.last_write, multi));
    }

    fn on_write_ended(&mut self, id: u64, outcome: &Outcome, now: Time) {
        let Step::Removing(_, place, nodes) = self.step.clone() else { return };
        if !matches!(self.step, Step::Removing(sent, ..) if sent == id) {
            return;
        }
        match outcome {
            Outcome::Applied(_) => self.removed(place, &nodes, now),
            Outcome::Refused(Refusal::At { index, why }) => self.refused(place, nodes, *index, *why, now),
            // Not in office, not sent, or nobody knows: what is there is verified the next time.
            Outcome::Refused(Refusal::Fence(_) | Refusal::Whole(_)) | Outcome::Unknown => {
                (self.running, self.step) = (false, Step::Resting);
                self.orphans.clear();
            }
        }
    }

    fn removed(&mut self, place: Place, nodes: &[(TaskName, String)], now: Time) {
        let own = nodes.iter().filter(|(task, node)| *node == place.path(task));
        let own: Vec<TaskName> = own.map(|(task, _)| task.clone()).collect();
        let orphans = nodes.iter().filter(|(task, _)| !own.contains(task)).count();
        own.iter().for_each(|task| {
            self.shelf(place).forget(task, false);
            self.below.remove(task);
        });
        let facts = [(own.len(), Fact::Removed(place, own.len())), (orphans, Fact::Orphans(orphans))];
        self.effects.extend(facts.into_iter().filter(|(count, _)| *count > 0).map(|(_, fact)| Effect::Tell(fact)));
        match self.orphans.is_empty() {
            true if own.is_empty() => self.clean(place, now),
            true => self.remove(place, now),
            false => self.remove_orphans(),
        }
    }

    /// One node is not to be removed; the others are, in another transaction.
    fn refused(&mut self, place: Place, mut nodes: Vec<(TaskName, String)>, index: usize, why: Why, now: Time) {
        if index >= nodes.len() {
            self.step = Step::Resting;
            return;
        }
        let (task, node) = nodes.remove(index);
        if why == Why::NotEmpty && node == path::status(&task) && self.below.insert(task.clone()) {
            nodes.splice(index..index, [(task.clone(), path::status_below_status(&task)), (task, node)]);
            return self.write(place, nodes);
        }
        // Somebody else was quicker with it; or it has no details any more.
        let gone = why == Why::NoNode;
        if gone && node == place.path(&task) {
            self.shelf(place).forget(&task, false);
        }
        if !gone || node == place.path(&task) {
            nodes.retain(|(other, _)| *other != task);
        }
        if !gone && self.stuck.insert(task) {
            self.effects.push(Effect::Tell(Fact::Surprised { path: node, why }));
        }
        if nodes.is_empty() { self.clean(place, now) } else { self.write(place, nodes) }
    }

    /// After results come guards, now and then.
    fn next(&mut self, place: Place, now: Time) {
        let interval = (self.settings.guard_retention / 10).min(LIST_ANYHOW_AFTER);
        let later = Place::ALL.into_iter().skip_while(|other| *other != place).skip(1);
        let due = |shelf: &Shelf| shelf.listed.is_none_or(|listed| now.since(listed) >= interval);
        match later.into_iter().find(|other| due(&self.shelves[other])) {
            Some(other) => self.list(other),
            None => self.step = Step::Resting,
        }
    }
}
