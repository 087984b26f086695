//! How a client waits for results: one-shot watches on statuses, never more than a fixed number armed, and a task that is nowhere
//! is said to be nowhere instead of being waited for for ever. While many end at a time they are read instead, many by one request
//! (`sweep`).
//!
//! Whoever waits says so first, by an ephemeral node under `/bellwether/waiters`: what ends after its creation is not removed, nor is
//! what it names. It is made anew now and then, so that somebody who always waits for something does not keep everything (`sign`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Time;
use crate::protocol::TaskName;
use sign::Sign;
use sweep::Sweep;

mod sign;
mod sweep;

/// What happened, as a client's shell reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// Somebody waits for these tasks.
    Wanted(Vec<TaskName>),
    /// These were submitted just now: they are somewhere, and need not be looked for.
    Submitted(Vec<TaskName>),
    /// Nobody waits for them any more.
    Unwanted(Vec<TaskName>),
    /// Requests can be sent: a session was opened, or goes on. What was armed before is armed no more.
    Connected,
    /// Requests cannot be sent.
    Disconnected,
    /// Somebody is going to submit what he will wait for.
    Expected,
    /// Somebody was refused who wanted to submit something.
    KeptOut,
    /// The node is there that says that we wait, or another one.
    Registered,
    /// A status was looked for, behind a watch for it.
    Looked {
        /// Whose.
        task: TaskName,
        /// Its data, if it is there.
        found: Option<Vec<u8>>,
    },
    /// The watch went off.
    Stirred(TaskName),
    /// What was found by [`Effect::Read`], of some of those that were to be read or of all: the data of what is there.
    Read(Vec<(TaskName, Option<Vec<u8>>)>),
    /// It is the time of [`Effect::ReadAt`].
    ReadDue,
    /// A read was cut off; it is asked again after [`Event::Connected`].
    Interrupted(TaskName),
    /// Where a task is was looked for, behind a `sync`.
    Located {
        /// Which.
        task: TaskName,
        /// Whether it is anywhere: pending, held, assigned or ended.
        somewhere: bool,
    },
    /// The timer that was armed went off.
    Rang,
}

/// What the client orders its shell to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Create a node that says that we wait, and that names these, unless this session has one; then [`Event::Registered`].
    Register(Vec<TaskName>),
    /// Create another such node, and then delete all but the last two; then [`Event::Registered`].
    Renew(Vec<TaskName>),
    /// Delete these nodes.
    Unregister,
    /// Look for a status and watch for it; then [`Event::Looked`], and [`Event::Stirred`] when the watch goes off.
    Look(TaskName),
    /// Read these statuses, many by one request and without watches; then [`Event::Read`], until each was answered for.
    Read(Vec<TaskName>),
    /// Say [`Event::ReadDue`] at this monotonic time.
    ReadAt(Duration),
    /// Look for a task everywhere, behind a `sync`; then [`Event::Located`].
    Locate(TaskName),
    /// Ring once, at this monotonic time.
    Arm(Duration),
    /// A task ended; this is its status.
    Ended(TaskName, Vec<u8>),
    /// A task is nowhere: it was never submitted, or its result was removed.
    Nowhere(TaskName),
}

/// Most watches armed at a time: what is beyond that waits for its turn.
pub const WATCHES_MAX: usize = 2000;

/// Of how many tasks that were submitted, and that nobody waits for yet, it is remembered that they are somewhere.
const SUBMITTED_MAX: usize = 100_000;
/// How often a task must be found nowhere before that is believed, when it has no status even then: it may move while it is looked for,
/// and what moves comes to its end.
const MISSES: u8 = 2;

#[derive(Debug, Clone, PartialEq, Hash, Eq, Default)]
enum Stage {
    /// Waits for its turn.
    #[default]
    Idle,
    /// It is looked for.
    Looking,
    /// Its watch is armed.
    Armed,
    /// It is read, without a watch.
    Reading,
}

