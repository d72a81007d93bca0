//! Each rule of KV alone.

use super::kit::*;
use crate::auth::Caller;
use crate::error;
use crate::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::etcdserverpb::*;
use crate::proto::mvccpb::event::EventType;
use crate::types::OpKind;

#[test]
fn puts_count_revisions_and_versions() {
    let mut kit = Kit::new();
    assert_eq!(
        kit.range(&range("a", "")).unwrap().header.unwrap().revision,
        1
    );
    assert_eq!(kit.set("a", "1"), 2);
    assert_eq!(kit.set("a", "2"), 3);
    let response = kit.range(&range("a", "")).unwrap();
    let header = response.header.unwrap();
    assert_eq!((header.cluster_id, header.member_id), (11, 22));
    assert_eq!((header.revision, header.raft_term), (3, TERM));
    let kv = &response.kvs[0];
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
    assert_eq!((response.count, response.more), (1, false));
    assert_eq!(kit.delete("a", "").deleted, 1);
    assert_eq!(kit.set("a", "3"), 5);
    let kv = &kit.range(&range("a", "")).unwrap().kvs[0];
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1));
}

#[test]
fn prev_kv_ignore_value_and_ignore_lease() {
    let mut kit = Kit::new();
    kit.grant(7, 100).unwrap();
    let missing = kit.put(PutRequest {
        ignore_value: true,
        ..put("a", "")
    });
    assert_eq!(missing, Err(error::KEY_NOT_FOUND));
    kit.put(PutRequest {
        lease: 7,
        ..put("a", "1")
    })
    .unwrap();
    let response = kit
        .put(PutRequest {
            prev_kv: true,
            ignore_lease: true,
            ..put("a", "2")
        })
        .unwrap();
    let before = response.prev_kv.unwrap();
    assert_eq!(
        (show(&before), before.lease, before.version),
        ("a=1".into(), 7, 1)
    );
    kit.put(PutRequest {
        ignore_value: true,
        ..put("a", "")
    })
    .unwrap();
    let kv = &kit.range(&range("a", "")).unwrap().kvs[0];
    assert_eq!((show(kv), kv.lease, kv.version), ("a=2".into(), 0, 3));
    assert_eq!(kit.store.leases().keys(7).unwrap().len(), 0);
    let unknown = kit.put(PutRequest {
        lease: 8,
        ..put("a", "1")
    });
    assert_eq!(unknown, Err(error::LEASE_NOT_FOUND));
    assert_eq!(kit.store.revision(), 4);
}

#[test]
fn delete_range_tells_what_it_deleted() {
    let mut kit = Kit::new();
    for key in ["a", "b", "c", "d"] {
        kit.set(key, key);
    }
    let response = kit.delete("b", "d");
    assert_eq!(response.deleted, 2);
    let before: Vec<_> = response.prev_kvs.iter().map(show).collect();
    assert_eq!(before, ["b=b", "c=c"]);
    assert_eq!(response.header.unwrap().revision, 6);
    let nothing = kit.delete("x", "\0");
    assert_eq!((nothing.deleted, nothing.header.unwrap().revision), (0, 6));
    assert_eq!(kit.all(0).unwrap(), ["a=a", "d=d"]);
    assert_eq!(kit.delete("b", "a").deleted, 0);
    assert_eq!(kit.all(5).unwrap().len(), 4);
}

