//! A proxy between one service and ZooKeeper that understands the protocol and does harm on order.
//!
//! What lives here: the handle. What the wire says is in `wire`, when harm is done in `rule`, how frames travel in `relay`, and how
//! a session is ended behind its owner's back in `expiry`.
//!
//! ```no_run
//! # use bellwether_tests::proxy::{Fault, Operation, Proxy, Rule};
//! # use bellwether_tests::{Cluster, is};
//! let cluster = Cluster::new();
//! let proxy = cluster.proxy();
//! let lost = proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/master").then(Fault::LoseReply));
//! let _coordinator = cluster.coordinator_with("c1", &[("zookeeper.connect", &cluster.through(&proxy))]);
//! lost.strikes(1);
//! ```

mod expiry;
mod relay;
mod rule;
#[cfg(test)]
mod tests;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::zookeeper::Zookeeper;
use relay::Shared;
pub use rule::{Fault, Hits, Rule};
pub use wire::Operation;

/// A proxy on a port of its own. It serves one client: what is done to a connection is done to all of them. Everything it holds is
/// dropped with it, and its client is cut off.
///
/// Must not be used inside an async runtime.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// A proxy in front of `zookeeper`. Paths in rules are absolute.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn new(zookeeper: &Zookeeper) -> Self {
        Self::below(zookeeper, "")
    }

    /// The same; paths in rules are below `root`, which requests name in full.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn below(zookeeper: &Zookeeper, root: &str) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, zookeeper, root)
    }

    /// The same at another address of this machine.
    ///
    /// # Panics
    /// No port is free there.
    #[must_use]
    pub fn at(address: Ipv4Addr, zookeeper: &Zookeeper, root: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("proxy").enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((address, 0))).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let servers = zookeeper.connect_string().split(',').map(str::to_owned).collect();
        let shared = Arc::new(Shared::new(servers, root));
        runtime.spawn(relay::accept(shared.clone(), listener));
        Self { shared, address, runtime: Some(runtime) }
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many bytes went through, in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes()
    }

    /// What the service connects to, without a root.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on this happens to requests. Of several rules for one request the first that strikes counts, and all count it.
    pub fn rule(&self, rule: Rule) -> Hits {
        self.shared.arm(rule)
    }

    /// How many requests of this kind came by, those that were lost included.
    #[must_use]
    pub fn seen(&self, operation: Operation) -> u64 {
        self.shared.seen(operation)
    }

    /// How many nodes they named: one request may read several.
    #[must_use]
    pub fn named(&self, operation: Operation) -> u64 {
        self.shared.named(operation)
    }

    /// Nothing gets through in either direction, and nobody is told. What was sent meanwhile arrives late, as TCP's own repetitions
    /// would, unless its sender has come back on another connection before: then ZooKeeper may have hung up on it. Who tries to
    /// connect meanwhile, and gives up, is never heard of.
    pub fn black_hole(&self) {
        self.shared.hole(true, true);
    }

    /// Requests get through, replies and events do not.
    pub fn black_hole_replies(&self) {
        self.shared.hole(false, true);
    }

    /// Everything gets through again.
    pub fn heal(&self) {
        self.shared.hole(false, false);
    }

    /// Whether nothing gets through: it was told so, or a rule did it.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.shared.is_frozen()
    }

    /// Cuts all connections at once. New ones are served.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Cuts all connections, and lets no new one through until [`heal`](Self::heal): an outage that is noticed at once.
    pub fn cut_off(&self) {
        self.black_hole();
        self.cut();
    }

    /// Replies and events take so much longer, pings included.
    pub fn slow_down(&self, delay: Duration) {
        self.shared.slow_down(delay);
    }

    /// The session that was opened or resumed last through this proxy.
    #[must_use]
    pub fn session(&self) -> Option<i64> {
        self.shared.session().map(|session| session.id)
    }

    /// Ends that session as if it had expired: closes it through another connection, with its own id and password, and cuts the
    /// client's, so that it hears of it when it comes back. When this returns, the session's ephemerals are gone. Works also while
    /// nothing gets through.
    ///
    /// # Panics
    /// There was no session, or ZooKeeper does not end it.
    #[track_caller]
    pub fn expire_session(&self) {
        let runtime = self.runtime.as_ref().expect("present until it is dropped");
        runtime.block_on(self.shared.expire_session()).unwrap_or_else(|error| panic!("cannot expire the session: {error}"));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
