//! Who may do what where: the table of rights of a secured cluster. One row for each kind of znode; whoever creates a node gives it the
//! rights of its row, whoever audits compares with them. How somebody proves to be who he is stands in [`identity`].
//!
//! What ZooKeeper makes of rights: DELETE and CREATE on a node are about its *children*; WRITE is about its data; a `check` in a
//! transaction needs READ; `exists` needs nothing; ephemerals go with their session, whatever the rights. So there is nothing that hides
//! the existence of a node, and a role that deletes one kind of child of a node can delete them all.
//!
//! Workers are one trust domain: each of them may take and end the tasks of any other, because whoever may delete its own assignment may
//! delete the child of any box. So are clients: each may forget the results of any other.

use std::fmt;

pub mod identity;

pub use identity::{BadIdentity, Identities, Identity};

/// What somebody may do with a node. The bits are ZooKeeper's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// To read its data, and the names of its children.
    pub const READ: Self = Self(1);
    /// To set its data.
    pub const WRITE: Self = Self(2);
    /// To create children of it.
    pub const CREATE: Self = Self(4);
    /// To delete children of it.
    pub const DELETE: Self = Self(8);
    /// To change these rights.
    pub const ADMIN: Self = Self(16);
    /// All of them.
    pub const ALL: Self = Self(31);
    /// Each of them, with the letter that stands for it.
    pub const LETTERS: [(Self, char); 5] =
        [(Self::READ, 'r'), (Self::WRITE, 'w'), (Self::CREATE, 'c'), (Self::DELETE, 'd'), (Self::ADMIN, 'a')];

    /// Those that both have, or either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of them changes anything.
    #[must_use]
    pub const fn change(self) -> bool {
        self.0 & !Self::READ.0 != 0
    }

    /// From `r`, `w`, `c`, `d` and `a`; other letters mean nothing.
    const fn spelled(letters: &str) -> Self {
        let (bytes, mut index, mut rights) = (letters.as_bytes(), 0, Self::NONE);
        while index < bytes.len() {
            let mut known = 0;
            while known < Self::LETTERS.len() {
                if Self::LETTERS[known].1 as u8 == bytes[index] {
                    rights = rights.and(Self::LETTERS[known].0);
                }
                known += 1;
            }
            index += 1;
        }
        rights
    }
}

/// As letters, in ZooKeeper's order of its tools' help; `-` for none.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: String = Self::LETTERS.iter().filter(|(right, _)| self.has(*right)).map(|(_, letter)| letter).collect();
        f.pad(if letters.is_empty() { "-" } else { &letters })
    }
}

/// Who has rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Coordinators: they decide what runs where.
    Coordinator,
    /// Workers: they run it, and record how it ended.
    Worker,
    /// Whoever submits, waits, cancels and forgets.
    Client,
    /// Operators: they have every right on every node.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Coordinator, Self::Worker, Self::Client, Self::Admin];

    /// What it is called in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Admin => "admin",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which nodes: a path from the root, in which `*` stands for one name.
    pub pattern: &'static str,
    coordinator: Rights,
    worker: Rights,
    client: Rights,
}

impl Row {
    /// What this role may do with such a node.
    #[must_use]
    pub const fn of(&self, role: Role) -> Rights {
        match role {
            Role::Coordinator => self.coordinator,
            Role::Worker => self.worker,
            Role::Client => self.client,
            Role::Admin => Rights::ALL,
        }
    }

    fn fits(&self, path: &str) -> bool {
        let (mut pattern, mut names) = (self.pattern.split('/'), path.split('/'));
        loop {
            match (pattern.next(), names.next()) {
                (None, None) => return true,
                (Some("*"), Some(name)) if !name.is_empty() => {}
                (Some(expected), Some(name)) if expected == name => {}
                _ => return false,
            }
        }
    }
}

