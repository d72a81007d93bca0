//! Who may do what, where it counts: at a request's place in the log, and while a read goes on.

use crate::auth::tests::kit as rows;
use crate::auth::tests::kit::{Row, caller_at, permission};
use crate::auth::{Caller, TokenGrant};
use crate::error::{self, EtcdError};
use crate::mvcc::{MetaTable, MetaWrite, RangeAnswer, Store};
use crate::proto::authpb::permission::Type::{Read, Readwrite, Write};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::*;
use crate::types::OpKind;

use super::kit::*;

/// Applies a control entry that writes these rows.
fn write(kit: &mut Kit, rows: &[Row]) {
    let writes = rows.iter().cloned().map(|(key, value)| MetaWrite {
        table: MetaTable::Auth,
        key: key.into(),
        value: value.map(Into::into),
    });
    let mark = kit.next_context().mark;
    kit.store.apply_meta(mark, writes.collect());
    kit.store.entry_applied(mark);
}

/// Auth is on at revision 5: `root` is root, `u` may read and write `a` to `b`, read `r` and write `w`.
fn guarded() -> Kit {
    let mut kit = Kit::new();
    write(
        &mut kit,
        &[rows::user("root", &["root"]), rows::user("u", &["r"])],
    );
    write(&mut kit, &[role_r(), rows::revision(5)]);
    write(&mut kit, &[rows::enabled(true)]);
    kit
}

fn role_r() -> Row {
    let permissions = [
        permission(Readwrite, "a", "b"),
        permission(Read, "r", ""),
        permission(Write, "w", ""),
    ];
    rows::role("r", &permissions)
}

fn u() -> Caller {
    caller_at("u", 5)
}

fn root() -> Caller {
    caller_at("root", 5)
}

fn put_as(kit: &mut Kit, caller: &Caller, request: PutRequest) -> Result<(), EtcdError> {
    kit.apply_as(caller, OpKind::Put, &request).map(drop)
}

fn with_lease(key: &str, lease: i64) -> PutRequest {
    PutRequest {
        lease,
        ..put(key, "1")
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

#[test]
fn each_request_is_asked_under_the_table_of_its_place_in_the_log() {
    let mut kit = guarded();
    assert_eq!(put_as(&mut kit, &u(), put("a", "1")), Ok(()));
    let denied = Err(error::PERMISSION_DENIED);
    assert_eq!(put_as(&mut kit, &u(), put("b", "1")), denied);
    let before = kit.store.revision();
    // Revoked: what was proposed before that is too old, and what comes after is denied.
    write(&mut kit, &[rows::role("r", &[]), rows::revision(6)]);
    for (revision, answer) in [
        (5, Err(error::AUTH_OLD_REVISION)),
        (6, denied.clone()),
        (0, Err(error::USER_EMPTY)),
    ] {
        let caller = caller_at("u", revision);
        assert_eq!(put_as(&mut kit, &caller, put("a", "2")), answer);
        let deleted = kit.apply_as(&caller, OpKind::DeleteRange, &delete("a", ""));
        assert_eq!(deleted.map(drop), answer);
        let txn = TxnRequest {
            success: vec![op(Request::RequestPut(put("a", "2")))],
            ..TxnRequest::default()
        };
        assert_eq!(kit.apply_as(&caller, OpKind::Txn, &txn).map(drop), answer);
    }
    assert_eq!(kit.store.revision(), before, "nothing was written");
    // The revision of a root that was too slow is too old as well.
    let slow = put_as(&mut kit, &root(), put("a", "2"));
    assert_eq!(slow, Err(error::AUTH_OLD_REVISION));
    assert_eq!(
        put_as(&mut kit, &caller_at("root", 6), put("a", "2")),
        Ok(())
    );
    write(&mut kit, &[rows::enabled(false), rows::revision(7)]);
    assert_eq!(put_as(&mut kit, &Caller::Nobody, put("z", "1")), Ok(()));
}

fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: bytes(key),
        range_end: bytes(range_end),
        prev_kv: false,
    }
}

