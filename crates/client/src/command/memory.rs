//! What this user submitted last, per cluster: `$XDG_STATE_HOME/bellwether/last.json`. It is a convenience: that it cannot be written
//! fails no command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use bellwether_core::protocol::TaskName;
use serde::{Deserialize, Serialize};

/// Most ids that are remembered of one submission.
const IDS_MAX: usize = 1_000;
/// Most clusters that are remembered; those that sort last are forgotten.
const CLUSTERS_MAX: usize = 100;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// By servers and root.
    clusters: BTreeMap<String, Vec<TaskName>>,
}

/// Remembers them as the last submission to this cluster.
pub(crate) fn remember(address: &str, tasks: &[TaskName]) {
    let Some(file) = file(|name| std::env::var_os(name)) else { return };
    if let Err(error) = write(&file, address, tasks) {
        tracing::debug!(file = %file.display(), %error, "the last submission is not remembered");
    }
}

/// The last submission to this cluster, if there was one.
pub(crate) fn recall(address: &str) -> Option<Vec<TaskName>> {
    let file = file(|name| std::env::var_os(name))?;
    read(&file).clusters.remove(address).filter(|tasks| !tasks.is_empty())
}

/// The specification has it that a path that is not absolute is as good as none.
fn file(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("bellwether/last.json"))
}

fn read(file: &Path) -> Memory {
    std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn write(file: &Path, address: &str, tasks: &[TaskName]) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(dir)?;
    let mut memory = read(file);
    while memory.clusters.len() >= CLUSTERS_MAX && !memory.clusters.contains_key(address) {
        memory.clusters.pop_last();
    }
    memory.clusters.insert(address.to_owned(), tasks.iter().take(IDS_MAX).cloned().collect());
    // Moved into place whole: somebody else may be reading it.
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    new.write_all(&serde_json::to_vec(&memory)?)?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<TaskName> {
        names.iter().map(|name| TaskName::listed(name)).collect()
    }

    #[test]
    fn each_cluster_has_its_own_last_submission() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("deep/last.json");
        write(&file, "a:1/x", &ids(&["t1"])).expect("written");
        write(&file, "b:1", &ids(&["t2", "t3"])).expect("written");
        write(&file, "a:1/x", &ids(&["t4"])).expect("written");
        let memory = read(&file);
        assert_eq!((&memory.clusters["a:1/x"], &memory.clusters["b:1"]), (&ids(&["t4"]), &ids(&["t2", "t3"])));
        std::fs::write(&file, "garbage").expect("written");
        assert!(read(&file).clusters.is_empty(), "garbage is as good as nothing");
        for cluster in 0..=CLUSTERS_MAX {
            write(&file, &format!("c{cluster}"), &ids(&["t"])).expect("written");
        }
        assert_eq!(read(&file).clusters.len(), CLUSTERS_MAX);
    }

    #[test]
    fn it_lies_in_the_state_directory() {
        let with = |xdg: &str, home: &str| {
            file(|name| match name {
                "XDG_STATE_HOME" => Some(xdg.into()),
                _ => Some(home.into()),
            })
        };
        assert_eq!(with("/s", "/h"), Some("/s/bellwether/last.json".into()));
        assert_eq!(with("relative", "/h"), Some("/h/.local/state/bellwether/last.json".into()));
        assert_eq!(with("", ""), None);
    }
}
