//! How a command fails: one word, one exit code, one message, and what to type next.

use std::io::Write;

use bellwether_client::{ClosedBecause, Error, SubmitError};
use bellwether_common::config::ConfigError;
use bellwether_core::submission::Failure as Refused;
use clap::CommandFactory;
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::Arguments;
use super::table::printable;

/// Bellwether itself, or ZooKeeper, failed.
pub(crate) const FAILED: u8 = 125;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// The configuration is.
pub(crate) const CONFIG: u8 = 78;

/// A failure as JSON, in one line on stderr.
#[derive(Serialize, JsonSchema)]
pub(super) struct Problem<'a> {
    error: Explained<'a>,
}

#[derive(Serialize, JsonSchema)]
struct Explained<'a> {
    /// What happened, in one word.
    code: &'a str,
    /// What happened, to what.
    message: &'a str,
    /// What to do or to type next.
    hint: Option<&'a str>,
}

/// The end of a command that is not a task's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What happened, in one word: the `code` of JSON errors.
    pub(crate) word: &'static str,
    /// The exit code.
    pub(crate) code: u8,
    /// What happened, to what; the last line of several is the summary.
    pub(crate) message: String,
    /// What to do or to type next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// Bellwether or ZooKeeper failed.
    pub(crate) fn error(word: &'static str, message: impl Into<String>) -> Self {
        Self { word, code: FAILED, message: message.into(), hint: None }
    }

    /// A right in ZooKeeper is missing.
    fn denied(message: impl Into<String>) -> Self {
        Self::error("denied", message).hint("see what is missing, and how to mend it, with: bellwether doctor")
    }

    /// Nobody who may has laid out the cluster.
    fn not_laid_out(message: impl Into<String>) -> Self {
        Self::error("not-laid-out", message).hint("start bellwether-coordinator, or as the admin: bellwether acl apply")
    }

    /// The configuration asks for something impossible.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self { code: CONFIG, ..Self::error("bad-configuration", message) }
    }

    /// The command line asks for something impossible.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { word: "usage", code: USAGE, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For people: details, then the last line.
    pub(crate) fn text(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let (details, summary) =
            self.message.rsplit_once('\n').map_or(("", self.message.as_str()), |(details, summary)| (details, summary));
        let separator = if details.is_empty() { "" } else { "\n" };
        let text = format!("{details}{separator}bellwether: {}: {summary}{hint}", self.word);
        // What it quotes may be of a task, and anybody's.
        let lines: Vec<String> = text.split('\n').map(printable).collect();
        lines.join("\n")
    }

    /// For programs, in one line.
    pub(crate) fn json(&self) -> String {
        let problem = Problem { error: Explained { code: self.word, message: &self.message, hint: self.hint.as_deref() } };
        serde_json::to_string(&problem).expect("texts are JSON")
    }
}

