//! Sessions on a real ZooKeeper: opened, suspended, lost, refused and closed.

use bellwether_core::protocol::{Change, Multi, Outcome, Refusal, TaskName, Why, layout};
use zookeeper_client::Acls;

use super::ground::{Opened, Seen, Server, run, soon};
use super::*;

const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(6);

fn ephemeral(path: &str) -> Multi {
    Multi::new().create_ephemeral(path, "")
}

#[test]
fn opens_below_a_root_that_did_not_exist_and_makes_the_layout() {
    let server = Server::shared();
    run(async {
        let (mut opened, store) = Opened::session(server.settings(LONG)).await;
        for node in layout::NODES {
            assert!(store.stat(node).await.expect("a read").is_some(), "{node}");
        }
        assert_eq!(store.children("/").await.expect("a read").expect("the root").len(), 5, "the probe left nothing behind");
        assert_eq!(store.timeout(), LONG);
        assert!(opened.silent());
    });
}

#[test]
fn close_removes_ephemerals_at_once_and_nothing_follows() {
    let server = Server::shared();
    run(async {
        let settings = server.settings(LONG);
        let (mut closing, store) = Opened::session(settings.clone()).await;
        let (_witness, other) = Opened::session(settings).await;
        assert_eq!(store.commit(ephemeral("/workers/w")).await, Outcome::applied());
        let (stat, gone) = other.exists_once("/workers/w").await.expect("a read");
        assert_eq!(stat.map(|stat| stat.ephemeral_owner), Some(store.session_id()));

        let since = Instant::now();
        assert!(closing.actor.send(Close).await.expect("the actor lives"), "acknowledged");
        soon("the ephemeral goes", gone).await;
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        assert_eq!(other.stat("/workers/w").await, Ok(None));
        assert!(matches!(closing.next().await, SessionEvent::Closed { serial } if serial == store.serial()));
        assert_eq!(store.commit(ephemeral("/workers/v")).await, Outcome::Refused(Refusal::Whole(Why::NotSent)));
        closing.actor.send(Reopen).await.expect("the actor lives");
        assert!(closing.actor.send(Close).await.expect("the actor lives"), "closed already");
        assert!(closing.silent());
    });
}

#[test]
fn a_session_whose_actor_nobody_wants_any_more_is_closed() {
    let server = Server::shared();
    run(async {
        let settings = server.settings(LONG);
        let (forgotten, store) = Opened::session(settings.clone()).await;
        let (_witness, other) = Opened::session(settings).await;
        assert_eq!(store.commit(ephemeral("/workers/w")).await, Outcome::applied());
        let (_, gone) = other.exists_once("/workers/w").await.expect("a read");
        drop(forgotten);
        soon("the ephemeral goes", gone).await;
        assert_eq!(other.stat("/workers/w").await, Ok(None));
    });
}

#[test]
fn reopen_loses_the_session_first_and_then_opens_another() {
    let server = Server::shared();
    run(async {
        let (mut opened, first) = Opened::session(server.settings(LONG)).await;
        assert_eq!(first.commit(ephemeral("/workers/w")).await, Outcome::applied());
        opened.actor.send(Reopen).await.expect("the actor lives");
        assert!(matches!(opened.next().await, SessionEvent::Lost { serial, .. } if serial == first.serial()));
        let second = opened.opened().await;
        assert!(second.serial() > first.serial());
        assert_ne!(second.session_id(), first.session_id());
        assert_eq!(second.stat("/workers/w").await, Ok(None), "the first session was closed before the second was opened");
    });
}

