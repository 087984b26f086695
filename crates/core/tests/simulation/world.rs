//! Everything at once: the toy, coordinators one after the other, workers, clients, faults, and time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_core::admission::Limits;
use bellwether_core::agent::{self, Event as AgentEvent, OnDoubt};
use bellwether_core::lifecycle::{RetryDefaults, RunId};
use bellwether_core::master::{Event as MasterEvent, Fact, Settings};
use bellwether_core::protocol::change::of_event;
use bellwether_core::protocol::record::WorkerRecord;
use bellwether_core::protocol::{Multi, Outcome, PROTOCOL_VERSION, TaskName, WorkerId, path};

use crate::hand::{Hand, TIMEOUT};
use crate::link::State;
use crate::random::Random;
use crate::ruler::Ruler;
use crate::zookeeper::ZooKeeper;

/// What may go wrong in one history. Each seed has its own mixture: what always goes wrong hides what only sometimes does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lost_replies: bool,
    pub(crate) suspensions: bool,
    pub(crate) worker_crashes: bool,
    pub(crate) master_crashes: bool,
    pub(crate) drains: bool,
    pub(crate) by_hand: bool,
    pub(crate) cancels: bool,
    pub(crate) garbage: bool,
    pub(crate) keep: bool,
    /// ZooKeeper's clock is set now and then.
    pub(crate) clocks: bool,
}

pub(crate) struct World {
    pub(crate) zookeeper: ZooKeeper,
    random: Random,
    faults: Faults,
    now: Duration,
    rulers: Vec<Ruler>,
    hands: Vec<Hand>,
    settings: Settings,
    hired: usize,
    named: usize,
    /// At most so many milliseconds pass at a time: seldom, messages are slow against time.
    pace: usize,
    /// How often plain tasks are tried again.
    plain_retries: u32,
    /// How long a drain waits for what runs.
    patience: Duration,
    submitted: BTreeSet<TaskName>,
}

const MOST_HANDS: usize = 3;
const FOR_EVER: Duration = Duration::from_secs(100_000);

impl World {
    pub(crate) fn new(seed: u64, in_detail: bool) -> Self {
        let mut random = Random::new(seed);
        let mut maybe = |percent| random.percent(percent);
        let faults = Faults {
            lost_replies: maybe(50),
            suspensions: maybe(50),
            worker_crashes: maybe(50),
            master_crashes: maybe(50),
            drains: maybe(40),
            by_hand: maybe(25),
            cancels: maybe(50),
            garbage: maybe(40),
            keep: maybe(25),
            clocks: maybe(25),
        };
        let settings = Settings {
            assign_batch: 1 + random.below(5),
            lookahead: random.below(3) as u32,
            queue_timeout: Duration::ZERO,
            max_worker_losses: 2 + random.below(3) as u32,
            silence_timeout: Duration::ZERO,
            classic_workers: false,
            group_retention: Duration::from_secs(600),
            limits: Limits::default(),
        };
        let zookeeper = ZooKeeper::new(in_detail);
        let now = Duration::ZERO;
        let pace = *random.pick(&[60, 60, 250, 900]).expect("four");
        let plain_retries = if random.percent(25) { 1 } else { 0 };
        let patience = if random.percent(50) { Duration::from_secs(3) } else { FOR_EVER };
        let mut world = Self {
            zookeeper,
            random,
            faults,
            now,
            rulers: Vec::new(),
            hands: Vec::new(),
            settings,
            hired: 0,
            named: 0,
            pace,
            plain_retries,
            patience,
            submitted: BTreeSet::new(),
        };
        world.hire(true);
        world.elect();
        world
    }

    /// A while of faults, then a while without: everything that was accepted must end.
    pub(crate) fn live(&mut self) {
        let steps = 300 + self.random.below(1_200);
        for _ in 0..20 {
            self.submit();
            (0..10).for_each(|_| self.peaceful_step());
        }
        for _ in 0..steps {
            self.step();
        }
        // Whoever is cut off now stays so for long: the others take over what it had, while it may still run it.
        if self.faults.suspensions && self.random.percent(50) {
            self.cut_hand();
            (0..1_200).for_each(|_| self.peaceful_step());
        }
        self.heal();
        self.settle();
        self.judge();
        self.reconcile_when_all_is_well();
    }

