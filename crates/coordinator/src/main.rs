//! The process of a coordinator.

use std::process::ExitCode;

use bellwether_common::boot;
use bellwether_common::config::Role;

fn main() -> ExitCode {
    boot::run(Role::Coordinator, bellwether_coordinator::run)
}
