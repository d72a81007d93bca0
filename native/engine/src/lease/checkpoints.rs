//! When the remaining time of a long lease is due to be told to the other members, so that a new leader does not begin
//! its time anew.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

/// The leases that wait for their next checkpoint, in milliseconds of the caller's clock.
#[derive(Debug)]
pub(super) struct Checkpoints {
    interval_ms: u64,
    heap: BinaryHeap<Reverse<(u64, i64)>>,
    /// What the heap holds: a lease is in it once.
    scheduled: HashSet<i64>,
}

impl Checkpoints {
    pub fn new(interval_ms: u64) -> Self {
        Self {
            interval_ms,
            heap: BinaryHeap::new(),
            scheduled: HashSet::new(),
        }
    }

    /// Plans the next checkpoint of a lease that lasts `left_ms` from now; a shorter one needs none.
    pub fn schedule(&mut self, id: i64, left_ms: u64, now_ms: u64) {
        if left_ms > self.interval_ms && self.scheduled.insert(id) {
            let due_ms = now_ms.saturating_add(self.interval_ms);
            self.heap.push(Reverse((due_ms, id)));
        }
    }

    /// The next lease whose checkpoint is due.
    pub fn take_due(&mut self, now_ms: u64) -> Option<i64> {
        let Reverse((due_ms, id)) = *self.heap.peek()?;
        if due_ms > now_ms {
            return None;
        }
        self.heap.pop();
        self.scheduled.remove(&id);
        Some(id)
    }
}
