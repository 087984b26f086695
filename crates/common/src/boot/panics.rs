//! What becomes of a panic: the end of the process, except in code that is not ours.
//!
//! A panic in an actor kills that actor alone, and what is sent to it is dropped in silence. A process that looks alive and does
//! nothing is the worst state, so it ends; its session ends with it, and others take over.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::marker::PhantomData;
use std::panic::{self, PanicHookInfo};
use std::process;
use std::sync::Once;
use std::thread;

use tracing::{error, warn};

use crate::exit::Exit;

thread_local! {
    /// How many [`UserCode`] marks this thread holds.
    static USER_CODE: Cell<u32> = const { Cell::new(0) };
}

/// Marks that this thread runs a user's handler: a panic there is logged and unwinds, for the caller to catch and to count as a
/// failed attempt.
///
/// Hold it for one call or one poll, never over an `.await`: the thread has other work in between. The type is not `Send`, so that
/// the compiler refuses most attempts.
#[derive(Debug)]
pub struct UserCode {
    on_this_thread_only: PhantomData<*const ()>,
}

impl UserCode {
    /// From here on, until the mark is dropped.
    #[must_use = "the mark holds until it is dropped"]
    pub fn enter() -> Self {
        USER_CODE.set(USER_CODE.get() + 1);
        Self { on_this_thread_only: PhantomData }
    }

    fn is_running() -> bool {
        USER_CODE.get() > 0
    }
}

impl Drop for UserCode {
    fn drop(&mut self) {
        USER_CODE.set(USER_CODE.get() - 1);
    }
}

thread_local! {
    /// Whether this thread is one of ours, in a program that is not.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Marks that a panic on this thread ends the process, in a program that embeds a service.
pub fn mark_thread() {
    OURS.set(true);
}

/// From now on a panic on one of [our threads](mark_thread) ends the process with [`Exit::Panic`], after it was handed to whatever hook
/// the program has; any other panic is the program's own affair.
pub(super) fn end_an_embedding_process() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let theirs = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            theirs(panic);
            if OURS.get() && !UserCode::is_running() {
                error!(panic = message(panic), at = location(panic), "panic in an embedded worker, ending the process");
                process::exit(i32::from(Exit::Panic.code()));
            }
        }));
    });
}

/// From now on a panic on any thread ends the process with [`Exit::Panic`], after it was logged.
pub(super) fn end_the_process() {
    panic::set_hook(Box::new(|panic| {
        if UserCode::is_running() {
            return warn!(message = message(panic), at = location(panic), "handler panicked");
        }
        let backtrace = Backtrace::capture();
        let shown = if backtrace.status() == BacktraceStatus::Captured { backtrace.to_string() } else { String::new() };
        let thread = thread::current();
        error!(
            panic = message(panic),
            at = location(panic),
            thread = thread.name(),
            "panic, ending the process{}{shown}",
            if shown.is_empty() { "" } else { "\n" }
        );
        process::exit(i32::from(Exit::Panic.code()));
    }));
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    panic.payload_as_str().unwrap_or("a value that is no text")
}

fn location(panic: &PanicHookInfo<'_>) -> String {
    panic.location().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_nest_and_end_with_their_scope() {
        assert!(!UserCode::is_running());
        {
            let _outer = UserCode::enter();
            drop(UserCode::enter());
            assert!(UserCode::is_running());
            let elsewhere = thread::spawn(UserCode::is_running).join().expect("it returns");
            assert!(!elsewhere, "a mark holds for its own thread");
        }
        assert!(!UserCode::is_running());
    }
}
