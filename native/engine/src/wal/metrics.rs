//! What the WAL counts: durations of its writes and syncs, and bytes. Read from any thread.

use std::sync::atomic::AtomicU64;

use crate::metrics::Histogram;

/// The WAL's counters.
#[derive(Debug)]
pub struct WalMetrics {
    /// Durations of fdatasync.
    pub fsync: Histogram,
    /// Durations of writes.
    pub write: Histogram,
    /// Bytes written.
    pub written_bytes: AtomicU64,
    /// Segments that exist.
    pub segments: AtomicU64,
}

impl Default for WalMetrics {
    fn default() -> Self {
        Self {
            fsync: Histogram::doubling(0.001, 14),
            write: Histogram::doubling(0.001, 14),
            written_bytes: AtomicU64::new(0),
            segments: AtomicU64::new(0),
        }
    }
}
