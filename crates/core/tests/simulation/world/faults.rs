//! What goes wrong: connections, sessions, processes, clocks; and what operators ask of workers.

use bellwether_core::agent::Event as AgentEvent;
use bellwether_core::master::Event as MasterEvent;
use bellwether_core::protocol::{Multi, WorkerId, path};

use super::{Hand, MOST_HANDS, State, World};

impl World {
    pub(super) fn fault(&mut self) {
        let faults = self.faults;
        match self.random.below(26) {
            0..=3 if faults.suspensions => self.cut_ruler(),
            4..=9 if faults.suspensions => self.cut_hand(),
            10..=11 if faults.worker_crashes => self.crash_hand(),
            12 if faults.master_crashes => self.crash_ruler(),
            13 if faults.drains && self.random.percent(30) => self.drain(),
            13 if faults.drains => self.ask(),
            14..=15 if faults.cancels => self.cancel(),
            16 if faults.by_hand && self.random.percent(10) => self.delete_all_tasks(),
            16 if faults.by_hand => self.meddle(),
            17 if self.random.percent(50) => self.reconcile(),
            17 => (0..20).for_each(|_| self.pass_time()),
            24 if faults.keep => self.lose_session(),
            25 if faults.clocks => self.set_clock(),
            18..=19 => self.mend_something(),
            20..=21 if faults.by_hand && self.random.percent(20) => self.withdraw(),
            22..=23 if self.living_hands() < MOST_HANDS => {
                let zone = self.random.percent(50);
                self.hire(zone);
            }
            _ => {}
        }
    }

    /// Another leader has another clock.
    pub(super) fn set_clock(&mut self) {
        let by = self.random.below(4_000) as i64 - 2_000;
        self.zookeeper.clock_ms += by;
    }

    pub(super) fn living_hands(&self) -> usize {
        self.hands.iter().filter(|hand| !hand.gone).count()
    }

    pub(super) fn cut_ruler(&mut self) {
        let Some(index) = self.some_ruler(|ruler| ruler.link.state != State::Down) else { return };
        let ruler = &mut self.rulers[index];
        if ruler.link.state == State::Up && self.random.percent(50) {
            ruler.link.state = State::Frozen;
        } else {
            ruler.suspend(&mut self.zookeeper, &mut self.random, self.now);
        }
    }

    pub(super) fn cut_hand(&mut self) {
        // Rather one that runs something: it has something to lose.
        let busy = self.random.percent(70);
        let cuttable =
            |hand: &Hand| hand.link.as_ref().is_some_and(|link| link.state != State::Down) && (!busy || !hand.running.is_empty());
        let Some(index) = self.some_hand(cuttable) else { return };
        let hand = &mut self.hands[index];
        let freeze = self.random.percent(50);
        match hand.link.as_mut() {
            Some(link) if link.state == State::Up && freeze => link.state = State::Frozen,
            Some(_) => hand.suspend(&mut self.zookeeper, &mut self.random),
            None => {}
        }
    }

    /// What was cut is connected again; if nobody rules, somebody stands.
    pub(super) fn mend_something(&mut self) {
        if self.random.percent(50) {
            self.elect();
        }
        if let Some(index) = self.some_ruler(|ruler| ruler.link.state != State::Up) {
            self.connect_ruler(index);
        }
        // Outages last: sessions must sometimes be lost with what runs in them.
        let patient = self.random.percent(75);
        if let Some(index) = self.some_hand(|hand| !patient && hand.link.as_ref().is_some_and(|link| link.state != State::Up)) {
            self.connect_hand(index);
        }
    }

    pub(super) fn connect_ruler(&mut self, index: usize) {
        let ruler = &mut self.rulers[index];
        if ruler.link.state == State::Frozen && self.zookeeper.is_alive(ruler.link.session) {
            ruler.link.state = State::Up;
            ruler.link.heard = self.now;
            return;
        }
        if ruler.link.state == State::Frozen {
            ruler.suspend(&mut self.zookeeper, &mut self.random, self.now);
        }
        ruler.reconnect(&self.zookeeper, self.now);
    }

    pub(super) fn connect_hand(&mut self, index: usize) {
        let hand = &mut self.hands[index];
        let Some(link) = hand.link.as_mut() else { return };
        if link.state == State::Frozen && self.zookeeper.is_alive(link.session) {
            link.state = State::Up;
            link.heard = self.now;
            return;
        }
        if link.state == State::Frozen {
            hand.suspend(&mut self.zookeeper, &mut self.random);
        }
        hand.reconnect(&mut self.zookeeper, self.now);
    }

    pub(super) fn crash_hand(&mut self) {
        let Some(index) = self.some_hand(|_| true) else { return };
        let hand = &mut self.hands[index];
        hand.crash();
        // Its last requests may have arrived.
        if let Some(mut link) = hand.link.take() {
            link.state = State::Down;
            self.zookeeper.end(link.session);
        }
    }

    /// A session ends while its worker runs something, which it was told to keep until then.
    pub(super) fn lose_session(&mut self) {
        let Some(index) = self.some_hand(|hand| !hand.running.is_empty() && hand.link.is_some()) else { return };
        let hand = &mut self.hands[index];
        hand.suspend(&mut self.zookeeper, &mut self.random);
        if let Some(link) = &hand.link {
            self.zookeeper.end(link.session);
        }
        hand.reconnect(&mut self.zookeeper, self.now);
    }

    pub(super) fn crash_ruler(&mut self) {
        if let Some(index) = self.some_ruler(|_| true) {
            let ruler = self.rulers.remove(index);
            self.zookeeper.end(ruler.link.session);
        }
    }

    pub(super) fn drain(&mut self) {
        if let Some(index) = self.some_hand(|hand| !hand.draining) {
            self.hands[index].draining = true;
            self.hands[index].on(AgentEvent::DrainRequested, &mut self.zookeeper, self.now);
        }
    }

    /// Somebody wants a worker to drain, or nothing to be assigned, or wants that no more.
    pub(super) fn ask(&mut self) {
        let name = format!("w{}", 1 + self.random.below(self.hired));
        let node = if self.random.percent(25) { path::PAUSED.to_owned() } else { path::worker_request(&name) };
        let mode = *self.random.pick(&["graceful", "quick", "fast"]).expect("three");
        let multi = match self.zookeeper.get(&node) {
            Some(_) if self.random.percent(60) => Multi::new().delete(node, None),
            Some(_) => Multi::new().set(node, format!(r#"{{"bellwether":1,"mode":"{mode}"}}"#), None),
            None => Multi::new().create(node, format!(r#"{{"bellwether":1,"mode":"{mode}","deadline_ms":300}}"#)),
        };
        let _ = self.client(&multi);
    }

    /// Nobody wants that any more.
    pub(super) fn ask_no_more(&mut self) {
        let names = self.zookeeper.children(path::WORKER_REQUESTS).unwrap_or_default();
        let of_people = names.into_iter().filter(|name| WorkerId::listed(name).operator_name().is_none());
        for node in of_people.map(|name| path::worker_request(&name)).chain([path::PAUSED.to_owned()]).collect::<Vec<_>>() {
            let _ = self.client(&Multi::new().delete(node, None));
        }
    }

    pub(super) fn reconcile(&mut self) {
        if let Some(index) = self.some_ruler(|_| true) {
            self.rulers[index].on(MasterEvent::ReconcileDue, &mut self.zookeeper, self.now);
        }
    }
}
