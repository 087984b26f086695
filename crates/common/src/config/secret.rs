//! Secrets: that with which a session authenticates itself, that which readers of outputs show, and that which signs tasks. Which file holds it, and who else
//! may read that.
//!
//! A secret is never part of the configuration, so that it is in no `ps`, no log and no `config show`.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::schema::{Client, Http, Zookeeper};
use super::values::Secret;
use crate::signing::SecretKey;

/// systemd's variable for the directory of a service's credentials.
pub(super) const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// The credential that stands in for an empty `zookeeper.auth_file`.
const CREDENTIAL: &str = "zookeeper-auth";
/// The credential that stands in for an empty `http.token_file`.
const TOKEN_CREDENTIAL: &str = "http-token";
/// A shorter token could be guessed.
const TOKEN_MIN: usize = 16;
/// Longer is no secret but a mistake, as a device or a log.
const SECRET_MAX: u64 = 4096;

/// What stands in `auth_file`, or in the credential that systemd gave, without the newline at its end.
///
/// # Errors
/// What is wrong with the file, without anything of what it holds.
pub(super) fn of_zookeeper(zookeeper: &Zookeeper, credentials: Option<&Path>) -> Result<Option<Secret>, String> {
    if zookeeper.auth_scheme.is_empty() && zookeeper.sasl.is_empty() {
        return Ok(None);
    }
    let Some((named, secret)) = line(&zookeeper.auth_file, credentials, CREDENTIAL)? else { return Ok(None) };
    if zookeeper.auth_scheme == "digest" && !secret.contains(&b':') {
        return Err(format!("{named}the file must hold user:password for auth_scheme \"digest\""));
    }
    if !zookeeper.sasl.is_empty() && (!secret.contains(&b':') || std::str::from_utf8(&secret).is_err()) {
        return Err(format!("{named}the file must hold user:password as text for sasl {:?}", zookeeper.sasl));
    }
    Ok(Some(Secret::new(secret)))
}

/// What stands in `token_file`, or in the credential that systemd gave.
///
/// # Errors
/// What is wrong with the file, without anything of what it holds.
pub(super) fn read_token(http: &Http, credentials: Option<&Path>) -> Result<Option<Secret>, String> {
    let Some((named, token)) = line(&http.token_file, credentials, TOKEN_CREDENTIAL)? else { return Ok(None) };
    if token.len() < TOKEN_MIN {
        Err(format!(
            "{named}the token has {} characters, and must have at least {TOKEN_MIN}; make one with: openssl rand -hex 32",
            token.len()
        ))
    } else if !token.iter().all(u8::is_ascii_graphic) {
        Err(format!("{named}the token must be one line of printable ASCII without blanks; make one with: openssl rand -hex 32"))
    } else {
        Ok(Some(Secret::new(token)))
    }
}

/// The key in `sign_key`.
///
/// # Errors
/// What is wrong with the file, without anything of what it holds.
pub(super) fn read_key(client: &Client) -> Result<Option<Secret>, String> {
    let Some((_, key)) = line(&client.sign_key, None, "")? else { return Ok(None) };
    SecretKey::parse(&key).map_err(|why| why.to_string())?;
    Ok(Some(Secret::new(key)))
}

/// The one line of that file, or of the credential, and how to begin a complaint about it.
fn line(file: &str, credentials: Option<&Path>, credential: &str) -> Result<Option<(String, Vec<u8>)>, String> {
    let Some(path) = place(file, credentials, credential) else { return Ok(None) };
    // Said where the configured name does not: the credential's.
    let named = if file.is_empty() { format!("{}: ", path.display()) } else { String::new() };
    let bytes = contents(&path).map_err(|why| format!("{named}{why}"))?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let secret = line.strip_suffix(b"\r").unwrap_or(line);
    if secret.is_empty() {
        return Err(format!("{named}the file is empty; write the secret into it"));
    }
    Ok(Some((named, secret.to_vec())))
}

/// The one line of a file that holds a secret.
///
/// # Errors
/// What is wrong with the file, without anything of what it holds.
pub fn read(file: &Path) -> Result<Secret, String> {
    match line(&file.display().to_string(), None, CREDENTIAL)? {
        Some((_, secret)) => Ok(Secret::new(secret)),
        None => Err("must be the name of a file".to_owned()),
    }
}

fn place(file: &str, credentials: Option<&Path>, credential: &str) -> Option<PathBuf> {
    if !file.is_empty() {
        return Some(PathBuf::from(file));
    }
    credentials.map(|directory| directory.join(credential)).filter(|path| path.exists())
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
