//! A part of a state: shared between the states in which it is the same, and hashed once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A shared value and its hash. Equal hashes are taken for equal values, as the checker does with whole states.
#[derive(Debug, Clone)]
pub(crate) struct Part<T> {
    value: Arc<T>,
    /// `None`: it was changed since it was sealed.
    hash: Option<u64>,
}

impl<T: Clone + Hash> Part<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Arc::new(value), hash: None }
    }

    /// The value, to be changed.
    pub(crate) fn edit(&mut self) -> &mut T {
        self.hash = None;
        Arc::make_mut(&mut self.value)
    }

    /// Computes the hash if the value was changed; `tidy` brings it into its canonical form before.
    pub(crate) fn seal(&mut self, tidy: impl FnOnce(&mut T)) {
        if self.hash.is_none() {
            tidy(Arc::make_mut(&mut self.value));
            // The same in every run, so that counts can be compared.
            let mut hasher = DefaultHasher::new();
            self.value.hash(&mut hasher);
            self.hash = Some(hasher.finish());
        }
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Part<T> {}

impl<T> Hash for Part<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.expect("sealed after each step").hash(state);
    }
}
