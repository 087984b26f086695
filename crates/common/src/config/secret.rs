//! The secret with which a session authenticates itself: which file holds it, and who else may read that.
//!
//! A secret is never part of the configuration, so that it is in no `ps`, no log and no `config show`.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::schema::Zookeeper;
use super::values::Secret;

/// systemd's variable for the directory of a service's credentials.
pub(super) const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// The credential that stands in for an empty `zookeeper.auth_file`.
const CREDENTIAL: &str = "zookeeper-auth";
/// Longer is no secret but a mistake, as a device or a log.
const SECRET_MAX: u64 = 4096;

/// What stands in `auth_file`, or in the credential that systemd gave, without the newline at its end.
///
/// # Errors
/// What is wrong with the file, without anything of what it holds.
pub(super) fn read(zookeeper: &Zookeeper, credentials: Option<&Path>) -> Result<Option<Secret>, String> {
    if zookeeper.auth_scheme.is_empty() {
        return Ok(None);
    }
    let Some(path) = place(&zookeeper.auth_file, credentials) else { return Ok(None) };
    // Said where the configured name does not: the credential's.
    let named = if zookeeper.auth_file.is_empty() { format!("{}: ", path.display()) } else { String::new() };
    let bytes = contents(&path).map_err(|why| format!("{named}{why}"))?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = line.strip_suffix(b"\r").unwrap_or(line);
    if secret.is_empty() {
        Err(format!("{named}the file is empty; write the secret into it"))
    } else if zookeeper.auth_scheme == "digest" && !secret.contains(&b':') {
        Err(format!("{named}the file must hold user:password for auth_scheme \"digest\""))
    } else {
        Ok(Some(Secret::new(secret.to_vec())))
    }
}

fn place(auth_file: &str, credentials: Option<&Path>) -> Option<PathBuf> {
    if !auth_file.is_empty() {
        return Some(PathBuf::from(auth_file));
    }
    credentials.map(|directory| directory.join(CREDENTIAL)).filter(|path| path.exists())
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    file.take(SECRET_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > SECRET_MAX {
        return Err(format!("is longer than {SECRET_MAX} bytes; it must hold nothing but the secret"));
    }
    // A group may read it: that is how root owns what a service's user reads.
    if mode & 0o027 != 0 {
        let shown = mode & 0o777;
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        return Err(format!("others may read or change the secret (mode {shown:03o}); close it: chmod 0640 {}", path.display()));
    }
    Ok(bytes)
}