#[test]
fn a_txn_has_one_revision_and_sees_its_own_writes() {
    let mut kit = Kit::new();
    kit.set("a", "1");
    let live = kit.watch();
    let nested = TxnRequest {
        success: vec![op_range("b", "")],
        ..Default::default()
    };
    let response = kit
        .txn(&TxnRequest {
            success: vec![
                op_range("a", "z"),
                op_put("b", "2"),
                op_range("a", "z"),
                op_delete("a", ""),
                op(Request::RequestTxn(nested)),
            ],
            ..Default::default()
        })
        .unwrap();
    assert!(response.succeeded);
    assert_eq!(response.header.as_ref().unwrap().revision, 3);
    let answers: Vec<_> = response
        .responses
        .into_iter()
        .map(|op| op.response.unwrap())
        .collect();
    let (Response::ResponseRange(before), Response::ResponseRange(after)) =
        (&answers[0], &answers[2])
    else {
        panic!("{answers:?}");
    };
    assert_eq!(
        (before.kvs.len(), before.header.as_ref().unwrap().revision),
        (1, 2)
    );
    assert_eq!(
        (after.kvs.len(), after.header.as_ref().unwrap().revision),
        (2, 3)
    );
    assert_eq!(after.header.as_ref().unwrap().cluster_id, 0);
    let Response::ResponseTxn(nested) = &answers[4] else {
        panic!("{answers:?}");
    };
    assert_eq!(nested.header, Some(ResponseHeader::default()));
    assert!(nested.succeeded && nested.responses.len() == 1);
    let history = kit.store.events(3, 3, 1 << 20, &|_| true).unwrap().events;
    let changes: Vec<_> = history
        .iter()
        .map(|e| (e.revision.main, e.revision.sub, e.tombstone, &e.key[..]))
        .collect();
    assert_eq!(changes, [(3, 0, false, &b"b"[..]), (3, 1, true, &b"a"[..])]);
    assert_eq!(
        kit.seen(&live),
        [
            (3, EventType::Put, bytes("b")),
            (3, EventType::Delete, bytes("a"))
        ]
    );
}

fn compare(key: &str, end: &str, result: CompareResult, union: TargetUnion) -> Compare {
    let target = match union {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    Compare {
        result: result.into(),
        target: target.into(),
        key: bytes(key),
        range_end: bytes(end),
        target_union: Some(union),
    }
}

#[test]
fn compares() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    let mut kit = Kit::new();
    kit.set("a", "m");
    kit.set("b", "n");
    kit.set("b", "n");
    let cases = [
        (
            compare("a", "", Equal, TargetUnion::Value(bytes("m"))),
            true,
        ),
        (
            compare("a", "", Less, TargetUnion::Value(bytes("m"))),
            false,
        ),
        (
            compare("a", "z", Greater, TargetUnion::Value(bytes("l"))),
            true,
        ),
        (compare("a", "z", Equal, TargetUnion::Version(1)), false),
        (
            compare("b", "", NotEqual, TargetUnion::CreateRevision(4)),
            true,
        ),
        (compare("b", "", Equal, TargetUnion::ModRevision(4)), true),
        (compare("b", "", Equal, TargetUnion::Lease(0)), true),
        (compare("x", "", Equal, TargetUnion::Version(0)), true),
        (
            compare("x", "", Equal, TargetUnion::CreateRevision(0)),
            true,
        ),
        (
            compare("x", "", Equal, TargetUnion::Value(bytes(""))),
            false,
        ),
        (
            compare("x", "", NotEqual, TargetUnion::Value(bytes("q"))),
            false,
        ),
        (compare("x", "", Less, TargetUnion::Lease(1)), true),
    ];
    for (compare, holds) in cases {
        let request = TxnRequest {
            compare: vec![compare],
            ..Default::default()
        };
        let what = format!("{request:?}");
        let read = kit.store.read_txn(&request, &Caller::Nobody, TERM).unwrap();
        assert_eq!(decode::<TxnResponse>(read).succeeded, holds, "{what}");
        assert_eq!(kit.txn(&request).unwrap().succeeded, holds, "{what}");
    }
    assert_eq!(kit.store.revision(), 4);
}

#[test]
fn a_txn_that_fails_leaves_nothing() {
    let mut kit = Kit::new();
    kit.set("a", "1");
    let with_lease = op(Request::RequestPut(PutRequest {
        lease: 9,
        ..put("c", "")
    }));
    let ignoring = op(Request::RequestPut(PutRequest {
        ignore_value: true,
        ..put("c", "")
    }));
    let future = op(Request::RequestRange(RangeRequest {
        revision: 3,
        ..range("a", "")
    }));
    let negative = op(Request::RequestRange(RangeRequest {
        revision: -2,
        ..range("a", "")
    }));
    for (bad, expected) in [
        (with_lease, error::LEASE_NOT_FOUND),
        (ignoring, error::KEY_NOT_FOUND),
        (future, error::FUTURE_REVISION),
        (negative, error::COMPACTED),
        (op_put("b", ""), error::DUPLICATE_KEY),
    ] {
        let request = TxnRequest {
            success: vec![op_put("b", "1"), op_delete("a", ""), bad],
            ..Default::default()
        };
        assert_eq!(kit.txn(&request), Err(expected));
        assert_eq!(kit.all(0).unwrap(), ["a=1"]);
    }
    assert_eq!(kit.set("a", "2"), 3);
}

