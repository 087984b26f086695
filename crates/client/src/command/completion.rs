//! `bellwether completion` and `bellwether man`: made of the same definitions as `--help`.

use std::path::Path;

use bellwether_common::config::Format;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::arguments::{Arguments, Global};
use super::failure::Failure;
use super::printer::Printer;

const NAME: &str = "bellwether";

/// Prints the script that completes command lines in this shell.
pub(super) fn script(shell: Shell, global: &Global) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), NAME, &mut script);
    Printer::new(global, Format::Table).bytes(&script);
    0
}

/// Prints the manual of the command, or writes one page for each of its commands below a directory.
pub(super) fn man(dir: Option<&Path>, global: &Global) -> Result<u8, Failure> {
    let printer = Printer::new(global, Format::Table);
    let Some(dir) = dir else {
        printer.bytes(&page(built())?);
        return Ok(0);
    };
    let cannot = |error: std::io::Error| Failure::usage(format!("{}: cannot be written: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(cannot)?;
    for (name, page) in pages()? {
        let file = dir.join(format!("{name}.1"));
        std::fs::write(&file, page).map_err(cannot)?;
        printer.line(&file.display().to_string());
    }
    Ok(0)
}

fn built() -> Command {
    let mut command = Arguments::command();
    command.build();
    command
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map(|()| page).map_err(|error| Failure::error("error", format!("the manual cannot be made: {error}")))
}

/// One page per command, `bellwether-worker-list`.
fn pages() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let (mut pages, mut left) = (Vec::new(), vec![(NAME.to_owned(), built())]);
    while let Some((name, command)) = left.pop() {
        let subcommands = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
        left.extend(subcommands.map(|sub| (format!("{name}-{}", sub.get_name()), sub.clone())));
        pages.push((name.clone(), page(command.display_name(name))?));
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let pages = pages().expect("pages");
        for name in ["bellwether", "bellwether-submit", "bellwether-worker-list", "bellwether-config-show"] {
            let (_, page) = pages.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no page {name}"));
            let page = String::from_utf8_lossy(page);
            assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{name}: {page}");
        }
    }
}
