//! Why a task is given to nobody now: the same rules as of a plan, told instead of acted on.

use super::{Allowances, Cursor, Exclusion, Offer, Queue, Requirement, Ticket, keep_room};
use crate::protocol::admission::Label;

/// For each offer, in their order, why a task that asks this is not placed there now: nothing if it could be. `waiting` is all that waits,
/// the task itself among it or not; `ticket` is its place, if it has one.
#[must_use]
pub fn prospects(
    waiting: &Queue,
    offers: &[Offer<'_>],
    allowances: &Allowances,
    requirement: &Requirement,
    ticket: Option<&Ticket>,
) -> Vec<Vec<Exclusion>> {
    let mut left = offers.to_vec();
    let kept = keep_room(&waiting.cursors(allowances), &mut left).filter(|kept| Some(kept) != ticket);
    let prospect = |(offer, left): (&Offer<'_>, &Offer<'_>)| match (offer.exclusions(requirement), &kept) {
        (why, Some(kept)) if why.is_empty() && !left.takes(requirement) => vec![Exclusion::Kept { task: kept.entry.task.clone() }],
        (why, _) => why,
    };
    offers.iter().zip(&left).map(prospect).collect()
}

impl Queue {
    /// One cursor per kind of requirement that the allowances let go, each at its best task.
    pub(super) fn cursors(&self, allowances: &Allowances) -> Vec<Cursor<'_>> {
        let permitted = self.queues.iter().filter(|(requirement, _)| allowances.permit(requirement));
        permitted.map(|(requirement, tickets)| Cursor::new(requirement, tickets)).collect()
    }

    /// How many tasks with this label go before the one with this ticket.
    #[must_use]
    pub fn ahead(&self, label: &Label, ticket: &Ticket) -> u32 {
        let with_it = self.queues.iter().filter(|(requirement, _)| Allowances::labels(requirement).any(|other| other == label));
        let ahead: usize = with_it.map(|(_, tickets)| tickets.range(..ticket).count()).sum();
        u32::try_from(ahead).unwrap_or(u32::MAX)
    }
}
