//! A small file system of a test's own, to be filled up. Needs the right to mount.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs that is unmounted with its handle.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts one of `mib` MiB on a directory, which is created.
    ///
    /// # Errors
    /// Why this machine cannot do it.
    pub fn tmpfs(dir: &Path, mib: u32) -> Result<Self, String> {
        std::fs::create_dir_all(dir).map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(dir).output();
        let output = output.map_err(|error| format!("mount cannot be run: {error}"))?;
        if output.status.success() { Ok(Self(dir.to_owned())) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
    }

    /// Writes a file until nothing more fits. The room comes back when it is removed.
    ///
    /// # Panics
    /// Something else than a full disk stops it.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).expect("a file");
        // In small pieces at last, so that the very last byte is taken.
        for size in [64 * 1024, 1024, 1] {
            loop {
                match file.write_all(&vec![b'x'; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: what still has a file open there keeps it until it is gone.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
