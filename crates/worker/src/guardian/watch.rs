//! The guardian's side: a process that reads a pipe and kills at its end. No async, no logging, no configuration: it must not fail.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::{self, Read, Write};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::unistd::Pid;

use super::{ARGUMENT, READY};

/// How long to let lines gather: a wake-up for each of them would cost as much as the tasks.
const GATHER: Duration = Duration::from_millis(10);
/// How often to look for marked processes again. Those that are found are dead by the next round.
const ROUNDS: usize = 100;

/// Acts as a guardian, and ends the process, if that is what it was started for. The first thing that `main` calls.
pub fn run_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == ARGUMENT) && arguments.next().is_none() {
        guard();
        std::process::exit(0);
    }
}

fn guard() {
    // Blocked, not ignored: it has the same effect and needs no handler. We end when the worker does, not when it is asked to.
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE] {
        signals.add(signal);
    }
    let _ = signals.thread_block();
    if io::stdout().write_all(READY).and_then(|()| io::stdout().flush()).is_err() {
        return;
    }
    let mut book = Book::default();
    let mut pipe = io::stdin().lock();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                book.read(&buffer[..n]);
                std::thread::sleep(GATHER);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    book.close();
}

/// What runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Book {
    groups: HashSet<i32>,
    marks: BTreeSet<Vec<u8>>,
    /// The beginning of a line whose end has not arrived.
    rest: Vec<u8>,
}

impl Book {
    fn read(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        for line in lines.split(|byte| *byte == b'\n') {
            self.note(line);
        }
    }

    fn note(&mut self, line: &[u8]) {
        let group = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<i32>().ok().filter(|group| *group > 1);
        match line {
            [b'+', digits @ ..] => self.groups.extend(group(digits)),
            [b'-', digits @ ..] => {
                if let Some(group) = group(digits) {
                    self.groups.remove(&group);
                }
            }
            _ => {
                if let Some(worker) = line.strip_prefix(b"worker ").filter(|worker| !worker.is_empty()) {
                    self.marks.insert([b"BELLWETHER_WORKER=", worker].concat());
                }
            }
        }
    }

    fn close(self) {
        for group in &self.groups {
            let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
        }
        for _ in 0..ROUNDS {
            let marked = marked_processes(&self.marks);
            let killed = marked.into_iter().filter(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok()).count();
            if killed == 0 {
                return;
            }
            std::thread::sleep(GATHER);
        }
    }
}

fn marked_processes(marks: &BTreeSet<Vec<u8>>) -> Vec<i32> {
    let us = std::process::id().cast_signed();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        *pid != us && environ.split(|byte| *byte == 0).any(|entry| marks.contains(entry))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_takes_lines_in_any_pieces() {
        let text = b"worker w-1\n+10\n+11\n-10\nnonsense\n+0\n+-5\nworker \n+12\n+13";
        let expected =
            Book { groups: HashSet::from([11, 12]), marks: BTreeSet::from([b"BELLWETHER_WORKER=w-1".to_vec()]), rest: b"+13".to_vec() };
        for size in [1, 2, 3, 7, 100] {
            let mut book = Book::default();
            text.chunks(size).for_each(|piece| book.read(piece));
            assert_eq!(book, expected, "pieces of {size}");
        }
    }
}
