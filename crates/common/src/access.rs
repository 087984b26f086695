//! Who may do what with the nodes that this process creates: everybody, or whoever the table of rights names
//! ([`bellwether_core::protocol::acl`]). And how a whole tree is compared with that table.

use std::sync::Arc;

use bellwether_core::protocol::acl::{self, Entry, Identities, Identity, Rights, Role};
use sha1::{Digest, Sha1};
use zookeeper_client::{Acl, AuthId, Permission};

use crate::config::{AclMode, Secret, Settings};

pub mod survey;

/// What nodes are created with. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Access {
    secured: Option<Arc<Secured>>,
}

#[derive(Debug)]
struct Secured {
    identities: Identities,
    /// One list for each row of the table, as ZooKeeper's client takes it.
    lists: Vec<Vec<Acl>>,
}

static ANYONE: [Acl; 1] = [Acl::new_const(Permission::ALL, "world", "anyone")];

impl Access {
    /// Everybody may do everything.
    #[must_use]
    pub const fn open() -> Self {
        Self { secured: None }
    }

    /// Each role may do what the table says.
    #[must_use]
    pub fn secured(identities: Identities) -> Self {
        let lists = acl::TABLE.iter().map(|row| to_client(&acl::entries(&identities, row))).collect();
        Self { secured: Some(Arc::new(Secured { identities, lists })) }
    }

    /// As configured. What is wrong with identities was said when the configuration was checked.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let wanted = settings.zookeeper.acl == AclMode::Secured;
        match settings.acl.identities().ok().filter(|_| wanted) {
            Some(identities) => Self::secured(identities),
            None => Self::open(),
        }
    }

    /// For the root itself and what is above it, which lie elsewhere than their paths say.
    pub(crate) fn of_root(&self) -> Self {
        let of_root = |secured: &Arc<Secured>| {
            let root = secured.lists[acl::row_index("/")].clone();
            Arc::new(Secured { identities: secured.identities.clone(), lists: vec![root; acl::TABLE.len()] })
        };
        Self { secured: self.secured.as_ref().map(of_root) }
    }

    /// Who is who; `None` where everybody may do everything.
    #[must_use]
    pub fn identities(&self) -> Option<&Identities> {
        self.secured.as_deref().map(|secured| &secured.identities)
    }

    /// What the node at this path, from the root, is created with.
    pub(crate) fn list_of(&self, path: &str) -> &[Acl] {
        self.secured.as_deref().map_or(&ANYONE, |secured| &secured.lists[acl::row_index(path)])
    }
}

/// The same for ZooKeeper's client.
pub(crate) fn to_client(entries: &[Entry]) -> Vec<Acl> {
    let permission = |rights: Rights| {
        [
            (Rights::READ, Permission::READ),
            (Rights::WRITE, Permission::WRITE),
            (Rights::CREATE, Permission::CREATE),
            (Rights::DELETE, Permission::DELETE),
            (Rights::ADMIN, Permission::ADMIN),
        ]
        .into_iter()
        .filter(|(right, _)| rights.has(*right))
        .fold(Permission::NONE, |sum, (_, permission)| sum | permission)
    };
    let entry = |entry: &Entry| Acl::new(permission(entry.rights), AuthId::new(entry.identity.scheme(), entry.identity.id()));
    entries.iter().map(entry).collect()
}

/// What ZooKeeper's client has read.
pub(crate) fn from_client(list: &[Acl]) -> Vec<Entry> {
    let rights = |permission: Permission| {
        [
            (Permission::READ, Rights::READ),
            (Permission::WRITE, Rights::WRITE),
            (Permission::CREATE, Rights::CREATE),
            (Permission::DELETE, Rights::DELETE),
            (Permission::ADMIN, Rights::ADMIN),
        ]
        .into_iter()
        .filter(|(asked, _)| permission.has(*asked))
        .fold(Rights::NONE, |sum, (_, right)| sum.and(right))
    };
    list.iter().map(|acl| Entry { identity: Identity::listed(acl.scheme(), acl.id()), rights: rights(acl.permission()) }).collect()
}

