//! Labels whose values somebody else chooses, held to a bounded number of series.

use std::collections::BTreeSet;

/// The value of a label that stands for all values beyond the bound.
pub const OTHER: &str = "other";

/// How many characters of a value that somebody else chose are a label.
const LENGTH_MAX: usize = 64;

/// Lets through the first values of a label, and calls all later ones [`OTHER`]: every value is a series in every Prometheus that
/// scrapes us, for as long as we live, and a program that makes up a name for each task would end both.
#[derive(Debug, Clone)]
pub struct Bounded {
    known: BTreeSet<String>,
    room: usize,
}

impl Bounded {
    /// Knows these values, and lets through as many others as there is `room`.
    #[must_use]
    pub fn new(known: &[&str], room: usize) -> Self {
        Self { known: known.iter().map(|value| (*value).to_owned()).collect(), room }
    }

    /// The value itself, or [`OTHER`]. A value that is no word (empty, too long, with characters that are no letters, digits, or one
    /// of `-_.:/`) is another, too.
    pub fn value<'a>(&mut self, value: &'a str) -> &'a str {
        if self.known.contains(value) {
            return value;
        }
        let in_word = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if self.room == 0 || value.is_empty() || value.len() > LENGTH_MAX || !value.chars().all(in_word) {
            return OTHER;
        }
        self.room -= 1;
        self.known.insert(value.to_owned());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_would_explode_becomes_other() {
        let mut kinds = Bounded::new(&["argv"], 3);
        let seen: BTreeSet<String> = (0..10_000).map(|n| kinds.value(&format!("kind-{n}")).to_owned()).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["kind-0", "kind-1", "kind-2", OTHER]);
        assert_eq!((kinds.value("argv"), kinds.value("kind-1"), kinds.value("kind-9")), ("argv", "kind-1", OTHER));
    }

    #[test]
    fn what_is_no_word_is_no_label() {
        let mut kinds = Bounded::new(&[], 10);
        for odd in ["", "two words", "line\nbreak", "quote\"", "grün", &"x".repeat(65)] {
            assert_eq!(kinds.value(odd), OTHER, "{odd:?}");
        }
        assert_eq!(kinds.value("image.resize/v2"), "image.resize/v2");
    }
}
