//! Everything at once: the toy, coordinators one after the other, workers, clients, faults, and time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwether_core::admission::Limits;
use bellwether_core::agent::{self, OnDoubt};
use bellwether_core::lifecycle::RetryDefaults;
use bellwether_core::master::Settings;
use bellwether_core::protocol::change::of_event;
use bellwether_core::protocol::record::WorkerRecord;
use bellwether_core::protocol::{PROTOCOL_VERSION, TaskName};

use crate::hand::{Hand, TIMEOUT};
use crate::link::State;
use crate::random::Random;
use crate::ruler::Ruler;
use crate::zookeeper::ZooKeeper;

mod faults;
mod people;
mod verdict;

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
}
