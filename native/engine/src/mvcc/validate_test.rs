//! Tests of argument checks: each rule, and the order of the rules.

use bytes::Bytes;

use super::*;
use crate::proto::etcdserverpb::Compare;

fn put(key: &'static str) -> RequestOp {
    op(Request::RequestPut(PutRequest {
        key: key.into(),
        ..Default::default()
    }))
}

fn delete(key: &'static str, end: &'static str) -> RequestOp {
    op(Request::RequestDeleteRange(DeleteRangeRequest {
        key: key.into(),
        range_end: end.into(),
        ..Default::default()
    }))
}

fn range(key: &'static str) -> RequestOp {
    op(Request::RequestRange(RangeRequest {
        key: key.into(),
        ..Default::default()
    }))
}

fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    op(Request::RequestTxn(txn(success, failure)))
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn txn(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        compare: Vec::new(),
        success,
        failure,
    }
}

fn check(success: Vec<RequestOp>) -> Result<(), EtcdError> {
    check_txn(&txn(success, Vec::new()), 128)
}

#[test]
fn range_checks_key_before_sort() {
    let mut request = RangeRequest {
        sort_order: 9,
        ..Default::default()
    };
    assert_eq!(check_range(&request), Err(error::EMPTY_KEY));
    request.key = Bytes::from_static(b"k");
    assert_eq!(check_range(&request), Err(error::INVALID_SORT_OPTION));
    request.sort_order = 2;
    request.sort_target = 5;
    assert_eq!(check_range(&request), Err(error::INVALID_SORT_OPTION));
    request.sort_target = 4;
    assert_eq!(check_range(&request), Ok(()));
}

#[test]
fn range_stream_refuses_orders_and_filters() {
    let mut request = RangeRequest {
        key: Bytes::from_static(b"k"),
        sort_target: 1,
        ..Default::default()
    };
    assert_eq!(check_range_stream(&request), Ok(()));
    request.sort_order = 1;
    assert_eq!(check_range_stream(&request), Err(error::STREAM_SORT));
    request.sort_target = 0;
    assert_eq!(check_range_stream(&request), Ok(()));
    request.max_create_revision = 7;
    assert_eq!(check_range_stream(&request), Err(error::STREAM_FILTER));
}

#[test]
fn put_refuses_what_it_is_told_to_ignore() {
    let mut request = PutRequest {
        value: Bytes::from_static(b"v"),
        lease: 7,
        ignore_value: true,
        ignore_lease: true,
        ..Default::default()
    };
    assert_eq!(check_put(&request), Err(error::EMPTY_KEY));
    request.key = Bytes::from_static(b"k");
    assert_eq!(check_put(&request), Err(error::VALUE_PROVIDED));
    request.value.clear();
    assert_eq!(check_put(&request), Err(error::LEASE_PROVIDED));
    request.lease = 0;
    assert_eq!(check_put(&request), Ok(()));
    assert_eq!(
        check_delete_range(&DeleteRangeRequest::default()),
        Err(error::EMPTY_KEY)
    );
}

#[test]
fn txn_counts_nested_ops_on_top_of_their_parents() {
    let three = || vec![range("a"), range("b"), range("c")];
    assert_eq!(check_txn(&txn(three(), three()), 3), Ok(()));
    assert_eq!(
        check_txn(&txn(three(), three()), 2),
        Err(error::TOO_MANY_OPS)
    );
    let parent = txn(vec![nested(three(), Vec::new())], Vec::new());
    assert_eq!(check_txn(&parent, 4), Ok(()));
    assert_eq!(check_txn(&parent, 3), Err(error::TOO_MANY_OPS));
}

#[test]
fn txn_checks_compares_then_ops_then_overlaps() {
    let mut request = txn(vec![put("a"), put("a"), put("")], Vec::new());
    request.compare = vec![Compare::default()];
    assert_eq!(check_txn(&request, 128), Err(error::EMPTY_KEY));
    request.compare.clear();
    assert_eq!(check_txn(&request, 128), Err(error::EMPTY_KEY));
    request.success.pop();
    assert_eq!(check_txn(&request, 128), Err(error::DUPLICATE_KEY));
    request.failure = vec![RequestOp::default()];
    assert_eq!(check_txn(&request, 128), Err(error::KEY_NOT_FOUND));
}

#[test]
fn duplicates_within_a_branch() {
    assert_eq!(
        check(vec![put("a"), delete("a", "")]),
        Err(error::DUPLICATE_KEY)
    );
    assert_eq!(
        check(vec![put("b"), delete("a", "c")]),
        Err(error::DUPLICATE_KEY)
    );
    assert_eq!(check(vec![put("c"), delete("a", "c")]), Ok(()));
    assert_eq!(check(vec![put("c"), delete("a", "\0")]), Ok(()));
    assert_eq!(check(vec![delete("a", "z"), delete("b", "c")]), Ok(()));
    assert_eq!(check_txn(&txn(vec![put("a")], vec![put("a")]), 128), Ok(()));
}

#[test]
fn duplicates_across_nested_txns() {
    let duplicate = Err(error::DUPLICATE_KEY);
    assert_eq!(check(vec![nested(vec![put("a")], vec![put("a")])]), Ok(()));
    assert_eq!(
        check(vec![put("a"), nested(vec![], vec![put("a")])]),
        duplicate
    );
    assert_eq!(
        check(vec![
            nested(vec![put("a")], vec![]),
            nested(vec![], vec![put("a")])
        ]),
        duplicate
    );
    assert_eq!(
        check(vec![
            nested(vec![delete("a", "")], vec![]),
            nested(vec![put("a")], vec![])
        ]),
        duplicate
    );
    assert_eq!(
        check(vec![
            nested(vec![put("a")], vec![]),
            nested(vec![delete("a", "")], vec![])
        ]),
        Ok(())
    );
    assert_eq!(
        check(vec![delete("a", "c"), nested(vec![put("b")], vec![])]),
        duplicate
    );
}

#[test]
fn intervals_merge_to_disjoint_ones() {
    let mut intervals = Intervals::default();
    intervals.add(b"a", b"c");
    intervals.add(b"e", b"g");
    intervals.add(b"m", b"");
    intervals.add(b"b", b"f");
    intervals.add(b"z", b"a");
    assert_eq!(intervals.0.len(), 2);
    for (key, inside) in [
        ("a", true),
        ("d", true),
        ("f", true),
        ("g", false),
        ("m", true),
        ("m\0", false),
        ("z", false),
    ] {
        assert_eq!(intervals.contains(key.as_bytes()), inside, "{key:?}");
    }
}

#[test]
fn kinds_of_txn_and_costs() {
    let serializable = RangeRequest {
        serializable: true,
        ..Default::default()
    };
    let reads = txn(vec![range("a")], vec![range("b")]);
    assert!(is_read_only(&reads) && !is_serializable(&reads));
    assert!(is_serializable(&txn(
        vec![op(Request::RequestRange(serializable))],
        vec![]
    )));
    assert!(is_read_only(&TxnRequest::default()));
    assert!(!is_read_only(&txn(vec![], vec![nested(vec![], vec![])])));
    let writes = txn(
        vec![put("abc"), delete("x", ""), nested(vec![put("d")], vec![])],
        vec![put("e")],
    );
    assert_eq!(txn_cost(&writes), 259 + 257);
    assert_eq!(txn_cost(&reads), 0);
}
