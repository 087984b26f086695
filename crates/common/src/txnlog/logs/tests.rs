//! Files made by hand: whole ones, torn ones, damaged ones, and those of several servers.

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::checksum::adler32;
use super::super::decode::tests::{Writer, create};
use super::*;

/// How many files of chance are read.
const CASES: u32 = 2_000;

fn frame(body: &[u8]) -> Vec<u8> {
    let mut framed = Writer::default().i64(adler32(body).into()).bytes(body).0;
    framed.push(b'B');
    framed
}

/// A log file with these transactions, grown ahead by zeros.
fn log(zxids: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let mut file = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\x01".to_vec();
    zxids.into_iter().for_each(|zxid| file.extend(frame(&create(zxid))));
    file
}

fn padded(mut file: Vec<u8>) -> Vec<u8> {
    file.resize(file.len() + 1_000, 0);
    file
}

/// The data directory of a server; files by the zxid of their names.
fn server(files: &[(i64, Vec<u8>)]) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    std::fs::create_dir(dir.path().join("version-2")).expect("version-2");
    for (zxid, bytes) in files {
        std::fs::write(dir.path().join(format!("version-2/log.{zxid:x}")), bytes).expect("a file");
    }
    dir
}

fn read(servers: &[&TempDir]) -> (Vec<i64>, Coverage) {
    let paths: Vec<PathBuf> = servers.iter().map(|server| server.path().to_owned()).collect();
    let mut logs = Logs::open(&paths).expect("logs");
    let zxids = logs.by_ref().map(|record| record.expect("a readable file").zxid).collect();
    (zxids, logs.coverage().clone())
}

fn read_one(file: Vec<u8>) -> (Vec<i64>, Coverage) {
    read(&[&server(&[(1, file)])])
}

#[test]
fn files_follow_one_another_and_end_with_zeros() {
    let server = server(&[(0x10, padded(log(16..20))), (1, padded(log(1..16))), (0x14, vec![]), (0x15, vec![0; 100])]);
    let (zxids, coverage) = read(&[&server]);
    assert_eq!(zxids, (1..20).collect::<Vec<_>>());
    let times = |zxid| Some((zxid, 1_700_000_000_000 + zxid));
    assert_eq!(coverage, Coverage { records: 19, first: times(1), last: times(19), ..Coverage::default() });
}

#[test]
fn a_directory_its_version_2_or_its_files_may_be_named() {
    let server = server(&[(1, log(1..3)), (3, log(3..5))]);
    let inner = server.path().join("version-2");
    let named = [vec![server.path().to_owned()], vec![inner.clone()], vec![inner.join("log.3"), inner.join("log.1")]];
    for paths in named {
        let zxids: Vec<i64> = Logs::open(&paths).expect("logs").map(|record| record.expect("a record").zxid).collect();
        assert_eq!(zxids, [1, 2, 3, 4], "{paths:?}");
    }
}

#[test]
fn a_server_that_writes_while_its_log_is_read_damages_nothing() {
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, Ordering};
    let server = server(&[(1, log([]))]);
    let mut file = std::fs::File::options().write(true).open(server.path().join("version-2/log.1")).expect("the log");
    // As far ahead as a server lets its files grow, so that whoever looks for what follows takes a while.
    file.set_len(32 << 20).expect("grown");
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(16)).expect("behind the header");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for zxid in (1..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                // In two pieces, as a large record is written.
                let bytes = frame(&create(zxid));
                let (first, second) = bytes.split_at(bytes.len() / 2);
                file.write_all(first).and_then(|()| file.write_all(second)).expect("written");
                // The pace of a server, not a wait: without it the disk would fill before the reads are done.
                std::thread::sleep(std::time::Duration::from_micros(20));
            }
        });
        let reads = std::panic::catch_unwind(|| {
            for _ in 0..4 {
                let (zxids, coverage) = read(&[&server]);
                assert!(coverage.damages.is_empty() && coverage.gaps.is_empty(), "{coverage:#?}");
                assert!(zxids.iter().copied().eq(1..=zxids.len() as i64));
            }
        });
        stop.store(true, Ordering::Relaxed);
        assert!(reads.is_ok());
    });
}

#[test]
fn an_unfinished_last_record_is_normal_and_told() {
    let mut file = log(1..4);
    let end = file.len();
    file.extend(&frame(&create(4))[..40]);
    let (zxids, coverage) = read_one(padded(file.clone()));
    assert_eq!((zxids.len(), coverage.damages.len(), coverage.torn.len()), (3, 0, 1));
    assert_eq!((coverage.torn[0].offset, coverage.torn[0].records), (end as u64, 3));
    let (zxids, coverage) = read_one(file.clone());
    assert_eq!((zxids.len(), coverage.torn.len()), (3, 0));
    assert_eq!(
        coverage.damages[0].to_string().split_once(" at ").expect("where").1,
        format!(
            "offset {end}: the file ends in the middle of a record; 3 records before it are readable, up to zxid 0x3, and nothing after it"
        )
    );
    let (zxids, coverage) = read(&[&server(&[(1, file), (4, log(4..6))])]);
    assert_eq!((zxids, coverage.damages.len(), coverage.torn.len(), coverage.gaps.len()), (vec![1, 2, 3, 4, 5], 0, 1, 0));
}

