//! Tasks that waited longer than they may: they end without having run, whoever rules.

use std::time::Duration;

use super::Master;
use super::ground::Sweep;
use super::items::Item;
use crate::Time;
use crate::lifecycle;
use crate::protocol::payload::Envelope;
use crate::protocol::result::TaskOutcome;
use crate::view::Waiting;

impl Master {
    /// When a task that may run since `since_ms` has waited longer than it may, on the monotonic clock. `rests`: until when it rests.
    pub(super) fn expiry(&self, envelope: &Envelope, since_ms: i64, rests: Option<Duration>, now: Time) -> Option<Duration> {
        let most = envelope.queue_timeout_ms.map_or(self.settings.queue_timeout, Duration::from_millis);
        match rests {
            _ if most.is_zero() => None,
            Some(until) => Some(until.saturating_add(most)),
            None => self.clock.due(since_ms, most, now),
        }
    }

    /// Ends those whose time is over.
    pub(super) fn expire(&mut self, now: Time) {
        if self.paused || self.sweep != Sweep::Done {
            return;
        }
        for entry in self.view.expired(now.mono) {
            if entry.lane == crate::view::Lane::Array {
                self.array_is_late(&entry.task);
                continue;
            }
            let Some(Waiting::Ready(ready)) = self.view.get(&entry) else { continue };
            let Some(payload) = ready.payload.clone() else {
                // How it is answered depends on what it is: it is read once more, and ends then.
                self.wanted.insert(entry.clone());
                self.rested.insert(entry.clone());
                self.want_payload(entry);
                continue;
            };
            let (version, recorded) = (ready.version, lifecycle::expired(&entry.task, &payload, now.wall));
            self.view.start_moving(&entry);
            self.todo.push_back(Item::End {
                task: entry.task.clone(),
                from: entry.lane.into(),
                version: Some(version),
                outcome: TaskOutcome::TimedOut,
                recorded,
                letter: None,
                marked: false,
            });
        }
    }
}
