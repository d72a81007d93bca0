//! The pipeline: takes a request from the transport through batch, log and store to its answer (docs/architecture.md,
//! "A put"). Two threads of its own, one that writes the WAL and one that applies; the batcher runs on its callers'.
//!
//! Every request that `submit` took is answered exactly once through `Completions`: by apply, by an error of the
//! control plane or of the disk, or with `server stopped` at the end.

mod apply;
pub mod batch;
mod batcher;
mod cache;
mod follow;
mod intake;
mod lead;
pub mod message;
mod metrics;
mod ports;
mod queue;
mod reads;
mod state;
mod wal_log;
mod writer;

#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod driver_test;
#[cfg(test)]
mod fastpath_test;
#[cfg(test)]
mod grant_test;
#[cfg(test)]
mod install_test;
#[cfg(test)]
mod log_test;
#[cfg(test)]
mod slow_test;
#[cfg(test)]
mod testing;

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

pub use self::follow::Received;
pub use self::intake::{PersistEntry, PersistPayload};
pub use self::lead::{GrantKind, GrantMember, Quorum, Streamed};
pub use self::metrics::{ReadKind, SlowRead};
pub use self::ports::{
    Applied, Apply, ApplyContext, EntryMeta, HardState, Log, LogEntry, LogError, LogLevel, LogRead,
    MetaTable, MetaWrite, PeerLinks, PipelineError, PipelineEvents,
};
pub use self::queue::Install;
pub use self::reads::ReadBarrier;
pub use self::wal_log::{LogPlace, LogRecovered, OpenedLog, PipelineOpenError, WalLog};

use self::cache::LogCache;
use self::metrics::{Gauges, Metrics};
use self::queue::{ApplyGate, WriteQueue};
use self::reads::Reads;
use self::state::{State, Unanswered};
use crate::error::STOPPED;
use crate::mvcc::Store;
use crate::types::{Completions, LogMark, Token};
use crate::wal::WalMetrics;

/// No index reaches it.
const NEVER: u64 = u64::MAX;

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Bytes of one request.
    pub max_request_bytes: usize,
    /// Whether the append grant may be given; off makes every batch wait for TypeScript.
    pub append_grant: bool,
    /// `--warning-apply-duration`: an operation that is applied for longer is logged.
    pub slow_apply: Duration,
    /// Requests that take longer are named before their answers (`Completions::slow`).
    pub slow_request: Duration,
}

/// Where the log and the store stand when the pipeline starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StartMarks {
    /// The last entry of the log (or the one before its first, if it is empty).
    pub last: LogMark,
    /// The last entry that the store has.
    pub applied: LogMark,
    /// Commit index of the hard state.
    pub committed: u64,
}

/// Who may stamp entries.
#[derive(Clone, Copy, Debug)]
struct Grant {
    term: u64,
    next_index: u64,
    sole_voter: bool,
}

/// What the threads and the callers share.
pub struct Core<A: Apply> {
    config: PipelineConfig,
    /// Random: only this process answers the requests of its batches.
    origin: u64,
    store: Arc<A>,
    reader: Arc<dyn LogRead>,
    events: Arc<dyn PipelineEvents>,
    completions: Arc<dyn Completions>,
    links: OnceLock<Arc<dyn PeerLinks>>,
    state: Mutex<State>,
    queue: WriteQueue,
    gate: ApplyGate,
    cache: LogCache,
    reads: Reads,
    metrics: Metrics,
    committed: AtomicU64,
    applied: AtomicU64,
    /// A sole voter serves reads at once when applied has reached this.
    sole_from: AtomicU64,
    term: AtomicU64,
    failed: AtomicBool,
    /// Tokens that wait for a physical compaction; None after the close.
    compactions: Mutex<Option<HashSet<u64>>>,
}

