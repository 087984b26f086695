//! Pieces for workers: how large they are, and whose turn it is.

use std::sync::Arc;

use super::{Given, Known, Out};
use crate::Time;
use crate::master::Master;
use crate::planner::Allowances;
use crate::protocol::array::{PieceOrder, Waiting};
use crate::protocol::{TaskName, WorkerId};
use crate::view::{Registration, Slot};

/// For how long a piece should keep its worker busy, in nanoseconds: long enough that what it costs to give it out is nothing beside it.
const PIECE_NS: u64 = 500_000_000;
/// Most elements of a piece: its record stays small even if every other one fails.
const PIECE_MAX: u32 = 4096;
/// How many elements the first pieces have, of which nobody knows how long they take.
const PIECE_FIRST: u32 = 16;
/// Most pieces in one transaction.
const GIVEN_MAX: usize = 64;

/// What the size of a piece depends on.
struct Sizes {
    element_ns: Option<u64>,
    left: u32,
    budget: u32,
    slots: u32,
}

impl Sizes {
    /// How many elements make a piece: towards the end less, so that no worker is left with the tail.
    fn of(&self, waiting: &Waiting) -> u32 {
        // What failed before is tried alone; of what was lost, ever less is lost together, and in the end the guilty one alone.
        if waiting.failures > 0 || waiting.losses > 0 && waiting.losses + 1 >= self.budget {
            return 1;
        }
        let by_time = match self.element_ns {
            Some(each) => u32::try_from(PIECE_NS / each.max(1)).unwrap_or(u32::MAX).clamp(1, PIECE_MAX),
            None => PIECE_FIRST,
        };
        let fair = self.left / self.slots.max(1).saturating_mul(2);
        (by_time.min(fair) >> (4 * waiting.losses).min(31)).max(1)
    }
}

impl Known {
    /// What the last record says of how long elements take. A piece of no-ops takes nothing that can be measured.
    pub(super) fn learn(&mut self, took_us: u64, elements: u32) {
        if elements == 0 {
            return;
        }
        let each = took_us.saturating_mul(1000) / u64::from(elements);
        self.element_ns = Some(self.element_ns.map_or(each, |before| (before / 4).saturating_mul(3).saturating_add(each / 4)));
    }
}

impl Master {
    /// All slots that somebody could use.
    pub(in crate::master) fn slots_in_all(&mut self) -> u32 {
        self.view.workers.slots()
    }

    /// Gives the next piece of an array to a worker. It is written with the array's next transaction, in this same turn.
    /// Of what `allowances` let go it takes all elements but the first, which the plan has taken.
    pub(in crate::master) fn give_piece(
        &mut self,
        name: &TaskName,
        worker: &WorkerId,
        slots: u32,
        allowances: &mut Allowances,
        now: Time,
    ) -> bool {
        let now_ms = self.clock.now_ms(now).unwrap_or_default();
        let default = self.settings.max_worker_losses;
        let Some(Registration::Known(terms)) = self.view.workers.get(worker).map(|known| &known.registration) else { return false };
        let worker_version = terms.version;
        let labels = self.arrays.known.get(name).and_then(super::Array::known).map(|known| known.task.envelope.labels.clone());
        let limited = self.limited(&labels.unwrap_or_default());
        let most = limited.iter().flat_map(|labels| labels.iter()).filter_map(|label| allowances.left(label)).min();
        let most = most.map_or(u32::MAX, |most| most.saturating_add(1));
        let Some(array) = self.arrays.known.get_mut(name) else { return false };
        let Some(known) = array.known_mut().filter(|known| !known.flight && known.fresh.len() < GIVEN_MAX) else { return false };
        let requirement = known.requirement(default, now_ms);
        let sizes = Sizes { element_ns: known.element_ns, left: known.todo.left(), budget: known.budget(default), slots };
        let Some(taken) = known.todo.take(now_ms, |waiting| sizes.of(waiting).min(most)) else {
            // Not yet: it rests again.
            self.file_array(name, now);
            return false;
        };
        let Waiting { span, failures, losses, .. } = taken;
        limited.iter().flat_map(|labels| labels.iter()).for_each(|label| allowances.take_more(label, span.len() - 1));
        known.todo.given = known.todo.given.saturating_add(1);
        let (czxid, number) = (known.stat.czxid, known.todo.given);
        let order = PieceOrder { array: name.clone(), czxid, from: span.from, to: span.to, number, failures, losses };
        known.served_ms = Some(now_ms);
        let piece = order.name();
        known.fresh.push(Given { order, worker: worker.clone(), worker_version });
        array.out.insert(piece, Out { worker: worker.clone(), waiting: taken });
        let slot = Slot::Placing { alone: requirement.alone };
        if let Some(known) = self.view.workers.get_mut(worker) {
            known.load.place(&piece.assignment(name), slot, Arc::new(requirement));
            known.asked = false;
        }
        self.arrays.touched.insert(name.clone());
        self.file_array(name, now);
        true
    }
}
