//! What is done to whom, and when: drawn from a seed, and from nothing else.
//!
//! What lives here: the [`Schedule`], its strokes, and how it is drawn. What does not: doing it (`house`). Four lanes are drawn
//! independently (coordinators, workers, ZooKeeper's servers, hands in the tree). Within a lane one harm is healed before the next
//! is done; so a majority of ZooKeeper's servers always runs, while lanes overlap as they like.

use std::fmt;
use std::time::Duration;

/// How many of each there are.
pub const COORDINATORS: usize = 3;
/// How many of each there are.
pub const WORKERS: usize = 4;
/// How many of each there are.
pub const SERVERS: usize = 3;
/// Session timeout of coordinators.
pub const COORDINATOR_SESSION: Duration = Duration::from_secs(3);
/// Session timeout of workers.
pub const WORKER_SESSION: Duration = Duration::from_secs(4);

/// Whom a stroke hits; services and servers are counted from 0. The first coordinator and the first worker are behind proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A coordinator.
    Coordinator(usize),
    /// A worker.
    Worker(usize),
    /// A server of ZooKeeper.
    Server(usize),
    /// `/master`.
    Office,
    /// `/bellwether/epoch`.
    Epoch,
    /// The registration of a worker.
    Registration(usize),
}

impl Target {
    /// Whether tasks of this worker may have to run again because of it.
    #[must_use]
    pub fn concerns_worker(self, name: &str) -> bool {
        match self {
            Target::Worker(i) | Target::Registration(i) => worker_name(i) == name,
            Target::Server(_) => true,
            // Whoever rules, and whatever becomes of him: what runs goes on.
            Target::Coordinator(_) | Target::Office | Target::Epoch => false,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Coordinator(i) => f.write_str(&coordinator_name(*i)),
            Target::Worker(i) => f.write_str(&worker_name(*i)),
            Target::Server(i) => write!(f, "zookeeper-{}", i + 1),
            Target::Office => f.write_str("/master"),
            Target::Epoch => f.write_str("/bellwether/epoch"),
            Target::Registration(i) => write!(f, "/workers/{}-*", worker_name(*i)),
        }
    }
}

/// What the configuration calls a coordinator.
#[must_use]
pub fn coordinator_name(i: usize) -> String {
    format!("c{}", i + 1)
}

/// What the configuration calls a worker.
#[must_use]
pub fn worker_name(i: usize) -> String {
    format!("w{}", i + 1)
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Harm {
    /// SIGKILL; started again to heal it.
    Kill,
    /// SIGTERM; started again to heal it.
    Stop,
    /// SIGSTOP; SIGCONT to heal it.
    Freeze,
    /// All its connections are cut; it may come back at once.
    Cut,
    /// The reply to its next multi is lost, with the connection.
    LoseReply,
    /// Nothing gets through in either direction until it is healed.
    BlackHole,
    /// SIGKILL, and all its data are deleted; started again to heal it. One that leads is only killed.
    Wipe,
    /// Deleted by hand.
    Delete,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Harm::Kill => "kill -9",
            Harm::Stop => "stop",
            Harm::Freeze => "freeze",
            Harm::Cut => "cut",
            Harm::LoseReply => "lose a reply of",
            Harm::BlackHole => "cut off",
            Harm::Wipe => "wipe",
            Harm::Delete => "delete",
        })
    }
}

/// One harm and its healing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stroke {
    /// When it is done, since the begin.
    pub at: Duration,
    /// How long until it is healed; zero for what heals by itself.
    pub lasts: Duration,
    /// What is done.
    pub harm: Harm,
    /// To whom.
    pub target: Target,
}

impl fmt::Display for Stroke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.3} s  {} {}", self.at.as_secs_f64(), self.harm, self.target)?;
        if self.lasts.is_zero() { Ok(()) } else { write!(f, " for {:.3} s", self.lasts.as_secs_f64()) }
    }
}

/// All strokes, in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// What it was drawn from.
    pub seed: u64,
    /// By then everything is healed.
    pub lasts: Duration,
    /// What is done.
    pub strokes: Vec<Stroke>,
}

impl Schedule {
    /// The schedule of a seed: the same whenever and wherever it is drawn.
    #[must_use]
    pub fn draw(seed: u64, lasts: Duration) -> Self {
        let mut strokes = Vec::new();
        strokes.extend(lane(seed, 1, lasts, 1000..3000, coordinator_stroke));
        strokes.extend(lane(seed, 2, lasts, 500..2000, worker_stroke));
        strokes.extend(lane(seed, 3, lasts, 3000..7000, server_stroke));
        strokes.extend(lane(seed, 4, lasts, 4000..9000, hand_stroke));
        strokes.sort_by_key(|stroke| stroke.at);
        Self { seed, lasts, strokes }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schedule of seed {} for {} s, {} faults:", self.seed, self.lasts.as_secs(), self.strokes.len())?;
        self.strokes.iter().try_for_each(|stroke| writeln!(f, "{stroke}"))
    }
}

/// What a lane draws: how long it lasts in milliseconds, what, whom.
type Drawn = (u64, Harm, Target);

