//! What identifies a payload, so that it is known again without being kept.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::protocol::payload;

/// What identifies a payload: its bytes, and what it means whatever its counts and its wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Essence {
    bytes: u64,
    meaning: u64,
    /// How many workers it has cost.
    pub(super) losses: u32,
    /// How many of its attempts failed.
    pub(super) failures: u32,
}

impl Essence {
    /// Of this payload. `like` is what it is probably the same as: then it need not be decoded again.
    pub(super) fn of(data: &[u8], like: Option<Essence>) -> Self {
        let bytes = hash(data);
        if let Some(same) = like.filter(|like| like.bytes == bytes) {
            return same;
        }
        let Ok(mut task) = payload::decode_assigned(data) else {
            // Garbage is moved as it is, until somebody rejects it.
            return Self { bytes, meaning: bytes, losses: 0, failures: 0 };
        };
        let (losses, failures) = (task.envelope.losses, task.envelope.failures);
        // Where it rests for how long is not what it asks for.
        task.envelope.start_over();
        Self { bytes, meaning: hash(&task.encode()), losses, failures }
    }

    /// Whether both ask for the same.
    pub(super) fn means_the_same(&self, other: &Essence) -> bool {
        self.meaning == other.meaning
    }
}

fn hash(data: &[u8]) -> u64 {
    // Not for secrets, only against mistakes: the same on every machine and in every run.
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_wrapping_change_nothing_and_anything_else_does() {
        let plain = Essence::of(b"sleep 1", None);
        let mut task = payload::decode(b"sleep 1").expect("a shell line");
        (task.envelope.losses, task.envelope.failures, task.envelope.delay_ms) = (2, 1, 50);
        let wrapped = Essence::of(&task.encode(), Some(plain));
        assert!(wrapped.means_the_same(&plain));
        assert_eq!((plain.losses, wrapped.losses, wrapped.failures), (0, 2, 1));
        assert!(!Essence::of(b"sleep 2", Some(plain)).means_the_same(&plain));
        assert!(!Essence::of(br#"{"bellwether":1,"shell":"sleep 1"}"#, None).means_the_same(&plain), "another dialect");
        let envelope = |timeout| Essence::of(format!(r#"{{"bellwether":1,"shell":"x","timeout_ms":{timeout}}}"#).as_bytes(), None);
        assert!(!envelope(1).means_the_same(&envelope(2)));
    }
}
