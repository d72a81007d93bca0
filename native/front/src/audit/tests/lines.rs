//! What lines say.

use netcd_engine::proto::authpb::Permission;
use netcd_engine::proto::etcdserverpb::*;
use netcd_engine::proto::v3lockpb::LockRequest;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::limits::{AUDIT_OPS_MAX, AUDIT_TEXT_BYTES_MAX};

#[test]
fn a_line_has_all_that_was_asked_for_and_what_came_of_it() {
    let put = PutRequest {
        key: "/app/\"a\"\n".into(),
        value: "secret".into(),
        lease: 0x694d,
        ..Default::default()
    };
    let noted = noted(b"alice", &put);
    let mut record = record(PUT, &noted);
    record.revision = 7;
    assert_eq!(
        line_of(&record),
        "{\"time\":\"1970-01-01T00:00:01.500000Z\",\"user\":\"alice\",\"cn\":null,\"address\":\"127.0.0.1:1\",\
         \"rpc\":\"/etcdserverpb.KV/Put\",\"key\":\"/app/\\\"a\\\"\\n\",\"lease\":\"000000000000694d\",\
         \"revision\":7,\"code\":\"OK\"}\n"
    );
    record.common_name = Some(b"al\"ice");
    assert!(line_of(&record).contains(",\"cn\":\"al\\\"ice\",\"address\":"));
    record.common_name = Some(b"");
    assert!(line_of(&record).contains(",\"cn\":\"\",\"address\":"));
    record.revision = 0;
    record.code = 7;
    record.message = b"etcdserver: permission denied";
    assert!(line_of(&record).ends_with(
        "\"revision\":null,\"code\":\"PermissionDenied\",\"message\":\"etcdserver: permission denied\"}\n"
    ));
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let range = RangeRequest {
        key: Bytes::from_static(b"\xff\x00"),
        range_end: Bytes::from_static(b"\0"),
        revision: 3,
        ..Default::default()
    };
    let line = told("/etcdserverpb.KV/Range", range);
    assert_eq!(line["keyBase64"], "/wA=");
    assert_eq!(line["key"], Value::Null);
    assert_eq!(line["rangeEnd"], "\0");
    assert_eq!(line["askedRevision"], 3);
    let name = noted(b"\xff", &Silent);
    let line: Value = serde_json::from_str(&line_of(&record(PUT, &name))).unwrap();
    assert_eq!(
        (&line["user"], &line["userBase64"]),
        (&Value::Null, &json!("/w=="))
    );
    let nobody = noted(b"", &Silent);
    let line: Value = serde_json::from_str(&line_of(&record(PUT, &nobody))).unwrap();
    assert_eq!(line["user"], Value::Null);
}

#[test]
fn of_long_keys_the_beginning_and_the_length_are_there() {
    let put = PutRequest {
        key: "k".repeat(5000).into(),
        ..Default::default()
    };
    let line = told(PUT, put);
    assert_eq!(line["key"], "k".repeat(AUDIT_TEXT_BYTES_MAX));
    assert_eq!(line["keyBytes"], 5000);
}

fn op(request: request_op::Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn put_op(key: &'static str) -> RequestOp {
    op(request_op::Request::RequestPut(PutRequest {
        key: key.into(),
        value: "secret".into(),
        ..Default::default()
    }))
}

#[test]
fn a_txn_tells_each_operation_and_the_branch_that_ran() {
    let nested = TxnRequest {
        compare: vec![Compare {
            key: "d".into(),
            ..Default::default()
        }],
        failure: vec![put_op("e")],
        ..Default::default()
    };
    let delete = DeleteRangeRequest {
        key: "b".into(),
        range_end: "c".into(),
        ..Default::default()
    };
    let txn = TxnRequest {
        compare: vec![Compare {
            key: "a".into(),
            ..Default::default()
        }],
        success: vec![
            op(request_op::Request::RequestDeleteRange(delete)),
            op(request_op::Request::RequestTxn(nested)),
        ],
        failure: vec![put_op("f")],
    };
    let noted = noted(b"", &txn);
    let mut record = record(TXN, &noted);
    record.succeeded = Some(true);
    let line: Value = serde_json::from_str(&line_of(&record)).unwrap();
    assert_eq!(
        line["ops"],
        json!([
            {"op": "compare", "in": "compare", "key": "a"},
            {"op": "deleteRange", "in": "success", "key": "b", "rangeEnd": "c"},
            {"op": "compare", "in": "success", "key": "d"},
            {"op": "put", "in": "success", "key": "e"},
            {"op": "put", "in": "failure", "key": "f"},
        ])
    );
    assert_eq!(
        (&line["opCount"], &line["succeeded"]),
        (&json!(5), &json!(true))
    );
    let many = TxnRequest {
        success: vec![put_op("k"); 2 * AUDIT_OPS_MAX],
        ..Default::default()
    };
    let line = told(TXN, many);
    assert_eq!(line["ops"].as_array().unwrap().len(), AUDIT_OPS_MAX);
    assert_eq!(line["opCount"], 2 * AUDIT_OPS_MAX);
}

#[test]
fn other_calls_tell_whom_and_what_they_concern() {
    let granted = AuthRoleGrantPermissionRequest {
        name: "ops".into(),
        perm: Some(Permission {
            perm_type: 2,
            key: "/app/".into(),
            range_end: "/app0".into(),
        }),
    };
    let line = told("/etcdserverpb.Auth/RoleGrantPermission", granted);
    assert_eq!(line["targetRole"], "ops");
    assert_eq!(line["permission"], "READWRITE");
    assert_eq!(
        (&line["key"], &line["rangeEnd"]),
        (&json!("/app/"), &json!("/app0"))
    );
    let user = AuthUserGrantRoleRequest {
        user: "bob".into(),
        role: "ops".into(),
    };
    let line = told("/etcdserverpb.Auth/UserGrantRole", user);
    assert_eq!(
        (&line["targetUser"], &line["targetRole"]),
        (&json!("bob"), &json!("ops"))
    );
    let member = MemberAddRequest {
        peer_ur_ls: vec!["http://a".into(), "http://b".into()],
        is_learner: true,
    };
    let line = told("/etcdserverpb.Cluster/MemberAdd", member);
    assert_eq!(line["peerURLs"], json!(["http://a", "http://b"]));
    assert_eq!(line["isLearner"], true);
    let member = MemberRemoveRequest {
        id: 0x8e9e_05c5_2164_694d,
    };
    assert_eq!(
        told("/etcdserverpb.Cluster/MemberRemove", member)["member"],
        "8e9e05c52164694d"
    );
    let alarm = AlarmRequest {
        action: 2,
        member_id: 0,
        alarm: 1,
    };
    let line = told("/etcdserverpb.Maintenance/Alarm", alarm);
    assert_eq!(
        (&line["action"], &line["alarm"]),
        (&json!("DEACTIVATE"), &json!("NOSPACE"))
    );
    let lock = LockRequest {
        name: "l".into(),
        lease: -1,
    };
    let line = told("/v3lockpb.Lock/Lock", lock);
    assert_eq!(
        (&line["key"], &line["lease"]),
        (&json!("l"), &json!("ffffffffffffffff"))
    );
    let granted = LeaseGrantRequest { ttl: 60, id: 5 };
    let line = told("/etcdserverpb.Lease/LeaseGrant", granted);
    assert_eq!(
        (&line["ttlSeconds"], &line["lease"]),
        (&json!(60), &json!("0000000000000005"))
    );
}
