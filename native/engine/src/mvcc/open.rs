//! Opening a store and closing it.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use crate::auth::Auth;
use crate::tree::{FILE_NAME, Tree};

use super::api::{OpenError, StoreConfig, StoreRecovered};
use super::compactions::{Compactions, SliceLimit};
use super::directory::prepare_directory;
use super::flush_control::FlushControl;
use super::flusher::Flusher;
use super::metrics::StoreMetrics;
use super::recover::recover;
use super::state::State;
use super::store::{Store, StoreMarks};
use super::tail::Tail;
use super::watching;

impl Store {
    /// Opens or creates the store and starts its flusher. A compaction that a crash interrupted goes on.
    pub fn open(config: StoreConfig) -> Result<(Arc<Self>, StoreRecovered), OpenError> {
        prepare_directory(&config.dir).map_err(|source| OpenError::Directory {
            path: config.dir.clone(),
            source,
        })?;
        let tree = Tree::open(&config.dir.join(FILE_NAME), config.no_fsync)?;
        let recovered = recover(&tree)?;
        let size = tree.size()?;
        let marks = recovered.marks;
        let auth = Arc::<Auth>::default();
        auth.replace(recovered.auth);
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
            auth,
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
}
