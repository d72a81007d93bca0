//! What the pipeline's threads and its callers share. The state is its parts' own (`Batcher`, `Grants`, `ApplyGate`,
//! `Reads`, `LogCache`); the core leads from one to the other, each way in a file: submit.rs, intake.rs, replicate.rs,
//! follow.rs, read_index.rs, and the two threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::batcher::{Failed, Unanswered};
use super::cache::LogCache;
use super::gate::ApplyGate;
use super::metrics::{Gauges, Metrics, ReadKind, SlowRead};
use super::ports::{Apply, LogLevel, LogRead, PeerLinks, PipelineEvents};
use super::queue::WriteQueue;
use super::reads::Reads;
use super::state::State;
use crate::describe;
use crate::error::{EtcdError, STOPPED};
use crate::types::{Completions, LogMark, Token};

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

/// See the file's head.
pub struct Core<A: Apply> {
    pub(super) config: PipelineConfig,
    /// Random: only this process answers the requests of its batches.
    pub(super) origin: u64,
    pub(super) store: Arc<A>,
    pub(super) reader: Arc<dyn LogRead>,
    pub(super) events: Arc<dyn PipelineEvents>,
    pub(super) completions: Arc<dyn Completions>,
    pub(super) links: OnceLock<Arc<dyn PeerLinks>>,
    pub(super) state: Mutex<State>,
    pub(super) queue: WriteQueue,
    pub(super) gate: ApplyGate,
    pub(super) cache: LogCache,
    pub(super) reads: Reads,
    pub(super) metrics: Metrics,
    pub(super) committed: AtomicU64,
    pub(super) applied: AtomicU64,
    pub(super) term: AtomicU64,
    pub(super) failed: AtomicBool,
    /// Tokens that wait for a physical compaction; None after the close.
    pub(super) compactions: Mutex<Option<HashSet<u64>>>,
}

impl<A: Apply> Core<A> {
    /// The links to other members, which are there later than the pipeline, and before anything is sent.
    pub fn set_links(&self, links: Arc<dyn PeerLinks>) {
        assert!(self.links.set(links).is_ok(), "links are set once");
    }

    pub(super) fn links(&self) -> &dyn PeerLinks {
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
            pending: self.state.lock().batcher.pending_requests(),
        })
    }

    /// After this nothing is acknowledged: the process must end.
    pub(super) fn fail(&self, message: String) {
        self.failed.store(true, SeqCst);
        self.refuse_new();
        self.events.fatal(message);
        self.queue.stop();
        self.gate.stop(true);
        self.stop_all();
    }

    /// Answers everything that still waits with `server stopped`.
    pub(super) fn stop_all(&self) {
        self.reads.free_from(None);
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

    /// Refuses everything from now on.
    pub(super) fn refuse_new(&self) {
        self.state.lock().batcher.stopped = true;
    }

    /// Takes every token that still waits.
    fn take_all(&self) -> Failed {
        let mut state = self.state.lock();
        state.batcher.stopped = true;
        state.batcher.take_all()
    }

    /// Answers requests that were never applied.
    pub(super) fn answer_failed(&self, failed: Failed, error: &EtcdError) {
        if failed.is_empty() {
            return;
        }
        let count = failed.len() as u64;
        self.metrics.proposals_failed.fetch_add(count, Relaxed);
        let slow = failed.iter().filter(|it| self.is_slow(it.since.elapsed()));
        let slow: Vec<_> = slow.map(|it| (it.token, it.request.clone())).collect();
        if !slow.is_empty() {
            self.completions.slow(slow);
        }
        let results = failed.into_iter().map(|it| (it.token, Err(error.clone())));
        self.completions.ops_done(results.collect());
    }

    /// Whether those who log slow requests want to see one that waits for so long. It may be slow for them when its
    /// answer has gone the rest of the way, hence the half.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        took >= self.config.slow_request / 2
    }

    /// Counts what was applied or read for longer than `--warning-apply-duration`, and logs it with etcd's fields.
    pub(super) fn warn_of_slow_apply(
        &self,
        took: Duration,
        prefix: &str,
        request: String,
        response: String,
        error: Option<&EtcdError>,
    ) {
        self.metrics.slow_apply.fetch_add(1, Relaxed);
        let mut fields = vec![
            ("took".into(), describe::duration(took)),
            (
                "expected-duration".into(),
                describe::duration(self.config.slow_apply),
            ),
            ("prefix".into(), prefix.into()),
            ("request".into(), request),
            ("response".into(), response),
        ];
        // etcd's own errors have no prefix before they are a client's.
        let error = error.map(|error| error.message.trim_start_matches("etcdserver: "));
        fields.extend(error.map(|error| ("error".into(), error.to_owned())));
        self.events
            .log(LogLevel::Warn, "apply request took too long", fields);
    }
}
