//! A second pair of eyes: scrapes all coordinators of a cluster while a test does what it does, and looks for two that show
//! leadership at once.
//!
//! Scrapes are made one after another, so that no clock decides: if one coordinator shows leadership, then another does, and then
//! the first one again, both did in between. A process that was stopped may show what it believed before for a second after it was
//! woken, and one whose office was deleted by hand until it hears of that.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process;

/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(100);
/// For so long a process that was woken may show what it believed before.
const WAKING: Duration = Duration::from_secs(1);
/// When `/master` is deleted by hand, another may rule before the news of it has come to whoever ruled: two servers tell them. Its
/// writes are refused from that moment on; only what it shows is late.
pub(crate) const NEWS: Duration = Duration::from_millis(250);
const ACTIVE: &str = "bellwether_master_is_active";

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    /// Scrapes that were answered.
    pub scrapes: u64,
    /// The slowest of them, in milliseconds.
    pub slowest_ms: u64,
    /// Who showed leadership at once, and when.
    pub two_masters: Vec<String>,
}

/// A coordinator that is looked at.
#[derive(Debug)]
struct Watched {
    name: String,
    pid: i32,
    log: PathBuf,
    stopped: Option<Instant>,
}

/// Samples until it is asked what it saw, or dropped.
#[derive(Debug)]
pub struct Sampler {
    watched: Arc<Mutex<Vec<Watched>>>,
    seen: Arc<Mutex<Sampled>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Starts with nobody to look at. Who lost the office may show it for as long as `news` may take to come to it.
    #[must_use]
    pub fn start(news: Duration) -> Self {
        let (watched, seen, stop) = (Arc::<Mutex<Vec<Watched>>>::default(), Arc::<Mutex<Sampled>>::default(), Arc::<AtomicBool>::default());
        let (whom, what, until) = (watched.clone(), seen.clone(), stop.clone());
        let work = move || {
            let mut last: Option<String> = None;
            while !until.load(Ordering::Acquire) {
                let mut all = std::mem::take(&mut *whom.lock().unwrap_or_else(PoisonError::into_inner));
                round(&mut all, &mut last, news, &what);
                let mut kept = whom.lock().unwrap_or_else(PoisonError::into_inner);
                all.append(&mut kept);
                *kept = all;
                drop(kept);
                std::thread::sleep(PAUSE);
            }
        };
        let thread = std::thread::Builder::new().name("sampler".to_owned()).spawn(work).expect("a thread");
        Self { watched, seen, stop, thread: Some(thread) }
    }

    /// Looks at this one, too.
    pub fn watch(&self, name: &str, pid: i32, log: &Path) {
        let watched = Watched { name: name.to_owned(), pid, log: log.to_owned(), stopped: None };
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Sampled {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it: what was seen.
    #[must_use]
    pub fn finish(mut self) -> Sampled {
        self.end();
        self.seen()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It panics never; and if it did, the test is told by what is missing.
            let _ = thread.join();
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks everybody once, and those again who showed leadership beside another. `last` was the last to show it.
fn round(all: &mut Vec<Watched>, last: &mut Option<String>, news: Duration, seen: &Mutex<Sampled>) {
    all.retain(|watched| state_of(watched.pid).is_some());
    let mut leading: Vec<&mut Watched> = Vec::new();
    for watched in all {
        if watched.shows_leadership(seen) == Some(true) {
            leading.push(watched);
        }
    }
    if leading.len() > 1 {
        let first = leading.remove(0);
        // The second was asked after the first, and now the first is asked after the second, until the news must have reached it.
        let since = Instant::now();
        let mut both = first.shows_leadership(seen) == Some(true);
        while both && since.elapsed() < news {
            std::thread::sleep(Duration::from_millis(10));
            both = first.shows_leadership(seen) == Some(true) && leading.iter_mut().any(|other| other.shows_leadership(seen) == Some(true));
        }
        if both {
            let names: Vec<&str> = std::iter::once(first.name.as_str()).chain(leading.iter().map(|w| w.name.as_str())).collect();
            let text = format!("{} (before them: {})", names.join(" and "), last.as_deref().unwrap_or("nobody"));
            seen.lock().unwrap_or_else(PoisonError::into_inner).two_masters.push(text);
        }
    } else if let [only] = leading.as_slice() {
        *last = Some(only.name.clone());
    }
}

impl Watched {
    /// `None`: it cannot be asked, or what it says now does not count.
    fn shows_leadership(&mut self, seen: &Mutex<Sampled>) -> Option<bool> {
        let begun = Instant::now();
        if self.is_stopped() {
            return None;
        }
        let address = process::listening_on(&std::fs::read_to_string(&self.log).ok()?)?;
        let answer = process::http_get(address, "/metrics");
        let took = begun.elapsed();
        // A process that was frozen meanwhile says nothing about how quickly it answers.
        if self.is_stopped() || self.stopped.is_some_and(|stopped| stopped.elapsed() < WAKING) {
            return None;
        }
        let (_, text) = answer.ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(ACTIVE)?.rsplit(' ').next()?.parse::<f64>().ok())?;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.scrapes += 1;
        seen.slowest_ms = seen.slowest_ms.max(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        Some(value == 1.0)
    }

    fn is_stopped(&mut self) -> bool {
        let stopped = state_of(self.pid) == Some('T');
        if stopped {
            self.stopped = Some(Instant::now());
        }
        stopped
    }
}

/// The kernel's letter for what a process does; `None` if there is none.
fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::place::Dir;

    /// A server that shows leadership as long as it may, and a log that says where it listens.
    fn coordinator(dir: &Path, name: &str, leads: bool) -> PathBuf {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let log = dir.join(name);
        std::fs::write(&log, format!("listening on {} \n", listener.local_addr().expect("an address"))).expect("written");
        let body = format!("{ACTIVE}{{cluster=\"x\"}} {}\n", u8::from(leads));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n\r\n{body}").as_bytes());
            }
        });
        log
    }

    fn sampled(leading: [bool; 2]) -> Sampled {
        let dir = Dir::new("sampler");
        let sampler = Sampler::start(NEWS);
        let me = i32::try_from(std::process::id()).expect("a pid");
        for (i, leads) in leading.into_iter().enumerate() {
            sampler.watch(&format!("c{i}"), me, &coordinator(dir.path(), &format!("c{i}"), leads));
        }
        bellwether_common::wait::eventually(Duration::from_secs(10), "some rounds", || sampler.seen().scrapes >= 6);
        sampler.finish()
    }

    #[test]
    fn two_that_show_leadership_at_once_are_seen() {
        let seen = sampled([true, true]);
        assert!(seen.two_masters.first().is_some_and(|text| text.starts_with("c0 and c1")), "{seen:?}");
        assert_eq!(sampled([true, false]).two_masters, Vec::<String>::new());
    }
}