const fn row(pattern: &'static str, coordinator: &str, worker: &str, client: &str) -> Row {
    let (coordinator, worker, client) = (Rights::spelled(coordinator), Rights::spelled(worker), Rights::spelled(client));
    Row { pattern, coordinator, worker, client }
}

/// The table. The first row that fits a path counts, and the last one fits every path.
///
/// Whoever adds a node to the layout adds its row: a test looks for it.
pub const TABLE: &[Row] = &[
    // pattern, coordinator, worker, client; the admin has all rights everywhere.
    row("/", "rcd", "r", "r"),
    row("/master", "rw", "r", "r"),
    row("/workers", "r", "rc", "r"),
    row("/workers/*", "r", "rw", "r"),
    row("/assign", "rd", "rc", "r"),
    row("/assign/*", "rcd", "rd", "r"),
    row("/assign/*/*", "r", "r", "r"),
    row("/tasks", "rcd", "rc", "rc"),
    row("/tasks/*", "r", "r", "r"),
    row("/status", "rcd", "rc", "rd"),
    row("/status/*", "r", "r", "r"),
    // A worker sets it when a session begins, with nothing: to learn how far ZooKeeper's history is.
    row("/bellwether", "rwcd", "rw", "r"),
    row("/bellwether/epoch", "rw", "r", "r"),
    row("/bellwether/farewell", "rw", "r", "r"),
    row("/bellwether/version", "r", "r", "r"),
    row("/bellwether/swept", "rw", "r", "r"),
    row("/bellwether/paused", "r", "r", "r"),
    row("/bellwether/step-down", "r", "r", "r"),
    row("/bellwether/admission", "rw", "r", "r"),
    row("/bellwether/rates", "rw", "r", "r"),
    row("/bellwether/bench", "r", "r", "r"),
    row("/bellwether/standbys", "rcd", "r", "r"),
    row("/bellwether/standbys/*", "r", "r", "r"),
    row("/bellwether/held", "rcd", "rc", "rc"),
    row("/bellwether/held/*", "r", "r", "r"),
    row("/bellwether/results", "rcd", "rc", "rd"),
    row("/bellwether/results/*", "r", "r", "r"),
    row("/bellwether/dead", "rc", "rc", "rd"),
    row("/bellwether/dead/*", "r", "r", "r"),
    row("/bellwether/cancel", "rd", "r", "rc"),
    row("/bellwether/cancel/*", "r", "r", "r"),
    row("/bellwether/workers", "rcd", "rd", "r"),
    row("/bellwether/workers/*", "r", "r", "r"),
    row("/bellwether/submitted", "rd", "r", "rcd"),
    row("/bellwether/submitted/*", "r", "r", "r"),
    row("/bellwether/keys", "rd", "r", "rc"),
    row("/bellwether/keys/*", "r", "r", "r"),
    row("/bellwether/waiters", "rd", "r", "rcd"),
    row("/bellwether/waiters/*", "r", "r", "r"),
    // A client writes the lines of an array before it submits it, workers record its pieces.
    row("/bellwether/arrays", "rcd", "r", "rc"),
    row("/bellwether/arrays/*", "rwcd", "rc", "rc"),
    row("/bellwether/arrays/*/todo", "rw", "r", "r"),
    row("/bellwether/arrays/*/lines", "rd", "r", "rc"),
    row("/bellwether/arrays/*/lines/*", "r", "r", "r"),
    row("/bellwether/arrays/*/*", "rw", "r", "r"),
    row("/bellwether/schedules", "r", "r", "rcd"),
    row("/bellwether/schedules/*", "rw", "r", "rw"),
    row("/bellwether/groups", "rd", "r", "rc"),
    row("/bellwether/groups/*", "rw", "r", "rw"),
    row("/bellwether/*", "rw", "r", "r"),
    row("…", "r", "r", "r"),
];

/// The index in [`TABLE`] of the row for this path, which begins with `/` at the root.
#[must_use]
pub fn row_index(path: &str) -> usize {
    TABLE.iter().position(|row| row.fits(path)).unwrap_or(TABLE.len() - 1)
}