impl Stage {
    fn has_watch(&self) -> bool {
        match self {
            Stage::Looking | Stage::Armed => true,
            Stage::Idle | Stage::Reading => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Hash, Eq, Default)]
struct Wish {
    stage: Stage,
    misses: u8,
    located: bool,
    /// How often it was read in vain.
    vain: u8,
    /// When it was heard of first, on the monotonic clock.
    heard: Duration,
}

/// All that one client waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Waiting {
    wishes: BTreeMap<TaskName, Wish>,
    idle: BTreeSet<TaskName>,
    /// Those that were submitted in this connection, and that nobody waits for yet, and when that was heard.
    submitted: BTreeMap<TaskName, Duration>,
    /// How many watches are armed, or about to be.
    busy: usize,
    sweep: Sweep,
    connected: bool,
    sign: Sign,
    look_again_after: Duration,
    /// Whether the timer is armed.
    ticking: bool,
    /// The task that was looked for everywhere last, so that in time all are.
    located_last: Option<TaskName>,
}

impl Waiting {
    /// A client that waits for nothing. Tasks that did not end after `look_again_after` are looked for everywhere.
    #[must_use]
    pub fn new(look_again_after: Duration) -> Self {
        Self {
            wishes: BTreeMap::new(),
            idle: BTreeSet::new(),
            submitted: BTreeMap::new(),
            busy: 0,
            sweep: Sweep::default(),
            connected: false,
            sign: Sign::default(),
            look_again_after,
            ticking: false,
            located_last: None,
        }
    }

    /// How many tasks are waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wishes.len()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }

