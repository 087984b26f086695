//! What operators see of a coordinator: metrics and logs. Decides nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bellwether_common::{clock, metrics as names};
use bellwether_core::election::{self, Election, End, Stage};
use bellwether_core::master::{Event, Fact, Master};
use bellwether_core::protocol::Multi;
use bellwether_core::protocol::array::Tally;
use bellwether_core::protocol::record::{CoordinatorRecord, Farewell, History};
use bellwether_core::protocol::result::TaskOutcome;
use metrics::{counter, gauge, histogram};
use tracing::{debug, error, info, warn};

use crate::unknown::Unknowns;

/// When this term began, and until when its office may be shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct TermClock {
    began: Option<Instant>,
    surveyed: Arc<Mutex<bool>>,
    shown: Shown,
}

/// Until when the gauges of the office are true: in microseconds of the monotonic clock, 0 for not at all. A scrape looks at it, too,
/// because a process that was frozen answers scrapes before its actors have noticed how late it is.
#[derive(Debug, Clone, Default)]
struct Shown(Arc<AtomicU64>);

impl Shown {
    fn until(&self, until: Option<Duration>) {
        let micros = until.map_or(0, |until| u64::try_from(until.as_micros()).unwrap_or(u64::MAX));
        self.0.store(micros, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        clock::now().mono.as_micros() >= u128::from(self.0.load(Ordering::Acquire))
    }
}

/// What the election looks like from outside.
pub(crate) struct OfficeObserver {
    /// Since when the office is vacant, as far as this process knows, and after which epoch.
    vacancy: Option<(Instant, Option<i32>)>,
    term: TermClock,
    state: &'static str,
    /// Whether a master of another kind rules, as last seen.
    foreign: bool,
    /// Unix time of our election, while we rule.
    elected: f64,
    shown: Shown,
}

impl OfficeObserver {
    pub(crate) fn new() -> Self {
        let shown = Shown::default();
        let mut observer =
            Self { vacancy: None, term: TermClock::default(), state: "", foreign: false, elected: 0.0, shown: shown.clone() };
        observer.show("connecting");
        names::before_each_scrape(move || {
            if shown.is_over() {
                show_no_office();
            }
        });
        observer
    }

    /// Before core hears of it.
    pub(crate) fn hear(&mut self, event: &election::Event) {
        match event {
            election::Event::OfficeVacant => self.vacancy = Some((Instant::now(), None)),
            // Not at `OfficeTaken`: it may be our own taking, whose event can come before its answer. Who it was is read next.
            election::Event::OfficeRead(office) if office.holder.is_none() => {
                let epoch = office.epoch.as_ref().map(|(version, _)| *version);
                self.vacancy = match self.vacancy {
                    Some((since, after)) if after.is_none_or(|after| Some(after) == epoch) => Some((since, epoch)),
                    // Nobody stood by when it became vacant, or somebody ruled meanwhile: it is vacant since now at the latest.
                    Some(_) | None => Some((Instant::now(), epoch)),
                };
            }
            election::Event::OfficeRead(_) => self.vacancy = None,
            _ => {}
        }
    }

    pub(crate) fn standing(&self) {
        debug!("standing for office");
    }

    pub(crate) fn term(&mut self) -> TermClock {
        self.term.clone()
    }

