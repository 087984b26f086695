//! The command line. Its texts are what `--help` prints.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_client::TaskState;
use bellwether_common::config::{Output, Sources};
use bellwether_core::protocol::TaskName;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

/// Submits commands to a Bellwether cluster and waits for them
#[derive(Debug, Parser)]
#[command(name = "bellwether", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: `run` and `wait ID` exit with the task's own code (128+N when signal N killed it).
  124 timed out · 125 Bellwether or ZooKeeper failed, or there is no such task · 126 cancelled or dead
  2 usage · 78 bad configuration · 130 interrupted (the task goes on)
With these the last line on stderr is `bellwether: <outcome>: …`. Several tasks: 0 if all succeeded, else 1.";

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// ZooKeeper's servers and the cluster's root, host:port,host:port/root [env: BELLWETHER_ZOOKEEPER]
    // Not read by clap: `dev` must know whether it was typed, and a variable comes before --set, not after.
    #[arg(short, long, global = true, value_name = "CONNECT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) zookeeper: Option<String>,

    /// A configuration file; may be given several times, later files override earlier ones
    // Not clap's parser of paths, which refuses the empty one: an empty variable says "none".
    #[arg(short, long, global = true, value_name = "FILE", env = "BELLWETHER_CONFIG",
          value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) config: Vec<PathBuf>,

    /// Override one key, as --set client.output=json; may be given several times
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// What is printed
    #[arg(short, long, global = true, value_enum, env = "BELLWETHER_OUTPUT")]
    pub(crate) output: Option<Output>,

    /// When to use colours; NO_COLOR is honoured, too
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,

    /// How long to go on while ZooKeeper does not answer
    #[arg(long, global = true, default_value = "30s", value_name = "DURATION", value_parser = request_timeout)]
    pub(crate) request_timeout: Duration,

    /// Say more; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// Where the settings come from: files, then environment, then --set, then -z.
    pub(crate) fn sources(&self) -> Sources {
        // What is not text is no address either, and is refused as such instead of being left out.
        self.sources_with(std::env::var_os("BELLWETHER_ZOOKEEPER").map(|connect| connect.to_string_lossy().into_owned()))
    }

    fn sources_with(&self, variable: Option<String>) -> Sources {
        let set = self.set.iter().any(|set| set.starts_with("zookeeper.connect="));
        let zookeeper = self.zookeeper.clone().or(variable.filter(|_| !set)).filter(|connect| !connect.is_empty());
        Sources {
            files: self.config.iter().filter(|file| !file.as_os_str().is_empty()).cloned().collect(),
            sets: self.set.clone(),
            overrides: zookeeper.map(|connect| ("zookeeper.connect".to_owned(), connect)).into_iter().collect(),
        }
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit a command, and print its id
    Submit {
        #[command(flatten)]
        task: TaskArgs,
        /// Wait for its end, and exit as `wait` does
        #[arg(long)]
        wait: bool,
    },
    /// Submit a command, wait, print the end of its output, and exit with its code
    Run {
        #[command(flatten)]
        task: TaskArgs,
    },
    /// Wait until tasks have ended
    Wait {
        /// Ids of tasks
        #[arg(required = true, value_name = "ID", value_parser = TaskName::parse)]
        tasks: Vec<TaskName>,
        /// Only until one of them has
        #[arg(long)]
        any: bool,
    },
    /// Show the cluster, or where a task is
    Status {
        /// Id of a task
        #[arg(value_name = "ID", value_parser = TaskName::parse)]
        task: Option<TaskName>,
    },
    /// List tasks: assigned, pending and held ones by id, then ended ones, the latest id first
    List(ListArgs),
    /// Show how a task ended, with the end of its output
    Result {
        /// Id of a task
        #[arg(value_name = "ID", value_parser = TaskName::parse)]
        task: TaskName,
    },
    /// Look at workers
    Worker {
        #[command(subcommand)]
        command: WorkerCommand,
    },
    /// Look at the master
    Master {
        #[command(subcommand)]
        command: MasterCommand,
    },
    /// Want tasks cancelled; the master does it
    Cancel {
        /// Ids of tasks
        #[arg(required = true, value_name = "ID", value_parser = TaskName::parse)]
        tasks: Vec<TaskName>,
        /// Why, for whoever looks at the result
        #[arg(long)]
        reason: Option<String>,
    },
    /// Look at dead letters: tasks that cost too many workers, or failed with all their retries spent
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Prove from ZooKeeper's transaction logs that every promise was kept
    #[command(after_long_help = AUDIT)]
    Audit(AuditArgs),
    /// Check or show the configuration
    Config(ConfigArgs),
    /// Run a whole cluster on this machine, with a ZooKeeper of its own, until Ctrl-C
    Dev(DevArgs),
    /// Serve ZooKeeper's own figures to Prometheus, until it is asked to stop
    #[command(after_long_help = ZK_EXPORTER)]
    ZkExporter,
}

