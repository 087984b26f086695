//! The nodes that say that we wait: when there is one, when another one is made, and what that names.
//!
//! What ends after the creation of such a node is kept while the node is there. So a client that always waits for something would keep
//! everything: it makes another one whenever enough has ended, and lets those go that were there before the last. Two are there at a time:
//! the last one keeps what ends from now on, and names what was heard of before the one in front of it, which keeps what lies between. So
//! nothing is left to chance that was submitted a moment before, and may have ended before anybody waits for it.

use std::time::Duration;

use super::{Effect, Waiting};
use crate::Time;
use crate::protocol::TaskName;

/// Most tasks that a node names: as long as more are waited for that are as old, no other one is made.
pub(super) const NAMED_MAX: usize = 1000;
/// So many results make another node worth it, and no fewer than are waited for: what it names costs as much.
const RENEW_AFTER_RESULTS: usize = 1000;
/// How old the node may be before another one is made although fewer have ended.
const RENEW_AFTER: Duration = Duration::from_secs(60);
/// The same where nothing has ended at all: others may have come since, whose results it keeps.
const RENEW_ANYHOW_AFTER: Duration = Duration::from_secs(600);
/// What is heard of so soon after a node's creation may have been submitted, and may have ended, before it.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// What is said, and what has happened since.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Sign {
    said: Said,
    /// Whether somebody will come.
    pub(super) expecting: bool,
    /// How many have ended since the last node, and between that and the one before it.
    ended: usize,
    ended_before: usize,
    /// How many have ended since another node was thought of.
    ended_since_try: usize,
}

/// Whether it is said that we wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
enum Said {
    /// It is not.
    #[default]
    No,
    /// It is being said: nothing is looked for before.
    Asked,
    /// It is, since then on the monotonic clock.
    Since(Duration),
    /// It is, and is being said anew.
    Renewing,
}

impl Sign {
    /// Whether it is said that somebody waits.
    pub(super) fn is_there(&self) -> bool {
        match self.said {
            Said::Since(_) | Said::Renewing => true,
            Said::No | Said::Asked => false,
        }
    }

    /// Whether anything is there, or will be.
    pub(super) fn is_wanted(&self) -> bool {
        self.said != Said::No
    }

    /// It went with the session, or is asked for once more.
    pub(super) fn on_connected(&mut self) {
        *self = Self { expecting: self.expecting, ..Self::default() };
    }

    pub(super) fn on_registered(&mut self, now: Time) {
        match self.said {
            Said::Asked | Said::Renewing => self.said = Said::Since(now.mono),
            Said::No | Said::Since(_) => {}
        }
    }

    fn renew(&mut self) {
        self.said = Said::Renewing;
        self.ended_before = std::mem::take(&mut self.ended);
    }
}

impl Waiting {
    /// First of all it is said that we wait.
    pub(super) fn say(&mut self, effects: &mut Vec<Effect>) {
        if self.connected && self.sign.said == Said::No && (self.sign.expecting || !self.wishes.is_empty()) {
            self.sign.said = Said::Asked;
            effects.push(Effect::Register(self.wishes.keys().take(NAMED_MAX).cloned().collect()));
        }
    }

    /// One more has ended: now and then that is reason enough to let older results go.
    pub(super) fn count_for_sign(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.sign.ended += 1;
        self.sign.ended_since_try += 1;
        if self.sign.ended_since_try >= RENEW_AFTER_RESULTS.max(self.wishes.len()) {
            self.say_anew(now, effects);
        }
    }

    /// No more work may come in: what is kept for us may be what stands in its way.
    pub(super) fn let_go(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.sign.ended + self.sign.ended_before > 0 {
            self.say_anew(now, effects);
        }
    }