    /// Sets the gauges; says whether the service is ready, and what it does.
    pub(crate) fn look_at(&mut self, election: &Election) -> (bool, String) {
        let recovering = !*self.term.surveyed.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, ready, text) = match election.stage() {
            Stage::Outside => ("connecting", false, "finding its place among the coordinators".to_owned()),
            Stage::StandingBy { .. } if is_obstructed(election) => {
                ("standby", false, "standing by: the office belongs to no session, look at /master".to_owned())
            }
            Stage::StandingBy { position, .. } if is_foreign(election) => {
                ("standby", true, format!("standing by at position {position} behind a master of another kind"))
            }
            Stage::StandingBy { position, .. } => ("standby", true, format!("standing by at position {position}{}", ruler(election))),
            Stage::Standing { .. } | Stage::Claiming { .. } => ("candidate", false, "standing for office".to_owned()),
            Stage::Ruling { doubted: true, epoch, .. } => ("suspended", false, format!("in doubt about its office, epoch {epoch}")),
            Stage::Ruling { epoch, .. } if recovering => ("recovering", true, format!("taking over, epoch {epoch}")),
            Stage::Ruling { epoch, .. } => ("leading", true, format!("leading, epoch {epoch}")),
            Stage::Resigning => ("connecting", false, "stepping down".to_owned()),
            Stage::Leaving => ("connecting", false, "stopping".to_owned()),
        };
        self.show(state);
        if !std::mem::replace(&mut self.foreign, is_foreign(election)) && self.foreign {
            warn!("a master of another kind rules: it knows of no epoch, and its writes carry no fence; standing by");
        }
        let confirmed = election.confirmed_epoch();
        // First, so that a scrape in between shows too little rather than too much.
        self.shown.until(election.confirmed_until());
        gauge!(names::MASTER_IS_ACTIVE).set(f64::from(u8::from(confirmed.is_some())));
        gauge!(names::MASTER_ELECTED_TIMESTAMP_SECONDS).set(if confirmed.is_some() { self.elected } else { 0.0 });
        let seen = election.office().and_then(|office| office.epoch.as_ref()).map_or(0, |(version, _)| *version);
        gauge!(names::MASTER_EPOCH).set(f64::from(confirmed.unwrap_or(seen)));
        (ready, text)
    }

    fn show(&mut self, state: &'static str) {
        if std::mem::replace(&mut self.state, state) != state {
            names::set_one(names::COORDINATOR_STATE, names::label::STATE, &names::COORDINATOR_STATES, state);
        }
    }

    pub(crate) fn tell(&mut self, fact: &election::Fact, election: &Election) {
        match fact {
            election::Fact::Elected { .. } => self.elected(election),
            election::Fact::NotElected => counter!(names::ELECTIONS_TOTAL, "result" => "lost").increment(1),
            election::Fact::FoundInOffice => {
                counter!(names::ELECTIONS_TOTAL, "result" => "unknown").increment(1);
                info!("found in office: only the answer to the candidacy was lost");
            }
            election::Fact::OfficeObstructed => {
                error!("the office belongs to no session, so that nobody can rule; look at /master, then delete it");
            }
            election::Fact::WentBackwards { seen, found } => {
                error!(seen, found, "zookeeper state went backwards: the epoch is lower than one that was seen");
            }
        }
    }

    fn elected(&mut self, election: &Election) {
        counter!(names::ELECTIONS_TOTAL, "result" => "won").increment(1);
        self.elected = clock::wall().as_millisecond() as f64 / 1000.0;
        if let Some(reason) = previous_end(election) {
            counter!(names::FAILOVERS_TOTAL, "reason" => reason).increment(1);
        }
        if let Some((since, _)) = self.vacancy.take() {
            histogram!(names::FAILOVER_DURATION_SECONDS, "phase" => "election").record(since.elapsed());
        }
        self.term = TermClock { began: Some(Instant::now()), surveyed: Arc::default(), shown: self.shown.clone() };
    }

    pub(crate) fn ended(&mut self, end: End) {
        let reason = match end {
            End::SessionLost => "session_lost",
            End::Fenced => "fenced",
            End::SteppedDown => "stepped_down",
        };
        match end {
            End::SteppedDown => info!(reason, "the term is over"),
            End::SessionLost | End::Fenced => warn!(reason, "the term is over"),
        }
        counter!(names::LEADERSHIP_LOST_TOTAL, "reason" => reason).increment(1);
        self.elected = 0.0;
        self.shown.until(None);
        show_no_office();
        self.term = TermClock::default();
    }
}

/// Who rules, as far as a standby knows.
fn ruler(election: &Election) -> String {
    let holder = election.office().and_then(|office| office.holder.as_ref());
    let record = holder.and_then(|holder| serde_json::from_slice::<CoordinatorRecord>(&holder.data).ok());
    match record {
        Some(CoordinatorRecord { name, epoch: Some(epoch), .. }) => format!("; {name} rules, epoch {epoch}"),
        Some(CoordinatorRecord { name, epoch: None, .. }) => format!("; {name} rules"),
        None => String::new(),
    }
}

