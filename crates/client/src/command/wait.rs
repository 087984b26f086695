//! `bellwether wait`: until tasks have ended. Says what it waits for when that takes long.

mod hints;

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bellwether_client::Awaited;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::result::{TaskOutcome, TaskResult};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{Context, Versioned};
use super::failure::{FAILED, Failure};
use super::pursuit::Pursuit;
use super::run::own_outcome;
use super::table::{or_dash, printable, short};

/// How many lines of a failed task's stderr are shown.
const LAST_LINES: usize = 10;

#[derive(Serialize, JsonSchema)]
pub(super) struct Waited<'a> {
    results: &'a [&'a TaskResult],
    missing: Vec<&'a TaskName>,
}

/// How it is waited.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Waiting {
    /// Only until one of them has ended.
    pub(crate) any: bool,
    /// With a bar on stderr, if that is a terminal.
    pub(crate) progress: bool,
}

/// Waits for `tasks`, which are what somebody knows as `ids`: tasks and groups.
pub(crate) async fn run(ctx: &Context, tasks: &[TaskName], ids: &[TaskName], Waiting { any, progress }: Waiting) -> Result<u8, Failure> {
    if let [first, ..] = tasks
        && first.group().is_some()
        && let Ok(view) = ctx.client().await?.status(first).await
        && let Some(array) = view.array_of
    {
        let failure = Failure::usage(format!("{first} is an element of an array, which is waited for as a whole"));
        return Err(failure.hint(format!("wait for it with: bellwether wait {array}, or see how far one is: bellwether status {first}")));
    }
    let array = match tasks {
        [task] if progress => ctx.client().await?.array_of(task).await?,
        _ => None,
    };
    let elements = array.and_then(|array| array.task.array).map(|progress| progress.summary.count);
    let bar = bar(elements.map_or(tasks.len(), |count| count as usize), progress);
    ctx.going_on(ids);
    let alone = tasks.len() == 1;
    let otherwise = AtomicUsize::new(0);
    let ended = until_ended(ctx, tasks, any, |task, awaited| {
        bar.suspend(|| report(ctx, task, awaited, alone));
        match &elements {
            None => {
                if result_of(awaited).is_none_or(|result| result.outcome != TaskOutcome::Succeeded) {
                    bar.set_message(format!(", {} not well", otherwise.fetch_add(1, Ordering::Relaxed) + 1));
                }
                bar.inc(1);
            }
            Some(count) => bar.set_position(u64::from(*count)),
        }
    });
    let ended = match (tasks, elements) {
        ([array], Some(_)) => tokio::select! {
            ended = ended => ended?,
            never = draw(ctx, array, &bar) => match never {},
        },
        (_, _) => ended.await?,
    };
    bar.abandon();
    if ctx.printer.output == Output::Json {
        let results: Vec<&TaskResult> = ended.iter().filter_map(|(_, awaited)| result_of(awaited)).collect();
        let missing = ended.iter().filter(|(_, awaited)| result_of(awaited).is_none()).map(|(task, _)| task).collect();
        ctx.printer.json_list(&Versioned::new(Waited { results: &results, missing }), &results);
    }
    match ended.as_slice() {
        [(_, Awaited::Ended(result))] => {
            super::run::say_own_outcome(ctx, result);
            // As of any other several tasks: no exit code is that of all elements.
            let code = result.array.as_ref().map(|_| u8::from(result.outcome != TaskOutcome::Succeeded));
            Ok(code.unwrap_or_else(|| result.exit_code()))
        }
        [(task, Awaited::Nowhere)] => Err(bellwether_client::Error::NoSuchTask(task.clone()).into()),
        ended => {
            let succeeded =
                ended.iter().all(|(_, awaited)| result_of(awaited).is_some_and(|result| result.outcome == TaskOutcome::Succeeded));
            Ok(u8::from(!succeeded))
        }
    }
}

/// How often it is looked how far an array is: one request, whatever it has of elements.
const LOOK: Duration = Duration::from_millis(500);

/// Shows how far an array is, for as long as this is awaited. It never goes back.
async fn draw(ctx: &Context, array: &TaskName, bar: &ProgressBar) -> Infallible {
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(client) = ctx.client().await else { continue };
        // Whoever waits for the end hears why there is no answer.
        let Ok(Some(progress)) = client.status(array).await.map(|view| view.array) else { continue };
        bar.set_position(bar.position().max(u64::from(progress.done())));
        let failures = progress.summary.tally.failures();
        let failed = if failures > 0 { format!(", {failures} failed") } else { String::new() };
        bar.set_message(format!("{failed}, {} running", progress.running));
    }
}

/// Draws nothing where nobody sees it.
fn bar(tasks: usize, progress: bool) -> ProgressBar {
    if !progress {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} ended{msg}, {elapsed}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(tasks as u64), ProgressDrawTarget::stderr()).with_style(style);
    bar.tick();
    bar
}

