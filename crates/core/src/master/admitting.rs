//! Admission and pace, as the master keeps them: what may not come in is said in `/bellwether/admission`, and how fast labels were served in
//! `/bellwether/rates`.
//!
//! Both nodes are read with the ground and written behind the fence, so that the next master goes on where this one ended: what was closed
//! opens only when it is known that there is room, and a pace is kept across masters. The note about the pace goes before what it is about,
//! in the same transaction or an earlier one: if this master ends in between, some time is lost, and nothing is assigned too fast.

use std::collections::BTreeMap;
use std::time::Duration;

use super::items::Item;
use super::{Effect, Fact, Master};
use crate::Time;
use crate::admission::{Loads, Overfull, Rate, judge};
use crate::planner::Allowances;
use crate::protocol::admission::{AdmissionRecord, Closure, Label, PaceRecord, RatesRecord};
use crate::protocol::record::encode;
use crate::protocol::{PROTOCOL_VERSION, Why, path};
use crate::view::Waiting;

/// A node that is there while it says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Board {
    /// What may not come in.
    Admission,
    /// How fast labels were served.
    Rates,
}

impl Board {
    /// Its node.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Board::Admission => path::ADMISSION,
            Board::Rates => path::RATES,
        }
    }
}

/// What is known of such a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Posted {
    /// Whether it is there, when all that was sent is done; `None`: that is not known, or nothing can be done about it.
    there: Option<bool>,
}

/// What a master knows of admission and pace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Admitting {
    admission: Posted,
    closed: Vec<Closure>,
    results: Option<Overfull>,
    rates: Posted,
    /// By label: when the share of time of the last one ends, in microseconds by ZooKeeper's clock.
    spent: BTreeMap<Label, i64>,
    /// When something may be assigned that a rate holds back, on the monotonic clock.
    pub(super) due: Option<Duration>,
}

impl Admitting {
    /// Everything is read anew. What was found out about results holds.
    pub(super) fn look_again(&mut self) {
        *self = Self { results: self.results, ..Self::default() };
    }

    fn posted(&mut self, board: Board) -> &mut Posted {
        match board {
            Board::Admission => &mut self.admission,
            Board::Rates => &mut self.rates,
        }
    }
}

impl Master {
    /// What the nodes say, as it was read with the ground; later it is known better here than there.
    pub(super) fn on_boards_read(&mut self, admission: Option<&[u8]>, rates: Option<&[u8]>, now: Time) {
        let Admitting { admission: Posted { there: None }, rates: Posted { there: None }, .. } = self.admitting else { return };
        self.admitting.admission.there = Some(admission.is_some());
        self.admitting.closed = admission.map(|data| AdmissionRecord::decode(data).closed).unwrap_or_default();
        self.admitting.rates.there = Some(rates.is_some());
        let noted = rates.map(|data| RatesRecord::decode(data).labels).unwrap_or_default();
        let Some(now_us) = self.clock.now_us(now) else { return };
        for (label, rate) in &self.settings.limits.rate {
            if let Some(pace) = noted.get(&label.to_string()) {
                self.admitting.spent.insert(label.clone(), rate.sane(pace.spent_us, now_us));
            }
        }
        let stands = |(label, pace): (&String, &PaceRecord)| {
            let rate = Label::parse(label).and_then(|label| self.settings.limits.rate.get(&label).copied());
            rate.is_some_and(|rate| rate.to_string() == pace.rate)
        };
        if !noted.iter().all(stands) {
            self.note_rates();
        }
    }

    /// Judges once everything is known that was there at the start, and says so if it is otherwise than before.
    pub(super) fn admit(&mut self, now: Time) {
        if self.paused || !self.surveyed() || self.admitting.admission.there.is_none() {
            return;
        }
        let unread = self.reads + self.unread.len();
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let loads = Loads {
            waiting: count(self.view.tasks.len() + self.view.held.len()),
            unread: count(unread),
            labelled: Some(&self.view.labelled),
            results: self.admitting.results,
        };
        let closed = judge(&self.admitting.closed, &self.settings.limits, &loads, self.clock.now_ms(now));
        let there = self.admitting.admission.there == Some(true);
        if closed == self.admitting.closed && there != closed.is_empty() {
            return;
        }
        let closed_before = std::mem::replace(&mut self.admitting.closed, closed.clone());
        for closure in closed.iter().filter(|closure| !closed_before.contains(closure)) {
            self.tell(Fact::Closed(closure.clone()));
        }
        if closed.is_empty() {
            self.tell(Fact::Opened);
        }
        self.post_admission();
    }

    /// What may not come in, as far as this master said so: for metrics.
    #[must_use]
    pub fn closed(&self) -> &[Closure] {
        &self.admitting.closed
    }

    fn post_admission(&mut self) {
        let closed = self.admitting.closed.clone();
        let record = AdmissionRecord { bellwether: PROTOCOL_VERSION, epoch: self.epoch, closed };
        let data = (!record.closed.is_empty()).then(|| encode(&record));
        if let Some(item) = self.item_of(Board::Admission, data) {
            self.todo.push_back(item);
        }
    }

