//! How a handler fails.

use std::error::Error;
use std::fmt;

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The longest text of an error that goes into a result, in bytes.
const TEXT_BYTES_MAX: usize = 4 * 1024;

/// Why an attempt failed. `?` makes a [`Retry`](Self::Retry) of any error.
///
/// ```
/// use bellwether_worker::TaskError;
///
/// fn parse(text: &str) -> Result<u32, TaskError> {
///     // Another attempt reads the same text.
///     let number: i64 = text.parse().map_err(TaskError::fatal)?;
///     // Whatever else goes wrong may go right the next time.
///     Ok(u32::try_from(number)?)
/// }
///
/// assert!(parse("x").is_err_and(|error| error.is_fatal()));
/// assert!(parse("-1").is_err_and(|error| !error.is_fatal()));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TaskError {
    /// Another attempt is made, if the task has retries left.
    Retry(BoxError),
    /// No other attempt is made: it would fail in the same way.
    Fatal(BoxError),
}

impl TaskError {
    /// No other attempt is made.
    #[must_use]
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Self::Fatal(error.into())
    }

    /// Another attempt is made, if the task has retries left. For errors that `?` does not take, as text.
    #[must_use]
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self::Retry(error.into())
    }

    /// Whether no other attempt is made.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal(_))
    }

    /// An error as it comes out of a layer: what a handler said goes through unchanged, what a layer says of its own is retried.
    pub(crate) fn of_layer(error: BoxError) -> Self {
        match error.downcast::<Carried>() {
            Ok(carried) => carried.0,
            Err(error) => Self::Retry(error),
        }
    }

    /// The error and its causes in one text, cut off where results would become too large.
    pub(crate) fn text(&self) -> String {
        let (Self::Retry(error) | Self::Fatal(error)) = self;
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let why = error.to_string();
            // Some errors say their cause themselves.
            if !text.ends_with(&why) {
                text = format!("{text}: {why}");
            }
            cause = error.source();
        }
        shortened(text)
    }
}

/// At most so many bytes, and a mark where it was cut off.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

impl<E: Error + Send + Sync + 'static> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::Retry(Box::new(error))
    }
}

/// How a [`TaskError`] goes through layers, which pass on errors of any kind.
#[derive(Debug)]
struct Carried(TaskError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text())
    }
}

impl Error for Carried {}

impl From<TaskError> for BoxError {
    fn from(error: TaskError) -> Self {
        Box::new(Carried(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the page cannot be read")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_told_and_texts_are_cut_off() {
        let error = TaskError::from(Outer(std::io::Error::other("disk on fire")));
        assert_eq!((error.text().as_str(), error.is_fatal()), ("the page cannot be read: disk on fire", false));
        let long = TaskError::fatal("ü".repeat(TEXT_BYTES_MAX));
        assert!(long.text().len() <= TEXT_BYTES_MAX + '…'.len_utf8() && long.text().ends_with('…'));
    }

    #[test]
    fn what_a_handler_says_goes_through_layers_unchanged() {
        let through = TaskError::of_layer(BoxError::from(TaskError::fatal("no such image")));
        assert!(through.is_fatal() && through.text() == "no such image");
        assert!(!TaskError::of_layer("the layer was too slow".into()).is_fatal());
    }
}