/// The row for this path, which begins with `/` at the root.
#[must_use]
pub fn row_of(path: &str) -> &'static Row {
    &TABLE[row_index(path)]
}

/// Rights, and who has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Who.
    pub identity: Identity,
    /// What he may do.
    pub rights: Rights,
}

impl Entry {
    /// Whether anybody at all may change something by it.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.identity.is_anyone() && self.rights.change()
    }
}

/// What a node of this row is given, one entry for each identity, sorted. Roles may share one.
#[must_use]
pub fn entries(identities: &Identities, row: &Row) -> Vec<Entry> {
    tidy(Role::ALL.map(|role| Entry { identity: identities.of(role).clone(), rights: row.of(role) }).into())
}

/// The same rights with one entry for each identity, sorted; without those who may nothing.
#[must_use]
pub fn tidy(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort();
    let mut merged: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries.into_iter().filter(|entry| entry.rights != Rights::NONE) {
        match merged.last_mut().filter(|last| last.identity == entry.identity) {
            Some(last) => last.rights = last.rights.and(entry.rights),
            None => merged.push(entry),
        }
    }
    merged
}

/// Whether rights as they were read are as wanted, in whatever order.
#[must_use]
pub fn agree(wanted: &[Entry], found: &[Entry]) -> bool {
    tidy(wanted.to_vec()) == tidy(found.to_vec())
}