/// Whether `/master` is persistent, so that nobody can rule.
fn is_obstructed(election: &Election) -> bool {
    election.office().and_then(|office| office.holder.as_ref()).is_some_and(|holder| holder.owner == 0)
}

/// Whether who rules is none of ours.
fn is_foreign(election: &Election) -> bool {
    let ours = |data: &[u8]| serde_json::from_slice::<CoordinatorRecord>(data).is_ok();
    election.office().and_then(|office| office.holder.as_ref()).is_some_and(|holder| holder.owner != 0 && !ours(&holder.data))
}

/// Why the term before this one ended, if there was one.
fn previous_end(election: &Election) -> Option<&'static str> {
    let office = election.office()?;
    let history = History::decode(&office.epoch.as_ref()?.1);
    let previous = history.terms.last()?.epoch;
    let farewell = serde_json::from_slice::<Farewell>(&office.farewell).ok();
    Some(if farewell.is_some_and(|said| said.epoch == previous) { "stepped_down" } else { "session_ended" })
}

/// What a process shows that is not in office, or not sure of it.
fn show_no_office() {
    gauge!(names::MASTER_IS_ACTIVE).set(0.0);
    gauge!(names::MASTER_ELECTED_TIMESTAMP_SECONDS).set(0.0);
    zero_gauges();
}

fn zero_gauges() {
    for state in names::TASK_STATES {
        gauge!(names::TASKS, "state" => state).set(0.0);
    }
    for state in names::WORKER_STATES {
        gauge!(names::WORKERS, "state" => state).set(0.0);
    }
    for state in names::ELEMENT_STATES {
        gauge!(names::ARRAY_ELEMENTS, "state" => state).set(0.0);
    }
    gauge!(names::OLDEST_PENDING_TASK_AGE_SECONDS).set(0.0);
    gauge!(names::MASTER_PAUSED).set(0.0);
    gauge!(names::ADMISSION_CLOSED).set(0.0);
}

/// How many of several tasks are named in a line of the log.
const FIRST: usize = 5;

/// What a term looks like from outside.
pub(crate) struct MasterObserver {
    term: TermClock,
    resynced: bool,
    assigned: bool,
    paused: bool,
    /// When assignments were sent.
    writes: HashMap<u64, Instant>,
    unknowns: Unknowns,
}

impl MasterObserver {
    pub(crate) fn new(term: TermClock) -> Self {
        Self { term, resynced: false, assigned: false, paused: false, writes: HashMap::new(), unknowns: Unknowns::default() }
    }

    pub(crate) fn started(&self) -> bool {
        self.resynced
    }

    pub(crate) fn resync(&mut self, cause: &'static str) {
        self.resynced = true;
        self.writes.clear();
        self.unknowns.resync();
        counter!(names::RESYNCS_TOTAL, "cause" => cause).increment(1);
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
        zero_gauges();
        warn!("writing is suspended until the office is proven again");
    }

    pub(crate) fn resume(&mut self) {
        self.paused = false;
        info!("the office is proven again");
    }

    pub(crate) fn end(&mut self) {
        self.paused = true;
        self.unknowns.end();
        zero_gauges();
    }

    pub(crate) fn writing(&mut self, id: u64, op: &'static str, multi: &Multi) {
        self.unknowns.writing(id, op, multi);
        if op == "assign" {
            self.writes.insert(id, Instant::now());
        }
    }

    pub(crate) fn write_ended(&mut self, event: &Event) {
        let Event::WriteEnded(id, outcome) = event else { return };
        self.unknowns.ended(*id, outcome);
        if let Some(sent) = self.writes.remove(id) {
            histogram!(names::TASK_ASSIGN_DURATION_SECONDS).record(sent.elapsed());
        }
    }

    /// After core took something in: what became of writes without an answer shows once everything was read again.
    pub(crate) fn look_at(&mut self, master: &Master) {
        if master.knows_all() {
            self.unknowns.surveyed(master.view());
        }
    }

