//! A real pseudo-terminal with the command in it: what is drawn, what is typed, how it leaves the terminal behind. It is that of
//! `script`, which every Debian has; a shell inside says which one it is, and how it is set before and after.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::place;
use crate::process;

/// A terminal, and the command that runs in it. Both end with this handle.
#[derive(Debug)]
pub struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    drawn: Arc<Mutex<Vec<u8>>>,
    forgotten: usize,
}

impl Terminal {
    /// Starts `bellwether` with these arguments in a terminal of this size, as a shell would.
    ///
    /// # Panics
    /// There is no terminal, or the command cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(args: &[&str], columns: u16, lines: u16) -> Self {
        let words: Vec<String> = args.iter().map(|arg| format!("'{}'", arg.replace('\'', "'\\''"))).collect();
        let command = format!("{} {}", place::binary("bellwether").display(), words.join(" "));
        let settings = "echo set=$(stty -g)=";
        let shell = format!("stty cols {columns} rows {lines}; echo on=$(tty)=; {settings}; {command}; code=$?; {settings}; exit $code");
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &shell, "/dev/null"]);
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        process::scrub(&mut script);
        script.env("TERM", "xterm-256color").env("SHELL", "/bin/sh").env_remove("NO_COLOR").env("XDG_STATE_HOME", std::env::temp_dir());
        let mut script = script.spawn().expect("script starts");
        let (keyboard, mut screen) = (script.stdin.take().expect("a pipe"), script.stdout.take().expect("a pipe"));
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&drawn);
        // Ends with the terminal.
        std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(count @ 1..) = screen.read(&mut chunk) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..count]);
            }
        });
        Self { script, keyboard, drawn, forgotten: 0 }
    }

    fn all(&self) -> String {
        String::from_utf8_lossy(&self.drawn.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// What was written so far, with its escapes, and was not forgotten.
    #[must_use]
    pub fn raw(&self) -> String {
        let drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&drawn[self.forgotten..]).into_owned()
    }

    /// The same without escapes: words with one blank between. Whoever draws a screen moves the cursor over blanks instead of writing them.
    #[must_use]
    pub fn words(&self) -> String {
        let (raw, mut text) = (self.raw(), String::new());
        let mut characters = raw.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\x1b' if characters.next_if_eq(&'[').is_some() => {
                    // Up to the letter that says what it is.
                    let _ = characters.by_ref().find(|character| ('@'..='~').contains(character));
                    text.push(' ');
                }
                _ => text.push(character),
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Forgets what was written so far.
    pub fn forget(&mut self) {
        self.forgotten = self.drawn.lock().unwrap_or_else(PoisonError::into_inner).len();
    }

    /// Types.
    ///
    /// # Panics
    /// Nobody can read it.
    #[track_caller]
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).expect("typed");
    }

    /// Changes its size.
    ///
    /// # Panics
    /// `stty` does not do it.
    #[track_caller]
    pub fn resize(&self, columns: u16, lines: u16) {
        let all = self.all();
        let device = all.split("on=").nth(1).and_then(|rest| rest.split('=').next()).expect("the terminal's name");
        let done = Command::new("stty").args(["-F", device, "cols", &columns.to_string(), "rows", &lines.to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "stty changes the size of {device}");
    }

    /// Whether its settings were in the end those that it had before the command was started. To be asked after [`finish`](Self::finish).
    #[must_use]
    pub fn is_restored(&self) -> bool {
        let all = self.all();
        let settings: Vec<&str> = all.split("set=").skip(1).filter_map(|rest| rest.split('=').next()).collect();
        matches!(settings.as_slice(), [before, after] if before == after && before.contains(':'))
    }

    /// Waits for the end of the command, and gives its exit code.
    ///
    /// # Panics
    /// It takes longer than `limit`, or was killed.
    #[must_use]
    #[track_caller]
    pub fn finish(&mut self, limit: Duration) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.script.try_wait().expect("a child") {
                // What was written last is read when the pipe has ended.
                crate::eventually(limit, "the settings at the end", || self.all().matches("set=").count() == 2);
                return status.code().unwrap_or_else(|| panic!("it was killed: {status}; {}", self.raw()));
            }
            assert!(begun.elapsed() < limit, "not ended after {limit:?}: {}", self.raw());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already; otherwise the terminal is hung up, and the command with it.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
