//! Lists, answers and changes become beliefs.
//!
//! Events and answers travel by different channels: a list is believed only for names of which no event was handled since it was
//! asked for. `/assign` is listed before `/workers`, so that a box without a worker belongs to one that is gone, and not to one
//! that is registering.

use std::collections::BTreeSet;

use super::{Effect, Fact, Master};
use crate::Time;
use crate::numbering::{Numbered, Rename};
use crate::protocol::{Change, TaskName, WorkerId};
use crate::view::{Boxed, Entry, Lane, Question, Registration, Slot, Waiting, Worker};

/// Which lists are awaited, and what changed meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Survey {
    boxes: Awaited<WorkerId>,
    found_boxes: BTreeSet<WorkerId>,
    workers: Awaited<WorkerId>,
    tasks: Awaited<TaskName>,
    held: Awaited<TaskName>,
    /// Whether this one compares beliefs that should be right, instead of building them.
    comparing: bool,
    /// What this comparison found and no watch had told. An event may still be on its way: it is counted by the next one.
    missed: BTreeSet<Change>,
    /// What the comparison before found, and no watch has told since.
    overdue: BTreeSet<Change>,
    told: bool,
    /// The question that it began with.
    began: Question,
    /// Whether a list was asked for since the last one was answered.
    open: bool,
}

/// How many stuck tasks are looked at again by one comparison.
const STUCK_PER_COMPARISON: usize = 256;

/// Of a box that is to be listed: a question that no answer belongs to.
const UNASKED: Question = 0;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Awaited<Name> {
    question: Option<Question>,
    touched: BTreeSet<Name>,
}

impl<Name> Default for Awaited<Name> {
    fn default() -> Self {
        Self { question: None, touched: BTreeSet::new() }
    }
}

impl<Name: Ord> Awaited<Name> {
    fn asked(question: Question) -> Self {
        Self { question: Some(question), touched: BTreeSet::new() }
    }

    fn touch(&mut self, name: Name) {
        if self.question.is_some() {
            self.touched.insert(name);
        }
    }

    /// If this is the awaited answer: the names that must not be believed.
    fn answered(&mut self, question: Question) -> Option<BTreeSet<Name>> {
        (self.question == Some(question)).then(|| std::mem::take(self).touched)
    }
}

impl Survey {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        let asked = [&mut self.boxes.question, &mut self.workers.question, &mut self.tasks.question, &mut self.held.question];
        asked.into_iter().flatten().for_each(|question| rename(Numbered::Question, question));
        rename(Numbered::Question, &mut self.began);
    }
}

impl Master {
    /// Forgets what is in flight and reads everything again. What was believed stays believed until it is contradicted.
    pub(super) fn resync(&mut self, now: Time) {
        self.paused = false;
        self.clock.begin(now);
        self.floor = self.asked;
        self.reads = 0;
        self.todo.clear();
        self.one_by_one = 0;
        self.blocked.clear();
        self.writes.clear();
        for entry in self.view.waiting(|waiting| !matches!(waiting, Waiting::Ready(_) | Waiting::Resting(_))) {
            self.view.question(&entry, None);
            self.unread.insert(entry);
        }
        for worker in self.view.workers.values_mut() {
            // Of the others it is found out anew what they are.
            worker.load.retain(|_, slot| matches!(slot, Slot::Placed { .. }));
            // Questions of before may never be answered. Nothing is placed on a worker before its box was listed again.
            worker.boxed = Boxed::Asked { question: UNASKED, touched: BTreeSet::new() };
            if let Registration::Unread(question) = &mut worker.registration {
                *question = None;
            }
        }
        self.forget_arrays();
        self.cancels.clear();
        self.parents.look_again();
        self.groups.look_again();
        self.admitting.look_again();
        self.vanished.forget();
        self.silence.begin_anew();
        self.survey = Survey { told: self.survey.told, ..Survey::default() };
        self.examine_ground();
        self.list_boxes();
    }

