//! Commands that are typed one after the other, and what they say, as a text that is the same in every run.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use bellwether_tests::place::Dir;
use bellwether_tests::tasks::SOON;
use bellwether_tests::{CliOutput, CliRun, Cluster, eventually};
use nix::sys::signal::Signal;

/// What was typed, and what was said.
pub(super) struct Session<'a> {
    cluster: Option<&'a Cluster>,
    dir: Arc<Dir>,
    text: String,
    /// Ids, in the order in which they were seen.
    ids: Vec<String>,
}

impl<'a> Session<'a> {
    /// On this cluster, whose address need not be typed.
    pub(super) fn of(cluster: &'a Cluster) -> Self {
        Self { cluster: Some(cluster), ..Self::alone() }
    }

    /// On none.
    pub(super) fn alone() -> Self {
        Self { cluster: None, dir: Arc::new(Dir::new("snapshot")), text: String::new(), ids: Vec::new() }
    }

    /// A file with this content.
    pub(super) fn file(&self, name: &str, content: &str) -> String {
        let file = self.dir.path().join(name);
        std::fs::write(&file, content).expect("a file");
        file.display().to_string()
    }

    fn start(&self, args: &[&str]) -> CliRun {
        match self.cluster {
            Some(cluster) => cluster.cli_start(args),
            None => CliRun::start(args, &[], None, self.dir.clone()),
        }
    }

    /// Types a command, and waits for its end.
    #[track_caller]
    pub(super) fn types(&mut self, args: &[&str]) -> CliOutput {
        let output = self.start(args).finish(SOON);
        self.note(args, "", &output);
        output
    }

    /// Types a command, and Ctrl-C when it has said this.
    #[track_caller]
    pub(super) fn interrupts(&mut self, args: &[&str], said: &str) {
        let run = self.start(args);
        eventually(SOON, said, || run.stderr().contains(said));
        run.signal(Signal::SIGINT);
        let output = run.finish(SOON);
        self.note(args, "^C", &output);
    }

    fn note(&mut self, args: &[&str], typed: &str, output: &CliOutput) {
        let words: Vec<String> = args.iter().map(|word| quoted(word)).collect();
        let line = self.plain(&format!("bellwether {}", words.join(" ")));
        let line = line.trim_end();
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "$ {line}{typed}");
        for (name, said) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let said = self.plain(said);
            if !said.is_empty() {
                let _ = writeln!(self.text, "[{name}]\n{}", said.trim_end_matches('\n'));
            }
        }
        let _ = writeln!(self.text, "[exit code {}]\n", output.code);
    }

    /// What differs from run to run, by a word.
    fn plain(&mut self, said: &str) -> String {
        let mut said = said.to_owned();
        if let Some(cluster) = self.cluster {
            said = said.replace(&cluster.connect_string(), "ZOOKEEPER").replace(&cluster.dir().display().to_string(), "DIR");
        }
        said = said.replace(&self.dir.path().display().to_string(), "DIR");
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        said = said.replace(&format!("{}@{}", user(), host.trim()), "USER@HOST").replace("just now", "0s ago");
        // What is only said when a machine is slow.
        let impatient =
            |line: &&str| !line.contains(" slots are taken: ") && !line.starts_with("no session with zookeeper at ZOOKEEPER yet");
        let lines: Vec<&str> = said.lines().filter(impatient).collect();
        lines.into_iter().map(|line| format!("{}\n", self.plain_line(line))).collect()
    }

    fn plain_line(&mut self, line: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '_');
        let (indent, line) = line.split_at(line.len() - line.trim_start().len());
        if let Some((name, _)) = line.split_once("epoch").filter(|(before, _)| before.trim_matches('"').is_empty()) {
            return format!("{indent}{name}epoch …");
        }
        let mut plain = String::new();
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len()).max(1);
            let end = (end..=rest.len()).find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let cell = plain.ends_with("  ") && behind.is_empty();
            plain.push_str(&self.plain_word(word, cell || behind.starts_with(" ago")));
            rest = behind;
        }
        // The widths of columns depend on what was replaced.
        while plain.contains("   ") {
            plain = plain.replace("   ", "  ");
        }
        format!("{indent}{}", plain.trim_end())
    }

    fn plain_word(&mut self, word: &str, may_last: bool) -> String {
        let (word, colon) = word.strip_suffix([':', '.']).map_or((word, ""), |bare| (bare, &word[bare.len()..]));
        if let Some((id, rest)) = id_of(word) {
            let number = self.ids.iter().position(|seen| seen == id).unwrap_or_else(|| {
                self.ids.push(id.to_owned());
                self.ids.len() - 1
            });
            return format!("TASK{}{rest}{colon}", number + 1);
        }
        let hex = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some((name, _)) = word.rsplit_once('-').filter(|(_, session)| hex(session)) {
            return format!("{name}-SESSION{colon}");
        }
        let bytes = word.as_bytes();
        if bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':' {
            return format!("TIME{colon}");
        }
        if word.strip_prefix("127.0.0.1:").is_some_and(|port| port.len() == 5 || port.len() == 4) {
            return format!("127.0.0.1:PORT{colon}");
        }
        let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if may_last && !number.is_empty() && number != word && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return format!("TOOK{colon}");
        }
        format!("{word}{colon}")
    }

    /// Holds it to the text of this name, or writes that.
    #[track_caller]
    pub(super) fn matches(self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli/snapshots").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::write(&path, &self.text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = kept.lines().zip(self.text.lines()).find(|(kept, said)| kept != said);
        assert!(
            kept == self.text,
            "tests/cli/snapshots/{name}.txt is not what the command says; if it should be: UPDATE_REFERENCE=1. First (kept, said): \
             {differs:#?}\nAll that it says:\n{}",
            self.text
        );
    }
}

/// Who runs the tests.
fn user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok().flatten().map_or_else(String::new, |user| user.name)
}

/// A task's id at the front of a word, and what follows it.
fn id_of(word: &str) -> Option<(&str, &str)> {
    let unique = word.strip_prefix("task-")?;
    let length = unique.bytes().take_while(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()).count();
    (length == 16).then(|| word.split_at("task-".len() + length))
}

/// A word as a shell would need it.
fn quoted(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
    if !word.is_empty() && word.chars().all(bare) { word.to_owned() } else { format!("'{word}'") }
}
