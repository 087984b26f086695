//! What people are asked. Whether something may be done; and after Ctrl-C while a task is watched on a terminal, what is to become of
//! the task: a second Ctrl-C leaves it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use bellwether_client::Cancel;
use bellwether_core::protocol::TaskName;

use super::context::Context;
use super::failure::Failure;
use super::interrupts::Interrupt;

/// Whether somebody at the terminal agrees to this.
///
/// # Errors
/// There is no terminal; `why` says who asks.
pub(crate) async fn agreed(ctx: &Context, what: &str, why: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{why}, and there is nobody to ask")).hint("say --yes to agree beforehand"));
    }
    ctx.printer.error_bytes(format!("{what}? [y/N] ").as_bytes());
    // A failed flush is seen at the next line.
    let _ = io::stderr().flush();
    let read = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = read.await.map_err(|error| Failure::error("error", error.to_string()))?;
    Ok(answer.is_ok_and(|answer| matches!(answer.trim(), "y" | "Y" | "yes")))
}

/// What the person at the terminal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Cancel,
    Leave,
    GoOn,
}

/// What is typed, by its first letter; nothing at all is to go on.
fn understand(line: &str) -> Option<Answer> {
    match line.trim().to_lowercase().chars().next() {
        Some('c') => Some(Answer::Cancel),
        Some('l' | 'q') => Some(Answer::Leave),
        None | Some('g' | 'o') => Some(Answer::GoOn),
        Some(_) => None,
    }
}

/// Whether the command goes on; if not, how it ends. Nothing is printed of the task meanwhile.
pub(crate) async fn after(ctx: &Context, signal: Interrupt) -> Result<(), Failure> {
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let Some(task) = ctx.watched().filter(|_| terminal && signal == Interrupt::Interrupted) else {
        return Err(ctx.interrupted(signal));
    };
    ctx.interrupts.acknowledge();
    let answer = tokio::select! {
        answer = ask(ctx, &task) => answer,
        _ = ctx.interrupts.next() => Answer::Leave,
    };
    match answer {
        Answer::GoOn => Ok(()),
        Answer::Leave => {
            ctx.printer.error_line("");
            Err(ctx.interrupted(signal))
        }
        Answer::Cancel => cancel(ctx, &task).await,
    }
}

async fn ask(ctx: &Context, task: &TaskName) -> Answer {
    loop {
        let question = format!("\n{task}: cancel it (c), leave it running and come back later (l), or go on watching (Enter)? ");
        ctx.printer.error_bytes(question.as_bytes());
        // A thread of its own: the terminal answers when it likes.
        let line = tokio::task::spawn_blocking(read_line).await;
        match line {
            Ok(Ok(line)) if line.is_empty() => return Answer::Leave,
            Ok(Ok(line)) => match understand(&line) {
                Some(answer) => return answer,
                None => ctx.printer.error_line("type c, l, or nothing, and Enter"),
            },
            // A terminal that cannot be read gives no answer.
            Ok(Err(_)) | Err(_) => return Answer::Leave,
        }
    }
}

/// One line from the terminal, whatever stdin is; empty at its end.
fn read_line() -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(File::open("/dev/tty")?).read_line(&mut line)?;
    Ok(line)
}

async fn cancel(ctx: &Context, task: &TaskName) -> Result<(), Failure> {
    match ctx.client().await?.cancel(task, Some("interrupted")).await {
        Ok(Cancel::Ended(result)) => ctx.printer.note(&format!("{task} had ended already: {}", result.outcome)),
        Ok(Cancel::Asked | Cancel::AskedBefore) => ctx.printer.note(&format!("the master is asked to cancel {task}")),
        Err(error) => return Err(Failure::from(error).hint(format!("the task goes on; try: bellwether cancel {task}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_by_their_first_letter() {
        for (line, answer) in [
            ("c\n", Some(Answer::Cancel)),
            ("Cancel", Some(Answer::Cancel)),
            (" l\n", Some(Answer::Leave)),
            ("\n", Some(Answer::GoOn)),
            ("x\n", None),
        ] {
            assert_eq!(understand(line), answer, "{line:?}");
        }
    }
}
