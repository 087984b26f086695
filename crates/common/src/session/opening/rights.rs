//! What is asked of rights before a session is called open: who this process is, whether the tree is as closed as it should be, and
//! whether what its role needs is allowed.

use bellwether_core::protocol::acl::{self, Rights, Role};
use bellwether_core::protocol::{Multi, Op, Outcome, Refusal, Why, layout, path};

use super::{Attempt, Place, SessionSettings, denied, retry};
use crate::access::{self, survey};
use crate::config::Secret;
use crate::session::Needs;
use crate::store::{LayoutError, Store};

/// How many nodes a service looks at when it starts, the layout first. `bellwether acl check` looks at all.
const LOOK_AT: usize = 1000;

/// Whether a password makes the identity that this role has. ZooKeeper takes any password, so that nobody else would notice; and
/// whoever laid out a tree as somebody unknown would lock himself out.
pub(super) fn own_identity(settings: &SessionSettings, place: &Place) -> Result<(), Attempt> {
    let (Some(identities), Some((scheme, secret))) = (settings.access.identities(), &settings.auth) else { return Ok(()) };
    // Who can prove more than that may be somebody else by it.
    let proves_more = settings.sasl.is_some() || settings.tls.as_ref().is_some_and(crate::tls::TlsFiles::has_identity);
    if scheme != "digest" || proves_more {
        return Ok(());
    }
    let wrong = |why: String| Attempt::Denied { path: place.root.clone(), right: "authentication", why };
    let own = access::digest_identity(&Secret::new(secret.clone())).map_err(|error| wrong(error.to_string()))?;
    access::fits(identities, settings.needs.roles(), &own).map_err(wrong)
}

/// Everything that is asked once the layout is there.
pub(super) async fn look(store: &Store, settings: &SessionSettings, place: &Place) -> Result<(), Attempt> {
    if settings.access.identities().is_none() {
        let probe = match settings.needs {
            Needs::Coordinator | Needs::Worker => of_service(store.session_id()),
            Needs::Client => of_client(),
        };
        return prove(store, place, settings.needs, probe).await;
    }
    if settings.needs.is_service() {
        laid_out(store).await?;
        closed(store, place).await?;
    }
    let probe = match settings.needs {
        Needs::Coordinator => of_role(Role::Coordinator, store.session_id()),
        Needs::Worker => of_role(Role::Worker, store.session_id()),
        Needs::Client => of_client(),
    };
    prove(store, place, settings.needs, probe).await
}

/// Where not everybody may create it, a service that is no coordinator waits for the layout.
async fn laid_out(store: &Store) -> Result<(), Attempt> {
    match store.missing_of_layout().await.map_err(retry)?.first() {
        Some(node) => Err(Attempt::Retry(LayoutError::NotLaidOut { path: (*node).to_owned() }.to_string())),
        None => Ok(()),
    }
}

/// A node that everybody may change lets everybody run commands on the workers, say what their results are, or stop all of it.
async fn closed(store: &Store, place: &Place) -> Result<(), Attempt> {
    let mut open = Vec::new();
    let walk = survey::walk(store, LOOK_AT, |seen| {
        if seen.is_open() {
            open.push(seen.path);
        }
    });
    walk.await.map_err(retry)?;
    let Some(first) = open.first() else { return Ok(()) };
    let others = if open.len() > 1 { format!(", and {} more nodes", open.len() - 1) } else { String::new() };
    Err(Attempt::Denied {
        path: place.absolute(first),
        right: "a closed tree",
        why: format!(
            "zookeeper.acl is \"secured\", and everybody may change this node{others}; see what is open with: bellwether acl check, and close it with: bellwether acl apply"
        ),
    })
}

/// READ on what everybody reads.
fn of_client() -> Multi {
    Multi::new().check_exists(path::TASKS).check_exists(path::STATUS)
}

/// READ, CREATE and DELETE wherever a service works, where everybody may do everything.
fn of_service(session: i64) -> Multi {
    let mut probe = Multi::new();
    for parent in std::iter::once("").chain(layout::NODES) {
        let child = format!("{parent}/.probe-{session:016x}");
        if !parent.is_empty() {
            probe = probe.check_exists(parent);
        }
        probe = probe.create(child.as_str(), Vec::new()).delete(child, None);
    }
    probe
}

