//! The reference of the command, docs/reference/command.md: made of what `--help` prints, and held to it.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use clap::{ColorChoice, Command, CommandFactory};

use super::arguments::Arguments;

const HEAD: &str = "\
# The command

What `--help` prints, for `bellwether` and each of its commands; the options of `bellwether` itself are understood by all of them. This
page is made by `make fix`; a test compares it.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    describe(Arguments::command(), "bellwether", 2, &mut page);
    page
}

// Not built from the top: then each command would repeat the options that all understand.
fn describe(command: Command, name: &str, level: usize, page: &mut String) {
    let subcommands: Vec<Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    let plain = command.bin_name(name).term_width(120).color(ColorChoice::Never).mut_args(|argument| argument.hide_env_values(true));
    let help = { plain }.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    // Writing to a String does not fail.
    let _ = write!(page, "\n{} {name}\n\n```text\n{}\n```\n", "#".repeat(level), lines.join("\n").trim_end());
    for sub in subcommands {
        let name = format!("{name} {}", sub.get_name());
        describe(sub, &name, 3, page);
    }
}

#[test]
fn the_reference_says_what_help_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/command.md");
    let page = page();
    if env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/reference/command.md is not what --help prints: run `make fix`");
}
