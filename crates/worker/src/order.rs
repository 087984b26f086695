//! Between core and the executor: an order becomes a run, and how a run ended becomes what core knows of it. Pure.

use std::time::Duration;

use bellwether_core::agent::Order;
use bellwether_core::lifecycle::{Ending, Ran, RunId};
use bellwether_core::protocol::array::PieceOrder;
use bellwether_core::protocol::payload::{Command, Envelope, Rejection};
use bellwether_core::protocol::result::{OutputPlace, Stream};
use jiff::Timestamp;
use serde_json::Value;

use crate::executor::{Element, ElementRun, Program, Report, Run, RunEnded, Tail, TypedCall};

/// The kind that every worker knows: it does nothing, and succeeds.
pub(crate) const NOOP: &str = "noop";

/// What the names of our own variables begin with. A task does not choose these: by them its processes are recognised.
const OURS: &str = "BELLWETHER";

/// Where programs look for the trace that they belong to.
const TRACE: &str = "TRACEPARENT";

/// The run that an order asks for. `default_timeout` is for tasks that name none; zero, here and there, is for as long as it likes.
pub(crate) fn run_of(order: &Order, default_timeout: Duration) -> Run {
    let envelope = &order.task.envelope;
    let timeout = envelope.timeout_ms.map_or(default_timeout, Duration::from_millis);
    Run {
        id: order.id.clone(),
        attempt: envelope.attempt(),
        program: match &order.task.command {
            Command::Argv(words) => Program::Argv(words.clone()),
            Command::Shell(line) => Program::Shell(line.clone()),
            Command::Typed { kind, .. } if kind == NOOP => Program::Noop,
            Command::Typed { kind, input } => Program::Typed(call_of(kind, input, order)),
        },
        env: environment(order, envelope),
        cwd: envelope.cwd.clone(),
        stdin: envelope.stdin.clone().map(String::into_bytes),
        timeout: (!timeout.is_zero()).then_some(timeout),
    }
}

/// The run that an order for a piece asks for, of one of its elements, with its line if it has one.
pub(crate) fn run_of_element(order: &Order, piece: &PieceOrder, element: u32, line: Option<&str>, default_timeout: Duration) -> Run {
    let mut run = run_of(order, default_timeout);
    run.id = RunId { task: piece.array.element(element), czxid: order.id.czxid };
    run.attempt = piece.attempt();
    let replaced = ["TASK", "ATTEMPT"].map(|name| format!("{OURS}_{name}"));
    run.env.retain(|(name, _)| !replaced.contains(name));
    let mut ours = |name: &str, value: String| run.env.push((format!("{OURS}_{name}"), value));
    ours("TASK", run.id.task.to_string());
    ours("ATTEMPT", run.attempt.to_string());
    ours("ELEMENT", element.to_string());
    if let Some(line) = line {
        ours("LINE", line.to_owned());
    }
    if let Program::Typed(call) = &mut run.program {
        // A kind that is given the same for all elements, and that is nothing, is given the line of each.
        let line_as_input = line.filter(|_| call.input.is_null()).and_then(|line| serde_json::from_str(line).ok());
        if let Some(input) = line_as_input {
            call.input = input;
        }
        call.element = Some(Element { number: element, line: line.map(str::to_owned) });
    }
    run
}

/// The same for whichever element it is.
pub(crate) fn runs_of_elements(order: Order, piece: PieceOrder, timeout: Duration) -> ElementRun {
    Box::new(move |element, line| run_of_element(&order, &piece, element, line, timeout))
}

fn call_of(kind: &str, input: &Value, order: &Order) -> TypedCall {
    let (worker, trace) = (order.worker.clone(), order.task.envelope.trace.clone());
    TypedCall { kind: kind.to_owned(), input: input.clone(), worker, epoch: order.epoch, trace, element: None }
}

fn environment(order: &Order, envelope: &Envelope) -> Vec<(String, String)> {
    let theirs = envelope.env.iter().filter(|(name, _)| !name.starts_with(OURS));
    let mut environment: Vec<_> = theirs.map(|(name, value)| (name.clone(), value.clone())).collect();
    // Who sets it for the command itself knows better.
    if let Some(trace) = envelope.trace.as_ref().filter(|_| !envelope.env.contains_key(TRACE)) {
        environment.push((TRACE.to_owned(), trace.to_string()));
    }
    let mut ours = |name: &str, value: String| environment.push((format!("{OURS}_{name}"), value));
    ours("TASK", order.id.task.to_string());
    ours("ATTEMPT", envelope.attempt().to_string());
    ours("WORKER", order.worker.to_string());
    if let Some(epoch) = order.epoch {
        ours("EPOCH", epoch.to_string());
    }
    environment
}

/// The end of a run that was never begun.
pub(crate) fn refused(order: &Order, why: Rejection) -> Report {
    Report::Ended(refusal(order.id.clone(), why))
}

/// The same of any run.
pub(crate) fn refusal(id: RunId, why: Rejection) -> Box<RunEnded> {
    let now = Timestamp::now();
    Box::new(RunEnded {
        id,
        how: Ending::Rejected(why),
        stdout: Tail::default(),
        stderr: Tail::default(),
        shipped: None,
        started: now,
        ended: now,
        took: Duration::ZERO,
        dead_at: None,
    })
}

