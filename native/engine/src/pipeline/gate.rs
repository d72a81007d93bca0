//! How far apply may go, and what it waits for.

use parking_lot::{Condvar, Mutex};

use super::ports::MetaWrite;
use crate::types::LogMark;

/// Puts the store in place; called by the apply thread. An error ends the process.
pub type Install = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// What the apply thread does next.
pub(super) enum Work {
    /// Apply up to here.
    Apply(u64),
    /// Put a store in place that stands at this entry.
    Install(LogMark, Install),
}

/// How the wait for a control entry ended.
pub(super) enum Control {
    /// TypeScript has applied it.
    Applied(Vec<MetaWrite>),
    /// A store that comes overtakes the entry.
    Overtaken,
    /// The pipeline ends.
    Stopped,
}

/// Apply may go up to the smaller of the commit index and the stable index: an entry that was applied but is not in
/// the WAL would be lost to the log by a crash while the revision tree keeps it.
pub(super) struct ApplyGate {
    inner: Mutex<GateInner>,
    /// The apply thread waits here.
    wake: Condvar,
    /// The WAL thread waits here for a store to be in place.
    installed: Condvar,
}

#[derive(Default)]
struct GateInner {
    committed: u64,
    stable: u64,
    /// The control entry that TypeScript has applied, with its writes.
    control: Option<(u64, Vec<MetaWrite>)>,
    /// Stores that are to be put in place: nothing is applied until they are.
    installs: usize,
    /// The next of them, when the WAL thread has come to it.
    install: Option<(LogMark, Install)>,
    /// The last one that is in place.
    in_place: LogMark,
    /// Apply what may be applied, then end.
    stopped: bool,
    /// End now.
    aborted: bool,
}

impl ApplyGate {
    pub fn new(committed: u64, stable: u64) -> Self {
        let inner = GateInner {
            committed,
            stable,
            ..GateInner::default()
        };
        Self {
            inner: Mutex::new(inner),
            wake: Condvar::new(),
            installed: Condvar::new(),
        }
    }

    /// A store will be put in place of what entries up to now would make: apply stands still until `end_install`.
    pub fn announce_install(&self) {
        self.inner.lock().installs += 1;
        self.wake.notify_one();
    }

    /// Whether apply must stand still.
    pub fn is_installing(&self) -> bool {
        self.inner.lock().installs > 0
    }

    /// Lets the apply thread put the store in place and waits for that; false if the pipeline ends before.
    pub fn install(&self, mark: LogMark, install: Install) -> bool {
        let mut inner = self.inner.lock();
        inner.install = Some((mark, install));
        self.wake.notify_one();
        while inner.in_place != mark && !inner.aborted {
            self.installed.wait(&mut inner);
        }
        inner.in_place == mark
    }

    /// The store that stands at `mark` is in place.
    pub fn in_place(&self, mark: LogMark) {
        self.inner.lock().in_place = mark;
        self.installed.notify_one();
    }

    /// The log starts after `mark`: apply goes on there.
    pub fn end_install(&self, mark: LogMark) {
        let mut inner = self.inner.lock();
        inner.installs -= 1;
        inner.stable = mark.index;
        inner.committed = inner.committed.max(mark.index);
        inner.control = None;
        self.wake.notify_one();
    }

    /// Wakes the apply thread if `change` lets it go on. Most of what comes here does not: commit and stable index move
    /// one after the other, and the control plane says again what the data plane did by itself.
    fn advance(&self, change: impl FnOnce(&mut GateInner)) -> u64 {
        let mut inner = self.inner.lock();
        let before = inner.committed.min(inner.stable);
        change(&mut inner);
        if inner.committed.min(inner.stable) > before {
            self.wake.notify_one();
        }
        inner.committed
    }

    /// Everything up to index is on stable storage.
    pub fn set_stable(&self, index: u64) {
        self.advance(|inner| inner.stable = index);
    }

    /// What is after index is about to be replaced.
    pub fn lower_stable(&self, index: u64) {
        let mut inner = self.inner.lock();
        inner.stable = inner.stable.min(index);
    }

    /// Moves the commit index; it never goes back.
    pub fn commit(&self, index: u64) -> u64 {
        self.advance(|inner| inner.committed = inner.committed.max(index))
    }

    /// Waits until something above `applied` may be applied, or a store is to be put in place; None at the end.
    pub fn wait_above(&self, applied: u64) -> Option<Work> {
        let mut inner = self.inner.lock();
        loop {
            if let Some((mark, install)) = inner.install.take() {
                return Some(Work::Install(mark, install));
            }
            let target = match inner.installs {
                0 => inner.committed.min(inner.stable),
                _ => applied,
            };
            if inner.aborted || (inner.stopped && target <= applied) {
                return None;
            }
            if target > applied {
                return Some(Work::Apply(target));
            }
            self.wake.wait(&mut inner);
        }
    }

    /// Waits until TypeScript has applied the control entry at `index`, or has no reason to any more.
    pub fn wait_control(&self, index: u64) -> Control {
        let mut inner = self.inner.lock();
        loop {
            if let Some((at, writes)) = inner.control.take_if(|(at, _)| *at == index) {
                debug_assert_eq!(at, index);
                return Control::Applied(writes);
            }
            if inner.stopped || inner.aborted {
                return Control::Stopped;
            }
            if inner.installs > 0 {
                return Control::Overtaken;
            }
            self.wake.wait(&mut inner);
        }
    }

    pub fn control_applied(&self, index: u64, writes: Vec<MetaWrite>) {
        self.inner.lock().control = Some((index, writes));
        self.wake.notify_one();
    }

    pub fn stop(&self, abort: bool) {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        inner.aborted |= abort;
        self.wake.notify_all();
        self.installed.notify_all();
    }
}
