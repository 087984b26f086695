//! The `bellwether` command: parses, runs, exits. What each command does stands in `command`.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(command::main())
}
