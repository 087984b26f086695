//! Groups: elements that wait until all of them are submitted, failures that are counted where a limit was set, and groups that are
//! cancelled as one.
//!
//! All of it stands in the group's record. A group without a limit costs one read when it is created and one write when a slow comparison
//! finds that none of its elements is left; of one with a limit, the status of each element is read once by each master.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::cancels::Cancel;
use super::items::{Item, Published};
use super::{Effect, Master, Reading};
use crate::Time;
use crate::numbering::{Numbered, Rename};
use crate::protocol::group::{GroupRecord, GroupState};
use crate::protocol::request::CancelRequest;
use crate::protocol::result::{Status, TaskOutcome, decode_status};
use crate::protocol::{TaskName, Why};
use crate::view::Question;

/// For how long a group may be submitted: whoever was at it is gone, and what is there of it is cancelled.
const OPEN_FOR: Duration = Duration::from_secs(3600);
/// Most statuses of elements that are being read.
const COUNTING_AT_A_TIME: usize = 256;

/// Whether elements of a group that are held may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// All are submitted.
    Open,
    /// They are being submitted, nobody knows, or they are about to be cancelled.
    Closed,
    /// There is no such group.
    Gone,
}

/// What is known of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Groups {
    known: BTreeMap<TaskName, Group>,
    /// In which nothing is left to do, and when that was noted by ZooKeeper's clock.
    ended: BTreeMap<TaskName, i64>,
    listing: Option<Question>,
    /// Whether they have to be listed.
    unlisted: bool,
    to_count: VecDeque<TaskName>,
    counting: BTreeMap<Question, TaskName>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Group {
    asked: Option<Question>,
    stand: Stand,
    /// Held elements that wait for the others.
    gated: BTreeSet<TaskName>,
    /// Elements that failed, if it matters how many.
    failed: BTreeSet<TaskName>,
    /// Whether those that had ended before were counted.
    counted: bool,
    /// Whether nothing of it was left when everything was listed last.
    found_empty: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
enum Stand {
    /// Its record was not read yet.
    #[default]
    Unread,
    /// Its record.
    Known { record: GroupRecord, version: i32, created_ms: i64 },
    /// Another record of it is being written.
    Writing,
    /// There is none, or it may not be read, or is none of ours.
    Gone,
}

impl Groups {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        self.listing.iter_mut().for_each(|question| rename(Numbered::Question, question));
        self.known.values_mut().filter_map(|group| group.asked.as_mut()).for_each(|question| rename(Numbered::Question, question));
        let counting = std::mem::take(&mut self.counting).into_iter().map(|(mut question, task)| {
            rename(Numbered::Question, &mut question);
            (question, task)
        });
        self.counting = counting.collect();
    }

    /// Questions of before may never be answered, and nothing is known to be counted.
    pub(super) fn look_again(&mut self) {
        (self.listing, self.unlisted) = (None, true);
        (self.to_count, self.counting) = (VecDeque::new(), BTreeMap::new());
        for group in self.known.values_mut() {
            (group.asked, group.counted, group.found_empty) = (None, false, false);
            group.stand = Stand::Unread;
        }
    }
}

impl Group {
    /// How many of its elements may fail, if that is limited and it is not cancelled already.
    fn limit(&self) -> Option<u32> {
        match &self.stand {
            Stand::Known { record, .. } if record.state == GroupState::Submitted => record.max_fails,
            Stand::Known { .. } | Stand::Unread | Stand::Writing | Stand::Gone => None,
        }
    }
}

impl Master {
    /// Once after everything has to be read anew; what changes then is told.
    pub(super) fn list_groups(&mut self) {
        if !std::mem::take(&mut self.groups.unlisted) {
            return;
        }
        let question = self.ask();
        self.groups.listing = Some(question);
        self.effects.push(Effect::ListGroups(question));
    }

    pub(super) fn on_groups_listed(&mut self, question: Question, listed: Vec<TaskName>) {
        if self.groups.listing.take_if(|asked| *asked == question).is_none() {
            return;
        }
        let known: Vec<TaskName> = self.groups.known.keys().cloned().collect();
        for group in listed.into_iter().filter(|group| !self.groups.ended.contains_key(group)).chain(known).collect::<BTreeSet<_>>() {
            self.read_group(&group);
        }
    }

    /// It was created, or changed.
    pub(super) fn on_group_changed(&mut self, group: &TaskName) {
        self.read_group(group);
    }

