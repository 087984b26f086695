//! The proxy against a real ZooKeeper.

use bellwether_core::protocol::Multi;
use zookeeper_client::{Acls, Client, CreateMode, SessionState};

use super::*;
use crate::tasks::SOON;
use crate::tree::Tree;
use bellwether_common::wait::eventually;

/// A root, hands in it, and a client behind a proxy.
struct World {
    direct: Tree,
    proxy: Proxy,
    runtime: Runtime,
    client: Client,
}

impl World {
    fn new() -> Self {
        let zookeeper = Zookeeper::shared();
        let root = zookeeper.new_root();
        let direct = zookeeper.tree(&root);
        let proxy = Proxy::below(&zookeeper, &root);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let connector = async { Client::connector().with_session_timeout(Duration::from_secs(6)).connect(&proxy.address()).await };
        let client = runtime.block_on(connector).expect("a session").chroot(root).expect("a root");
        Self { direct, proxy, runtime, client }
    }

    /// Sends a create; its answer comes through the channel.
    fn create(&self, path: &'static str) -> std::sync::mpsc::Receiver<Result<(), zookeeper_client::Error>> {
        let (client, (answer, answered)) = (self.client.clone(), std::sync::mpsc::channel());
        self.runtime.spawn(async move {
            let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
            // Nobody may be left to hear it.
            let _ = answer.send(client.create(path, b"", &options).await.map(drop));
        });
        answered
    }

    fn connects_again(&self) {
        eventually(SOON, "the client to come back", || self.client.state() == SessionState::SyncConnected);
    }
}

#[test]
fn everything_gets_through_and_is_counted() {
    let world = World::new();
    let creates = world.proxy.rule(Rule::on(Operation::Create).below("/a").each());
    world.create("/a").recv_timeout(SOON).expect("an answer").expect("created");
    assert!(world.direct.exists("/a"));
    assert_eq!((creates.matched(), world.proxy.seen(Operation::Create), world.proxy.seen(Operation::Multi)), (1, 1, 0));
    assert_eq!(world.proxy.session(), Some(world.client.session_id().0));
}

#[test]
fn a_lost_request_is_not_carried_out_and_a_lost_reply_is() {
    let world = World::new();
    let request = world.proxy.rule(Rule::on(Operation::Create).below("/a").then(Fault::LoseRequest));
    let reply = world.proxy.rule(Rule::on(Operation::Create).below("/b").then(Fault::LoseReply));
    assert!(world.create("/a").recv_timeout(SOON).expect("an answer").is_err());
    world.connects_again();
    assert!(world.create("/b").recv_timeout(SOON).expect("an answer").is_err());
    world.connects_again();
    assert_eq!((request.struck(), reply.struck()), (1, 1));
    assert_eq!(world.direct.children("/"), ["b"]);
    world.create("/c").recv_timeout(SOON).expect("an answer").expect("created");
}

#[test]
fn what_is_sent_into_a_black_hole_arrives_when_it_is_healed() {
    let world = World::new();
    let creates = world.proxy.rule(Rule::on(Operation::Create));
    world.proxy.black_hole();
    let answer = world.create("/a");
    eventually(SOON, "the request", || creates.matched() == 1);
    assert!(!world.direct.exists("/a"));
    world.proxy.heal();
    answer.recv_timeout(SOON).expect("an answer").expect("created, late");
}

#[test]
fn an_outage_is_noticed_and_ends() {
    let world = World::new();
    world.proxy.cut_off();
    eventually(SOON, "the client to notice", || world.client.state() == SessionState::Disconnected);
    world.proxy.heal();
    world.connects_again();
    world.create("/a").recv_timeout(SOON).expect("an answer").expect("created");
}

#[test]
fn a_frozen_multi_is_carried_out_or_not() {
    for (fault, there) in [(Fault::FreezeBefore, false), (Fault::FreezeAfter, true)] {
        let world = World::new();
        let hits = world.proxy.rule(Rule::on(Operation::Multi).with(Operation::Create, "/a").then(fault));
        let client = world.client.clone();
        world.runtime.spawn(async move {
            let mut writer = client.new_multi_writer();
            writer.add_create("/a", b"", &CreateMode::Persistent.with_acls(Acls::anyone_all())).expect("a part");
            // Never answered.
            let _ = writer.commit().await;
        });
        hits.strikes(1);
        if there {
            eventually(SOON, "the write", || world.direct.exists("/a"));
        }
        let _ = world.create("/b");
        eventually(SOON, "the client to notice", || world.client.state() == SessionState::Disconnected);
        assert_eq!(world.direct.children("/").contains(&"a".to_owned()), there);
        assert!(!world.direct.exists("/b"));
    }
}

#[test]
fn a_session_is_ended_at_once() {
    let world = World::new();
    world.direct.commit(&Multi::new().create("/e", ""));
    world.runtime.block_on(async {
        let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        world.client.create("/e/mine", b"", &options).await.expect("created");
    });
    world.proxy.black_hole();
    world.proxy.expire_session();
    assert!(!world.direct.exists("/e/mine"), "its ephemerals go");
    world.proxy.heal();
    eventually(SOON, "the client to hear of it", || world.client.state() == SessionState::Expired);
}

#[test]
fn replies_take_longer_and_keep_their_order() {
    let world = World::new();
    let slow = Duration::from_millis(300);
    let delayed = world.proxy.rule(Rule::on(Operation::Create).below("/a").then(Fault::Delay(slow)));
    let begun = std::time::Instant::now();
    let first = world.create("/a");
    delayed.strikes(1);
    world.create("/b").recv_timeout(SOON).expect("an answer").expect("created");
    assert!(begun.elapsed() >= slow, "it waits behind the other");
    first.recv_timeout(SOON).expect("an answer").expect("created");
}

#[test]
fn a_rule_ends_the_session_before_its_request() {
    let world = World::new();
    let old = world.proxy.session();
    let ending = world.proxy.rule(Rule::on(Operation::Create).below("/a").then(Fault::ExpireSession));
    assert!(world.create("/a").recv_timeout(SOON).expect("an answer").is_err());
    eventually(SOON, "the client to hear of it", || world.client.state() == SessionState::Expired);
    assert_eq!((ending.struck(), world.proxy.session(), world.proxy.is_frozen()), (1, old, false));
    assert!(!world.direct.exists("/a"));
}
