//! Reading instead of watching, while many that are waited for end at a time.
//!
//! A watch costs a request, its answer and an event for each task; a hundred statuses that are read together cost little more than one.
//! So as long as results come in quickly, nothing more is watched: every fiftieth of a second those whose turn it is, by name and so by
//! age, are read, about as many as have ended since the last time. What is read in vain several times while what comes behind it has
//! ended is watched after all: it takes longer than others. When nothing ends, a few are watched, and then more and more: after half
//! a second everything is, as far as it may be.
//!
//! Names that people choose need not be in the order in which tasks end: so a few are read out of their turn, round and round.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use super::{Effect, Stage, WATCHES_MAX, Waiting};
use crate::Time;
use crate::protocol::TaskName;

/// Fewer are always watched: who waits for a few wants to hear at once.
const MANY: usize = 512;
/// With fewer left than this, they are watched again.
const FEW: usize = 64;
/// How often is read.
const EVERY: Duration = Duration::from_millis(20);
/// Fewest and most that are read at a time.
const REACH: (usize, usize) = (16, 2048);
/// So many more are read out of their turn.
const STRAY: usize = 16;
/// So many times nothing must have ended for some to be watched, …
const QUIET_ROUNDS: u32 = 5;
/// … this many at first, and twice as many each time: most tasks begin a while after somebody has begun to wait for them.
const FIRST_WATCHED: usize = 64;
/// So many must end within so long for reading to begin.
const QUICK: (u32, Duration) = (32, Duration::from_millis(100));
/// What was read in vain so often is watched; before so many rounds that everything would be. Until then it is read in each round, so
/// that nobody hears of it any later.
const VAIN_MAX: u8 = 4;

/// Whether is read, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Sweep {
    /// `None`: everything is watched.
    round: Option<Round>,
    /// How many have ended since: in a span of time while everything is watched, in a round otherwise.
    ended: u32,
    since: Duration,
    /// The last one that was read out of its turn.
    strayed_to: Option<TaskName>,
    /// What was read in vain and cannot be watched, because too many are: it is read again when all others were.
    tired: BTreeSet<TaskName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Round {
    /// How many are read next.
    reach: usize,
    /// How many were asked for, how many of those are not answered, and how many had ended.
    asked: usize,
    open: usize,
    found: usize,
    /// Those that were asked for out of their turn.
    stray: BTreeSet<TaskName>,
    /// The last one of the others that had ended, by name, and all those that had not.
    furthest: Option<TaskName>,
    vain: Vec<TaskName>,
    /// For how many rounds none has ended, and how many are watched if it stays like that.
    quiet: u32,
    watch_next: usize,
    /// When the next one begins. `None`: as soon as it can.
    due: Option<Duration>,
}

impl Sweep {
    pub(super) fn is_on(&self) -> bool {
        self.round.is_some()
    }

    pub(super) fn forget(&mut self, task: &TaskName) {
        self.tired.remove(task);
    }

    /// A timer of an earlier connection means nothing.
    pub(super) fn on_due(&mut self, now: Time) {
        if let Some(round) = &mut self.round {
            round.due = round.due.filter(|due| *due > now.mono);
        }
    }

    fn begin(&mut self) {
        let round = Round {
            reach: REACH.0,
            asked: 0,
            open: 0,
            found: 0,
            stray: BTreeSet::new(),
            furthest: None,
            vain: Vec::new(),
            quiet: 0,
            watch_next: FIRST_WATCHED,
            due: None,
        };
        self.round.get_or_insert(round);
        self.ended = 0;
    }
}

impl Waiting {
    /// So many at once: most of them have ended, or will end one soon after the other. If not, that shows quickly.
    pub(super) fn begin_sweep_if_many(&mut self) {
        if self.idle.len() > MANY {
            self.sweep.begin();
        }
    }

    pub(super) fn count_end(&mut self, now: Time) {
        let (many, span) = QUICK;
        if !self.sweep.is_on() && now.since(self.sweep.since) > span {
            (self.sweep.since, self.sweep.ended) = (now.mono, 0);
        }
        self.sweep.ended += 1;
        if self.sweep.ended >= many && self.wishes.len() > MANY {
            self.sweep.begin();
        }
    }

