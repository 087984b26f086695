//! What a task may ask for, as whom, with what and where it runs. It stands in the worker's own configuration and nowhere else: nobody
//! who writes to ZooKeeper can change it.
//!
//! What lives here: from what was asked to what is allowed. What does not: starting it (`command`), and the limits of a process, which
//! it puts on itself (`stub`).

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether_common::config::{AllowedCommand, Exec, Limits};
use nix::unistd::{Gid, Uid, User, chown, mkdtemp};
use tracing::warn;

use super::{Program, Run};

/// Variables of a task that do not come from who submitted it.
const OURS: &str = "BELLWETHER";
/// Whose task belongs to which trace is told to every command.
const TRACE: &str = "TRACEPARENT";
/// Variables of the worker that a clean environment has.
const CLEAN: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ"];

/// What tasks may do.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What may be asked for.
    pub exec: Exec,
    /// With [`Exec::Allowlist`]: what by which name.
    pub allow: BTreeMap<String, AllowedCommand>,
    /// As whom commands run, if not as this process. It needs root.
    pub identity: Option<Identity>,
    /// What one command may use. It needs [`run_if_asked`](crate::guardian::run_if_asked).
    pub limits: Limits,
    /// Whether commands see but a few variables of this process.
    pub clean_environment: bool,
    /// Below which each command gets a directory of its own.
    pub private: Option<PathBuf>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Number of the user.
    pub uid: u32,
    /// Number of the group; there are no others.
    pub gid: u32,
    /// What the user is called, and the home, if the system knows.
    pub named: Option<(String, PathBuf)>,
}

impl Identity {
    /// The user of this name, or `uid:gid`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn of(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        if let Some((uid, gid)) = numbers {
            return Ok(Self { uid, gid, named: None });
        }
        match User::from_name(text) {
            Ok(Some(user)) => Ok(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), named: Some((user.name, user.dir)) }),
            Ok(None) => Err("there is no such user".to_owned()),
            Err(error) => Err(format!("the user cannot be looked up: {error}")),
        }
    }
}

impl Policy {
    /// What is run in place of what is asked for.
    ///
    /// # Errors
    /// Why nothing is.
    pub(super) fn permit(&self, run: &Run) -> Result<Program, String> {
        match (self.exec, &run.program) {
            // A handler is the worker's own code.
            (_, Program::Noop | Program::Typed(_)) | (Exec::Shell, _) | (Exec::Argv, Program::Argv(_)) => Ok(run.program.clone()),
            (Exec::Argv, Program::Shell(_)) => {
                Err("it is a line for a shell, and worker.exec is \"argv\": name the program and its arguments".to_owned())
            }
            (Exec::Allowlist, Program::Shell(_)) => {
                Err("it is a line for a shell, and worker.exec is \"allowlist\": name one of its commands and the values".to_owned())
            }
            (Exec::Allowlist, Program::Argv(words)) => self.look_up(words, run),
        }
    }

    fn look_up(&self, words: &[String], run: &Run) -> Result<Program, String> {
        let (name, values) = words.split_first().ok_or("it is empty")?;
        let command = self.allow.get(name).ok_or_else(|| format!("{name:?} is none of its commands (worker.allow)"))?;
        let theirs = run.env.iter().map(|(name, _)| name).find(|name| !name.starts_with(OURS) && *name != TRACE);
        if let Some(variable) = theirs {
            return Err(format!("it sets the variable {variable:?}; commands of worker.allow take values alone"));
        }
        if run.cwd.is_some() {
            return Err("it names a working directory; commands of worker.allow take values alone".to_owned());
        }
        command.fill(values, below).map(Program::Argv).map_err(|why| format!("{name}: {why}"))
    }

    /// Whether the worker's variable of this name is for commands.
    pub(super) fn passes(&self, variable: &[u8]) -> bool {
        !self.clean_environment || variable.starts_with(b"LC_") || CLEAN.iter().any(|name| name.as_bytes() == variable)
    }

    /// What commands are told of who they are.
    pub(super) fn identity_variables(&self) -> Vec<(&'static str, PathBuf)> {
        let named = self.identity.as_ref().map(|identity| identity.named.clone());
        match named {
            None => Vec::new(),
            Some(None) => vec![("HOME", "/".into())],
            Some(Some((name, home))) => vec![("HOME", home), ("USER", name.clone().into()), ("LOGNAME", name.into())],
        }
    }

    /// A directory for one command, if it is to have one.
    pub(super) fn workplace(&self) -> io::Result<Option<Workplace>> {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let Some(root) = &self.private else { return Ok(None) };
        let path = root.join(SERIAL.fetch_add(1, Ordering::Relaxed).to_string());
        DirBuilder::new().mode(0o700).create(&path)?;
        let workplace = Workplace(path);
        if let Some(Identity { uid, gid, .. }) = self.identity {
            chown(&workplace.0, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(Some(workplace))
    }
}

/// Where the directories of commands lie, for this process alone: nobody else chose its name. Everybody may pass through, and see nothing.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_private_root() -> io::Result<PathBuf> {
    let root = mkdtemp(&std::env::temp_dir().join("bellwether-work-XXXXXX"))?;
    fs::set_permissions(&root, Permissions::from_mode(0o711))?;
    Ok(root)
}

/// The directory of one command.
#[derive(Debug)]
pub(super) struct Workplace(PathBuf);

impl Workplace {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with all that is in it. It may be much.
    pub(super) async fn clear(self) {
        let path = self.0.clone();
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(&path)).await;
        if let Ok(Err(error)) = removed {
            warn!(%error, path = %self.0.display(), "the directory of a task cannot be removed");
        }
    }
}

