//! What a worker looks at before it asks for work: could it run a command, and keep an output? Otherwise the first tasks would find
//! out, and each of them would fail.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bellwether_common::config::{AllowedCommand, Inherited, Limits, WorkDir};
use bellwether_common::output::store::{OutputStore, StoreError};
use bellwether_common::{clock, config};
use nix::sys::prctl::set_no_new_privs;
use nix::unistd::{Gid, Uid, getegid, geteuid};
use tracing::warn;

use crate::executor::policy::make_private_root;
use crate::executor::{Identity, Policy, Settings};
use crate::trust::Trust;

/// What is missing. The text names the key, its value and a way out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// Shell lines could not be run.
    #[error("worker.shell = {shell:?} cannot run commands: {why}; name the absolute path of a shell, as \"/bin/sh\"")]
    Shell {
        /// What was configured.
        shell: String,
        /// What is wrong with it.
        why: String,
    },
    /// Outputs could not be kept.
    #[error(
        "outputs cannot be written to {}: {source}; make it writable for this user, or name another directory as worker.output_dir",
        directory.display()
    )]
    OutputDir {
        /// Where they would go.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Tasks would be root, and nobody said that they may.
    #[error(
        "this worker runs as root, and so would every task, of whoever may write to {connect}: start it as another user, name one as \
         worker.run_as, or say worker.allow_root = true"
    )]
    Root {
        /// Where tasks come from.
        connect: String,
    },
    /// Nobody else can be run as.
    #[error("worker.run_as = {user:?} is impossible: {why}")]
    RunAs {
        /// What was configured.
        user: String,
        /// What is wrong with it.
        why: String,
    },
    /// A command of the list could not be run.
    #[error("worker.allow.{name} = {line:?} cannot be run: {why}")]
    Allow {
        /// What the command is called.
        name: String,
        /// What was configured.
        line: String,
        /// What is wrong with it.
        why: String,
    },
    /// No directories for tasks.
    #[error("worker.work_dir = \"private\": no directory can be made in {}: {source}; set TMPDIR", std::env::temp_dir().display())]
    WorkDir {
        /// What the system says.
        source: io::Error,
    },
    /// Tasks could gain rights.
    #[error("worker.no_new_privileges = true cannot be kept: {0}")]
    Privileges(nix::Error),
    /// What was started could not be remembered.
    #[error(
        "worker.require_signature: what was started cannot be remembered in {}: {source}; make it readable and writable for this user, \
         or name another directory as worker.output_dir",
        file.display()
    )]
    Memory {
        /// Where it would be.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Outputs could not be shipped.
    #[error("worker.output_store cannot be used: {0}")]
    OutputStore(#[from] StoreError),
}

/// The store for outputs, if one is configured. Whether it can be written, the first attempt shows: a store that is away for a while is
/// no reason not to work.
fn open_store(place: &str) -> Result<Option<OutputStore>, Unfit> {
    if place.is_empty() { Ok(None) } else { Ok(Some(OutputStore::open(place)?)) }
}

/// Whom to believe, if signatures are asked for. After [`check`], which makes the directory.
fn open_trust(settings: &config::Settings) -> Result<Option<Trust>, Unfit> {
    let now = u64::try_from(clock::wall().as_second()).unwrap_or(0);
    Trust::of(settings, now).map_err(|(file, source)| Unfit::Memory { file, source })
}

/// What was found, and made.
#[derive(Debug)]
pub(crate) struct Fitted {
    pub(crate) policy: Policy,
    pub(crate) store: Option<OutputStore>,
    pub(crate) trust: Option<Trust>,
}

/// Looks at all that a worker needs. From then on neither the calling thread nor what it starts gains rights, if that is asked for.
pub(crate) fn fit(settings: &config::Settings, executor: &Settings) -> Result<Fitted, Unfit> {
    // Handlers are the program's own, and may what it may.
    let mut policy = if executor.commands { policy(settings, geteuid(), getegid())? } else { Policy::default() };
    check(executor)?;
    let store = open_store(&settings.worker.output_store)?;
    let trust = open_trust(settings)?;
    if executor.commands && settings.worker.no_new_privileges {
        set_no_new_privs().map_err(Unfit::Privileges)?;
    }
    if executor.commands && settings.worker.work_dir == WorkDir::Private {
        policy.private = Some(make_private_root().map_err(|source| Unfit::WorkDir { source })?);
    }
    Ok(Fitted { policy, store, trust })
}

/// What tasks may do, if it can be had by this user.
fn policy(settings: &config::Settings, uid: Uid, gid: Gid) -> Result<Policy, Unfit> {
    let worker = &settings.worker;
    let identity = match worker.run_as.as_str() {
        "" => None,
        user => run_as(user, uid, gid).map_err(|why| Unfit::RunAs { user: user.to_owned(), why })?,
    };
    let is_root = identity.as_ref().map_or(uid.is_root(), |identity| identity.uid == 0);
    if is_root && !worker.allow_root {
        let connect = settings.zookeeper.connect.clone();
        if !is_local(&connect) {
            return Err(Unfit::Root { connect });
        }
        warn!(
            "tasks run as root, because this worker does: worker.run_as names another user; where zookeeper is not on this machine, worker.allow_root must say that they may"
        );
    }
    let mut allow = BTreeMap::new();
    for (name, line) in &worker.allow {
        let found = AllowedCommand::parse(line).and_then(|command| look_at(&command).map(|()| command));
        let command = found.map_err(|why| Unfit::Allow { name: name.clone(), line: line.clone(), why })?;
        allow.insert(name.clone(), command);
    }
    // Looked at when the settings were loaded.
    let limits = Limits::parse(&worker.limits).unwrap_or_default();
    Ok(Policy { exec: worker.exec, allow, identity, limits, clean_environment: worker.environment == Inherited::Clean, private: None })
}

/// Nobody, if that is who we are.
fn run_as(user: &str, uid: Uid, gid: Gid) -> Result<Option<Identity>, String> {
    let identity = Identity::of(user)?;
    if (identity.uid, identity.gid) == (uid.as_raw(), gid.as_raw()) {
        return Ok(None);
    }
    match uid.is_root() {
        true => Ok(Some(identity)),
        false => Err(format!("this worker runs as user {uid}, and only root can run commands as somebody else; leave it out")),
    }
}

fn look_at(command: &AllowedCommand) -> Result<(), String> {
    check_program(command.program()).map_err(|why| format!("{}: {why}", command.program()))?;
    match command.roots().find(|root| !root.is_dir()) {
        Some(root) => Err(format!("there is no directory {}", root.display())),
        None => Ok(()),
    }
}

/// Whether all servers are on this machine: then whoever can submit has a shell here anyhow.
fn is_local(connect: &str) -> bool {
    let hosts = connect.split('/').next().unwrap_or_default();
    hosts.split(',').all(|server| {
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// Looks at the shell, and writes a file into the directory for outputs, which is made if it is missing.
fn check(settings: &Settings) -> Result<(), Unfit> {
    if settings.commands {
        check_program(&settings.shell).map_err(|why| Unfit::Shell { shell: settings.shell.clone(), why })?;
    }
    let Some(directory) = &settings.output_dir else { return Ok(()) };
    check_directory(directory).map_err(|source| Unfit::OutputDir { directory: directory.clone(), source })
}

fn check_program(program: &str) -> Result<(), String> {
    let metadata = fs::metadata(program).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        Err("it is not a file".to_owned())
    } else if metadata.permissions().mode() & 0o111 == 0 {
        Err("it is not executable".to_owned())
    } else {
        Ok(())
    }
}

fn check_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    fs::write(&probe, b"can this be written?\n")?;
    fs::remove_file(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Settings)) -> Result<(), String> {
        let mut settings = Settings::default();
        change(&mut settings);
        check(&settings).map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn a_directory_is_made_and_left_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let outputs = dir.path().join("a/b");
        assert_eq!(with(|settings| settings.output_dir = Some(outputs.clone())), Ok(()));
        assert_eq!(fs::read_dir(&outputs).expect("made").count(), 0, "the probe is gone");
    }

    fn policy_of(change: impl FnOnce(&mut config::Settings), uid: u32) -> Result<Policy, String> {
        let mut settings = config::Settings::default();
        change(&mut settings);
        policy(&settings, Uid::from_raw(uid), Gid::from_raw(uid)).map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn nobody_is_root_for_others_without_being_told() {
        let far = |settings: &mut config::Settings| settings.zookeeper.connect = "127.0.0.1:2181,zk2:2181/prod".into();
        let refused = policy_of(far, 0).expect_err("root for others");
        assert!(refused.contains("worker.run_as") && refused.contains("worker.allow_root = true") && refused.contains("zk2"), "{refused}");
        assert!(policy_of(far, 1000).is_ok());
        assert!(policy_of(|_| {}, 0).is_ok(), "on this machine alone");
        let told = |settings: &mut config::Settings| {
            far(settings);
            settings.worker.allow_root = true;
        };
        assert!(policy_of(told, 0).is_ok());
        let as_root = |settings: &mut config::Settings| {
            far(settings);
            settings.worker.run_as = "0:0".into();
        };
        assert!(policy_of(as_root, 0).expect_err("by another way").contains("runs as root"));
        let as_other = |settings: &mut config::Settings| {
            far(settings);
            settings.worker.run_as = "65533:65533".into();
        };
        assert_eq!(policy_of(as_other, 0).map(|policy| policy.identity.map(|who| who.uid)), Ok(Some(65533)));
    }

    #[test]
    fn only_root_runs_as_somebody_else() {
        let other = |settings: &mut config::Settings| settings.worker.run_as = "65533:65533".into();
        assert!(policy_of(other, 1000).expect_err("no root").contains("only root can run commands as somebody else"));
        assert_eq!(policy_of(other, 65533).map(|policy| policy.identity), Ok(None), "who we are anyhow");
        let nobody = policy_of(|settings| settings.worker.run_as = "no-such-user".into(), 0).expect_err("no user");
        assert_eq!(nobody, "worker.run_as = \"no-such-user\" is impossible: there is no such user");
    }

    #[test]
    fn a_command_that_does_not_exist_is_named_at_the_start() {
        let allow = |line: &str| {
            let line = line.to_owned();
            policy_of(|settings| drop(settings.worker.allow.insert("resize".into(), line)), 1000).map(|policy| policy.allow.len())
        };
        assert_eq!(allow("/bin/true {path:/}"), Ok(1));
        let missing = allow("/no/such/program x").expect_err("no program");
        assert!(missing.starts_with("worker.allow.resize = \"/no/such/program x\" cannot be run: /no/such/program: "), "{missing}");
        assert!(allow("/etc/passwd").expect_err("no program").contains("not executable"));
        assert!(allow("/bin/cat {path:/no/such/place}").expect_err("no root").contains("there is no directory /no/such/place"));
    }

    #[test]
    fn what_is_missing_is_named_with_its_key() {
        let file = with(|settings| settings.output_dir = Some("/dev/null/x".into())).expect_err("a file is no directory");
        assert!(file.contains("/dev/null/x") && file.contains("worker.output_dir"), "{file}");
        let shell = with(|settings| settings.shell = "/no/shell".into()).expect_err("no shell");
        assert!(shell.starts_with("worker.shell = \"/no/shell\" cannot run commands: "), "{shell}");
        assert!(with(|settings| settings.shell = "/etc/passwd".into()).expect_err("no program").contains("not executable"));
    }
}