    /// Reads those whose turn it is, if it is time.
    pub(super) fn read(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if !self.may_ask() {
            return;
        }
        let Some(round) = self.sweep.round.as_mut().filter(|round| round.open == 0 && round.due.is_none()) else { return };
        if self.idle.is_empty() {
            self.idle.append(&mut self.sweep.tired);
        }
        if self.wishes.len() < FEW {
            return self.end_sweep();
        }
        let mut tasks = Vec::with_capacity((round.reach + STRAY).min(self.idle.len()));
        tasks.extend(std::iter::from_fn(|| self.idle.pop_first()).take(round.reach));
        let from = self.sweep.strayed_to.take().map_or(Bound::Unbounded, Bound::Excluded);
        // Whoever has come to the end begins anew with the next round.
        let stray: BTreeSet<TaskName> = self.idle.range((from, Bound::Unbounded)).take(STRAY).cloned().collect();
        self.sweep.strayed_to = stray.last().cloned();
        tasks.extend(stray.iter().cloned());
        for task in &tasks {
            self.idle.remove(task);
            if let Some(wish) = self.wishes.get_mut(task) {
                wish.stage = Stage::Reading;
            }
        }
        (round.asked, round.open, round.found) = (tasks.len(), tasks.len(), 0);
        (round.stray, round.furthest) = (stray, None);
        match tasks.is_empty() {
            true => self.rest(now, effects),
            false => effects.push(Effect::Read(tasks)),
        }
    }

    pub(super) fn on_read(&mut self, answers: Vec<(TaskName, Option<Vec<u8>>)>, now: Time, effects: &mut Vec<Effect>) {
        let count = answers.len();
        let (mut found, mut furthest, mut vain) = (0, None, Vec::new());
        for (task, status) in answers {
            match status {
                Some(status) => {
                    found += 1;
                    if self.sweep.round.as_ref().is_some_and(|round| !round.stray.contains(&task)) {
                        furthest = furthest.max(Some(task.clone()));
                    }
                    self.ended(task, status, now, effects);
                }
                None => vain.push(task),
            }
        }
        let Some(round) = &mut self.sweep.round else { return };
        round.open = round.open.saturating_sub(count);
        round.found += found;
        round.furthest = round.furthest.take().max(furthest);
        round.vain.append(&mut vain);
        if round.open == 0 {
            self.judge_vain(effects);
            self.rest(now, effects);
        }
    }

    /// Whoever comes behind the last one that has ended may be the next, and it does not count that it was read too early. If none has
    /// ended of those that were read, they are not where things happen.
    fn judge_vain(&mut self, effects: &mut Vec<Effect>) {
        let Some(round) = &mut self.sweep.round else { return };
        let (vain, furthest) = (std::mem::take(&mut round.vain), round.furthest.take());
        for task in vain {
            let overtaken = furthest.as_ref().is_none_or(|furthest| task < *furthest);
            self.on_read_in_vain(task, overtaken, effects);
        }
    }

    fn on_read_in_vain(&mut self, task: TaskName, overtaken: bool, effects: &mut Vec<Effect>) {
        let Some(wish) = self.wishes.get_mut(&task).filter(|wish| wish.stage == Stage::Reading) else { return };
        wish.stage = Stage::Idle;
        wish.vain = wish.vain.saturating_add(u8::from(overtaken));
        // Of what may be nowhere, that is found out behind a watch.
        if wish.located && wish.vain < VAIN_MAX {
            self.idle.insert(task);
        } else if self.busy < WATCHES_MAX {
            self.watch(task, effects);
        } else {
            wish.vain = 0;
            self.sweep.tired.insert(task);
        }
    }

    /// A round is over: when the next one begins, and how far it reaches.
    fn rest(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let ended = std::mem::take(&mut self.sweep.ended);
        let Some(round) = &mut self.sweep.round else { return };
        let all = round.asked > 0 && round.found == round.asked;
        let (least, most) = REACH;
        let next = if all { round.reach * 2 } else { round.found + round.found / 4 + least };
        round.reach = next.clamp(least, most);
        (round.quiet, round.watch_next) = if ended == 0 { (round.quiet + 1, round.watch_next) } else { (0, FIRST_WATCHED) };
        if round.quiet >= QUIET_ROUNDS {
            self.watch_more(effects);
        }
        let Some(round) = &mut self.sweep.round else { return };
        // Whoever finds nothing but results has fallen behind.
        if all {
            return self.read(now, effects);
        }
        let due = now.mono + EVERY;
        round.due = Some(due);
        effects.push(Effect::ReadAt(due));
    }

    /// Nothing has ended for a while.
    fn watch_more(&mut self, effects: &mut Vec<Effect>) {
        let Some(round) = &mut self.sweep.round else { return };
        let count = round.watch_next;
        (round.quiet, round.watch_next) = (0, count * 2);
        self.idle.append(&mut self.sweep.tired);
        for _ in 0..count.min(WATCHES_MAX - self.busy) {
            let Some(task) = self.idle.pop_first() else { break };
            self.watch(task, effects);
        }
        if self.idle.is_empty() || self.busy == WATCHES_MAX {
            self.end_sweep();
        }
    }

    fn end_sweep(&mut self) {
        self.idle.append(&mut self.sweep.tired);
        self.sweep = Sweep::default();
    }
}
