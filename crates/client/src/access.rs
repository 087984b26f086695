//! Comparing the rights of a whole tree with the table of rights, and setting them.

use std::time::Duration;

use bellwether_common::access::survey::{self, Comparison, Seen, Set};
use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_core::protocol::acl::{self, Entry, Identities};
use bellwether_core::protocol::layout;
use schemars::JsonSchema;
use serde::Serialize;

use crate::asking;
use crate::client::Client;
use crate::error::Error;

/// How long a whole tree may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// What is created while rights are set may have escaped: after so many rounds somebody still does it.
const ROUNDS: usize = 5;

/// How the rights of a whole tree are. Its JSON is what `bellwether acl check` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AclReport {
    /// How many nodes were looked at.
    pub nodes: usize,
    /// Of how many this session was not told all: it is not the admin.
    pub masked: usize,
    /// How many nodes of the layout are not there: a coordinator creates them when it starts, and so does `bellwether acl apply`.
    pub missing: usize,
    /// Those whose rights are not those of the table, parents first.
    pub differences: Vec<AclDifference>,
}

/// A node whose rights are not those of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AclDifference {
    /// Path from the root.
    pub path: String,
    /// Who should have which rights, as `digest:user=rcd`.
    pub wanted: Vec<String>,
    /// Who has; `null` if this session may not see it.
    pub found: Option<Vec<String>>,
    /// Whether anybody at all may change something there.
    pub open: bool,
}

/// What setting the rights of a whole tree has led to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AclApplied {
    /// How many nodes were looked at in the last round.
    pub nodes: usize,
    /// How many nodes of the layout were created.
    pub created: usize,
    /// The nodes whose rights were set.
    pub set: Vec<String>,
    /// Those where ZooKeeper refused, and why.
    pub refused: Vec<AclRefusal>,
}

/// A node whose rights could not be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AclRefusal {
    /// Path from the root.
    pub path: String,
    /// Why.
    pub why: String,
}

impl Client {
    /// Compares the rights of each node with the table. Whoever is not the admin is not told everything.
    ///
    /// # Errors
    /// [`Error::NotSecured`], or why there is no answer.
    pub async fn check_acls(&self) -> Result<AclReport, Error> {
        asking::ask(self.links(), PATIENCE, |store| async move {
            let Some(identities) = store.access().identities().cloned() else { return Ok(Err(Error::NotSecured)) };
            Ok(Ok(look(&store, &identities).await?))
        })
        .await?
    }

    /// Gives each node the rights of the table, and creates what is missing of the layout.
    ///
    /// # Errors
    /// [`Error::NotSecured`], [`Error::Denied`] if this session is not the admin, or why there is no answer.
    pub async fn apply_acls(&self) -> Result<AclApplied, Error> {
        asking::ask(self.links(), PATIENCE, |store| async move { apply(&store).await }).await?
    }
}

async fn look(store: &Store, identities: &Identities) -> Result<AclReport, ReadError> {
    store.sync().await?;
    let mut report = AclReport { missing: missing(store).await?, ..AclReport::default() };
    let visit = |seen: Seen| {
        report.nodes += 1;
        match seen.compare(identities) {
            Comparison::Same => {}
            Comparison::Masked => report.masked += 1,
            Comparison::Different | Comparison::Hidden => report.differences.push(difference(seen, identities)),
        }
    };
    survey::walk(store, usize::MAX, visit).await?;
    Ok(report)
}

/// How many nodes of the layout are not there.
async fn missing(store: &Store) -> Result<usize, ReadError> {
    let looks: Vec<_> = layout::NODES.into_iter().map(|node| store.stat(node)).collect();
    let mut missing = 0;
    for look in looks {
        missing += usize::from(look.await?.is_none());
    }
    Ok(missing)
}

fn difference(seen: Seen, identities: &Identities) -> AclDifference {
    let wanted = acl::entries(identities, acl::row_of(&seen.path));
    let found = seen.found.as_ref().map(|found| acl::tidy(found.clone()).iter().map(|entry| shown(entry, &wanted)).collect());
    AclDifference { open: seen.is_open(), found, wanted: wanted.iter().map(|entry| shown(entry, &wanted)).collect(), path: seen.path }
}

/// Without a hash; where only that differs, it is said.
fn shown(entry: &Entry, wanted: &[Entry]) -> String {
    let known = |other: &Entry| other.identity == entry.identity || entry.identity == other.identity.masked();
    let namesake = !wanted.iter().any(known) && wanted.iter().any(|other| other.identity.name() == entry.identity.name());
    let note = if namesake { " (another password)" } else { "" };
    format!("{}{note}={}", entry.identity.name(), entry.rights)
}

async fn apply(store: &Store) -> Result<Result<AclApplied, Error>, ReadError> {
    let Some(identities) = store.access().identities().cloned() else { return Ok(Err(Error::NotSecured)) };
    if !survey::is_admin(store, &identities).await? {
        let admin = identities.of(acl::Role::Admin).name();
        return Ok(Err(Error::Denied { what: format!("set rights: this session is not {admin}, the acl.admin of the configuration") }));
    }
    let created = missing(store).await?;
    match store.ensure_layout().await {
        Ok(()) => {}
        Err(LayoutError::Read(error)) => return Err(error),
        Err(error) => return Ok(Err(Error::Denied { what: format!("lay out the cluster: {error}") })),
    }
    let mut applied = AclApplied { created, ..AclApplied::default() };
    for _ in 0..ROUNDS {
        let report = look(store, &identities).await?;
        applied.nodes = report.nodes;
        let refused = |path: &str| applied.refused.iter().any(|refusal: &AclRefusal| refusal.path == path);
        let paths: Vec<String> = report.differences.into_iter().map(|difference| difference.path).filter(|path| !refused(path)).collect();
        if paths.is_empty() {
            break;
        }
        for (path, set) in survey::set(store, store.access(), paths).await? {
            match set {
                Set::Done => applied.set.push(path),
                Set::Gone => {}
                Set::Refused(why) => applied.refused.push(AclRefusal { path, why: why.to_string() }),
            }
        }
    }
    Ok(Ok(applied))
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::acl::{Identity, Rights};

    use super::*;

    fn identities() -> Identities {
        Identities::parse("sasl:c", "sasl:w", "sasl:u", "digest:a:S0kyYfsRwDoJrADANzip+An/nEc=").expect("identities")
    }

    #[test]
    fn a_difference_shows_no_hash_but_says_where_only_that_differs() {
        let mut found = acl::entries(&identities(), acl::row_of("/tasks"));
        found[0].identity = Identity::listed("digest", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        found.push(Entry { identity: Identity::anyone(), rights: Rights::READ });
        let seen = Seen { path: "/tasks".to_owned(), found: Some(found), children: 0 };
        assert_eq!(seen.compare(&identities()), Comparison::Different);
        let difference = difference(seen, &identities());
        assert_eq!(difference.wanted, ["digest:a=rwcda", "sasl:c=rcd", "sasl:u=rc", "sasl:w=rc"]);
        let found = ["digest:a (another password)=rwcda", "sasl:c=rcd", "sasl:u=rc", "sasl:w=rc", "world:anyone=r"];
        assert_eq!(difference.found.as_deref(), Some(found.map(str::to_owned).as_slice()));
        assert!(!difference.open);
    }
}