/// What the table gives to this role. DELETE can only be asked for where something may be created.
fn of_role(role: Role, session: i64) -> Multi {
    let mut probe = Multi::new();
    for node in std::iter::once("/").chain(layout::NODES) {
        let rights = acl::row_of(node).of(role);
        let child = format!("{}/.probe-{session:016x}", node.trim_end_matches('/'));
        if rights.has(Rights::READ) {
            probe = probe.check_exists(node);
        }
        if rights.has(Rights::WRITE) {
            probe = probe.set(node, Vec::new(), None);
        }
        if rights.has(Rights::CREATE) {
            probe = probe.create(child.as_str(), Vec::new());
            if rights.has(Rights::DELETE) {
                probe = probe.delete(child, None);
            }
        }
    }
    probe
}

/// Asks for rights without using them: the last operation of the transaction is always refused, so that none is applied, and if an
/// earlier one is refused, its index tells which right is missing. Necessary because a wrong digest password connects happily.
async fn prove(store: &Store, place: &Place, needs: Needs, probe: Multi) -> Result<(), Attempt> {
    let missing = format!("/.never-{:016x}", store.session_id());
    let probe = probe.check_exists(missing);
    let last = probe.len() - 1;
    match store.commit(probe.clone()).await {
        Outcome::Refused(Refusal::At { index, why: Why::NoAuth }) => Err(missing_right(&probe.ops[index], place)),
        Outcome::Refused(Refusal::At { index, why: Why::NoNode }) if index == last => Ok(()),
        // A client may come before the first service has made the layout: then there is nothing that could be forbidden.
        Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) if needs == Needs::Client => Ok(()),
        Outcome::Refused(Refusal::At { index, why: Why::BadArguments }) => Err(Attempt::BadSettings(format!(
            "zookeeper does not know how to tell an identity of [acl], with which {} would be created: is the provider of its scheme (x509, sasl) configured there?",
            place.absolute(probe.ops[index].path())
        ))),
        Outcome::Refused(refusal) => Err(Attempt::Retry(format!("the layout changed while the rights were proven: {refusal}"))),
        Outcome::Applied(_) | Outcome::Unknown => Err(Attempt::Retry("the connection broke while the rights were proven".to_owned())),
    }
}

fn missing_right(op: &Op, place: &Place) -> Attempt {
    let (right, path) = match op {
        Op::Check { path, .. } => ("READ", path.as_str()),
        Op::Create { path, .. } => ("CREATE", parent(path)),
        Op::Delete { path, .. } => ("DELETE", parent(path)),
        Op::Set { path, .. } => ("WRITE", path.as_str()),
    };
    denied(place.absolute(path), right, "this session may not work there")
}

fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(slash) => &path[..slash],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_operation_names_the_node_that_needs_the_right() {
        let place = Place { servers: "a:1".into(), root: "/r".into() };
        let probe = of_service(1);
        let Attempt::Denied { path, right, .. } = missing_right(&probe.ops[0], &place) else { panic!("denied") };
        assert_eq!((path.as_str(), right), ("/r", "CREATE"));
        let Attempt::Denied { path, right, .. } = missing_right(&probe.ops[4], &place) else { panic!("denied") };
        assert_eq!((path.as_str(), right), ("/r/workers", "DELETE"));
    }

    #[test]
    fn a_role_asks_for_what_the_table_gives_it_and_for_no_more() {
        let asked = |role: Role, op: fn(&Op) -> bool| of_role(role, 1).ops.iter().filter(|asked| op(asked)).count();
        let given = |role: Role, right: Rights| {
            std::iter::once("/").chain(layout::NODES).filter(|node| acl::row_of(node).of(role).has(right)).count()
        };
        for role in [Role::Coordinator, Role::Worker] {
            assert_eq!(asked(role, |op| matches!(op, Op::Check { .. })), given(role, Rights::READ), "{role:?}");
            assert_eq!(asked(role, |op| matches!(op, Op::Create { .. })), given(role, Rights::CREATE), "{role:?}");
            assert_eq!(asked(role, |op| matches!(op, Op::Set { .. })), given(role, Rights::WRITE), "{role:?}");
        }
        assert!(asked(Role::Worker, |op| matches!(op, Op::Create { .. })) < asked(Role::Coordinator, |op| matches!(op, Op::Create { .. })));
    }
}
