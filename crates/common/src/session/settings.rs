//! Where and how to open sessions.

use std::time::Duration;

use crate::config::Settings;

/// What the process needs of a session, which is proven before it is called open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// READ, CREATE and DELETE on the root and on all of the layout, which is created where it is missing.
    Service,
    /// READ on tasks and results, if they are there.
    Client,
}

/// Where and how to open sessions.
#[derive(Clone)]
pub struct SessionSettings {
    /// `host:port,host:port`, perhaps with a chroot at the end.
    pub connect: String,
    /// Path below the chroot that all other paths are relative to; created when it is missing.
    pub root: String,
    /// What to ask ZooKeeper for; it grants what its own limits allow.
    pub session_timeout: Duration,
    /// Scheme and secret.
    pub auth: Option<(String, Vec<u8>)>,
    /// How long to go on without a session.
    pub give_up_after: Duration,
    /// What to prove before a session is called open.
    pub needs: Needs,
}

impl SessionSettings {
    /// As the configuration says.
    #[must_use]
    pub fn of(settings: &Settings, needs: Needs) -> Self {
        let zookeeper = &settings.zookeeper;
        Self {
            connect: zookeeper.connect.clone(),
            root: zookeeper.root.clone(),
            session_timeout: zookeeper.session_timeout,
            auth: zookeeper.auth(),
            give_up_after: zookeeper.give_up_after,
            needs,
        }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            connect: "127.0.0.1:2181".to_owned(),
            root: "/".to_owned(),
            session_timeout: Duration::from_secs(10),
            auth: None,
            give_up_after: Duration::from_secs(300),
            needs: Needs::Service,
        }
    }
}

impl std::fmt::Debug for SessionSettings {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionSettings")
            .field("connect", &self.connect)
            .field("root", &self.root)
            .field("session_timeout", &self.session_timeout)
            .field("auth", &self.auth.as_ref().map(|(scheme, _)| scheme))
            .field("give_up_after", &self.give_up_after)
            .field("needs", &self.needs)
            .finish()
    }
}
