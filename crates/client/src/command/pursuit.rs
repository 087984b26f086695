//! Showing what a task writes: while it runs, wherever it runs, and the rest of it when it has ended. Nothing is shown twice, and nothing
//! is left out without a word.
//!
//! What lives here: from which worker the output of which attempt is read, and what is said about it. What does not: one output and how
//! far it was shown (`lane`).

mod lane;

use std::convert::Infallible;
use std::time::Duration;

use bellwether_client::{Client, OutputError, OutputReader, TaskState};
use bellwether_common::output::StreamName;
use bellwether_common::output::store::{OutputStore, StoreError};
use bellwether_core::protocol::result::{Stream, TaskResult};
use bellwether_core::protocol::{TaskName, WorkerId};

use super::context::Context;
use super::failure::Failure;
use lane::{Lane, Sink, Source};

/// When it is first looked who runs a task: short ones have ended by then, and cost no question.
const FIRST_LOOK: Duration = Duration::from_millis(150);
/// The longest time between two looks, while nobody runs it.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether it still runs where it is read.
const STILL_THERE: Duration = Duration::from_secs(2);

/// An attempt and who runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Runner {
    pub(crate) attempt: u32,
    pub(crate) worker: WorkerId,
}

/// Which outputs of a task are shown, and how far they were.
pub(crate) struct Pursuit<'a> {
    ctx: &'a Context,
    client: &'a Client,
    reader: OutputReader,
    task: TaskName,
    lanes: Vec<Lane>,
    runner: Option<Runner>,
    /// Whether it was said that the output cannot be read where it is written.
    troubled: bool,
    /// Of the first attempt that is met, only so many lines.
    tail: Option<u64>,
}

impl<'a> Pursuit<'a> {
    /// Nothing was shown yet. What is written to stdout goes to stdout, and the same with stderr.
    pub(crate) fn new(ctx: &'a Context, client: &'a Client, task: &TaskName) -> Self {
        let lanes = vec![Lane::new(StreamName::Stdout, Sink::Stdout), Lane::new(StreamName::Stderr, Sink::Stderr)];
        let reader = OutputReader::new(ctx.settings.http.token.clone());
        Self { ctx, client, reader, task: task.clone(), lanes, runner: None, troubled: false, tail: None }
    }

    /// Whose output it is.
    pub(crate) fn task(&self) -> &TaskName {
        &self.task
    }

    /// Only standard error, on our standard output.
    pub(crate) fn only_stderr(mut self) -> Self {
        self.lanes = vec![Lane::new(StreamName::Stderr, Sink::Stdout)];
        self
    }

    /// At first only the last lines of what there is.
    pub(crate) fn tail(mut self, lines: Option<u64>) -> Self {
        self.tail = lines;
        self
    }

