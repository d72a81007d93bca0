//! How the other threads talk to the flusher.

use std::sync::atomic::AtomicU64;

use parking_lot::{Condvar, Mutex};

/// See the file's head.
#[derive(Default)]
pub(super) struct FlushControl {
    pub state: Mutex<ControlState>,
    /// The flusher waits here.
    pub wake: Condvar,
    /// Apply waits here for room in the tail, and `flush` for a commit.
    pub committed: Condvar,
    /// Held during a commit; who holds it, keeps the tree from changing.
    pub gate: Mutex<()>,
    /// Counts the stores that took the place of this one's; changes under the gate.
    pub installs: AtomicU64,
}

#[derive(Default)]
pub(super) struct ControlState {
    /// Something was applied since the last freeze.
    pub dirty: bool,
    /// Do not wait for the interval.
    pub hurry: bool,
    pub stop: bool,
    /// Ends without a last commit, as a crash would.
    #[cfg(test)]
    pub abandon: bool,
    /// The disk is full; the flusher tries again and again.
    pub blocked: bool,
    /// The caller of `entry_applied` ends: it waits for no room any more.
    pub applies_last: bool,
    /// The flusher has ended; nothing will be committed any more.
    pub ended: bool,
    /// Cycles that ended with everything committed that was applied when they began.
    pub cycles: u64,
}

impl FlushControl {
    /// Whether the flusher has ended, or is to end. Asked under the gate: before it ends it takes the gate once more,
    /// and waits for who has it.
    pub fn is_ending(&self) -> bool {
        let state = self.state.lock();
        state.stop || state.ended
    }

    /// Says whether the disk is full, to those who wait for a commit.
    pub fn report_blocked(&self, blocked: bool) {
        self.state.lock().blocked = blocked;
        self.committed.notify_all();
    }
}
