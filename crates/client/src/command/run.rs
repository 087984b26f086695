//! `bellwether run`: submit, show the output while the task runs, exit with the task's own code.

use bellwether_client::Awaited;
use bellwether_common::config::Output;
use bellwether_core::protocol::result::{Stream, TaskOutcome, TaskResult};

use super::arguments::TaskArgs;
use super::context::Context;
use super::failure::Failure;
use super::pursuit::Pursuit;
use super::{submit, wait};

pub(crate) async fn run(ctx: &Context, task: TaskArgs) -> Result<u8, Failure> {
    ctx.client().await?.expect().await;
    let name = submit::submit(ctx, task).await?;
    ctx.watching(&name);
    if ctx.printer.output == Output::Name {
        ctx.printer.line(name.as_str());
    }
    let mut pursuit = Pursuit::new(ctx, ctx.client().await?, &name);
    let awaited = match ctx.printer.output {
        Output::Table => wait::while_watching(ctx, &name, &mut pursuit).await?,
        Output::Json | Output::Name => wait::until_one_ended(ctx, &name).await?,
    };
    let Awaited::Ended(result) = awaited else {
        return Err(Failure::error("no-such-task", format!("{name} was submitted and is nowhere: somebody removed it")));
    };
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&result),
        Output::Name => {}
        Output::Table => {
            pursuit.finish(&result).await;
            say_its_failure(ctx, &result);
        }
    }
    say_own_outcome(ctx, &result);
    Ok(result.exit_code())
}

/// When the outcome is the task's own: what to type next. Its errors were shown.
fn say_its_failure(ctx: &Context, result: &TaskResult) {
    if result.outcome != TaskOutcome::Succeeded && own_outcome(result).is_none() {
        let task = &result.task;
        ctx.printer.note(&format!("{task} failed, {}; see more with: bellwether result {task}", result.why()));
    }
}

/// What is said when a stream was longer than what is kept of it.
pub(crate) fn truncated(name: &str, stream: &Stream, result: &TaskResult) -> Option<String> {
    let path = result.output.as_ref().and_then(|output| output.path.as_ref());
    let whole = match (path, &result.worker) {
        (Some(path), Some(worker)) => format!("; the whole lies in {path} on the machine of {worker}"),
        _ => String::new(),
    };
    let kept = stream.tail_bytes().len();
    stream.truncated.then(|| format!("{name}: the last {kept} of {} bytes{whole}", stream.bytes))
}

/// The last line on stderr, when the outcome is not the task's own.
pub(crate) fn say_own_outcome(ctx: &Context, result: &TaskResult) {
    if let Some(failure) = own_outcome(result) {
        ctx.printer.error_line(&failure.text());
    }
}

/// What Bellwether says of an outcome that is its own and not the task's: it has the same exit code as some task might.
pub(crate) fn own_outcome(result: &TaskResult) -> Option<Failure> {
    let word = match result.outcome {
        TaskOutcome::Succeeded => return None,
        TaskOutcome::Failed if was_started(result) || result.array.is_some() => return None,
        TaskOutcome::Failed => "not-started",
        TaskOutcome::TimedOut => "timed-out",
        TaskOutcome::Cancelled => "cancelled",
        TaskOutcome::Rejected => "rejected",
        TaskOutcome::Dead => "dead",
    };
    let task = &result.task;
    let why = result.reason.as_ref().map(|reason| format!("{task}: {reason}")).unwrap_or_else(|| task.to_string());
    Some(Failure { word, code: result.exit_code(), message: why, hint: Some(format!("see: bellwether result {task}")) })
}

/// A command that could not be started has an exit code as a shell would give it, and a reason; one that ran and exited so has none.
/// The words of a plain status alone do not tell.
fn was_started(result: &TaskResult) -> bool {
    let has_reason = result.reason.as_ref().is_some_and(|reason| !reason.starts_with("failed "));
    result.signal.is_some() || (result.exit.is_some() && !has_reason)
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::TaskName;
    use bellwether_core::protocol::result::OutputPlace;
    use jiff::Timestamp;

    use super::*;

    fn result(outcome: TaskOutcome) -> TaskResult {
        TaskResult::without_run(TaskName::listed("t"), outcome, "because".into(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_our_own_outcomes_are_named() {
        let mut failed = result(TaskOutcome::Failed);
        assert_eq!(own_outcome(&failed).map(|failure| (failure.word, failure.code)), Some(("not-started", 125)));
        failed.exit = Some(125);
        assert_eq!(own_outcome(&failed).map(|failure| failure.word), Some("not-started"));
        failed.reason = None;
        assert_eq!(own_outcome(&failed), None, "a task may exit with our code");
        failed.reason = Some("failed exit=125".into());
        assert_eq!(own_outcome(&failed), None, "nothing but the words is known");
        for (outcome, word, code) in [
            (TaskOutcome::TimedOut, "timed-out", 124),
            (TaskOutcome::Cancelled, "cancelled", 126),
            (TaskOutcome::Dead, "dead", 126),
            (TaskOutcome::Rejected, "rejected", 125),
        ] {
            let failure = own_outcome(&result(outcome)).expect("ours");
            assert_eq!((failure.word, failure.code), (word, code));
            assert_eq!(failure.text(), format!("bellwether: {word}: t: because; see: bellwether result t"));
        }
    }

    #[test]
    fn a_tail_says_how_much_is_missing() {
        let mut result = result(TaskOutcome::Succeeded);
        result.output = Some(OutputPlace { path: Some("/out".into()), ..OutputPlace::default() });
        result.worker = Some(bellwether_core::protocol::WorkerId::listed("w"));
        let note = truncated("stdout", &Stream::of_tail(b"end", 10), &result).expect("it was cut");
        assert_eq!(note, "stdout: the last 3 of 10 bytes; the whole lies in /out on the machine of w");
        assert_eq!(truncated("stdout", &Stream::of_tail(b"all", 3), &result), None);
    }
}