    pub(super) fn on_group_gone(&mut self, group: &TaskName) {
        self.groups.ended.remove(group);
        if self.groups.known.contains_key(group) {
            self.read_group(group);
        }
    }

    fn read_group(&mut self, group: &TaskName) {
        let question = self.ask();
        self.groups.known.entry(group.clone()).or_default().asked = Some(question);
        self.effects.push(Effect::ReadGroup(question, group.clone()));
    }

    /// A held element was read: it waits until its group lets it go.
    pub(super) fn wait_for_group(&mut self, group: &TaskName, task: &TaskName) {
        if self.groups.ended.contains_key(group) {
            return;
        }
        let unknown = !self.groups.known.contains_key(group);
        self.groups.known.entry(group.clone()).or_default().gated.insert(task.clone());
        if unknown {
            self.read_group(group);
        }
    }

    pub(super) fn leave_group(&mut self, group: &TaskName, task: &TaskName) {
        if let Some(group) = self.groups.known.get_mut(group) {
            group.gated.remove(task);
        }
    }

    pub(super) fn gate(&self, group: &TaskName) -> Gate {
        if self.groups.ended.contains_key(group) {
            return Gate::Open;
        }
        match self.groups.known.get(group).map(|group| &group.stand) {
            Some(Stand::Known { record, .. }) => match record.state {
                GroupState::Submitted | GroupState::Ended => Gate::Open,
                GroupState::Open | GroupState::Cancelled => Gate::Closed,
            },
            Some(Stand::Unread | Stand::Writing) => Gate::Closed,
            Some(Stand::Gone) | None => Gate::Gone,
        }
    }

    pub(super) fn on_group_read(&mut self, question: Question, name: &TaskName, reading: Reading, now: Time) {
        let Some(group) = self.groups.known.get_mut(name).filter(|group| group.asked == Some(question)) else { return };
        group.asked = None;
        group.stand = match reading {
            Reading::Found(node) => match GroupRecord::decode(&node.data) {
                Some(record) if record.state == GroupState::Ended => {
                    self.groups.ended.insert(name.clone(), node.stat.mtime_ms);
                    Stand::Known { record, version: node.stat.version, created_ms: node.stat.ctime_ms }
                }
                Some(record) => Stand::Known { record, version: node.stat.version, created_ms: node.stat.ctime_ms },
                None => Stand::Gone,
            },
            Reading::Absent | Reading::Denied => Stand::Gone,
        };
        let gated = group.gated.clone();
        let finished = matches!(group.stand, Stand::Gone) || self.groups.ended.contains_key(name);
        let cancelled = matches!(&group.stand, Stand::Known { record, .. } if record.state == GroupState::Cancelled);
        gated.iter().for_each(|task| self.act_on(task, now));
        if cancelled {
            self.cancel_group(name, now);
        } else if finished {
            self.groups.known.remove(name);
        } else if self.surveyed() {
            self.count_group(name);
        }
    }

    /// Wants every element cancelled that has not ended.
    fn cancel_group(&mut self, name: &TaskName, now: Time) {
        let Some(Stand::Known { record, .. }) = self.groups.known.get(name).map(|group| &group.stand) else { return };
        let reason = record.reason.clone().or_else(|| Some("its group was cancelled".to_owned()));
        let wish = CancelRequest { reason, grace_ms: record.grace_ms, ..CancelRequest::new() };
        for task in self.view.elements(name) {
            if !self.cancels.contains_key(&task) {
                let wanted = Cancel::Wanted { wish: wish.clone(), missed: false, marked: false };
                self.cancels.insert(task.clone(), wanted);
                self.pursue_cancel(&task, now);
            }
        }
    }

    /// Where it matters how many failed: those that are nowhere else have ended, or are about to.
    fn count_group(&mut self, name: &TaskName) {
        let Some(group) = self.groups.known.get_mut(name).filter(|group| group.limit().is_some() && !group.counted) else { return };
        group.counted = true;
        let Stand::Known { record, .. } = &group.stand else { return };
        let living = self.view.elements(name);
        self.groups.to_count.extend(record.elements(name).filter(|task| !living.contains(task)));
    }

    /// A task is not where it was: it may have ended.
    pub(super) fn element_moved(&mut self, task: &TaskName) {
        if self.groups.known.is_empty() {
            return;
        }
        let Some((name, _)) = task.group() else { return };
        if self.groups.known.get(&name).is_some_and(|group| group.limit().is_some() && !group.failed.contains(task)) {
            self.groups.to_count.push_back(task.clone());
        }
    }

