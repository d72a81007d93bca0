//! Requests as text for the log, in the form that etcd prints them. Values never appear, only how long they are: what
//! clients keep here may be secret, and the log may not.

mod text;

use prost::Message;

use crate::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseCheckpointRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use crate::types::{OpKind, Token};

use text::Fields;
pub use text::duration;

/// A Range.
pub fn range(request: &RangeRequest) -> String {
    let order = SortOrder::try_from(request.sort_order).ok();
    let target = SortTarget::try_from(request.sort_target).ok();
    Fields::default()
        .bytes("key", &request.key)
        .bytes("range_end", &request.range_end)
        .number("limit", request.limit)
        .number("revision", request.revision)
        .choice(
            "sort_order",
            request.sort_order,
            order.map(|it| it.as_str_name()),
        )
        .choice(
            "sort_target",
            request.sort_target,
            target.map(|it| it.as_str_name()),
        )
        .flag("serializable", request.serializable)
        .flag("keys_only", request.keys_only)
        .flag("count_only", request.count_only)
        .number("min_mod_revision", request.min_mod_revision)
        .number("max_mod_revision", request.max_mod_revision)
        .number("min_create_revision", request.min_create_revision)
        .number("max_create_revision", request.max_create_revision)
        .out
}

/// A Put, with the size of its value.
pub fn put(request: &PutRequest) -> String {
    Fields::older()
        .bytes("key", &request.key)
        .number("value_size", request.value.len() as i64)
        .number("lease", request.lease)
        .flag("prev_kv", request.prev_kv)
        .flag("ignore_value", request.ignore_value)
        .flag("ignore_lease", request.ignore_lease)
        .out
}

/// A DeleteRange.
pub fn delete_range(request: &DeleteRangeRequest) -> String {
    Fields::default()
        .bytes("key", &request.key)
        .bytes("range_end", &request.range_end)
        .flag("prev_kv", request.prev_kv)
        .out
}

/// A Txn, with the sizes of its values, at every depth.
pub fn txn(request: &TxnRequest) -> String {
    let compares: Vec<_> = request.compare.iter().map(compare).collect();
    let ops = |ops: &[RequestOp]| ops.iter().map(op).collect::<Vec<_>>().join(" ");
    format!(
        "compare:<{}> success:<{}> failure:<{}>",
        compares.join(" "),
        ops(&request.success),
        ops(&request.failure)
    )
}

fn compare(request: &Compare) -> String {
    let result = CompareResult::try_from(request.result).ok();
    let target = CompareTarget::try_from(request.target).ok();
    let fields = match request.target_union {
        Some(TargetUnion::Value(_)) => Fields::older(),
        _ => Fields::default(),
    };
    let fields = fields
        .choice("result", request.result, result.map(|it| it.as_str_name()))
        .choice("target", request.target, target.map(|it| it.as_str_name()))
        .bytes("key", &request.key);
    let fields = match &request.target_union {
        Some(TargetUnion::Version(version)) => fields.put("version", version),
        Some(TargetUnion::CreateRevision(revision)) => fields.put("create_revision", revision),
        Some(TargetUnion::ModRevision(revision)) => fields.put("mod_revision", revision),
        Some(TargetUnion::Lease(lease)) => fields.put("lease", lease),
        Some(TargetUnion::Value(value)) => fields.number("value_size", value.len() as i64),
        None => fields,
    };
    fields.bytes("range_end", &request.range_end).out
}

fn op(request: &RequestOp) -> String {
    match &request.request {
        Some(Request::RequestRange(request)) => format!("request_range:{{{}}}", range(request)),
        Some(Request::RequestPut(request)) => format!("request_put:<{}>", put(request)),
        Some(Request::RequestDeleteRange(request)) => {
            format!("request_delete_range:{{{}}}", delete_range(request))
        }
        Some(Request::RequestTxn(request)) => format!("request_txn:<{}>", txn(request)),
        None => String::new(),
    }
}

/// An operation of the log. One that cannot be decoded is named by its kind.
pub fn operation(kind: OpKind, request: &[u8], token: Token) -> String {
    describe_operation(kind, request, token).unwrap_or_else(|_| format!("{kind:?}"))
}

