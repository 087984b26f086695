//! A piece of an array while its elements run one after another: which one is next, and what is recorded of those that are done.
//!
//! Pure: the worker's executor feeds it. An element that was stopped is not done, and goes back with those behind it. A piece that takes
//! long is cut short between two elements, so that its progress is durable and others may have the rest.

use std::time::Duration;

use jiff::Timestamp;

use crate::lifecycle::{Ending, Ran, RetryDefaults, RetryReason};
use crate::protocol::array::{ElementDetails, ElementEnd, PieceOrder, PieceRecord, Span};
use crate::protocol::payload::Task;
use crate::protocol::result::{OutputPlace, Stream};
use crate::protocol::{PROTOCOL_VERSION, WorkerId};

/// For how long a piece runs before what is left of it goes back.
const CUT_AFTER: Duration = Duration::from_secs(2);
/// How many bytes of values a record holds before the piece is cut.
const VALUES_BYTES_MAX: usize = 32 * 1024;
/// How many bytes of outputs of elements that failed a record holds.
const TAILS_BYTES_MAX: usize = 12 * 1024;
/// How many bytes of one output.
const TAIL_BYTES_MAX: usize = 1024;
/// Longest reason of an element.
const REASON_MAX: usize = 300;

/// How far a piece is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Progress {
    order: PieceOrder,
    next: u32,
    runs: Vec<(ElementEnd, u32)>,
    again: Vec<Span>,
    details: Vec<ElementDetails>,
    values: usize,
    tails: usize,
    took: Duration,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    output: Option<OutputPlace>,
    stopped: bool,
}

impl Progress {
    /// Nothing is done.
    #[must_use]
    pub fn new(order: PieceOrder) -> Self {
        Self {
            next: order.from,
            order,
            runs: Vec::new(),
            again: Vec::new(),
            details: Vec::new(),
            values: 0,
            tails: 0,
            took: Duration::ZERO,
            started: None,
            ended: None,
            output: None,
            stopped: false,
        }
    }

    /// The element that is to be run now; `None`: the piece is over.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        let done = self.next != self.order.from;
        let cut = self.stopped || (done && (self.took >= CUT_AFTER || self.values >= VALUES_BYTES_MAX));
        (!cut && self.next <= self.order.to).then_some(self.next)
    }

    /// Nothing more is started.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// The next element did nothing and succeeded, at this time.
    pub fn pass(&mut self, at: Timestamp) {
        self.started.get_or_insert(at);
        self.ended = Some(at);
        self.push(ElementEnd::Exit(0));
    }

    /// The next element ran.
    pub fn take(&mut self, ran: &Ran, task: &Task, defaults: &RetryDefaults) {
        let Some(end) = end_of(&ran.ending) else { return self.stop() };
        let element = self.next;
        let took = ran.ended.duration_since(ran.started);
        self.took = self.took.saturating_add(Duration::try_from(took).unwrap_or_default());
        self.started.get_or_insert(ran.started);
        self.ended = Some(ran.ended);
        if self.output.is_none() {
            self.output = ran.output.clone().map(|place| OutputPlace { path: place.path.as_deref().and_then(parent), ..place });
        }
        let tries = RetryReason::of(&ran.ending).is_some() && defaults.wants_retry(&task.envelope, &ran.ending);
        if tries && self.order.failures < defaults.retries_of(&task.envelope) {
            Span::one(element).append(&mut self.again);
        }
        self.note(element, end, ran);
        self.push(end);
    }

    fn push(&mut self, end: ElementEnd) {
        match self.runs.last_mut() {
            Some((last, count)) if *last == end => *count += 1,
            _ => self.runs.push((end, 1)),
        }
        match self.next.checked_add(1) {
            Some(next) => self.next = next,
            None => self.stopped = true,
        }
    }

    /// Of what failed, the reason and the end of the output, as long as there is room; of what returned something, that.
    fn note(&mut self, element: u32, end: ElementEnd, ran: &Ran) {
        let mut details = ElementDetails { element, ..ElementDetails::default() };
        if let Ending::Returned(value) = &ran.ending
            && !value.is_null()
        {
            self.values += value.to_string().len();
            details.value = Some(value.clone());
            return self.details.push(details);
        }
        if end.is_success() || self.tails >= TAILS_BYTES_MAX {
            return;
        }
        details.reason = reason_of(&ran.ending);
        let short = |stream: &Stream| (stream.bytes > 0).then(|| shortened(stream));
        (details.stdout, details.stderr) = (short(&ran.stdout), short(&ran.stderr));
        let bytes = |stream: &Option<Stream>| stream.as_ref().map_or(0, |stream| stream.tail.len());
        self.tails += bytes(&details.stdout) + bytes(&details.stderr) + details.reason.as_ref().map_or(0, String::len) + 64;
        self.details.push(details);
    }

    /// Which elements it is of.
    #[must_use]
    pub fn order(&self) -> &PieceOrder {
        &self.order
    }

    /// What was not run, if anything.
    #[must_use]
    pub fn rest(&self) -> Option<Span> {
        let done: u32 = self.runs.iter().map(|(_, count)| *count).sum();
        let from = self.order.from.saturating_add(done);
        (done < self.order.span().len()).then_some(Span { from, to: self.order.to })
    }

    /// What is recorded. `at`: of a piece of which nothing ran.
    #[must_use]
    pub fn record(
        self,
        task: Option<&Task>,
        worker: &WorkerId,
        epoch: Option<i32>,
        defaults: &RetryDefaults,
        at: Timestamp,
    ) -> PieceRecord {
        let rest = self.rest();
        let delay = task.filter(|_| !self.again.is_empty()).map(|task| {
            let mut envelope = task.envelope.clone();
            envelope.failures = self.order.failures.saturating_add(1);
            defaults.delay(&self.order.name().assignment(&self.order.array), &envelope)
        });
        PieceRecord {
            bellwether: PROTOCOL_VERSION,
            from: self.order.from,
            rest,
            runs: self.runs,
            again: self.again,
            delay_ms: delay.map_or(0, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
            attempt: self.order.attempt(),
            failures: self.order.failures,
            losses: self.order.losses,
            worker: worker.clone(),
            epoch,
            started: self.started.unwrap_or(at),
            ended: self.ended.unwrap_or(at),
            took_us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            output: self.output,
            details: self.details,
        }
    }
}