    pub(super) fn ask_for_elements(&mut self) {
        while self.groups.counting.len() < COUNTING_AT_A_TIME {
            let Some(task) = self.groups.to_count.pop_front() else { return };
            let question = self.ask();
            self.groups.counting.insert(question, task.clone());
            self.effects.push(Effect::ReadStatus(question, task));
        }
    }

    /// The status of an element was read; says whether that was the question.
    pub(super) fn on_element_read(&mut self, question: Question, reading: &Reading) -> bool {
        let Some(task) = self.groups.counting.remove(&question) else { return false };
        if let Reading::Found(node) = reading
            && is_failure(&node.data)
            && let Some((name, _)) = task.group()
            && let Some(group) = self.groups.known.get_mut(&name)
        {
            group.failed.insert(task);
            self.give_up_group(&name);
        }
        true
    }

    /// Cancels a group of which more failed than may.
    fn give_up_group(&mut self, name: &TaskName) {
        let Some(group) = self.groups.known.get_mut(name) else { return };
        let Some(limit) = group.limit().filter(|limit| group.failed.len() > *limit as usize) else { return };
        let reason = format!("{} of the tasks of its group failed, at most {limit} may", group.failed.len());
        self.note_group(name, GroupState::Cancelled, Some(reason));
    }

    fn note_group(&mut self, name: &TaskName, state: GroupState, reason: Option<String>) {
        let Some(group) = self.groups.known.get_mut(name) else { return };
        let Stand::Known { record, version, .. } = std::mem::replace(&mut group.stand, Stand::Writing) else { return };
        let data = record.in_state(state, reason).encode();
        self.todo.push_back(Item::Publish { what: Published::Group(name.clone()), data, version: Some(version) });
    }

    /// A record was written, or refused: somebody else wrote it. Either way, what is there counts.
    pub(super) fn group_noted(&mut self, name: &TaskName, refused: Option<Why>) {
        let stuck = refused.is_some_and(|why| !matches!(why, Why::BadVersion | Why::NoNode));
        match self.groups.known.get_mut(name) {
            // A right that is missing: the next master may try again.
            Some(group) if stuck => group.stand = Stand::Gone,
            Some(_) => self.read_group(name),
            None => {}
        }
    }

    /// Everything was listed: what is to be cancelled is, and what is over is noted.
    pub(super) fn settle_groups(&mut self, now: Time) {
        for name in self.groups.known.keys().cloned().collect::<Vec<_>>() {
            self.settle_group(&name, now);
        }
        let (clock, kept_for) = (&self.clock, self.settings.group_retention);
        let old = self.groups.ended.iter().filter(|(_, ended_ms)| clock.age(**ended_ms, now) > kept_for);
        for name in old.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.groups.ended.remove(&name);
            self.todo.push_back(Item::RemoveGroup(name));
        }
    }

    fn settle_group(&mut self, name: &TaskName, now: Time) {
        let Some(Stand::Known { record, created_ms, .. }) = self.groups.known.get(name).map(|group| &group.stand) else { return };
        let (state, age) = (record.state, self.clock.age(*created_ms, now));
        match state {
            GroupState::Open if age > OPEN_FOR => {
                let reason = "it was never wholly submitted".to_owned();
                return self.note_group(name, GroupState::Cancelled, Some(reason));
            }
            GroupState::Open | GroupState::Ended => return,
            GroupState::Cancelled => self.cancel_group(name, now),
            GroupState::Submitted => self.count_group(name),
        }
        let empty = self.view.elements(name).is_empty();
        let counting = self.groups.to_count.iter().chain(self.groups.counting.values());
        let counted = !counting.into_iter().any(|task| task.group().is_some_and(|(group, _)| group == *name));
        let Some(group) = self.groups.known.get_mut(name) else { return };
        // Its elements may appear after its record: only the second time counts.
        if std::mem::replace(&mut group.found_empty, empty && counted) && empty && counted {
            self.note_group(name, GroupState::Ended, None);
        }
    }
}

/// Whether a status says that its task failed. What was cancelled did not.
fn is_failure(status: &[u8]) -> bool {
    match decode_status(status) {
        Status::Full(result) => match result.outcome {
            TaskOutcome::Failed | TaskOutcome::TimedOut | TaskOutcome::Rejected | TaskOutcome::Dead => true,
            TaskOutcome::Succeeded | TaskOutcome::Cancelled => false,
        },
        Status::Plain { succeeded, words } => !succeeded && words != "failed cancelled",
    }
}
