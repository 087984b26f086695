//! One line of a file of tasks: what it may say. Its keys are documented in `docs/reference/task-file.md`, and its JSON Schema is made of
//! the struct.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use bellwether_client::{AfterFailure, NewTask};
use bellwether_core::protocol::payload::{AFTER_MAX, check_kind};
use bellwether_core::protocol::record::{RESOURCE_MAX, SLOTS_MAX};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::command::arguments::values::{backoff, duration};

/// Longest line that is looked at.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A task. Exactly one of `argv`, `shell` and `kind` is given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "TaskLine")]
pub(crate) struct Line {
    /// A program and its arguments.
    pub(super) argv: Option<Vec<String>>,
    /// A line for the worker's shell.
    pub(super) shell: Option<String>,
    /// A kind of handler in a worker's program.
    pub(super) kind: Option<String>,
    /// What that handler is given; null if not said.
    pub(super) input: Option<serde_json::Value>,
    /// What people call it; other lines can refer to it.
    pub(super) name: Option<String>,
    /// Additional environment.
    pub(super) env: BTreeMap<String, String>,
    /// Working directory on the worker.
    pub(super) cwd: Option<String>,
    /// What it reads: the text itself.
    pub(super) stdin: Option<String>,
    /// Labels to find it by.
    pub(super) labels: BTreeMap<String, String>,
    /// Labels that the worker must have.
    pub(super) require: BTreeMap<String, String>,
    /// How many slots of its worker it takes.
    pub(super) slots: Option<NonZeroU32>,
    /// How much it takes of what its worker has, by name.
    pub(super) resources: BTreeMap<String, NonZeroU32>,
    /// Higher goes first.
    pub(super) priority: i32,
    /// How long an attempt may run, as 90s.
    pub(super) timeout: Option<String>,
    /// How long it may wait for its turn, as 1h.
    pub(super) queue_timeout: Option<String>,
    /// How many attempts more are made after one that failed.
    pub(super) retries: Option<u32>,
    /// The shortest and the longest time before another attempt, as 1s..60s.
    pub(super) retry_backoff: Option<String>,
    /// Exit codes after which another attempt is made.
    pub(super) retry_on: Option<Vec<i32>>,
    /// How long it may not run, as 10m.
    pub(super) delay: Option<String>,
    /// How many workers it may cost before it is dead.
    pub(super) max_worker_losses: Option<u32>,
    /// The tasks that must succeed first.
    pub(super) after: Vec<Reference>,
    /// What becomes of it when one of those does not: skip, dead or run.
    pub(super) after_failure: AfterFailure,
}

/// Another task: a line of the file by its number from 0 or its name, or one that was submitted before, by its id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Reference {
    /// Number of a line, from 0; blank ones do not count.
    Number(u64),
    /// Name of a line, or the id of a task.
    Name(String),
}

