//! The flusher: one thread that moves the tail into the revision tree and removes what was compacted.
//!
//! A commit holds whole entries and the consistent index of the last one, so the tree corresponds exactly to a place
//! in the log. The newest commit is durable only with the next one (see `tree`), so `flushed` is told one commit late,
//! or after a sync when nothing more comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::limits::{COMPACTION_PIN_POLL_MS, FLUSH_RETRY_MS};
use crate::tree::{Batch, Tree, TreeError};
use crate::types::LogMark;

use super::api::LogLevel;
use super::compact::Compaction;
use super::store::Store;
use super::tail::Segment;

/// The flusher's own state.
pub(super) struct Flusher {
    store: Arc<Store>,
    compaction: Option<Compaction>,
    /// A segment whose commit failed because the disk was full.
    retry: Option<Arc<Segment>>,
    /// The newest commit's mark, not durable yet.
    newest: Option<LogMark>,
    complained: bool,
    /// The count of installed stores that all of the above belongs to.
    installs: u64,
}

impl Flusher {
    pub fn new(store: Arc<Store>, resume: Option<Compaction>) -> Self {
        Self {
            store,
            compaction: resume,
            retry: None,
            newest: None,
            complained: false,
            installs: 0,
        }
    }

    /// What waits for the store before the present one is of no use any more. Called under the gate.
    fn notice_install(&mut self) {
        let installs = self.store.flush.installs.load(Ordering::Relaxed);
        if installs != self.installs {
            self.installs = installs;
            self.retry = None;
            self.newest = None;
            self.compaction = self.store.next_compaction();
        }
    }

    /// Runs until the store is closed or a write fails.
    pub fn run(mut self) {
        if let Err(error) = self.work() {
            self.store.fatal(&error);
        }
        let mut control = self.store.flush.state.lock();
        control.ended = true;
        self.store.flush.committed.notify_all();
    }

    fn work(&mut self) -> Result<(), TreeError> {
        loop {
            let stop = self.wait();
            #[cfg(test)]
            if self.store.flush.state.lock().abandon {
                return Ok(());
            }
            let done = self.cycle()?;
            let idle = {
                let mut control = self.store.flush.state.lock();
                control.cycles += u64::from(done);
                !control.dirty
            };
            self.store.flush.report_blocked(self.complained);
            let rests = |compaction: &Compaction| !compaction.rest().is_zero();
            if stop || (idle && self.compaction.as_ref().is_none_or(rests)) {
                self.settle()?;
            }
            if stop {
                return Ok(());
            }
        }
    }

    /// Waits for something to do, then until the interval is over or there is a reason to hurry. True if it is time
    /// to stop.
    fn wait(&mut self) -> bool {
        let store = Arc::clone(&self.store);
        let mut control = store.flush.state.lock();
        let busy = self.compaction.is_some() || self.retry.is_some();
        while !busy && !control.dirty && !control.stop {
            store.flush.wake.wait(&mut control);
        }
        let pause = self.pause();
        if !control.stop && !control.hurry && !pause.is_zero() {
            // Early, late or by chance: every reason to wake is looked at again.
            let _ = store.flush.wake.wait_for(&mut control, pause);
        }
        control.dirty = false;
        control.hurry = false;
        control.stop
    }

    /// How long until the next commit, if there is no reason to hurry.
    fn pause(&self) -> Duration {
        match &self.compaction {
            // The disk was full, whatever was to be written.
            _ if self.complained => Duration::from_millis(FLUSH_RETRY_MS),
            Some(compaction) if compaction.is_waiting() => {
                Duration::from_millis(COMPACTION_PIN_POLL_MS)
            }
            // What is applied meanwhile does not wait for the end of the rest. A compaction that does not rest sums or
            // goes through the index, and takes its pauses there.
            Some(compaction) => compaction.rest().min(self.store.batch_interval),
            None => self.store.batch_interval,
        }
    }