const ZK_EXPORTER: &str = "\
Asks each server of zookeeper.connect for `mntr` when it is scraped, and tells its figures at http.listen (127.0.0.1:9643 unless
configured) by the names of ZooKeeper's own Prometheus provider. Every server must have mntr in its 4lw.commands.whitelist.
A server that does not answer has bellwether_zookeeper_up 0; the others still show.";

const AUDIT: &str = "\
Reads only; ZooKeeper may be running. Give the directories of all servers where you can: they are merged.
Promises: P1 epochs only grow · P2 nothing is written by who is not in office, or dead · P3 a task is in one place
  P4 a task has one status · P5 a task is assigned to registered workers only · P7 a task keeps payload and counts
Exit codes: 0 clean · 1 violated · 2 unusable: the logs are damaged, incomplete, or of something else

With -o json, one object. Times are RFC 3339, zxids are text in hex, durations end in _ms:
  bellwether  version of this format      verdict  clean, violated or unusable      root  the cluster's path
  log         servers, begins {at: first|snapshot|midway, zxid, path}, first and last {zxid, time}, records, skipped,
              duplicates, seconds, missing [{after, before}], disagreements [zxid], never_committed [zxid],
              damages and unfinished [{path, offset, what, records}]
  terms       [{epoch, name, session, since {zxid, time}, until, ended, vacant_ms: nobody ruled before}]
  workers     incarnations that registered
  tasks       submitted, ended {outcome: count}, lost, attempts_lost, waiting, assigned, stranded (with a dead worker)
  timings     vacancy, reassignment (worker gone to next assignment), queue, run, whole: each {count, p50_ms, p99_ms, max_ms};
              writes_per_task
  violated    how many promises were broken
  violations  [{promise, promised, zxid, time, path, what}], at most 10000";

/// Whose logs to read.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Data directories of ZooKeeper's servers (dataDir or dataLogDir), their version-2, or single log files
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// Where the cluster lies in ZooKeeper: the path at the end of its connect string
    #[arg(long, default_value = "/", value_name = "PATH", value_parser = absolute)]
    pub(crate) root: String,
}

/// What to run, and how.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// What people call it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Additional environment
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Working directory on the worker
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// A file that it reads as its standard input; - is our own
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<PathBuf>,
    /// End an attempt that runs longer than this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Make so many attempts more after one that failed; the workers' task.retries if not said
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(..=1000))]
    pub(crate) retries: Option<u32>,
    /// The shortest and the longest time before another attempt, as 1s..60s; it doubles with each failure
    #[arg(long, value_name = "DURATION..DURATION", value_parser = backoff)]
    pub(crate) retry_backoff: Option<(Duration, Duration)>,
    /// Make another attempt only after these exit codes, as 1,75; otherwise after any failure
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(1..=255))]
    pub(crate) retry_on: Vec<i32>,
    /// Do not run it before so much time has passed
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "at")]
    pub(crate) delay: Option<Duration>,
    /// Do not run it before this time, as 2026-11-22T07:00:00+01:00; by ZooKeeper's clock
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<Timestamp>,
    /// Higher goes first
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// A label that the worker must have
    #[arg(long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) require: Vec<(String, String)>,
    /// A label to find the task by
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// How many workers it may cost before it is dead
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_worker_losses: Option<u32>,
    /// Give the command, joined by spaces, to the worker's shell
    #[arg(long)]
    pub(crate) shell: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only tasks with this label; results carry none, so that ended tasks are left out
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// Only tasks in this state; may be given several times
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Vec<TaskState>,
    /// At most so many; 0 for all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List them
    List(DeadListArgs),
    /// Submit each as a new task, from the beginning; prints the new ids. Its letter goes
    Retry(DeadArgs),
    /// Remove them for good
    Purge(DeadArgs),
}

