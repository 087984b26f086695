//! What TLS to ZooKeeper stands on: the files with certificates and keys, read, checked and turned into what the client takes.
//!
//! Reading and judging the files needs no cryptography, and is there without the feature `tls`, too: a configuration is checked alike
//! everywhere. What a handshake says of a server stands in `handshake`, and needs the feature.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::{Secret, Zookeeper};

#[cfg(feature = "tls")]
pub(crate) mod handshake;

/// Longer is no certificate but a mistake.
const FILE_MAX: u64 = 1024 * 1024;

/// Where certificates and keys lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    ca: PathBuf,
    identity: Option<(PathBuf, PathBuf)>,
}

/// What stood in them, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pem {
    /// Certificates of those who vouch for servers.
    pub ca: String,
    /// The certificate of this process, and its key.
    pub identity: Option<(String, Secret)>,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {path}: {why}", path = path.display())]
pub struct BadFile {
    /// The key of the configuration that names it.
    pub key: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it, and how to mend it.
    pub why: String,
}

impl TlsFiles {
    /// As configured; `None` without TLS.
    #[must_use]
    pub fn of(zookeeper: &Zookeeper) -> Option<Self> {
        let (cert, key) = (&zookeeper.cert_file, &zookeeper.key_file);
        let identity = (!cert.is_empty() && !key.is_empty()).then(|| (cert.into(), key.into()));
        zookeeper.tls.then(|| Self { ca: PathBuf::from(&zookeeper.ca_file), identity })
    }

    /// Whether this process shows a certificate.
    #[must_use]
    pub const fn has_identity(&self) -> bool {
        self.identity.is_some()
    }

    /// Reads all of them, and checks that each is what it should be, and that the key is nobody else's.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn read(&self) -> Result<Pem, BadFile> {
        let ca = certificates("zookeeper.ca_file", &self.ca)?;
        let identity = match &self.identity {
            Some((cert, key)) => Some((certificates("zookeeper.cert_file", cert)?, private_key(key)?)),
            None => None,
        };
        let pem = Pem { ca, identity };
        #[cfg(feature = "tls")]
        handshake::config(&pem).map_err(|(key, why)| BadFile { key, path: self.path_of(key).to_owned(), why })?;
        Ok(pem)
    }

    #[cfg(feature = "tls")]
    fn path_of(&self, key: &str) -> &Path {
        match (&self.identity, key) {
            (Some((cert, _)), "zookeeper.cert_file") => cert,
            (Some((_, own)), "zookeeper.key_file") => own,
            _ => &self.ca,
        }
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<String, BadFile> {
    let bad = |why: String| BadFile { key, path: path.to_owned(), why };
    let (text, _) = text_of(path).map_err(bad)?;
    let what = if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(text);
    } else if text.contains("PRIVATE KEY-----") {
        "holds a key and no certificate; key and certificate may have been exchanged"
    } else {
        "holds no certificate; it must be PEM, with lines -----BEGIN CERTIFICATE-----"
    };
    Err(bad(what.to_owned()))
}

fn private_key(path: &Path) -> Result<Secret, BadFile> {
    let bad = |why: String| BadFile { key: "zookeeper.key_file", path: path.to_owned(), why };
    let (text, mode) = text_of(path).map_err(bad)?;
    let what = if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        "holds an encrypted key, and nobody is there to type the password; decrypt it with: openssl pkey -in FILE -out KEY"
    } else if text.contains("PRIVATE KEY-----") {
        // A group may read it: that is how root owns what a service's user reads.
        let others = format!("others may read or change the key (mode {:03o}); close it: chmod 0640 {}", mode & 0o777, path.display());
        return if mode & 0o027 == 0 { Ok(Secret::new(text.into_bytes())) } else { Err(bad(others)) };
    } else if text.contains("-----BEGIN CERTIFICATE-----") {
        "holds a certificate and no key; key and certificate may have been exchanged"
    } else {
        "holds no key; it must be PEM, with a line -----BEGIN PRIVATE KEY-----"
    };
    Err(bad(what.to_owned()))
}

/// The text of a file, and its mode.
fn text_of(path: &Path) -> Result<(String, u32), String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err("is longer than 1 MiB: no certificate or key is".to_owned());
    }
    let binary = "is no PEM but binary, as DER, PKCS12 or JKS; make PEM of it with: openssl x509 -inform der, or openssl pkcs12 -nodes";
    Ok((String::from_utf8(bytes).map_err(|_| binary.to_owned())?, metadata.permissions().mode()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    fn written(name: &str, bytes: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(name);
        fs::write(&path, bytes).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        (dir, path)
    }

    #[test]
    fn what_is_no_certificate_is_told_from_what_is() {
        let why = |bytes: &[u8]| {
            let (_dir, path) = written("ca.pem", bytes, 0o644);
            certificates("zookeeper.ca_file", &path).map_err(|bad| bad.to_string())
        };
        assert!(why(CERTIFICATE.as_bytes()).is_ok());
        for (bytes, told) in [
            (KEY.as_bytes(), "holds a key and no certificate"),
            (b"hello", "holds no certificate"),
            (b"", "holds no certificate"),
            (&[0x30, 0x82, 0xff, 0xfe], "is no PEM but binary"),
        ] {
            let error = why(bytes).expect_err(told);
            assert!(error.contains(told) && error.contains("zookeeper.ca_file /"), "{error}");
        }
        let error = certificates("zookeeper.ca_file", Path::new("/nowhere/ca.pem")).expect_err("missing").to_string();
        assert_eq!(error, "zookeeper.ca_file /nowhere/ca.pem: cannot be read: No such file or directory (os error 2)");
        assert!(certificates("zookeeper.ca_file", Path::new("/usr")).expect_err("a directory").why.contains("not a file"));
    }

    #[test]
    fn a_key_is_a_key_and_nobody_elses() {
        let why = |text: &str, mode: u32| {
            let (_dir, path) = written("key.pem", text.as_bytes(), mode);
            private_key(&path).map(drop).map_err(|bad| bad.why)
        };
        for good in [0o400, 0o600, 0o440, 0o640] {
            assert_eq!(why(KEY, good), Ok(()), "{good:o}");
        }
        for bad in [0o644, 0o604, 0o660, 0o602] {
            let error = why(KEY, bad).expect_err("open");
            assert!(error.contains(&format!("(mode {bad:03o}); close it: chmod 0640 /")), "{error}");
        }
        assert!(why(CERTIFICATE, 0o600).expect_err("a certificate").contains("holds a certificate and no key"));
        assert!(why("x", 0o600).expect_err("nothing").contains("holds no key"));
        let encrypted = KEY.replace("BEGIN ", "BEGIN ENCRYPTED ");
        assert!(why(&encrypted, 0o600).expect_err("encrypted").contains("openssl pkey"));
    }
}
