//! Responses, written by hand: what is stored goes into them as it is.

use prost::bytes::BufMut;
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::types::Identity;

/// A response header; fields that are zero are not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Header {
    pub identity: Identity,
    pub revision: i64,
    pub raft_term: u64,
}

impl Header {
    /// The header of a response inside a txn: the revision only.
    pub fn nested(revision: i64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    fn fields(&self) -> [u64; 4] {
        [
            self.identity.cluster_id,
            self.identity.member_id,
            self.revision as u64,
            self.raft_term,
        ]
    }

    fn body_len(&self) -> usize {
        self.fields()
            .iter()
            .filter(|field| **field != 0)
            .map(|field| 1 + encoded_len_varint(*field))
            .sum()
    }

    /// Bytes of the header as field 1 of a response.
    pub fn field_len(&self) -> usize {
        message_len(self.body_len())
    }

    /// Appends the header as field 1 of a response.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_message_head(out, 0x0a, self.body_len());
        for (tag, field) in [0x08, 0x10, 0x18, 0x20].into_iter().zip(self.fields()) {
            put_uint(out, tag, field);
        }
    }
}

/// Bytes of a message field with a one-byte tag.
pub(super) fn message_len(body: usize) -> usize {
    1 + encoded_len_varint(body as u64) + body
}

/// Appends tag and length of a message or bytes field.
pub(super) fn put_message_head(out: &mut Vec<u8>, tag: u8, body: usize) {
    out.put_u8(tag);
    encode_varint(body as u64, out);
}

/// Appends a message or bytes field.
pub(super) fn put_message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    put_message_head(out, tag, body.len());
    out.extend_from_slice(body);
}

/// Appends an integer field unless it is 0.
pub(super) fn put_uint(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.put_u8(tag);
        encode_varint(value, out);
    }
}

/// The end of a RangeResponse: `more` and `count`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct RangeEnding {
    pub more: bool,
    pub count: u64,
}

impl RangeEnding {
    pub fn len(&self) -> usize {
        let count = match self.count {
            0 => 0,
            count => 1 + encoded_len_varint(count),
        };
        count + if self.more { 2 } else { 0 }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        put_uint(out, 0x18, u64::from(self.more));
        put_uint(out, 0x20, self.count);
    }
}

/// Tag of RangeResponse.kvs.
pub(super) const KVS_TAG: u8 = 0x12;

/// A PutResponse.
pub(super) fn put_response(header: Header, prev_kv: Option<&[u8]>) -> Vec<u8> {
    let prev_len = prev_kv.map_or(0, |kv| message_len(kv.len()));
    let mut out = Vec::with_capacity(header.field_len() + prev_len);
    header.put(&mut out);
    if let Some(kv) = prev_kv {
        put_message(&mut out, 0x12, kv);
    }
    out
}

/// A DeleteRangeResponse.
pub(super) fn delete_response<T: AsRef<[u8]>>(
    header: Header,
    deleted: u64,
    prev_kvs: &[T],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    header.put(&mut out);
    put_uint(&mut out, 0x10, deleted);
    for kv in prev_kvs {
        put_message(&mut out, 0x1a, kv.as_ref());
    }
    out
}

/// A TxnResponse; `responses` are encoded ResponseOps.
pub(super) fn txn_response(header: Header, succeeded: bool, responses: &[Vec<u8>]) -> Vec<u8> {
    let ops: usize = responses.iter().map(|op| message_len(op.len())).sum();
    let mut out = Vec::with_capacity(header.field_len() + 2 + ops);
    header.put(&mut out);
    put_uint(&mut out, 0x10, u64::from(succeeded));
    for op in responses {
        put_message(&mut out, 0x1a, op);
    }
    out
}

/// Which member of ResponseOp's oneof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OpResponse {
    Range = 0x0a,
    Put = 0x12,
    DeleteRange = 0x1a,
    Txn = 0x22,
}

/// A ResponseOp.
pub(super) fn op_response(kind: OpResponse, response: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message_len(response.len()));
    put_message(&mut out, kind as u8, response);
    out
}

/// A response that has a header only: Compaction, LeaseRevoke, LeaseCheckpoint.
pub(super) fn header_response(header: Header) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.field_len());
    header.put(&mut out);
    out
}

/// A LeaseGrantResponse.
pub(super) fn lease_grant_response(header: Header, id: i64, ttl_seconds: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.field_len() + 22);
    header.put(&mut out);
    put_uint(&mut out, 0x10, id as u64);
    put_uint(&mut out, 0x18, ttl_seconds as u64);
    out
}
