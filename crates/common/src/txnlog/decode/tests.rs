//! Records as ZooKeeper writes them, made by hand: each kind, and what is none.

use proptest::prelude::*;

use super::*;

/// How many inputs each fuzz test gives to the decoder.
const CASES: u32 = 20_000;

/// Writes what [`Fields`] reads.
#[derive(Debug, Clone, Default)]
pub(in crate::txnlog) struct Writer(pub(in crate::txnlog) Vec<u8>);

impl Writer {
    pub(in crate::txnlog) fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(in crate::txnlog) fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(in crate::txnlog) fn bytes(self, bytes: &[u8]) -> Self {
        let mut more = self.i32(i32::try_from(bytes.len()).expect("short"));
        more.0.extend(bytes);
        more
    }

    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// The rights that everybody has: one entry.
    fn acl(self) -> Self {
        self.i32(1).i32(31).bytes(b"world").bytes(b"anyone")
    }

    fn header(zxid: i64, kind: i32) -> Self {
        Self::default().i64(0x51).i32(3).i64(zxid).i64(1_700_000_000_000 + zxid).i32(kind)
    }

    /// Version and value of the digest that 3.6 and later append.
    fn digest(self) -> Self {
        self.i32(2).i64(0x1234_5678_9abc_def0)
    }
}

/// A record that creates `/n<zxid>`.
pub(in crate::txnlog) fn create(zxid: i64) -> Vec<u8> {
    created(zxid, code::CREATE).0
}

fn created(zxid: i64, kind: i32) -> Writer {
    let node = Writer::header(zxid, kind).bytes(format!("/n{zxid}").as_bytes()).bytes(b"data").acl();
    match kind {
        code::CREATE_CONTAINER => node.i32(1).digest(),
        code::CREATE_TTL => node.i32(1).i64(1_000).digest(),
        _ => node.u8(0).i32(1).digest(),
    }
}

fn changes(writer: Writer) -> Vec<Change> {
    record(&writer.0).expect("a record").changes
}

#[test]
fn every_kind_is_read() {
    let header = |kind| Writer::header(7, kind);
    for kind in [code::CREATE, code::CREATE2, code::CREATE_CONTAINER, code::CREATE_TTL] {
        let expected = Change::Create { path: "/n7".into(), data: b"data".into(), ephemeral: false };
        assert_eq!(changes(created(7, kind)), [expected], "{kind}");
    }
    let ephemeral = header(code::CREATE2).bytes(b"/e").i32(-1).acl().u8(1).i32(1).digest();
    assert_eq!(changes(ephemeral), [Change::Create { path: "/e".into(), data: vec![], ephemeral: true }], "−1 stands for no data");
    for kind in [code::DELETE, code::DELETE_CONTAINER] {
        assert_eq!(changes(header(kind).bytes(b"/d").digest()), [Change::Delete { path: "/d".into() }]);
    }
    for kind in [code::SET_DATA, code::RECONFIG] {
        let set = header(kind).bytes(b"/s").bytes(b"x").i32(4).digest();
        assert_eq!(changes(set), [Change::Set { path: "/s".into(), data: b"x".into(), version: 4 }]);
    }
    assert_eq!(changes(header(code::SET_ACL).bytes(b"/a").acl().i32(1).digest()), [Change::SetAcl { path: "/a".into() }]);
    assert_eq!(changes(header(code::CHECK).bytes(b"/c").i32(5)), [Change::Check { path: "/c".into(), version: 4 }]);
    assert_eq!(changes(header(code::CREATE_SESSION).i32(6000).digest()), [Change::CreateSession { timeout_ms: 6000 }]);
    assert_eq!(changes(header(code::ERROR).i32(-110).digest()), [Change::Refused { code: -110 }]);
    let whole = record(&header(code::ERROR).i32(-110).0).expect("a record");
    assert_eq!((whole.zxid, whole.session, whole.time_ms), (7, 0x51, 1_700_000_000_007));
}

#[test]
fn the_end_of_a_session_lists_its_nodes_or_does_not() {
    let close = || Writer::header(7, code::CLOSE_SESSION);
    let paths = |paths: &[&str]| Change::CloseSession { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    assert_eq!(changes(close()), [paths(&[])], "before 3.6");
    assert_eq!(changes(close().digest()), [paths(&[])], "told not to");
    assert_eq!(changes(close().i32(0).digest()), [paths(&[])]);
    assert_eq!(changes(close().i32(2).bytes(b"/a").bytes(b"/b").digest()), [paths(&["/a", "/b"])]);
}

#[test]
fn a_multi_is_all_of_its_operations_or_its_refusal() {
    let part = |kind: i32, body: Writer| Writer::default().i32(kind).bytes(&body.0);
    let multi = |parts: &[Writer]| {
        let all = Writer::header(7, code::MULTI).i32(i32::try_from(parts.len()).expect("few"));
        Writer(parts.iter().fold(all.0, |bytes, part| [bytes, part.0.clone()].concat())).digest()
    };
    let check = part(code::CHECK, Writer::default().bytes(b"/c").i32(1));
    let delete = part(code::DELETE, Writer::default().bytes(b"/d"));
    let committed = [Change::Check { path: "/c".into(), version: 0 }, Change::Delete { path: "/d".into() }];
    assert_eq!(changes(multi(&[check.clone(), delete])), committed);
    let (refused, after) = (part(code::ERROR, Writer::default().i32(-101)), part(code::ERROR, Writer::default().i32(-2)));
    assert_eq!(changes(multi(&[check, refused.clone(), after.clone()])), [Change::Refused { code: -101 }]);
    let overwritten = part(code::ERROR, Writer::default().bytes(b"/c").i32(1));
    assert_eq!(changes(multi(&[overwritten, refused, after])), [Change::Refused { code: -101 }]);
    assert_eq!(changes(multi(&[])), []);
}

#[test]
fn what_is_no_record_is_refused() {
    assert_eq!(record(b""), Err(DecodeError::Short));
    assert_eq!(record(&Writer::header(1, 99).0), Err(DecodeError::Kind(99)));
    assert_eq!(record(&Writer::header(1, code::DELETE).i32(-7).0), Err(DecodeError::Length(-7)));
    assert_eq!(record(&Writer::header(1, code::DELETE).bytes(b"\xff").0), Err(DecodeError::Text));
    assert_eq!(record(&Writer::header(1, code::DELETE).i32(i32::MAX).0), Err(DecodeError::Short));
    assert_eq!(record(&Writer::header(1, code::MULTI).i32(i32::MAX).0), Err(DecodeError::Short));
}

fn any_kind() -> impl Strategy<Value = i32> {
    prop_oneof![-12..24i32, any::<i32>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(kind in any_kind(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = record(&[Writer::header(1, kind).0, body].concat());
    }

    #[test]
    fn a_record_with_changed_bytes_is_read_or_refused(
        kind in any_kind(),
        parts in prop::collection::vec((any_kind(), prop::collection::vec(any::<u8>(), 0..40)), 0..4),
        changed in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let multi = Writer::header(1, code::MULTI).i32(parts.len() as i32);
        let multi = parts.iter().fold(multi, |multi, (kind, body)| multi.i32(*kind).bytes(body));
        for mut bytes in [multi.0, created(1, code::CREATE).i32(kind).0] {
            changed.iter().for_each(|(index, byte)| *index.get_mut(&mut bytes) = *byte);
            let _ = record(&bytes);
        }
    }
}
