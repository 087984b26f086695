//! Names of tasks and of worker incarnations.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a task: the name of its znode under `/tasks`, and later of its result under `/status`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TaskName(Arc<str>);

/// One life of a worker: `<name>-<session id in hex>`. A foreign worker may have any name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct WorkerId(Arc<str>);

/// A name that cannot name a znode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing at all.
    #[error("a name must not be empty")]
    Empty,
    /// Too long to be typed, listed or stored.
    #[error("a name must not be longer than {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character with a meaning in paths, or one that cannot be printed.
    #[error("a name must not contain {0:?}")]
    Character(char),
    /// `.`, `..` and `zookeeper` mean something else.
    #[error("{0:?} is reserved")]
    Reserved(String),
}

/// Longest name that we give or accept on submission; foreign ones may be longer.
pub const NAME_BYTES_MAX: usize = 200;

impl TaskName {
    /// A name that ZooKeeper listed: whatever it is, it can name a znode.
    #[must_use]
    pub fn listed(name: &str) -> Self {
        Self(name.into())
    }

    /// A name that somebody typed.
    ///
    /// # Errors
    /// [`BadName`]: show it, it says what to change.
    pub fn parse(name: &str) -> Result<Self, BadName> {
        check(name)?;
        Ok(Self(name.into()))
    }

    /// A new unique name, `task-` and 16 letters and digits: 9 of milliseconds since 1970 (so that names sort by age) and 7 of
    /// chance. Both come from the caller; of each, only what fits is used. Letters that look like digits are left out
    /// (Crockford's base 32), so that a name can be read out and typed.
    #[must_use]
    pub fn generate(unix_ms: u64, chance: u64) -> Self {
        let mut name = String::with_capacity(21);
        name.push_str("task-");
        push_base32(&mut name, unix_ms, 9);
        push_base32(&mut name, chance, 7);
        Self(name.into())
    }

    /// The element of this number of a group, or of an array, of this name.
    #[must_use]
    pub fn element(&self, index: u32) -> Self {
        Self(format!("{self}.{index}").into())
    }

    /// The group whose element it is, and its number there, if it has the form of an element's name.
    #[must_use]
    pub fn group(&self) -> Option<(Self, u32)> {
        let (group, index) = self.0.rsplit_once('.')?;
        let canonical = index == "0" || !index.starts_with(['0', '+']);
        let index = index.parse().ok().filter(|_| canonical)?;
        (!group.is_empty()).then(|| (Self(group.into()), index))
    }

    /// When the task was submitted, in milliseconds since 1970, if the name is of the form that [`generate`](Self::generate) gives.
    /// It is the submitter's clock, and good for figures only.
    #[must_use]
    pub fn submitted_ms(&self) -> Option<u64> {
        let digits = self.0.strip_prefix("task-")?;
        let digits = digits.split_once('.').map_or(digits, |(digits, _)| digits);
        let value = |digit: u8| ALPHABET.iter().position(|known| *known == digit);
        if digits.len() != 16 || digits.bytes().any(|digit| value(digit).is_none()) {
            return None;
        }
        digits.bytes().take(9).try_fold(0, |sum, digit| Some(sum << 5 | value(digit)? as u64))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn push_base32(out: &mut String, value: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (value >> (5 * place)) & 31;
        out.push(char::from(ALPHABET[digit as usize]));
    }
}

impl WorkerId {
    /// A name that ZooKeeper listed.
    #[must_use]
    pub fn listed(name: &str) -> Self {
        Self(name.into())
    }

    /// The incarnation of worker `name` that lives as long as session `session`.
    #[must_use]
    pub fn incarnation(name: &str, session: i64) -> Self {
        Self(format!("{name}-{session:016x}").into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the operator called it, if this is a name of our form: then its box may be deleted by us.
    #[must_use]
    pub fn operator_name(&self) -> Option<&str> {
        let (name, session) = self.0.rsplit_once('-')?;
        let hex = session.len() == 16 && session.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (hex && !name.is_empty()).then_some(name)
    }

    /// The session whose incarnation it is, if this is a name of our form.
    #[must_use]
    pub fn session(&self) -> Option<i64> {
        self.operator_name()?;
        let (_, session) = self.0.rsplit_once('-')?;
        u64::from_str_radix(session, 16).ok().map(u64::cast_signed)
    }
}

/// Checks the operator's name for a service, which becomes part of znode names and of metrics.
///
/// # Errors
/// [`BadName`]: show it.
pub fn check(name: &str) -> Result<(), BadName> {
    if name.is_empty() {
        return Err(BadName::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(BadName::TooLong(name.len()));
    }
    if matches!(name, "." | ".." | "zookeeper") {
        return Err(BadName::Reserved(name.to_owned()));
    }
    match name.chars().find(|c| *c == '/' || c.is_control() || c.is_whitespace()) {
        Some(c) => Err(BadName::Character(c)),
        None => Ok(()),
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_sort_by_age_and_have_one_length() {
        let early = TaskName::generate(1_700_000_000_000, u64::MAX);
        let late = TaskName::generate(1_700_000_000_001, 0);
        assert!(early < late, "{early} is older than {late}");
        assert_eq!(early.as_str().len(), 21);
        assert_eq!(TaskName::parse(late.as_str()), Ok(late));
    }

    #[test]
    fn a_generated_name_says_when_it_was_given_and_others_say_nothing() {
        for unix_ms in [0, 1, 1_700_000_000_000, (1 << 45) - 1] {
            assert_eq!(TaskName::generate(unix_ms, u64::MAX).submitted_ms(), Some(unix_ms));
        }
        for foreign in
            ["task-0000000001", "task-", "job-1hq2w8y0k7v3x9m2", "task-1hq2w8y0k7v3x9mu", "task-1HQ2W8Y0K7V3X9M2", "task-1hq2w8y0k7v3x9m22"]
        {
            assert_eq!(TaskName::listed(foreign).submitted_ms(), None, "{foreign}");
        }
    }

    #[test]
    fn an_element_names_its_group_and_its_number() {
        let group = TaskName::generate(1_700_000_000_000, 7);
        let element = group.element(12);
        assert_eq!((element.group(), element.submitted_ms()), (Some((group.clone(), 12)), group.submitted_ms()));
        assert_eq!(TaskName::listed("a.b.0").group(), Some((TaskName::listed("a.b"), 0)));
        for none in ["a", "a.", ".1", "a.b", "a.01", "a.+1", "a.-1", "a.4294967296"] {
            assert_eq!(TaskName::listed(none).group(), None, "{none}");
        }
    }

    #[test]
    fn names_that_cannot_name_a_znode_are_told_apart() {
        assert_eq!(check(""), Err(BadName::Empty));
        assert_eq!(check("a/b"), Err(BadName::Character('/')));
        assert_eq!(check("a b"), Err(BadName::Character(' ')));
        assert_eq!(check(".."), Err(BadName::Reserved("..".into())));
        assert_eq!(check(&"x".repeat(201)), Err(BadName::TooLong(201)));
        assert_eq!(check("büro-7"), Ok(()));
    }

    #[test]
    fn only_our_incarnations_have_an_operators_name() {
        assert_eq!(WorkerId::incarnation("web-1", 0x1000_0a2b).operator_name(), Some("web-1"));
        assert_eq!(WorkerId::incarnation("w", -1).operator_name(), Some("w"));
        assert_eq!(WorkerId::listed("worker-7f").operator_name(), None);
        assert_eq!(WorkerId::listed("-0000000000000001").operator_name(), None);
    }
}
