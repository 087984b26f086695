//! Signs what is submitted, if the client has a key. It happens last, when the name of the task is known.

use std::sync::Arc;
use std::time::Duration;

use bellwether_common::clock;
use bellwether_common::config::Client;
use bellwether_common::signing::SecretKey;
use bellwether_core::protocol::payload::{self, Command, Envelope};
use bellwether_core::protocol::{ScheduleName, TaskName};

use crate::error::SubmitError;

/// How many workers a signed task may cost that does not say so: as many as coordinators take if nothing else is configured. What is not
/// said cannot be signed, and would be whatever somebody makes of it.
const LOSSES: u32 = 3;

/// The key that signs, and for how long a signature is good.
///
/// ```
/// use std::time::Duration;
/// use bellwether_client::{ClientSettings, SecretKey, Signer};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let key = SecretKey::generate("ann")?; // or SecretKey::parse of a file that `bellwether key new` has made
/// println!("for worker.trusted_keys: {}", key.public());
/// let mut settings = ClientSettings::new("zk1:2181/prod");
/// settings.signer = Some(Signer::new(key, Duration::from_secs(24 * 3600)));
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Signer {
    key: Arc<SecretKey>,
    good_for: Duration,
}

impl Signer {
    /// Signs with this key; what was not started within `good_for` is not started any more, by the clock of its worker.
    #[must_use]
    pub fn new(key: SecretKey, good_for: Duration) -> Self {
        Self { key: Arc::new(key), good_for }
    }

    /// As configured.
    pub(crate) fn of(client: &Client) -> Option<Self> {
        // Looked at when the settings were loaded.
        let key = SecretKey::parse(client.key.as_ref()?.reveal()).ok()?;
        Some(Self::new(key, client.sign_for))
    }

    /// The same payload with a signature for the task of this name.
    pub(crate) fn seal(&self, name: &TaskName, data: &[u8], max: usize) -> Result<Vec<u8>, SubmitError> {
        let mut task = payload::decode_waiting(data).map_err(SubmitError::Rejected)?;
        self.sign(name, &task.command, &mut task.envelope, None);
        let sealed = task.encode();
        match sealed.len() > max {
            true => Err(SubmitError::TooLarge { bytes: sealed.len(), max }),
            false => Ok(sealed),
        }
    }

    /// The same envelope with a signature for all that a schedule makes of it.
    pub(crate) fn seal_schedule(&self, name: &ScheduleName, mut envelope: Envelope) -> Result<Envelope, SubmitError> {
        let task = payload::decode(&envelope.encode()).map_err(SubmitError::Rejected)?;
        self.sign(&TaskName::listed(name.as_str()), &task.command, &mut envelope, Some(format!("{name}-*")));
        Ok(envelope)
    }

    fn sign(&self, name: &TaskName, command: &Command, envelope: &mut Envelope, tasks: Option<String>) {
        envelope.max_worker_losses.get_or_insert(LOSSES);
        let now = u64::try_from(clock::wall().as_second()).unwrap_or(0);
        let not_after = now.saturating_add(self.good_for.as_secs());
        envelope.signature = Some(self.key.sign(name, command, envelope, not_after, tasks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_task_is_the_same_task_with_a_signature_of_its_name() {
        let key = SecretKey::generate("me").expect("a key");
        let signer = Signer::new(key.clone(), Duration::from_secs(60));
        let data = br#"{"bellwether":1,"argv":["a"],"priority":3}"#;
        let (name, other) = (TaskName::listed("t"), TaskName::listed("u"));
        let sealed = payload::decode(&signer.seal(&name, data, 1024).expect("sealed")).expect("a task");
        let signature = sealed.envelope.signature.clone().expect("signed");
        assert!(key.public().vouches(&name, &sealed.command, &sealed.envelope, &signature));
        assert!(!key.public().vouches(&other, &sealed.command, &sealed.envelope, &signature));
        assert_eq!((sealed.envelope.priority, sealed.envelope.max_worker_losses), (3, Some(LOSSES)));
        assert!(matches!(signer.seal(&name, data, 100), Err(SubmitError::TooLarge { max: 100, .. })));
    }

    #[test]
    fn a_sealed_schedule_vouches_for_its_ticks() {
        let key = SecretKey::generate("me").expect("a key");
        let signer = Signer::new(key.clone(), Duration::from_secs(60));
        let name = ScheduleName::parse("nightly").expect("a name");
        let sealed = signer.seal_schedule(&name, Envelope::new(Command::Shell("x".into()))).expect("sealed");
        let signature = sealed.signature.clone().expect("signed");
        let tick = name.task(1_795_230_000);
        assert!(signature.is_for(&tick), "{tick}");
        assert!(key.public().vouches(&tick, &Command::Shell("x".into()), &sealed, &signature));
        assert!(!signature.is_for(&TaskName::listed("other")));
    }
}