/// What core learns of a run that is over. It ended as long after its start as the monotonic clock says, so that a wall clock that
/// was set meanwhile makes no attempt end before it began.
pub(crate) fn ran_of(ended: RunEnded, http: &str) -> (RunId, Ran) {
    let output = place_of(&ended, http);
    let ran = Ran {
        ending: ended.how,
        started: ended.started,
        ended: ended.started.checked_add(ended.took).unwrap_or(ended.ended),
        dead: ended.dead_at,
        stdout: stream_of(&ended.stdout),
        stderr: stream_of(&ended.stderr),
        output,
    };
    (ended.id, ran)
}

/// Where its output lies, `http` being where we serve it. Nowhere if there was none.
fn place_of(ended: &RunEnded, http: &str) -> Option<OutputPlace> {
    let outputs = [&ended.stdout, &ended.stderr];
    let file = outputs.iter().find_map(|tail| tail.file.as_ref());
    let path = file.and_then(|file| file.parent()).map(|directory| directory.display().to_string());
    let (store, not_shipped) = match &ended.shipped {
        Some(Ok(place)) => (Some(place.clone()), None),
        Some(Err(why)) => (None, Some(why.as_str())),
        None => (None, None),
    };
    let problems: Vec<&str> = outputs.iter().filter_map(|tail| tail.problem.as_deref()).chain(not_shipped).collect();
    let problem = (!problems.is_empty()).then(|| problems.join("; "));
    (path.is_some() || problem.is_some()).then(|| OutputPlace { http: path.as_ref().map(|_| http.to_owned()), path, problem, store })
}

fn stream_of(tail: &Tail) -> Stream {
    Stream::of_tail(&tail.kept, tail.total)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bellwether_core::protocol::{TaskName, WorkerId, payload};

    use super::*;

    fn order(payload: &str, epoch: Option<i32>) -> Order {
        Order {
            id: RunId { task: TaskName::listed("t"), czxid: 7 },
            task: payload::decode(payload.as_bytes()).expect("a task"),
            worker: WorkerId::listed("w-1"),
            epoch,
            piece: None,
        }
    }

    fn set(run: &Run) -> Vec<String> {
        run.env.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn a_plain_line_gets_our_variables_and_the_default_timeout() {
        let run = run_of(&order("sleep 1", None), Duration::from_secs(5));
        assert_eq!(run.program, Program::Shell("sleep 1".into()));
        assert_eq!(set(&run), ["BELLWETHER_TASK=t", "BELLWETHER_ATTEMPT=1", "BELLWETHER_WORKER=w-1"]);
        assert_eq!((run.cwd, run.stdin, run.timeout), (None, None, Some(Duration::from_secs(5))));
        assert_eq!(run_of(&order("sleep 1", None), Duration::ZERO).timeout, None);
    }

    #[test]
    fn a_trace_is_passed_on_unless_the_command_has_its_own() {
        let with = |env: &str| {
            let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            set(&run_of(&order(&format!(r#"{{"bellwether":1,"argv":["a"],"trace":"{trace}"{env}}}"#), None), Duration::ZERO))[0].clone()
        };
        assert_eq!(with(""), "TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(with(r#","env":{"TRACEPARENT":"mine"}"#), "TRACEPARENT=mine");
    }

    #[test]
    fn an_envelope_is_obeyed_but_sets_none_of_our_variables() {
        let envelope = r#"{"bellwether":1,"argv":["a","b"],"env":{"A":"1","BELLWETHER_TASK":"x","BELLWETHER":"y"},
            "cwd":"/tmp","stdin":"in","timeout_ms":20,"losses":2}"#;
        let run = run_of(&order(envelope, Some(9)), Duration::from_secs(5));
        assert_eq!(run.program, Program::Argv(vec!["a".into(), "b".into()]));
        let expected = ["A=1", "BELLWETHER_TASK=t", "BELLWETHER_ATTEMPT=3", "BELLWETHER_WORKER=w-1", "BELLWETHER_EPOCH=9"];
        assert_eq!(set(&run), expected);
        assert_eq!((run.cwd.as_deref(), run.stdin.as_deref()), (Some("/tmp"), Some(b"in".as_slice())));
        assert_eq!(run.timeout, Some(Duration::from_millis(20)));
        let unlimited = run_of(&order(r#"{"bellwether":1,"argv":["a"],"timeout_ms":0}"#, None), Duration::from_secs(5));
        assert_eq!(unlimited.timeout, None);
    }

    #[test]
    fn an_attempt_ends_after_its_start_and_names_the_directory_of_its_output() {
        let file = Some(PathBuf::from("/o/t/1-7.stdout"));
        let tail = Tail { kept: b"out".to_vec(), total: 5, truncated: true, file, problem: None };
        let ended = RunEnded {
            id: RunId { task: TaskName::listed("t"), czxid: 7 },
            how: Ending::Exited(0),
            stdout: tail,
            shipped: Some(Err("store full".into())),
            stderr: Tail { problem: Some("disk full".into()), ..Tail::default() },
            started: Timestamp::from_second(100).expect("a time"),
            ended: Timestamp::from_second(3).expect("a time"),
            took: Duration::from_secs(2),
            dead_at: None,
        };
        let (id, ran) = ran_of(ended, "w:9642");
        assert_eq!((id.czxid, ran.ended), (7, Timestamp::from_second(102).expect("a time")));
        let place = ran.output.expect("there was output");
        assert_eq!(
            (place.path.as_deref(), place.http.as_deref(), place.problem.as_deref()),
            (Some("/o/t"), Some("w:9642"), Some("disk full; store full"))
        );
        assert_eq!((ran.stdout.tail.as_str(), ran.stdout.bytes), ("out", 5));
        assert!(ran.stdout.truncated && !ran.stderr.truncated);
    }
}
