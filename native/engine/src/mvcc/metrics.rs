//! What the store counts, under etcd's names and in Prometheus text. Fed from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::metrics::{Histogram, head, scalar};

/// The requests of one operation.
#[derive(Clone, Copy, Default)]
pub(super) struct Operation {
    pub ranges: u64,
    pub puts: u64,
    pub deletes: u64,
    /// Keys and values that were put.
    pub put_bytes: u64,
}

/// The store's counters since it was opened.
pub(super) struct StoreMetrics {
    /// What clients asked for. etcd 3.7 also counts its own looks: one for each comparison of a txn, each put or deletion
    /// that needs what was there before, each watch event with prev_kv, each compaction and each GET of /health.
    ranges: AtomicU64,
    puts: AtomicU64,
    deletes: AtomicU64,
    txns: AtomicU64,
    put_bytes: AtomicU64,
    compacted_revisions: AtomicU64,
    /// Seconds since 1970, 0 = never.
    last_compaction: AtomicU64,
    defragmenting: AtomicU64,
    commit: Histogram,
    /// The part of a commit in which LMDB writes and syncs.
    commit_write: Histogram,
    /// Copies of the store for other members.
    copy: Histogram,
    /// Stores from other members: their sync, and all from the first byte on.
    received_sync: Histogram,
    received: Histogram,
    /// By success.
    range: [Histogram; 2],
    defragment: Histogram,
    /// etcd's sum over its whole file, which this store has not: it stays empty.
    hash: Histogram,
    hash_revision: Histogram,
    compaction: Histogram,
    compaction_pause: Histogram,
    index_pause: Histogram,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            ranges: zero(),
            puts: zero(),
            deletes: zero(),
            txns: zero(),
            put_bytes: zero(),
            compacted_revisions: zero(),
            last_compaction: zero(),
            defragmenting: zero(),
            commit: Histogram::doubling(0.001, 14),
            commit_write: Histogram::doubling(0.001, 14),
            copy: Histogram::doubling(0.01, 17),
            received_sync: Histogram::doubling(0.001, 14),
            received: Histogram::doubling(0.1, 10),
            range: [(); 2].map(|()| Histogram::doubling(0.0001, 20)),
            defragment: Histogram::doubling(0.1, 13),
            hash: Histogram::doubling(0.01, 15),
            hash_revision: Histogram::doubling(0.01, 15),
            compaction: Histogram::doubling(100.0, 14),
            compaction_pause: Histogram::doubling(1.0, 13),
            index_pause: Histogram::doubling(0.5, 14),
        }
    }
}

impl StoreMetrics {
    /// An operation ended: all its requests at once, as a txn if there were several.
    pub fn operation(&self, operation: Operation) {
        let Operation {
            ranges,
            puts,
            deletes,
            put_bytes,
        } = operation;
        for (counter, count) in [
            (&self.ranges, ranges),
            (&self.puts, puts),
            (&self.deletes, deletes),
            (&self.put_bytes, put_bytes),
            (&self.txns, u64::from(ranges + puts + deletes > 1)),
        ] {
            if count > 0 {
                counter.fetch_add(count, Relaxed);
            }
        }
    }

    /// So many ranges of one read.
    pub fn read(&self, ranges: u64) {
        self.operation(Operation {
            ranges,
            ..Operation::default()
        });
    }

    /// A range ended.
    pub fn ranged(&self, success: bool, took: Duration) {
        self.range[usize::from(success)].seconds(took);
    }

    /// A commit of the revision tree; `write` is the part in which LMDB wrote and synced.
    pub fn committed(&self, took: Duration, write: Duration) {
        self.commit.seconds(took);
        self.commit_write.seconds(write);
    }

    /// A copy of the store was made.
    pub fn copied(&self, took: Duration) {
        self.copy.seconds(took);
    }

    /// A store from another member is here, `took` after its first byte.
    pub fn received(&self, took: Duration, sync: Duration) {
        self.received_sync.seconds(sync);
        self.received.seconds(took);
    }

    /// A commit of a compaction.
    pub fn compaction_paused(&self, took: Duration) {
        self.compaction_pause.milliseconds(took);
    }

    /// A step of a compaction that kept the index locked.
    pub fn index_paused(&self, took: Duration) {
        self.index_pause.milliseconds(took);
    }

    /// A compaction that removed so many revisions ended.
    pub fn compacted(&self, took: Duration, removed: usize) {
        self.compaction.milliseconds(took);
        self.compacted_revisions.fetch_add(removed as u64, Relaxed);
        // A clock before 1970 counts as never.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.last_compaction
            .store(now.map_or(0, |now| now.as_secs()), Relaxed);
    }

    /// A HashKV.
    pub fn hashed(&self, took: Duration) {
        self.hash_revision.seconds(took);
    }

