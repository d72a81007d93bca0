//! Compaction behind the answer: superseded revisions leave the index in short steps and then the revision tree, in
//! slices that ride on the flusher's commits.
//!
//! Within a round revisions are removed in ascending order. So after a crash at any point what is left of a key's
//! history is its newest part, and an index built from it is right; the scheduled mark starts the compaction again.

use std::time::{Duration, Instant};

use parking_lot::RwLockWriteGuard;

use crate::index::CompactCursor;
use crate::limits::{
    COMPACTION_HASH_STEP, COMPACTION_INDEX_STEP, COMPACTION_INDEX_STEPS, COMPACTION_PAUSE,
    COMPACTION_PIN_BRIEF, COMPACTION_PIN_WAIT_MS, COMPACTION_ROUND_REVISIONS, COMPACTION_TREE_STEP,
};
use crate::tree::{Batch, TreeError};
use crate::types::Revision;

use super::api::LogLevel;
use super::compaction_hashes::CompactionHash;
use super::compactions::SliceLimit;
use super::hash::CompactionSum;
use super::pace::Pace;
use super::store::Store;

impl Store {
    /// Calls `done` when the compaction at `revision` is physically finished: now, or later on the flusher's thread.
    /// If the store is closed before, `done` is dropped without a call.
    pub fn on_compacted(&self, revision: i64, done: Box<dyn FnOnce() + Send>) {
        let mut compactions = self.compactions.lock();
        if compactions.finished >= revision {
            drop(compactions);
            done();
        } else {
            compactions.wait(revision, done);
        }
    }

    /// The compaction to begin now.
    pub(super) fn next_compaction(&self) -> Option<Compaction> {
        let next = self.compactions.lock().next();
        next.map(|(at, before)| Compaction::new(at, before))
    }

    /// Returns when every compaction that was accepted before is physically done, or none can be: the disk is full, or
    /// the store is closed.
    pub(super) fn await_compactions(&self) {
        let accepted = self.state.read().compact_revision;
        self.await_flusher(|| self.compactions.lock().finished >= accepted);
    }

    /// The store of another member is in place of this one: its compactions count now. Who waited for one that is done
    /// there is told.
    pub(super) fn compactions_installed(&self, target: i64, finished: i64) {
        self.compactions.lock().replace(target, finished);
        self.compaction_done();
    }

    /// Says that a compaction is finished; the flusher has set which.
    pub(super) fn compaction_done(&self) {
        let ready = self.compactions.lock().take_finished();
        for (_, done) in ready {
            done();
        }
    }
}

/// A running compaction.
pub(super) struct Compaction {
    at: i64,
    /// The compaction before, if what this one finds is what that one left: then it can be summed.
    before: Option<i64>,
    started: Instant,
    /// Where the index goes on; None when it is through.
    cursor: Option<CompactCursor>,
    /// Revisions that left the index in this round, ascending.
    round: Vec<Revision>,
    /// The first of them that is still in the tree.
    position: usize,
    removed: usize,
    done: bool,
    waiting: bool,
    /// The round is not complete yet.
    collecting: bool,
    hash: Hashing,
    pace: Pace,
    /// No slice before this: `--compaction-sleep-interval` after the one before.
    rests_until: Instant,
}

/// How far the sum is that HashKV answers with at the compaction's revision.
enum Hashing {
    Wanted,
    Running(CompactionSum),
    Done(Option<CompactionHash>),
}

/// What one commit removes.
#[derive(Clone, Copy)]
pub(super) struct Slice {
    end: usize,
    last: bool,
}

impl Compaction {
    fn new(at: i64, before: Option<i64>) -> Self {
        Self {
            at,
            before,
            started: Instant::now(),
            cursor: Some(CompactCursor::default()),
            round: Vec::new(),
            position: 0,
            removed: 0,
            done: false,
            waiting: false,
            collecting: true,
            hash: Hashing::Wanted,
            pace: Pace::new(),
            rests_until: Instant::now(),
        }
    }

