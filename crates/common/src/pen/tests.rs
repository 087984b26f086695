//! Pens on a real ZooKeeper: order, fence and indices.

use bellwether_core::protocol::path;
use std::time::Duration;

use futures::future::join_all;

use super::*;
use crate::session::ground::{Opened, Server, run};

const TIMEOUT: Duration = Duration::from_secs(6);

/// Wins the office, and gives the epoch.
async fn elect(store: &Store) -> i32 {
    let office = Multi::new().create_ephemeral(path::MASTER, "").set(path::MASTER, "me", Some(0));
    let election = Multi::new().create(path::EPOCH, "").set(path::EPOCH, "", Some(0)).and(office);
    let Outcome::Applied(Applied { sets }) = store.commit(election).await else { panic!("elected") };
    sets[0].1
}

#[test]
fn writes_reach_zookeeper_in_the_order_of_the_calls() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let pen = Pen::plain(store.clone());
        let paths: Vec<String> = (0..100).map(|number| format!("/tasks/{number}")).collect();
        // Nobody polls them before all are sent, and then the last one first.
        let mut writes: Vec<_> = paths.iter().map(|path| pen.write(Multi::new().create(path, ""))).collect();
        writes.reverse();
        assert!(join_all(writes).await.into_iter().all(|outcome| outcome == Outcome::applied()));
        assert_eq!(pen.in_flight(), 0);
        let mut czxids = Vec::new();
        for path in &paths {
            czxids.push(store.stat(path).await.expect("a read").expect("a node").czxid);
        }
        assert!(czxids.is_sorted(), "{czxids:?}");
    });
}

#[test]
fn a_fence_refuses_apart_and_leaves_the_indices_alone() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let epoch = elect(&store).await;
        let pen = Pen::fenced(store.clone(), epoch);
        assert_eq!(pen.prove().await, Outcome::applied());
        let create = |name: &str| Multi::new().create(format!("/tasks/{name}"), "");
        assert_eq!(pen.write(create("a")).await, Outcome::applied());
        assert_eq!(pen.write(create("b").and(create("a"))).await, Outcome::refused(1, Why::NodeExists));
        let Outcome::Applied(Applied { sets }) = pen.write(create("b").set("/tasks/a", "x", Some(0))).await else { panic!("applied") };
        assert_eq!((sets[0].0, sets[0].1), (1, 1));

        let past = Pen::fenced(store.clone(), epoch - 1);
        assert_eq!(past.write(create("c")).await, Outcome::Refused(Refusal::Fence(Why::BadVersion)));
        assert_eq!(past.prove().await, Outcome::Refused(Refusal::Fence(Why::BadVersion)));
        assert!(!past.is_closed(), "a refusal is no reason not to ask again");
    });
}

#[test]
fn neither_a_deleted_nor_a_foreign_office_passes_the_fence() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let pen = Pen::fenced(store.clone(), elect(&store).await);
        let write = || pen.write_as("assign", Multi::new().create("/tasks/a", ""));
        assert_eq!(store.commit(Multi::new().delete(path::MASTER, None)).await, Outcome::applied());
        assert_eq!(write().await, Outcome::Refused(Refusal::Fence(Why::NoNode)));
        assert_eq!(store.commit(Multi::new().create_ephemeral(path::MASTER, "the book's")).await, Outcome::applied());
        assert_eq!(write().await, Outcome::Refused(Refusal::Fence(Why::BadVersion)));
        assert_eq!(store.stat("/tasks/a").await, Ok(None));
    });
}

#[test]
fn a_closed_pen_proves_but_does_not_write() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        for pen in [Pen::fenced(store.clone(), elect(&store).await), Pen::plain(store.clone())] {
            let clone = pen.clone();
            pen.close();
            assert!(clone.is_closed());
            assert_eq!(clone.write(Multi::new().create("/tasks/a", "")).await, Outcome::Refused(Refusal::Whole(Why::NotSent)));
            assert_eq!(clone.prove().await, Outcome::applied());
            clone.reopen();
            assert_eq!(pen.write(Multi::new().create("/tasks/a", "").delete("/tasks/a", None)).await, Outcome::applied());
        }
    });
}
