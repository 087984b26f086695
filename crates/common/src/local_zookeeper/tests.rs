//! Real servers, started and ill-treated.

use std::time::{Duration, Instant};

use super::*;
use crate::wait::eventually;

fn start(options: &Options) -> LocalZookeeper {
    LocalZookeeper::start(options).unwrap_or_else(|error| panic!("{error}"))
}

fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn one_server_starts_stops_and_starts_again_on_the_same_port() {
    let dir = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let mut zookeeper = start(&Options::new(dir.path().join("not/there/yet")));
    println!("serving after {:?}", begun.elapsed());
    let (connect, pids) = (zookeeper.connect_string(), zookeeper.pids());
    assert_eq!(zookeeper.four_letter(0, "ruok").expect("an answer"), "imok");
    assert_eq!(zookeeper.leader(), Some(0));
    assert!(zookeeper.data_dir(0).join("version-2").is_dir());
    assert!(std::fs::read_to_string(zookeeper.log(0)).expect("a log").contains("clientPortAddress"), "the log tells what happens");

    zookeeper.kill9(0);
    assert!(zookeeper.pids().is_empty());
    assert!(!is_alive(pids[0]));
    assert!(zookeeper.four_letter(0, "ruok").is_err());
    zookeeper.restart(0).expect("serving again");
    assert_eq!(zookeeper.connect_string(), connect);
    assert_ne!(zookeeper.pids(), pids);

    let pids = zookeeper.pids();
    drop(zookeeper);
    assert!(!is_alive(pids[0]));
}

#[test]
fn a_paused_server_is_silent_until_it_is_resumed() {
    let dir = tempfile::tempdir().expect("a directory");
    let zookeeper = start(&Options::new(dir.path()));
    zookeeper.pause(0);
    assert!(zookeeper.four_letter(0, "ruok").is_err());
    zookeeper.resume(0);
    assert_eq!(zookeeper.four_letter(0, "ruok").expect("an answer"), "imok");
}

#[test]
fn three_servers_elect_and_outlive_their_leader() {
    let dir = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let mut zookeeper = start(&Options::new(dir.path()).ensemble(3));
    println!("three serving after {:?}", begun.elapsed());
    assert_eq!(zookeeper.pids().len(), 3);
    let old = zookeeper.leader().expect("a leader");
    zookeeper.kill9(old);
    let new = eventually(Duration::from_secs(30), "a new leader", || zookeeper.leader());
    assert_ne!(new, old);
    zookeeper.restart(old).expect("back as a follower");
    assert_eq!(zookeeper.leader(), Some(new));
}

#[test]
fn a_port_that_is_taken_is_an_error_with_the_servers_own_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut options = Options::new(dir.path());
    options.port = Some(taken.local_addr().expect("an address").port());
    let error = LocalZookeeper::start(&options).expect_err("the port is taken").to_string();
    assert!(error.contains("Address already in use"), "{error}");
}