/// The running pipeline; everything that it offers is on [`Core`].
pub struct Pipeline<A: Apply = Store> {
    core: Arc<Core<A>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<A: Apply> Deref for Pipeline<A> {
    type Target = Core<A>;

    fn deref(&self) -> &Core<A> {
        &self.core
    }
}

/// The neighbours of a pipeline.
pub struct Neighbours<A: Apply> {
    /// The state machine.
    pub store: Arc<A>,
    /// The log's write side.
    pub log: Box<dyn Log>,
    /// The log's read side.
    pub reader: Arc<dyn LogRead>,
    /// What the WAL counts.
    pub wal_metrics: Arc<WalMetrics>,
    /// The control plane.
    pub events: Arc<dyn PipelineEvents>,
    /// Those who wait for answers.
    pub completions: Arc<dyn Completions>,
}

impl<A: Apply> Pipeline<A> {
    /// Starts the threads over an opened log and store. `origin` must be random, another one at every start.
    pub fn start(
        config: PipelineConfig,
        origin: u64,
        marks: StartMarks,
        neighbours: Neighbours<A>,
    ) -> std::io::Result<Arc<Self>> {
        let core = Arc::new(Core {
            config,
            origin,
            store: neighbours.store,
            reader: neighbours.reader,
            events: neighbours.events,
            completions: neighbours.completions,
            links: OnceLock::new(),
            state: Mutex::new(State::new(marks.last)),
            queue: WriteQueue::new(),
            gate: ApplyGate::new(marks.applied.index, marks.last.index),
            cache: LogCache::new(),
            reads: Reads::new(),
            metrics: Metrics::new(neighbours.wal_metrics),
            committed: AtomicU64::new(marks.committed.max(marks.applied.index)),
            applied: AtomicU64::new(marks.applied.index),
            sole_from: AtomicU64::new(NEVER),
            term: AtomicU64::new(marks.last.term),
            failed: AtomicBool::new(false),
            compactions: Mutex::new(Some(HashSet::new())),
        });
        core.cache.set_stable(marks.last.index);
        let (wal, apply) = (Arc::clone(&core), Arc::clone(&core));
        let log = neighbours.log;
        let threads = vec![
            spawn("netcd-wal", move || writer::run(&wal, log))?,
            spawn("netcd-apply", move || apply::run(&apply))?,
        ];
        Ok(Arc::new(Self {
            core,
            threads: Mutex::new(threads),
        }))
    }

    /// Writes and applies what was taken as far as that needs nobody else, answers the rest with `server stopped`,
    /// and ends the threads. A second call does nothing.
    pub fn close(&self) {
        let mut threads = self.threads.lock();
        self.core.refuse_new();
        self.core.queue.stop();
        let mut threads = threads.drain(..);
        if let Some(wal) = threads.next() {
            join(wal);
        }
        self.core.gate.stop(false);
        threads.for_each(join);
        self.core.stop_all();
    }
}

impl<A: Apply> Drop for Pipeline<A> {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(body)
}

fn join(thread: JoinHandle<()>) {
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl<A: Apply> Core<A> {
    /// The links to other members, which are there later than the pipeline, and before anything is sent.
    pub fn set_links(&self, links: Arc<dyn PeerLinks>) {
        assert!(self.links.set(links).is_ok(), "links are set once");
    }

    fn links(&self) -> &dyn PeerLinks {
        let links = self.links.get();
        links.expect("set before a grant is given").as_ref()
    }

    /// The state machine.
    pub fn store(&self) -> &Arc<A> {
        &self.store
    }

    /// The term for response headers.
    pub fn raft_term(&self) -> u64 {
        self.term.load(Relaxed)
    }

    /// See [`Core::raft_term`].
    pub fn set_raft_term(&self, term: u64) {
        self.term.store(term, Relaxed);
    }

    /// A read that the pipeline let through was answered; `took` is since it came. True: that was too long, and is to be
    /// described by `slow_read`.
    pub fn read_answered(&self, kind: ReadKind, success: bool, took: Duration) -> bool {
        self.metrics.read_answered(kind, success, took);
        took > self.config.slow_apply
    }

    /// A read took longer than `--warning-apply-duration`: what it asked for and what came of it.
    pub fn slow_read(&self, took: Duration, read: SlowRead<'_>) {
        let prefix = match read.kind {
            ReadKind::Range => "read-only range ",
            ReadKind::Txn => "read-only txn ",
        };
        self.warn_of_slow_apply(took, prefix, read.request, read.response, read.error);
    }

    /// The pipeline's metrics in Prometheus text.
    pub fn metrics(&self) -> String {
        self.metrics.render(&Gauges {
            committed: self.committed_index(),
            applied: self.applied_index(),
            pending: self.state.lock().pending_requests(),
        })
    }

    /// After this nothing is acknowledged: the process must end.
    fn fail(&self, message: String) {
        self.failed.store(true, SeqCst);
        self.refuse_new();
        self.events.fatal(message);
        self.queue.stop();
        self.gate.stop(true);
        self.stop_all();
    }

    /// Answers everything that still waits with `server stopped`.
    fn stop_all(&self) {
        self.sole_from.store(NEVER, SeqCst);
        self.answer_failed(self.take_all(), &STOPPED);
        let reads = self.reads.stop();
        if !reads.is_empty() {
            self.completions.reads_ready(reads, Err(STOPPED));
        }
        let compactions = self.compactions.lock().take().unwrap_or_default();
        let failed = compactions.into_iter().map(|token| Unanswered {
            token: Token(token),
            request: Bytes::new(),
            since: Instant::now(),
        });
        self.answer_failed(failed.collect(), &STOPPED);
    }
}
