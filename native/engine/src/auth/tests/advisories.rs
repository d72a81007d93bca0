//! What etcd once let through, as its advisories tell. Each test is named after the fault, and checks beside it that what
//! is permitted passes, so that no check passes it that refuses everything.

use super::kit::*;
use crate::auth::{Access, Caller, Table, leases_of_txn};
use crate::error::{EtcdError, PERMISSION_DENIED, USER_EMPTY};
use crate::proto::authpb::permission::Type::{Read, Readwrite, Write};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::*;

const DENIED: Result<(), EtcdError> = Err(PERMISSION_DENIED);

/// The user may read and write `a`, read `r`, and write `w`.
fn table() -> Table {
    table_of(&[
        permission(Readwrite, "a", ""),
        permission(Read, "r", ""),
        permission(Write, "w", ""),
    ])
}

/// Operations that the user may do, and ones that he may not.
fn operations() -> (Vec<Request>, Vec<Request>) {
    let with_prev = |key| PutRequest {
        prev_kv: true,
        ..put(key)
    };
    let delete_with_prev = |key| DeleteRangeRequest {
        prev_kv: true,
        ..delete(key, "")
    };
    let permitted = vec![
        Request::RequestPut(put("w")),
        Request::RequestPut(with_prev("a")),
        Request::RequestRange(range("r", "")),
        Request::RequestDeleteRange(delete("w", "")),
        Request::RequestDeleteRange(delete_with_prev("a")),
    ];
    let refused = vec![
        Request::RequestPut(put("r")),
        Request::RequestPut(with_prev("w")),
        Request::RequestRange(range("w", "")),
        Request::RequestRange(range("r", "s")),
        Request::RequestDeleteRange(delete("r", "")),
        Request::RequestDeleteRange(delete_with_prev("w")),
        Request::RequestDeleteRange(delete("w", "\0")),
    ];
    (permitted, refused)
}

/// GHSA-rfx7-8w68-q57q: operations of a nested txn were not checked.
#[test]
fn operations_of_nested_txns_are_checked_at_any_depth_in_either_branch() {
    let (table, caller) = (table(), caller("u"));
    let (permitted, refused) = operations();
    for depth in [0, 1, 2, 20] {
        for in_failure in [false, true] {
            let asked = |request: &Request| {
                let txn = then(vec![op(request.clone())]);
                table.check_txn(&caller, &nested(txn, depth, in_failure))
            };
            for request in &permitted {
                assert_eq!(asked(request), Ok(()), "{request:?}");
            }
            for request in &refused {
                assert_eq!(asked(request), DENIED, "{depth} {in_failure} {request:?}");
            }
        }
    }
}

/// The same advisory: nor were their compares.
#[test]
fn compares_of_nested_txns_are_checked_at_any_depth_in_either_branch() {
    let (table, caller) = (table(), caller("u"));
    let comparing = |key, range_end| TxnRequest {
        compare: vec![compare(key, range_end)],
        ..TxnRequest::default()
    };
    for depth in [0, 1, 2, 20] {
        for in_failure in [false, true] {
            let asked = |txn| table.check_txn(&caller, &nested(txn, depth, in_failure));
            assert_eq!(asked(comparing("r", "")), Ok(()));
            assert_eq!(asked(comparing("w", "")), DENIED);
            assert_eq!(asked(comparing("r", "\0")), DENIED);
            assert_eq!(asked(comparing("r", "s")), DENIED);
        }
    }
}

/// GHSA-rfx7-8w68-q57q: what stands beside a permitted operation is checked too, and in the branch that will not run.
#[test]
fn one_refused_operation_among_permitted_ones_refuses_the_txn() {
    let (table, caller) = (table(), caller("u"));
    let (permitted, refused) = operations();
    let ops = |requests: &[Request]| requests.iter().cloned().map(op).collect::<Vec<_>>();
    let mut txn = TxnRequest {
        compare: vec![compare("a", "")],
        success: ops(&permitted),
        failure: ops(&permitted),
    };
    assert_eq!(table.check_txn(&caller, &txn), Ok(()));
    for request in refused {
        txn.failure.push(op(request));
        assert_eq!(table.check_txn(&caller, &txn), DENIED);
        txn.failure.pop();
    }
}

