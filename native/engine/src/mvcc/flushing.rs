//! The side of those who wait for the flusher: apply, which fills the tail, and who wants things in the tree.

use crate::limits::{TAIL_BYTES_MAX, TAIL_FLUSH_BYTES};
use crate::types::LogMark;

use super::flush_control::ControlState;
use super::store::Store;

impl Store {
    /// The whole entry is applied: the consistent index moves with it. Blocks while the tail is full.
    pub fn entry_applied(&self, mark: LogMark) {
        let (urgent, total) = {
            let mut state = self.state.write();
            let revision = state.revision;
            state.tail.complete(mark, revision);
            let tail = &state.tail;
            let many = |limit| tail.active_changes() >= limit;
            // A compaction is begun once it is committed as scheduled, and there are calls that wait for it.
            let urgent = tail.active_bytes() >= TAIL_FLUSH_BYTES
                || tail.compacts()
                || self.batch_limit.is_some_and(many);
            (urgent, tail.bytes())
        };
        self.marks.lock().applied = mark;
        let mut control = self.flush.state.lock();
        if !control.dirty || (urgent && !control.hurry) {
            control.dirty = true;
            control.hurry |= urgent;
            self.flush.wake.notify_one();
        }
        if total <= TAIL_BYTES_MAX {
            return;
        }
        let waits = |control: &ControlState| !control.ended && !control.applies_last;
        while waits(&control) && self.state.read().tail.bytes() > TAIL_BYTES_MAX {
            self.flush.committed.wait(&mut control);
        }
    }

    /// Apply ends with what is committed by now, and waits for no room in the tail meanwhile: the disk may be full.
    pub fn end_waits(&self) {
        self.flush.state.lock().applies_last = true;
        self.flush.committed.notify_all();
    }

    /// Returns when everything applied before is in the revision tree (or the store is closed).
    pub fn flush(&self) {
        let mut control = self.flush.state.lock();
        // A cycle that runs now may have frozen before the call.
        let wanted = control.cycles + 2;
        while !control.ended && control.cycles < wanted {
            control.dirty = true;
            control.hurry = true;
            self.flush.wake.notify_one();
            self.flush.committed.wait(&mut control);
        }
    }

    /// Returns when `done` says so after one of the flusher's commits, or when there are none for now: the disk is full,
    /// or the store is closed.
    pub(super) fn await_flusher(&self, done: impl Fn() -> bool) {
        let mut control = self.flush.state.lock();
        while !control.ended && !control.blocked && !done() {
            self.flush.committed.wait(&mut control);
        }
    }

    /// Makes the flusher look at the store again.
    pub(super) fn wake_flusher(&self) {
        self.flush.state.lock().dirty = true;
        self.flush.wake.notify_one();
    }

    /// Tells the flusher to end after one more commit. The caller then joins its thread.
    pub(super) fn stop_flusher(&self) {
        self.flush.state.lock().stop = true;
        self.flush.wake.notify_one();
    }
}

#[cfg(test)]
impl Store {
    /// Ends the flusher as a crash would: what is not committed stays so.
    pub(super) fn abandon(&self) {
        self.flush.state.lock().abandon = true;
        self.close();
    }
}
