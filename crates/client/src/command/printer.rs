//! What is printed where: results on stdout, everything else on stderr. A pipe that nobody reads any more is no failure; what would go on
//! for ever ends then.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bellwether_common::config::{Format, Output};
use serde::Serialize;
use tokio::sync::Notify;

use super::arguments::{Color, Global};
use super::failure::Failure;
use super::table;

/// Why stdout could not be written, and the first line that was to stand there.
static LOST: OnceLock<(String, String)> = OnceLock::new();

/// Whether whoever read stdout has gone, and who waits for that.
static UNREAD: AtomicBool = AtomicBool::new(false);
static UNREAD_SINCE_NOW: Notify = Notify::const_new();

/// Prints in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// What results are made of.
    pub(crate) output: Output,
    /// Whether tables have more columns.
    pub(crate) wide: bool,
    /// Whether words of states are coloured.
    pub(crate) colored: bool,
    /// Whether JSON has one line per object.
    lines: bool,
    /// Whether nothing is printed that could be asked for again.
    silent: bool,
    pub(crate) quiet: bool,
}

impl Printer {
    /// Before the configuration was read.
    pub(crate) fn early(global: &Global) -> Self {
        Self::new(global, Format::default())
    }

    /// `configured` is what is printed unless a flag says otherwise.
    pub(crate) fn new(global: &Global, configured: Format) -> Self {
        table::show_times(global.time);
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colored = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !no_color && io::stdout().is_terminal(),
        };
        let format = global.output.unwrap_or(configured);
        let silent = format == Format::Quiet;
        let (wide, lines) = (format == Format::Wide, format == Format::Jsonl);
        Self { output: format.output(), wide, colored, lines, silent, quiet: global.quiet || silent }
    }

    /// A line of the result.
    pub(crate) fn line(&self, line: &str) {
        self.bytes(format!("{line}\n").as_bytes());
    }

    /// The id of something that was made: the one thing that whoever wants to hear nothing must know.
    pub(crate) fn id(&self, id: &str) {
        Self { silent: false, ..*self }.line(id);
    }

    /// Bytes of the result, as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        if self.silent {
            return;
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => {}
            // Whoever closed the pipe has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                UNREAD.store(true, Ordering::SeqCst);
                UNREAD_SINCE_NOW.notify_waiters();
            }
            // Told once, at the end, with the first of what was lost: it may be the id of a task.
            Err(error) => {
                let lost = String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().chars().take(200).collect();
                let _ = LOST.set((error.to_string(), lost));
            }
        }
    }

    /// Whether whoever read stdout has gone, as far as anything was written since.
    pub(crate) fn is_unread() -> bool {
        UNREAD.load(Ordering::SeqCst)
    }

    /// Until whoever read stdout has gone.
    pub(crate) async fn unread() {
        // Made first: it hears of what happens before it is awaited, too.
        let since_now = UNREAD_SINCE_NOW.notified();
        if !Self::is_unread() {
            since_now.await;
        }
    }

    /// What could not be written to stdout, if anything.
    pub(crate) fn lost() -> Option<Failure> {
        let (why, lost) = LOST.get()?;
        Some(Failure::error("output-lost", format!("standard output could not be written: {why}; it began with: {lost}")))
    }

    /// The whole result for programs.
    pub(crate) fn json(&self, result: &impl Serialize) {
        let json = if self.lines { serde_json::to_string(result) } else { serde_json::to_string_pretty(result) };
        match json {
            Ok(json) => self.line(&json),
            Err(error) => self.error_line(&format!("cannot be printed as JSON: {error}")),
        }
    }

    /// An object for programs in one line, as a stream has them.
    pub(crate) fn json_line(&self, result: &impl Serialize) {
        Self { lines: true, ..*self }.json(result);
    }

    /// A list for programs: the whole of it, or its elements line by line.
    pub(crate) fn json_list<T: Serialize>(&self, whole: &impl Serialize, elements: impl IntoIterator<Item = T>) {
        match self.lines {
            true => elements.into_iter().for_each(|element| self.json(&element)),
            false => self.json(whole),
        }
    }

    /// Something that a person may want to know; not said if told to be quiet.
    pub(crate) fn note(&self, note: &str) {
        if !self.quiet {
            self.error_line(note);
        }
    }

    /// Bytes on stderr, as they are.
    pub(crate) fn error_bytes(&self, bytes: &[u8]) {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(bytes).and_then(|()| stderr.flush());
    }

    /// A line on stderr that is said in any case.
    pub(crate) fn error_line(&self, line: &str) {
        self.error_bytes(format!("{line}\n").as_bytes());
    }

    /// Says why the command failed, and gives its exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> u8 {
        match self.output {
            Output::Json => self.error_line(&failure.json()),
            Output::Table | Output::Name => self.error_line(&failure.text()),
        }
        failure.code
    }
}