    fn hire(&mut self, zone: bool) {
        self.hired += 1;
        let slots = 1 + self.random.below(3) as u32;
        let labels = match zone {
            true => BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            false => BTreeMap::new(),
        };
        let record = WorkerRecord {
            bellwether: PROTOCOL_VERSION,
            name: format!("w{}", self.hired),
            host: String::new(),
            pid: 1,
            slots,
            labels,
            resources: BTreeMap::new(),
            kinds: Default::default(),
            commands: true,
            http: String::new(),
            version: String::new(),
            patience_ms: None,
            replaces: None,
            since: None,
        };
        let mut hand = Hand::new(agent::Settings {
            record,
            on_doubt: if self.faults.keep { OnDoubt::Keep } else { OnDoubt::Kill },
            drain_timeout: self.patience,
            kill_grace: Duration::from_secs(1),
            start_timeout: self.patience,
            retry_after: Duration::from_millis(100),
            retry: RetryDefaults { retries: self.plain_retries, backoff: Duration::from_millis(20), ..RetryDefaults::default() },
        });
        hand.open(&mut self.zookeeper, self.now);
        self.hands.push(hand);
    }

    fn elect(&mut self) {
        if let Some(ruler) = Ruler::stand(&mut self.zookeeper, self.now, self.settings.clone()) {
            self.rulers.push(ruler);
        }
        self.spread();
    }

    /// One thing happens.
    fn step(&mut self) {
        match self.random.below(100) {
            0..=2 => self.submit(),
            3..=26 => self.serve_ruler(true),
            27..=44 => self.hear_ruler(),
            45..=64 => self.serve_hand(true),
            65..=84 => self.hear_hand(),
            85 => self.end_command(false),
            86..=95 => self.pass_time(),
            _ => self.fault(),
        }
        self.after_step();
    }

    fn after_step(&mut self) {
        self.spread();
        self.expire();
        self.rulers.retain(|ruler| !ruler.over);
        self.nobody_overlaps();
        for ruler in &mut self.rulers {
            ruler.facts.clear();
        }
    }

    /// Watches are told what was committed.
    fn spread(&mut self) {
        for (kind, path) in std::mem::take(&mut self.zookeeper.news) {
            let Some(change) = of_event(kind, &path) else { continue };
            for ruler in &mut self.rulers {
                if ruler.link.watching && Ruler::watches(&change) {
                    ruler.link.events.push_back(change.clone());
                }
            }
            for hand in &mut self.hands {
                let watches = hand.watches(&change);
                if let Some(link) = hand.link.as_mut().filter(|link| link.watching && watches) {
                    link.events.push_back(change.clone());
                }
            }
        }
    }

    /// The server ends sessions that it has not heard of.
    fn expire(&mut self) {
        let now = self.now;
        let silent = |state: State, heard: Duration| state != State::Up && now >= heard + TIMEOUT;
        for ruler in &self.rulers {
            if silent(ruler.link.state, ruler.link.heard) {
                self.zookeeper.end(ruler.link.session);
            }
        }
        for hand in &self.hands {
            if let Some(link) = hand.link.as_ref().filter(|link| silent(link.state, link.heard)) {
                self.zookeeper.end(link.session);
            }
        }
        self.spread();
    }

    fn serve_ruler(&mut self, faulty: bool) {
        let Some(index) = self.some_ruler(|ruler| ruler.link.state == State::Up && !ruler.link.requests.is_empty()) else { return };
        let lose = faulty && self.faults.lost_replies && self.random.percent(5);
        self.rulers[index].serve(&mut self.zookeeper, &mut self.random, lose);
    }

    fn hear_ruler(&mut self) {
        let Some(index) = self.some_ruler(|ruler| !ruler.link.answers.is_empty() || !ruler.link.events.is_empty()) else { return };
        let ruler = &mut self.rulers[index];
        let events = !ruler.link.events.is_empty();
        if events && (ruler.link.answers.is_empty() || self.random.percent(50)) {
            ruler.deliver_events(&mut self.zookeeper, &mut self.random, self.now);
        } else {
            ruler.deliver_answer(&mut self.zookeeper, &mut self.random, self.now);
        }
    }

