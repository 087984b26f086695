//! The process of a worker, and of its guardian: the same program, told apart by its first argument.

use std::process::ExitCode;

use bellwether_common::boot;
use bellwether_common::config::Role;
use bellwether_worker::guardian;

fn main() -> ExitCode {
    // Before anything else: a guardian has neither settings nor a log.
    guardian::run_if_asked();
    boot::run(Role::Worker, bellwether_worker::run)
}
