//! What waits for the WAL thread. The queue and the gate of apply are one lock order (queue, then gate), so that an entry
//! that is about to be replaced is never taken for a stable one.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::gate::{ApplyGate, Install};
use super::grants::Following;
use super::ports::{HardState, LogEntry};
use crate::types::LogMark;

/// One thing for the WAL thread to write.
pub(super) enum WriteItem {
    /// An entry stamped under the grant.
    Granted {
        entry: LogEntry,
        /// Stable is committed.
        sole: bool,
        /// Set for a batch of this process.
        sequence: Option<u64>,
    },
    /// Entries taken from the leader under the follow grant; acknowledged up to `last` when they are on stable storage.
    Followed {
        sender: Following,
        last: u64,
        entries: Vec<LogEntry>,
        /// The batches of this process among the entries.
        sequences: Vec<u64>,
    },
    /// What raft handed over.
    Persist {
        seq: u64,
        hard_state: Option<HardState>,
        entries: Vec<LogEntry>,
        /// The batches of this process among the entries.
        sequences: Vec<u64>,
    },
    /// Forget the log up to here.
    Compact(LogMark),
    /// A store that stands at this entry takes the place of the own one; the log starts after it.
    Install { mark: LogMark, install: Install },
}

/// The WAL thread's inbox. What it holds is bounded by REQUEST_BYTES_PENDING_MAX and by raft's flow control.
pub(super) struct WriteQueue {
    inner: Mutex<QueueInner>,
    wake: Condvar,
}

#[derive(Default)]
struct QueueInner {
    items: Vec<WriteItem>,
    stopped: bool,
}

impl WriteQueue {
    pub fn new() -> Self {
        Self {
            inner: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// Queues an item; entries that replace others make those unstable at once.
    pub fn push(&self, item: WriteItem, gate: &ApplyGate) {
        let mut inner = self.inner.lock();
        if let WriteItem::Persist { entries, .. } = &item
            && let Some(first) = entries.first()
        {
            gate.lower_stable(first.mark.index - 1);
        }
        inner.items.push(item);
        self.wake.notify_one();
    }

    /// Waits for items and takes all of them; None once it was stopped and is empty.
    pub fn take(&self, into: &mut Vec<WriteItem>) -> Option<()> {
        let mut inner = self.inner.lock();
        while inner.items.is_empty() {
            if inner.stopped {
                return None;
            }
            self.wake.wait(&mut inner);
        }
        std::mem::swap(&mut inner.items, into);
        Some(())
    }

    /// Entries up to `last` are on stable storage, but for those that a queued item replaces.
    pub fn report_stable(&self, last: u64, gate: &ApplyGate) -> u64 {
        let inner = self.inner.lock();
        let replaced = inner.items.iter().filter_map(|item| match item {
            WriteItem::Persist { entries, .. } => entries.first().map(|entry| entry.mark.index),
            WriteItem::Granted { .. }
            | WriteItem::Followed { .. }
            | WriteItem::Compact(_)
            | WriteItem::Install { .. } => None,
        });
        let stable = replaced.fold(last, |stable, first| stable.min(first - 1));
        gate.set_stable(stable);
        stable
    }

    /// Waits, at most this long, for the stop; true if it was stopped.
    pub fn wait_stop(&self, at_most: Duration) -> bool {
        let mut inner = self.inner.lock();
        let until = std::time::Instant::now() + at_most;
        while !inner.stopped {
            if self.wake.wait_until(&mut inner, until).timed_out() {
                break;
            }
        }
        inner.stopped
    }

    pub fn stop(&self) {
        self.inner.lock().stopped = true;
        self.wake.notify_all();
    }
}
