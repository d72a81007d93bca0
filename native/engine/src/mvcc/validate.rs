//! Checks of a request's arguments before it is proposed, in etcd's order, and what a request costs against the quota.

use std::collections::{BTreeMap, HashSet};

use crate::error::{self, EtcdError};
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

/// Bytes that a put costs against the quota besides its key and value.
const PUT_OVERHEAD_BYTES: u64 = 256;
/// Bytes that a lease grant costs against the quota.
pub const LEASE_COST_BYTES: u64 = 64;

/// Checks a Range: the key, then the sort options.
pub fn check_range(request: &RangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(error::EMPTY_KEY);
    }
    let sort_known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    if sort_known {
        Ok(())
    } else {
        Err(error::INVALID_SORT_OPTION)
    }
}

/// Checks what a RangeStream refuses besides what Range refuses: custom sort orders and revision filters.
pub fn check_range_stream(request: &RangeRequest) -> Result<(), EtcdError> {
    check_range(request)?;
    let by_key = request.sort_target() == SortTarget::Key;
    let natural = match request.sort_order() {
        SortOrder::None => true,
        SortOrder::Ascend => by_key,
        SortOrder::Descend => false,
    };
    if !natural {
        return Err(error::STREAM_SORT);
    }
    let filtered = request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0;
    if filtered {
        return Err(error::STREAM_FILTER);
    }
    Ok(())
}

/// Checks a Put: the key, then a value or lease given along with the flag to ignore it.
pub fn check_put(request: &PutRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(error::EMPTY_KEY);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(error::VALUE_PROVIDED);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(error::LEASE_PROVIDED);
    }
    Ok(())
}

/// Checks a DeleteRange: the key.
pub fn check_delete_range(request: &DeleteRangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        Err(error::EMPTY_KEY)
    } else {
        Ok(())
    }
}

/// Checks a Compact. etcd has no check before the revision is compared at apply; the function keeps the pattern whole.
pub fn check_compaction(_request: &CompactionRequest) -> Result<(), EtcdError> {
    Ok(())
}

/// Checks a Txn: number of operations, keys of the compares, every operation, then overlaps of the success branch and
/// of the failure branch. `max_ops` bounds the longest of the three lists of a txn; a nested txn has what its parents
/// leave over.
pub fn check_txn(request: &TxnRequest, max_ops: usize) -> Result<(), EtcdError> {
    check_txn_ops(request, max_ops)?;
    Writes::of(&request.success)?;
    Writes::of(&request.failure)?;
    Ok(())
}

fn check_txn_ops(request: &TxnRequest, max_ops: usize) -> Result<(), EtcdError> {
    let ops = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    if ops > max_ops {
        return Err(error::TOO_MANY_OPS);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(error::EMPTY_KEY);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(range)) => check_range(range)?,
            Some(Request::RequestPut(put)) => check_put(put)?,
            Some(Request::RequestDeleteRange(delete)) => check_delete_range(delete)?,
            Some(Request::RequestTxn(txn)) => check_txn_ops(txn, max_ops - ops)?,
            None => return Err(error::KEY_NOT_FOUND),
        }
    }
    Ok(())
}

/// True if both branches hold ranges only: such a txn makes no log entry.
pub fn is_read_only(request: &TxnRequest) -> bool {
    ops(request).all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// True if it compares nothing and does nothing, whichever way it goes.
pub fn is_empty(request: &TxnRequest) -> bool {
    request.compare.is_empty() && ops(request).next().is_none()
}

/// True if every operation is a serializable range: such a txn needs no read barrier.
pub fn is_serializable(request: &TxnRequest) -> bool {
    ops(request)
        .all(|op| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable))
}