impl From<ClosedBecause> for Failure {
    fn from(because: ClosedBecause) -> Self {
        let message = because.to_string();
        match because {
            ClosedBecause::Unreachable { .. } => {
                Self::error("unreachable", message).hint("start ZooKeeper, or say where it is with -z or BELLWETHER_ZOOKEEPER")
            }
            ClosedBecause::Denied { .. } => Self::denied(message),
            ClosedBecause::BadSettings(_) => Self { code: CONFIG, ..Self::error("bad-configuration", message) },
            ClosedBecause::Asked | ClosedBecause::Thread(_) => Self::error("error", message),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Closed(because) => because.into(),
            Error::Late { .. } => {
                Self::error("unreachable", message).hint("is ZooKeeper up? ask again, or wait longer with --request-timeout")
            }
            Error::Denied { .. } => Self::denied(message),
            Error::NotLaidOut { .. } => Self::not_laid_out(message),
            Error::NotSecured => Self::configuration(message),
            Error::NoSuchTask(_) => Self::error("no-such-task", message).hint("see what there is with: bellwether list"),
            Error::NotEnded(ref task) => {
                let hint = format!("cancel it first with: bellwether cancel {task}");
                Self::error("not-ended", message).hint(hint)
            }
            Error::ElementAlone(ref element) => {
                let array = element.group().map(|(array, _)| array.to_string()).unwrap_or_default();
                Self::usage(message).hint(format!("name the array: {array}"))
            }
            Error::NoSuchSchedule(_) => Self::error("no-such-schedule", message).hint("see what there is with: bellwether schedule list"),
            Error::ScheduleExists(ref name) => Self { code: USAGE, ..Self::error("schedule-exists", message) }
                .hint(format!("see it with: bellwether schedule show {name}; choose another --name, or delete that one first")),
            Error::NotKept(_) => Self::error("not-kept", message).hint("submit it again"),
            Error::NoSuchLetter(_) => Self::error("no-such-letter", message).hint("see what there is with: bellwether dead list"),
            Error::Refused(_) => Self::error("refused", message),
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::Rejected(_)
            | SubmitError::TooLarge { .. }
            | SubmitError::BadSchedule(_)
            | SubmitError::BadKey(_)
            | SubmitError::Contradictory(_)
            | SubmitError::Refused(Refused::TooLarge { .. }) => Self::usage(message),
            SubmitError::Element { why, .. } => Self { message, ..Self::from(*why) },
            SubmitError::NotAdmitted(_) => Self::error("not-admitted", message)
                .hint("wait until there is room with --wait-admission 10m, or see what is there with: bellwether status"),
            SubmitError::NoSuchParent(_) => Self::error("no-such-task", message).hint("see what there is with: bellwether list"),
            SubmitError::Refused(Refused::KeyTaken { task, .. }) => {
                Self::error("key-taken", message).hint(format!("see the first with: bellwether status {task}"))
            }
            SubmitError::Refused(Refused::Denied(_)) => Self::denied(message),
            SubmitError::Refused(Refused::NotLaidOut(_)) => Self::not_laid_out(message),
            SubmitError::Refused(Refused::NoLetter(_)) => {
                Self::error("no-such-letter", message).hint("see what there is with: bellwether dead list")
            }
            SubmitError::Refused(Refused::Withdrawn) => Self::error("not-submitted", message).hint("submit it again"),
            SubmitError::Refused(Refused::GroupGivenUp(ref group)) => {
                let hint = format!("see what became of it with: bellwether status {group}");
                Self::error("cancelled", message).hint(hint)
            }
            SubmitError::Refused(_) => Self::error("refused", message),
            SubmitError::Unconfirmed { tasks, .. } => {
                let status = tasks.first().map(|task| format!("see whether it is there with: bellwether status {task}"));
                Self { hint: status, ..Self::error("unconfirmed", message) }
            }
            SubmitError::Unread(error) => error.into(),
            SubmitError::Closed(because) => because.into(),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let summary = match error.problems.as_slice() {
            [problem] => problem.to_string(),
            problems => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                format!("{}\n{} problems, see above", lines.join("\n"), problems.len())
            }
        };
        Self::configuration(summary).hint("each key is explained by: bellwether config init")
    }
}

/// Prints what clap says, and gives the exit code. Asking for help or for the version is no failure.
pub(crate) fn usage(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        // A closed stdout is nobody's fault.
        let _ = error.print();
        return 0;
    }
    let mut stderr = std::io::stderr();
    let rendered = error.render();
    let rendered = rendered.to_string();
    let (summary, lines) = summary_of(&rendered);
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = write!(stderr, "{rendered}");
        return USAGE;
    }
    let failure = Failure::usage(shortened(&plain(&summary))).hint(format!("see: {} --help", command_of(words())));
    if asks_for_json() {
        let _ = writeln!(stderr, "{}", failure.json());
    } else {
        let rest: Vec<String> = rendered.trim_end().lines().skip(lines).map(|line| printable(&shortened(line))).collect();
        let _ = writeln!(stderr, "{}\n{}", rest.join("\n").trim(), failure.text());
    }
    USAGE
}

/// Most characters of a line about the command line: somebody may have pasted a whole file.
const LINE_MAX: usize = 600;

/// Beginning and end of a long line.
fn shortened(line: &str) -> String {
    let count = line.chars().count();
    if count <= LINE_MAX {
        return line.to_owned();
    }
    let half = LINE_MAX / 2;
    let begin: String = line.chars().take(half).collect();
    let end: String = line.chars().skip(count - half).collect();
    format!("{begin} … {end}")
}

/// What the standard library says of numbers, in words for people.
fn plain(summary: &str) -> String {
    summary.replace("invalid digit found in string", "must be a plain whole number")
}

/// The command that was meant, with its family: whose help is looked up.
fn command_of(arguments: impl IntoIterator<Item = String>) -> String {
    let mut command = Arguments::command();
    let mut name = "bellwether".to_owned();
    for argument in arguments {
        let Some(below) = command.find_subcommand(&argument).cloned() else { continue };
        name = format!("{name} {}", below.get_name());
        command = below;
    }
    name
}

