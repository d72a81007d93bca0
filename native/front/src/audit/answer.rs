//! What the log tells of an answer: the revision in its header, and which branch of a txn ran. Every answer that has a
//! header has it as its first field.

use crate::grpc::methods::{MethodId, Route};

/// Facts of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Facts {
    /// 0: there is none.
    pub(crate) revision: i64,
    pub(crate) succeeded: Option<bool>,
}

const HEADER: u64 = 1;
const REVISION: u64 = 3;
const SUCCEEDED: u64 = 2;
const VARINT: u64 = 0;
const BYTES: u64 = 2;

impl Facts {
    /// Of the beginning of an encoded answer of this RPC.
    pub(crate) fn of(method: MethodId, answer: &[u8]) -> Self {
        let mut facts = Self::default();
        let mut rest = answer;
        // A message without fields, or without a header (as that of the health service), has none of it.
        let Some((HEADER, BYTES)) = tag(&mut rest) else {
            return facts;
        };
        let Some(mut header) = varint(&mut rest).and_then(|length| split(&mut rest, length)) else {
            return facts;
        };
        while let Some((field, VARINT)) = tag(&mut header)
            && let Some(value) = varint(&mut header)
        {
            if field == REVISION {
                facts.revision = value as i64;
            }
        }
        if method.get().route == Route::Txn {
            let succeeded = tag(&mut rest) == Some((SUCCEEDED, VARINT));
            facts.succeeded = Some(succeeded && varint(&mut rest).is_some_and(|value| value != 0));
        }
        facts
    }
}

/// Number and wire type.
fn tag(rest: &mut &[u8]) -> Option<(u64, u64)> {
    varint(rest).map(|tag| (tag >> 3, tag & 7))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}

fn split<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use netcd_engine::proto::etcdserverpb::{
        PutResponse, RangeResponse, ResponseHeader, TxnResponse,
    };
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn method(path: &str) -> MethodId {
        MethodId::find(path).unwrap()
    }

    proptest! {
        #[test]
        fn the_header_is_found(cluster_id: u64, member_id: u64, revision: i64, raft_term: u64, succeeded: bool) {
            let header = Some(ResponseHeader { cluster_id, member_id, revision, raft_term });
            let put = PutResponse { header, prev_kv: Some(Default::default()) }.encode_to_vec();
            let found = Facts::of(method("/etcdserverpb.KV/Put"), &put);
            prop_assert_eq!(found, Facts { revision, succeeded: None });
            let txn = TxnResponse { header, succeeded, responses: vec![Default::default()] }.encode_to_vec();
            let found = Facts::of(method("/etcdserverpb.KV/Txn"), &txn);
            prop_assert_eq!(found, Facts { revision, succeeded: Some(succeeded) });
        }

        #[test]
        fn whatever_comes_is_read_to_its_end(answer: Vec<u8>) {
            Facts::of(method("/etcdserverpb.KV/Txn"), &answer);
        }
    }

    #[test]
    fn an_answer_without_a_header_has_no_revision() {
        let whole = RangeResponse::default().encode_to_vec();
        let range = method("/etcdserverpb.KV/Range");
        assert_eq!(Facts::of(range, &whole), Facts::default());
        assert_eq!(Facts::of(range, &[8, 1]), Facts::default(), "grpc.health");
    }
}
