//! What a client is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use bellwether_common::config::{Settings, Sources};
use bellwether_common::session::{Needs, SessionSettings};
use bellwether_core::protocol::payload::PAYLOAD_BYTES_MAX;

use crate::error::ClosedBecause;
use crate::signing::Signer;

/// For how long programs go on trying.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client is told at its start. [`ClientSettings::new`] has what suits most.
///
/// ```no_run
/// use std::time::Duration;
/// use bellwether_client::{Client, ClientSettings};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut settings = ClientSettings::configured(["/etc/bellwether/client.toml"])?; // or new("zk1:2181/prod")
/// settings.request_timeout = Duration::from_secs(5);
/// let client = Client::connect(settings).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Where and how to open sessions. A client without a session for `give_up_after` gives up for good.
    pub session: SessionSettings,
    /// How long one request goes on being asked while ZooKeeper does not answer. Waiting for a result is not bounded by it.
    pub request_timeout: Duration,
    /// Most submissions in flight at once.
    pub submit_window: usize,
    /// Longest payload that is submitted, in bytes.
    pub payload_max: usize,
    /// Most bytes of lines of one array.
    pub lines_max: usize,
    /// Who submits and cancels; `user@host` unless told otherwise.
    pub submitter: String,
    /// Signs what is submitted, for workers that ask for it; nothing if `None`.
    pub signer: Option<Signer>,
}

impl ClientSettings {
    /// Connects to `connect`, `host:port,host:port/root`, and goes on trying for 30 seconds.
    #[must_use]
    pub fn new(connect: &str) -> Self {
        Self::of(&Settings::default(), PATIENCE).connecting_to(connect)
    }

    /// As files for the command `bellwether` say, later ones over earlier ones, and the environment (`BELLWETHER__SECTION__KEY`) over
    /// both: so a program finds a cluster that is secured or reached by TLS, and signs what it submits.
    ///
    /// # Errors
    /// [`ClosedBecause::BadSettings`], with all that is wrong.
    pub fn configured<P: Into<PathBuf>>(files: impl IntoIterator<Item = P>) -> Result<Self, ClosedBecause> {
        let sources = Sources { files: files.into_iter().map(Into::into).collect(), ..Sources::default() };
        let settings = Settings::load(&sources).map_err(|error| ClosedBecause::BadSettings(error.to_string()))?;
        Ok(Self::of(&settings, PATIENCE))
    }

    /// As configured; `request_timeout` bounds requests and times without a session alike.
    #[must_use]
    pub fn of(settings: &Settings, request_timeout: Duration) -> Self {
        let session = SessionSettings { give_up_after: request_timeout, ..SessionSettings::of(settings, Needs::Client) };
        Self {
            session,
            request_timeout,
            submit_window: settings.client.submit_window as usize,
            payload_max: settings.task.payload_max.as_usize().min(PAYLOAD_BYTES_MAX),
            lines_max: settings.client.lines_max.as_usize(),
            submitter: submitter(),
            signer: Signer::of(&settings.client),
        }
    }

    fn connecting_to(mut self, connect: &str) -> Self {
        connect.clone_into(&mut self.session.connect);
        self
    }

    /// Servers and root in one string, as people type it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}{}", self.session.connect.trim_end_matches('/'), self.session.root.trim_end_matches('/'))
    }
}

impl From<&str> for ClientSettings {
    fn from(connect: &str) -> Self {
        Self::new(connect)
    }
}

impl From<&String> for ClientSettings {
    fn from(connect: &String) -> Self {
        Self::new(connect)
    }
}

impl From<String> for ClientSettings {
    fn from(connect: String) -> Self {
        Self::new(&connect)
    }
}

/// `user@host` of this process.
fn submitter() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let user = user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name);
    let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned());
    format!("{user}@{}", host.unwrap_or_else(|_| "localhost".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_string_alone_suffices() {
        let settings = ClientSettings::from("a:1,b:2/prod");
        assert_eq!((settings.address().as_str(), settings.session.needs), ("a:1,b:2/prod", Needs::Client));
        assert!(settings.submitter.contains('@'));
    }

    #[test]
    fn a_program_is_told_by_files_what_the_command_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("client.toml");
        std::fs::write(&file, "[zookeeper]\nconnect = \"a:1/prod\"\n[client]\nsubmit_window = 7\n").expect("written");
        let settings = ClientSettings::configured([&file]).expect("read");
        assert_eq!((settings.address().as_str(), settings.submit_window), ("a:1/prod", 7));
        std::fs::write(&file, "[client]\nsign_key = \"/no/such/file\"\n").expect("written");
        let refused = ClientSettings::configured([&file]).expect_err("no such key").to_string();
        assert!(refused.contains("client.sign_key"), "{refused}");
    }
}