    /// Nobody waits any more; or the node is so old that it keeps what nobody waits for.
    pub(super) fn look_at_sign(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Said::Since(since) = self.sign.said else { return };
        let age = now.since(since);
        if self.wishes.is_empty() && !self.sign.expecting {
            self.sign.said = Said::No;
            effects.push(Effect::Unregister);
        } else if age >= RENEW_ANYHOW_AFTER || (age >= RENEW_AFTER && self.sign.ended + self.sign.ended_before > 0) {
            self.say_anew(now, effects);
        }
    }

    /// Unless too much would have to be named. What was heard of since the last node is kept by that.
    fn say_anew(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Said::Since(since) = self.sign.said else { return };
        let settled = since + SETTLED_AFTER;
        if !self.connected || now.mono < settled {
            return;
        }
        self.sign.ended_since_try = 0;
        let is_old = |heard: &Duration| *heard < settled;
        let old = self.wishes.iter().filter(|(_, wish)| is_old(&wish.heard)).map(|(task, _)| task);
        let mut named: Vec<TaskName> = old.take(NAMED_MAX + 1).cloned().collect();
        let Some(room) = NAMED_MAX.checked_sub(named.len()) else { return };
        // Somebody may come for what was submitted just now; by their names, the youngest are the last.
        named.extend(self.submitted.iter().rev().filter(|(_, heard)| is_old(heard)).map(|(task, _)| task).take(room).cloned());
        self.sign.renew();
        effects.push(Effect::Renew(named));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::Event;

    fn at(millis: u64) -> Time {
        Time::at(Duration::from_millis(millis))
    }

    fn task(number: usize) -> TaskName {
        TaskName::listed(&format!("t{number:06}"))
    }

    fn tasks(numbers: std::ops::Range<usize>) -> Vec<TaskName> {
        numbers.map(task).collect()
    }

    /// A client that has said that it waits, and waits for nothing yet.
    fn waiting() -> Waiting {
        let mut waiting = Waiting::new(Duration::from_secs(10));
        waiting.on(Event::Connected, at(0));
        waiting.on(Event::Expected, at(0));
        waiting.on(Event::Registered, at(0));
        waiting
    }

    /// They are submitted, waited for and have ended at once; what it names anew meanwhile.
    fn pass(waiting: &mut Waiting, numbers: std::ops::Range<usize>, now: Time) -> Option<Vec<TaskName>> {
        let mut effects = Vec::new();
        for number in numbers {
            waiting.on(Event::Submitted(vec![task(number)]), now);
            waiting.on(Event::Wanted(vec![task(number)]), now);
            effects.extend(waiting.on(Event::Looked { task: task(number), found: Some(Vec::new()) }, now));
        }
        renewed(effects)
    }

    fn renewed(effects: Vec<Effect>) -> Option<Vec<TaskName>> {
        let mut renewals = effects.into_iter().filter_map(|effect| if let Effect::Renew(named) = effect { Some(named) } else { None });
        let first = renewals.next();
        assert_eq!(renewals.next(), None, "one at a time");
        first
    }

    #[test]
    fn who_gets_many_results_lets_the_older_ones_go_and_names_what_is_older_than_the_last_node() {
        let mut waiting = waiting();
        waiting.on(Event::Wanted(tasks(0..1)), at(0));
        waiting.on(Event::Submitted(tasks(1..2)), at(500));
        assert_eq!(pass(&mut waiting, 100..1099, at(1500)), None, "999 are not enough");
        waiting.on(Event::Wanted(tasks(50..51)), at(1500));
        assert_eq!(pass(&mut waiting, 1099..1100, at(1500)), Some(vec![task(0), task(1)]), "one that is waited for, one that may be");
        assert_eq!(pass(&mut waiting, 1100..4100, at(3000)), None, "it is not there yet");
        waiting.on(Event::Registered, at(3000));
        assert_eq!(pass(&mut waiting, 4100..6100, at(3999)), None, "what was submitted before it may still be heard of");
        assert_eq!(pass(&mut waiting, 6100..7100, at(4000)), Some(vec![task(0), task(50), task(1)]));
    }

    #[test]
    fn whoever_waits_for_more_than_can_be_named_names_nothing_until_fewer_are_left() {
        let mut waiting = waiting();
        waiting.on(Event::Wanted(tasks(0..NAMED_MAX + 1)), at(0));
        assert_eq!(pass(&mut waiting, 5000..8000, at(2000)), None);
        waiting.on(Event::Unwanted(tasks(0..1)), at(2000));
        assert_eq!(pass(&mut waiting, 8000..9100, at(2000)), Some(tasks(1..NAMED_MAX + 1)));
        // What came later needs no name, however much it is.
        waiting.on(Event::Registered, at(2000));
        waiting.on(Event::Unwanted(tasks(0..NAMED_MAX)), at(2000));
        waiting.on(Event::Wanted(tasks(10_000..15_000)), at(3000));
        assert_eq!(pass(&mut waiting, 20_000..20_999, at(4000)), None, "as many as are waited for, and not fewer");
        assert_eq!(pass(&mut waiting, 20_999..30_999, at(4000)), Some(tasks(NAMED_MAX..NAMED_MAX + 1)));
    }

    #[test]
    fn a_few_results_are_let_go_after_a_minute_and_those_of_before_after_another() {
        let mut waiting = waiting();
        waiting.on(Event::Wanted(tasks(0..1)), at(0));
        assert_eq!(pass(&mut waiting, 5..6, at(2000)), None);
        let mut renewals = Vec::new();
        for second in (10..=700).step_by(10) {
            if let Some(named) = renewed(waiting.on(Event::Rang, at(second * 1000))) {
                assert_eq!(named, [task(0)]);
                renewals.push(second);
                waiting.on(Event::Registered, at(second * 1000));
            }
        }
        assert_eq!(renewals, [60, 120], "the first leaves one node in front of it; then there is nothing to be let go");
        waiting.on(Event::Rang, at(719_000));
        assert!(renewed(waiting.on(Event::Rang, at(720_000))).is_some(), "others may have come");
    }

    #[test]
    fn who_is_kept_out_lets_go_what_he_has_as_soon_as_he_may() {
        let mut waiting = waiting();
        waiting.on(Event::Wanted(tasks(0..1)), at(0));
        assert_eq!(renewed(waiting.on(Event::KeptOut, at(5000))), None, "he has nothing");
        pass(&mut waiting, 5..6, at(5000));
        for (second, renews) in [(5, true), (6, false), (7, true), (8, false), (9, false)] {
            let effects = waiting.on(Event::KeptOut, at(second * 1000));
            assert_eq!(renewed(effects).is_some(), renews, "after {second} s");
            // It takes a moment until each is there.
            waiting.on(Event::Registered, at(second * 1000 + 500));
        }
    }

    #[test]
    fn what_could_not_be_let_go_at_once_is_thought_of_with_the_next_result() {
        let mut waiting = waiting();
        waiting.on(Event::Wanted(tasks(0..1)), at(0));
        assert_eq!(pass(&mut waiting, 1000..2500, at(900)), None, "too early");
        assert_eq!(pass(&mut waiting, 2500..2501, at(1000)), Some(tasks(0..1)));
    }

    #[test]
    fn after_a_break_it_is_said_again_and_not_anew() {
        let mut waiting = waiting();
        waiting.on(Event::Wanted(tasks(0..1)), at(0));
        assert!(pass(&mut waiting, 5..1005, at(2000)).is_some());
        waiting.on(Event::Disconnected, at(2000));
        assert!(waiting.on(Event::Connected, at(2500)).contains(&Effect::Register(tasks(0..1))));
        assert_eq!(pass(&mut waiting, 2000..4000, at(4000)), None, "nobody knows yet whether it is there");
        waiting.on(Event::Registered, at(4000));
        assert!(pass(&mut waiting, 4000..6000, at(5000)).is_some());
    }
}
