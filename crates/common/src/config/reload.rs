//! What a running service takes over when its configuration is read again, and what waits for a restart.

use serde_json::Value as Json;

use super::schema::Settings;
use super::{Role, keys};

/// Keys that a running service takes over. Everything else is part of what others know of it (its name, its slots, its address), or
/// of the session, and needs a restart.
pub const RELOADABLE: [&str; 21] = [
    "coordinator.assign_batch",
    "coordinator.key_retention",
    "coordinator.lookahead",
    "coordinator.max_pending",
    "coordinator.max_worker_losses",
    "coordinator.quota",
    "coordinator.rate",
    "coordinator.reconcile_interval",
    "coordinator.silence_timeout",
    "coordinator.status_bytes",
    "coordinator.status_max",
    "coordinator.status_retention",
    "log.level",
    "task.queue_timeout",
    "task.start_timeout",
    "task.timeout",
    "worker.drain_timeout",
    "worker.kill_grace",
    "worker.output_max",
    "worker.output_tail",
    "worker.trusted_keys",
];

/// The outcome of reading a configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    /// What holds from now on: the settings from before, with what may change changed.
    pub settings: Settings,
    /// The keys that changed, sorted.
    pub changed: Vec<&'static str>,
    /// The keys that were changed but wait for a restart, sorted.
    pub ignored: Vec<&'static str>,
}

/// Takes over from `fresh` what a running service of this `role` can.
#[must_use]
pub fn reload(role: Role, current: &Settings, fresh: &Settings) -> Reload {
    let read = |key: &str| key.split_once('.').is_none_or(|(section, _)| role.reads(section));
    let differs = |key: &str| keys::value_of(current, key) != keys::value_of(fresh, key);
    let mut differing: Vec<&'static str> = keys::KNOWN.keys().map(String::as_str).filter(|key| read(key) && differs(key)).collect();
    if current.zookeeper.secret != fresh.zookeeper.secret && !differing.contains(&"zookeeper.auth_file") {
        differing.push("zookeeper.auth_file");
        differing.sort_unstable();
    }
    if current.http.token != fresh.http.token && !differing.contains(&"http.token_file") && role.reads("http") {
        differing.push("http.token_file");
        differing.sort_unstable();
    }
    let (changed, ignored): (Vec<_>, Vec<_>) = differing.into_iter().partition(|key| RELOADABLE.contains(key));
    Reload { settings: with(current, fresh, &changed), changed, ignored }
}

/// `current`, but for these keys.
fn with(current: &Settings, fresh: &Settings, keys: &[&str]) -> Settings {
    let mut whole = serde_json::to_value(current).expect("settings are plain data");
    for key in keys {
        let place = whole.pointer_mut(&format!("/{}", key.replace('.', "/")));
        if let Some((place, value)) = place.zip(keys::value_of(fresh, key)) {
            *place = value;
        }
    }
    let mut settings: Settings = of(whole);
    settings.zookeeper.secret.clone_from(&current.zookeeper.secret);
    settings.http.token.clone_from(&current.http.token);
    settings
}

fn of(whole: Json) -> Settings {
    serde_json::from_value(whole).expect("both were settings")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::values::Secret;
    use super::*;

    fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        settings.zookeeper.secret = Some(Secret::new(b"a:b".to_vec()));
        change(&mut settings);
        settings
    }

    #[test]
    fn every_reloadable_key_exists_and_they_are_sorted() {
        assert!(RELOADABLE.iter().all(|key| keys::KNOWN.contains_key(*key)));
        assert!(RELOADABLE.is_sorted());
    }

    #[test]
    fn what_is_safe_is_taken_over_and_the_rest_is_named() {
        let current = settings(|_| {});
        let fresh = settings(|fresh| {
            fresh.worker.kill_grace = Duration::from_secs(1);
            fresh.task.timeout = Duration::from_secs(5);
            fresh.worker.slots = 7;
            fresh.worker.labels.insert("zone".into(), "eu".into());
            fresh.coordinator.lookahead = 5;
            fresh.cluster = "other".into();
            fresh.zookeeper.secret = Some(Secret::new(b"c:d".to_vec()));
        });
        let done = reload(Role::Worker, &current, &fresh);
        assert_eq!(done.changed, ["task.timeout", "worker.kill_grace"]);
        assert_eq!(done.ignored, ["cluster", "worker.labels", "worker.slots", "zookeeper.auth_file"]);
        let expected = settings(|expected| {
            expected.worker.kill_grace = Duration::from_secs(1);
            expected.task.timeout = Duration::from_secs(5);
        });
        assert_eq!(done.settings, expected);
        assert_eq!(reload(Role::Coordinator, &current, &fresh).changed, ["coordinator.lookahead"], "the others are not its own");
    }

    #[test]
    fn nothing_new_changes_nothing() {
        let current = settings(|_| {});
        assert_eq!(reload(Role::Worker, &current, &current), Reload { settings: current.clone(), changed: vec![], ignored: vec![] });
    }
}