/// `None`: it was stopped, and is not done.
fn end_of(ending: &Ending) -> Option<ElementEnd> {
    Some(match ending {
        Ending::Exited(code) => ElementEnd::Exit(*code),
        Ending::Signalled(signal) => ElementEnd::Signal(*signal),
        Ending::TimedOut | Ending::Stuck => ElementEnd::TimedOut,
        Ending::NotStarted { exit, .. } | Ending::Errored { exit, .. } => ElementEnd::Exit(*exit),
        Ending::Rejected(_) => ElementEnd::Rejected,
        Ending::Returned(_) => ElementEnd::Exit(0),
        Ending::Killed => return None,
    })
}

fn reason_of(ending: &Ending) -> Option<String> {
    let reason = match ending {
        Ending::NotStarted { why, .. } | Ending::Errored { why, .. } => why.clone(),
        Ending::Rejected(why) => format!("{}: {why}", why.word()),
        Ending::TimedOut | Ending::Stuck => "it ran longer than it may".to_owned(),
        Ending::Exited(_) | Ending::Signalled(_) | Ending::Returned(_) | Ending::Killed => return None,
    };
    Some(reason.chars().take(REASON_MAX).collect())
}

fn shortened(stream: &Stream) -> Stream {
    let bytes = stream.tail_bytes();
    let from = bytes.len().saturating_sub(TAIL_BYTES_MAX);
    Stream::of_tail(&bytes[from..], stream.bytes)
}

