//! The engine as the transport sees it: the pipeline, behind the quota.
//!
//! A write that the quota refuses is answered when the control plane has raised the alarm: who sees the error finds the
//! alarm.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netcd_engine::auth::{Auth, Caller, Table};
use netcd_engine::error::{EtcdError, NO_SPACE};
use netcd_engine::mvcc::{Chunks, RangeAnswer, Store, validate};
use netcd_engine::pipeline::{Pipeline, ReadBarrier, ReadKind, SlowRead};
use netcd_engine::proto::etcdserverpb::{PutRequest, RangeRequest, TxnRequest};
use netcd_engine::types::{Completions, Identity, OpKind, OpResult, Token};
use netcd_engine::watch::WatchHub;
use netcd_engine::wire;
use netcd_front::Backend;
use parking_lot::Mutex;
use prost::Message;

use crate::limits::QUOTA_HEADROOM_BYTES;
use crate::queue::EventQueue;

/// Pipeline and store behind the transport's hot calls.
pub struct EngineBackend {
    pipeline: Arc<Pipeline>,
    queue: Arc<EventQueue>,
    completions: Arc<dyn Completions>,
    /// Writes that the quota refused, until they are answered. Bounded by the transport's slots and the control plane's
    /// pending requests.
    refused: Mutex<Vec<Token>>,
}

impl EngineBackend {
    /// In front of a pipeline.
    pub fn new(
        pipeline: Arc<Pipeline>,
        queue: Arc<EventQueue>,
        completions: Arc<dyn Completions>,
    ) -> Self {
        Self {
            pipeline,
            queue,
            completions,
            refused: Mutex::default(),
        }
    }

    fn store(&self) -> &Arc<Store> {
        self.pipeline.store()
    }

    /// The control plane has done what it can about the alarm: everyone whom the quota refused gets the answer.
    pub fn answer_refused(&self) {
        let refused = std::mem::take(&mut *self.refused.lock());
        let answers = refused.into_iter().map(|token| (token, Err(NO_SPACE)));
        self.completions.ops_done(answers.collect());
    }

    /// Whether the quota lets a write in. Far from the quota nothing is decoded for it.
    fn admits(&self, kind: OpKind, request: &[u8]) -> bool {
        let bound = request.len() as u64 + QUOTA_HEADROOM_BYTES;
        if self.store().quota_admits(bound) {
            return true;
        }
        // The transport has decoded and checked the request already: it decodes. What does not is refused by apply.
        let cost = match kind {
            OpKind::Put => PutRequest::decode(request)
                .ok()
                .map(|put| validate::put_cost(&put)),
            OpKind::Txn => wire::decode_txn(Bytes::copy_from_slice(request))
                .ok()
                .map(|txn| validate::txn_cost(&txn)),
            OpKind::LeaseGrant => Some(validate::LEASE_COST_BYTES),
            _ => Some(0),
        };
        cost.is_none_or(|cost| self.store().quota_admits(cost))
    }
}

impl EngineBackend {
    /// A write of the control plane for this caller. Who may not write must not come to the quota either.
    pub fn propose(
        &self,
        kind: OpKind,
        request: &[u8],
        token: Token,
        caller: &Caller,
    ) -> Result<(), EtcdError> {
        let auth = self.store().auth();
        auth.admit(|table| permit(table, caller, kind, request))?;
        self.submit(kind, request, token, caller)
    }
}

/// Whether a caller may do this, as far as the request says. One that cannot be decoded is refused by apply.
fn permit(table: &Table, caller: &Caller, kind: OpKind, request: &[u8]) -> Result<(), EtcdError> {
    fn decoded<T: Message + Default>(
        request: &[u8],
        check: impl FnOnce(&T) -> Result<(), EtcdError>,
    ) -> Result<(), EtcdError> {
        T::decode(request).map_or(Ok(()), |request| check(&request))
    }
    match kind {
        OpKind::Put => decoded(request, |put| table.check_put(caller, put)),
        OpKind::DeleteRange => decoded(request, |delete| table.check_delete(caller, delete)),
        OpKind::Txn => wire::decode_txn(Bytes::copy_from_slice(request))
            .map_or(Ok(()), |txn| table.check_txn(caller, &txn)),
        OpKind::Compact => table.check_admin(caller),
        OpKind::LeaseGrant | OpKind::LeaseRevoke | OpKind::LeaseCheckpoint => {
            table.check_known(caller)
        }
    }
}

impl Backend for EngineBackend {
    fn submit(
        &self,
        kind: OpKind,
        request: &[u8],
        token: Token,
        caller: &Caller,
    ) -> Result<(), EtcdError> {
        if !self.admits(kind, request) {
            self.refused.lock().push(token);
            self.queue.put(|waiting| waiting.quota_exceeded = true);
            return Ok(());
        }
        Backend::submit(&*self.pipeline, kind, request, token, caller)
    }

    fn read_barrier(&self, token: Token) -> Result<ReadBarrier, EtcdError> {
        Backend::read_barrier(&*self.pipeline, token)
    }

    fn range(&self, request: &RangeRequest, caller: &Caller) -> Result<RangeAnswer, EtcdError> {
        Backend::range(&*self.pipeline, request, caller)
    }

    fn range_stream(&self, request: &RangeRequest, caller: &Caller) -> Result<Chunks, EtcdError> {
        Backend::range_stream(&*self.pipeline, request, caller)
    }

    fn read_txn(&self, request: &TxnRequest, caller: &Caller) -> OpResult {
        Backend::read_txn(&*self.pipeline, request, caller)
    }

    fn read_answered(&self, kind: ReadKind, success: bool, took: Duration) -> bool {
        Backend::read_answered(&*self.pipeline, kind, success, took)
    }

    fn slow_read(&self, took: Duration, read: SlowRead<'_>) {
        Backend::slow_read(&*self.pipeline, took, read);
    }

    fn waiting_requests(&self, tokens: &HashSet<Token>) -> Vec<(Token, Bytes)> {
        Backend::waiting_requests(&*self.pipeline, tokens)
    }

    fn auth(&self) -> &Arc<Auth> {
        self.store().auth()
    }

    fn check_lease(&self, table: &Table, caller: &Caller, id: i64) -> Result<(), EtcdError> {
        Backend::check_lease(&*self.pipeline, table, caller, id)
    }

    fn applied_index(&self) -> u64 {
        self.store().applied().index
    }

    fn now_ms(&self) -> u64 {
        self.store().now_ms()
    }

    fn watch_hub(&self) -> &Arc<WatchHub> {
        self.store().watch_hub()
    }

    fn identity(&self) -> Identity {
        self.store().identity()
    }

    fn raft_term(&self) -> u64 {
        self.pipeline.raft_term()
    }

    fn revision(&self) -> i64 {
        self.store().revision()
    }

    fn compact_revision(&self) -> i64 {
        self.store().compact_revision()
    }

    fn renew_lease(&self, id: i64) -> Option<i64> {
        self.store().renew_lease(id)
    }
}