#[test]
fn compaction_answers_and_hides() {
    let mut kit = Kit::new();
    for value in 1..=4 {
        kit.set("a", &value.to_string());
    }
    assert_eq!(kit.compact(-1), Err(error::COMPACTED));
    assert_eq!(kit.compact(6), Err(error::FUTURE_REVISION));
    assert_eq!(kit.compact(0).unwrap().header.unwrap().revision, 5);
    assert_eq!(kit.compact(0), Err(error::COMPACTED));
    kit.compact_wholly(4);
    assert_eq!(kit.all(3), Err(error::COMPACTED));
    assert_eq!(kit.all(6), Err(error::FUTURE_REVISION));
    assert_eq!(kit.all(4).unwrap(), ["a=3"]);
    assert_eq!(kit.compact(4), Err(error::COMPACTED));
    assert_eq!(
        kit.store.events(3, 9, 1 << 20, &|_| true),
        Err(error::COMPACTED)
    );
    let chunk = kit.store.events(4, 9, 1 << 20, &|_| true).unwrap();
    assert_eq!((chunk.events.len(), chunk.next), (2, 6));
}

#[test]
fn leases_and_their_keys_survive() {
    let mut kit = Kit::new();
    assert_eq!(kit.grant(7, 100).unwrap().ttl, 100);
    assert_eq!(kit.grant(7, 100), Err(error::LEASE_EXISTS));
    kit.grant(8, 50).unwrap();
    for key in ["c", "a", "b"] {
        kit.put(PutRequest {
            lease: 7,
            ..put(key, "v")
        })
        .unwrap();
    }
    kit.put(PutRequest {
        lease: 8,
        ..put("b", "v")
    })
    .unwrap();
    let mut kit = kit.reopen();
    assert_eq!(kit.recovered.leases.len(), 2);
    assert_eq!(kit.store.leases().keys(7).unwrap(), ["a", "c"]);
    assert_eq!(kit.store.leases().keys(8).unwrap(), ["b"]);
    let live = kit.watch();
    let revoke = LeaseRevokeRequest { id: 7 };
    let answer = kit.apply(OpKind::LeaseRevoke, &revoke).unwrap();
    let response: LeaseRevokeResponse = decode(answer);
    assert_eq!(response.header.unwrap().revision, 6);
    assert_eq!(
        kit.apply(OpKind::LeaseRevoke, &revoke),
        Err(error::LEASE_NOT_FOUND)
    );
    assert_eq!(kit.all(0).unwrap(), ["b=v"]);
    let deleted = [bytes("a"), bytes("c")].map(|key| (6, EventType::Delete, key));
    assert_eq!(kit.seen(&live), deleted);
    let checkpoint = LeaseCheckpointRequest {
        checkpoints: vec![LeaseCheckpoint {
            id: 8,
            remaining_ttl: 20,
        }],
    };
    kit.apply(OpKind::LeaseCheckpoint, &checkpoint).unwrap();
    let kit = kit.reopen();
    let lease = kit.recovered.leases[0];
    assert_eq!(
        (lease.id, lease.ttl_seconds, lease.remaining_ttl_seconds),
        (8, 50, 20)
    );
}

#[test]
fn alarms_refuse_what_etcd_refuses() {
    let mut kit = Kit::new();
    kit.set("a", "1");
    kit.store.set_alarms(true, false);
    assert_eq!(kit.put(put("", "")), Err(error::NO_SPACE));
    assert_eq!(kit.grant(7, 1), Err(error::NO_SPACE));
    let writing = TxnRequest {
        success: vec![op_put("a", "2")],
        ..Default::default()
    };
    assert_eq!(kit.txn(&writing), Err(error::NO_SPACE));
    let deleting = TxnRequest {
        success: vec![op_delete("a", "")],
        ..Default::default()
    };
    assert!(kit.txn(&deleting).unwrap().succeeded);
    kit.compact(3).unwrap();
    kit.store.set_alarms(false, true);
    assert_eq!(kit.txn(&deleting), Err(error::CORRUPT));
    assert_eq!(kit.compact(3), Err(error::CORRUPT));
    assert_eq!(kit.all(0).unwrap().len(), 0);
    kit.store.set_alarms(false, false);
    assert_eq!(kit.set("a", "3"), 4);
    assert!(kit.store.quota_admits(0) && !kit.store.quota_admits(1 << 30));
}
