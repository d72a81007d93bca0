//! The engine as the transport sees it: the pipeline, behind the quota.

use std::sync::Arc;

use netcd_engine::error::{EtcdError, NO_SPACE};
use netcd_engine::mvcc::{Chunks, RangeAnswer, Store, validate};
use netcd_engine::pipeline::{Pipeline, ReadBarrier};
use netcd_engine::proto::etcdserverpb::{PutRequest, RangeRequest, TxnRequest};
use netcd_engine::types::{Identity, OpKind, OpResult, Token};
use netcd_engine::watch::WatchHub;
use netcd_front::Backend;
use prost::Message;

use crate::limits::QUOTA_HEADROOM_BYTES;
use crate::queue::EventQueue;

/// Pipeline and store behind the transport's hot calls.
pub struct EngineBackend(pub Arc<Pipeline>, pub Arc<EventQueue>);

impl EngineBackend {
    fn store(&self) -> &Arc<Store> {
        self.0.store()
    }

    /// Refuses a write that the quota does not let in, and says so to the control plane. Far from the quota nothing is
    /// decoded for it.
    pub fn check_quota(&self, kind: OpKind, request: &[u8]) -> Result<(), EtcdError> {
        let bound = request.len() as u64 + QUOTA_HEADROOM_BYTES;
        if self.store().quota_admits(bound) {
            return Ok(());
        }
        // The transport has decoded and checked the request already: it decodes. What does not is refused by apply.
        let cost = match kind {
            OpKind::Put => PutRequest::decode(request).map(|put| validate::put_cost(&put)),
            OpKind::Txn => TxnRequest::decode(request).map(|txn| validate::txn_cost(&txn)),
            OpKind::LeaseGrant => Ok(validate::LEASE_COST_BYTES),
            _ => Ok(0),
        };
        match cost {
            Ok(cost) if !self.store().quota_admits(cost) => {
                self.1.put(|waiting| waiting.quota_exceeded = true);
                Err(NO_SPACE)
            }
            _ => Ok(()),
        }
    }
}

impl Backend for EngineBackend {
    fn submit(&self, kind: OpKind, request: &[u8], token: Token) -> Result<(), EtcdError> {
        self.check_quota(kind, request)?;
        Backend::submit(&*self.0, kind, request, token)
    }

    fn read_barrier(&self, token: Token) -> Result<ReadBarrier, EtcdError> {
        Backend::read_barrier(&*self.0, token)
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeAnswer, EtcdError> {
        Backend::range(&*self.0, request)
    }

    fn range_stream(&self, request: &RangeRequest) -> Result<Chunks, EtcdError> {
        Backend::range_stream(&*self.0, request)
    }

    fn read_txn(&self, request: &TxnRequest) -> OpResult {
        Backend::read_txn(&*self.0, request)
    }

    fn watch_hub(&self) -> &Arc<WatchHub> {
        self.store().watch_hub()
    }

    fn identity(&self) -> Identity {
        self.store().identity()
    }

    fn raft_term(&self) -> u64 {
        self.0.raft_term()
    }

    fn revision(&self) -> i64 {
        self.store().revision()
    }

    fn renew_lease(&self, id: i64) -> Option<i64> {
        self.store().renew_lease(id)
    }
}
