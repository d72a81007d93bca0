//! Multi-version concurrency control: the store of revisions and the rules of its requests.
//!
//! One apply thread changes the store, in log order; any number of threads read. Both meet in `State`, under a lock
//! that is held for looks at the index and the tail and never for I/O. A reader takes what the tail has under the lock
//! and opens a snapshot of the tree afterwards: what was not in the tail then is in that snapshot.

mod api;
mod apply;
mod compact;
mod compare;
mod defragment;
mod encode;
mod flusher;
mod hash;
mod history;
mod install;
mod kv;
mod metrics;
mod page;
mod pins;
mod plan;
mod range;
mod recover;
mod scan;
mod select;
mod state;
mod stream;
mod tail;
mod txn;
pub mod validate;
mod watching;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard, RwLock};

pub use api::*;
pub use defragment::DefragmentError;
pub use kv::KvView;
pub(crate) use recover::read_meta;

use crate::error::{Code, EtcdError};
use crate::lease::{LeaseTable, Renewal};
use crate::snapshot::Received;
use crate::tree::{FILE_NAME, Tree, TreeError};
use crate::types::{Identity, LogMark};
use crate::watch::WatchHub;

use compact::{Compactions, SliceLimit};
use encode::Header;
use flusher::{FlushControl, Flusher};
use hash::CompactionHashes;
use metrics::StoreMetrics;
use page::ReadError;
use pins::{Pin, Pins};
use select::Look;
use state::State;
use tail::Tail;

/// The store of one member.
pub struct Store {
    dir: PathBuf,
    identity: Identity,
    quota_bytes: Option<u64>,
    max_request_bytes: usize,
    batch_interval: Duration,
    batch_limit: Option<usize>,
    slice_limit: SliceLimit,
    compaction_sleep: Duration,
    no_fsync: bool,
    events: Arc<dyn StoreEvents>,
    /// Set when the store is open.
    watch_hub: OnceLock<Arc<WatchHub>>,
    state: RwLock<State>,
    /// Taken before `state` where both are needed.
    leases: Mutex<LeaseTable>,
    /// Replaced by defragmentation and by the store of another member.
    tree: RwLock<Arc<Tree>>,
    pins: Arc<Pins>,
    compactions: Mutex<Compactions>,
    compaction_hashes: Mutex<CompactionHashes>,
    flush: FlushControl,
    flusher: Mutex<Option<JoinHandle<()>>>,
    marks: Mutex<StoreMarks>,
    metrics: StoreMetrics,
    no_space: AtomicBool,
    corrupt: AtomicBool,
    db_bytes: AtomicU64,
    db_used_bytes: AtomicU64,
    opened: Instant,
}

/// How far the log is applied, and how far it is durable in the tree.
#[derive(Clone, Copy, Default)]
struct StoreMarks {
    applied: LogMark,
    flushed: LogMark,
}