fn describe_operation(
    kind: OpKind,
    request: &[u8],
    token: Token,
) -> Result<String, prost::DecodeError> {
    let id = token.0;
    Ok(match kind {
        OpKind::Put => format!(
            "header:<ID:{id}> put:<{}>",
            put(&PutRequest::decode(request)?)
        ),
        OpKind::Txn => format!(
            "header:<ID:{id}> txn:<{}>",
            txn(&TxnRequest::decode(request)?)
        ),
        OpKind::DeleteRange => {
            let request = delete_range(&DeleteRangeRequest::decode(request)?);
            format!("header:{{ID:{id}}} delete_range:{{{request}}}")
        }
        OpKind::Compact => {
            let request = CompactionRequest::decode(request)?;
            let fields = Fields::default()
                .number("revision", request.revision)
                .flag("physical", request.physical);
            format!("header:{{ID:{id}}} compaction:{{{}}}", fields.out)
        }
        OpKind::LeaseGrant => {
            let LeaseGrantRequest { id: lease, ttl } = LeaseGrantRequest::decode(request)?;
            format!("header:<ID:{id}> lease_grant:<ttl:{ttl}-second id:{lease:016x}>")
        }
        OpKind::LeaseRevoke => {
            let LeaseRevokeRequest { id: lease } = LeaseRevokeRequest::decode(request)?;
            format!("header:<ID:{id}> lease_revoke:<id:{lease:016x}>")
        }
        OpKind::LeaseCheckpoint => {
            let request = LeaseCheckpointRequest::decode(request)?;
            let checkpoints = request.checkpoints.iter().map(|checkpoint| {
                let fields = Fields::default()
                    .number("ID", checkpoint.id)
                    .number("remaining_TTL", checkpoint.remaining_ttl);
                format!("checkpoints:{{{}}}", fields.out)
            });
            let checkpoints = checkpoints.collect::<Vec<_>>().join(" ");
            format!("header:{{ID:{id}}} lease_checkpoint:{{{checkpoints}}}")
        }
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put_of(key: &'static [u8], value: &'static str) -> PutRequest {
        PutRequest {
            key: Bytes::from_static(key),
            value: value.into(),
            ..Default::default()
        }
    }

    #[test]
    fn values_are_only_counted_at_every_depth() {
        let put = RequestOp {
            request: Some(Request::RequestPut(put_of(b"k", "secret"))),
        };
        let compare = Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Value as i32,
            key: "k".into(),
            target_union: Some(TargetUnion::Value("secret".into())),
            ..Default::default()
        };
        let inner = TxnRequest {
            compare: vec![compare],
            success: vec![put.clone()],
            failure: vec![],
        };
        let nested = RequestOp {
            request: Some(Request::RequestTxn(inner)),
        };
        let outer = TxnRequest {
            success: vec![nested, put],
            ..Default::default()
        };
        let inner = "compare:<target:VALUE key:\"k\" value_size:6 > \
                     success:<request_put:<key:\"k\" value_size:6 >> failure:<>";
        let expected = format!(
            "compare:<> success:<request_txn:<{inner}> request_put:<key:\"k\" value_size:6 >> failure:<>"
        );
        assert_eq!(txn(&outer), expected);
        let logged = operation(OpKind::Txn, &outer.encode_to_vec(), Token(5));
        assert_eq!(logged, format!("header:<ID:5> txn:<{expected}>"));
        assert!(!logged.contains("secret"));
    }

    #[test]
    fn every_field_of_a_range_is_named() {
        let request = RangeRequest {
            key: Bytes::from_static(b"a\x01\"\xff\xc3\xa9"),
            range_end: "b".into(),
            limit: 1,
            revision: 2,
            sort_order: SortOrder::Descend as i32,
            sort_target: SortTarget::Mod as i32,
            serializable: true,
            keys_only: true,
            count_only: true,
            min_mod_revision: 3,
            max_mod_revision: 4,
            min_create_revision: 5,
            max_create_revision: 6,
        };
        let expected = "key:\"a\\x01\\\"\\xffé\" range_end:\"b\" limit:1 revision:2 sort_order:DESCEND \
                        sort_target:MOD serializable:true keys_only:true count_only:true min_mod_revision:3 \
                        max_mod_revision:4 min_create_revision:5 max_create_revision:6";
        assert_eq!(range(&request), expected);
        assert_eq!(put(&put_of(b"a\x01\"\xff", "")), "key:\"a\\001\\\"\\377\" ");
    }

    #[test]
    fn every_kind_of_operation_has_its_text() {
        let text = |kind, request: &dyn Fn() -> Vec<u8>| operation(kind, &request(), Token(9));
        let compaction = CompactionRequest {
            revision: 3,
            physical: true,
        };
        assert_eq!(
            text(OpKind::Compact, &|| compaction.encode_to_vec()),
            "header:{ID:9} compaction:{revision:3 physical:true}"
        );
        let grant = LeaseGrantRequest { id: 255, ttl: 60 };
        assert_eq!(
            text(OpKind::LeaseGrant, &|| grant.encode_to_vec()),
            "header:<ID:9> lease_grant:<ttl:60-second id:00000000000000ff>"
        );
        assert_eq!(text(OpKind::LeaseRevoke, &|| vec![255]), "LeaseRevoke");
    }
}
