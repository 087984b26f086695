//! From the command line to the exit code.

mod arguments;
mod audit;
mod cancel;
mod config;
mod context;
mod dead;
mod dev;
mod failure;
mod forget;
mod interrupts;
mod list;
mod logs;
mod master;
mod printer;
mod pursuit;
mod question;
#[cfg(test)]
mod reference_test;
mod result;
mod run;
mod schedule;
mod screen;
mod status;
mod submit;
mod table;
mod wait;
mod worker;
mod zk_exporter;

use std::time::Duration;

use arguments::{Arguments, Command, MasterCommand, WorkerCommand};
use clap::Parser;
use context::Context;
use failure::Failure;
use interrupts::Interrupts;
use printer::Printer;

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

async fn execute(ctx: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Submit(submit) => {
            submit.rhythm.check()?;
            match submit.rhythm.is_given() {
                true => schedule::make(ctx, submit::new(ctx, submit.task).await?, submit.rhythm).await,
                false => submit::run(ctx, submit.task, submit.wait).await,
            }
        }
        Command::Run(run) => run::run(ctx, run.task).await,
        Command::Wait(wait) => wait::run(ctx, &wait.tasks, wait.any).await,
        Command::Status { task: Some(task) } => status::task(ctx, &task).await,
        Command::Status { task: None } => status::cluster(ctx).await,
        Command::List(filter) => list::run(ctx, filter).await,
        Command::Result { task } => result::run(ctx, &task).await,
        Command::Logs(options) => logs::run(ctx, &options).await,
        Command::Worker { command: WorkerCommand::List } => worker::list(ctx).await,
        Command::Master { command: MasterCommand::Status } => master::status(ctx).await,
        Command::Dead { command } => dead::run(ctx, &command).await,
        Command::Schedule { command } => schedule::run(ctx, command).await,
        Command::Forget(forget) => forget::run(ctx, forget.tasks).await,
        Command::Cancel(cancel) => cancel::run(ctx, &cancel.tasks, cancel.reason.as_deref()).await,
        // These were run before there was anything to connect to.
        Command::Audit(_) | Command::Config(_) | Command::Dev(_) | Command::ZkExporter => Ok(0),
    }
}