/// The directory in which the elements have one each.
fn parent(path: &str) -> Option<String> {
    path.rsplit_once('/').map(|(parent, _)| parent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{TaskName, payload};

    fn order(from: u32, to: u32, failures: u32) -> PieceOrder {
        PieceOrder { array: TaskName::listed("a"), czxid: 1, from, to, number: 1, failures, losses: 0 }
    }

    fn task(more: &str) -> Task {
        payload::decode(format!(r#"{{"bellwether":1,"argv":["x"]{more}}}"#).as_bytes()).expect("a task")
    }

    fn ran(ending: Ending, seconds: i64) -> Ran {
        let (started, ended) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).expect("a time"));
        let output = Some(OutputPlace { path: Some("/o/a.3".into()), http: Some("w:1".into()), ..OutputPlace::default() });
        Ran { ending, started, ended, dead: None, stdout: Stream::default(), stderr: Stream::of_tail(b"why", 3), output }
    }

    fn record(progress: Progress, task: &Task) -> PieceRecord {
        progress.record(Some(task), &WorkerId::listed("w"), Some(7), &RetryDefaults::default(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_failed_is_tried_again_as_long_as_it_may_be() {
        let task = task(r#","retries":1"#);
        let run = |failures| {
            let mut progress = Progress::new(order(3, 5, failures));
            for code in [0, 1, 0] {
                progress.take(&ran(Ending::Exited(code), 0), &task, &RetryDefaults::default());
            }
            assert_eq!(progress.next(), None);
            record(progress, &task)
        };
        let first = run(0);
        assert_eq!(first.runs, [(ElementEnd::Exit(0), 1), (ElementEnd::Exit(1), 1), (ElementEnd::Exit(0), 1)]);
        assert_eq!((first.again.as_slice(), first.rest, first.delay_ms >= 1000), (&[Span::one(4)][..], None, true));
        assert_eq!(
            first.details.iter().map(|of| (of.element, of.stderr.as_ref().map(|s| s.tail.as_str()))).collect::<Vec<_>>(),
            [(4, Some("why"))]
        );
        assert_eq!(first.output.and_then(|place| place.path).as_deref(), Some("/o"));
        let last = run(1);
        assert_eq!((last.again.len(), last.delay_ms, last.attempt), (0, 0, 2));
    }

    #[test]
    fn what_was_stopped_goes_back_with_all_behind_it() {
        let task = task("");
        let mut progress = Progress::new(order(0, 9, 0));
        progress.take(&ran(Ending::Exited(0), 0), &task, &RetryDefaults::default());
        progress.take(&ran(Ending::Killed, 0), &task, &RetryDefaults::default());
        assert_eq!(progress.next(), None);
        assert_eq!(record(progress, &task).rest, Some(Span { from: 1, to: 9 }));
        let untouched =
            Progress::new(order(0, 9, 0)).record(None, &WorkerId::listed("w"), None, &RetryDefaults::default(), Timestamp::UNIX_EPOCH);
        assert_eq!((untouched.rest, untouched.done()), (Some(Span { from: 0, to: 9 }), 0));
    }

    #[test]
    fn a_piece_that_takes_long_is_cut_between_two_elements_and_never_before_the_first() {
        let task = task("");
        let mut progress = Progress::new(order(0, 9, 0));
        assert_eq!(progress.next(), Some(0));
        progress.take(&ran(Ending::Exited(0), 1), &task, &RetryDefaults::default());
        assert_eq!(progress.next(), Some(1));
        progress.take(&ran(Ending::Exited(0), 1), &task, &RetryDefaults::default());
        assert_eq!(progress.next(), None);
        assert_eq!(record(progress, &task).rest, Some(Span { from: 2, to: 9 }));
    }

    #[test]
    fn a_record_stays_small_whatever_fails_and_is_cut_for_what_is_returned() {
        let task = task("");
        let mut progress = Progress::new(order(0, 4095, 0));
        while progress.next().is_some() {
            let code = i32::try_from(progress.next % 2).unwrap_or(0);
            let noisy = Ran { stderr: Stream::of_tail(&[b'x'; 4000], 9000), ..ran(Ending::Exited(code), 0) };
            progress.take(&noisy, &task, &RetryDefaults::default());
        }
        let whole = record(progress, &task);
        assert_eq!((whole.done(), whole.rest), (4096, None));
        assert!(whole.encode().len() < 64 * 1024, "{}", whole.encode().len());
        let mut progress = Progress::new(order(0, 4095, 0));
        while progress.next().is_some() {
            progress.take(&ran(Ending::Returned(serde_json::json!("v".repeat(998))), 0), &task, &RetryDefaults::default());
        }
        let cut = record(progress, &task);
        assert_eq!((cut.done(), cut.details.len()), (33, 33), "each value is kept");
    }
}
