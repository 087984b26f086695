//! The nodes below which everything else is created.

use bellwether_core::protocol::{Multi, Outcome, Refusal, Why, layout};

use super::{ReadError, Store};

/// Why the layout is not complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Where not everybody may do everything, only coordinators and the admin create it, all of it or nothing: wait for them, or show it.
    #[error("{path} of the layout is not there yet: a coordinator creates it when it starts, and so does bellwether acl apply")]
    NotLaidOut {
        /// Path from the root, of the first node that is missing.
        path: String,
    },
    /// This session may not create there.
    #[error("no right to create {path}: it needs {right} on the parent")]
    Denied {
        /// Path from the root, of the node that is missing.
        path: String,
        /// The right that is missing, in ZooKeeper's word.
        right: &'static str,
    },
    /// ZooKeeper refused for another reason.
    #[error("cannot create {path}: {why}")]
    Refused {
        /// Path from the root.
        path: String,
        /// Why.
        why: Why,
    },
    /// Nothing is known; try again when the session is up.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Store {
    /// Creates what is missing of the layout. What somebody else creates meanwhile is as good.
    ///
    /// # Errors
    /// [`LayoutError`] names the first node that is missing still.
    pub async fn ensure_layout(&self) -> Result<(), LayoutError> {
        if self.access().identities().is_some() {
            return self.ensure_secured_layout().await;
        }
        let mut creations = Vec::new();
        for node in self.missing_of_layout().await? {
            // Pipelined, parents first: ZooKeeper answers in the order of the calls.
            creations.push((node, self.commit(Multi::new().create(node, Vec::new()))));
        }
        for (node, creation) in creations {
            created(node, creation.await)?;
        }
        Ok(())
    }

    /// All that is missing, or nothing: who may create only a part of it would leave a tree in which others wait in vain.
    async fn ensure_secured_layout(&self) -> Result<(), LayoutError> {
        loop {
            let missing = self.missing_of_layout().await?;
            let Some(first) = missing.first() else { return Ok(()) };
            let all = missing.iter().fold(Multi::new(), |multi, node| multi.create(*node, Vec::new()));
            match self.commit(all).await {
                Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => {
                    return Err(LayoutError::NotLaidOut { path: (*first).to_owned() });
                }
                // Somebody else did the same, or undid it, meanwhile.
                Outcome::Refused(Refusal::At { why: Why::NodeExists | Why::NoNode, .. }) => {}
                outcome => return created(first, outcome),
            }
        }
    }

    /// Which nodes of the layout are not there, parents first.
    pub(crate) async fn missing_of_layout(&self) -> Result<Vec<&'static str>, ReadError> {
        let looks: Vec<_> = layout::NODES.into_iter().map(|node| (node, self.stat(node))).collect();
        let mut missing = Vec::new();
        for (node, look) in looks {
            if look.await?.is_none() {
                missing.push(node);
            }
        }
        Ok(missing)
    }
}

fn created(node: &'static str, outcome: Outcome) -> Result<(), LayoutError> {
    let path = node.to_owned();
    match outcome {
        Outcome::Applied(_) => Ok(()),
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => Err(ReadError::Interrupted.into()),
        Outcome::Refused(Refusal::At { why, .. } | Refusal::Whole(why) | Refusal::Fence(why)) => match why {
            Why::NodeExists => Ok(()),
            Why::NoAuth => Err(LayoutError::Denied { path, right: "CREATE" }),
            why => Err(LayoutError::Refused { path, why }),
        },
    }
}
