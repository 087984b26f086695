//! What travels in one transaction: one submission, or several behind one guard; and which of its operations is about what.

use super::{Failure, GroupStep, GroupWrite, Guard, PARCEL, Submittal};
use crate::protocol::multi::MULTI_BYTES_MAX;
use crate::protocol::{Multi, TaskName, Why, path};

/// Most bytes that the removal of guards takes in one transaction.
const RETIRED_BYTES: usize = 16 * 1024;

/// What somebody wants submitted together, all of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Submission {
    pub(super) ticket: u64,
    pub(super) guard: Guard,
    pub(super) group: Option<GroupStep>,
    pub(super) tasks: Vec<Submittal>,
    /// About how many bytes it takes in a request, with a guard of its own.
    pub(super) bytes: usize,
    /// Whether it must travel alone, because with others it was refused.
    pub(super) alone: bool,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Parcel {
    /// Never empty.
    pub(super) members: Vec<Submission>,
    /// Stands for all of them.
    pub(super) guard: Guard,
    /// The guards that its transaction removes.
    pub(super) retired: Vec<String>,
    /// About how many bytes it takes.
    pub(super) bytes: usize,
    /// Whether others could have travelled with it.
    pub(super) light: bool,
    pub(super) sent: bool,
    /// Whether an answer was ever lost: then the guard stays.
    pub(super) uncertain: bool,
}

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Its guard.
    Guard,
    /// A guard that goes, by its place among those.
    Retired(usize),
    /// One of those that travel in it, by its place among them.
    Member(usize),
}

impl Submission {
    pub(super) fn new(ticket: u64, guard: Guard, group: Option<GroupStep>, tasks: Vec<Submittal>) -> Self {
        let guarded = Multi::new().create(guard.path(), guard.data());
        let grouped = group.iter().fold(guarded, |multi, step| step.add_to(multi));
        let bytes = tasks.iter().map(Submittal::bytes).sum::<usize>() + grouped.bytes();
        Self { ticket, guard, group, tasks, bytes, alone: false }
    }

    /// Whether it may travel with others: nothing that is about it alone stands in its way.
    pub(super) fn is_sociable(&self) -> bool {
        let lettered = self.tasks.iter().any(|submittal| submittal.letter.is_some());
        matches!(self.guard, Guard::Once(_)) && self.group.is_none() && !self.alone && !lettered
    }

    /// How many operations are about it.
    fn operations(&self) -> usize {
        usize::from(self.group.is_some()) + self.tasks.iter().map(|submittal| 1 + usize::from(submittal.letter.is_some())).sum::<usize>()
    }

    /// Whose operation that is of its own, and whether it is the one about its letter.
    fn part_at(&self, operation: usize) -> Option<(&Submittal, bool)> {
        let mut parts = self.tasks.iter().flat_map(|submittal| {
            let letter = submittal.letter.is_some().then_some((submittal, true));
            [Some((submittal, false)), letter].into_iter().flatten()
        });
        parts.nth(operation.checked_sub(usize::from(self.group.is_some()))?)
    }

    fn letter_at(&self, operation: usize) -> Option<&TaskName> {
        self.part_at(operation).filter(|(_, letter)| *letter).and_then(|(submittal, _)| submittal.letter.as_ref())
    }

    /// The record of its group, if the operation is about that.
    fn group_at(&self, operation: usize) -> Option<&GroupStep> {
        self.group.as_ref().filter(|_| operation == 0)
    }