/// Who somebody is to ZooKeeper who knows this `user:password`.
///
/// # Errors
/// There is no user before a colon in it.
pub fn digest_identity(secret: &Secret) -> Result<Identity, NoUser> {
    let colon = secret.reveal().iter().position(|byte| *byte == b':').filter(|colon| *colon > 0).ok_or(NoUser)?;
    let user = std::str::from_utf8(&secret.reveal()[..colon]).map_err(|_| NoUser)?;
    Ok(Identity::digest(user, Sha1::digest(secret.reveal()).into()))
}

/// A secret without a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no user:password")]
pub struct NoUser;

/// Compares who this process can prove to be with who it should be, as far as that can be told here. A wrong password is noticed by
/// nobody else: ZooKeeper takes any.
///
/// # Errors
/// What does not fit, for people; no secret and no hash is in it.
pub fn fits(identities: &Identities, roles: &[Role], own: &Identity) -> Result<(), String> {
    if roles.iter().any(|role| identities.of(*role) == own) {
        return Ok(());
    }
    let names: Vec<String> = roles.iter().map(|role| format!("acl.{}", role.as_str())).collect();
    let same_user = roles.iter().any(|role| identities.of(*role).name() == own.name());
    let what = if own.scheme() == "digest" && same_user { "wrong password" } else { "wrong identity" };
    let (own, names) = (own.name(), names.join(" or "));
    Err(format!("{what}: what zookeeper.auth_file holds makes {own}, and that is not {names}; compare: bellwether acl id FILE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    /// As ZooKeeper's `DigestAuthenticationProvider` prints it.
    #[test]
    fn a_password_makes_the_identity_that_zookeeper_makes_of_it() {
        let identity = digest_identity(&secret("user:right")).expect("a user");
        assert_eq!(identity.to_string(), "digest:user:S0kyYfsRwDoJrADANzip+An/nEc=");
        for bad in ["right", ":right", ""] {
            assert_eq!(digest_identity(&secret(bad)), Err(NoUser), "{bad}");
        }
    }

    #[test]
    fn a_wrong_password_is_told_from_a_wrong_user_and_neither_is_shown() {
        let own = |text: &str| digest_identity(&secret(text)).expect("a user");
        let text = |text: &str| own(text).to_string();
        let identities = Identities::parse(&text("c:1"), &text("w:2"), &text("u:3"), &text("a:4")).expect("identities");
        assert_eq!(fits(&identities, &[Role::Worker], &own("w:2")), Ok(()));
        assert_eq!(fits(&identities, &[Role::Client, Role::Admin], &own("a:4")), Ok(()));
        let wrong = fits(&identities, &[Role::Worker], &own("w:hunter2")).expect_err("a wrong password");
        assert!(wrong.starts_with("wrong password: ") && wrong.contains("digest:w,") && wrong.contains("acl.worker"), "{wrong}");
        assert!(!wrong.contains("hunter2") && !wrong.contains('='), "{wrong}");
        let other = fits(&identities, &[Role::Worker], &own("c:1")).expect_err("somebody else");
        assert!(other.starts_with("wrong identity: "), "{other}");
    }

    #[test]
    fn rights_survive_the_way_to_the_client_and_back() {
        let identities = Identities::parse("sasl:c", "sasl:w", "sasl:u", "sasl:a").expect("identities");
        for row in acl::TABLE {
            let entries = acl::entries(&identities, row);
            assert_eq!(from_client(&to_client(&entries)), entries, "{}", row.pattern);
        }
        let access = Access::secured(identities);
        assert_eq!(access.of_root().list_of("/any/where"), access.list_of("/"));
        assert_ne!(access.list_of("/tasks"), access.list_of("/"));
        assert_eq!(Access::open().list_of("/tasks"), ANYONE);
    }
}