#[test]
fn what_is_missing_is_noticed() {
    let (zxids, coverage) = read(&[&server(&[(1, log(1..4)), (8, log([8, (1 << 32) + 1]))])]);
    assert_eq!(zxids.len(), 5);
    assert_eq!(coverage.gaps, [Gap { after: 3, before: 8 }], "an epoch may end anywhere");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = padded(log(1..6));
    let (header, end) = (16, log(1..6).len());
    let last = log(1..5).len();
    for bit in header * 8..end * 8 {
        let mut file = good.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        let (zxids, coverage) = read_one(file);
        let noticed = coverage.damages.iter().chain(&coverage.torn).next().unwrap_or_else(|| panic!("bit {bit}: {coverage:?}"));
        assert_eq!(zxids.len(), 4, "bit {bit}: the others are read");
        assert!(noticed.offset <= (bit / 8) as u64 && bit / 8 - noticed.offset as usize <= 200, "bit {bit}: {noticed}");
        assert!(bit / 8 >= last || coverage.gaps.len() == 1 || noticed.offset == 16, "bit {bit}: {coverage:?}");
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let dir = server(&[]);
    let nothing = Logs::open(&[dir.path().to_owned()]).expect_err("nothing there");
    assert!(nothing.to_string().starts_with("there are no transaction logs"), "{nothing}");
    let missing = Logs::open(&[dir.path().join("missing")]).expect_err("no such directory");
    assert!(missing.to_string().contains("missing: No such file"), "{missing}");
    for foreign in
        [&b"#!/bin/sh\necho a shell script\n"[..], b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\x01", b"ZKLG\0\0\0\x03\0\0\0\0\0\0\0\x01", b"ZK"]
    {
        let dir = server(&[(1, foreign.to_vec())]);
        let error = Logs::open(&[dir.path().to_owned()]).expect("a name").next().expect("an item").expect_err("foreign");
        assert!(error.to_string().contains("log.1 is no transaction log of ZooKeeper: at offset 0"), "{error}");
    }
}

#[test]
fn servers_are_one_history_and_what_one_lost_another_has() {
    let mut damaged = log(1..9);
    let middle = log(1..4).len() + 20;
    damaged[middle] ^= 0x10;
    let (a, b, c) = (server(&[(1, damaged)]), server(&[(3, log(3..12))]), server(&[(1, log([1, 2, 9, 10]))]));
    let (zxids, coverage) = read(&[&a, &b, &c]);
    assert_eq!(zxids, (1..12).collect::<Vec<_>>());
    assert_eq!((coverage.gaps.len(), coverage.disagreements.len(), coverage.damages.len()), (0, 0, 1));
    assert_eq!(coverage.duplicates, 7 + 9 + 4 - 11);
}

#[test]
fn what_a_server_went_on_without_was_never_committed() {
    let next = (1_i64 << 32) + 1;
    let (leader, others) = (server(&[(1, log(1..7))]), [0; 2].map(|_| server(&[(1, log((1..5).chain([next])))])));
    let (zxids, coverage) = read(&[&leader, &others[0], &others[1]]);
    assert_eq!(zxids, [1, 2, 3, 4, next]);
    assert_eq!(coverage.never_committed, [5, 6]);
    std::fs::write(others[0].path().join("version-2/snapshot.6"), b"").expect("a file");
    let (zxids, coverage) = read(&[&leader, &others[0]]);
    assert_eq!((zxids.len(), coverage.never_committed.len()), (7, 0), "it was sent in a snapshot");
}

#[test]
fn servers_that_disagree_are_told() {
    let mut other = log(1..3);
    other.extend(frame(&Writer::default().i64(9).i32(0).i64(3).i64(0).i32(-10).i32(4000).0));
    let (zxids, coverage) = read(&[&server(&[(1, log(1..4))]), &server(&[(1, other)])]);
    assert_eq!((zxids.len(), coverage.disagreements), (3, vec![3]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_file_is_read_or_refused(
        cut in any::<prop::sample::Index>(),
        changed in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        tail in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut file = log(1..6);
        changed.iter().for_each(|(index, byte)| *index.get_mut(&mut file) = *byte);
        file.truncate(cut.index(file.len() + 1));
        file.extend(tail);
        let dir = server(&[(1, file)]);
        for record in Logs::open(&[dir.path().to_owned()]).expect("a name") {
            let _ = record.map_err(|error| error.to_string());
        }
    }
}
