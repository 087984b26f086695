//! `bellwether zk-exporter`: ZooKeeper's own figures for Prometheus, from servers that have no provider of their own.
//!
//! What lives here: the service, from its configuration to its end. What `mntr` means stands in `mntr`, how servers are asked in
//! `ask`, what a scrape is answered in `page`. It needs no session: a server that does not serve is just what one wants to see.

mod ask;
mod mntr;
mod names;
mod page;

use std::sync::Arc;

use bellwether_common::boot::{self, Shutdown, Systemd};
use bellwether_common::config::{Role, Settings};
use bellwether_common::http::{self, Health, MorePages};
use bellwether_common::metrics;
use tokio::runtime::Handle;
use tracing::info;

use super::arguments::Global;
use super::failure::Failure;
use super::interrupts::Interrupts;
use ask::Servers;

/// Serves until it is asked to stop, which is how it ends well.
pub(crate) async fn run(global: &Global) -> Result<u8, Failure> {
    let settings = Settings::load(&global.sources())?;
    boot::start_log(&settings.log).map_err(|why| Failure::configuration(format!("environment variable RUST_LOG: {why}")))?;
    let interrupts = Interrupts::listen()?;
    let servers = Arc::new(Servers::new(&settings.zookeeper.connect, &settings.cluster));
    let names = servers.names().join(", ");
    let metrics = metrics::install(&settings.cluster, Role::Exporter).map_err(|error| Failure::error("error", error.to_string()))?;
    let metrics = metrics.with_more(Arc::new(move || {
        let servers = Arc::clone(&servers);
        Box::pin(async move { servers.scrape().await })
    }));

    let health = Health::new();
    health.set_probe(Arc::new(|| Box::pin(std::future::ready(true))));
    let listen = settings.http_listen(Role::Exporter);
    // It stops by itself: nobody asks for it but the interrupt, which says so in time.
    let systemd = Systemd::start(&Handle::current(), &health, &Shutdown::channel().1);
    let asked = async move {
        interrupts.next().await;
        systemd.stopping();
    };
    let server = http::serve(&Handle::current(), listen, metrics, health.clone(), MorePages::default(), asked).await;
    let server = server.map_err(|error| Failure::configuration(error.to_string()))?;
    health.set_ready(true, format!("exporting {names}"));
    info!(http = %server.address, servers = names, cluster = settings.cluster, "listening on {}", server.address);
    server.ended().await;
    info!("ended");
    Ok(0)
}
