//! What commands, kinds and environments must be.

use super::{Command, Envelope, Rejection};
use crate::protocol::record::SLOTS_MAX;

/// Longest single argument or shell line that the kernel takes (`MAX_ARG_STRLEN`, with its terminating NUL).
pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;

/// What a command must be, whatever dialect it came in: the client asks this before it submits.
///
/// # Errors
/// [`Rejection`], whose text says how to mend it.
pub fn check_command(command: &Command) -> Result<(), Rejection> {
    let arguments: &[String] = match command {
        Command::Argv(argv) => argv,
        Command::Shell(line) => std::slice::from_ref(line),
        Command::Typed { kind, .. } => return check_kind(kind),
    };
    if arguments.first().is_none_or(|first| first.trim().is_empty()) {
        return Err(Rejection::Empty);
    }
    if let Some(argument) = arguments.iter().find(|argument| argument.len() > ARGUMENT_BYTES_MAX) {
        return Err(Rejection::ArgumentTooLong(argument.len()));
    }
    match arguments.iter().any(|argument| argument.contains('\0')) {
        true => Err(Rejection::NulByte),
        false => Ok(()),
    }
}

pub(super) fn check_environment(envelope: &Envelope) -> Result<(), Rejection> {
    let bad_name = |name: &&String| name.is_empty() || name.contains(['=', '\0']);
    if let Some(name) = envelope.env.keys().find(bad_name) {
        return Err(Rejection::BadEnvelope(format!("env: {name:?} cannot name a variable")));
    }
    match envelope.env.values().any(|value| value.contains('\0')) {
        true => Err(Rejection::NulByte),
        false => Ok(()),
    }
}

/// Longest name of a kind, in bytes.
pub const KIND_BYTES_MAX: usize = 100;

/// What a kind may be called: a word that can stand on a command line, in a label and in a log.
///
/// # Errors
/// [`Rejection::BadEnvelope`], which says what it may be.
pub fn check_kind(kind: &str) -> Result<(), Rejection> {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if !kind.is_empty() && kind.len() <= KIND_BYTES_MAX && kind.chars().all(word) {
        return Ok(());
    }
    let most = format!("1 to {KIND_BYTES_MAX} letters, digits and -_.:/");
    Err(Rejection::BadEnvelope(format!("kind: {kind:?} is no name of a kind, which is {most}")))
}

/// What only a process has is nothing that a handler could be given.
pub(super) fn check_typed(envelope: &Envelope) -> Result<(), Rejection> {
    let meant_for_a_process = !envelope.env.is_empty() || envelope.cwd.is_some() || envelope.stdin.is_some();
    match envelope.kind.is_some() && meant_for_a_process {
        true => Err(Rejection::BadEnvelope("kind: a task for a handler has no env, cwd or stdin".to_owned())),
        false => Ok(()),
    }
}

/// What no worker can ever have is a slip of the pen.
pub(super) fn check_slots(envelope: &Envelope) -> Result<(), Rejection> {
    match envelope.slots {
        Some(slots) if slots.get() > SLOTS_MAX => Err(Rejection::BadEnvelope(format!("slots: no worker has more than {SLOTS_MAX}"))),
        Some(_) | None => Ok(()),
    }
}