/// Strokes one after another, with a pause of `gap` milliseconds before each; all are healed when the time is over.
fn lane(seed: u64, number: u64, lasts: Duration, gap: std::ops::Range<u64>, draw: impl Fn(&mut Dice) -> Drawn) -> Vec<Stroke> {
    let mut dice = Dice::new(seed, number);
    let mut strokes = Vec::new();
    let mut now = Duration::ZERO;
    loop {
        let at = now + Duration::from_millis(dice.within(gap.clone()));
        let (length, harm, target) = draw(&mut dice);
        let stroke = Stroke { at, lasts: Duration::from_millis(length), harm, target };
        now = stroke.at + stroke.lasts;
        if now > lasts {
            return strokes;
        }
        strokes.push(stroke);
    }
}

fn coordinator_stroke(dice: &mut Dice) -> Drawn {
    let index = dice.index(COORDINATORS);
    service_stroke(dice, Target::Coordinator(index), index == 0, COORDINATOR_SESSION)
}

fn worker_stroke(dice: &mut Dice) -> Drawn {
    let index = dice.index(WORKERS);
    service_stroke(dice, Target::Worker(index), index == 0, WORKER_SESSION)
}

fn service_stroke(dice: &mut Dice, target: Target, behind_proxy: bool, session: Duration) -> Drawn {
    const ALL: [Harm; 6] = [Harm::Kill, Harm::Stop, Harm::Freeze, Harm::Cut, Harm::LoseReply, Harm::BlackHole];
    let harm = ALL[dice.index(if behind_proxy { ALL.len() } else { 3 })];
    let lasts = match harm {
        Harm::Kill | Harm::Stop => dice.within(200..3000),
        Harm::Freeze | Harm::BlackHole => dice.shorter_or_longer_than(session),
        Harm::Cut | Harm::LoseReply | Harm::Wipe | Harm::Delete => 0,
    };
    (lasts, harm, target)
}

fn server_stroke(dice: &mut Dice) -> Drawn {
    let harm = [Harm::Kill, Harm::Stop, Harm::Freeze, Harm::Wipe][dice.index(4)];
    (dice.within(500..4000), harm, Target::Server(dice.index(SERVERS)))
}

fn hand_stroke(dice: &mut Dice) -> Drawn {
    let worker = dice.index(WORKERS);
    (0, Harm::Delete, [Target::Office, Target::Epoch, Target::Registration(worker)][dice.index(3)])
}

/// SplitMix64: small, and the same everywhere and for ever, which no random crate promises across its versions.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64, lane: u64) -> Self {
        let mut dice = Self(seed);
        // Neighbouring seeds must not have lanes in common.
        dice.0 = dice.next().wrapping_add(lane);
        dice.0 = dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap_or(0)
    }

    /// Milliseconds: half the time the session certainly survives, half the time it certainly does not.
    fn shorter_or_longer_than(&mut self, session: Duration) -> u64 {
        let session = u64::try_from(session.as_millis()).unwrap_or(u64::MAX);
        if self.index(2) == 0 { self.within(session / 10..session * 6 / 10) } else { self.within(session * 3 / 2..session * 2) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_schedule_is_a_function_of_its_seed() {
        let printed = |seed| Schedule::draw(seed, HOUR).to_string();
        assert_eq!(printed(7), printed(7));
        assert_ne!(printed(7), printed(8));
        // Whoever changes what a seed means makes old reports worthless: let him know.
        let first: Vec<String> = Schedule::draw(1, Duration::from_secs(10)).strokes.iter().map(|stroke| stroke.to_string()).collect();
        assert_eq!(first, FIRST_OF_SEED_ONE);
    }

    const FIRST_OF_SEED_ONE: [&str; 5] = [
        "   0.936 s  cut w1",
        "   1.581 s  lose a reply of c1",
        "   1.853 s  freeze w4 for 6.929 s",
        "   2.939 s  kill -9 c3 for 0.399 s",
        "   5.374 s  delete /master",
    ];

    #[test]
    fn a_shorter_run_is_the_begin_of_a_longer_one() {
        let (short, long) = (Schedule::draw(3, Duration::from_secs(60)), Schedule::draw(3, HOUR));
        assert!(short.strokes.len() > 10);
        assert!(short.strokes.iter().all(|stroke| long.strokes.contains(stroke)));
    }

    #[test]
    fn every_harm_is_done_to_everybody_it_can_be_done_to() {
        let done: HashSet<(Harm, Target)> = Schedule::draw(1, HOUR).strokes.iter().map(|stroke| (stroke.harm, stroke.target)).collect();
        let services = (COORDINATORS + WORKERS) * 3 + 2 * 3;
        assert_eq!(done.len(), services + SERVERS * 4 + 2 + WORKERS);
    }

    #[test]
    fn nobody_is_hit_twice_at_once_and_all_is_healed_in_the_end() {
        for seed in 0..20 {
            let schedule = Schedule::draw(seed, Duration::from_secs(300));
            let kind = |stroke: &Stroke| std::mem::discriminant(&stroke.target);
            for (i, early) in schedule.strokes.iter().enumerate() {
                assert!(early.at + early.lasts <= schedule.lasts);
                let mut late = schedule.strokes[i + 1..].iter().filter(|late| kind(late) == kind(early));
                assert!(late.all(|late| late.at > early.at + early.lasts), "{early}");
            }
        }
    }
}