    /// Counts a defragmentation until the answer is dropped.
    pub fn defragmenting(&self) -> Defragmenting<'_> {
        self.defragmenting.fetch_add(1, Relaxed);
        Defragmenting(self, Instant::now())
    }

    /// Prometheus text exposition; `read_txns` are open in the revision tree.
    pub fn render(&self, read_txns: usize) -> String {
        let mut out = String::new();
        let o = &mut out;
        let name = "etcd_mvcc_db_open_read_transactions";
        let help = "Read transactions open in the revision tree.";
        scalar(o, name, "gauge", help, read_txns as u64);
        for (name, kind, help, of) in self.scalars() {
            scalar(o, name, kind, help, of.load(Relaxed));
        }
        for (name, help, histogram) in self.histograms() {
            head(o, name, "histogram", help);
            histogram.render(o, name, "");
        }
        let name = "etcd_server_range_duration_seconds";
        if self.range.iter().any(|range| range.count() > 0) {
            head(o, name, "histogram", "Time of one range.");
        }
        for (range, success) in self.range.iter().zip([false, true]) {
            if range.count() > 0 {
                range.render(o, name, &format!("success=\"{success}\""));
            }
        }
        out
    }

    #[rustfmt::skip]
    fn scalars(&self) -> [(&'static str, &'static str, &'static str, &AtomicU64); 8] {
        [
            ("etcd_mvcc_range_total", "counter", "Ranges.", &self.ranges),
            ("etcd_mvcc_put_total", "counter", "Puts.", &self.puts),
            ("etcd_mvcc_delete_total", "counter", "Deletes.", &self.deletes),
            ("etcd_mvcc_txn_total", "counter", "Transactions of several requests.", &self.txns),
            ("etcd_debugging_mvcc_total_put_size_in_bytes", "gauge", "Bytes of keys and values put.", &self.put_bytes),
            ("etcd_debugging_mvcc_db_compaction_keys_total", "counter", "Revisions that compactions removed.", &self.compacted_revisions),
            ("etcd_debugging_mvcc_db_compaction_last", "gauge", "When the last compaction ended, in seconds since 1970.", &self.last_compaction),
            ("etcd_disk_defrag_inflight", "gauge", "1 while the database is defragmented.", &self.defragmenting),
        ]
    }

    #[rustfmt::skip]
    fn histograms(&self) -> [(&'static str, &'static str, &Histogram); 11] {
        [
            ("etcd_disk_backend_commit_duration_seconds", "Time of one commit of the revision tree.", &self.commit),
            ("etcd_debugging_disk_backend_commit_write_duration_seconds", "Part of a commit in which pages are written and synced.", &self.commit_write),
            ("etcd_disk_backend_snapshot_duration_seconds", "Time of one copy of the store for another member.", &self.copy),
            ("etcd_snap_db_fsync_duration_seconds", "Time of the sync of one store that came from another member.", &self.received_sync),
            ("etcd_snap_db_save_total_duration_seconds", "Time in which one store came from another member and was saved.", &self.received),
            ("etcd_disk_backend_defrag_duration_seconds", "Time of one defragmentation.", &self.defragment),
            ("etcd_mvcc_hash_duration_seconds", "Time of one hash of the whole store.", &self.hash),
            ("etcd_mvcc_hash_rev_duration_seconds", "Time of one hash up to a revision.", &self.hash_revision),
            ("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "Time of one compaction.", &self.compaction),
            ("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "Time of one commit of a compaction.", &self.compaction_pause),
            ("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", "Time for which a step of a compaction locked the index.", &self.index_pause),
        ]
    }
}

/// A defragmentation that runs.
pub(super) struct Defragmenting<'m>(&'m StoreMetrics, Instant);

impl Drop for Defragmenting<'_> {
    fn drop(&mut self) {
        self.0.defragmenting.fetch_sub(1, Relaxed);
        self.0.defragment.seconds(self.1.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_several_requests_are_txns() {
        let metrics = StoreMetrics::default();
        metrics.read(1);
        metrics.operation(Operation {
            ranges: 1,
            puts: 2,
            deletes: 0,
            put_bytes: 7,
        });
        let text = metrics.render(0);
        for expected in [
            "etcd_mvcc_range_total 2\n",
            "etcd_mvcc_put_total 2\n",
            "etcd_mvcc_delete_total 0\n",
            "etcd_mvcc_txn_total 1\n",
            "etcd_debugging_mvcc_total_put_size_in_bytes 7\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn durations_fall_into_doubling_buckets() {
        let metrics = StoreMetrics::default();
        metrics.committed(Duration::from_millis(3), Duration::from_millis(1));
        metrics.compacted(Duration::from_millis(150), 4);
        drop(metrics.defragmenting());
        let text = metrics.render(0);
        for expected in [
            "etcd_disk_backend_commit_duration_seconds_bucket{le=\"0.002\"} 0\n",
            "etcd_disk_backend_commit_duration_seconds_bucket{le=\"0.004\"} 1\n",
            "etcd_disk_backend_commit_duration_seconds_bucket{le=\"8.192\"} 1\n",
            "etcd_disk_backend_commit_duration_seconds_sum 0.003\n",
            "compaction_total_duration_milliseconds_bucket{le=\"100\"} 0\n",
            "compaction_total_duration_milliseconds_bucket{le=\"819200\"} 1\n",
            "etcd_debugging_mvcc_db_compaction_keys_total 4\n",
            "etcd_disk_backend_defrag_duration_seconds_count 1\n",
            "etcd_disk_defrag_inflight 0\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }
}
