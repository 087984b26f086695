//! What a master must know before it assigns: ZooKeeper's time, what people ask of it and of workers, and whether there are results of an
//! earlier life of `/tasks`.
//!
//! ZooKeeper numbers sequential nodes by a counter of their parent. When somebody deletes `/tasks` and it is created again, that
//! counter starts over, and a new task meets the result of an old one of the same name. So results older than `/tasks` are swept before
//! anything is assigned. How far that was done is kept in `/bellwether/swept`: the next master need not list anything.

use super::items::Item;
use super::{Effect, Fact, Master};
use crate::Time;
use crate::numbering::{Numbered, Rename};
use crate::protocol::path;
use crate::view::Question;

/// What a master must know before it assigns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Ground {
    /// When the epoch was set, by ZooKeeper's clock.
    pub elected_ms: Option<i64>,
    /// The transaction that created `/tasks`.
    pub tasks_czxid: Option<i64>,
    /// The transaction that created `/status`.
    pub status_czxid: Option<i64>,
    /// The transaction that created the `/tasks` for which results were swept last.
    pub swept: Option<i64>,
    /// Whether somebody wants nothing to be assigned.
    pub paused: bool,
    /// What `/bellwether/admission` says, if it is there.
    pub admission: Option<Vec<u8>>,
    /// What `/bellwether/rates` says, if it is there.
    pub rates: Option<Vec<u8>>,
    /// The names below `/bellwether/workers`.
    pub requests: Vec<String>,
}

/// A result, or the details of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Aged {
    /// Its node.
    pub path: String,
    /// The transaction that created it.
    pub czxid: i64,
}

/// How far results of an earlier life of `/tasks` are swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Sweep {
    /// Nobody knows yet whether there are any.
    #[default]
    Unknown,
    /// It is being asked.
    Asked(Question),
    /// There may be: all results are listed.
    Listing {
        question: Question,
        /// The transaction that created `/tasks`.
        before: i64,
    },
    /// They are being deleted.
    Deleting { before: i64, left: usize, swept: u64 },
    /// They are gone, and that is being noted.
    Noting { swept: u64 },
    /// There are none.
    Done,
}

impl Sweep {
    pub(super) fn renumber(&mut self, rename: Rename<'_>) {
        match self {
            Sweep::Asked(question) | Sweep::Listing { question, .. } => rename(Numbered::Question, question),
            Sweep::Unknown | Sweep::Deleting { .. } | Sweep::Noting { .. } | Sweep::Done => {}
        }
    }
}

impl Master {
    /// Asks for all of it. Nothing is assigned until that is answered: `/tasks` may be another one than when anybody looked last.
    pub(super) fn examine_ground(&mut self) {
        let question = self.ask();
        self.sweep = Sweep::Asked(question);
        self.effects.push(Effect::ReadGround(question));
    }

    pub(super) fn on_ground_read(&mut self, question: Question, ground: Ground, now: Time) {
        if self.sweep != Sweep::Asked(question) {
            return;
        }
        self.clock.set(ground.elected_ms);
        self.on_requests_listed(ground.paused, ground.requests);
        self.on_boards_read(ground.admission.as_deref(), ground.rates.as_deref(), now);
        let Some((tasks, status)) = ground.tasks_czxid.zip(ground.status_czxid) else {
            // What will be created counts anew: it is looked at when it is there.
            self.sweep = Sweep::Unknown;
            return self.effects.push(Effect::MendLayout);
        };
        match (tasks > status).then_some(tasks).filter(|tasks| ground.swept != Some(*tasks)) {
            None => self.sweep = Sweep::Done,
            Some(before) => {
                let question = self.ask();
                self.sweep = Sweep::Listing { question, before };
                self.effects.push(Effect::ListResults(question));
            }
        }
    }

    pub(super) fn on_results_listed(&mut self, question: Question, results: Vec<Aged>) {
        let Sweep::Listing { question: asked, before } = self.sweep else { return };
        if asked != question {
            return;
        }
        let old: Vec<Item> = results.into_iter().filter(|aged| aged.czxid < before).map(|aged| Item::Sweep(aged.path)).collect();
        self.sweep = Sweep::Deleting { before, left: old.len(), swept: 0 };
        self.todo.extend(old);
        self.end_sweep();
    }

    /// One of them is gone, by our hand or before.
    pub(super) fn swept(&mut self, by_us: bool) {
        let Sweep::Deleting { left, swept, .. } = &mut self.sweep else { return };
        *left = left.saturating_sub(1);
        *swept += u64::from(by_us);
        self.end_sweep();
    }

    /// That it was done is noted, or cannot be: then the next master does it again.
    pub(super) fn sweep_noted(&mut self) {
        let Sweep::Noting { swept } = self.sweep else { return };
        self.sweep = Sweep::Done;
        if swept > 0 {
            self.tell(Fact::Swept(swept));
        }
    }

    /// Noted when nothing is left, and not before: of transactions that are under way together, some may come to nothing.
    fn end_sweep(&mut self) {
        if let Sweep::Deleting { before, left: 0, swept } = self.sweep {
            self.sweep = Sweep::Noting { swept };
            self.todo.push_back(Item::NoteSweep(before));
        }
    }

    /// `/tasks` was deleted: the one that is created now counts anew.
    pub(super) fn on_layout_gone(&mut self, node: &'static str) {
        self.tell(Fact::LayoutDamaged(node));
        self.effects.push(Effect::MendLayout);
        if node == path::TASKS {
            self.sweep = Sweep::Unknown;
        }
    }

    pub(super) fn on_layout_mended(&mut self) {
        let blocked = std::mem::take(&mut self.blocked);
        self.todo.extend(blocked);
        if self.sweep == Sweep::Unknown && !self.paused {
            self.examine_ground();
        }
    }
}