#[test]
fn grants_and_revocations_hold_from_one_entry_to_the_next() {
    let mut kit = guarded();
    let mut revision = 5;
    for round in 0..40_u64 {
        let may = round % 3 != 0;
        revision += 1;
        let permissions = [permission(Write, "x", "")];
        let permissions = if may { &permissions[..] } else { &[] };
        write(
            &mut kit,
            &[rows::role("r", permissions), rows::revision(revision)],
        );
        let before = kit.store.revision();
        let asked = put_as(&mut kit, &caller_at("u", revision), put("x", "1"));
        let stale = put_as(&mut kit, &caller_at("u", revision - 1), put("x", "1"));
        assert_eq!(asked.is_ok(), may, "{round}");
        assert_eq!(stale, Err(error::AUTH_OLD_REVISION));
        assert_eq!(kit.store.revision(), before + i64::from(may));
    }
}

#[test]
fn nobody_is_refused_once_auth_is_on_and_the_member_itself_never() {
    let mut kit = guarded();
    let empty = Err(error::USER_EMPTY);
    assert_eq!(put_as(&mut kit, &Caller::Nobody, put("a", "1")), empty);
    assert_eq!(put_as(&mut kit, &Caller::Internal, put("a", "1")), Ok(()));
    // What is checked before it is proposed passes if auth came on meanwhile.
    kit.grant(7, 100).unwrap();
    let checkpoint = LeaseCheckpointRequest {
        checkpoints: vec![LeaseCheckpoint {
            id: 7,
            remaining_ttl: 50,
        }],
    };
    kit.apply(OpKind::LeaseCheckpoint, &checkpoint).unwrap();
    kit.compact(kit.store.revision()).unwrap();
    // A lease without keys needs no permission, and one that is not there is not found.
    let revoke = LeaseRevokeRequest { id: 7 };
    kit.apply(OpKind::LeaseRevoke, &revoke).unwrap();
    let gone = kit.apply(OpKind::LeaseRevoke, &revoke);
    assert_eq!(gone.map(drop), Err(error::LEASE_NOT_FOUND));
}

#[test]
fn alarms_answer_before_permissions() {
    let mut kit = guarded();
    kit.store.set_alarms(true, false);
    assert_eq!(
        put_as(&mut kit, &Caller::Nobody, put("a", "1")),
        Err(error::NO_SPACE)
    );
    let deleted = kit.apply(OpKind::DeleteRange, &delete("a", ""));
    assert_eq!(deleted.map(drop), Err(error::USER_EMPTY));
    kit.store.set_alarms(false, true);
    let deleted = kit.apply(OpKind::DeleteRange, &delete("a", ""));
    assert_eq!(deleted.map(drop), Err(error::CORRUPT));
}

/// GHSA-x35m-3gp4-4fh5 and CVE-2026-33413: a lease deletes its keys, so a put that attaches one more key to it, and who
/// revokes it, must be allowed to change them all.
#[test]
fn a_lease_with_foreign_keys_can_neither_be_used_nor_revoked() {
    let mut kit = guarded();
    kit.grant(7, 100).unwrap();
    kit.grant(8, 100).unwrap();
    put_as(&mut kit, &root(), with_lease("foreign", 7)).unwrap();
    put_as(&mut kit, &u(), with_lease("a", 8)).unwrap();
    let before = kit.store.revision();
    let denied = || Err(error::PERMISSION_DENIED);
    assert_eq!(put_as(&mut kit, &u(), with_lease("a", 7)), denied());
    let nest = |put: PutRequest| TxnRequest {
        failure: vec![op(Request::RequestTxn(TxnRequest {
            success: vec![op(Request::RequestPut(put))],
            ..TxnRequest::default()
        }))],
        ..TxnRequest::default()
    };
    let in_txn = |kit: &mut Kit, lease| {
        let txn = nest(with_lease("a", lease));
        kit.apply_as(&u(), OpKind::Txn, &txn).map(drop)
    };
    // Whether the branch runs or not.
    assert_eq!(in_txn(&mut kit, 7), denied());
    let revoke = |kit: &mut Kit, caller: &Caller, id| {
        let request = LeaseRevokeRequest { id };
        kit.apply_as(caller, OpKind::LeaseRevoke, &request)
            .map(drop)
    };
    assert_eq!(revoke(&mut kit, &u(), 7), denied());
    assert_eq!(revoke(&mut kit, &Caller::Nobody, 7), Err(error::USER_EMPTY));
    assert_eq!(
        revoke(&mut kit, &caller_at("root", 4), 7),
        Err(error::AUTH_OLD_REVISION)
    );
    assert!(kit.store.leases().contains(7) && kit.store.revision() == before);
    assert_eq!(in_txn(&mut kit, 8), Ok(()));
    // Permission comes before the lease's existence.
    assert_eq!(put_as(&mut kit, &u(), with_lease("z", 9)), denied());
    assert_eq!(
        put_as(&mut kit, &u(), with_lease("a", 9)),
        Err(error::LEASE_NOT_FOUND)
    );
    assert_eq!(revoke(&mut kit, &u(), 8), Ok(()));
    assert_eq!(put_as(&mut kit, &root(), with_lease("a", 7)), Ok(()));
    assert_eq!(revoke(&mut kit, &Caller::Internal, 7), Ok(()));
}

