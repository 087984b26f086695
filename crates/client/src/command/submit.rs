//! `bellwether submit`, and what it has in common with `run`: a task out of its arguments.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bellwether_client::NewTask;
use bellwether_common::config::Output;
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::trace::TraceParent;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::TaskArgs;
use super::context::{Context, Versioned};
use super::failure::Failure;
use super::wait::Waiting;
use super::{memory, wait};

/// Prints the id, and with `wait` goes on as `bellwether wait`.
pub(crate) async fn run(ctx: &Context, task: TaskArgs, wait: Option<Waiting>) -> Result<u8, Failure> {
    if wait.is_some() {
        ctx.client().await?.expect().await;
    }
    let name = submit(ctx, task).await?;
    match ctx.printer.output {
        Output::Json if wait.is_some() => {}
        Output::Json => ctx.printer.json(&Versioned::new(Submitted { tasks: &[&name] })),
        Output::Table | Output::Name => ctx.printer.id(name.as_str()),
    }
    match wait {
        Some(waiting) => wait::run(ctx, std::slice::from_ref(&name), std::slice::from_ref(&name), waiting).await,
        None => Ok(0),
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Submitted<'a> {
    tasks: &'a [&'a TaskName],
}

/// Submits one task. Once its name is known, an interruption names it.
pub(crate) async fn submit(ctx: &Context, task: TaskArgs) -> Result<TaskName, Failure> {
    let (at, patience) = (task.at, task.wait_admission);
    let mut task = new(ctx, task).await?;
    let client = ctx.client().await?;
    if let Some(at) = at {
        task = task.delay(until(at, client.zookeeper_time().await?)?);
    }
    if let Some(patience) = patience {
        client.admitted(&task.envelope.labels, patience).await?;
    }
    let name = client.new_name();
    ctx.submitting(&name);
    let submitted = client.submit_as(vec![name.clone()], vec![task]).await?;
    let name = submitted.into_iter().next().unwrap_or(name);
    memory::remember(&ctx.address(), std::slice::from_ref(&name));
    ctx.going_on(std::slice::from_ref(&name));
    Ok(name)
}

/// The task that these arguments describe.
pub(crate) async fn new(ctx: &Context, task: TaskArgs) -> Result<NewTask, Failure> {
    let stdin_max = ctx.settings.task.payload_max.as_usize();
    // Somebody may be typing its input, and must be able to interrupt that.
    let task = tokio::task::spawn_blocking(move || new_task(task, stdin_max)).await;
    task.map_err(|error| Failure::error("error", error.to_string()))?
}

/// The longest time ahead that is taken: what is longer is a slip of the pen.
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long until then. What has passed a moment ago is now.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Result<Duration, Failure> {
    const MOMENT: i64 = 60;
    let ahead = at.as_millisecond().saturating_sub(now.as_millisecond());
    if ahead < -MOMENT * 1000 {
        let failure = Failure::usage(format!("--at {at}: it has passed, zookeeper's clock says {now}"));
        return Err(failure.hint("leave --at out to run it now, or see what is wrong with the clocks"));
    }
    let ahead = Duration::from_millis(u64::try_from(ahead).unwrap_or(0));
    match ahead > YEAR {
        true => Err(Failure::usage(format!("--at {at}: it is more than a year ahead, zookeeper's clock says {now}"))),
        false => Ok(ahead),
    }
}

fn new_task(task: TaskArgs, stdin_max: usize) -> Result<NewTask, Failure> {
    let mut new = match task.kind {
        Some(kind) => NewTask::typed(kind, input_of(&task.command)?),
        None if task.shell => NewTask::shell(task.command.join(" ")),
        None => NewTask::argv(task.command),
    };
    if let Some(timeout) = task.timeout {
        new = new.timeout(timeout);
    }
    if let Some(timeout) = task.queue_timeout {
        new = new.queue_timeout(timeout);
    }
    if let Some(retries) = task.retries {
        new = new.retries(retries);
    }
    if let Some((shortest, longest)) = task.retry_backoff {
        new = new.backoff(shortest, longest);
    }
    if let Some(delay) = task.delay {
        new = new.delay(delay);
    }
    new = new.after(task.after, task.after_failure.unwrap_or_default().into());
    let envelope = &mut new.envelope;
    envelope.key = task.key;
    envelope.retry_on = (!task.retry_on.is_empty()).then_some(task.retry_on);
    envelope.name = task.name;
    envelope.env = task.env.into_iter().collect();
    envelope.cwd = task.cwd;
    envelope.stdin = task.stdin.map(|file| read_stdin(&file, stdin_max)).transpose()?;
    envelope.priority = task.priority;
    envelope.require = task.require.into_iter().collect();
    envelope.slots = task.slots;
    envelope.resources = task.resource.into_iter().collect();
    envelope.labels = task.label.into_iter().collect();
    envelope.max_worker_losses = task.max_worker_losses;
    envelope.trace = trace_of_environment();
    Ok(new)
}

/// What a handler is given: one JSON value, or nothing.
fn input_of(words: &[String]) -> Result<serde_json::Value, Failure> {
    match words {
        [] => Ok(serde_json::Value::Null),
        [json] => serde_json::from_str(json).map_err(|error| {
            let failure = Failure::usage(format!("--kind: what the handler is given is no JSON: {error}"));
            failure.hint("quote it as one word, a text with quotes of its own: '{\"path\":\"a.png\"}', '\"a.png\"'")
        }),
        [_, second, ..] => Err(Failure::usage(format!("--kind: a handler is given one JSON value, and {second:?} is another"))),
    }
}

