//! What the hot calls need from the engine: the seam between transport and pipeline, and where tests put a fake.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netcd_engine::auth::{Access, Auth, Caller, Table};
use netcd_engine::error::EtcdError;
use netcd_engine::mvcc::Store;
pub use netcd_engine::mvcc::{Chunks, RangeAnswer};
use netcd_engine::pipeline::Pipeline;
pub use netcd_engine::pipeline::{ReadBarrier, ReadKind, SlowRead};
use netcd_engine::proto::etcdserverpb::{RangeRequest, TxnRequest};
use netcd_engine::types::{Identity, OpKind, OpResult, Token};
use netcd_engine::watch::WatchHub;

/// The engine as front sees it.
pub trait Backend: Send + Sync + 'static {
    /// Queue a checked write of this caller; answered by `Completions::ops_done`.
    fn submit(
        &self,
        kind: OpKind,
        request: &[u8],
        token: Token,
        caller: &Caller,
    ) -> Result<(), EtcdError>;
    /// Ask whether a linearizable read may be served now.
    fn read_barrier(&self, token: Token) -> Result<ReadBarrier, EtcdError>;
    /// Serve a range of this caller from the current state, if he may read it.
    fn range(&self, request: &RangeRequest, caller: &Caller) -> Result<RangeAnswer, EtcdError>;
    /// Serve a range as a stream: each chunk is one encoded RangeStreamResponse.
    fn range_stream(&self, request: &RangeRequest, caller: &Caller) -> Result<Chunks, EtcdError>;
    /// Serve a txn of ranges only.
    fn read_txn(&self, request: &TxnRequest, caller: &Caller) -> OpResult;
    /// A range or a read-only txn was answered; `took` is since it came. True: too long, `slow_read` is to be called.
    fn read_answered(&self, kind: ReadKind, success: bool, took: Duration) -> bool;
    /// Describes a read that took too long.
    fn slow_read(&self, took: Duration, read: SlowRead<'_>);
    /// The requests behind tokens that still wait, encoded.
    fn waiting_requests(&self, tokens: &HashSet<Token>) -> Vec<(Token, Bytes)>;
    /// Users, roles and tokens.
    fn auth(&self) -> &Arc<Auth>;
    /// Whether the table lets a caller change each key of a lease; an identity is enough for one without keys.
    fn check_lease(&self, table: &Table, caller: &Caller, id: i64) -> Result<(), EtcdError>;
    /// Everything up to this index is applied.
    fn applied_index(&self) -> u64;
    /// The monotonic clock of leases and tokens, in milliseconds.
    fn now_ms(&self) -> u64;
    /// Where watch streams get their events.
    fn watch_hub(&self) -> &Arc<WatchHub>;
    /// Constant part of response headers.
    fn identity(&self) -> Identity;
    /// Term for response headers.
    fn raft_term(&self) -> u64;
    /// Current revision.
    fn revision(&self) -> i64;
    /// Revision of the newest compaction that is decided; its removals may still go on.
    fn compact_revision(&self) -> i64;
    /// Starts a lease's time anew and returns its TTL in seconds. None: only the control plane can tell.
    fn renew_lease(&self, id: i64) -> Option<i64>;
}

impl Backend for Pipeline<Store> {
    fn submit(
        &self,
        kind: OpKind,
        request: &[u8],
        token: Token,
        caller: &Caller,
    ) -> Result<(), EtcdError> {
        (**self).submit(kind, request, token, caller)
    }

    fn read_barrier(&self, token: Token) -> Result<ReadBarrier, EtcdError> {
        (**self).read_barrier(token)
    }

    fn range(&self, request: &RangeRequest, caller: &Caller) -> Result<RangeAnswer, EtcdError> {
        self.store().range(request, caller, (**self).raft_term())
    }

    fn range_stream(&self, request: &RangeRequest, caller: &Caller) -> Result<Chunks, EtcdError> {
        self.store()
            .range_stream(request, caller, (**self).raft_term())
    }

    fn read_txn(&self, request: &TxnRequest, caller: &Caller) -> OpResult {
        self.store().read_txn(request, caller, (**self).raft_term())
    }

    fn read_answered(&self, kind: ReadKind, success: bool, took: Duration) -> bool {
        (**self).read_answered(kind, success, took)
    }

    fn slow_read(&self, took: Duration, read: SlowRead<'_>) {
        (**self).slow_read(took, read);
    }

    fn waiting_requests(&self, tokens: &HashSet<Token>) -> Vec<(Token, Bytes)> {
        (**self).waiting_requests(tokens)
    }

    fn auth(&self) -> &Arc<Auth> {
        self.store().auth()
    }

    fn check_lease(&self, table: &Table, caller: &Caller, id: i64) -> Result<(), EtcdError> {
        table.check_known(caller)?;
        let leases = self.store().leases();
        let (bounds, keys) = (leases.bounds(id), leases.keys_unordered(id));
        table.check_keys(caller, bounds, keys, Access::Write)
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
        (**self).raft_term()
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
