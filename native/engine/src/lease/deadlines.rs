//! When leases expire: a heap that may hold outdated entries, and the valid deadline of every lease.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Outdated entries that the heap may hold for each lease before it is rebuilt.
const STALE_FACTOR: usize = 4;
/// Entries below which the heap is not rebuilt.
const REBUILD_ENTRIES_MIN: usize = 1024;

/// Deadlines by lease, in milliseconds of the caller's clock.
#[derive(Default, Debug)]
pub(super) struct Deadlines {
    valid: HashMap<i64, Deadline>,
    heap: BinaryHeap<Reverse<(u64, i64)>>,
}

/// The two times of one lease.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    expires_ms: u64,
    /// When the heap names it: at expiry, or later when it was named already.
    wake_ms: u64,
}

impl Deadlines {
    /// Sets when a lease expires.
    pub fn set(&mut self, id: i64, expires_ms: u64) {
        self.schedule(id, expires_ms, expires_ms);
    }

    fn schedule(&mut self, id: i64, expires_ms: u64, wake_ms: u64) {
        self.valid.insert(
            id,
            Deadline {
                expires_ms,
                wake_ms,
            },
        );
        self.heap.push(Reverse((wake_ms, id)));
        if self.heap.len() > REBUILD_ENTRIES_MIN.max(self.valid.len() * STALE_FACTOR) {
            self.heap = self
                .valid
                .iter()
                .map(|(id, deadline)| Reverse((deadline.wake_ms, *id)))
                .collect();
        }
    }

    /// Forgets a lease.
    pub fn clear(&mut self, id: i64) {
        self.valid.remove(&id);
    }

    /// When a lease expires.
    pub fn get(&self, id: i64) -> Option<u64> {
        self.valid.get(&id).map(|deadline| deadline.expires_ms)
    }

    /// The next time at which `expired` has something.
    pub fn next_ms(&mut self) -> Option<u64> {
        while let Some(Reverse((wake_ms, id))) = self.heap.peek().copied() {
            if self.is_valid(id, wake_ms) {
                return Some(wake_ms);
            }
            self.heap.pop();
        }
        None
    }

    /// Up to `max` expired leases; each comes again after `retry_ms`.
    pub fn expired(&mut self, now_ms: u64, max: usize, retry_ms: u64) -> Vec<i64> {
        let mut ids = Vec::new();
        while ids.len() < max && self.next_ms().is_some_and(|wake_ms| wake_ms <= now_ms) {
            if let Some(Reverse((_, id))) = self.heap.pop() {
                ids.push(id);
                let expires_ms = self.valid[&id].expires_ms;
                self.schedule(id, expires_ms, now_ms.saturating_add(retry_ms.max(1)));
            }
        }
        ids
    }

    fn is_valid(&self, id: i64, wake_ms: u64) -> bool {
        self.valid
            .get(&id)
            .is_some_and(|deadline| deadline.wake_ms == wake_ms)
    }
}
