//! SIGHUP: the configuration is read again from where it came from.
//!
//! A configuration that is wrong changes nothing. Of one that is right, a running service takes over what
//! [`RELOADABLE`](crate::config::RELOADABLE) lists, and names what waits for a restart.

use std::future::pending;
use std::sync::Arc;

use metrics::gauge;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::logging::Level;
use super::systemd::Systemd;
use crate::config::{ConfigError, Role, Settings, Sources, reload};
use crate::metrics::CONFIG_LAST_RELOAD_SUCCESSFUL;

/// Hears of settings that changed while the service runs. Each clone hears of all.
#[derive(Debug, Clone)]
pub struct Reloads {
    settings: watch::Receiver<Arc<Settings>>,
}

impl Reloads {
    /// Of a service that reads no files: there will be none.
    #[must_use]
    pub fn never() -> Self {
        let (_, settings) = watch::channel(Arc::default());
        Self { settings }
    }

    /// Waits for the next settings; of several at once, the last.
    pub async fn next(&mut self) -> Arc<Settings> {
        if self.settings.changed().await.is_err() {
            pending::<()>().await;
        }
        Arc::clone(&self.settings.borrow_and_update())
    }
}

/// What a reload needs.
pub(super) struct Reloader {
    pub(super) role: Role,
    pub(super) sources: Sources,
    pub(super) level: Level,
    pub(super) systemd: Systemd,
}

impl Reloader {
    /// From now on each SIGHUP is a reload, served by `runtime`.
    pub(super) fn start(self, runtime: &Handle, settings: Settings) -> std::io::Result<Reloads> {
        let _inside = runtime.enter();
        let hangups = signal(SignalKind::hangup())?;
        let (news, heard) = watch::channel(Arc::new(settings));
        gauge!(CONFIG_LAST_RELOAD_SUCCESSFUL).set(1.0);
        runtime.spawn(self.serve(hangups, news));
        Ok(Reloads { settings: heard })
    }

    async fn serve(self, mut hangups: Signal, news: watch::Sender<Arc<Settings>>) {
        while hangups.recv().await.is_some() {
            self.systemd.reloading().await;
            let current = Arc::clone(&news.borrow());
            match Settings::load(&self.sources) {
                Ok(fresh) => self.take_over(&current, &fresh, &news),
                Err(error) => refuse(&error),
            }
            self.systemd.reloaded().await;
        }
    }

    fn take_over(&self, current: &Settings, fresh: &Settings, news: &watch::Sender<Arc<Settings>>) {
        let done = reload(self.role, current, fresh);
        if done.settings.log.level != current.log.level
            && let Err(error) = self.level.set(done.settings.log.level)
        {
            warn!(error, "the level of the log stays as it is");
        }
        gauge!(CONFIG_LAST_RELOAD_SUCCESSFUL).set(1.0);
        info!(changed = done.changed.join(" "), "configuration reloaded");
        if !done.ignored.is_empty() {
            warn!(keys = done.ignored.join(" "), "changed keys wait for a restart");
        }
        news.send_replace(Arc::new(done.settings));
    }
}

fn refuse(error: &ConfigError) {
    gauge!(CONFIG_LAST_RELOAD_SUCCESSFUL).set(0.0);
    error!(%error, "configuration not reloaded, the old one stays");
}
