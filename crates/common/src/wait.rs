//! Waiting for something to become true, with a deadline and a reason to print: for the tests of all packages, which never sleep.
//! Nothing that runs in production waits like this.

use std::fmt::{Debug, Display};
use std::time::{Duration, Instant};

/// What one look can see: `bool`, `Option` or `Result`.
pub trait Seen {
    /// What is handed to the test when it holds.
    type Value;

    /// The value, or what was seen instead.
    ///
    /// # Errors
    /// It does not hold yet; the text says what was seen.
    fn holds(self) -> Result<Self::Value, String>;
}

impl Seen for bool {
    type Value = ();

    fn holds(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "it was not so".to_owned())
    }
}

impl<T> Seen for Option<T> {
    type Value = T;

    fn holds(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Seen for Result<T, E> {
    type Value = T;

    fn holds(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:#}"))
    }
}

/// `actual` as a result that holds if it equals `expected`, and else says what it was.
///
/// # Errors
/// They differ.
pub fn is<T: PartialEq + Debug>(actual: T, expected: &T) -> Result<T, String> {
    if actual == *expected { Ok(actual) } else { Err(format!("{actual:?} instead of {expected:?}")) }
}

/// Looks every 10 ms until what it sees holds, and returns that.
///
/// # Panics
/// When `within` is over: the text says what was awaited, for how long, and what was seen last.
#[track_caller]
pub fn eventually<S: Seen>(within: Duration, what: &str, mut look: impl FnMut() -> S) -> S::Value {
    let begun = Instant::now();
    loop {
        let last = match look().holds() {
            Ok(value) => return value,
            Err(last) => last,
        };
        assert!(begun.elapsed() < within, "waited {:.1?} for: {what}; seen last: {last}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_returns_what_was_awaited_as_soon_as_it_is_there() {
        let mut looks = 0;
        let value = eventually(Duration::from_secs(10), "the third look", || {
            looks += 1;
            (looks == 3).then_some("here")
        });
        assert_eq!((value, looks), ("here", 3));
    }

    #[test]
    #[should_panic(expected = "for: five workers; seen last: 3 instead of 5")]
    fn it_says_what_was_awaited_and_what_was_seen_last() {
        eventually(Duration::from_millis(30), "five workers", || is(3, &5));
    }
}
