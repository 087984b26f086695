//! A piece of an array: its elements, one after another, each a run like others. One entry among the runs, so that whoever stops it stops the
//! element that runs, and none is begun after that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Handler, Message};
use bellwether_core::agent::PieceRan;
use bellwether_core::lifecycle::{Ran, RetryDefaults};
use bellwether_core::piece::Progress;
use bellwether_core::protocol::array::PieceOrder;
use bellwether_core::protocol::payload::{Rejection, Task};
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::control::{Control, FAMILY};
use super::serve::{Workshop, serve};
use super::stray::Marker;
use super::{Ending, Executor, Program, Report, Run, RunEnded, RunId, Runs, control_of, locked, typed};
use crate::order;

/// The lines of a piece's elements, in order; `None`: they could not be read, and somebody else may try.
pub(crate) type LinesRead = BoxFuture<'static, Option<Vec<Option<String>>>>;

/// How an element is run, by its number and its line.
pub(crate) type ElementRun = Box<dyn Fn(u32, Option<&str>) -> Run + Send + Sync>;

/// Start a piece.
pub(crate) struct StartPiece {
    /// Which assignment.
    pub(crate) id: RunId,
    /// Which elements.
    pub(crate) piece: PieceOrder,
    /// What each of them runs.
    pub(crate) task: Task,
    /// The run of an element.
    pub(crate) run: ElementRun,
    /// If they have lines.
    pub(crate) lines: Option<LinesRead>,
    /// What holds for tasks that do not say when they are tried again.
    pub(crate) retry: RetryDefaults,
    /// Where this worker serves outputs.
    pub(crate) http: String,
    /// Why no element is run.
    pub(crate) refused: Option<Rejection>,
}

impl Message for StartPiece {
    type Result = ();
}

impl Handler<StartPiece> for Executor {
    type Result = ();

    fn handle(&mut self, mut start: StartPiece, _: &mut Self::Context) {
        let (shop, runs, reports) = (Arc::clone(&self.shop), Arc::clone(&self.runs), self.reports.clone());
        let (id, lines) = (start.id.clone(), start.lines.take());
        let elements = Elements::of(shop, Arc::clone(&runs), start);
        locked(&runs).insert(id.clone(), Arc::new(Control::new(Marker::of_run(&[]))));
        self.runtime.spawn(async move {
            let ran = elements.run(lines).await;
            locked(&runs).remove(&id);
            // One for each piece that was started: bounded by the slots.
            reports.do_send(Report::PieceEnded(id, Box::new(ran)));
        });
    }
}

struct Elements {
    shop: Arc<Workshop>,
    runs: Runs,
    id: RunId,
    piece: PieceOrder,
    task: Task,
    make: ElementRun,
    retry: RetryDefaults,
    http: String,
    refused: Option<Rejection>,
}

impl Elements {
    fn of(shop: Arc<Workshop>, runs: Runs, start: StartPiece) -> Self {
        let StartPiece { id, piece, task, run: make, lines: _, retry, http, refused } = start;
        Self { shop, runs, id, piece, task, make, retry, http, refused }
    }

    async fn run(self, lines: Option<LinesRead>) -> PieceRan {
        let mut progress = Progress::new(self.piece.clone());
        let mut ran = PieceRan { progress: progress.clone(), dead: None, killed: false };
        let lines = match lines {
            None => None,
            Some(reading) => match reading.await {
                Some(lines) => Some(lines),
                None => return ran,
            },
        };
        while let Some(element) = progress.next() {
            let index = usize::try_from(element - self.piece.from).unwrap_or(usize::MAX);
            let line = lines.as_ref().and_then(|lines| lines.get(index));
            let ended = match line {
                _ if self.refused.is_some() => self.refused(element),
                // Whoever submitted it did not write it.
                Some(None) => {
                    self.refusal(element, Rejection::BadEnvelope("array: its line is not there, or not as it was submitted".to_owned()))
                }
                Some(Some(line)) => self.element(element, Some(line)).await,
                None => self.element(element, None).await,
            };
            match ended {
                Some(Ended::Passed) => progress.pass(Timestamp::now()),
                Some(Ended::Ran(ended)) => {
                    ran.dead = ended.dead_at;
                    ran.killed = ended.how == Ending::Killed;
                    let (_, ended): (RunId, Ran) = order::ran_of(*ended, &self.http);
                    progress.take(&ended, &self.task, &self.retry);
                }
                None => {
                    progress.stop();
                    ran.killed = true;
                }
            }
        }
        ran.progress = progress;
        ran
    }

    fn refused(&self, element: u32) -> Option<Ended> {
        self.refusal(element, self.refused.clone()?)
    }

    fn refusal(&self, element: u32, why: Rejection) -> Option<Ended> {
        let id = RunId { task: self.piece.array.element(element), czxid: self.id.czxid };
        Some(Ended::Ran(order::refusal(id, why)))
    }

    /// `None`: it was stopped before it was begun.
    async fn element(&self, element: u32, line: Option<&str>) -> Option<Ended> {
        let run = (self.make)(element, line);
        let (control, call) = control_of(&run);
        {
            let mut runs = locked(&self.runs);
            // An order that came between two elements is for the next one.
            if runs.get(&self.id).is_none_or(|before| before.ordered().is_some()) || self.shop.guardian.is_over() {
                return None;
            }
            if run.program == Program::Noop {
                return Some(Ended::Passed);
            }
            runs.insert(self.id.clone(), Arc::clone(&control));
        }
        let first = Arc::new(Mutex::new(None));
        let heard = Arc::clone(&first);
        // Of a handler that is stuck the first word counts; the piece goes on when it has let go of its thread.
        let report = move |report: Report| {
            if let Report::Ended(ended) = report {
                heard.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(ended);
            }
        };
        match call {
            Some(call) => typed::serve(Arc::clone(&self.shop), run, call, control, report).await,
            None => {
                static SERIAL: AtomicU64 = AtomicU64::new(1 << 48);
                let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
                FAMILY.join(serial, Arc::clone(&control));
                serve(Arc::clone(&self.shop), run, control, serial, report).await;
            }
        }
        first.lock().unwrap_or_else(PoisonError::into_inner).take().map(Ended::Ran)
    }
}

enum Ended {
    /// There was nothing to do.
    Passed,
    Ran(Box<RunEnded>),
}
