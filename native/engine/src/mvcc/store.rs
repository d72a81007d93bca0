//! The store of one member: what its threads share, and what is asked of it without a look at a key.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::auth::Auth;
use crate::error::{Code, EtcdError};
use crate::lease::{LeaseTable, Renewal};
use crate::tree::{Tree, TreeError};
use crate::types::{Identity, LogMark};
use crate::watch::WatchHub;

use super::api::{StoreEvents, StoreStatus};
use super::compaction_hashes::CompactionHashes;
use super::compactions::{Compactions, SliceLimit};
use super::encode::Header;
use super::flush_control::FlushControl;
use super::metrics::StoreMetrics;
use super::page::ReadError;
use super::pins::{Pin, Pins};
use super::select::Look;
use super::state::State;

/// See the file's head.
pub struct Store {
    pub(super) dir: PathBuf,
    pub(super) identity: Identity,
    pub(super) quota_bytes: Option<u64>,
    pub(super) max_request_bytes: usize,
    pub(super) batch_interval: Duration,
    pub(super) batch_limit: Option<usize>,
    pub(super) slice_limit: SliceLimit,
    pub(super) compaction_sleep: Duration,
    pub(super) no_fsync: bool,
    pub(super) events: Arc<dyn StoreEvents>,
    /// Set when the store is open.
    pub(super) watch_hub: OnceLock<Arc<WatchHub>>,
    pub(super) state: RwLock<State>,
    /// Taken before `state` where both are needed.
    pub(super) leases: Mutex<LeaseTable>,
    /// Replaced by defragmentation and by the store of another member.
    pub(super) tree: RwLock<Arc<Tree>>,
    pub(super) pins: Arc<Pins>,
    pub(super) compactions: Mutex<Compactions>,
    pub(super) compaction_hashes: Mutex<CompactionHashes>,
    pub(super) flush: FlushControl,
    pub(super) flusher: Mutex<Option<JoinHandle<()>>>,
    pub(super) marks: Mutex<StoreMarks>,
    pub(super) metrics: StoreMetrics,
    pub(super) auth: Arc<Auth>,
    pub(super) no_space: AtomicBool,
    pub(super) corrupt: AtomicBool,
    pub(super) db_bytes: AtomicU64,
    pub(super) db_used_bytes: AtomicU64,
    pub(super) opened: Instant,
}

/// How far the log is applied, and how far it is durable in the tree.
#[derive(Clone, Copy, Default)]
pub(super) struct StoreMarks {
    pub(super) applied: LogMark,
    pub(super) flushed: LogMark,
}

impl Store {
    /// Constant part of every response header.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Who watches this store.
    pub fn watch_hub(&self) -> &Arc<WatchHub> {
        self.watch_hub.get().expect("an open store has its hub")
    }

    /// Who may do what here. It is what the rows of `MetaTable::Auth` say at the place in the log up to which the store
    /// is applied.
    pub fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    /// The lease table, locked. Not to be held while anything else of the store is called.
    pub fn leases(&self) -> MutexGuard<'_, LeaseTable> {
        self.leases.lock()
    }

    /// Starts a lease's time anew and returns its TTL in seconds; None if this member cannot decide that alone (see
    /// `Renewal`), or nobody has confirmed lately that it leads.
    pub fn renew_lease(&self, id: i64) -> Option<i64> {
        let now_ms = self.now_ms();
        let mut leases = self.leases.lock();
        if !leases.is_attended(now_ms) {
            return None;
        }
        match leases.renew(id, now_ms) {
            Renewal::Renewed { ttl_seconds } => Some(ttl_seconds),
            _ => None,
        }
    }

    /// The clock of the lease table: monotonic milliseconds.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Current revision.
    pub fn revision(&self) -> i64 {
        self.state.read().revision
    }

    /// Last entry applied.
    pub fn applied(&self) -> LogMark {
        self.marks.lock().applied
    }

    /// Last entry that is durable in the revision tree.
    pub fn flushed(&self) -> LogMark {
        self.marks.lock().flushed
    }

    /// Whether the quota lets a write of this cost through (see `validate` for costs). A write that costs nothing is
    /// always let through.
    pub fn quota_admits(&self, cost: u64) -> bool {
        match self.quota_bytes {
            Some(quota) if cost > 0 => self.db_bytes.load(Ordering::Relaxed) + cost < quota,
            _ => true,
        }
    }

    /// Whether the alarm NOSPACE or CORRUPT is set here.
    pub fn alarms(&self) -> (bool, bool) {
        (
            self.no_space.load(Ordering::Acquire),
            self.corrupt.load(Ordering::Acquire),
        )
    }

    /// Figures for Status and metrics.
    pub fn status(&self) -> StoreStatus {
        let leases = self.leases.lock().len() as u64;
        let marks = *self.marks.lock();
        let state = self.state.read();
        StoreStatus {
            revision: state.revision,
            compact_revision: state.compact_revision,
            keys: state.index.len_live(),
            db_bytes: self.db_bytes.load(Ordering::Relaxed),
            db_used_bytes: self.db_used_bytes.load(Ordering::Relaxed),
            tail_bytes: state.tail.bytes() as u64,
            applied: marks.applied,
            flushed: marks.flushed,
            leases,
        }
    }

    /// A copy of this store for another member was made.
    pub(crate) fn copied(&self, took: Duration) {
        self.metrics.copied(took);
    }

    /// A store from another member is here, `took` after its first byte, and was made durable in `synced_in` of that.
    pub(crate) fn received(&self, took: Duration, synced_in: Duration) {
        self.metrics.received(took, synced_in);
    }

    /// What the store counted, in Prometheus text.
    pub fn metrics(&self) -> String {
        self.metrics.render(self.tree().open_reads())
    }

    pub(super) fn tree(&self) -> Arc<Tree> {
        Arc::clone(&self.tree.read())
    }

    pub(super) fn header(&self, revision: i64, raft_term: u64) -> Header {
        Header {
            identity: self.identity,
            revision,
            raft_term,
        }
    }

    pub(super) fn set_flushed(&self, mark: LogMark) {
        self.marks.lock().flushed = mark;
        self.events.flushed(mark);
    }

    /// Pins a revision for a read that takes more than one look.
    pub(super) fn pin(&self, at: i64) -> Result<Pin, EtcdError> {
        self.look(|state| {
            if at < state.compact_revision {
                return Err(crate::error::COMPACTED);
            }
            Ok(self.pins.pin(at))
        })
    }

    /// The error of a read that held `pin`: the compaction did not wait, or the store is damaged.
    pub(super) fn pinned_error(&self, pin: &Pin, error: ReadError) -> EtcdError {
        match error {
            ReadError::Gone if pin.is_broken() => crate::error::COMPACTED,
            error => self.apply_error(error),
        }
    }

    /// Reports that the store cannot be read or written; the process must end.
    pub(super) fn fatal(&self, error: &TreeError) -> EtcdError {
        self.events.fatal(error.to_string());
        EtcdError::new(Code::DataLoss, error.to_string())
    }
}

impl Look for Store {
    fn look<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.state.read())
    }

    fn tree(&self) -> Arc<Tree> {
        Store::tree(self)
    }
}
