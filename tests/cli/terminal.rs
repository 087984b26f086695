//! `run` on a terminal: what Ctrl-C asks, and what a task may do to the screen. `script` makes the terminal.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, eventually, place};

use super::working;

/// What Ctrl-C types.
const CTRL_C: &[u8] = b"\x03";

/// A terminal in which `bellwether` runs. It is killed with this handle.
struct Terminal {
    script: Child,
    screen: PathBuf,
}

impl Terminal {
    fn start(cluster: &Cluster, name: &str, args: &str) -> Self {
        let screen = cluster.dir().join(name);
        // The shell becomes it: otherwise Ctrl-C ends the shell, too, and its exit code is what is seen.
        let line = format!("exec {} -z {} {args}", place::binary("bellwether").display(), cluster.connect_string());
        let mut script = Command::new("script");
        // Quiet, with the exit code of the command, and written at once.
        script.args(["-q", "-e", "-f", "-c", &line]).arg(&screen).current_dir(cluster.dir());
        script.env_remove("BELLWETHER_CONFIG").env_remove("BELLWETHER_OUTPUT").env("TERM", "xterm").env("SHELL", "/bin/sh");
        let script = script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("script, of bsdutils");
        Self { script, screen }
    }

    /// All that was shown.
    fn screen(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.screen).unwrap_or_default()).replace('\r', "")
    }

    #[track_caller]
    fn awaits(&self, what: &str) {
        eventually(SOON, &format!("{what:?} on the screen"), || {
            let screen = self.screen();
            if screen.contains(what) { Ok(()) } else { Err(screen) }
        });
    }

    fn types(&mut self, keys: &[u8]) {
        let keyboard = self.script.stdin.as_mut().expect("a keyboard");
        keyboard.write_all(keys).and_then(|()| keyboard.flush()).expect("typed");
    }

    #[track_caller]
    fn ends(&mut self) -> Option<i32> {
        eventually(SOON, "its end", || self.script.try_wait().expect("a child")).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The command hears of it by the end of its terminal.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

fn waiting_at(gate: &Path) -> String {
    format!("run -- sh -c 'echo ready; until [ -e {} ]; do sleep 0.02; done; echo through; exit 5'", gate.display())
}

#[test]
fn ctrl_c_asks_what_is_to_become_of_the_task() {
    let (cluster, _coordinator, _worker) = working(1);
    let gate = cluster.dir().join("gate");
    let mut terminal = Terminal::start(&cluster, "goes-on", &waiting_at(&gate));
    terminal.awaits("ready\n");
    terminal.types(CTRL_C);
    terminal.awaits("cancel it (c), leave it running and come back later (l), or go on watching (Enter)?");
    terminal.types(b"what\n");
    terminal.awaits("type c, l, or nothing");
    terminal.types(b"\n");
    std::fs::write(&gate, "").expect("opened");
    terminal.awaits("through\n");
    assert_eq!(terminal.ends(), Some(5), "{}", terminal.screen());

    std::fs::remove_file(&gate).expect("closed");
    let mut terminal = Terminal::start(&cluster, "left", &waiting_at(&gate));
    terminal.awaits("ready\n");
    terminal.types(CTRL_C);
    terminal.awaits("go on watching (Enter)?");
    terminal.types(CTRL_C);
    assert_eq!(terminal.ends(), Some(130), "{}", terminal.screen());
    let screen = terminal.screen();
    let task = screen.rsplit_once("watch it with: bellwether logs -f ").map(|(_, task)| task.split_whitespace().next().unwrap_or_default());
    let task = task.unwrap_or_else(|| panic!("how to come back: {screen}")).to_owned();
    let back = cluster.cli_start(&["logs", "-f", &task]);
    eventually(SOON, "what it wrote", || back.stdout() == "ready\n");
    std::fs::write(&gate, "").expect("opened");
    assert_eq!(back.finish(SOON).success().stdout, "ready\nthrough\n");

    std::fs::remove_file(&gate).expect("closed");
    let mut terminal = Terminal::start(&cluster, "cancelled", &waiting_at(&gate));
    terminal.awaits("ready\n");
    terminal.types(CTRL_C);
    terminal.awaits("go on watching (Enter)?");
    terminal.types(b"c\n");
    assert_eq!(terminal.ends(), Some(126), "{}", terminal.screen());
    terminal.awaits("bellwether: cancelled: ");
}

#[test]
fn a_task_does_not_write_to_the_terminal_but_in_text_and_colours() {
    let (cluster, _coordinator, _worker) = working(1);
    let script = cluster.dir().join("garish");
    std::fs::write(&script, "printf '\\033[31mred\\033[0m \\033]0;title\\007 \\377\\n'\n").expect("written");
    let mut terminal = Terminal::start(&cluster, "garish.screen", &format!("run -- sh {}", script.display()));
    assert_eq!(terminal.ends(), Some(0));
    terminal.awaits("\x1b[31mred\x1b[0m ^[]0;title^G \\xff\n");
    let piped = cluster.cli(&["run", "--", "sh", &script.display().to_string()]).success();
    assert_eq!(piped.stdout, "\x1b[31mred\x1b[0m \x1b]0;title\x07 \u{fffd}\n", "a pipe gets the bytes");
}
