//! What a report of bad configuration looks like.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it, or a program did.
    Default,
    /// A configuration file as a whole.
    File(PathBuf),
    /// A line of a configuration file, counted from 1.
    Line(PathBuf, usize),
    /// An environment variable, by its name.
    Environment(String),
    /// `--set`, by its argument's key.
    Set(String),
    /// Another flag or argument.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Set(key) => write!(f, "--set {key}"),
            Self::CommandLine => f.write_str("the command line"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key as `section.key`; empty if the source as a whole is unusable.
    pub key: String,
    /// The value as it was given; none where it could be a secret or does not matter.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong with it and how to mend it.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, origin, why } = self;
        match (key.is_empty(), value) {
            (true, _) => write!(f, "{origin}: {why}"),
            (false, None) => write!(f, "{key} ({origin}): {why}"),
            (false, Some(value)) => write!(f, "{key} = {} ({origin}): {why}", without_credentials(value)),
        }
    }
}

/// An address as everybody may see it: without `user:password@`, which has no place in any.
fn without_credentials(value: &str) -> Cow<'_, str> {
    let hidden = value.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find('/').unwrap_or(rest.len());
        let at = rest[..end].rfind('@')?;
        Some(format!("{scheme}://…{}", &rest[at..]))
    });
    hidden.map_or(Cow::Borrowed(value), Cow::Owned)
}

/// Everything that is wrong with the configuration, in one report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// An error, unless there are no problems.
    pub(super) fn of(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "bad configuration: {problem}"),
            problems => {
                write!(f, "bad configuration, {} problems:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_host_is_not_shown() {
        assert_eq!(without_credentials("\"s3://key:se@cret@bucket/a@b\""), "\"s3://…@bucket/a@b\"");
        for harmless in ["\"s3://bucket/a@b\"", "me@here", "", "\"file:///x\""] {
            assert_eq!(without_credentials(harmless), harmless);
        }
    }
}