    /// Takes one event in.
    pub fn on(&mut self, event: Event, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Wanted(tasks) => self.on_wanted(tasks, now, &mut effects),
            Event::Submitted(tasks) => self.on_submitted(tasks, now),
            Event::Unwanted(tasks) => tasks.iter().for_each(|task| self.forget(task)),
            Event::Connected => self.on_connected(),
            Event::Disconnected => self.connected = false,
            Event::Expected => {
                self.sign.expecting = true;
                self.tick(now, &mut effects);
            }
            Event::KeptOut => self.let_go(now, &mut effects),
            Event::Registered => self.sign.on_registered(now),
            Event::Looked { task, found: Some(status) } => self.ended(task, status, now, &mut effects),
            Event::Looked { task, found: None } => self.on_looked_in_vain(task, &mut effects),
            Event::Stirred(task) | Event::Interrupted(task) => self.look_later(&task),
            Event::Read(answers) => self.on_read(answers, now, &mut effects),
            Event::ReadDue => self.sweep.on_due(now),
            Event::Located { task, somewhere } => self.on_located(task, somewhere),
            Event::Rang => self.on_rang(now, &mut effects),
        }
        self.say(&mut effects);
        self.read(now, &mut effects);
        self.look(&mut effects);
        effects
    }

    /// Whether it is said that somebody waits.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.sign.is_there()
    }

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.ticking, true) {
            effects.push(Effect::Arm(now.mono + self.look_again_after));
        }
    }

    fn on_wanted(&mut self, tasks: Vec<TaskName>, now: Time, effects: &mut Vec<Effect>) {
        self.tick(now, effects);
        self.sign.expecting = false;
        for task in tasks {
            let submitted = self.submitted.remove(&task);
            let wish = Wish { located: submitted.is_some(), heard: submitted.unwrap_or(now.mono), ..Wish::default() };
            if self.wishes.insert(task.clone(), wish).is_none() {
                self.idle.insert(task);
            }
        }
        self.begin_sweep_if_many();
    }

    /// Of too many, the first are forgotten: then they are looked for, as if somebody else had submitted them.
    fn on_submitted(&mut self, tasks: Vec<TaskName>, now: Time) {
        for task in tasks {
            match self.wishes.get_mut(&task) {
                Some(wish) => wish.located = true,
                None => drop(self.submitted.insert(task, now.mono)),
            }
        }
        while self.submitted.len() > SUBMITTED_MAX {
            self.submitted.pop_first();
        }
    }

    fn forget(&mut self, task: &TaskName) {
        if let Some(wish) = self.wishes.remove(task) {
            self.busy -= usize::from(wish.stage.has_watch());
            self.idle.remove(task);
            self.sweep.forget(task);
        }
    }

    fn on_connected(&mut self) {
        self.connected = true;
        self.sign.on_connected();
        self.busy = 0;
        self.sweep = Sweep::default();
        // It may have been reset under us.
        self.submitted.clear();
        for (task, wish) in &mut self.wishes {
            wish.stage = Stage::Idle;
            wish.located = false;
            // Another server may lag behind the one that was asked before.
            wish.misses = 0;
            wish.vain = 0;
            self.idle.insert(task.clone());
        }
        self.begin_sweep_if_many();
    }

    fn ended(&mut self, task: TaskName, status: Vec<u8>, now: Time, effects: &mut Vec<Effect>) {
        self.count_end(now);
        self.end(task, |task| Effect::Ended(task, status), effects);
        self.count_for_sign(now, effects);
    }

    fn end(&mut self, task: TaskName, effect: impl FnOnce(TaskName) -> Effect, effects: &mut Vec<Effect>) {
        if self.wishes.contains_key(&task) {
            self.forget(&task);
            effects.push(effect(task));
        }
    }

    fn on_looked_in_vain(&mut self, task: TaskName, effects: &mut Vec<Effect>) {
        let Some(wish) = self.wishes.get_mut(&task).filter(|wish| wish.stage == Stage::Looking) else { return };
        if wish.misses >= MISSES {
            return self.end(task, Effect::Nowhere, effects);
        }
        wish.stage = Stage::Armed;
        if !std::mem::replace(&mut wish.located, true) {
            effects.push(Effect::Locate(task));
        }
    }

    fn look_later(&mut self, task: &TaskName) {
        let Some(wish) = self.wishes.get_mut(task).filter(|wish| wish.stage.has_watch()) else { return };
        wish.stage = Stage::Idle;
        self.busy -= 1;
        self.idle.insert(task.clone());
    }

    fn on_located(&mut self, task: TaskName, somewhere: bool) {
        let Some(wish) = self.wishes.get_mut(&task) else { return };
        wish.misses = if somewhere { 0 } else { wish.misses + 1 };
        if wish.misses > 0 {
            // Its status may have appeared between two looks: look there first.
            wish.located = false;
            self.look_later(&task);
        }
    }

    fn on_rang(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.look_at_sign(now, effects);
        self.ticking = !self.wishes.is_empty() || self.sign.is_wanted();
        if !self.ticking {
            return;
        }
        effects.push(Effect::Arm(now.mono + self.look_again_after));
        // Slowly, a few at a time, each in its turn: a hole is found in the end.
        let after = |last: &Option<TaskName>, task: &TaskName| last.as_ref().is_none_or(|last| task > last);
        let armed = self.wishes.iter().filter(|(_, wish)| wish.stage == Stage::Armed).map(|(task, _)| task);
        let (later, earlier): (Vec<&TaskName>, Vec<&TaskName>) = armed.partition(|task| after(&self.located_last, task));
        let turn: Vec<TaskName> = later.into_iter().chain(earlier).take(LOCATED_AT_A_TIME).cloned().collect();
        self.located_last = turn.last().cloned();
        effects.extend(turn.into_iter().map(Effect::Locate));
    }

    fn look(&mut self, effects: &mut Vec<Effect>) {
        while self.may_ask() && !self.sweep.is_on() && self.busy < WATCHES_MAX {
            let Some(task) = self.idle.pop_first() else { return };
            self.watch(task, effects);
        }
    }

    fn watch(&mut self, task: TaskName, effects: &mut Vec<Effect>) {
        if let Some(wish) = self.wishes.get_mut(&task) {
            wish.stage = Stage::Looking;
            self.busy += 1;
            effects.push(Effect::Look(task));
        }
    }

    /// Nothing is looked for before it is said that we wait.
    fn may_ask(&self) -> bool {
        self.connected && self.is_registered()
    }
}

const LOCATED_AT_A_TIME: usize = 16;

#[cfg(test)]
mod tests;