    /// Shows what the task writes, for as long as this is awaited. May be dropped at any time, and begun again.
    pub(crate) async fn chase(&mut self) -> Infallible {
        let mut pause = FIRST_LOOK;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK);
            // Whoever waits for the end hears why there is no answer.
            let Ok(view) = self.client.status(&self.task).await else { continue };
            if let (TaskState::Assigned, Some(worker)) = (view.state, view.worker) {
                self.meet(Runner { attempt: view.attempt, worker });
                self.follow().await;
            }
        }
    }

    /// From now on this is the attempt that is shown. What was shown of another is no beginning of it.
    pub(crate) fn meet(&mut self, runner: Runner) {
        if self.runner.as_ref() == Some(&runner) {
            return;
        }
        if self.runner.is_some() {
            self.lanes.iter_mut().for_each(|lane| lane.start_over(self.ctx));
            self.ctx.printer.note(&format!("{} goes on as attempt {} on {}", self.task, runner.attempt, runner.worker));
            (self.troubled, self.tail) = (false, None);
        }
        self.runner = Some(runner);
    }

    /// Until the attempt has ended, or is nowhere to be read, or was given to somebody else.
    async fn follow(&mut self) {
        let Some(runner) = self.runner.clone() else { return };
        let address = match self.client.pages_of(&runner.worker).await {
            Ok(Some(address)) => address,
            Ok(None) | Err(_) => return,
        };
        let (client, task, tail) = (self.client, &self.task, self.tail);
        let source = Source { ctx: self.ctx, reader: &self.reader, address: &address, task, attempt: runner.attempt };
        let shown = futures::future::try_join_all(self.lanes.iter_mut().map(|lane| lane.follow(source, tail)));
        let gone = async {
            loop {
                tokio::time::sleep(STILL_THERE).await;
                if matches!(client.is_assigned(task, &runner.worker).await, Ok(false)) {
                    break;
                }
            }
        };
        let shown = tokio::select! {
            shown = shown => shown,
            () = gone => return,
        };
        match shown {
            // It has ended: what comes next is its result.
            Ok(_) => self.tail = None,
            // It was given to the worker, which has not begun.
            Err(OutputError::Refused { status: 404, .. }) => {}
            Err(error) if !self.troubled => {
                self.troubled = true;
                let (why, way) = explain(&error);
                self.ctx.printer.note(&format!(
                    "the output of {} cannot be followed on {}: {why}; {way}; its end is shown when it has ended",
                    self.task, runner.worker
                ));
            }
            Err(_) => {}
        }
    }

    /// Shows what was not shown yet of the attempt that ended the task.
    pub(crate) async fn finish(&mut self, result: &TaskResult) {
        if let Some(worker) = &result.worker {
            self.meet(Runner { attempt: result.attempt, worker: worker.clone() });
        }
        let mut lanes = std::mem::take(&mut self.lanes);
        for lane in &mut lanes {
            let stream = match lane.name {
                StreamName::Stdout => &result.stdout,
                StreamName::Stderr => &result.stderr,
            };
            if let Some(stream) = stream.as_ref().filter(|_| !lane.is_unread()) {
                self.rest(lane, stream, result).await;
            }
            lane.end(self.ctx);
        }
        self.lanes = lanes;
    }

    /// From the result, if that holds all that is missing; else from where the whole lies; else what the result holds.
    async fn rest(&mut self, lane: &mut Lane, stream: &Stream, result: &TaskResult) {
        let kept = stream.tail_bytes();
        if lane.show_end(self.ctx, &kept, stream.bytes, self.tail) {
            return;
        }
        let mut why = None;
        for address in self.places(result).await {
            let before = stream.bytes - (kept.len() as u64).min(stream.bytes);
            match lane.fetch(self.source(&address, result.attempt), self.tail, before).await {
                Ok(()) => {
                    lane.jump(self.ctx, before);
                    return lane.show_kept(self.ctx, &kept, stream.bytes);
                }
                Err(error) => why = why.or(Some(error)),
            }
        }
        match self.shipped(lane, result, stream, &kept).await {
            Some(Ok(())) => return,
            Some(Err(error)) => self.ctx.printer.note(&format!("{}: the store cannot be read: {error}", lane.name)),
            None => {}
        }
        let missing = lane.missing_before(&kept, stream.bytes);
        let (why, way) = why
            .as_ref()
            .map_or_else(|| ("its worker is gone".to_owned(), "what was kept there is served again when it is back".to_owned()), explain);
        self.ctx.printer.note(&format!("{}: {missing} bytes before the last {} cannot be read: {why}; {way}", lane.name, kept.len()));
        lane.show_kept(self.ctx, &kept, stream.bytes);
    }

    /// From the store that it was shipped to; `None` if it was not.
    async fn shipped(&self, lane: &mut Lane, result: &TaskResult, stream: &Stream, kept: &[u8]) -> Option<Result<(), StoreError>> {
        let place = result.output.as_ref()?.store.as_ref()?;
        let read = async {
            let store = OutputStore::open(place)?;
            lane.read_store(self.ctx, &store, result.attempt, self.tail, stream.bytes, kept).await
        };
        Some(read.await)
    }

    /// Shows an earlier attempt from the store that the task was shipped to.
    pub(crate) async fn fetch_shipped(&mut self, place: &str, attempt: u32) -> Result<(), StoreError> {
        let store = OutputStore::open(place)?;
        for lane in &mut self.lanes {
            lane.read_store(self.ctx, &store, attempt, self.tail, u64::MAX, &[]).await?;
            lane.end(self.ctx);
        }
        Ok(())
    }

    /// Where the whole may be served: by the worker as it is registered now, and as it was.
    async fn places(&self, result: &TaskResult) -> Vec<String> {
        let mut places = Vec::new();
        if let Some(worker) = &result.worker {
            places.extend(self.client.pages_of(worker).await.ok().flatten());
        }
        places.extend(result.output.as_ref().and_then(|output| output.http.clone()).filter(|http| !places.contains(http)));
        places
    }

    /// Shows what there is of an attempt at this address, without waiting for more.
    pub(crate) async fn fetch(&mut self, address: &str, attempt: u32) -> Result<(), OutputError> {
        let source = Source { ctx: self.ctx, reader: &self.reader, address, task: &self.task, attempt };
        for lane in &mut self.lanes {
            lane.fetch(source, self.tail, u64::MAX).await?;
            lane.end(self.ctx);
        }
        Ok(())
    }

    fn source<'b>(&'b self, address: &'b str, attempt: u32) -> Source<'b> {
        Source { ctx: self.ctx, reader: &self.reader, address, task: &self.task, attempt }
    }
}

/// Why an output cannot be read, and what to do about it.
pub(crate) fn explain(error: &OutputError) -> (String, String) {
    let reach = "let http.listen and http.advertise in the worker's configuration be an address that this machine reaches, with a token in http.token_file";
    match error {
        OutputError::Unreachable { .. } => (error.to_string(), reach.to_owned()),
        OutputError::Refused { status: 404, .. } => (error.to_string(), "if another worker answers there, mend http.advertise".to_owned()),
        OutputError::Refused { hint, .. } => (error.to_string(), hint.clone().unwrap_or_else(|| "try again later".to_owned())),
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        let (why, way) = explain(&error);
        let word = match error {
            OutputError::Unreachable { .. } => "unreachable",
            OutputError::Refused { status: 404, .. } => "no-such-output",
            OutputError::Refused { .. } => "refused",
        };
        Self::error(word, why).hint(way)
    }
}