/// Where `value` leads to, which must be below `root`, whatever links are on the way. What does not exist yet may have no links in it:
/// its directory exists.
///
/// Between this look and the program's own, whoever may write below the root can put a link there.
fn below(root: &Path, value: &str) -> Result<String, String> {
    let outside = || format!("must be a path below {}", root.display());
    let given = Path::new(value);
    if value.is_empty() || given.components().any(|part| part == Component::ParentDir) {
        return Err(outside());
    }
    let home = root.canonicalize().map_err(|error| format!("{} cannot be used: {error}", root.display()))?;
    let path = root.join(given);
    let found = match fs::symlink_metadata(&path) {
        Ok(_) => path.canonicalize().map_err(|error| format!("cannot be followed: {error}"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().and_then(|parent| parent.canonicalize().ok()).ok_or("its directory does not exist")?;
            parent.join(path.file_name().ok_or_else(outside)?)
        }
        Err(error) => return Err(format!("cannot be looked at: {error}")),
    };
    let inside = found.starts_with(&home).then(|| found.into_os_string().into_string());
    inside.and_then(Result::ok).ok_or_else(outside)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use bellwether_core::lifecycle::RunId;
    use bellwether_core::protocol::TaskName;

    use super::*;

    fn run(program: Program) -> Run {
        let id = RunId { task: TaskName::listed("t"), czxid: 1 };
        let env = vec![("BELLWETHER_TASK".to_owned(), "t".to_owned()), ("TRACEPARENT".to_owned(), "00-1".to_owned())];
        Run { id, attempt: 1, program, env, cwd: None, stdin: None, timeout: None }
    }

    fn argv(words: &[&str]) -> Program {
        Program::Argv(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn listed(line: &str) -> Policy {
        let allow = [("show".to_owned(), AllowedCommand::parse(line).expect("a command"))].into();
        Policy { exec: Exec::Allowlist, allow, ..Policy::default() }
    }

    #[test]
    fn a_line_for_a_shell_is_run_by_a_shell_only_where_that_is_allowed() {
        let line = run(Program::Shell("echo $HOME".into()));
        assert!(Policy::default().permit(&line).is_ok());
        for exec in [Exec::Argv, Exec::Allowlist] {
            let policy = Policy { exec, ..listed("/bin/cat") };
            assert!(policy.permit(&line).expect_err("a shell").contains("line for a shell"));
            assert_eq!(policy.permit(&run(Program::Noop)), Ok(Program::Noop));
        }
        let policy = Policy { exec: Exec::Argv, ..Policy::default() };
        assert_eq!(policy.permit(&run(argv(&["sh", "-c", "id"]))), Ok(argv(&["sh", "-c", "id"])), "a shell that is named is a program");
    }

    #[test]
    fn only_commands_of_the_list_run_with_nothing_but_values() {
        let policy = listed("/bin/cat -- {text:[a-z]+}");
        assert_eq!(policy.permit(&run(argv(&["show", "me"]))), Ok(argv(&["/bin/cat", "--", "me"])));
        for words in [&["/bin/cat", "x"][..], &["show"], &["show", "a", "b"], &["show", "a;id"], &["show", "$(id)"], &["Show", "a"], &[]] {
            assert!(policy.permit(&run(argv(words))).is_err(), "{words:?}");
        }
        let mut with_variable = run(argv(&["show", "me"]));
        with_variable.env.push(("LD_PRELOAD".to_owned(), "/tmp/evil.so".to_owned()));
        assert!(policy.permit(&with_variable).expect_err("a variable").contains("LD_PRELOAD"));
        let elsewhere = Run { cwd: Some("/tmp".into()), ..run(argv(&["show", "me"])) };
        assert!(policy.permit(&elsewhere).expect_err("a directory").contains("working directory"));
    }

    #[test]
    fn no_path_leads_out_of_its_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("inner")).expect("made");
        fs::write(root.join("inner/file"), "x").expect("written");
        fs::write(dir.path().join("secret"), "x").expect("written");
        symlink(dir.path().join("secret"), root.join("link")).expect("linked");
        symlink(dir.path(), root.join("up")).expect("linked");
        symlink("/nowhere/at/all", root.join("dangling")).expect("linked");
        symlink("inner/file", root.join("near")).expect("linked");
        let home = root.canonicalize().expect("there").display().to_string();
        assert_eq!(below(&root, "inner/file"), Ok(format!("{home}/inner/file")));
        assert_eq!(below(&root, "near"), Ok(format!("{home}/inner/file")), "a link that stays inside");
        assert_eq!(below(&root, "inner/new"), Ok(format!("{home}/inner/new")), "a file that is to be made");
        assert_eq!(below(&root, &format!("{}/inner/file", root.display())), Ok(format!("{home}/inner/file")));
        for value in ["", "..", "../secret", "inner/../../secret", "link", "up/secret", "up/new", "dangling", "/etc/passwd", "no/such/x"] {
            assert!(below(&root, value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_clean_environment_has_what_programs_need_to_be_found() {
        let clean = Policy { clean_environment: true, ..Policy::default() };
        assert!(
            clean.passes(b"PATH") && clean.passes(b"LC_ALL") && !clean.passes(b"AWS_SECRET_ACCESS_KEY") && !clean.passes(b"LD_PRELOAD")
        );
        assert!(Policy::default().passes(b"AWS_SECRET_ACCESS_KEY"));
    }

    #[test]
    fn a_user_is_named_or_numbered() {
        assert_eq!(Identity::of("65533:65532"), Ok(Identity { uid: 65533, gid: 65532, named: None }));
        assert_eq!(Identity::of("root").map(|root| (root.uid, root.gid)), Ok((0, 0)));
        assert!(Identity::of("no-such-user-here").is_err() && Identity::of("1:x").is_err());
    }
}
