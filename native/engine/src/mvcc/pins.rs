//! Revisions that running reads need: a compaction waits for the reads below it, up to a deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The pins of a store.
#[derive(Default, Debug)]
pub(super) struct Pins {
    pins: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    next: u64,
    /// (revision, number) → whether the pin was broken.
    held: BTreeMap<(i64, u64), Arc<AtomicBool>>,
}

/// Keeps what is visible at one revision; lets go when dropped.
#[derive(Debug)]
pub(super) struct Pin {
    pins: Arc<Pins>,
    id: (i64, u64),
    broken: Arc<AtomicBool>,
}

impl Pins {
    /// Pins `revision`. The caller has checked, under the store's lock, that it is not compacted.
    pub fn pin(self: &Arc<Self>, revision: i64) -> Pin {
        let mut state = self.pins.lock();
        let id = (revision, state.next);
        state.next += 1;
        let broken = Arc::new(AtomicBool::new(false));
        state.held.insert(id, Arc::clone(&broken));
        Pin {
            pins: Arc::clone(self),
            id,
            broken,
        }
    }

    /// Whether a read below `revision` is running.
    pub fn any_below(&self, revision: i64) -> bool {
        self.pins
            .lock()
            .held
            .first_key_value()
            .is_some_and(|(id, _)| id.0 < revision)
    }

    /// Ends the patience with reads below `revision`: they will fail with the compacted error.
    pub fn break_below(&self, revision: i64) {
        let mut state = self.pins.lock();
        let kept = state.held.split_off(&(revision, 0));
        for broken in std::mem::replace(&mut state.held, kept).values() {
            broken.store(true, Ordering::Release);
        }
    }
}

impl Pin {
    /// Whether the compaction went on without waiting any longer.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.pins.lock().held.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_below_are_seen_until_dropped_or_broken() {
        let pins = Arc::new(Pins::default());
        let five = pins.pin(5);
        let six = pins.pin(6);
        assert!(pins.any_below(6) && !pins.any_below(5));
        pins.break_below(6);
        assert!(five.is_broken() && !six.is_broken());
        assert!(!pins.any_below(6) && pins.any_below(7));
        drop(five);
        drop(six);
        assert!(!pins.any_below(i64::MAX));
    }
}