    /// Compares beliefs with ZooKeeper, without disturbing what is in flight.
    pub(super) fn reconcile(&mut self, now: Time) {
        // While anything is being listed anyway, beliefs are not what they should be; the next comparison is soon enough.
        if self.paused || !self.surveyed() {
            return;
        }
        let overdue = std::mem::take(&mut self.survey.missed);
        self.survey = Survey { told: self.survey.told, comparing: true, overdue, ..Survey::default() };
        self.list_boxes();
        self.look_at_silent(now);
    }

    fn list_boxes(&mut self) {
        let question = self.ask();
        self.survey.boxes = Awaited::asked(question);
        self.survey.began = question;
        self.survey.open = true;
        self.effects.push(Effect::ListBoxes(question));
    }

    pub(super) fn on_boxes_listed(&mut self, question: Question, boxes: Vec<WorkerId>) {
        if self.survey.boxes.answered(question).is_none() {
            return;
        }
        self.survey.found_boxes = boxes.into_iter().collect();
        let question = self.ask();
        self.survey.workers = Awaited::asked(question);
        self.effects.push(Effect::ListWorkers(question));
    }

    pub(super) fn on_workers_listed(&mut self, question: Question, listed: Vec<WorkerId>) {
        let Some(touched) = self.survey.workers.answered(question) else { return };
        let listed: BTreeSet<WorkerId> = listed.into_iter().collect();
        let boxes = std::mem::take(&mut self.survey.found_boxes);
        let vanished = self.view.workers.iter().filter(|(id, w)| !w.is_gone() && !listed.contains(*id) && !touched.contains(*id));
        for worker in vanished.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.difference(Change::WorkerGone(worker.clone()));
            self.on_worker_gone(&worker);
        }
        for worker in listed.iter().filter(|worker| !touched.contains(*worker)) {
            if !self.view.workers.contains_key(worker) {
                self.difference(Change::WorkerAppeared(worker.clone()));
            }
            match self.view.workers.get(worker).map(|known| &known.registration) {
                Some(Registration::Unread(None)) => self.read_worker(worker),
                Some(Registration::Unusable(_)) => self.look_again_at_worker(worker),
                Some(Registration::Unread(Some(_)) | Registration::Known(_)) => {}
                Some(Registration::Gone) | None => self.on_worker_appeared(worker),
            }
        }
        // Of one whose end was told meanwhile nothing may be known but its box.
        for worker in boxes.into_iter().filter(|worker| !listed.contains(worker) || touched.contains(worker)) {
            let _ = self.view.workers.get_or_insert_with(&worker, || Worker::unknown(Registration::Gone, Boxed::Missing));
        }
        let unlisted = |worker: &Worker| !matches!(worker.boxed, Boxed::Asked { question, .. } if question > self.survey.began);
        let unlisted: Vec<WorkerId> = self.view.workers.iter().filter(|(_, w)| unlisted(w)).map(|(id, _)| id.clone()).collect();
        for worker in unlisted {
            self.list_box(&worker);
        }
        let question = self.ask();
        self.survey.tasks = Awaited::asked(question);
        self.effects.push(Effect::ListTasks(question));
        let question = self.ask();
        self.survey.held = Awaited::asked(question);
        self.effects.push(Effect::ListHeld(question));
        let question = self.ask();
        self.effects.push(Effect::ListCancels(question));
    }

    pub(super) fn list_box(&mut self, worker: &WorkerId) {
        let question = self.ask();
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.boxed = Boxed::Asked { question, touched: BTreeSet::new() };
            self.survey.open = true;
            self.effects.push(Effect::ListBox(question, worker.clone()));
        }
    }

    pub(super) fn on_box_listed(&mut self, question: Question, worker: &WorkerId, tasks: Option<Vec<TaskName>>) {
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        let Boxed::Asked { question: asked, touched } = &known.boxed else { return };
        if *asked != question {
            return;
        }
        let touched = touched.clone();
        known.boxed = if tasks.is_some() { Boxed::Listed } else { Boxed::Missing };
        let listed: BTreeSet<TaskName> = tasks.unwrap_or_default().into_iter().filter(|task| !touched.contains(task)).collect();
        let (mut differences, mut left) = (Vec::new(), Vec::new());
        known.load.retain(|task, slot| {
            let stays = listed.contains(task) || touched.contains(task) || slot.is_placing();
            if !stays {
                differences.push(Change::AssignmentGone(worker.clone(), task.clone()));
                left.extend((*slot != Slot::Leaving).then(|| task.clone()));
            }
            stays
        });
        left.iter().for_each(|task| self.piece_left(task));
        let Some(known) = self.view.workers.get_mut(worker) else { return };
        let found: Vec<TaskName> = listed.into_iter().filter(|task| !known.load.contains_key(task)).collect();
        for task in found {
            differences.push(Change::AssignmentAppeared(worker.clone(), task.clone()));
            self.ask_for_assignment(worker, task);
        }
        differences.into_iter().for_each(|change| self.difference(change));
        if self.survey.comparing {
            self.look_again_into_box(worker);
            self.look_for_silent(worker);
        }
        self.settle_worker(worker);
    }

    fn awaited(&mut self, lane: Lane) -> &mut Awaited<TaskName> {
        match lane {
            Lane::Pending => &mut self.survey.tasks,
            // Arrays are listed for themselves.
            Lane::Held | Lane::Array => &mut self.survey.held,
        }
    }

    pub(super) fn on_tasks_listed(&mut self, lane: Lane, question: Question, listed: Vec<TaskName>) {
        let Some(touched) = self.awaited(lane).answered(question) else { return };
        type Word = fn(TaskName) -> Change;
        let (appeared, gone): (Word, Word) = match lane {
            Lane::Pending => (Change::TaskAppeared, Change::TaskGone),
            Lane::Held => (Change::HeldAppeared, Change::HeldGone),
            // They are listed for themselves.
            Lane::Array => return,
        };
        let listed: BTreeSet<TaskName> = listed.into_iter().filter(|task| !touched.contains(task)).collect();
        let is_gone = |(task, waiting): &(&TaskName, &Waiting)| {
            !matches!(waiting, Waiting::Moving { .. }) && !listed.contains(*task) && !touched.contains(*task)
        };
        for task in self.view.lane(lane).iter().filter(is_gone).map(|(task, _)| task.clone()).collect::<Vec<_>>() {
            self.difference(gone(task.clone()));
            self.forget_task(&Entry { lane, task });
        }
        let mut stuck = Vec::new();
        for task in listed {
            let entry = Entry { lane, task };
            match self.view.get(&entry) {
                None => {
                    self.difference(appeared(entry.task.clone()));
                    self.on_task_appeared(entry);
                }
                Some(Waiting::Stuck) => stuck.push(entry),
                Some(Waiting::Unread | Waiting::Asked(_) | Waiting::Resting(_) | Waiting::Ready(_) | Waiting::Moving { .. }) => {}
            }
        }
        self.look_again_at_stuck(lane, stuck);
    }

    /// Somebody may have mended them: no watch tells of rights and children. A few each time, so that many that stay stuck disturb
    /// nobody.
    fn look_again_at_stuck(&mut self, lane: Lane, mut stuck: Vec<Entry>) {
        let last = self.looked_at.get(&lane);
        let after = stuck.partition_point(|entry| last.is_some_and(|last| entry.task <= *last));
        stuck.rotate_left(after);
        stuck.truncate(STUCK_PER_COMPARISON);
        if let Some(last) = stuck.last() {
            self.looked_at.insert(lane, last.task.clone());
        }
        stuck.into_iter().for_each(|entry| self.want_payload(entry));
    }

    /// What is there differs from what was believed: a watch should tell this, or should have told it.
    fn difference(&mut self, untold: Change) {
        if self.survey.comparing {
            self.survey.missed.insert(untold);
        }
    }

    /// When the last open list was answered, or became pointless: says once what was found at the start, and each time what the
    /// slow comparison found.
    pub(super) fn end_survey(&mut self, now: Time) {
        if !self.survey.open || self.lists_are_open() {
            return;
        }
        self.survey.open = false;
        if std::mem::take(&mut self.survey.comparing) {
            self.compare_arrays();
            let differences = std::mem::take(&mut self.survey.overdue).len();
            self.tell(Fact::Differences(differences as u64));
        }
        if !std::mem::replace(&mut self.survey.told, true) {
            self.tell(Fact::Surveyed(self.view.counts()));
        }
        self.settle_groups(now);
        self.pursue_parents(now);
        self.withdraw_recalls();
        self.pursue_cancels(now);
    }

    fn lists_are_open(&self) -> bool {
        let Survey { boxes, workers, tasks, held, .. } = &self.survey;
        let open = boxes.question.or(workers.question).or(tasks.question).or(held.question);
        open.is_some() || self.view.workers.is_any_listed()
    }

    /// Whether every list was answered: only then is a task that is not in the view nowhere.
    pub(super) fn surveyed(&self) -> bool {
        self.survey.told && !self.lists_are_open()
    }

    /// Whether lists are read once more only to compare them with what is believed.
    pub(super) fn is_comparing(&self) -> bool {
        self.survey.comparing
    }

    /// A list of waiting tasks that is awaited says nothing about this one any more.
    pub(super) fn touch_task(&mut self, entry: &Entry) {
        self.awaited(entry.lane).touch(entry.task.clone());
    }

    /// Likewise of registered workers.
    pub(super) fn touch_worker(&mut self, worker: &WorkerId) {
        self.survey.workers.touch(worker.clone());
    }

    pub(super) fn on_change(&mut self, change: Change, now: Time) {
        self.survey.missed.remove(&change);
        self.survey.overdue.remove(&change);
        match change {
            Change::TaskAppeared(task) => self.waits(Entry::pending(task)),
            Change::TaskGone(task) => self.waits_no_more(&Entry::pending(task), now),
            Change::TaskChanged(task) => self.on_task_changed(&Entry::pending(task)),
            Change::HeldAppeared(task) => self.waits(Entry::held(task)),
            Change::HeldGone(task) => self.waits_no_more(&Entry::held(task), now),
            Change::HeldChanged(task) => self.on_task_changed(&Entry::held(task)),
            Change::WorkerAppeared(worker) => {
                self.survey.workers.touch(worker.clone());
                self.on_worker_appeared(&worker);
            }
            Change::WorkerGone(worker) => {
                self.survey.workers.touch(worker.clone());
                self.on_worker_gone(&worker);
            }
            Change::WorkerChanged(worker) => self.read_worker(&worker),
            Change::BoxAppeared(worker) => self.on_box_appeared(&worker),
            Change::BoxGone(worker) => self.on_box_gone(&worker, now),
            Change::AssignmentAppeared(worker, task) => self.on_assignment_appeared(&worker, task),
            Change::AssignmentGone(worker, task) => {
                self.on_assignment_gone(&worker, task.clone(), now);
                self.look_again(&task, now);
            }
            Change::CancelAppeared(task) => self.on_cancel_appeared(task),
            Change::CancelGone(task) => {
                self.cancels.remove(&task);
            }
            Change::Paused | Change::Resumed => {
                self.pause(change == Change::Paused);
                self.ask_again_if_asked();
            }
            Change::RequestAppeared(name) => {
                self.on_request_appeared(name);
                self.ask_again_if_asked();
            }
            Change::RequestGone(name) => {
                self.on_request_gone(name);
                self.ask_again_if_asked();
            }
            Change::RequestChanged(_) => {}
            Change::LayoutGone(node) => self.on_layout_gone(node),
            Change::GroupChanged(group) => self.on_group_changed(&group),
            Change::GroupGone(group) => self.on_group_gone(&group),
            Change::OfficeVacant
            | Change::StepDownAsked
            | Change::OfficeTaken
            | Change::EpochMoved
            | Change::StatusAppeared(_)
            | Change::StatusGone(_)
            | Change::QueueMoved
            | Change::ScheduleMoved(_)
            | Change::Foreign(_) => {}
        }
    }

    fn waits(&mut self, entry: Entry) {
        self.touch_task(&entry);
        self.on_task_appeared(entry);
    }

    fn waits_no_more(&mut self, entry: &Entry, now: Time) {
        self.touch_task(entry);
        self.on_task_gone(entry);
        self.look_again(&entry.task, now);
    }
}