/// GHSA-x35m-3gp4-4fh5: nothing is written, nor told, if one part of a txn is refused.
#[test]
fn a_refused_txn_leaves_nothing() {
    let mut kit = guarded();
    put_as(&mut kit, &root(), put("w", "secret")).unwrap();
    let before = kit.store.revision();
    let telling = PutRequest {
        prev_kv: true,
        ..put("w", "2")
    };
    for refused in [
        Request::RequestPut(telling),
        Request::RequestRange(range("w", "")),
        Request::RequestDeleteRange(delete("r", "")),
        Request::RequestTxn(TxnRequest {
            compare: vec![Compare {
                key: bytes("w"),
                ..Compare::default()
            }],
            ..TxnRequest::default()
        }),
    ] {
        let txn = TxnRequest {
            success: vec![op(Request::RequestPut(put("a", "1")))],
            failure: vec![op(refused)],
            ..TxnRequest::default()
        };
        let answer = kit.apply_as(&u(), OpKind::Txn, &txn);
        assert_eq!(answer.map(drop), Err(error::PERMISSION_DENIED));
        assert_eq!(kit.store.revision(), before);
    }
}

#[test]
fn a_restart_and_an_installed_store_have_the_table_of_the_rows() {
    let mut kit = guarded();
    put_as(&mut kit, &u(), put("a", "1")).unwrap();
    let mut kit = kit.reopen();
    let asked = |kit: &Kit| {
        let table = kit.store.auth().table();
        (
            table.enabled,
            table.revision,
            table.check_read(&u(), b"a", b"b"),
        )
    };
    assert_eq!(asked(&kit), (true, 5, Ok(())));
    assert!(kit.store.auth().is_enabled());
    assert_eq!(
        put_as(&mut kit, &u(), put("b", "1")),
        Err(error::PERMISSION_DENIED)
    );

    // A member that knows other users and tokens, and is behind.
    let mut target = Kit::new();
    write(
        &mut target,
        &[rows::user("old", &["root"]), rows::revision(3)],
    );
    let token = TokenGrant {
        user: bytes("u"),
        revision: None,
        ttl_ms: None,
        renewed: false,
    };
    target.store.auth().tokens().insert(b"t", token, 0);
    let kept = target.store.auth().tokens().find(b"t").unwrap();
    let generation = target.store.auth().generation();
    kit.store.flush();
    super::install::arrive(&kit, &target)
        .install(&target.store)
        .unwrap();
    assert_eq!(asked(&target), (true, 5, Ok(())));
    assert!(target.store.auth().is_enabled() && !target.store.auth().table().has_user(b"old"));
    assert!(kept.is_withdrawn() && target.store.auth().generation() > generation);
    target.index = kit.index;
    assert_eq!(
        put_as(&mut target, &u(), put("b", "1")),
        Err(error::PERMISSION_DENIED)
    );
    assert_eq!(asked(&target.crash()), (true, 5, Ok(())));
}

#[test]
fn a_damaged_row_ends_the_member_and_keeps_it_from_starting() {
    let mut kit = guarded();
    let damaged = (b"u/u".to_vec(), Some(vec![0xff]));
    write(&mut kit, &[damaged]);
    let fatal = std::mem::take(&mut *kit.told.fatal.lock());
    assert!(fatal[0].contains("u/u"), "{fatal:?}");
    assert_eq!(
        kit.store.auth().table().revision,
        5,
        "the table is as it was"
    );
    let error = kit.reopening_fails_with().unwrap().to_string();
    assert!(
        error.contains("u/u") && error.contains("damaged"),
        "{error}"
    );
}