/// Which dead letters to list.
#[derive(Debug, Args)]
pub(crate) struct DeadListArgs {
    /// Only of tasks with this label
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
}

/// Which dead letters it is about.
#[derive(Debug, Args)]
pub(crate) struct DeadArgs {
    /// Ids of dead tasks, or `all`
    #[arg(required_unless_present = "label", value_name = "ID", value_parser = TaskName::parse)]
    pub(crate) tasks: Vec<TaskName>,
    /// All of tasks with this label
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair, conflicts_with = "tasks")]
    pub(crate) label: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// List the registered workers
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MasterCommand {
    /// Show who rules and who stands by
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read everything and say whether it is right
    Check {
        /// More files, read after those of --config
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print every key with the value that is used
    Show {
        /// Print behind each value where it comes from: a line of a file, a variable, a flag, or the default
        #[arg(long)]
        origin: bool,
        /// More files, read after those of --config
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of a configuration file, for editors and programs
    Schema,
    /// Write a commented configuration file to start from
    Init {
        /// Whose keys it holds
        #[arg(value_enum, default_value_t = Template::Reference)]
        template: Template,
        /// Where it is written; to stdout if there is none
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Overwrite a file that exists
        #[arg(long, requires = "file")]
        force: bool,
    },
}

/// Which configuration file to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// The few keys that a coordinator needs
    Coordinator,
    /// The few keys that a worker needs
    Worker,
    /// The few keys that this command needs
    Client,
    /// Every key there is, at its default, with an explanation
    Reference,
}

/// What a local cluster is made of.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// How many coordinators; the first to come rules, the others stand by
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16), value_name = "NUMBER")]
    pub(crate) coordinators: u32,
    /// How many workers
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=64), value_name = "NUMBER")]
    pub(crate) workers: u32,
    /// How many tasks each worker runs at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256), value_name = "NUMBER")]
    pub(crate) slots: u32,
    /// How many ZooKeeper servers: 1, or 3 to see one die
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7), value_name = "NUMBER")]
    pub(crate) zookeepers: u32,
    /// Keep data and logs in this directory; one that was used before is continued
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("must begin with /".to_owned()) }
}

/// The longest duration that is taken: what is longer is a slip of the pen.
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

fn duration(text: &str) -> Result<Duration, String> {
    let spelled = || "a duration is a number and one of ms, s, m, h, d, as 90s or 1h30m".to_owned();
    let duration = humantime::parse_duration(text).map_err(|_| spelled())?;
    match duration {
        // What is shorter would be rounded to no limit at all.
        _ if duration < Duration::from_millis(1) => Err("must be a millisecond or more".to_owned()),
        _ if duration > YEAR => Err("must be a year at most".to_owned()),
        _ => Ok(duration),
    }
}

/// `SHORTEST..LONGEST`, or one duration for both.
fn backoff(text: &str) -> Result<(Duration, Duration), String> {
    let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
    let (shortest, longest) = (duration(shortest)?, duration(longest)?);
    if shortest > longest { Err("the shortest time must not be longer than the longest".to_owned()) } else { Ok((shortest, longest)) }
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "a time is a date, a time and an offset, as 2026-11-22T07:00:00+01:00 or 2026-11-22T06:00:00Z".to_owned())
}