#[test]
fn a_restarted_server_suspends_and_resumes_the_session_and_watches_are_set_again() {
    let mut server = Server::own();
    run(async {
        let (mut opened, store) = Opened::session(server.settings(LONG)).await;
        let mut seen = Seen::new();
        let watch = store.watch_tree("/tasks", seen.sink.clone().recipient()).await.expect("a watch");
        assert_eq!(store.commit(Multi::new().create("/tasks/a", "")).await, Outcome::applied());
        assert_eq!(seen.changes(store.serial(), 1).await, [Change::TaskAppeared(TaskName::listed("a"))]);
        let (_, changed) = store.exists_once("/status/a").await.expect("a read");

        server.zookeeper.kill9(0);
        assert!(matches!(opened.next().await, SessionEvent::Suspended { serial } if serial == store.serial()));
        soon("what waits for a change is told", changed).await;
        assert_eq!(store.commit(Multi::new().create("/tasks/lost", "")).await, Outcome::Refused(Refusal::Whole(Why::NotSent)));
        assert!(store.get("/tasks/a").await.is_err());
        server.zookeeper.restart(0).expect("ZooKeeper starts again");
        assert!(matches!(opened.next().await, SessionEvent::Resumed { serial } if serial == store.serial()));

        let again = store.watch_tree("/tasks", seen.sink.clone().recipient()).await.expect("a watch");
        drop(watch);
        store.sync().await.expect("a barrier");
        assert_eq!(store.children("/tasks").await, Ok(Some(vec!["a".to_owned()])));
        assert_eq!(store.commit(Multi::new().create("/tasks/b", "").delete("/tasks/a", None)).await, Outcome::applied());
        let expected = [Change::TaskAppeared(TaskName::listed("b")), Change::TaskGone(TaskName::listed("a"))];
        assert_eq!(seen.changes(store.serial(), 2).await, expected);
        drop(again);
        assert!(opened.silent());
    });
}

/// The client of its own accord would look after 3 s and after 6 s, and the session would be given up at 5.6 s.
#[test]
fn a_server_that_was_away_for_most_of_a_session_is_found_again_at_once() {
    const TIMEOUT: Duration = Duration::from_secs(4);
    const AWAY: Duration = Duration::from_millis(3600);
    let mut server = Server::own();
    run(async {
        let (mut opened, store) = Opened::session(server.settings(TIMEOUT)).await;
        let since = Instant::now();
        server.zookeeper.kill9(0);
        assert!(matches!(opened.next().await, SessionEvent::Suspended { .. }));
        // A real duration: what is tested is how long an outage may last.
        tokio::time::sleep(AWAY.saturating_sub(since.elapsed())).await;
        server.zookeeper.restart(0).expect("ZooKeeper starts again");
        let serving = Instant::now();
        assert!(matches!(opened.next().await, SessionEvent::Resumed { serial } if serial == store.serial()));
        assert!(serving.elapsed() < Duration::from_millis(900), "{:?}", serving.elapsed());
    });
}

#[test]
fn a_frozen_server_leaves_writes_unknown_and_then_the_session_is_lost() {
    let server = Server::own();
    run(async {
        let (mut opened, store) = Opened::session(server.settings(SHORT)).await;
        let pen = crate::pen::Pen::plain(store.clone());
        server.zookeeper.pause(0);
        let (write, other) = (pen.write(Multi::new().create("/tasks/a", "")), pen.write(Multi::new().create("/tasks/b", "")));
        assert_eq!(pen.in_flight(), 2);
        assert_eq!(soon("an outcome", write).await, Outcome::Unknown);
        assert!(pen.is_closed());
        assert_eq!(soon("an outcome", other).await, Outcome::Unknown);
        assert_eq!(pen.in_flight(), 0);
        assert_eq!(pen.write(Multi::new().create("/tasks/c", "")).await, Outcome::Refused(Refusal::Whole(Why::NotSent)));

        assert!(matches!(opened.next().await, SessionEvent::Suspended { serial } if serial == store.serial()));
        assert!(matches!(opened.next().await, SessionEvent::Lost { serial, .. } if serial == store.serial()));
        server.zookeeper.resume(0);
        let next = loop {
            match opened.next().await {
                SessionEvent::Opened(store) => break store,
                SessionEvent::Unreachable { .. } => {}
                event => panic!("unexpected {event:?}"),
            }
        };
        assert!(next.serial() > store.serial());
        assert_eq!(store.commit(ephemeral("/workers/w")).await, Outcome::Refused(Refusal::Whole(Why::NotSent)));
        assert!(next.stat("/tasks/a").await.is_ok());
    });
}

