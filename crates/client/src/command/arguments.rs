//! The command line. Its texts are what `--help` prints. What every command understands stands in `global.rs`, the options of each
//! command or family of commands in a file of its name.

mod acl;
mod audit;
mod benching;
mod cancel;
mod config;
mod dead;
mod dev;
mod examples;
mod forget;
mod global;
mod key;
mod list;
mod logs;
mod looking;
mod master;
mod schedule;
mod submit;
mod task;
#[cfg(test)]
mod tests;
pub(super) mod values;
mod wait;
mod worker;

use clap::{Parser, Subcommand};

use super::selector::{Selector, SelectorArgs};

pub(crate) use self::acl::AclCommand;
pub(crate) use self::audit::AuditArgs;
pub(crate) use self::benching::{BenchArgs, BenchPart};
pub(crate) use self::cancel::CancelArgs;
pub(crate) use self::config::{ConfigArgs, ConfigCommand, Template};
pub(crate) use self::dead::{DeadCommand, DeadListArgs};
pub(crate) use self::dev::DevArgs;
pub(crate) use self::forget::ForgetArgs;
pub(crate) use self::global::{Color, Global, Times};
pub(crate) use self::key::KeyCommand;
pub(crate) use self::list::{ListArgs, Sort};
pub(crate) use self::logs::LogsArgs;
pub(crate) use self::looking::{Described, DoctorArgs, EventsArgs, ManArgs, SchemaArgs};
pub(crate) use self::master::MasterCommand;
pub(crate) use self::schedule::{RhythmArgs, ScheduleCommand, SchedulesArgs};
pub(crate) use self::submit::{ElementArgs, GroupArgs, RunArgs, SubmitArgs};
pub(crate) use self::task::TaskArgs;
pub(crate) use self::wait::{ResultArgs, WaitArgs};
pub(crate) use self::worker::{DrainArgs, WorkerCommand};

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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit a command, and print its id
    #[command(after_long_help = examples::SUBMIT)]
    Submit(SubmitArgs),
    /// Submit a command, show its output while it runs, and exit with its code
    #[command(after_long_help = examples::RUN)]
    Run(RunArgs),
    /// Wait until tasks have ended
    #[command(after_long_help = examples::WAIT)]
    Wait(WaitArgs),
    /// Show the cluster, or where a task is
    Status {
        /// Id of a task, or last
        #[arg(value_name = "TASK", value_parser = Selector::parse)]
        task: Option<Selector>,
    },
    /// List tasks: assigned, pending and held ones by id, then ended ones, the latest id first
    #[command(after_long_help = examples::LIST)]
    List(ListArgs),
    /// Show how tasks ended, with the end of their output
    Result(ResultArgs),
    /// Show what a task wrote, the whole of it
    #[command(after_long_help = examples::LOGS)]
    Logs(LogsArgs),
    /// Look at workers, and have them drain
    #[command(after_long_help = examples::WORKER)]
    Worker {
        #[command(subcommand)]
        command: WorkerCommand,
    },
    /// Look at the master, and pause assignments
    Master {
        #[command(subcommand)]
        command: MasterCommand,
    },
    /// Want tasks cancelled; the master does it
    #[command(after_long_help = examples::CANCEL)]
    Cancel(CancelArgs),
    /// Remove results of tasks that have ended, before their time
    Forget(ForgetArgs),
    /// Submit ended tasks once more, each as a new task from the beginning; prints the new ids
    ///
    /// A range, a label and `all` mean those that ended otherwise than well.
    #[command(after_long_help = examples::RETRY)]
    Retry(SelectorArgs),
    /// Say why a task does not run: every reason, and for each worker what excludes it
    Explain {
        /// Id of a task, or last
        #[arg(value_name = "TASK", value_parser = Selector::parse)]
        task: Selector,
    },
    /// Show what became of a task, step by step
    History {
        /// Id of a task, or last
        #[arg(value_name = "TASK", value_parser = Selector::parse)]
        task: Selector,
    },
    /// Look at dead letters: tasks that cost too many workers, or failed with all their retries spent
    #[command(after_long_help = examples::DEAD)]
    Dead {
        #[command(subcommand)]
        command: DeadCommand,
    },
    /// Make and show keys that sign tasks
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Look at schedules, made by `submit --every` or `--cron`; pause, resume or delete them
    #[command(after_long_help = examples::SCHEDULE)]
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Look at who may do what with the nodes of a secured cluster, and set it
    Acl {
        #[command(subcommand)]
        command: AclCommand,
    },
    /// Prove from ZooKeeper's transaction logs that every promise was kept
    #[command(after_long_help = audit::AUDIT)]
    Audit(AuditArgs),
    /// Check or show the configuration
    Config(ConfigArgs),
    /// Tell what happened of late, and with -f what happens
    #[command(after_long_help = examples::EVENTS)]
    Events(EventsArgs),
    /// Look at the cluster live: who rules, who works, what waits, what happens; q ends it
    Top,
    /// Measure how fast the cluster is, beside how fast its ZooKeeper is alone; asks first where the cluster is in use
    Bench(BenchArgs),
    /// Look for what is wrong with the cluster, and say how to mend it; exits with 1 if something is broken
    Doctor(DoctorArgs),
    /// Print the script that completes command lines in a shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual
    Man(ManArgs),
    /// Print the JSON Schema of what each command prints with -o json, or of what it reads
    Schema(SchemaArgs),
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