    fn failure(&self, operation: usize, why: Why) -> Failure {
        if let (Some(letter), Why::NoNode) = (self.letter_at(operation), why) {
            return Failure::NoLetter(letter.clone());
        }
        if let Some(step) = self.group_at(operation) {
            return match why {
                Why::NodeExists => Failure::NameTaken(step.group.clone()),
                Why::NoNode | Why::BadVersion => Failure::GroupGivenUp(step.group.clone()),
                Why::NoAuth => Failure::Denied(path::GROUPS.to_owned()),
                Why::NotEmpty | Why::NoChildrenForEphemerals | Why::BadArguments | Why::TooLarge | Why::NotSent => {
                    Failure::Refused { path: path::group(&step.group), why }
                }
            };
        }
        match (self.part_at(operation), why) {
            (Some((submittal, false)), Why::NodeExists) => Failure::NameTaken(submittal.task.clone()),
            (Some((_, true)), Why::NoAuth) => Failure::Denied(path::DEAD.to_owned()),
            (Some((submittal, false)), Why::NoAuth) => Failure::Denied(submittal.parent().to_owned()),
            (part, why) => Failure::Refused { path: part.map_or_else(|| self.guard.path(), |(submittal, _)| submittal.path()), why },
        }
    }
}

impl Parcel {
    /// These, behind the guard of the first.
    pub(super) fn of(members: Vec<Submission>) -> Self {
        let guard = members.first().map_or_else(|| Guard::Once(String::new()), |first| first.guard.clone());
        let bytes = members.iter().map(|member| member.bytes).sum();
        let tasks: usize = members.iter().map(|member| member.tasks.len()).sum();
        let light = members.iter().all(Submission::is_sociable) && tasks < PARCEL;
        Self { members, guard, retired: Vec::new(), bytes, light, sent: false, uncertain: false }
    }

    /// It is sent, and of what is retired by now as much goes with it as fits.
    pub(super) fn send(&mut self, retired: &mut Vec<String>) {
        self.sent = true;
        let size = |guard: &String| Multi::new().delete(path::submitted(guard), None).bytes();
        let mut room = MULTI_BYTES_MAX.saturating_sub(self.bytes).min(RETIRED_BYTES);
        let fits = |guard: &&String| {
            let size = size(guard);
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        let count = retired.iter().take_while(fits).count();
        self.retired.extend(retired.drain(..count));
    }

    pub(super) fn multi(&self) -> Multi {
        let guarded = Multi::new().create(self.guard.path(), self.guard.data());
        let cleaned = self.retired.iter().fold(guarded, |multi, guard| multi.delete(path::submitted(guard), None));
        let add = |multi: Multi, member: &Submission| {
            let grouped = member.group.iter().fold(multi, |multi, step| step.add_to(multi));
            member.tasks.iter().fold(grouped, |multi, submittal| submittal.add_to(multi))
        };
        self.members.iter().fold(cleaned, add)
    }

    /// What an operation is about.
    pub(super) fn part_at(&self, operation: usize) -> Part {
        let Some(place) = operation.checked_sub(1) else { return Part::Guard };
        match self.member_at(operation) {
            Some((member, _)) => Part::Member(member),
            None => Part::Retired(place),
        }
    }

    /// Which of those that travel in it an operation is about, and which of their operations it is.
    fn member_at(&self, operation: usize) -> Option<(usize, usize)> {
        let mut left = operation.checked_sub(1 + self.retired.len())?;
        for (index, member) in self.members.iter().enumerate() {
            match left.checked_sub(member.operations()) {
                None => return Some((index, left)),
                Some(rest) => left = rest,
            }
        }
        // There is no such operation.
        Some((self.members.len().checked_sub(1)?, usize::MAX))
    }

    /// Whether what was not there will not come: the letter, or the record of a group that was begun before. Anything else is layout.
    pub(super) fn is_missed_for_good(&self, member: usize, operation: usize) -> bool {
        let Some((_, own)) = self.member_at(operation) else { return false };
        let submission = &self.members[member];
        let begun = submission.group_at(own).is_some_and(|step| !matches!(step.write, GroupWrite::Create(_)));
        begun || submission.letter_at(own).is_some()
    }

    pub(super) fn failure(&self, operation: usize, why: Why) -> Failure {
        match (self.member_at(operation), why) {
            (Some((member, own)), why) => self.members[member].failure(own, why),
            (None, Why::NoAuth) => Failure::Denied(self.guard.parent().to_owned()),
            (None, why) => Failure::Refused { path: self.guard.path(), why },
        }
    }
}
