//! The pipeline while it runs: its neighbours, its threads and its end.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::cache::LogCache;
use super::core::{Core, PipelineConfig, StartMarks};
use super::gate::ApplyGate;
use super::metrics::Metrics;
use super::ports::{Apply, Log, LogRead, PipelineEvents};
use super::queue::WriteQueue;
use super::reads::Reads;
use super::state::State;
use super::{apply, writer};
use crate::mvcc::Store;
use crate::types::Completions;
use crate::wal::WalMetrics;

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
        // Nobody may come to make room: the store is closed after this.
        self.core.store.end_waits();
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
