//! Certificates, made by openssl: authorities, and what they issue.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Somebody who issues certificates, into one directory.
#[derive(Debug, Clone)]
pub struct Authority {
    dir: PathBuf,
    name: String,
}

/// For how long a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For two days from now on.
    Now,
    /// It was, until last week.
    Past,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// openssl fails.
    #[must_use]
    #[track_caller]
    pub fn new(dir: &Path, name: &str) -> Self {
        let own = Self { dir: dir.to_owned(), name: name.to_owned() };
        let (key, certificate) = (own.file("key"), own.file("pem"));
        let subject = format!("/CN={name}");
        openssl(
            Validity::Now,
            &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
            &["-keyout", &key, "-out", &certificate, "-subj", &subject],
        );
        own
    }

    fn file(&self, extension: &str) -> String {
        self.dir.join(format!("{}.{extension}", self.name)).display().to_string()
    }

    /// The file with its own certificate.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.file("pem")
    }

    /// Issues a certificate for `CN=<name>` at 127.0.0.1, and nowhere else: into `<name>.pem`, `<name>.key` and, both together,
    /// `<name>-both.pem`. One that was issued under this name before is replaced.
    ///
    /// # Panics
    /// openssl fails.
    #[track_caller]
    pub fn issue(&self, name: &str, validity: Validity) {
        let file = |extension: &str| self.dir.join(format!("{name}{extension}")).display().to_string();
        let (key, request, certificate, extensions) = (file(".key"), file(".csr"), file(".pem"), file(".ext"));
        let subject = format!("/CN={name}");
        openssl(
            Validity::Now,
            &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
            &["-keyout", &key, "-out", &request, "-subj", &subject],
        );
        let lines = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n";
        std::fs::write(&extensions, lines).expect("written");
        openssl(
            validity,
            &["x509", "-req", "-days", "2", "-CAcreateserial"],
            &["-in", &request, "-CA", &self.file("pem"), "-CAkey", &self.file("key"), "-extfile", &extensions, "-out", &certificate],
        );
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let both = [std::fs::read(&key).expect("a key"), std::fs::read(&certificate).expect("a certificate")].concat();
        std::fs::write(file("-both.pem"), both).expect("written");
    }
}

#[track_caller]
fn openssl(when: Validity, first: &[&str], then: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(first).args(then);
    if when == Validity::Past {
        let preload = faketime().expect("libfaketime: make deps installs it");
        command.env("LD_PRELOAD", preload).env("FAKETIME", "-9d");
    }
    let output = command.output().expect("openssl: make deps installs it");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn faketime() -> Option<PathBuf> {
    let places = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    places.into_iter().find(|path| path.is_file())
}