/// The trace that we were started in, if any. What is not well-formed begins a new one, as the standard asks for.
pub(super) fn trace_of_environment() -> Option<TraceParent> {
    std::env::var("TRACEPARENT").ok()?.parse().ok()
}

/// At most `max` bytes, of which one more is read: the rest would be refused anyhow.
fn read_stdin(file: &Path, max: usize) -> Result<String, Failure> {
    let shown = file.display();
    let cannot = |error: std::io::Error| Failure::usage(format!("--stdin {shown}: cannot be read: {error}"));
    let mut bytes = Vec::new();
    let limit = max as u64 + 1;
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    } else {
        std::fs::File::open(file).map_err(cannot)?.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    }
    let elsewhere = "put it where workers can read it, and redirect it with --shell";
    if bytes.len() > max {
        return Err(Failure::usage(format!("--stdin {shown}: it has more than {max} bytes")).hint(elsewhere));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("--stdin {shown}: it is not UTF-8 text")).hint(elsewhere))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bellwether_core::protocol::payload::Command;
    use clap::Parser;

    use super::*;
    use crate::command::arguments::{Arguments, Command as Typed, RunArgs};

    fn typed(line: &[&str]) -> TaskArgs {
        let arguments = Arguments::try_parse_from(["bellwether", "run"].iter().chain(line)).expect("it parses");
        let Typed::Run(RunArgs { task, .. }) = arguments.command else { panic!("it is run") };
        task
    }

    #[test]
    fn a_handler_is_given_one_json_value_or_nothing() {
        let command = |line: &[&str]| new_task(typed(line), 1024).map(|new| new.command);
        let input = serde_json::json!({"path": "a.png"});
        assert_eq!(command(&["--kind", "resize", "--", r#"{"path":"a.png"}"#]), Ok(Command::Typed { kind: "resize".into(), input }));
        assert_eq!(command(&["--kind", "noop"]), Ok(Command::Typed { kind: "noop".into(), input: serde_json::Value::Null }));
        assert!(command(&["--kind", "resize", "--", "a.png"]).expect_err("no JSON").message.contains("is no JSON"));
        assert!(command(&["--kind", "resize", "--", "1", "2"]).expect_err("two").message.contains("\"2\" is another"));
    }

    #[test]
    fn every_option_reaches_the_envelope() {
        let line = [
            "--name",
            "n",
            "--env",
            "A=1",
            "--cwd",
            "/tmp",
            "--priority",
            "4",
            "--require",
            "zone=eu",
            "--slots",
            "3",
            "--resource",
            "gpu=2",
            "--label",
            "job=x",
            "--timeout",
            "2s",
            "--queue-timeout",
            "1h",
            "--max-worker-losses",
            "2",
            "--retries",
            "3",
            "--retry-backoff",
            "1s..1m",
            "--retry-on",
            "75",
            "--delay",
            "90s",
            "--",
            "ls",
            "-l",
        ];
        let task = new_task(typed(&line), 1024).expect("a task");
        let envelope = &task.envelope;
        assert_eq!(task.command, Command::Argv(vec!["ls".into(), "-l".into()]));
        assert_eq!((envelope.name.as_deref(), envelope.cwd.as_deref(), envelope.priority), (Some("n"), Some("/tmp"), 4));
        assert_eq!((envelope.retries, envelope.backoff_ms, envelope.backoff_max_ms), (Some(3), Some(1000), Some(60_000)));
        assert_eq!((envelope.retry_on.as_deref(), envelope.delay_ms), (Some([75].as_slice()), 90_000));
        assert_eq!((envelope.slots.map(u32::from), envelope.resources["gpu"].get()), (Some(3), 2));
        assert_eq!(envelope.queue_timeout_ms, Some(3_600_000));
        assert_eq!((envelope.timeout_ms, envelope.max_worker_losses), (Some(2000), Some(2)));
        assert_eq!((&envelope.env["A"], &envelope.require["zone"], &envelope.labels["job"]), (&"1".into(), &"eu".into(), &"x".into()));
    }

    #[test]
    fn a_time_is_a_delay_by_zookeepers_clock() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert_eq!(until(at(110), at(100)), Ok(Duration::from_secs(10)));
        assert_eq!(until(at(95), at(100)), Ok(Duration::ZERO), "just passed");
        assert!(until(at(30), at(100)).expect_err("passed").message.contains("has passed"));
        assert!(until(at(i64::from(i32::MAX)), at(100)).expect_err("too far").message.contains("more than a year ahead"));
    }

    #[test]
    fn a_shell_gets_one_line() {
        let task = new_task(typed(&["--shell", "echo", "a", "|", "wc"]), 1024).expect("a task");
        assert_eq!(task.command, Command::Shell("echo a | wc".into()));
    }

    #[test]
    fn stdin_is_text_and_not_too_much_of_it() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"hello").expect("written");
        assert_eq!(read_stdin(file.path(), 5).as_deref(), Ok("hello"));
        assert!(read_stdin(file.path(), 4).expect_err("too long").message.contains("more than 4 bytes"));
        file.write_all(b"\xff").expect("written");
        assert!(read_stdin(file.path(), 100).expect_err("no text").message.contains("not UTF-8"));
        assert!(read_stdin(Path::new("/does/not/exist"), 100).expect_err("no file").message.contains("cannot be read"));
    }
}