fn read_all(kit: &Kit, caller: &Caller) -> Vec<Result<(), EtcdError>> {
    let store = &kit.store;
    let whole = store.range(&range("a", "b"), caller, TERM).map(drop);
    let streamed = store.range_stream(&range("a", "b"), caller, TERM);
    let streamed = streamed.and_then(|mut messages| messages.try_for_each(|it| it.map(drop)));
    let txn = TxnRequest {
        compare: vec![Compare {
            key: bytes("r"),
            ..Compare::default()
        }],
        failure: vec![op(Request::RequestRange(range("a", "")))],
        ..TxnRequest::default()
    };
    let txn = store.read_txn(&txn, caller, TERM).map(drop);
    vec![whole, streamed, txn]
}

#[test]
fn reads_are_asked_where_they_are_served() {
    let mut kit = guarded();
    put_as(&mut kit, &u(), put("a", "1")).unwrap();
    let all = |answer: Result<(), EtcdError>| vec![answer; 3];
    assert_eq!(read_all(&kit, &u()), all(Ok(())));
    assert_eq!(read_all(&kit, &root()), all(Ok(())));
    assert_eq!(read_all(&kit, &Caller::Internal), all(Ok(())));
    assert_eq!(read_all(&kit, &Caller::Nobody), all(Err(error::USER_EMPTY)));
    assert_eq!(
        read_all(&kit, &caller_at("u", 4)),
        all(Err(error::AUTH_OLD_REVISION))
    );
    // Of a member that is ahead: this one's table is too old for the caller.
    assert_eq!(
        read_all(&kit, &caller_at("u", 6)),
        all(Err(error::AUTH_OLD_REVISION))
    );
    write(&mut kit, &[rows::role("r", &[]), rows::revision(6)]);
    let denied = all(Err(error::PERMISSION_DENIED));
    assert_eq!(read_all(&kit, &caller_at("u", 6)), denied);
    // Who asks for nothing is asked for nothing.
    let nothing = TxnRequest::default();
    kit.store.read_txn(&nothing, &Caller::Nobody, TERM).unwrap();
}

/// The pieces of an answer that is too large for one.
fn pieces(store: &std::sync::Arc<Store>, streamed: bool, caller: &Caller) -> crate::mvcc::Chunks {
    if streamed {
        return store.range_stream(&range("a", "b"), caller, TERM).unwrap();
    }
    match store.range(&range("a", "b"), caller, TERM).unwrap() {
        RangeAnswer::Chunked { chunks, .. } => chunks,
        RangeAnswer::Whole(_) => panic!("it is large"),
    }
}

#[test]
fn a_long_read_ends_with_an_error_if_the_table_changed_before_its_last_piece() {
    let mut kit = guarded();
    let value = "v".repeat(200_000);
    for number in 0..8 {
        put_as(&mut kit, &u(), put(&format!("a{number}"), &value)).unwrap();
    }
    for streamed in [false, true] {
        assert!(pieces(&kit.store, streamed, &u()).all(|piece| piece.is_ok()));
    }
    // Once the user lost something, once auth came on while it was off.
    let mut revision = 5;
    for streamed in [false, true] {
        let mut begun = pieces(&kit.store, streamed, &caller_at("u", revision));
        if !streamed {
            assert!(begun.next().unwrap().is_ok());
        }
        revision += 1;
        write(&mut kit, &[rows::role("r", &[]), rows::revision(revision)]);
        let last = begun.by_ref().find_map(Result::err);
        assert_eq!(last, Some(error::AUTH_OLD_REVISION));
        assert!(begun.next().is_none());

        write(&mut kit, &[rows::enabled(false)]);
        let begun = pieces(&kit.store, streamed, &Caller::Nobody);
        let own = pieces(&kit.store, streamed, &Caller::Internal);
        write(&mut kit, &[rows::enabled(true), role_r()]);
        let last = begun.last().unwrap();
        assert_eq!(last.err(), Some(error::USER_EMPTY));
        assert!(own.last().unwrap().is_ok());
    }
}
