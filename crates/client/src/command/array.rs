//! Arrays on the command line: submitted by a number, a range or lines, and shown.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::pin;

use bellwether_client::{ArrayProgress, ArrayView, Element, NewArray, NewTask};
use bellwether_common::clock::wall as now;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::array::{ArraySummary, Span};
use bellwether_core::protocol::result::TaskOutcome;
use futures::TryStreamExt;
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::{ElementArgs, TaskArgs};
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::table::{Table, ago, or_dash, pairs};
use super::wait::Waiting;
use super::{memory, submit, wait};

/// An array that was submitted.
#[derive(Serialize, JsonSchema)]
pub(super) struct Submitted<'a> {
    /// Its id.
    array: &'a TaskName,
    /// How many elements it has.
    count: u32,
    /// The number of the first one.
    first: u32,
}

/// Some elements of an array that have ended.
#[derive(Serialize, JsonSchema)]
pub(super) struct Elements<'a> {
    elements: &'a [Element],
}

/// The array that these arguments describe.
pub(crate) async fn read(ctx: &Context, arguments: ElementArgs, task: TaskArgs) -> Result<NewArray, Failure> {
    let ElementArgs { count, array, each_line, max_fails } = arguments;
    let ours = |file: &Path| file.as_os_str() == "-";
    if each_line.as_deref().is_some_and(ours) && task.stdin.as_deref().is_some_and(ours) {
        return Err(Failure::usage("--each-line -: our standard input cannot be --stdin, too").hint("put one of them into a file"));
    }
    let task = submit::new(ctx, task).await?;
    let new = match (count, array, each_line) {
        (Some(count), _, _) => NewArray::count(task, count),
        (None, Some(Span { from, to }), _) => NewArray::numbered(task, from, to),
        (None, None, Some(file)) => of_lines(ctx, task, file).await?,
        (None, None, None) => return Err(Failure::usage("there are no elements")),
    };
    Ok(max_fails.into_iter().fold(new, NewArray::max_fails))
}

async fn of_lines(ctx: &Context, task: NewTask, file: PathBuf) -> Result<NewArray, Failure> {
    let max = ctx.settings.client.lines_max.as_usize();
    // Somebody may be typing it, and must be able to interrupt that.
    let lines = tokio::task::spawn_blocking(move || read_lines(&file, max)).await;
    let lines = lines.map_err(|error| Failure::error("error", error.to_string()))??;
    Ok(NewArray::lines(task, lines))
}

/// At most `max` bytes, of which one more is read: the rest would be refused anyhow.
fn read_lines(file: &Path, max: usize) -> Result<Vec<String>, Failure> {
    let shown = file.display();
    let cannot = |error: std::io::Error| Failure::usage(format!("--each-line {shown}: cannot be read: {error}"));
    let (mut bytes, limit) = (Vec::new(), max as u64 + 1);
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    } else {
        std::fs::File::open(file).map_err(cannot)?.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    }
    if bytes.len() > max {
        let failure = Failure::usage(format!("--each-line {shown}: it has more than {max} bytes, which client.lines_max allows"));
        return Err(failure.hint("submit it in parts, or let each line be the path of a file"));
    }
    split(&bytes).map_err(|why| Failure::usage(format!("--each-line {shown}: {why}; nothing was submitted")))
}

/// Lines end with a newline, before which a carriage return belongs to the end; the last one may go without. An empty line is a line.
fn split(bytes: &[u8]) -> Result<Vec<String>, String> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = |(index, line): (usize, &[u8])| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        String::from_utf8(line.to_vec()).map_err(|_| format!("line {} is not UTF-8 text", index + 1))
    };
    bytes.split(|byte| *byte == b'\n').enumerate().map(line).collect()
}

/// `bellwether submit` of an array: prints its id, and with `wait` goes on as `bellwether wait`.
pub(crate) async fn submit(ctx: &Context, arguments: ElementArgs, task: TaskArgs, wait: Option<Waiting>) -> Result<u8, Failure> {
    let (array, span) = submitted(ctx, arguments, task, wait.is_some()).await?;
    match ctx.printer.output {
        Output::Json if wait.is_some() => {}
        Output::Json => ctx.printer.json(&Versioned::new(Submitted { array: &array, count: span.len(), first: span.from })),
        Output::Table | Output::Name => ctx.printer.id(array.as_str()),
    }
    match wait {
        None => Ok(0),
        Some(waiting) => wait::run(ctx, std::slice::from_ref(&array), std::slice::from_ref(&array), waiting).await,
    }
}

