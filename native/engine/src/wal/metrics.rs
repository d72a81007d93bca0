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
    /// Durations of the sync that makes a mark durable up to which the log is forgotten: etcd's sync of a snapshot's file.
    pub mark_fsync: Histogram,
    /// Durations of all that such a mark takes: written, synced, and the segments before it removed.
    pub mark: Histogram,
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
            mark_fsync: Histogram::doubling(0.001, 14),
            mark: Histogram::doubling(0.001, 14),
            written_bytes: AtomicU64::new(0),
            segments: AtomicU64::new(0),
        }
    }
}