    /// One commit. False if the disk was full and it must be tried again.
    fn cycle(&mut self) -> Result<bool, TreeError> {
        let store = Arc::clone(&self.store);
        let _gate = store.flush.gate.lock();
        self.notice_install();
        let tree = store.tree();
        let segment = self
            .retry
            .take()
            .or_else(|| store.state.write().tail.freeze());
        let compacting = match &mut self.compaction {
            Some(compaction) => compaction.prepare(&store)?,
            None => false,
        };
        if segment.is_none() && !compacting {
            return Ok(true);
        }
        match self.commit(&tree, segment.as_deref(), compacting) {
            Ok(()) => {}
            Err(error) if error.is_no_space() => {
                self.complain(&error);
                self.retry = segment;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        self.complained = false;
        self.committed(&tree, segment)?;
        Ok(true)
    }

    fn commit(
        &mut self,
        tree: &Tree,
        segment: Option<&Segment>,
        compacting: bool,
    ) -> Result<(), TreeError> {
        let started = Instant::now();
        let mut batch = tree.batch()?;
        if let Some(segment) = segment {
            write_segment(&mut batch, segment)?;
        }
        let Some(compaction) = self.compaction.as_mut().filter(|_| compacting) else {
            let write = commit(batch)?;
            self.store.metrics.committed(started.elapsed(), write);
            return Ok(());
        };
        let removed = compaction.remove(&mut batch, self.store.slice_limit)?;
        let write = commit(batch)?;
        compaction.advance(removed, self.store.compaction_sleep);
        self.store.metrics.committed(started.elapsed(), write);
        self.store.metrics.compaction_paused(started.elapsed());
        Ok(())
    }

    fn committed(&mut self, tree: &Tree, segment: Option<Arc<Segment>>) -> Result<(), TreeError> {
        let store = &self.store;
        if let Some(segment) = &segment {
            let dropped = store.state.write().tail.drop_frozen();
            drop(dropped);
            let durable = self.newest.replace(segment.mark);
            if let Some(mark) = durable {
                store.set_flushed(mark);
            }
            if let Some(target) = segment.compact {
                store.compactions.lock().target = target;
            }
        }
        let size = tree.size()?;
        store.db_bytes.store(size.bytes, Ordering::Relaxed);
        store
            .db_used_bytes
            .store(size.used_bytes, Ordering::Relaxed);
        if let Some(finished) = self.compaction.take_if(|compaction| compaction.is_done()) {
            finished.finish(store);
            store.compaction_done();
        }
        if self.compaction.is_none() {
            self.compaction = store.next_compaction();
        }
        Ok(())
    }

    /// Makes the newest commit durable and says so.
    fn settle(&mut self) -> Result<(), TreeError> {
        let store = Arc::clone(&self.store);
        let _gate = store.flush.gate.lock();
        self.notice_install();
        if let Some(mark) = self.newest.take() {
            let tree = store.tree();
            if !store.no_fsync {
                tree.sync()?;
            }
            store.set_flushed(mark);
        }
        Ok(())
    }

    fn complain(&mut self, error: &TreeError) {
        if !self.complained {
            self.complained = true;
            self.store.events.log(
                LogLevel::Warn,
                "cannot write the store: no space left; retrying",
                vec![("error".into(), error.to_string())],
            );
        }
    }
}

/// Commits and says how long that took.
fn commit(batch: Batch<'_>) -> Result<Duration, TreeError> {
    let started = Instant::now();
    batch.commit()?;
    Ok(started.elapsed())
}

fn write_segment(batch: &mut Batch<'_>, segment: &Segment) -> Result<(), TreeError> {
    for record in &segment.records {
        batch.append(record.revision, record.tombstone, &record.kv)?;
    }
    for row in &segment.rows {
        match &row.value {
            Some(value) => batch.put_row(row.table, &row.key, value)?,
            None => batch.delete_row(row.table, &row.key)?,
        }
    }
    if let Some(revision) = segment.compact {
        batch.set_compact_scheduled(revision)?;
    }
    batch.set_applied(segment.mark, segment.revision)
}