    /// How long it still rests before its next slice.
    pub fn rest(&self) -> Duration {
        self.rests_until.saturating_duration_since(Instant::now())
    }

    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether it still waits for older reads.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Waits for older reads, then sums what there is and takes revisions out of the index, a part in each call: the tail
    /// must not fill up meanwhile. False while there is nothing to remove from the tree.
    pub fn prepare(&mut self, store: &Store) -> Result<bool, TreeError> {
        if !self.rest().is_zero() {
            return Ok(false);
        }
        self.waiting = store.pins.any_below(self.at);
        while self.waiting && self.started.elapsed() < COMPACTION_PIN_BRIEF {
            std::thread::sleep(COMPACTION_PAUSE);
            self.waiting = store.pins.any_below(self.at);
        }
        if self.waiting {
            if self.started.elapsed() < Duration::from_millis(COMPACTION_PIN_WAIT_MS) {
                return Ok(false);
            }
            store.pins.break_below(self.at);
            self.waiting = false;
        }
        if !self.hashed(store)? {
            return Ok(false);
        }
        if !self.collecting && self.position == self.round.len() {
            self.round.clear();
            self.position = 0;
            self.collecting = true;
        }
        if self.collecting {
            self.collect(store);
        }
        Ok(!self.collecting)
    }

    /// Sums a part. True when the sum is there, or none is to be had.
    fn hashed(&mut self, store: &Store) -> Result<bool, TreeError> {
        if matches!(self.hash, Hashing::Wanted) {
            self.hash = match self.before {
                Some(before) => Hashing::Running(CompactionSum::new(store, self.at, before)?),
                None => Hashing::Done(None),
            };
        }
        if let Hashing::Running(sum) = &mut self.hash {
            let Some(hash) = sum.step(store, COMPACTION_HASH_STEP, &mut self.pace)? else {
                return Ok(false);
            };
            self.hash = Hashing::Done(Some(hash));
        }
        Ok(true)
    }

    fn collect(&mut self, store: &Store) {
        for _ in 0..COMPACTION_INDEX_STEPS {
            let Some(cursor) = self.cursor.take() else {
                break;
            };
            let mut state = store.state.write();
            let locked = Instant::now();
            let round = &mut self.round;
            self.cursor =
                state
                    .index
                    .compact_step(cursor, self.at, COMPACTION_INDEX_STEP, |revision| {
                        round.push(revision);
                    });
            RwLockWriteGuard::unlock_fair(state);
            store.metrics.index_paused(locked.elapsed());
            self.pace.step();
        }
        if self.cursor.is_none() || self.round.len() >= COMPACTION_ROUND_REVISIONS {
            self.round.sort_unstable();
            self.collecting = false;
        }
    }

    /// Removes the next slice in `batch`.
    pub fn remove(&mut self, batch: &mut Batch<'_>, limit: SliceLimit) -> Result<Slice, TreeError> {
        let left = &self.round[self.position..];
        let (mut end, mut descents) = (self.position, 0);
        for step in left[..left.len().min(limit.revisions)].chunks(COMPACTION_TREE_STEP) {
            // They may be gone already, if a crash came between the removal and the mark.
            descents += batch.remove(step)?;
            end += step.len();
            self.pace.step();
            if descents >= limit.descents {
                break;
            }
        }
        let last = end == self.round.len() && self.cursor.is_none();
        if last {
            batch.set_compact_finished(self.at)?;
        }
        Ok(Slice { end, last })
    }

    /// The slice is committed; the next one comes after `rest`.
    pub fn advance(&mut self, slice: Slice, rest: Duration) {
        self.rests_until = Instant::now() + rest;
        self.removed += slice.end - self.position;
        self.position = slice.end;
        self.done = slice.last;
    }

    /// Notes the end and logs it.
    pub fn finish(&self, store: &Store) {
        if let Hashing::Done(Some(hash)) = self.hash {
            store.compaction_hashes.lock().keep(hash);
        }
        store.compactions.lock().finished = self.at;
        store
            .metrics
            .compacted(self.started.elapsed(), self.removed);
        store.events.log(
            LogLevel::Info,
            "finished scheduled compaction",
            vec![
                ("compact-revision".into(), self.at.to_string()),
                ("removed-revisions".into(), self.removed.to_string()),
                ("took".into(), format!("{:?}", self.started.elapsed())),
            ],
        );
    }
}