#[test]
fn an_unknown_outcome_is_answered_by_the_same_session_and_the_pen_opens_again() {
    let server = Server::own();
    run(async {
        let (mut opened, store) = Opened::session(server.settings(LONG)).await;
        let pen = crate::pen::Pen::plain(store.clone());
        server.zookeeper.pause(0);
        assert_eq!(soon("an outcome", pen.write(Multi::new().create("/tasks/a", ""))).await, Outcome::Unknown);
        assert!(matches!(opened.next().await, SessionEvent::Suspended { .. }));
        server.zookeeper.resume(0);
        assert!(matches!(opened.next().await, SessionEvent::Resumed { serial } if serial == store.serial()));
        assert!(pen.is_closed(), "only its owner knows when");

        store.sync().await.expect("a barrier");
        let applied = store.stat("/tasks/a").await.expect("a read").is_some();
        pen.reopen();
        let repeated = pen.write(Multi::new().create("/tasks/a", "")).await;
        assert_eq!(repeated, if applied { Outcome::refused(0, Why::NodeExists) } else { Outcome::applied() });
        assert!(opened.silent());
    });
}

#[test]
fn close_does_not_wait_for_ever_for_a_server_that_does_not_answer() {
    let server = Server::own();
    run(async {
        let (mut opened, store) = Opened::session(server.settings(LONG)).await;
        server.zookeeper.pause(0);
        let since = Instant::now();
        assert!(!opened.actor.send(Close).await.expect("the actor lives"), "nobody acknowledged");
        assert!(since.elapsed() < CLOSE_PATIENCE * 2, "{:?}", since.elapsed());
        assert!(matches!(opened.next().await, SessionEvent::Closed { serial } if serial == store.serial()));
        server.zookeeper.resume(0);
    });
}

#[test]
fn an_unreachable_server_is_reported_until_the_time_is_over() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    run(async {
        let give_up_after = Duration::from_millis(700);
        let mut opened = Opened::start(SessionSettings { connect: free.to_string(), give_up_after, ..SessionSettings::default() });
        let mut attempts = 0;
        loop {
            match opened.next().await {
                SessionEvent::Unreachable { why, .. } => {
                    attempts += 1;
                    assert!(why.contains(&free.to_string()) && why.contains("refused"), "{why}");
                }
                SessionEvent::GaveUp { after, why } => {
                    assert!(after >= give_up_after && why.contains("refused"), "{after:?} {why}");
                    break;
                }
                event => panic!("unexpected {event:?}"),
            }
        }
        assert!(attempts >= 2, "{attempts}");
    });
}

#[test]
fn settings_that_lead_nowhere_are_reported() {
    run(async {
        let mut opened = Opened::start(SessionSettings { connect: "localhost:none".into(), ..SessionSettings::default() });
        let SessionEvent::BadSettings(why) = opened.next().await else { panic!("bad settings") };
        assert!(why.contains("localhost:none"), "{why}");
    });
}

/// A root that only `user:right` may use.
async fn make_private_root(connect: &str, root: &str) {
    let (connect, root) = (connect.to_owned(), root.to_owned());
    let made = zk_runtime::spawn(async move {
        let connector = Client::connector().with_auth("digest", b"user:right");
        let client = connector.connect(&connect).await?;
        let options = zookeeper_client::CreateMode::Persistent.with_acls(Acls::creator_all());
        client.create(&root, b"", &options).await
    });
    made.await.expect("no panic").expect("a root");
}

#[test]
fn a_wrong_password_is_noticed_before_the_session_is_called_open() {
    let server = Server::shared();
    run(async {
        let settings = SessionSettings { root: "/private".to_owned(), ..server.settings(LONG) };
        make_private_root(&settings.connect, &settings.root).await;
        let with = |secret: &str, needs| SessionSettings {
            auth: Some(("digest".to_owned(), secret.as_bytes().to_vec())),
            needs,
            ..settings.clone()
        };

        let mut wrong = Opened::start(with("user:wrong", Needs::Coordinator));
        let SessionEvent::Denied { path, right, why } = wrong.next().await else { panic!("denied") };
        assert_eq!((path.as_str(), right), ("/private/workers", "CREATE"), "{why}");
        let (_right, store) = Opened::session(with("user:right", Needs::Coordinator)).await;
        assert!(store.stat("/tasks").await.expect("a read").is_some());
        let mut again = Opened::start(with("user:wrong", Needs::Coordinator));
        let SessionEvent::Denied { path, right, .. } = again.next().await else { panic!("denied, though the layout is there") };
        assert_eq!((path.as_str(), right), ("/private", "CREATE"));
        let (_client, _) = Opened::session(with("user:wrong", Needs::Client)).await;
    });
}