/// Whether they may be: a session without ADMIN is shown no hashes.
#[must_use]
pub fn may_agree(wanted: &[Entry], found: &[Entry]) -> bool {
    let masked = |entries: &[Entry]| tidy(entries.iter().map(|entry| Entry { identity: entry.identity.masked(), ..*entry }).collect());
    masked(wanted) == masked(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{layout, path};

    fn identities() -> Identities {
        let text = |user: &str| format!("digest:{user}:2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
        Identities::parse(&text("c"), &text("w"), &text("u"), &text("a")).expect("identities")
    }

    #[test]
    fn every_node_of_the_layout_has_a_row_of_its_own_and_so_have_its_children() {
        let own = |path: &str| TABLE.iter().filter(|row| row.pattern == path).count();
        let others = ["/", path::MASTER, path::EPOCH, path::VERSION, path::PAUSED];
        let others = others.into_iter().chain([path::STEP_DOWN, path::ADMISSION, path::RATES, path::BENCH]);
        for node in layout::NODES.into_iter().chain(others) {
            assert_eq!(own(node), 1, "{node}");
        }
        let without_children = [path::FAREWELL, path::SWEPT, path::BELLWETHER];
        for node in layout::NODES.into_iter().filter(|node| !without_children.contains(node)) {
            assert_eq!(row_of(&format!("{node}/x")).pattern, format!("{node}/*"));
        }
    }

    #[test]
    fn the_first_row_that_fits_counts() {
        for (path, pattern) in [
            ("/", "/"),
            ("/tasks", "/tasks"),
            ("/tasks/t", "/tasks/*"),
            ("/tasks/t/by-hand", "…"),
            ("/assign/w-1/t", "/assign/*/*"),
            ("/bellwether/held/t", "/bellwether/held/*"),
            ("/bellwether/arrays/a/todo", "/bellwether/arrays/*/todo"),
            ("/bellwether/arrays/a/0-9.1", "/bellwether/arrays/*/*"),
            ("/bellwether/arrays/a/lines/0", "/bellwether/arrays/*/lines/*"),
            ("/bellwether/unheard-of", "/bellwether/*"),
            ("/unheard-of", "…"),
        ] {
            assert_eq!(row_of(path).pattern, pattern, "{path}");
        }
    }

    /// What would hand the cluster over, said in so many words: a change of the table must change this, too.
    #[test]
    fn nobody_but_who_must_may_do_what_hands_the_cluster_over() {
        let may = |right: Rights, path: &str| -> Vec<&str> {
            Role::ALL.into_iter().filter(|role| row_of(path).of(*role).has(right)).map(Role::as_str).collect()
        };
        assert_eq!(may(Rights::CREATE, "/assign/w-1"), ["coordinator", "admin"], "to give work to a worker");
        assert_eq!(may(Rights::WRITE, "/tasks/t"), ["admin"], "to change what a task does");
        assert_eq!(may(Rights::WRITE, "/assign/w-1/t"), ["admin"]);
        assert_eq!(may(Rights::WRITE, "/status/t"), ["admin"], "to change a result");
        assert_eq!(may(Rights::CREATE, "/"), ["coordinator", "admin"], "to take the office");
        assert_eq!(may(Rights::WRITE, "/bellwether/epoch"), ["coordinator", "admin"], "to end a term");
        assert_eq!(may(Rights::CREATE, "/workers"), ["worker", "admin"], "to be given work");
        assert_eq!(may(Rights::CREATE, "/status"), ["coordinator", "worker", "admin"], "to say how a task ended");
        assert_eq!(may(Rights::CREATE, "/tasks"), ["coordinator", "worker", "client", "admin"], "to have something run");
        assert_eq!(may(Rights::CREATE, "/bellwether"), ["coordinator", "admin"], "to pause the master");
        assert_eq!(may(Rights::CREATE, "/bellwether/workers"), ["coordinator", "admin"], "to drain a worker");
        assert_eq!(may(Rights::WRITE, "/bellwether/arrays/a/todo"), ["coordinator", "admin"], "to give out an array");
        assert_eq!(may(Rights::WRITE, "/bellwether/arrays/a/lines/0"), ["admin"], "to change what its elements are given");
        assert_eq!(may(Rights::WRITE, "/bellwether/admission"), ["coordinator", "admin"], "to keep work out");
        for row in TABLE {
            assert_eq!(may(Rights::ADMIN, row.pattern), ["admin"], "{}", row.pattern);
            assert_eq!(may(Rights::READ, row.pattern).len(), 4, "{}", row.pattern);
        }
    }

    #[test]
    fn roles_that_share_an_identity_have_the_rights_of_both() {
        let one = "digest:x:2jmj7l5rSw0yVb/vlWAYkK/YBwk=";
        let all = Identities::parse(one, one, one, one).expect("identities");
        let given = entries(&all, row_of("/tasks"));
        assert_eq!(given, [Entry { identity: Identity::parse(one).expect("one"), rights: Rights::ALL }]);
        assert_eq!(entries(&identities(), row_of("/tasks")).len(), 4);
    }

    #[test]
    fn rights_agree_in_any_order_and_without_hashes_they_may() {
        let wanted = entries(&identities(), row_of("/tasks"));
        let mut found = wanted.clone();
        found.reverse();
        assert!(agree(&wanted, &found));
        found[0].rights = Rights::ALL;
        assert!(!agree(&wanted, &found) && !may_agree(&wanted, &found));
        let masked: Vec<Entry> = wanted.iter().map(|entry| Entry { identity: entry.identity.masked(), ..*entry }).collect();
        assert!(!agree(&wanted, &masked) && may_agree(&wanted, &masked));
    }

    #[test]
    fn only_what_everybody_may_change_is_open() {
        let anyone = |rights| Entry { identity: Identity::anyone(), rights };
        assert!(!anyone(Rights::READ).opens());
        for right in [Rights::WRITE, Rights::CREATE, Rights::DELETE, Rights::ADMIN, Rights::ALL] {
            assert!(anyone(right).opens(), "{right}");
        }
        assert!(entries(&identities(), row_of("/tasks")).iter().all(|entry| !entry.opens()));
    }

    #[test]
    fn rights_are_spelled_as_they_are_read() {
        assert_eq!(Rights::spelled("rcd").to_string(), "rcd");
        assert_eq!((Rights::ALL.to_string().as_str(), Rights::NONE.to_string().as_str()), ("rwcda", "-"));
    }
}