    pub(crate) fn gauges(&self, master: &Master) {
        if self.paused || self.term.shown.is_over() {
            return;
        }
        let counts = master.view().counts();
        let unusable = counts.workers.saturating_sub(counts.usable + counts.draining + counts.drained);
        gauge!(names::TASKS, "state" => "pending").set(counts.pending as f64);
        gauge!(names::TASKS, "state" => "held").set(counts.held as f64);
        gauge!(names::TASKS, "state" => "assigned").set(counts.assigned as f64);
        let elements = master.elements();
        gauge!(names::ARRAY_ELEMENTS, "state" => "waiting").set(elements.waiting as f64);
        gauge!(names::ARRAY_ELEMENTS, "state" => "assigned").set(elements.assigned as f64);
        gauge!(names::WORKERS, "state" => "active").set(counts.usable as f64);
        gauge!(names::WORKERS, "state" => "draining").set(counts.draining as f64);
        gauge!(names::WORKERS, "state" => "unusable").set(unusable as f64);
        gauge!(names::WORKERS, "state" => "drained").set(counts.drained as f64);
        gauge!(names::MASTER_PAUSED).set(f64::from(u8::from(master.view().halted)));
        gauge!(names::ADMISSION_CLOSED).set(master.closed().len() as f64);
        gauge!(names::OLDEST_PENDING_TASK_AGE_SECONDS).set(master.oldest_age(clock::now()).as_secs_f64());
    }