    fn some_ruler(&mut self, fits: impl Fn(&Ruler) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.rulers.len()).filter(|index| fits(&self.rulers[*index])).collect();
        self.random.pick(&fitting).copied()
    }

    fn some_hand(&mut self, fits: impl Fn(&Hand) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.hands.len()).filter(|index| !self.hands[*index].gone && fits(&self.hands[*index])).collect();
        self.random.pick(&fitting).copied()
    }

    fn serve_hand(&mut self, faulty: bool) {
        let served = |hand: &Hand| hand.link.as_ref().is_some_and(|link| link.state == State::Up && !link.requests.is_empty());
        let Some(index) = self.some_hand(served) else { return };
        let lose = faulty && self.faults.lost_replies && self.random.percent(5);
        self.hands[index].serve(&mut self.zookeeper, &mut self.random, lose);
    }

    fn hear_hand(&mut self) {
        let Some(index) = self.some_hand(|hand| {
            let told = hand.link.as_ref().is_some_and(|link| !link.answers.is_empty() || !link.events.is_empty());
            told || !hand.session_events.is_empty() || !hand.ended.is_empty()
        }) else {
            return;
        };
        let hand = &mut self.hands[index];
        let mut channels = Vec::new();
        channels.extend((!hand.session_events.is_empty()).then_some(0));
        channels.extend((!hand.ended.is_empty()).then_some(1));
        // Until it heard of its new session, it hears nothing in it.
        if let Some(link) = hand.link.as_ref() {
            channels.extend((!link.answers.is_empty()).then_some(2));
            channels.extend((!link.events.is_empty()).then_some(3));
        }
        let channel = self.random.pick(&channels).copied();
        match channel {
            Some(0) => {
                let event = hand.session_events.pop_front().expect("not empty");
                hand.on(event, &mut self.zookeeper, self.now);
            }
            Some(1) => {
                let event = hand.ended.pop_front().expect("not empty");
                hand.on(event, &mut self.zookeeper, self.now);
            }
            Some(2) => hand.deliver_answer(&mut self.zookeeper, self.now),
            Some(_) => hand.deliver_events(&mut self.zookeeper, &mut self.random, self.now),
            None => {}
        }
    }

    /// A command ends; or only one of a worker that is connected.
    fn end_command(&mut self, connected: bool) {
        let up = |hand: &Hand| hand.link.as_ref().is_some_and(|link| link.state == State::Up);
        if let Some(index) = self.some_hand(|hand| !hand.running.is_empty() && (!connected || up(hand))) {
            self.hands[index].end_one(&mut self.random);
        }
    }

    /// Time goes on, but never past a timer of a worker or the end of a session.
    fn pass_time(&mut self) {
        let mut next = self.now + Duration::from_millis(1 + self.random.below(self.pace) as u64);
        for hand in self.hands.iter().filter(|hand| !hand.gone) {
            next = hand.timers.values().fold(next, |next, at| next.min(*at));
        }
        next = self.rulers.iter().filter_map(|ruler| ruler.alarm).fold(next, Duration::min);
        let later = self.now.max(next);
        self.zookeeper.clock_ms += (later - self.now).as_millis() as i64;
        self.now = later;
        self.ring();
        for link in self.rulers.iter_mut().map(|ruler| &mut ruler.link).filter(|link| link.state == State::Up) {
            link.heard = self.now;
        }
        for link in
            self.hands.iter_mut().filter(|hand| !hand.gone).filter_map(|hand| hand.link.as_mut()).filter(|link| link.state == State::Up)
        {
            link.heard = self.now;
        }
    }

    fn ring(&mut self) {
        for hand in &mut self.hands {
            hand.ring(&mut self.zookeeper, self.now);
        }
        for ruler in &mut self.rulers {
            ruler.ring(&mut self.zookeeper, self.now);
        }
    }

    fn fault(&mut self) {
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
    fn set_clock(&mut self) {
        let by = self.random.below(4_000) as i64 - 2_000;
        self.zookeeper.clock_ms += by;
    }

    fn living_hands(&self) -> usize {
        self.hands.iter().filter(|hand| !hand.gone).count()
    }

    fn cut_ruler(&mut self) {
        let Some(index) = self.some_ruler(|ruler| ruler.link.state != State::Down) else { return };
        let ruler = &mut self.rulers[index];
        if ruler.link.state == State::Up && self.random.percent(50) {
            ruler.link.state = State::Frozen;
        } else {
            ruler.suspend(&mut self.zookeeper, &mut self.random, self.now);
        }
    }

    fn cut_hand(&mut self) {
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
    fn mend_something(&mut self) {
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

    fn connect_ruler(&mut self, index: usize) {
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

    fn connect_hand(&mut self, index: usize) {
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

    fn crash_hand(&mut self) {
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
    fn lose_session(&mut self) {
        let Some(index) = self.some_hand(|hand| !hand.running.is_empty() && hand.link.is_some()) else { return };
        let hand = &mut self.hands[index];
        hand.suspend(&mut self.zookeeper, &mut self.random);
        if let Some(link) = &hand.link {
            self.zookeeper.end(link.session);
        }
        hand.reconnect(&mut self.zookeeper, self.now);
    }

    fn crash_ruler(&mut self) {
        if let Some(index) = self.some_ruler(|_| true) {
            let ruler = self.rulers.remove(index);
            self.zookeeper.end(ruler.link.session);
        }
    }

    fn drain(&mut self) {
        if let Some(index) = self.some_hand(|hand| !hand.draining) {
            self.hands[index].draining = true;
            self.hands[index].on(AgentEvent::DrainRequested, &mut self.zookeeper, self.now);
        }
    }

    /// Somebody wants a worker to drain, or nothing to be assigned, or wants that no more.
    fn ask(&mut self) {
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
    fn ask_no_more(&mut self) {
        let names = self.zookeeper.children(path::WORKER_REQUESTS).unwrap_or_default();
        let of_people = names.into_iter().filter(|name| WorkerId::listed(name).operator_name().is_none());
        for node in of_people.map(|name| path::worker_request(&name)).chain([path::PAUSED.to_owned()]).collect::<Vec<_>>() {
            let _ = self.client(&Multi::new().delete(node, None));
        }
    }

    fn reconcile(&mut self) {
        if let Some(index) = self.some_ruler(|_| true) {
            self.rulers[index].on(MasterEvent::ReconcileDue, &mut self.zookeeper, self.now);
        }
    }

    fn client(&mut self, multi: &Multi) -> Outcome {
        let outcome = self.zookeeper.commit(0, multi);
        self.spread();
        outcome
    }

    fn submit(&mut self) {
        let task = TaskName::listed(&format!("t{}", self.named));
        self.named += 1;
        let good: [&[u8]; 15] = [
            b"echo hello",
            br#"["true"]"#,
            br#"{"bellwether":1,"shell":"make","priority":3}"#,
            br#"{"bellwether":1,"argv":["x"],"require":{"zone":"a"}}"#,
            br#"{"bellwether":1,"argv":["x"],"max_worker_losses":1}"#,
            br#"{"bellwether":1,"argv":["x"],"max_worker_losses":9}"#,
            br#"{"bellwether":1,"argv":["x"],"retries":2,"backoff_ms":10,"backoff_max_ms":80}"#,
            br#"{"bellwether":1,"argv":["x"],"retries":1,"backoff_ms":40,"retry_on":[3]}"#,
            br#"{"bellwether":1,"argv":["x"],"retries":4,"backoff_ms":0,"max_worker_losses":2}"#,
            br#"{"bellwether":1,"argv":["x"],"delay_ms":200}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":1}}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":40,"first":3}}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":25},"retries":2,"backoff_ms":10,"max_worker_losses":2}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":30,"max_fails":4},"max_worker_losses":1,"require":{"zone":"a"}}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":6},"delay_ms":100,"retries":1,"backoff_ms":0}"#,
        ];
        let bad: [&[u8]; 5] = [b"", b"\xff\xfe", b"[1]", br#"{"bellwether":1}"#, br#"{"bellwether":7,"shell":"x"}"#];
        let from: &[&[u8]] = if self.faults.garbage && self.random.percent(30) { &bad } else { &good };
        let payload = self.random.pick(from).expect("some").to_vec();
        let held = payload.windows(8).any(|window| window == b"delay_ms") || self.random.percent(5);
        let mut multi = Multi::new().create(if held { path::held(&task) } else { path::task(&task) }, payload);
        if self.faults.cancels && self.random.percent(5) {
            multi = multi.create(path::cancel(&task), "");
        }
        if matches!(self.client(&multi), Outcome::Applied(_)) {
            self.submitted.insert(task);
        }
    }

    fn cancel(&mut self) {
        let names: Vec<TaskName> = self.submitted.iter().cloned().chain([TaskName::listed("nobody")]).collect();
        let Some(task) = self.random.pick(&names) else { return };
        let multi = if self.random.percent(90) {
            Multi::new().create(path::cancel(task), br#"{"reason":"because"}"#.as_slice())
        } else {
            Multi::new().delete(path::cancel(task), None)
        };
        let _ = self.client(&multi);
    }

    /// Somebody types at ZooKeeper's own command line.
    fn meddle(&mut self) {
        let multi = match self.random.below(6) {
            5 => self.any_child(path::HELD).map(|path| Multi::new().set(path, "echo changed", None)),
            0 => self.any_child(path::WORKERS).map(|path| Multi::new().delete(path, None)),
            1 => self.any_child(path::ASSIGN).map(|path| Multi::new().delete(path, None)),
            2 => self.any_child(path::TASKS).map(|path| Multi::new().set(path, "echo changed", None)),
            3 => Some(Multi::new().create("/workers/persistent", "Idle")),
            _ => {
                let nodes = [path::TASKS, path::STATUS, path::RESULTS, path::DEAD, path::CANCEL, path::HELD, path::SWEPT];
                self.random.pick(&nodes).map(|node| Multi::new().delete(*node, None))
            }
        };
        if let Some(multi) = multi {
            let _ = self.client(&multi);
        }
    }

    /// Somebody deletes `/tasks` with all that waits there: its counter starts over, so that older results are in the way.
    fn delete_all_tasks(&mut self) {
        let waiting = self.zookeeper.children(path::TASKS).unwrap_or_default();
        let multi = waiting.iter().fold(Multi::new(), |multi, task| multi.delete(format!("{}/{task}", path::TASKS), None));
        if self.client(&multi.delete(path::TASKS, None)) == Outcome::applied() {
            self.submitted.retain(|task| !waiting.iter().any(|gone| gone == task.as_str()));
        }
    }

    /// A client takes back what it submitted, if it is still pending.
    fn withdraw(&mut self) {
        let parent = if self.random.percent(70) { path::TASKS } else { path::HELD };
        let Some(path) = self.any_child(parent) else { return };
        if self.client(&Multi::new().delete(&path, None)) == Outcome::applied() {
            let name = path.rsplit('/').next().unwrap_or_default();
            self.submitted.remove(&TaskName::listed(name));
        }
    }

    fn any_child(&mut self, parent: &str) -> Option<String> {
        let children = self.zookeeper.children(parent)?;
        self.random.pick(&children).map(|child| format!("{parent}/{child}"))
    }

    /// A task never runs twice at a time, unless workers are told to keep what they run.
    fn nobody_overlaps(&self) {
        if self.faults.keep {
            return;
        }
        let mut seen: BTreeMap<&TaskName, (&str, &RunId)> = BTreeMap::new();
        for hand in self.hands.iter().filter(|hand| !hand.gone) {
            for id in hand.running.keys() {
                if let Some(other) = seen.insert(&id.task, (&hand.name, id)) {
                    panic!("{id:?} runs on {} while {other:?} still runs", hand.name);
                }
            }
        }
    }

    /// Faults stop: everything is connected, somebody rules, somebody works.
    fn heal(&mut self) {
        self.zookeeper.mend_layout();
        self.ask_no_more();
        self.spread();
        let willing = self.hands.iter().any(|hand| !hand.gone && !hand.draining && hand.agent_offers_zone());
        if !willing {
            self.hire(true);
        }
        for index in 0..self.rulers.len() {
            if self.rulers[index].link.state != State::Up {
                self.connect_ruler(index);
            }
        }
        for index in 0..self.hands.len() {
            let down = self.hands[index].link.as_ref().is_some_and(|link| link.state != State::Up);
            if !self.hands[index].gone && down {
                self.connect_hand(index);
            }
        }
        self.after_step();
    }

    /// Everything that is on the way arrives; commands end; time passes when nothing else is left to do.
    fn settle(&mut self) {
        let mut steps = 0;
        let mut quiet = 0;
        while quiet < 40 {
            steps += 1;
            assert!(steps < 30_000, "it goes on for ever");
            if self.zookeeper.get(path::MASTER).is_none() {
                self.elect();
            }
            let idle = self.rulers.iter().all(|ruler| ruler.link.is_idle()) && self.hands.iter().all(Hand::is_idle);
            if idle {
                // What rests wakes by itself.
                quiet += usize::from(self.rulers.iter().all(|ruler| ruler.alarm.is_none()));
                self.pass_time();
                self.after_step();
            } else {
                self.peaceful_step();
            }
        }
    }

    /// One thing happens that is no fault.
    fn peaceful_step(&mut self) {
        match self.random.below(20) {
            0..=5 => self.serve_ruler(false),
            6..=9 => self.hear_ruler(),
            10..=13 => self.serve_hand(false),
            14..=17 => self.hear_hand(),
            18 => self.end_command(true),
            _ => self.pass_time(),
        }
        self.after_step();
    }

    fn judge(&self) {
        let unfinished: Vec<_> = self.zookeeper.ledger.unfinished().collect();
        assert!(unfinished.is_empty(), "never ended: {unfinished:?}, a master believes {:?}", self.rulers.last().map(|r| r.master.view()));
        let only_drains = self.patience == FOR_EVER && !faults_kill_workers(self.faults);
        if only_drains {
            assert_eq!(self.zookeeper.tally.dead, 0, "a drain costs nothing");
            assert_eq!(self.zookeeper.tally.taken_back, 0, "a drain leaves nothing behind");
        }
        assert_eq!(self.zookeeper.tally.differences, 0, "watches told everything, sooner or later");
        for task in &self.submitted {
            let status = path::status(task);
            assert!(self.zookeeper.get(&status).is_some() || self.zookeeper.swept.contains(&status), "{task} has no status");
        }
        assert_eq!(self.zookeeper.children(path::TASKS), Some(vec![]), "left under /tasks");
        assert_eq!(self.zookeeper.children(path::HELD), Some(vec![]), "left under held");
        assert_eq!(self.zookeeper.children(path::CANCEL), Some(vec![]), "marks left");
        self.nothing_old_is_left();
        for worker in self.zookeeper.children(path::ASSIGN).expect("layout") {
            assert!(self.zookeeper.get(&format!("/workers/{worker}")).is_some(), "the box of {worker} was left");
        }
        assert_eq!(self.rulers.len(), 1, "one master is left");
        let view = self.rulers[0].master.view();
        assert!(view.tasks.is_empty() && view.held.is_empty(), "the master believes in {:?} and {:?}", view.tasks, view.held);
        assert!(view.workers.values().all(|worker| worker.load.is_empty()), "slots are lost: {:?}", view.workers);
        for hand in self.hands.iter().filter(|hand| !hand.gone) {
            assert!(!hand.draining, "{} never left", hand.name);
            assert_eq!(hand.agent.slots_in_use(), 0, "{} lost a slot", hand.name);
            assert!(hand.agent.is_registered(), "{} is not registered", hand.name);
        }
    }

    /// No result is older than `/tasks`, if that was deleted and created again.
    fn nothing_old_is_left(&self) {
        let czxid = |path: &str| self.zookeeper.get(path).expect("layout").stat.czxid;
        let created = czxid(path::TASKS);
        if created < czxid(path::STATUS) {
            return;
        }
        for parent in [path::STATUS, path::RESULTS] {
            for name in self.zookeeper.children(parent).expect("layout") {
                assert!(czxid(&format!("{parent}/{name}")) > created, "{parent}/{name} is older than /tasks");
            }
        }
    }

    /// The slow comparison finds nothing and writes nothing when nothing is wrong.
    fn reconcile_when_all_is_well(&mut self) {
        // What is left of arrays whose statuses were swept goes first.
        let _ = self.reconcile_once();
        let commits = self.zookeeper.zxid();
        assert_eq!(self.reconcile_once(), [Fact::Differences(0)]);
        assert_eq!(self.zookeeper.zxid(), commits, "it wrote something");
    }

    fn reconcile_once(&mut self) -> Vec<Fact> {
        self.rulers[0].on(MasterEvent::ReconcileDue, &mut self.zookeeper, self.now);
        let mut facts = Vec::new();
        while !self.rulers[0].link.is_idle() {
            self.serve_ruler(false);
            self.hear_ruler();
            facts.append(&mut self.rulers[0].facts);
        }
        facts
    }
}

fn faults_kill_workers(faults: Faults) -> bool {
    faults.worker_crashes || faults.suspensions || faults.by_hand || faults.lost_replies || faults.keep
}
