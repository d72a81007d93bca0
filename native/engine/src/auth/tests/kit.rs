//! Rows as the control plane writes them, and requests.

use bytes::Bytes;
use prost::Message;

use crate::auth::{AUTH_ENABLED, AUTH_REVISION, Caller, ROLE_PREFIX, Table, USER_PREFIX};
use crate::proto::authpb::permission::Type;
use crate::proto::authpb::{Permission, Role, User};
use crate::proto::etcdserverpb::compare::{CompareTarget, TargetUnion};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::*;

pub(crate) type Row = (Vec<u8>, Option<Vec<u8>>);

pub(crate) const REVISION: u64 = 5;

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn key_of(prefix: &[u8], name: &str) -> Vec<u8> {
    [prefix, name.as_bytes()].concat()
}

pub(crate) fn enabled(on: bool) -> Row {
    (AUTH_ENABLED.into(), Some(vec![u8::from(on)]))
}

pub(crate) fn revision(number: u64) -> Row {
    (AUTH_REVISION.into(), Some(number.to_be_bytes().into()))
}

pub(crate) fn user(name: &str, roles: &[&str]) -> Row {
    let user = User {
        name: bytes(name),
        password: bytes("$2a$10$secret"),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        options: Some(Default::default()),
    };
    (key_of(USER_PREFIX, name), Some(user.encode_to_vec()))
}

pub(crate) fn permission(kind: Type, key: &str, range_end: &str) -> Permission {
    Permission {
        perm_type: kind.into(),
        key: bytes(key),
        range_end: bytes(range_end),
    }
}

pub(crate) fn role(name: &str, permissions: &[Permission]) -> Row {
    let role = Role {
        name: bytes(name),
        key_permission: permissions.to_vec(),
    };
    (key_of(ROLE_PREFIX, name), Some(role.encode_to_vec()))
}

pub(crate) fn load(rows: &[Row]) -> Table {
    let written = rows
        .iter()
        .filter_map(|(key, value)| Some((&key[..], value.as_deref()?)));
    Table::load(written).unwrap()
}

pub(crate) fn change(table: &Table, rows: &[Row]) -> Table {
    let writes = rows.iter().map(|(key, value)| (&key[..], value.as_deref()));
    table.changed(writes).unwrap()
}

pub(crate) fn caller(name: &str) -> Caller {
    caller_at(name, REVISION)
}

pub(crate) fn caller_at(name: &str, revision: u64) -> Caller {
    Caller::User {
        name: bytes(name),
        revision,
    }
}

/// Auth is on; `root` is root, and `u` has one role with these permissions.
pub(crate) fn table_of(permissions: &[Permission]) -> Table {
    load(&[
        enabled(true),
        revision(REVISION),
        user("root", &["root"]),
        user("u", &["r"]),
        role("r", permissions),
    ])
}

pub(crate) fn put(key: &str) -> PutRequest {
    PutRequest {
        key: bytes(key),
        ..PutRequest::default()
    }
}

pub(crate) fn range(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest {
        key: bytes(key),
        range_end: bytes(range_end),
        ..RangeRequest::default()
    }
}

pub(crate) fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: bytes(key),
        range_end: bytes(range_end),
        ..DeleteRangeRequest::default()
    }
}

pub(crate) fn compare(key: &str, range_end: &str) -> Compare {
    Compare {
        key: bytes(key),
        range_end: bytes(range_end),
        target: CompareTarget::Version.into(),
        target_union: Some(TargetUnion::Version(1)),
        ..Compare::default()
    }
}

pub(crate) fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// A txn that does this if it compares nothing that differs.
pub(crate) fn then(ops: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        success: ops,
        ..TxnRequest::default()
    }
}

/// The txn as an operation of others, this deep, in this branch.
pub(crate) fn nested(txn: TxnRequest, depth: usize, in_failure: bool) -> TxnRequest {
    (0..depth).fold(txn, |txn, _| {
        let ops = vec![op(Request::RequestTxn(txn))];
        if in_failure {
            TxnRequest {
                failure: ops,
                ..TxnRequest::default()
            }
        } else {
            then(ops)
        }
    })
}
