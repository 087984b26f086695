//! Where and how to open sessions.

use std::time::Duration;

use bellwether_core::protocol::acl::Role;

use crate::access::Access;
use crate::config::{Secret, Settings};
use crate::tls::TlsFiles;

/// What the process needs of a session, which is proven before it is called open.
///
/// In an open cluster a service needs READ, CREATE and DELETE on the root and on all of the layout, which it creates where it is missing,
/// and a client READ on tasks and results, if they are there. In a secured one each needs what the table of rights gives to its role, and
/// only a coordinator creates the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// What a coordinator needs.
    Coordinator,
    /// What a worker needs.
    Worker,
    /// What a client needs.
    Client,
}

impl Needs {
    /// Whether it is a service, which does not start where it could not do its work.
    #[must_use]
    pub const fn is_service(self) -> bool {
        matches!(self, Self::Coordinator | Self::Worker)
    }

    /// Which roles of the table of rights it may have: an operator uses the same command as a client.
    #[must_use]
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::Coordinator => &[Role::Coordinator],
            Self::Worker => &[Role::Worker],
            Self::Client => &[Role::Client, Role::Admin],
        }
    }
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
    /// User and password for SASL DIGEST-MD5.
    pub sasl: Option<(String, Secret)>,
    /// Where what TLS needs lies; without it connections are not encrypted.
    pub tls: Option<TlsFiles>,
    /// Who may do what with the nodes that are created.
    pub access: Access,
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
            sasl: zookeeper.sasl(),
            tls: TlsFiles::of(zookeeper),
            access: Access::of(settings),
            give_up_after: zookeeper.give_up_after,
            needs,
        }
    }
}

impl SessionSettings {
    /// Whether a service works where everybody may do everything, on servers that others may reach, too.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let hosts = self.connect.split('/').next().unwrap_or_default();
        let is_local = |server: &str| {
            let host = server.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(server, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        self.needs.is_service() && self.access.identities().is_none() && !hosts.split(',').all(is_local)
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            connect: "127.0.0.1:2181".to_owned(),
            root: "/".to_owned(),
            session_timeout: Duration::from_secs(10),
            auth: None,
            sasl: None,
            tls: None,
            access: Access::open(),
            give_up_after: Duration::from_secs(300),
            needs: Needs::Coordinator,
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
            .field("sasl", &self.sasl.as_ref().map(|(user, _)| user))
            .field("tls", &self.tls)
            .field("access", &self.access)
            .field("give_up_after", &self.give_up_after)
            .field("needs", &self.needs)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_reach_is_exposed() {
        let exposed = |connect: &str, needs| SessionSettings { connect: connect.into(), needs, ..SessionSettings::default() }.is_exposed();
        for local in ["127.0.0.1:2181", "localhost", "[::1]:2181/root", "127.0.0.1:1,localhost:2/a/b"] {
            assert!(!exposed(local, Needs::Worker), "{local}");
        }
        for remote in ["zk1:2181", "127.0.0.1:1,10.0.0.1:2", "[fe80::1]/root", "localhost.example.com"] {
            assert!(exposed(remote, Needs::Coordinator) && !exposed(remote, Needs::Client), "{remote}");
        }
    }
}
