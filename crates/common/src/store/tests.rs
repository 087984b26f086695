//! Reads and writes on a real ZooKeeper, and what their answers are taken for.

use std::time::Duration;

use super::*;
use crate::reader::{list_many, read_nodes};
use crate::session::ground::{Opened, Seen, Server, run, soon};

const TIMEOUT: Duration = Duration::from_secs(6);

#[test]
fn a_refusal_names_the_operation_that_was_refused() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let make = |name: &str| Multi::new().create(format!("/tasks/{name}"), "x");
        assert_eq!(store.commit(make("a")).await, Outcome::applied());
        let cases = [
            (make("b").and(make("c")).and(make("a")), 2, Why::NodeExists),
            (make("b").and(make("a")).and(make("c")), 1, Why::NodeExists),
            (make("a").and(make("b")), 0, Why::NodeExists),
            (Multi::new().check("/tasks/a", 7).and(make("b")), 0, Why::BadVersion),
            (make("b").check("/tasks/a", 0).set("/tasks/a", "y", Some(1)), 2, Why::BadVersion),
            (make("b").check_exists("/tasks/none"), 1, Why::NoNode),
            (make("b").create("/none/x", ""), 1, Why::NoNode),
            (make("b").delete("/tasks", None), 1, Why::NotEmpty),
            (make("b").create_ephemeral("/tasks/e", "").create("/tasks/e/x", ""), 2, Why::NoChildrenForEphemerals),
            (make("b").create("no path", ""), 1, Why::BadArguments),
        ];
        for (multi, index, why) in cases {
            assert_eq!(store.commit(multi.clone()).await, Outcome::refused(index, why), "{multi:?}");
        }
        assert_eq!(store.children("/tasks").await, Ok(Some(vec!["a".to_owned()])), "nothing of a refused one was applied");
        assert_eq!(store.commit(Multi::new()).await, Outcome::Refused(Refusal::Whole(Why::BadArguments)));
        let large = Multi::new().create("/tasks/l", vec![0; MULTI_BYTES_MAX]);
        assert_eq!(store.commit(large).await, Outcome::Refused(Refusal::Whole(Why::TooLarge)));
        let largest = Multi::new().create("/tasks/l", vec![0; MULTI_BYTES_MAX - 400]);
        assert_eq!(store.commit(largest).await, Outcome::applied());
    });
}

#[test]
fn sets_tell_their_versions() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let multi = Multi::new().create("/tasks/a", "1").set("/tasks/a", "2", Some(0)).set("/tasks/a", "3", None);
        let Outcome::Applied(Applied { sets }) = store.commit(multi).await else { panic!("applied") };
        let node = store.get("/tasks/a").await.expect("a read").expect("a node");
        assert_eq!(node.data, b"3");
        assert_eq!(node.stat.version, 2);
        assert_eq!(sets, [(1, 1, node.stat.mzxid), (2, 2, node.stat.mzxid)]);
    });
}

#[test]
fn what_is_not_there_is_an_answer_and_what_cannot_be_there_an_error() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        assert_eq!(store.get("/tasks/none").await, Ok(None));
        assert_eq!(store.children("/tasks/none").await, Ok(None));
        assert_eq!(store.stat("/tasks/none").await, Ok(None));
        assert_eq!(store.children("/tasks").await, Ok(Some(Vec::new())));
        assert!(matches!(store.get("/tasks//x").await, Err(ReadError::BadPath { path, .. }) if path == "/tasks//x"));
        assert!(matches!(store.stat("tasks").await, Err(ReadError::BadPath { .. })));
    });
}

#[test]
fn one_change_is_told_once() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let (stat, changed) = store.exists_once("/status/t").await.expect("a read");
        assert_eq!(stat, None);
        let mut changed = std::pin::pin!(changed);
        assert!(changed.as_mut().now_or_never().is_none(), "nothing happened yet");
        assert_eq!(store.commit(Multi::new().create("/status/t", "done")).await, Outcome::applied());
        soon("the change", changed).await;
    });
}

#[test]
fn the_queue_gives_growing_names() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let first = store.enqueue_ephemeral("/bellwether/standbys/me-", b"1".to_vec());
        let second = store.enqueue_ephemeral("/bellwether/standbys/me-", b"2".to_vec());
        assert_eq!(first.await, (Outcome::applied(), Some("me-0000000000".to_owned())));
        assert_eq!(second.await, (Outcome::applied(), Some("me-0000000001".to_owned())));
        let node = store.get("/bellwether/standbys/me-0000000001").await.expect("a read").expect("a node");
        assert_eq!((node.data.as_slice(), node.stat.ephemeral_owner), (&b"2"[..], store.session_id()));
        let nowhere = store.enqueue_ephemeral("/none/me-", Vec::new()).await;
        assert_eq!(nowhere, (Outcome::refused(0, Why::NoNode), None));
    });
}

#[test]
fn bulk_reads_keep_their_order() {
    let server = Server::shared();
    run(async {
        let (_opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let names: Vec<String> = (0..1000).map(|number| format!("/tasks/{number}")).collect();
        let even = names.iter().step_by(2).fold(Multi::new(), |multi, name| multi.create(name, name.as_bytes()));
        assert_eq!(store.commit(even).await, Outcome::applied());
        let answers = read_nodes(&store, names.clone()).await;
        assert_eq!(answers.len(), names.len());
        for (number, (path, found)) in answers.into_iter().enumerate() {
            assert_eq!(path, names[number]);
            let data = found.expect("a read").map(|node| node.data);
            assert_eq!(data, (number % 2 == 0).then(|| path.into_bytes()));
        }
        let lists = list_many(&store, vec!["/tasks".into(), "/none".into(), "/status".into()]).await;
        let counts: Vec<_> = lists.into_iter().map(|(_, names)| names.expect("a read").map(|names| names.len())).collect();
        assert_eq!(counts, [Some(500), None, Some(0)]);
    });
}

#[test]
fn a_watch_tells_every_change_in_order_and_ends_with_its_handle() {
    let server = Server::shared();
    run(async {
        use bellwether_core::protocol::{Change, TaskName};
        let settings = server.settings(TIMEOUT);
        let watched = format!("{}/tasks\n", settings.root);
        let is_watched = || server.zookeeper.four_letter(0, "wchp").expect("an answer").contains(&watched);
        let (_opened, store) = Opened::session(settings.clone()).await;
        let (mut tree, mut node) = (Seen::new(), Seen::new());
        let tree_watch = store.watch_tree("/tasks", tree.sink.clone().recipient()).await.expect("a watch");
        let _node_watch = store.watch_node("/master", node.sink.clone().recipient()).await.expect("a watch");
        let names: Vec<String> = (0..300).map(|number| format!("/tasks/{number}")).collect();
        for name in &names {
            drop(store.commit(Multi::new().create(name, "")));
        }
        let expected: Vec<_> = (0..300).map(|number| Change::TaskAppeared(TaskName::listed(&number.to_string()))).collect();
        assert_eq!(tree.changes(store.serial(), 300).await, expected);

        assert!(is_watched());
        drop(tree_watch);
        let office = Multi::new().create_ephemeral("/master", "").set("/master", "m", Some(0)).delete("/tasks/0", None);
        assert!(matches!(store.commit(office).await, Outcome::Applied(_)));
        assert_eq!(store.commit(Multi::new().delete("/master", Some(1))).await, Outcome::applied());
        assert_eq!(node.changes(store.serial(), 2).await, [Change::OfficeTaken, Change::OfficeVacant]);
        soon("the end of the watch", async {
            while is_watched() {
                // Not `eventually`: it would stop the thread on which the watch ends.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    });
}
