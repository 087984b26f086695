//! From the command line to the exit code.

mod acl;
mod arguments;
mod array;
mod audit;
mod bench;
mod cancel;
mod completion;
mod config;
mod context;
mod dead;
mod dev;
mod doctor;
mod dry_run;
mod events;
mod explain;
mod failure;
mod forget;
mod group;
mod history;
mod interrupts;
mod key;
mod list;
mod logs;
mod master;
mod memory;
mod printer;
mod pursuit;
mod question;
#[cfg(test)]
mod reference_test;
mod result;
mod retry;
mod run;
mod schedule;
mod schema;
mod screen;
mod selector;
mod status;
mod submit;
mod table;
mod tasks_file;
mod top;
mod wait;
mod worker;
mod zk_exporter;

use std::time::Duration;

use arguments::{Arguments, Command, ResultArgs, SubmitArgs};
use clap::Parser;
use context::Context;
use failure::Failure;
use interrupts::Interrupts;
use printer::Printer;
use selector::Scope;

/// How long the end may wait for ZooKeeper to close the session.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// Runs the command that this process was started with, and gives its exit code.
pub(crate) fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    let printer = Printer::early(&arguments.global);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(arguments));
            // Not waited for: a thread may be reading from a terminal still.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::error("error", format!("cannot start a runtime: {error}"))),
    };
    let code = ended.unwrap_or_else(|failure| printer.failure(&failure));
    match Printer::lost() {
        Some(lost) if code == 0 => printer.failure(&lost),
        Some(_) | None => code,
    }
}

async fn run(arguments: Arguments) -> Result<u8, Failure> {
    if let Command::Config(config) = &arguments.command {
        return config::run(config, &arguments.global);
    }
    if let Command::Completion { shell } = &arguments.command {
        return Ok(completion::script(*shell, &arguments.global));
    }
    if let Command::Key { command } = &arguments.command {
        return key::run(command, &arguments.global);
    }
    if let Command::Man(asked) = &arguments.command {
        return completion::man(asked.dir.as_deref(), &arguments.global);
    }
    if let Command::Schema(asked) = &arguments.command {
        return schema::run(asked.what, &arguments.global);
    }
    if let Command::Audit(options) = &arguments.command {
        return audit::run(options, &arguments.global);
    }
    if let Command::ZkExporter = &arguments.command {
        return zk_exporter::run(&arguments.global).await;
    }
    let interrupts = Interrupts::listen()?;
    let ctx = Context::load(arguments.global, interrupts.clone())?;
    if let Command::Dev(options) = &arguments.command {
        return dev::run(&ctx, options).await;
    }
    let ended = until_ended_or_left(&ctx, arguments.command).await;
    if let Some(client) = ctx.connected_client() {
        // Too late is no harm: that it waited is said for a session timeout longer.
        let _ = tokio::time::timeout(CLOSE_WITHIN, client.close()).await;
    }
    ended
}

async fn until_ended_or_left(ctx: &Context, command: Command) -> Result<u8, Failure> {
    let execution = execute(ctx, command);
    tokio::pin!(execution);
    loop {
        let signal = tokio::select! {
            ended = &mut execution => return ended,
            signal = ctx.interrupts.next() => signal,
        };
        question::after(ctx, signal).await?;
    }
}

/// One after the other; the first that has not ended ends the command.
async fn result_of_each(ctx: &Context, asked: &ResultArgs) -> Result<u8, Failure> {
    for task in selector::resolve(ctx, &asked.select, Scope::Ended).await? {
        match asked.failed {
            true => result::failed(ctx, &task).await?,
            false => result::run(ctx, &task).await?,
        };
    }
    Ok(0)
}

/// A task, a group, an array or a schedule; or what would be submitted.
async fn submitted(ctx: &Context, submit: SubmitArgs) -> Result<u8, Failure> {
    submit.check()?;
    let waiting = submit.waiting();
    let SubmitArgs { task, group, elements, rhythm, dry_run, .. } = submit;
    let at = task.at;
    match (group.file.is_some(), elements.is_given(), rhythm.is_given(), dry_run) {
        (true, _, _, true) => dry_run::group(ctx, group::read(ctx, group, elements.max_fails).await?).await,
        (true, _, _, false) => group::submit(ctx, group, elements.max_fails, task, waiting).await,
        (false, true, _, true) => dry_run::array(ctx, array::read(ctx, elements, task).await?, at).await,
        (false, true, _, false) => array::submit(ctx, elements, task, waiting).await,
        (false, false, true, dry_run) => schedule::make(ctx, submit::new(ctx, task).await?, rhythm, dry_run).await,
        (false, false, false, true) => dry_run::task(ctx, submit::new(ctx, task).await?, at).await,
        (false, false, false, false) => submit::run(ctx, task, waiting).await,
    }
}

async fn execute(ctx: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Submit(submit) => submitted(ctx, submit).await,
        Command::Run(run) => {
            run.elements.check(false)?;
            match run.elements.is_given() {
                true => array::run(ctx, run.elements, run.task).await,
                false => run::run(ctx, run.task).await,
            }
        }
        Command::Wait(wait) => {
            let selector::Meant { ids, tasks } = selector::meant(ctx, &wait.select, Scope::Awaited).await?;
            wait::run(ctx, &tasks, &ids, wait::Waiting { any: wait.any, progress: wait.progress }).await
        }
        Command::Status { task: Some(task) } => group::status(ctx, &selector::resolve_id(ctx, &task).await?).await,
        Command::Status { task: None } => status::cluster(ctx).await,
        Command::List(filter) => list::run(ctx, filter).await,
        Command::Result(asked) => result_of_each(ctx, &asked).await,
        Command::Logs(options) => logs::run(ctx, &options).await,
        Command::Worker { command } => worker::run(ctx, command).await,
        Command::Master { command } => master::run(ctx, command).await,
        Command::Explain { task } => explain::run(ctx, &selector::resolve_one(ctx, &task).await?).await,
        Command::History { task } => history::task(ctx, &selector::resolve_one(ctx, &task).await?).await,
        Command::Events(asked) => events::run(ctx, &asked).await,
        Command::Top => top::run(ctx).await,
        Command::Bench(asked) => bench::run(ctx, asked).await,
        Command::Doctor(asked) => doctor::run(ctx, asked.fix, asked.yes).await,
        Command::Retry(which) => retry::run(ctx, &which).await,
        Command::Dead { command } => dead::run(ctx, &command).await,
        Command::Acl { command } => acl::run(ctx, &command).await,
        Command::Schedule { command } => schedule::run(ctx, command).await,
        Command::Forget(forget) => forget::run(ctx, &forget.select).await,
        Command::Cancel(cancel) => {
            let ids = selector::resolve_ids(ctx, &cancel.select, Scope::Living).await?;
            cancel::run(ctx, &ids, &cancel.options()).await
        }
        // These were run before there was anything to connect to.
        Command::Audit(_)
        | Command::Config(_)
        | Command::Dev(_)
        | Command::Key { .. }
        | Command::Completion { .. }
        | Command::Man(_)
        | Command::Schema(_)
        | Command::ZkExporter => Ok(0),
    }
}
