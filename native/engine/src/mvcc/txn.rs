//! Txn: compares choose branches, everything that could fail is checked, then the operations run. So a txn that fails
//! leaves nothing.

use std::sync::Arc;

use bytes::Bytes;

use crate::auth::Caller;
use crate::error::{self, EtcdError};
use crate::limits::{RANGE_PAGE_KEYS, READ_RETRIES_MAX};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{RangeRequest, RequestOp, TxnRequest};
use crate::types::OpResult;

use super::compare::{branch, choose_branches};
use super::encode::{self, Header, OpResponse, RangeEnding, op_response};
use super::page::ReadError;
use super::plan::Plan;
use super::select::{Held, Look, Selection};
use super::store::Store;
use super::validate;
use super::write::Write;

impl Store {
    /// Applies a txn from the log.
    pub(super) fn write_txn(&self, txn: &TxnRequest, raft_term: u64) -> OpResult {
        validate::check_txn(txn, usize::MAX)?;
        let at = self.state.read().revision;
        let chosen = choose_branches(self, txn, at).map_err(|error| self.apply_error(error))?;
        self.metrics.read(chosen.compares);
        let path = chosen.path;
        self.check_ops(txn, &mut path.iter().copied())?;
        let mut run = Run {
            write: Write::begin(self),
            path: path.into_iter(),
        };
        let outcome = run.txn(txn);
        // The operations cannot fail but for damage of the store, which ends the process.
        let (succeeded, responses) = outcome.map_err(|error| self.apply_error(error))?;
        let header = self.header(run.write.end(), raft_term);
        Ok(encode::txn_response(header, succeeded, &responses).into())
    }