/// GHSA-x35m-3gp4-4fh5: a put in a txn told the value before to those who may not read.
#[test]
fn a_put_or_delete_with_prev_kv_needs_read_alone_and_in_a_txn() {
    let (table, caller) = (table(), caller("u"));
    for (key, answer) in [("a", Ok(())), ("w", DENIED), ("r", DENIED)] {
        let put = PutRequest {
            prev_kv: true,
            ..put(key)
        };
        let delete = DeleteRangeRequest {
            prev_kv: true,
            ..delete(key, "")
        };
        assert_eq!(table.check_put(&caller, &put), answer);
        assert_eq!(table.check_delete(&caller, &delete), answer);
        for depth in [0, 3] {
            let asked = |request| {
                let txn = nested(then(vec![op(request)]), depth, false);
                table.check_txn(&caller, &txn)
            };
            assert_eq!(asked(Request::RequestPut(put.clone())), answer);
            assert_eq!(asked(Request::RequestDeleteRange(delete.clone())), answer);
        }
    }
    // A value that is kept is not told.
    let kept = PutRequest {
        ignore_value: true,
        ..put("w")
    };
    assert_eq!(table.check_put(&caller, &kept), Ok(()));
}

/// GHSA-x35m-3gp4-4fh5, CVE-2026-33413: a lease takes its keys with it, so who attaches to or revokes it must be allowed
/// to delete them. (That apply asks is shown beside the store, see mvcc/tests/auth.rs.)
#[test]
fn a_lease_with_foreign_keys_is_refused() {
    let table = table();
    let may = |caller: &Caller, keys: &[&str]| {
        let keys = keys.iter().map(|key| key.as_bytes());
        table.check_keys(caller, None, keys, Access::Write)
    };
    let user = caller("u");
    assert_eq!(may(&user, &["a", "w"]), Ok(()));
    assert_eq!(may(&user, &["a", "r", "w"]), DENIED);
    assert_eq!(may(&user, &["foreign"]), DENIED);
    assert_eq!(may(&user, &[]), Ok(()));
    assert_eq!(may(&caller("root"), &["foreign"]), Ok(()));
    assert_eq!(may(&Caller::Internal, &["foreign"]), Ok(()));
    assert_eq!(may(&Caller::Nobody, &["a"]), Err(USER_EMPTY));
    // CVE-2023-32082: who is told the keys of a lease must be allowed to read each.
    let readable = table.check_keys(&user, None, [&b"a"[..], b"r"], Access::Read);
    assert_eq!(readable, Ok(()));
    let readable = table.check_keys(&user, None, [&b"a"[..], b"w"], Access::Read);
    assert_eq!(readable, DENIED);
}

/// The leases of a txn's puts are found at any depth, so that their keys can be checked.
#[test]
fn leases_of_nested_puts_are_found() {
    let attach = |lease| op(Request::RequestPut(PutRequest { lease, ..put("a") }));
    let mut txn = nested(then(vec![attach(3), attach(0)]), 5, true);
    txn.success = vec![attach(2), op(Request::RequestRange(range("a", "")))];
    txn.failure.push(attach(3));
    assert_eq!(leases_of_txn(&txn), [2, 3]);
}