impl Line {
    /// Reads it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        if line.len() > LINE_BYTES_MAX {
            return Err(format!("it has {} bytes, at most {LINE_BYTES_MAX} are taken", line.len()));
        }
        let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8 text".to_owned())?;
        // An array of values would be taken for a struct, too.
        if !text.trim_start().starts_with('{') {
            return Err("it is no JSON object".to_owned());
        }
        // A line is all there is: only the column says anything.
        serde_json::from_str(text.trim_end()).map_err(|error| error.to_string().replace("line 1 column", "column"))
    }

    /// The task without those that it waits for.
    pub(super) fn task(self) -> Result<NewTask, String> {
        self.check()?;
        let mut task = match (self.argv, self.shell, self.kind) {
            (Some(argv), None, None) => NewTask::argv(argv),
            (None, Some(shell), None) => NewTask::shell(shell),
            (None, None, Some(kind)) => {
                check_kind(&kind).map_err(|why| format!("kind: {why}"))?;
                NewTask::typed(kind, self.input.unwrap_or_default())
            }
            (None, None, None) => return Err("there is none of argv, shell and kind in it".to_owned()),
            (_, _, _) => return Err("only one of argv, shell and kind may be given".to_owned()),
        };
        if let Some(timeout) = &self.timeout {
            task = task.timeout(duration(timeout).map_err(|why| format!("timeout: {why}"))?);
        }
        if let Some(timeout) = &self.queue_timeout {
            task = task.queue_timeout(duration(timeout).map_err(|why| format!("queue_timeout: {why}"))?);
        }
        if let Some(delay) = &self.delay {
            task = task.delay(duration(delay).map_err(|why| format!("delay: {why}"))?);
        }
        if let Some(times) = &self.retry_backoff {
            let (shortest, longest) = backoff(times).map_err(|why| format!("retry_backoff: {why}"))?;
            task = task.backoff(shortest, longest);
        }
        let envelope = &mut task.envelope;
        (envelope.name, envelope.env, envelope.cwd, envelope.stdin) = (self.name, self.env, self.cwd, self.stdin);
        (envelope.labels, envelope.require, envelope.priority) = (self.labels, self.require, self.priority);
        (envelope.slots, envelope.resources) = (self.slots, self.resources);
        (envelope.retries, envelope.retry_on, envelope.max_worker_losses) = (self.retries, self.retry_on, self.max_worker_losses);
        envelope.after_failure = self.after_failure;
        Ok(task)
    }

    /// What options of `submit` would refuse, too.
    fn check(&self) -> Result<(), String> {
        let no_pair = |(label, value): (&String, &String)| label.is_empty() || value.is_empty();
        let of_command = !self.env.is_empty() || self.cwd.is_some() || self.stdin.is_some();
        let refused = [
            (self.kind.is_some() && of_command, "kind: env, cwd and stdin are for commands; a handler is given input".to_owned()),
            (self.kind.is_none() && self.input.is_some(), "input: it is for a handler; say which in kind".to_owned()),
            (self.retries.is_some_and(|retries| retries > 1000), "retries: must be between 0 and 1000".to_owned()),
            (
                self.retry_on.as_ref().is_some_and(|codes| codes.iter().any(|code| !(1..=255).contains(code))),
                "retry_on: must be exit codes between 1 and 255".to_owned(),
            ),
            (self.max_worker_losses == Some(0), "max_worker_losses: must be 1 or more".to_owned()),
            (self.slots.is_some_and(|slots| slots.get() > SLOTS_MAX), format!("slots: must be between 1 and {SLOTS_MAX}")),
            (
                self.resources.iter().any(|(name, amount)| name.is_empty() || amount.get() > RESOURCE_MAX),
                format!("resources: must have names, and be between 1 and {RESOURCE_MAX}"),
            ),
            (self.labels.iter().any(no_pair), "labels: must have names and values".to_owned()),
            (self.require.iter().any(no_pair), "require: must have names and values".to_owned()),
            (self.after.len() > AFTER_MAX, format!("after: it waits for {} others, at most {AFTER_MAX} are taken", self.after.len())),
        ];
        refused.into_iter().find(|(bad, _)| *bad).map_or(Ok(()), |(_, why)| Err(why))
    }
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::payload::Command;

    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        let why = |line: &str| Line::parse(line.as_bytes()).and_then(Line::task).map(drop).expect_err(line);
        for (line, says) in [
            ("[]", "no JSON object"),
            ("7", "no JSON object"),
            ("{}", "none of argv, shell and kind"),
            (r#"{"shell":"x","kind":"resize"}"#, "only one of argv, shell and kind"),
            (r#"{"kind":"Re size"}"#, "kind: "),
            (r#"{"kind":"resize","cwd":"/"}"#, "kind: env, cwd and stdin are for commands"),
            (r#"{"shell":"x","input":7}"#, "input: it is for a handler"),
            (r#"{"argv":"x"}"#, "invalid type: string"),
            (r#"{"shell":"x","shell":"y"}"#, "duplicate field `shell`"),
            (r#"{"shell":"x"} {"shell":"y"}"#, "trailing characters at column 15"),
            (r#"{"shell":"x","colour":1}"#, "unknown field `colour`"),
            (r#"{"shell":"x","slots":0}"#, "nonzero"),
            (r#"{"shell":"x","slots":5000}"#, "slots: must be between"),
            (r#"{"shell":"x","resources":{"gpu":9999999}}"#, "resources: must"),
            (r#"{"shell":"x","labels":{"":"v"}}"#, "labels: must have names"),
            (r#"{"shell":"x","require":{"zone":""}}"#, "require: must have names"),
            (r#"{"shell":"x","retries":1001}"#, "retries: must be between"),
            (r#"{"shell":"x","retries":-1}"#, "invalid value"),
            (r#"{"shell":"x","timeout":"0s"}"#, "timeout: must be a millisecond or more"),
            (r#"{"shell":"x","queue_timeout":"-1s"}"#, "queue_timeout: a duration is"),
            (r#"{"shell":"x","delay":"9999d"}"#, "delay: must be a year at most"),
            (r#"{"shell":"x","retry_backoff":"2s..1s"}"#, "retry_backoff: the shortest"),
            (r#"{"shell":"x","max_worker_losses":0}"#, "max_worker_losses: must be"),
            (r#"{"shell":"x","after":[-1]}"#, "did not match any variant"),
            (r#"{"shell":"x","after_failure":"wait"}"#, "unknown variant `wait`"),
        ] {
            assert!(why(line).contains(says), "{line}: {}", why(line));
        }
        let typed = Line::parse(br#"{"kind":"resize","input":{"width":640},"timeout":"1s"}"#).and_then(Line::task).expect("a task");
        assert_eq!(typed.command, Command::Typed { kind: "resize".into(), input: serde_json::json!({"width": 640}) });
        let many = format!(r#"{{"shell":"x","after":[{}0]}}"#, "0,".repeat(AFTER_MAX));
        assert!(why(&many).contains("after: it waits for 1001 others"));
        let huge = [b"{\"shell\":\"".as_slice(), &vec![b'x'; LINE_BYTES_MAX], b"\"}"].concat();
        assert!(Line::parse(&huge).expect_err("too long").contains("at most"));
        assert!(Line::parse(b"{\"shell\":\"\xff\"}").expect_err("no text").contains("not UTF-8"));
    }
}