impl Store {
    /// Opens or creates the store and starts its flusher. A compaction that a crash interrupted goes on.
    pub fn open(config: StoreConfig) -> Result<(Arc<Self>, StoreRecovered), OpenError> {
        prepare_directory(&config.dir).map_err(|source| OpenError::Directory {
            path: config.dir.clone(),
            source,
        })?;
        let tree = Tree::open(&config.dir.join(FILE_NAME), config.no_fsync)?;
        let recovered = recover::recover(&tree)?;
        let size = tree.size()?;
        let marks = recovered.marks;
        let answer = StoreRecovered {
            applied: marks.applied,
            installed: recovered.installed,
            revision: marks.revision,
            compact_revision: marks.compact_scheduled,
            meta: recovered.meta,
            leases: recovered.lease_rows,
        };
        let store = Arc::new(Self {
            dir: config.dir,
            identity: config.identity,
            quota_bytes: config.quota_bytes,
            max_request_bytes: config.max_request_bytes,
            batch_interval: config.batch_interval,
            batch_limit: config.batch_limit,
            slice_limit: SliceLimit::new(config.compaction_batch_limit),
            compaction_sleep: config.compaction_sleep,
            no_fsync: config.no_fsync,
            events: config.events,
            watch_hub: OnceLock::new(),
            state: RwLock::new(State {
                index: recovered.index,
                tail: Tail::default(),
                revision: marks.revision,
                compact_revision: marks.compact_scheduled,
            }),
            leases: Mutex::new(recovered.leases),
            tree: RwLock::new(Arc::new(tree)),
            pins: Arc::default(),
            compactions: Mutex::new(Compactions::new(
                marks.compact_scheduled,
                marks.compact_finished,
            )),
            compaction_hashes: Mutex::default(),
            flush: FlushControl::default(),
            flusher: Mutex::default(),
            marks: Mutex::new(StoreMarks {
                applied: marks.applied,
                flushed: marks.applied,
            }),
            metrics: StoreMetrics::default(),
            no_space: AtomicBool::new(false),
            corrupt: AtomicBool::new(false),
            db_bytes: AtomicU64::new(size.bytes),
            db_used_bytes: AtomicU64::new(size.used_bytes),
            opened: Instant::now(),
        });
        watching::start(&store, marks.revision).map_err(OpenError::Thread)?;
        let flusher = Flusher::new(Arc::clone(&store), store.next_compaction());
        let thread = std::thread::Builder::new()
            .name("netcd-flusher".into())
            .spawn(|| flusher.run())
            .map_err(OpenError::Thread)?;
        *store.flusher.lock() = Some(thread);
        Ok((store, answer))
    }

    /// Commits what is applied and ends the flusher. The store can still be read.
    pub fn close(&self) {
        self.watch_hub().close();
        self.stop_flusher();
        if let Some(thread) = self.flusher.lock().take() {
            // A panic of the flusher has been reported by the panic hook; there is nothing to add here.
            let _ = thread.join();
        }
    }

    /// Constant part of every response header.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Who watches this store.
    pub fn watch_hub(&self) -> &Arc<WatchHub> {
        self.watch_hub.get().expect("an open store has its hub")
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

    /// A store from another member is here, `took` after its first byte.
    pub fn received(&self, store: &Received, took: Duration) {
        self.metrics.received(took, store.synced_in());
    }

    /// What the store counted, in Prometheus text.
    pub fn metrics(&self) -> String {
        self.metrics.render(self.tree().open_reads())
    }

    fn tree(&self) -> Arc<Tree> {
        Arc::clone(&self.tree.read())
    }

    fn header(&self, revision: i64, raft_term: u64) -> Header {
        Header {
            identity: self.identity,
            revision,
            raft_term,
        }
    }

    fn set_flushed(&self, mark: LogMark) {
        self.marks.lock().flushed = mark;
        self.events.flushed(mark);
    }

    /// Pins a revision for a read that takes more than one look.
    fn pin(&self, at: i64) -> Result<Pin, EtcdError> {
        self.look(|state| {
            if at < state.compact_revision {
                return Err(crate::error::COMPACTED);
            }
            Ok(self.pins.pin(at))
        })
    }

    /// The error of a read that held `pin`: the compaction did not wait, or the store is damaged.
    fn pinned_error(&self, pin: &Pin, error: ReadError) -> EtcdError {
        match error {
            ReadError::Gone if pin.is_broken() => crate::error::COMPACTED,
            error => self.apply_error(error),
        }
    }

    /// Reports that the store cannot be read or written; the process must end.
    fn fatal(&self, error: &TreeError) -> EtcdError {
        self.events.fatal(error.to_string());
        EtcdError::new(Code::DataLoss, error.to_string())
    }
}

/// Creates the member directory, or removes what an interrupted defragmentation or snapshot left in it.
fn prepare_directory(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    defragment::remove_copies(dir)?;
    crate::snapshot::prepare_directory(dir)
}

impl Look for Store {
    fn look<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.state.read())
    }

    fn tree(&self) -> Arc<Tree> {
        Store::tree(self)
    }
}

#[cfg(test)]
mod tests;