/// `bellwether run` of an array: waits for its end, with a bar on a terminal. What elements write is not shown.
pub(crate) async fn run(ctx: &Context, arguments: ElementArgs, task: TaskArgs) -> Result<u8, Failure> {
    let (array, _) = submitted(ctx, arguments, task, true).await?;
    if ctx.printer.output != Output::Json {
        ctx.printer.note(&format!("submitted as {array}"));
    }
    wait::run(ctx, std::slice::from_ref(&array), std::slice::from_ref(&array), Waiting { any: false, progress: true }).await
}

async fn submitted(ctx: &Context, arguments: ElementArgs, task: TaskArgs, awaited: bool) -> Result<(TaskName, Span), Failure> {
    let (at, patience) = (task.at, task.wait_admission);
    let mut new = read(ctx, arguments, task).await?;
    let client = ctx.client().await?;
    if awaited {
        client.expect().await;
    }
    if let Some(at) = at {
        new.task = new.task.delay(submit::until(at, client.zookeeper_time().await?)?);
    }
    if let Some(patience) = patience {
        client.admitted(&new.task.envelope.labels, patience).await?;
    }
    let span = new.span();
    let id = client.new_name();
    ctx.submitting(&id);
    let array = client.submit_array_as(id, new).await?;
    memory::remember(&ctx.address(), std::slice::from_ref(&array));
    ctx.going_on(std::slice::from_ref(&array));
    Ok((array, span))
}

/// `bellwether status` of an array.
pub(crate) fn show(ctx: &Context, array: &ArrayView) {
    match ctx.printer.output {
        Output::Json => ctx.printer.json(&Versioned::new(array)),
        Output::Name => ctx.printer.line(array.task.task.as_str()),
        Output::Table => print(ctx, array),
    }
}

fn print(ctx: &Context, ArrayView { task: view, pieces }: &ArrayView) {
    let mut table = Table::new(&[], &ctx.printer);
    let mut row = |key: &str, value: String| table.row([key.to_owned(), value]);
    row("array", view.task.to_string());
    row("state", view.state.to_string());
    if let Some(progress) = &view.array {
        row("elements", elements(&view.task, &progress.summary));
        row("progress", in_words(progress));
        if let Some(failed) = failed(&progress.summary) {
            row("failed", failed);
        }
        if let Some(why) = &progress.stopped {
            row("stopped", why.clone());
        }
    }
    if view.cancelling {
        row("cancelling", "yes, the master has not done it yet".to_owned());
    }
    for (key, value) in [("name", &view.name), ("command", &view.command), ("submitter", &view.submitter)] {
        value.iter().for_each(|value| row(key, value.clone()));
    }
    if !view.labels.is_empty() {
        row("labels", pairs(&view.labels));
    }
    row("since", format!("{} ({})", ago(view.since, now()), view.since));
    table.print(&ctx.printer);
    if !pieces.is_empty() {
        ctx.printer.line("");
        let mut table = Table::new(&["WORKER", "ELEMENTS", "ATTEMPT"], &ctx.printer);
        for piece in pieces {
            let Span { from, to } = Span { from: piece.from, to: piece.to };
            table.row([piece.worker.to_string(), range(from, to), piece.attempt.to_string()]);
        }
        table.print(&ctx.printer);
    }
    ctx.printer.note(&format!("see one of its elements with: bellwether status {}", view.task.element(first_of(view.array.as_deref()))));
}

fn first_of(progress: Option<&ArrayProgress>) -> u32 {
    progress.map_or(0, |progress| progress.summary.first)
}

fn elements(array: &TaskName, summary: &ArraySummary) -> String {
    let last = summary.first.saturating_add(summary.count.saturating_sub(1));
    match summary.count {
        1 => format!("1, {}", array.element(summary.first)),
        count => format!("{count}, {} to {}", array.element(summary.first), array.element(last)),
    }
}

/// How far it is, in a line.
pub(crate) fn in_words(progress: &ArrayProgress) -> String {
    let ended = outcomes(&progress.summary);
    match (progress.running, progress.waiting) {
        (0, 0) => ended,
        (running, waiting) => format!("{ended}, {running} running, {waiting} waiting"),
    }
}

