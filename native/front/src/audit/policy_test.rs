//! Rules against requests, and prefixes against a look at every key.

use netcd_engine::proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, request_op,
};
use proptest::prelude::*;

use super::super::requests::Silent;
use super::*;

fn method(path: &str) -> MethodId {
    MethodId::find(path).unwrap()
}

fn rule(calls: &[&str], logged: bool) -> AuditRule {
    AuditRule {
        calls: calls.iter().map(|call| (*call).to_owned()).collect(),
        users: None,
        prefixes: None,
        results: vec![AuditResult::Ok, AuditResult::Refused, AuditResult::Failed],
        logged,
    }
}

fn below(prefix: &'static str, rule: AuditRule) -> AuditRule {
    AuditRule {
        prefixes: Some(vec![prefix.into()]),
        ..rule
    }
}

const PUT: &str = "/etcdserverpb.KV/Put";
const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
const TXN: &str = "/etcdserverpb.KV/Txn";
const TXN_READ: &str = "/etcdserverpb.KV/Txn#read";

fn put(key: &'static str) -> PutRequest {
    PutRequest {
        key: key.into(),
        ..Default::default()
    }
}

fn txn(ops: Vec<request_op::Request>) -> TxnRequest {
    let ops = ops.into_iter().map(|op| RequestOp { request: Some(op) });
    TxnRequest {
        success: ops.collect(),
        ..Default::default()
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let mut quiet = below("/status/", rule(&[PUT], false));
    quiet.users = Some(vec!["bot".into()]);
    quiet.results = vec![AuditResult::Ok];
    let policy = Policy::compile(&[quiet, rule(&[PUT], true)]).unwrap();
    let logs = |user: &str, key, result| {
        policy
            .verdict(method(PUT), user.as_bytes(), &put(key))
            .logs(result)
    };
    assert!(!logs("bot", "/status/a", AuditResult::Ok));
    assert!(
        logs("bot", "/status/a", AuditResult::Refused),
        "another result"
    );
    assert!(logs("bot", "/stat", AuditResult::Ok), "another key");
    assert!(logs("eve", "/status/a", AuditResult::Ok), "another user");
    assert!(logs("", "/status/a", AuditResult::Ok), "nobody is no user");
    let delete = policy.verdict(method(DELETE), b"bot", &DeleteRangeRequest::default());
    assert!(!delete.logs_any(), "no rule matches");
    assert!(policy.may_log(method(PUT)) && !policy.may_log(method(DELETE)));
}

#[test]
fn nobody_is_named_by_the_empty_name() {
    let mut nobody = rule(&[PUT], true);
    nobody.users = Some(vec![Bytes::new()]);
    let policy = Policy::compile(&[nobody]).unwrap();
    assert!(policy.verdict(method(PUT), b"", &put("a")).logs_any());
    assert!(!policy.verdict(method(PUT), b"a", &put("a")).logs_any());
}

#[test]
fn a_txn_that_only_reads_is_another_call() {
    let policy = Policy::compile(&[rule(&[TXN], true)]).unwrap();
    let range = || request_op::Request::RequestRange(RangeRequest::default());
    let write = request_op::Request::RequestPut(put("a"));
    let logs = |ops| policy.verdict(method(TXN), b"", &txn(ops)).logs_any();
    assert!(!logs(vec![range()]));
    assert!(logs(vec![range(), write]));
    let policy = Policy::compile(&[rule(&[TXN_READ], true)]).unwrap();
    assert!(policy.may_log(method(TXN)));
    assert!(
        policy
            .verdict(method(TXN), b"", &txn(vec![range()]))
            .logs_any()
    );
}

#[test]
fn a_write_is_not_hidden_behind_one_that_is_not_logged() {
    let quiet = below("/noise/", rule(&[TXN], false));
    let policy = Policy::compile(&[quiet, rule(&[TXN], true)]).unwrap();
    let logs = |keys: &[&'static str]| {
        let ops = keys
            .iter()
            .map(|key| request_op::Request::RequestPut(put(key)));
        policy
            .verdict(method(TXN), b"", &txn(ops.collect()))
            .logs_any()
    };
    assert!(!logs(&["/noise/a", "/noise/b"]));
    assert!(logs(&["/noise/a", "/secret"]));
    // A nested txn is looked through, too.
    let nested = txn(vec![request_op::Request::RequestTxn(txn(vec![
        request_op::Request::RequestPut(put("/secret")),
    ]))]);
    assert!(policy.verdict(method(TXN), b"", &nested).logs_any());
    // A rule that logs takes one key of many.
    let policy = Policy::compile(&[below("/secret", rule(&[TXN], true))]).unwrap();
    let both = txn(vec![
        request_op::Request::RequestPut(put("/noise/a")),
        request_op::Request::RequestPut(put("/secret")),
    ]);
    assert!(policy.verdict(method(TXN), b"", &both).logs_any());
    // What has no keys, or cannot be read, is below no prefix.
    assert!(!policy.verdict(method(TXN), b"", &Silent).logs_any());
}

#[test]
fn a_call_that_there_is_not_is_refused() {
    assert!(Policy::compile(&[rule(&["/etcdserverpb.KV/Get"], true)]).is_err());
    assert!(Policy::compile(&[rule(&["/etcdserverpb.KV/Put#read"], true)]).is_err());
}

#[test]
fn results_are_those_of_the_codes() {
    let refused: Vec<u8> = (0..17)
        .filter(|code| AuditResult::of(*code) == AuditResult::Refused)
        .collect();
    assert_eq!(refused, [3, 7, 9, 16]);
    assert_eq!(AuditResult::of(0), AuditResult::Ok);
    assert_eq!(AuditResult::of(14), AuditResult::Failed);
}

/// Keys of up to three bytes of an alphabet whose ends matter.
fn short() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0, b'a', b'b', 0xff]), 0..3)
}

fn all_keys() -> Vec<Vec<u8>> {
    let bytes = [0, b'a', b'b', 0xff];
    let mut keys = vec![Vec::new()];
    let mut at = 0;
    while at < keys.len() {
        if keys[at].len() < 4 {
            for byte in bytes {
                let longer = [&keys[at][..], &[byte]].concat();
                keys.push(longer);
            }
        }
        at += 1;
    }
    keys
}

proptest! {
    /// Against a look at every key.
    #[test]
    fn ranges_meet_prefixes(prefix in short(), key in short(), range_end in short()) {
        let within = |candidate: &Vec<u8>| match range_end.as_slice() {
            [] => *candidate == key,
            [0] => *candidate >= key,
            end => *candidate >= key && candidate.as_slice() < end,
        };
        let keys = all_keys();
        let mut touched = keys.iter().filter(|candidate| within(candidate)).peekable();
        if touched.peek().is_some() {
            let touched: Vec<_> = touched.collect();
            let any = touched.iter().any(|key| key.starts_with(&prefix));
            let all = touched.iter().all(|key| key.starts_with(&prefix));
            prop_assert_eq!(overlaps(&prefix, &key, &range_end), any);
            if covers(&prefix, &key, &range_end) {
                prop_assert!(all);
            } else {
                // Two ends may name the same keys; one key more decides.
                prop_assert!(!all || !range_end.is_empty());
            }
        }
    }
}
