//! Typed tasks: what a program that submits and a program that handles agree on.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A task as a value: what a handler of its kind is given, and what it returns.
///
/// Both travel as JSON through ZooKeeper, so a kind may be handled by another version of the program than the one that submitted it:
/// change them as you would change a file format.
///
/// ```
/// use bellwether_core::typed::Task;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Resize {
///     path: String,
///     width: u32,
/// }
///
/// impl Task for Resize {
///     const KIND: &'static str = "resize";
///     type Output = u64;
/// }
/// ```
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the kind: 1 to 100 letters, digits and `-_.:/`. It is what a worker registers with, and what `explain` shows.
    const KIND: &'static str;

    /// What its handler returns, at most 128 KiB of JSON.
    type Output: Serialize + DeserializeOwned + Send + 'static;
}