fn request_timeout(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < Duration::from_secs(1) { Err("must be a second or more".to_owned()) } else { Ok(duration) }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((label, value)) if !label.is_empty() && !value.is_empty() => Ok((label.to_owned(), value.to_owned())),
        _ => Err("must look as label=value".to_owned()),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must look as NAME=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"bellwether").chain(line))
    }

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn everything_after_the_command_belongs_to_it() {
        for line in [&["run", "--", "ls", "-z", "--wait"][..], &["run", "ls", "-z", "--wait"][..]] {
            let Ok(Arguments { command: Command::Run { task }, global }) = parse(line) else { panic!("{line:?}") };
            assert_eq!((task.command, global.zookeeper), (vec!["ls".into(), "-z".into(), "--wait".into()], None));
        }
    }

    #[test]
    fn an_empty_address_is_not_taken_for_the_default() {
        assert!(parse(&["-z", "", "list"]).is_err());
    }

    #[test]
    fn pairs_and_durations_are_checked() {
        let line = ["submit", "--env", "A=b=c", "--label", "x=1", "--timeout", "1m30s", "--priority", "-3", "true"];
        let Ok(Arguments { command: Command::Submit { task, .. }, .. }) = parse(&line) else { panic!("it parses") };
        assert_eq!(task.env, [("A".to_owned(), "b=c".to_owned())]);
        assert_eq!((task.timeout, task.priority), (Some(Duration::from_secs(90)), -3));
        for bad in [
            ["--env", "=x"],
            ["--label", "x"],
            ["--require", "x="],
            ["--timeout", "soon"],
            ["--timeout", "0s"],
            ["--max-worker-losses", "0"],
            ["--retries", "-1"],
            ["--retries", "1001"],
            ["--retry-backoff", "5s..1s"],
            ["--retry-backoff", "0s"],
            ["--retry-backoff", "..1s"],
            ["--retry-on", "0"],
            ["--retry-on", "1,256"],
            ["--retry-on", ""],
            ["--delay", "-1s"],
            ["--at", "tomorrow"],
            ["--at", "2026-11-22T07:00:00"],
        ] {
            let error = parse(&["submit", bad[0], bad[1], "true"]).expect_err(bad[1]);
            assert_eq!(error.exit_code(), 2, "{bad:?}");
        }
        assert!(parse(&["submit", "--delay", "1s", "--at", "2026-11-22T07:00:00Z", "true"]).is_err(), "one or the other");
        assert!(parse(&["submit"]).is_err() && parse(&["wait"]).is_err() && parse(&["status", "a/b"]).is_err());
    }

    #[test]
    fn times_of_retries_are_read() {
        let line =
            ["run", "--retries", "3", "--retry-backoff", "1s..1m", "--retry-on", "1,75", "--at", "2026-11-22T07:00:00+01:00", "true"];
        let Ok(Arguments { command: Command::Run { task }, .. }) = parse(&line) else { panic!("it parses") };
        assert_eq!((task.retries, task.retry_backoff), (Some(3), Some((Duration::from_secs(1), Duration::from_secs(60)))));
        assert_eq!((task.retry_on, task.at.map(|at| at.to_string())), (vec![1, 75], Some("2026-11-22T06:00:00Z".to_owned())));
        assert_eq!(backoff("2s"), Ok((Duration::from_secs(2), Duration::from_secs(2))));
    }

    #[test]
    fn a_dead_letter_is_named_or_described() {
        for good in [&["dead", "list"][..], &["dead", "retry", "t1", "t2"], &["dead", "purge", "-l", "a=b"], &["dead", "purge", "all"]] {
            assert!(parse(good).is_ok(), "{good:?}");
        }
        for bad in [&["dead"][..], &["dead", "retry"], &["dead", "purge", "-l", "a=b", "t"], &["dead", "retry", "a/b"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_empty_variable_says_none() {
        let global = parse(&["-c", "", "status"]).expect("it parses").global;
        assert_eq!(global.sources_with(Some(String::new())), Sources::default());
    }

    #[test]
    fn a_flag_comes_before_a_setting_and_that_before_a_variable() {
        let connect = |line: &[&str]| {
            let sources = parse(line).expect("it parses").global.sources_with(Some("variable:1".into()));
            sources.overrides.into_iter().map(|(_, connect)| connect).next()
        };
        assert_eq!(connect(&["status", "-z", "flag:1", "--set", "zookeeper.connect=set:1"]).as_deref(), Some("flag:1"));
        assert_eq!(connect(&["status", "--set", "zookeeper.connect=set:1"]), None);
        assert_eq!(connect(&["status"]).as_deref(), Some("variable:1"));
    }
}