fn result_of(awaited: &Awaited) -> Option<&TaskResult> {
    match awaited {
        Awaited::Ended(result) => Some(result),
        Awaited::Nowhere | Awaited::Failed(_) => None,
    }
}

/// Waits for all of them, or for any, and gives those that ended or are nowhere, in that order. `each` hears of them at once.
pub(crate) async fn until_ended(
    ctx: &Context,
    tasks: &[TaskName],
    any: bool,
    each: impl Fn(&TaskName, &Awaited),
) -> Result<Vec<(TaskName, Awaited)>, Failure> {
    let client = ctx.client().await?;
    let mut waiter = client.wait(tasks.to_vec()).await;
    let mut ended = Vec::new();
    let waiting = async {
        while let Some((task, awaited)) = waiter.next().await {
            if let Awaited::Failed(error) = awaited {
                let again = format!("the task goes on; come back with: bellwether wait {task}");
                return Err(Failure::from(error).hint(again));
            }
            each(&task, &awaited);
            ended.push((task, awaited));
            if any {
                break;
            }
        }
        Ok(())
    };
    tokio::select! {
        waited = waiting => waited?,
        () = hints::while_waiting(ctx, client, tasks) => {}
    }
    match ended.is_empty() {
        false => Ok(ended),
        true => Err(Failure { code: FAILED, ..Failure::error("error", "the client ended before any task did") }),
    }
}

/// Waits for one task; how it ended, or that it is nowhere.
pub(crate) async fn until_one_ended(ctx: &Context, task: &TaskName) -> Result<Awaited, Failure> {
    let ended = until_ended(ctx, std::slice::from_ref(task), false, |_, _| {}).await?;
    Ok(ended.into_iter().next().map_or(Awaited::Nowhere, |(_, awaited)| awaited))
}

/// Waits for one task while its output is shown; how it ended, or that it is nowhere.
pub(crate) async fn while_watching(ctx: &Context, task: &TaskName, pursuit: &mut Pursuit<'_>) -> Result<Awaited, Failure> {
    tokio::select! {
        ended = until_one_ended(ctx, task) => ended,
        never = pursuit.chase() => match never {},
    }
}

/// What a last line is going to say of a task that is waited for `alone` is not said here.
fn report(ctx: &Context, task: &TaskName, awaited: &Awaited, alone: bool) {
    let result = match awaited {
        Awaited::Ended(result) => result,
        Awaited::Nowhere if !alone => return ctx.printer.note(&format!("there is no task {task}")),
        Awaited::Nowhere | Awaited::Failed(_) => return,
    };
    match ctx.printer.output {
        Output::Json => {}
        Output::Name => ctx.printer.line(task.as_str()),
        Output::Table => ctx.printer.line(&line(result)),
    }
    if result.outcome != TaskOutcome::Succeeded {
        let tail = last_lines(result);
        if !tail.is_empty() {
            ctx.printer.note(&format!("the end of its stderr:\n{tail}"));
        }
        if result.array.is_some() {
            ctx.printer.note(&format!("see which elements failed, and why, with: bellwether result {task} --failed"));
        } else if !alone || own_outcome(result).is_none() {
            ctx.printer.note(&format!("see more with: bellwether result {task}"));
        }
    }
}

/// One result in one line: id, outcome, why, worker, time.
fn line(result: &TaskResult) -> String {
    let took = result.started.map(|started| {
        let ms = result.ended.as_millisecond().saturating_sub(started.as_millisecond());
        short(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
    });
    if let Some(summary) = &result.array {
        return printable(&format!("{}  {}  {}", result.task, result.outcome, super::array::outcomes(summary)));
    }
    let worker = or_dash(result.worker.as_ref());
    let why = if result.outcome == TaskOutcome::Failed { format!("  {}", result.why()) } else { String::new() };
    printable(&format!("{}  {}{why}  {worker}  {}", result.task, result.outcome, or_dash(took)))
}

fn last_lines(result: &TaskResult) -> String {
    let bytes = result.stderr.as_ref().map(|stderr| stderr.tail_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(|line| format!("  {}", printable(line))).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::result::Stream;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_result_fits_in_a_line_and_its_errors_in_ten() {
        let mut result =
            TaskResult::without_run(TaskName::listed("t"), TaskOutcome::Failed, "x".into(), Timestamp::from_second(3).expect("a time"));
        result.exit = Some(3);
        result.started = Some(Timestamp::from_second(1).expect("a time"));
        assert_eq!(line(&result), "t  failed  exit=3  -  2s");
        let errors: String = (1..=12).map(|i| format!("line {i}\n")).collect();
        result.stderr = Some(Stream::of_tail(errors.as_bytes(), errors.len() as u64));
        assert_eq!(last_lines(&result).lines().next(), Some("  line 3"));
        assert_eq!(last_lines(&result).lines().count(), LAST_LINES);
    }
}