/// GHSA-xg4h-6gfc-h4m8: the range end `\0` was taken for none, so that a right to one key was one to all after it.
#[test]
fn an_open_end_is_not_one_key() {
    let (table, caller) = (table(), caller("u"));
    assert_eq!(table.check_read(&caller, b"a", b""), Ok(()));
    assert_eq!(table.check_read(&caller, b"a", b"\0"), DENIED);
    assert_eq!(table.check_write(&caller, b"a", b"\0"), DENIED);
    assert_eq!(table.check_range(&caller, &range("a", "\0")), DENIED);
    assert_eq!(table.check_delete(&caller, &delete("a", "\0")), DENIED);
    // The range that holds one key only is that key.
    assert_eq!(table.check_read(&caller, b"a", b"a\0"), Ok(()));
    assert_eq!(table.check_read(&caller, b"a", b"a\0\0"), DENIED);

    let open = table_of(&[permission(Read, "k", "\0")]);
    for range_end in [&b""[..], b"\0", b"l", b"\xff\xff"] {
        assert_eq!(open.check_read(&caller, b"k", range_end), Ok(()));
        assert!(open.check_read(&caller, b"zz", range_end).is_ok());
    }
    assert_eq!(open.check_read(&caller, b"j", b"\0"), DENIED);
    assert_eq!(open.check_read(&caller, b"j\xff", b""), DENIED);
}

/// etcd 15619: ranges that hold no key were granted. Stored ones grant nothing here, and such a range is asked for in
/// vain outside of what is granted.
#[test]
fn empty_ranges_grant_nothing() {
    let caller = caller("u");
    let empty = table_of(&[
        permission(Readwrite, "m", "b"),
        permission(Readwrite, "m", "m"),
        permission(Readwrite, "", "z"),
        permission(Readwrite, "", "\0"),
        permission(Readwrite, "", ""),
    ]);
    for key in ["", "\0", "a", "b", "c", "m", "z"] {
        for range_end in ["", "\0", "c", "n"] {
            let (key, range_end) = (key.as_bytes(), range_end.as_bytes());
            assert_eq!(empty.check_read(&caller, key, range_end), DENIED);
            assert_eq!(empty.check_write(&caller, key, range_end), DENIED);
        }
    }
    let table = table_of(&[permission(Read, "d", "f")]);
    assert_eq!(table.check_read(&caller, b"e", b"d"), Ok(()));
    assert_eq!(table.check_read(&caller, b"e", b"e"), Ok(()));
    assert_eq!(table.check_read(&caller, b"f", b"e"), DENIED);
    assert_eq!(table.check_read(&caller, b"f", b"f"), DENIED);
}

/// CVE-2026-33413: calls without an identity.
#[test]
fn nobody_may_do_nothing_but_ask_for_nothing() {
    let (table, nobody) = (table(), Caller::Nobody);
    let nameless = caller_at("", REVISION);
    for caller in [&nobody, &nameless] {
        assert_eq!(table.check_known(caller), Err(USER_EMPTY));
        assert_eq!(table.check_admin(caller), Err(USER_EMPTY));
        assert_eq!(table.check_range(caller, &range("a", "")), Err(USER_EMPTY));
        assert_eq!(table.check_put(caller, &put("a")), Err(USER_EMPTY));
        assert_eq!(
            table.check_delete(caller, &delete("a", "")),
            Err(USER_EMPTY)
        );
        let (permitted, _) = operations();
        for request in permitted {
            let txn = nested(then(vec![op(request)]), 1, true);
            assert_eq!(table.check_txn(caller, &txn), Err(USER_EMPTY));
        }
        let nothing = nested(TxnRequest::default(), 2, false);
        assert_eq!(table.check_txn(caller, &nothing), Ok(()));
    }
}

/// Permissions to read and to write never add up to both.
#[test]
fn read_and_write_are_apart() {
    let table = table_of(&[permission(Read, "a", "m"), permission(Write, "m", "z")]);
    let caller = caller("u");
    assert_eq!(table.check_read(&caller, b"a", b"m"), Ok(()));
    assert_eq!(table.check_write(&caller, b"m", b"z"), Ok(()));
    assert_eq!(table.check_read(&caller, b"a", b"n"), DENIED);
    assert_eq!(table.check_write(&caller, b"l", b"z"), DENIED);
    assert_eq!(table.check_read(&caller, b"m", b""), DENIED);
    assert_eq!(table.check_write(&caller, b"a", b""), DENIED);
}