/// How many ended how.
pub(crate) fn outcomes(summary: &ArraySummary) -> String {
    let tally = &summary.tally;
    let others = [
        (tally.failed, "failed"),
        (tally.timed_out, "timed out"),
        (tally.rejected, "rejected"),
        (tally.dead, "dead"),
        (tally.cancelled, "cancelled"),
        (summary.retried, "tried again"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0).map(|(count, how)| format!(", {count} {how}"));
    format!("{} of {} succeeded{}", tally.succeeded, summary.count, others.collect::<String>())
}

/// Which failed, as `5, 7-9`: the first of them, if there are many.
pub(crate) fn failed(summary: &ArraySummary) -> Option<String> {
    const SHOWN: usize = 20;
    let spans: Vec<String> = summary.failures.iter().take(SHOWN).map(|span| range(span.from, span.to)).collect();
    let more = if summary.failures.len() > SHOWN || summary.more_failures { ", and others" } else { "" };
    (!spans.is_empty()).then(|| format!("{}{more}", spans.join(", ")))
}

fn range(from: u32, to: u32) -> String {
    if from == to { from.to_string() } else { format!("{from}-{to}") }
}

/// `bellwether result` of an array: rows of its table.
pub(crate) fn summary_rows(summary: &ArraySummary, row: &mut impl FnMut(&str, String)) {
    row("elements", outcomes(summary));
    if let Some(failed) = failed(summary) {
        row("failed", failed);
    }
    row("took", format!("{} of all elements together", super::table::short(std::time::Duration::from_micros(summary.took_us))));
}

/// Those elements that ended otherwise than well, one by one.
pub(crate) async fn print_failed(ctx: &Context, array: &TaskName) -> Result<u8, Failure> {
    let mut stream = pin!(ctx.client().await?.elements_of(array));
    let mut found: Vec<Element> = Vec::new();
    while let Some(element) = stream.try_next().await? {
        if element.outcome != TaskOutcome::Succeeded {
            found.push(element);
        }
    }
    found.sort_by_key(|element| element.element);
    match ctx.printer.output {
        Output::Json => ctx.printer.json_list(&Versioned::new(Elements { elements: &found }), found.iter().map(Versioned::new)),
        Output::Name => found.iter().for_each(|element| ctx.printer.line(array.element(element.element).as_str())),
        Output::Table if found.is_empty() => ctx.printer.note(&format!("no element of {array} failed")),
        Output::Table => {
            let mut table = Table::new(&["TASK", "OUTCOME", "WHY", "ATTEMPT", "WORKER"], &ctx.printer);
            for element in &found {
                let why = element.reason.clone().unwrap_or_else(|| element.end.to_string());
                let id = array.element(element.element).to_string();
                table.row([id, element.outcome.to_string(), why, element.attempt.to_string(), element.worker.to_string()]);
            }
            table.print(&ctx.printer);
        }
    }
    Ok(0)
}

/// What there is in the way of a whole array, in the words of a list.
pub(crate) fn in_short(progress: &ArrayProgress) -> String {
    let failures = progress.summary.tally.failures();
    let failed = if failures > 0 { format!(", {failures} failed") } else { String::new() };
    format!("{} of {} ended{failed}, {} running", progress.done(), progress.summary.count, or_dash(Some(progress.running)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_stands_between_newlines() {
        let lines = |text: &str| split(text.as_bytes()).expect("lines");
        assert_eq!(lines("a\nb"), ["a", "b"]);
        assert_eq!(lines("a\r\nb\r\n"), ["a", "b"]);
        assert_eq!(lines("a\n\n\nb\n\n"), ["a", "", "", "b", ""], "empty ones are elements");
        assert_eq!((lines("\n"), lines("")), (vec![String::new()], Vec::new()));
        assert_eq!(lines("a\rb\r"), ["a\rb"]);
        assert_eq!(split(b"a\n\xff\n"), Err("line 2 is not UTF-8 text".to_owned()));
    }

    #[test]
    fn a_file_is_read_as_far_as_it_may_be() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut file, b"a\nb\n").expect("written");
        assert_eq!(read_lines(file.path(), 4).expect("lines"), ["a", "b"]);
        assert!(read_lines(file.path(), 3).expect_err("too long").message.contains("client.lines_max"));
        assert!(read_lines(Path::new("/does/not/exist"), 3).expect_err("none").message.contains("cannot be read"));
    }

    #[test]
    fn counts_and_ranges_are_told_in_a_line() {
        let mut summary = ArraySummary::new(Span { from: 5, to: 104 });
        summary.note(Span { from: 5, to: 50 }, bellwether_core::protocol::array::ElementEnd::Exit(0));
        summary.note(Span { from: 60, to: 62 }, bellwether_core::protocol::array::ElementEnd::Exit(1));
        summary.note(Span::one(70), bellwether_core::protocol::array::ElementEnd::TimedOut);
        let progress = ArrayProgress { summary: summary.clone(), waiting: 40, running: 10, stopped: None };
        assert_eq!(in_words(&progress), "46 of 100 succeeded, 3 failed, 1 timed out, 10 running, 40 waiting");
        assert_eq!(failed(&summary).as_deref(), Some("60-62, 70"));
        assert_eq!(elements(&TaskName::listed("a"), &summary), "100, a.5 to a.104");
        assert_eq!(in_short(&progress), "50 of 100 ended, 4 failed, 10 running");
    }
}