    /// Checks the operations of the chosen branches against the state before the txn, in their order.
    fn check_ops(
        &self,
        txn: &TxnRequest,
        path: &mut impl Iterator<Item = bool>,
    ) -> Result<(), EtcdError> {
        for op in branch(txn, path.next().unwrap_or(false)) {
            match &op.request {
                Some(Request::RequestRange(range)) => {
                    self.state.read().check_txn_range(range.revision)?;
                }
                Some(Request::RequestPut(put)) => self.check_put(put)?,
                Some(Request::RequestTxn(nested)) => self.check_ops(nested, path)?,
                Some(Request::RequestDeleteRange(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Answers a read-only txn at one revision, without the log. Who calls this has validated it and passed the read
    /// barrier unless all its ranges are serializable.
    ///
    /// Whether `caller` may read what it compares and asks for is asked before the read and again after it. A txn
    /// without either asks for nothing, and anybody may.
    pub fn read_txn(&self, txn: &TxnRequest, caller: &Caller, raft_term: u64) -> OpResult {
        self.auth.admit(|table| table.check_txn(caller, txn))?;
        let answer = self.read_admitted_txn(txn, raft_term)?;
        if !validate::is_empty(txn) {
            self.auth.confirm(caller)?;
        }
        Ok(answer)
    }

    fn read_admitted_txn(&self, txn: &TxnRequest, raft_term: u64) -> OpResult {
        for _ in 0..READ_RETRIES_MAX {
            let (at, pin) = self.look(|state| {
                let lowest = lowest_revision(txn).unwrap_or(state.revision);
                let pinned = lowest.clamp(state.compact_revision, state.revision);
                (state.revision, self.pins.pin(pinned))
            });
            let answer = self.try_read_txn(txn, at, raft_term);
            if pin.is_broken() {
                continue;
            }
            return answer?.map_err(|error| self.apply_error(error));
        }
        Err(error::COMPACTED)
    }

    fn try_read_txn(
        &self,
        txn: &TxnRequest,
        at: i64,
        raft_term: u64,
    ) -> Result<Result<Bytes, ReadError>, EtcdError> {
        let (succeeded, compares) = match choose_branches(self, txn, at) {
            Ok(chosen) => (
                chosen.path.first().copied().unwrap_or(true),
                chosen.compares,
            ),
            Err(error) => return Ok(Err(error)),
        };
        let mut responses = Vec::new();
        for op in branch(txn, succeeded) {
            let Some(Request::RequestRange(range)) = &op.request else {
                return Err(error::KEY_NOT_FOUND);
            };
            self.look(|state| {
                state.check_txn_range(range.revision)?;
                if range.revision > at {
                    return Err(error::FUTURE_REVISION);
                }
                Ok(())
            })?;
            match range_response(self, range, at) {
                Ok(response) => responses.push(op_response(OpResponse::Range, &response)),
                Err(error) => return Ok(Err(error)),
            }
        }
        self.metrics.read(compares + responses.len() as u64);
        let header = self.header(at, raft_term);
        Ok(Ok(
            encode::txn_response(header, succeeded, &responses).into()
        ))
    }

    /// Damage met by the apply thread or at a pinned revision, where nothing can have been compacted.
    pub(super) fn apply_error(&self, error: ReadError) -> EtcdError {
        match error {
            ReadError::Tree(error) => self.fatal(&error),
            ReadError::Gone => self.fatal(
                &self
                    .tree()
                    .damaged("history: a revision of the index is missing"),
            ),
        }
    }
}

/// The oldest revision that a range of the txn names.
fn lowest_revision(txn: &TxnRequest) -> Option<i64> {
    let revision = |op: &RequestOp| match &op.request {
        Some(Request::RequestRange(range)) if range.revision > 0 => Some(range.revision),
        _ => None,
    };
    let ops = txn.success.iter().chain(&txn.failure);
    ops.filter_map(revision).min()
}

/// A txn while its operations run.
struct Run<'s> {
    write: Write<'s>,
    path: std::vec::IntoIter<bool>,
}

impl Run<'_> {
    /// Runs the chosen branch; returns whether it was the success branch, and the encoded ResponseOps.
    fn txn(&mut self, txn: &TxnRequest) -> Result<(bool, Vec<Vec<u8>>), ReadError> {
        let succeeded = self.path.next().unwrap_or(false);
        let ops = branch(txn, succeeded);
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            if let Some(request) = &op.request {
                responses.push(self.op(request)?);
            }
        }
        Ok((succeeded, responses))
    }

    fn op(&mut self, request: &Request) -> Result<Vec<u8>, ReadError> {
        Ok(match request {
            Request::RequestRange(range) => {
                self.write.did.ranges += 1;
                op_response(OpResponse::Range, &self.range(range)?)
            }
            Request::RequestPut(put) => {
                let prev_kv = self.write.put(put)?;
                let header = Header::nested(self.write.revision());
                op_response(
                    OpResponse::Put,
                    &encode::put_response(header, prev_kv.as_deref()),
                )
            }
            Request::RequestDeleteRange(delete) => {
                let deleted = self.write.delete_range(delete)?;
                let header = Header::nested(self.write.revision());
                let response = encode::delete_response(header, deleted.count, &deleted.prev_kvs);
                op_response(OpResponse::DeleteRange, &response)
            }
            Request::RequestTxn(txn) => {
                let (succeeded, responses) = self.txn(txn)?;
                // Present, but empty: a nested txn does not tell its revision.
                let response = encode::txn_response(Header::default(), succeeded, &responses);
                op_response(OpResponse::Txn, &response)
            }
        })
    }

    /// A range sees the earlier writes of its txn.
    fn range(&self, range: &RangeRequest) -> Result<Vec<u8>, ReadError> {
        let tree = self.write.store_tree();
        let held = Held {
            state: &self.write.state,
            tree: &tree,
        };
        range_response(&held, range, self.write.revision())
    }
}

/// An encoded RangeResponse inside a txn that stands at revision `at`.
fn range_response(look: &impl Look, range: &RangeRequest, at: i64) -> Result<Vec<u8>, ReadError> {
    let plan = Arc::new(Plan::new(range));
    let read_at = if range.revision > 0 {
        range.revision
    } else {
        at
    };
    let count = look.look(|state| state.index.count(&range.key, plan.end(), read_at));
    let mut out = Vec::new();
    Header::nested(at).put(&mut out);
    let mut ending = RangeEnding { more: false, count };
    if !range.count_only {
        let mut selection = Selection::load(Arc::clone(&plan), read_at, look)?;
        let tree = look.tree();
        while !selection.is_done() {
            let page = look.look(|state| selection.page(state, RANGE_PAGE_KEYS));
            let snapshot = tree.snapshot()?;
            let mut stored = snapshot.lookups();
            for i in 0..page.len() {
                page.piece(i, &plan, &mut stored)?.put(&mut out);
            }
        }
        ending.more = selection.more();
    }
    ending.put(&mut out);
    Ok(out)
}
