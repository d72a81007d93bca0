//! Applying operations in log order. Runs on the apply thread only, so what it reads cannot change under it.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use prost::Message;

use crate::auth::{Access, Caller, leases_of_txn};
use crate::error::{self, Code, EtcdError};
use crate::proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseCheckpointRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, TxnRequest,
};
use crate::proto::leasepb::Lease;
use crate::tree::Table;
use crate::types::{LogMark, OpKind, OpResult};
use crate::wire;

use super::api::{Applied, ApplyContext, MetaTable, MetaWrite};
use super::meta::CONTROL_PREFIX;
use super::store::Store;
use super::tail::RowWrite;
use super::write::Write;
use super::{encode, validate};

impl Store {
    /// Applies one operation of the entry `context.mark`. The entry counts as applied with `entry_applied`.
    ///
    /// Whether the caller may do it is asked of the table of this place in the log, so that all members decide alike and
    /// nothing that comes after a change of it escapes; but alarms answer before. Compactions, lease grants and
    /// checkpoints are checked before they are proposed and never here, as in etcd.
    pub fn apply_op(
        &self,
        kind: OpKind,
        request: Bytes,
        caller: &Caller,
        context: &ApplyContext,
    ) -> Applied {
        match kind {
            OpKind::Compact => self.apply_compact(request, context.raft_term),
            _ => Applied::Done(self.apply_write(kind, request, caller, context.raft_term)),
        }
    }

    fn apply_write(
        &self,
        kind: OpKind,
        request: Bytes,
        caller: &Caller,
        raft_term: u64,
    ) -> OpResult {
        match kind {
            OpKind::Put => self.apply_put(&decode(request)?, caller, raft_term),
            OpKind::DeleteRange => self.apply_delete_range(&decode(request)?, caller, raft_term),
            OpKind::Txn => {
                let txn = wire::decode_txn(request).map_err(undecoded)?;
                self.apply_txn(&txn, caller, raft_term)
            }
            OpKind::LeaseGrant => self.apply_lease_grant(&decode(request)?, raft_term),
            OpKind::LeaseRevoke => self.apply_lease_revoke(&decode(request)?, caller, raft_term),
            OpKind::LeaseCheckpoint => self.apply_lease_checkpoint(&decode(request)?, raft_term),
            OpKind::Compact => unreachable!("apply_op handles compactions"),
        }
    }

    fn apply_put(&self, request: &PutRequest, caller: &Caller, raft_term: u64) -> OpResult {
        self.check_alarms(validate::put_cost(request))?;
        self.auth.admit(|table| table.check_put(caller, request))?;
        self.check_lease_keys(caller, &[request.lease])?;
        validate::check_put(request)?;
        self.check_put(request)?;
        let mut write = Write::begin(self);
        let prev_kv = write.put(request).map_err(|error| self.fatal(&error))?;
        let revision = write.end();
        let header = self.header(revision, raft_term);
        let prev_kv = prev_kv.as_deref();
        Ok(encode::put_response(header, prev_kv).into())
    }

    /// What a put needs of the state before it: the lease first, then the key if it keeps its value or lease.
    pub(super) fn check_put(&self, request: &PutRequest) -> Result<(), EtcdError> {
        if request.lease != 0 && !self.leases.lock().contains(request.lease) {
            return Err(error::LEASE_NOT_FOUND);
        }
        if (request.ignore_value || request.ignore_lease)
            && self
                .state
                .read()
                .index
                .get(&request.key, i64::MAX)
                .is_none()
        {
            self.metrics.read(1);
            return Err(error::KEY_NOT_FOUND);
        }
        Ok(())
    }

    /// Whether the caller may change all keys of these leases, to which he is about to add one, or which he is about to
    /// delete with them. A lease that is not there has none.
    fn check_lease_keys(&self, caller: &Caller, leases: &[i64]) -> Result<(), EtcdError> {
        self.auth.admit(|table| {
            let held = self.leases.lock();
            leases.iter().try_for_each(|id| {
                let (bounds, keys) = (held.bounds(*id), held.keys_unordered(*id));
                table.check_keys(caller, bounds, keys, Access::Write)
            })
        })
    }

    fn apply_delete_range(
        &self,
        request: &DeleteRangeRequest,
        caller: &Caller,
        raft_term: u64,
    ) -> OpResult {
        self.check_alarms(0)?;
        self.auth
            .admit(|table| table.check_delete(caller, request))?;
        validate::check_delete_range(request)?;
        let mut write = Write::begin(self);
        let deleted = write
            .delete_range(request)
            .map_err(|error| self.fatal(&error))?;
        let header = self.header(write.end(), raft_term);
        Ok(encode::delete_response(header, deleted.count, &deleted.prev_kvs).into())
    }

    fn apply_txn(&self, request: &TxnRequest, caller: &Caller, raft_term: u64) -> OpResult {
        if !validate::is_read_only(request) {
            self.check_alarms(validate::txn_cost(request))?;
        }
        if self.auth.is_enabled() {
            self.auth.table().check_txn(caller, request)?;
            self.check_lease_keys(caller, &leases_of_txn(request))?;
        }
        self.write_txn(request, raft_term)
    }

    fn apply_compact(&self, request: Bytes, raft_term: u64) -> Applied {
        let request: CompactionRequest = match decode(request) {
            Ok(request) => request,
            Err(error) => return Applied::Done(Err(error)),
        };
        match self.schedule_compaction(request.revision, raft_term) {
            Ok(answer) if request.physical => Applied::AfterCompaction {
                revision: request.revision,
                answer,
            },
            answer => Applied::Done(answer),
        }
    }

