//! Who somebody is to ZooKeeper: a scheme and what it knows him by. None of it is a secret, but the hash of a weak password can be guessed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Role;

/// Most bytes that the identities of all roles may take in a request: [`Op::bytes`](crate::protocol::Op::bytes) leaves that much room.
pub const ACL_BYTES_MAX: usize = 256;

/// How many bytes a SHA-1 has.
const HASH_BYTES: usize = 20;

/// Who somebody is: `digest:user:hash`, `x509:CN=…` or `sasl:user`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    scheme: String,
    id: String,
}

/// Text that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// Nothing at all.
    #[error("is missing; print it with: bellwether acl id FILE (the file that holds user:password)")]
    Missing,
    /// There is no scheme in it, or one that proves nothing.
    #[error("must begin with digest:, x509: or sasl:, as \"digest:user:hash\", \"x509:CN=worker\" or \"sasl:user\"")]
    Scheme,
    /// The hash is no hash.
    #[error(
        "must be digest:user:hash with the hash that ZooKeeper makes of user:password (28 characters); print it with: bellwether acl id FILE"
    )]
    Digest,
    /// It has no name, or characters that nobody could type.
    #[error("must have a name of printable characters after its scheme")]
    Name,
}

impl Identity {
    /// As it stands in a configuration.
    ///
    /// # Errors
    /// [`BadIdentity`]: show it, it says what to write.
    pub fn parse(text: &str) -> Result<Self, BadIdentity> {
        if text.is_empty() {
            return Err(BadIdentity::Missing);
        }
        let (scheme, id) = text.split_once(':').ok_or(BadIdentity::Scheme)?;
        match scheme {
            "digest" if !is_digest(id) => Err(BadIdentity::Digest),
            "digest" | "x509" | "sasl" if id.is_empty() || id.contains(char::is_control) => Err(BadIdentity::Name),
            "digest" | "x509" | "sasl" => Ok(Self::listed(scheme, id)),
            _ => Err(BadIdentity::Scheme),
        }
    }

    /// One that ZooKeeper listed, whatever it is.
    #[must_use]
    pub fn listed(scheme: &str, id: &str) -> Self {
        Self { scheme: scheme.to_owned(), id: id.to_owned() }
    }

    /// That of whoever knows this password, given the SHA-1 of `user:password`.
    #[must_use]
    pub fn digest(user: &str, sha1: [u8; HASH_BYTES]) -> Self {
        Self::listed("digest", &format!("{user}:{}", STANDARD.encode(sha1)))
    }

    /// Everybody.
    #[must_use]
    pub fn anyone() -> Self {
        Self::listed("world", "anyone")
    }

    /// Whether it is everybody.
    #[must_use]
    pub fn is_anyone(&self) -> bool {
        self.scheme == "world"
    }

    /// ZooKeeper's scheme.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What the scheme knows him by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As ZooKeeper shows it to a session without ADMIN: the hash of a digest is replaced by `x`.
    #[must_use]
    pub fn masked(&self) -> Self {
        match (self.scheme.as_str(), self.id.split_once(':')) {
            ("digest", Some((user, _))) => Self::listed("digest", &format!("{user}:x")),
            _ => self.clone(),
        }
    }

    /// Without what could be guessed at: for logs and tables.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.scheme.as_str(), self.id.split_once(':')) {
            ("digest", Some((user, _))) => format!("digest:{user}"),
            _ => self.to_string(),
        }
    }

    /// How many bytes it takes in a request, with its rights.
    fn bytes(&self) -> usize {
        3 * 4 + self.scheme.len() + self.id.len()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.id)
    }
}

fn is_digest(id: &str) -> bool {
    let Some((user, hash)) = id.split_once(':') else { return false };
    !user.is_empty() && STANDARD.decode(hash).is_ok_and(|hash| hash.len() == HASH_BYTES)
}

/// Who each role is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    coordinator: Identity,
    worker: Identity,
    client: Identity,
    admin: Identity,
}

impl Identities {
    /// As they stand in a configuration.
    ///
    /// # Errors
    /// Which are wrong, and why.
    pub fn parse(coordinator: &str, worker: &str, client: &str, admin: &str) -> Result<Self, Vec<(Role, BadIdentity)>> {
        let mut bad = Vec::new();
        let mut parse = |role, text| Identity::parse(text).map_err(|why| bad.push((role, why))).ok();
        let parsed = (parse(Role::Coordinator, coordinator), parse(Role::Worker, worker), parse(Role::Client, client));
        match (parsed, parse(Role::Admin, admin)) {
            ((Some(coordinator), Some(worker), Some(client)), Some(admin)) => Ok(Self { coordinator, worker, client, admin }),
            _ => Err(bad),
        }
    }

    /// Who this role is.
    #[must_use]
    pub const fn of(&self, role: Role) -> &Identity {
        match role {
            Role::Coordinator => &self.coordinator,
            Role::Worker => &self.worker,
            Role::Client => &self.client,
            Role::Admin => &self.admin,
        }
    }

    /// The roles that this identity has.
    #[must_use]
    pub fn roles(&self, identity: &Identity) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.of(*role) == identity).collect()
    }

    /// How many bytes a list of all of them takes in a request.
    #[must_use]
    pub fn bytes(&self) -> usize {
        4 + Role::ALL.into_iter().map(|role| self.of(role).bytes()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_proves_nothing_is_no_identity() {
        for (text, why) in [
            ("", BadIdentity::Missing),
            ("coord", BadIdentity::Scheme),
            ("world:anyone", BadIdentity::Scheme),
            ("ip:127.0.0.1", BadIdentity::Scheme),
            ("auth:", BadIdentity::Scheme),
            ("digest:coord", BadIdentity::Digest),
            ("digest:coord:password", BadIdentity::Digest),
            ("digest::2jmj7l5rSw0yVb/vlWAYkK/YBwk=", BadIdentity::Digest),
            ("x509:", BadIdentity::Name),
            ("sasl:a\nb", BadIdentity::Name),
        ] {
            assert_eq!(Identity::parse(text), Err(why), "{text:?}");
        }
        for text in ["x509:CN=worker,O=Example", "sasl:bob", "digest:coord:2jmj7l5rSw0yVb/vlWAYkK/YBwk="] {
            assert_eq!(Identity::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn every_missing_identity_is_named() {
        let bad = Identities::parse("", "sasl:w", "nobody", "sasl:a").expect_err("two are wrong");
        assert_eq!(bad, [(Role::Coordinator, BadIdentity::Missing), (Role::Client, BadIdentity::Scheme)]);
        let some = Identities::parse("sasl:c", "sasl:w", "sasl:w", "sasl:a").expect("identities");
        assert_eq!(some.roles(&Identity::listed("sasl", "w")), [Role::Worker, Role::Client]);
    }

    #[test]
    fn a_name_shows_no_hash() {
        let identity = Identity::parse("digest:coord:2jmj7l5rSw0yVb/vlWAYkK/YBwk=").expect("an identity");
        assert_eq!((identity.name().as_str(), identity.masked().to_string().as_str()), ("digest:coord", "digest:coord:x"));
        let other = Identity::parse("x509:CN=w").expect("an identity");
        assert_eq!(other.name(), "x509:CN=w");
        assert_eq!(other.masked(), other);
    }
}
