//! `bellwether key`: keys that sign tasks. Nothing of it needs a cluster.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bellwether_common::config::{Format, Output};
use bellwether_common::signing::{PublicKey, SecretKey};
use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::{Global, KeyCommand};
use super::context::Versioned;
use super::failure::Failure;
use super::printer::Printer;

#[derive(Serialize, JsonSchema)]
pub(super) struct Key {
    /// What the key is called in payloads and messages.
    key: String,
    /// The line for `worker.trusted_keys`.
    public: String,
}

/// Longer is no key.
const BYTES_MAX: u64 = 4096;

pub(crate) fn run(command: &KeyCommand, global: &Global) -> Result<u8, Failure> {
    let printer = Printer::new(global, Format::Table);
    let public = match command {
        KeyCommand::New { file, comment } => {
            let made = make(file, comment.as_deref().unwrap_or(&default_comment()))?;
            printer.note(&format!("wrote {}; workers trust it with this line in worker.trusted_keys:", file.display()));
            made
        }
        KeyCommand::Show { file } => show(file)?,
    };
    match printer.output {
        Output::Json => printer.json(&Versioned::new(Key { key: public.id(), public: public.to_string() })),
        Output::Name => printer.line(&public.id()),
        Output::Table => printer.line(&public.to_string()),
    }
    Ok(0)
}

fn make(file: &Path, comment: &str) -> Result<PublicKey, Failure> {
    let failed = |what: &str, error: std::io::Error| {
        let hint = match error.kind() {
            ErrorKind::AlreadyExists => "a key is never overwritten; name another file, or show this one: bellwether key show FILE",
            ErrorKind::NotFound => "make its directory first",
            _ => "name a file that this user can write",
        };
        Failure::usage(format!("{}: {what}: {error}", file.display())).hint(hint)
    };
    let key = SecretKey::generate(comment).map_err(|error| failed("no chance from the kernel", error))?;
    key.write_new(file).map_err(|error| failed("cannot be written", error))?;
    Ok(key.public())
}

fn show(file: &Path) -> Result<PublicKey, Failure> {
    let cannot = |error: std::io::Error| Failure::usage(format!("{}: cannot be read: {error}", file.display()));
    let mut line = Vec::new();
    File::open(file).map_err(cannot)?.take(BYTES_MAX).read_to_end(&mut line).map_err(cannot)?;
    let mode = fs::metadata(file).map_err(cannot)?.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        let failure = Failure::usage(format!("{}: others may read or change the key (mode {mode:03o})", file.display()));
        return Err(failure.hint(format!("chmod 0600 {}; if somebody may have read it, make another one", file.display())));
    }
    let key = SecretKey::parse(&line).map_err(|why| Failure::usage(format!("{}: {why}", file.display())))?;
    Ok(key.public())
}

/// Who made it, for those who read a list of keys.
fn default_comment() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let host = bellwether_common::config::host_name();
    user.map_or_else(|| host.clone(), |user| format!("{}@{host}", user.name))
}