fn ops(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

/// Bytes that a put costs against the quota.
pub fn put_cost(request: &PutRequest) -> u64 {
    PUT_OVERHEAD_BYTES + request.key.len() as u64 + request.value.len() as u64
}

/// Bytes that a txn costs against the quota: its larger branch, nested txns included; ranges and deletes are free.
pub fn txn_cost(request: &TxnRequest) -> u64 {
    let branch = |ops: &[RequestOp]| ops.iter().map(op_cost).sum::<u64>();
    branch(&request.success).max(branch(&request.failure))
}

fn op_cost(op: &RequestOp) -> u64 {
    match &op.request {
        Some(Request::RequestPut(put)) => put_cost(put),
        Some(Request::RequestTxn(txn)) => txn_cost(txn),
        _ => 0,
    }
}

/// The keys that one branch puts and the intervals that it deletes.
#[derive(Default)]
struct Writes<'a> {
    puts: HashSet<&'a [u8]>,
    deletes: Intervals,
}

impl<'a> Writes<'a> {
    /// Collects the writes of a branch, refusing a key that is put twice or put and deleted. The order of the three
    /// passes is etcd's and decides what counts as a duplicate: a nested txn's puts are compared with the deletes of
    /// this level and of the nested txns before it, not of those after it.
    fn of(ops: &'a [RequestOp]) -> Result<Self, EtcdError> {
        let mut writes = Writes::default();
        for op in ops {
            if let Some(Request::RequestDeleteRange(delete)) = &op.request {
                writes.deletes.add(&delete.key, &delete.range_end);
            }
        }
        for op in ops {
            if let Some(Request::RequestTxn(txn)) = &op.request {
                writes.add_nested(Writes::of(&txn.success)?, Writes::of(&txn.failure)?)?;
            }
        }
        for op in ops {
            if let Some(Request::RequestPut(put)) = &op.request {
                writes.add_put(&put.key)?;
            }
        }
        Ok(writes)
    }

    fn add_put(&mut self, key: &'a [u8]) -> Result<(), EtcdError> {
        if self.deletes.contains(key) || !self.puts.insert(key) {
            return Err(error::DUPLICATE_KEY);
        }
        Ok(())
    }

    /// Adds both branches of a nested txn; they exclude each other, so they may put the same keys.
    fn add_nested(&mut self, then: Writes<'a>, or_else: Writes<'a>) -> Result<(), EtcdError> {
        for key in &then.puts {
            self.add_put(key)?;
        }
        for key in or_else.puts.difference(&then.puts) {
            self.add_put(key)?;
        }
        self.deletes.union(then.deletes);
        self.deletes.union(or_else.deletes);
        Ok(())
    }
}

/// Disjoint half-open intervals of keys: begin → end.
#[derive(Default)]
struct Intervals(BTreeMap<Vec<u8>, Vec<u8>>);

impl Intervals {
    /// Adds what a DeleteRange names. As in etcd the open end "\0" is taken as the key "\0" here, so that a delete of
    /// all keys from one on is never a duplicate.
    fn add(&mut self, key: &[u8], range_end: &[u8]) {
        let end = if range_end.is_empty() {
            [key, b"\0"].concat()
        } else {
            range_end.to_vec()
        };
        self.insert(key.to_vec(), end);
    }

    fn insert(&mut self, mut begin: Vec<u8>, mut end: Vec<u8>) {
        if begin >= end {
            return;
        }
        // Swallow every interval that touches the new one, from the last that begins before its end backwards.
        while let Some((other_begin, other_end)) = self.0.range(..=end.clone()).next_back() {
            if *other_end < begin {
                break;
            }
            let other_begin = other_begin.clone();
            let other_end = self.0.remove(&other_begin).unwrap_or_default();
            begin = begin.min(other_begin);
            end = end.max(other_end);
        }
        self.0.insert(begin, end);
    }

    fn union(&mut self, other: Intervals) {
        for (begin, end) in other.0 {
            self.insert(begin, end);
        }
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.0
            .range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(key)))
            .next_back()
            .is_some_and(|(_, end)| key < end.as_slice())
    }
}

#[cfg(test)]
#[path = "validate_test.rs"]
mod tests;