    fn schedule_compaction(&self, revision: i64, raft_term: u64) -> OpResult {
        self.check_alarms(0)?;
        let mut state = self.state.write();
        if revision <= state.compact_revision {
            return Err(error::COMPACTED);
        }
        if revision > state.revision {
            return Err(error::FUTURE_REVISION);
        }
        self.compactions
            .lock()
            .asked(revision, state.compact_revision);
        state.compact_revision = revision;
        state.tail.set_compact(revision);
        let header = self.header(state.revision, raft_term);
        drop(state);
        self.watch_hub().compacted(revision);
        Ok(encode::header_response(header).into())
    }

    fn apply_lease_grant(&self, request: &LeaseGrantRequest, raft_term: u64) -> OpResult {
        self.check_alarms(validate::LEASE_COST_BYTES)?;
        let now_ms = self.now_ms();
        self.leases.lock().grant(request.id, request.ttl, now_ms)?;
        let mut state = self.state.write();
        state.tail.push_row(lease_row(request.id, request.ttl, 0));
        let header = self.header(state.revision, raft_term);
        drop(state);
        Ok(encode::lease_grant_response(header, request.id, request.ttl).into())
    }

    /// Removes the lease and deletes its keys, all in one revision.
    fn apply_lease_revoke(
        &self,
        request: &LeaseRevokeRequest,
        caller: &Caller,
        raft_term: u64,
    ) -> OpResult {
        self.check_alarms(0)?;
        self.check_lease_keys(caller, &[request.id])?;
        let keys = self.leases.lock().revoke(request.id);
        let keys = keys.ok_or(error::LEASE_NOT_FOUND)?;
        let mut write = Write::begin(self);
        for key in &keys {
            write.delete_key(key);
        }
        write.did.deletes += keys.len() as u64;
        write.push_row(RowWrite {
            table: Table::Leases,
            key: lease_key(request.id),
            value: None,
        });
        let header = self.header(write.end(), raft_term);
        Ok(encode::header_response(header).into())
    }

    fn apply_lease_checkpoint(&self, request: &LeaseCheckpointRequest, raft_term: u64) -> OpResult {
        let now_ms = self.now_ms();
        let mut leases = self.leases.lock();
        let mut state = self.state.write();
        for checkpoint in &request.checkpoints {
            leases.checkpoint(checkpoint.id, checkpoint.remaining_ttl, now_ms)?;
            if let Some(times) = leases.times(checkpoint.id, now_ms) {
                let granted = times.granted_ttl_seconds;
                let row = lease_row(checkpoint.id, granted, checkpoint.remaining_ttl);
                state.tail.push_row(row);
            }
        }
        let header = self.header(state.revision, raft_term);
        Ok(encode::header_response(header).into())
    }

    /// Applies the writes of a control entry; the entry counts as applied with `entry_applied`. What they say of users
    /// and roles holds for everything after it.
    pub fn apply_meta(&self, _mark: LogMark, writes: Vec<MetaWrite>) {
        self.apply_auth(&writes);
        let mut state = self.state.write();
        for write in writes {
            let (table, key) = match write.table {
                MetaTable::Meta => (Table::Meta, [CONTROL_PREFIX, &write.key].concat().into()),
                MetaTable::Members => (Table::Members, write.key),
                MetaTable::Auth => (Table::Auth, write.key),
                MetaTable::Alarms => (Table::Alarms, write.key),
            };
            state.tail.push_row(RowWrite {
                table,
                key,
                value: write.value,
            });
        }
    }

    fn apply_auth(&self, writes: &[MetaWrite]) {
        let of_auth = |write: &&MetaWrite| write.table == MetaTable::Auth;
        if !writes.iter().any(|write| of_auth(&write)) {
            return;
        }
        let rows = writes.iter().filter(of_auth);
        let rows = rows.map(|write| (&*write.key, write.value.as_deref()));
        if let Err(error) = self.auth.write_all(rows) {
            self.events.fatal(error.to_string());
        }
    }

    /// Sets which alarms are raised. Called between two entries, at the place in the log where they changed, so that
    /// every member refuses the same operations.
    pub fn set_alarms(&self, no_space: bool, corrupt: bool) {
        self.no_space.store(no_space, Ordering::Release);
        self.corrupt.store(corrupt, Ordering::Release);
    }

    /// Refuses a write that an alarm forbids.
    fn check_alarms(&self, cost: u64) -> Result<(), EtcdError> {
        if self.corrupt.load(Ordering::Acquire) {
            return Err(error::CORRUPT);
        }
        if cost > 0 && self.no_space.load(Ordering::Acquire) {
            return Err(error::NO_SPACE);
        }
        Ok(())
    }
}

/// A request in the log that cannot be decoded was never checked by a front: it is answered as an error everywhere
/// alike.
fn decode<M: Message + Default>(request: Bytes) -> Result<M, EtcdError> {
    M::decode(request).map_err(undecoded)
}

fn undecoded(error: impl std::fmt::Display) -> EtcdError {
    EtcdError::new(
        Code::Internal,
        format!("grpc: error unmarshalling request: {error}"),
    )
}

/// Key of a lease's row.
fn lease_key(id: i64) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

fn lease_row(id: i64, ttl_seconds: i64, remaining_ttl_seconds: i64) -> RowWrite {
    let lease = Lease {
        id,
        ttl: ttl_seconds,
        remaining_ttl: remaining_ttl_seconds,
    };
    RowWrite {
        table: Table::Leases,
        key: lease_key(id),
        value: Some(lease.encode_to_vec().into()),
    }
}