/// In one line what clap says first, and how many lines that are. What is missing stands below the first one.
fn summary_of(rendered: &str) -> (String, usize) {
    let first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let below: Vec<&str> = rendered.lines().skip(1).take_while(|line| line.starts_with("  ")).map(str::trim).collect();
    if first.ends_with(':') { (format!("{first} {}", below.join(", ")), 1 + below.len()) } else { (first.to_owned(), 1) }
}

/// The command line up to what belongs to a task.
fn words() -> Vec<String> {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    arguments.take_while(|argument| argument != "--").collect()
}

/// Whether errors should be JSON, although the command line could not be read.
fn asks_for_json() -> bool {
    let arguments = words();
    let flag = |pair: &[String]| matches!(pair[0].as_str(), "-o" | "--output") && is_json(&pair[1]);
    let joined = |argument: &String| {
        let value = argument.strip_prefix("--output=").or_else(|| argument.strip_prefix("-o="));
        value.or_else(|| argument.strip_prefix("-o")).is_some_and(is_json)
    };
    let variable = std::env::var_os("BELLWETHER_OUTPUT").and_then(|output| output.into_string().ok());
    arguments.iter().any(joined) || arguments.windows(2).any(flag) || variable.is_some_and(|output| is_json(&output))
}

fn is_json(output: &str) -> bool {
    matches!(output, "json" | "jsonl")
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::TaskName;
    use bellwether_core::protocol::payload::Rejection;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_line_names_the_outcome_and_what_to_type_next() {
        let failure = Failure::from(Error::NoSuchTask(TaskName::listed("t")));
        assert_eq!(failure.code, 125);
        let text = "bellwether: no-such-task: there is no task t: it was never submitted, or its result was removed; \
                    see what there is with: bellwether list";
        assert_eq!(failure.text(), text);
        let details = Failure::error("error", "one\ntwo\nthree").text();
        assert_eq!(details, "one\ntwo\nbellwether: error: three");
    }

    #[test]
    fn what_a_message_quotes_moves_no_cursor() {
        let text = Failure::error("not-started", "\u{1b}[2J\nno such directory: /\u{1b}[2J\r").hint("see\u{7}").text();
        assert_eq!(text, "\u{fffd}[2J\nbellwether: not-started: no such directory: /\u{fffd}[2J\u{fffd}; see\u{fffd}");
    }

    #[test]
    fn a_command_line_that_is_wrong_is_named_in_few_words() {
        let of = |line: &str| command_of(line.split(' ').map(str::to_owned));
        assert_eq!(
            (of("submit --priority x"), of("-o json worker drain --mode x"), of("nosuch")),
            ("bellwether submit".to_owned(), "bellwether worker drain".to_owned(), "bellwether".to_owned())
        );
        let huge = format!("invalid value '{}' for '--key <KEY>': too long", "é".repeat(100_000));
        let short = shortened(&huge);
        assert!(short.chars().count() < 700 && short.starts_with("invalid value 'é") && short.ends_with("'--key <KEY>': too long"));
        assert_eq!(shortened("short"), "short");
        assert_eq!(plain("'x': invalid digit found in string"), "'x': must be a plain whole number");
    }

    #[test]
    fn codes_tell_whose_fault_it_is() {
        assert_eq!(Failure::from(SubmitError::Rejected(Rejection::Empty)).code, 2);
        assert_eq!(Failure::from(ClosedBecause::BadSettings("x".into())).code, 78);
        assert_eq!(Failure::from(ClosedBecause::Asked).code, 125);
    }

    #[test]
    fn json_errors_have_code_message_and_hint() {
        let json: serde_json::Value = serde_json::from_str(&Failure::usage("x").json()).expect("JSON");
        assert_eq!(json, json!({"error": {"code": "usage", "message": "x", "hint": null}}));
    }

    #[test]
    fn what_is_missing_is_named_in_the_one_line() {
        let rendered = "error: the following required arguments were not provided:\n  <TASK>...\n  --to <NAME>\n\nUsage: x\n";
        let missing = "the following required arguments were not provided: <TASK>..., --to <NAME>";
        assert_eq!(summary_of(rendered), (missing.to_owned(), 3));
        assert_eq!(summary_of("error: unexpected argument\n\nUsage: x\n"), ("unexpected argument".to_owned(), 1));
    }
}
