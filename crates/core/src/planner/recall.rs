//! Work that waits at a worker while another is idle: who is asked to give it back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Cursor, Offer, Queue, Requirement, keep_room};
use crate::protocol::{TaskName, WorkerId};

/// A worker that was given more than it can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder<'a> {
    /// Which.
    pub worker: &'a WorkerId,
    /// For how many slots more than it has.
    pub excess: u32,
    /// What it has: only it knows which of them it has started.
    pub tasks: Vec<(&'a TaskName, Arc<Requirement>)>,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recall {
    /// This worker …
    pub worker: WorkerId,
    /// … for at most so many …
    pub most: u32,
    /// … of these, which somebody else could start at once.
    pub tasks: Vec<TaskName>,
}

/// Asks for as many tasks as idle workers could start now, and for no more: what is given back must not wait again where it came from.
/// What waits already could not be placed by [`super::solve`]; the room that is kept for it is not idle. `outstanding`: how many tasks
/// were asked for and are not back yet.
#[must_use]
pub fn recalls(queue: &Queue, mut offers: Vec<Offer<'_>>, mut holders: Vec<Holder<'_>>, outstanding: u32) -> Vec<Recall> {
    let cursors: Vec<Cursor<'_>> = queue.queues.iter().map(|(requirement, tickets)| Cursor::new(requirement, tickets)).collect();
    keep_room(&cursors, &mut offers);
    let mut left = free(&offers).saturating_sub(outstanding);
    let mut asked: Vec<Recall> = Vec::new();
    for offer in &mut offers {
        while left > 0 && free(std::slice::from_ref(offer)) > 0 {
            let able = |holder: &&mut Holder<'_>| holder.excess > 0 && holder.tasks.iter().any(|(_, wants)| offer.starts(wants));
            let Some(holder) = holders.iter_mut().filter(able).max_by_key(|holder| (holder.excess, std::cmp::Reverse(holder.worker)))
            else {
                break;
            };
            holder.excess -= 1;
            // Whichever of them comes back, it can be started here.
            holder.tasks.retain(|(_, wants)| offer.starts(wants));
            match asked.iter_mut().find(|recall| recall.worker == *holder.worker) {
                Some(recall) => recall.most += 1,
                None => asked.push(Recall { worker: holder.worker.clone(), most: 1, tasks: Vec::new() }),
            }
            offer.take(&Requirement::default());
            left -= 1;
        }
    }
    for recall in &mut asked {
        let holder = holders.iter().find(|holder| *holder.worker == recall.worker);
        let tasks: BTreeSet<&TaskName> = holder.into_iter().flat_map(|holder| holder.tasks.iter().map(|(task, _)| *task)).collect();
        recall.tasks = tasks.into_iter().cloned().collect();
    }
    asked
}

/// How many slots are free that may be given away.
fn free(offers: &[Offer<'_>]) -> u32 {
    let idle = offers.iter().filter(|offer| !offer.reserved && !offer.draining);
    idle.map(|offer| offer.has.slots.saturating_sub(offer.taken.slots)).fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::planner::{Amount, Skills, Ticket};
    use crate::view::Entry;

    fn offer<'a>(worker: &'a WorkerId, labels: &'a BTreeMap<String, String>, slots: u32, load: u32) -> Offer<'a> {
        let amount = |slots| Amount { slots, ..Amount::default() };
        let (skills, has, taken) = (Skills::COMMANDS, amount(slots), amount(load));
        Offer { worker, skills, labels, has, taken, tasks: load, lookahead: 1, brisk: false, reserved: false, draining: false }
    }

    fn said(recalls: &[Recall]) -> Vec<String> {
        recalls
            .iter()
            .map(|r| format!("{} {} of {}", r.worker, r.most, r.tasks.iter().map(ToString::to_string).collect::<String>()))
            .collect()
    }

    #[test]
    fn as_much_is_asked_for_as_somebody_idle_could_start() {
        let [a, b, c] = ["a", "b", "c"].map(WorkerId::listed);
        let [t, u, v] = ["t", "u", "v"].map(TaskName::listed);
        let (none, zone) = (BTreeMap::new(), BTreeMap::from([("zone".to_owned(), "eu".to_owned())]));
        let zoned = Requirement { labels: zone.clone(), ..Requirement::default() };
        let plain = Requirement::default;
        let holders = || {
            vec![
                Holder { worker: &a, excess: 1, tasks: vec![(&t, plain().into()), (&u, zoned.clone().into())] },
                Holder { worker: &b, excess: 2, tasks: vec![(&v, plain().into())] },
            ]
        };
        let nobody = Queue::default();
        let ask = |slots, load, outstanding| said(&recalls(&nobody, vec![offer(&c, &none, slots, load)], holders(), outstanding));
        assert_eq!(ask(1, 1, 0), [""; 0], "nobody is idle");
        assert_eq!(ask(1, 0, 0), ["b 1 of v"]);
        assert_eq!(ask(9, 0, 0), ["b 2 of v", "a 1 of t"], "u needs its zone");
        assert_eq!(ask(2, 0, 1), ["b 1 of v"], "one is on its way");
        assert_eq!(said(&recalls(&nobody, vec![offer(&c, &zone, 4, 1)], holders(), 0)), ["b 2 of v", "a 1 of tu"]);
        let kept = Offer { draining: true, ..offer(&c, &none, 2, 0) };
        assert_eq!(said(&recalls(&nobody, vec![kept], holders(), 0)), [""; 0]);
    }

    #[test]
    fn room_that_is_kept_for_a_wide_task_is_not_idle() {
        let [a, c] = ["a", "c"].map(WorkerId::listed);
        let (t, none) = (TaskName::listed("t"), BTreeMap::new());
        let mut queue = Queue::default();
        let wide = Requirement { amount: Amount { slots: 2, ..Amount::default() }, ..Requirement::default() };
        queue.insert(wide, Ticket::new(0, 0, 1, Entry::pending(TaskName::listed("wide"))));
        let holders = vec![Holder { worker: &a, excess: 1, tasks: vec![(&t, Arc::default())] }];
        assert_eq!(recalls(&queue, vec![offer(&c, &none, 2, 1)], holders, 0), []);
    }
}