    fn item_of(&mut self, board: Board, data: Option<Vec<u8>>) -> Option<Item> {
        let posted = self.admitting.posted(board);
        let was_there = posted.there.filter(|there| *there || data.is_some())?;
        posted.there = Some(data.is_some());
        Some(Item::Post { board, was_there, data })
    }

    /// Somebody else had made or deleted the node; or there is no right to.
    pub(super) fn post_refused(&mut self, board: Board, why: Why) {
        match why {
            Why::NodeExists | Why::NoNode => {
                self.admitting.posted(board).there = Some(why == Why::NodeExists);
                match board {
                    Board::Admission => self.post_admission(),
                    Board::Rates => self.note_rates(),
                }
            }
            Why::BadVersion
            | Why::NotEmpty
            | Why::NoAuth
            | Why::NoChildrenForEphemerals
            | Why::BadArguments
            | Why::TooLarge
            | Why::NotSent => self.admitting.posted(board).there = None,
        }
    }

    /// What the janitor found out.
    pub(super) fn on_overfull(&mut self, overfull: Overfull) {
        self.admitting.results = Some(overfull);
    }

    /// Which of its labels there are limits for: tasks with the same ones share a list.
    pub(super) fn limited(&mut self, labels: &BTreeMap<String, String>) -> Option<std::sync::Arc<[Label]>> {
        let concerned = self.settings.limits.concerned(labels);
        (!concerned.is_empty()).then(|| match self.labels.get(concerned.as_slice()) {
            Some(shared) => shared.clone(),
            None => {
                let shared: std::sync::Arc<[Label]> = concerned.into();
                self.labels.insert(shared.clone());
                shared
            }
        })
    }

    /// The limits are others: under which of them a task falls is found out anew.
    pub(super) fn on_configured(&mut self, settings: super::Settings) {
        let before = std::mem::replace(&mut self.settings, settings);
        let labels = |limits: &crate::admission::Limits| (limits.quota.keys().cloned().collect(), limits.rate.clone());
        let differ: (Vec<Label>, BTreeMap<Label, Rate>) = labels(&before.limits);
        if differ == labels(&self.settings.limits) {
            return;
        }
        self.labels.clear();
        self.note_rates();
        for entry in self.view.waiting(|waiting| matches!(waiting, Waiting::Ready(_) | Waiting::Resting(_))) {
            self.want_payload(entry);
        }
        self.touch_arrays();
    }

    /// How many with each label may be assigned now.
    pub(super) fn allowances(&self, now: Time) -> Allowances {
        let mut allowances = Allowances::default();
        let now_us = self.clock.now_us(now).unwrap_or_default();
        for (label, rate) in &self.settings.limits.rate {
            let spent = self.admitting.spent.get(label).copied().unwrap_or_default();
            allowances.allow(label.clone(), rate.allowed(spent, now_us));
        }
        allowances
    }

    /// What was given out is noted; `left` is what was not.
    pub(super) fn keep_pace(&mut self, before: &Allowances, left: &Allowances, now: Time) {
        let now_us = self.clock.now_us(now).unwrap_or_default();
        let mut given_out = false;
        for (label, rate) in &self.settings.limits.rate {
            let given = before.left(label).unwrap_or_default().saturating_sub(left.left(label).unwrap_or_default());
            if given > 0 {
                let spent = self.admitting.spent.entry(label.clone()).or_default();
                *spent = rate.spend(*spent, now_us, given);
                given_out = true;
            }
        }
        if given_out {
            self.note_rates();
        }
    }

    /// If nothing is left for something that waits, the shell rings when it is time.
    pub(super) fn await_pace(&mut self, left: &Allowances, now: Time) {
        let now_us = self.clock.now_us(now).unwrap_or_default();
        let held_back = self.settings.limits.rate.iter().filter(|(label, _)| left.left(label) == Some(0) && self.view.queue.has(label));
        let wait = |(label, rate): (&Label, &Rate)| rate.wait(self.admitting.spent.get(label).copied().unwrap_or_default(), now_us);
        let soonest = held_back.map(wait).min();
        self.admitting.due = soonest.map(|wait| now.mono.saturating_add(wait.max(Duration::from_millis(1))));
        if let Some(due) = self.admitting.due.filter(|due| self.alarm.is_none_or(|alarm| *due < alarm)) {
            self.alarm = Some(due);
            self.effects.push(Effect::Arm(due));
        }
    }

    fn note_rates(&mut self) {
        let pace = |(label, rate): (&Label, &Rate)| {
            let spent_us = self.admitting.spent.get(label).copied()?;
            Some((label.to_string(), PaceRecord { rate: rate.to_string(), spent_us }))
        };
        let labels: BTreeMap<String, PaceRecord> = self.settings.limits.rate.iter().filter_map(pace).collect();
        let data = (!labels.is_empty()).then(|| encode(&RatesRecord { bellwether: PROTOCOL_VERSION, labels }));
        if let Some(item) = self.item_of(Board::Rates, data) {
            self.todo.push_back(item);
        }
    }
}