    pub(crate) fn tell(&mut self, fact: &Fact) {
        match fact {
            Fact::Assigned { task, worker, waited } => {
                debug!(%task, %worker, "assigned");
                counter!(names::TASKS_ASSIGNED_TOTAL).increment(1);
                histogram!(names::TASK_QUEUE_DURATION_SECONDS).record(*waited);
                if !std::mem::replace(&mut self.assigned, true) {
                    self.phase("first_assignment");
                }
            }
            Fact::PieceGiven { piece, worker, elements } => {
                debug!(%piece, %worker, elements, "piece given out");
                counter!(names::ARRAY_PIECES_ASSIGNED_TOTAL).increment(1);
                if !std::mem::replace(&mut self.assigned, true) {
                    self.phase("first_assignment");
                }
            }
            Fact::ElementsEnded(ended) => elements_ended(ended),
            Fact::ArrayEnded { array, outcome } => {
                info!(%array, %outcome, "array ended");
                counter!(names::ARRAYS_ENDED_TOTAL, "result" => array_result(*outcome)).increment(1);
            }
            Fact::ArrayMended { array, elements } => {
                error!(%array, elements, "what is kept of an array was changed by hand; elements that were nowhere wait again");
                counter!(names::ARRAY_DAMAGES_TOTAL, "result" => "mended").increment(1);
            }
            Fact::ArrayDamaged { path } => {
                error!(path, "a node of an array says nothing that can be read; the array waits until somebody mends it, or deletes it");
                counter!(names::ARRAY_DAMAGES_TOTAL, "result" => "left").increment(1);
            }
            Fact::Ended { task, outcome } => {
                info!(%task, %outcome, "ended by the master");
                counter!(names::TASKS_ENDED_TOTAL, "result" => ending(*outcome)).increment(1);
            }
            Fact::TakenBack { task, worker } => {
                info!(%task, %worker, "taken back from a worker that is gone");
                counter!(names::RECOVERED_TASKS_TOTAL, "from" => "gone_worker").increment(1);
            }
            Fact::WorkerJoined(worker) => {
                info!(%worker, "worker joined");
                counter!(names::WORKER_JOINS_TOTAL).increment(1);
            }
            Fact::WorkerLost { worker, drained: true } => {
                info!(%worker, "worker left");
                counter!(names::WORKER_LOSSES_TOTAL, "reason" => "stopped").increment(1);
            }
            Fact::WorkerLost { worker, drained: false } => {
                warn!(%worker, "worker gone");
                counter!(names::WORKER_LOSSES_TOTAL, "reason" => "vanished").increment(1);
            }
            Fact::WorkerSilent { worker, task } => warn!(
                %worker,
                %task,
                "the worker should have ended this task long ago and says nothing; the task ends as timed out, and what it started may still run"
            ),
            Fact::WorkerUnusable { worker, why } => warn!(%worker, why, "worker is given no work"),
            Fact::Stuck { task, why } => warn!(%task, %why, "task cannot be moved, and is left where it is"),
            Fact::Surprised { path, why } => warn!(path, %why, "zookeeper refused a write that should have been possible"),
            Fact::LayoutDamaged(node) => error!(node, "a node of the layout was deleted; it is created again"),
            Fact::TasksLost { worker, tasks } => {
                let first: Vec<&str> = tasks.iter().take(FIRST).map(|task| task.as_str()).collect();
                let first = first.join(", ");
                error!(%worker, lost = tasks.len(), first, "the box of a worker was deleted with tasks in it; they are gone");
            }
            Fact::Halted(true) => warn!("paused: nothing is assigned until somebody resumes"),
            Fact::Halted(false) => info!("resumed: tasks are assigned again"),
            Fact::Draining { name, drains: true } => info!(worker = name, "worker drains: it is given nothing more"),
            Fact::Draining { name, drains: false } => info!(worker = name, "worker drains no more"),
            Fact::Recalled { worker, most } => {
                debug!(%worker, most, "asked to give tasks back that others could start");
                counter!(names::RECALLS_TOTAL).increment(1);
            }
            Fact::Closed(closure) => warn!(why = %closure, "such work is kept out until there is room"),
            Fact::Opened => info!("work may come in again"),
            Fact::Swept(results) => {
                warn!(results, "results older than /tasks were deleted: it was created anew, and its numbers start over");
                counter!(names::SWEPT_RESULTS_TOTAL).increment(*results);
            }
            Fact::Surveyed(counts) => {
                *self.term.surveyed.lock().unwrap_or_else(PoisonError::into_inner) = true;
                info!(pending = counts.pending, held = counts.held, assigned = counts.assigned, workers = counts.workers, "took over");
                counter!(names::RECOVERED_TASKS_TOTAL, "from" => "pending").increment(counts.pending as u64);
                counter!(names::RECOVERED_TASKS_TOTAL, "from" => "held").increment(counts.held as u64);
                counter!(names::RECOVERED_TASKS_TOTAL, "from" => "assigned").increment(counts.assigned as u64);
                self.phase("recovery");
            }
            Fact::Differences(differences) => {
                counter!(names::RESYNCS_TOTAL, "cause" => "periodic").increment(1);
                counter!(names::RESYNC_DIFFERENCES_TOTAL).increment(*differences);
                if *differences > 0 {
                    warn!(differences, "the periodic comparison found what no watch had told");
                }
            }
        }
    }

    fn phase(&self, phase: &'static str) {
        if let Some(began) = self.term.began {
            histogram!(names::FAILOVER_DURATION_SECONDS, "phase" => phase).record(began.elapsed());
        }
    }
}

fn array_result(outcome: TaskOutcome) -> &'static str {
    match outcome {
        TaskOutcome::Succeeded => "succeeded",
        TaskOutcome::TimedOut => "timed-out",
        TaskOutcome::Cancelled => "cancelled",
        TaskOutcome::Failed | TaskOutcome::Rejected | TaskOutcome::Dead => "failed",
    }
}

fn elements_ended(ended: &Tally) {
    let Tally { succeeded, failed, timed_out, rejected, cancelled, dead } = *ended;
    for (result, count) in names::ELEMENT_RESULTS.into_iter().zip([succeeded, failed, timed_out, rejected, cancelled, dead]) {
        counter!(names::ARRAY_ELEMENTS_ENDED_TOTAL, "result" => result).increment(u64::from(count));
    }
}

fn ending(outcome: TaskOutcome) -> &'static str {
    match outcome {
        TaskOutcome::Cancelled => "cancelled",
        TaskOutcome::Dead => "dead",
        TaskOutcome::TimedOut => "timed-out",
        TaskOutcome::Rejected | TaskOutcome::Succeeded | TaskOutcome::Failed => "rejected",
    }
}
