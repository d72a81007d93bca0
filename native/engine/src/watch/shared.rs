//! What the hub and its threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};

use parking_lot::{Condvar, Mutex};

use super::metrics::SendLoop;
use super::ports::History;
use super::registry::Registry;
use crate::limits::WATCH_RETAINED_BYTES_MAX;

/// See the file's head.
pub(super) struct Shared {
    pub(super) registry: Mutex<Registry>,
    /// Tells the catch-up thread that somebody is hungry or the hub closes.
    pub(super) work: Condvar,
    pub(super) history: Arc<dyn History>,
    /// The newest revision whose events are all queued.
    pub(super) current: AtomicI64,
    /// Bytes that queued events hold, each counted once.
    pub(super) retained: Arc<AtomicUsize>,
    /// Retained bytes past which laggards lose their queues.
    pub(super) sweep_at: AtomicUsize,
    /// Events put into queues so far.
    pub(super) queued_total: AtomicU64,
    /// Streams that have watchers here, or may have.
    pub(super) streams: AtomicUsize,
    pub(super) send_loop: SendLoop,
}

impl Shared {
    /// Nobody watches the store yet, whose newest revision is `current`.
    pub(super) fn new(history: Arc<dyn History>, current: i64) -> Self {
        Self {
            registry: Mutex::default(),
            work: Condvar::new(),
            history,
            current: AtomicI64::new(current),
            retained: Arc::default(),
            sweep_at: AtomicUsize::new(WATCH_RETAINED_BYTES_MAX),
            queued_total: AtomicU64::new(0),
            streams: AtomicUsize::new(0),
            send_loop: SendLoop::default(),
        }
    }
}
