//! The pipeline's metrics, under etcd's names and in Prometheus text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::error::EtcdError;
use crate::metrics::{Histogram, head, scalar};
use crate::types::OpKind;
use crate::wal::WalMetrics;

const KINDS: [(OpKind, &str); 7] = [
    (OpKind::Put, "Put"),
    (OpKind::DeleteRange, "DeleteRange"),
    (OpKind::Txn, "Txn"),
    (OpKind::Compact, "Compaction"),
    (OpKind::LeaseGrant, "LeaseGrant"),
    (OpKind::LeaseRevoke, "LeaseRevoke"),
    (OpKind::LeaseCheckpoint, "LeaseCheckpoint"),
];

/// Durations by success.
struct BySuccess([Histogram; 2]);

impl BySuccess {
    fn new(first_bound: f64, bounds: usize) -> Self {
        Self([(); 2].map(|()| Histogram::doubling(first_bound, bounds)))
    }

    fn observe(&self, success: bool, duration: Duration) {
        self.0[usize::from(success)].seconds(duration);
    }

    /// Labels in the order of their names, as etcd's; `version` stands last.
    fn render(&self, out: &mut String, name: &str, kind: (&str, &str), version: &str) {
        for (histogram, success) in self.0.iter().zip([false, true]) {
            if histogram.count() > 0 {
                let (label, kind) = kind;
                let labels = format!("{label}=\"{kind}\",success=\"{success}\"{version}");
                histogram.render(out, name, &labels);
            }
        }
    }
}

fn by_operation(first_bound: f64, bounds: usize) -> [BySuccess; KINDS.len()] {
    KINDS.map(|_| BySuccess::new(first_bound, bounds))
}

/// A read that passes the log by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadKind {
    /// A range.
    Range,
    /// A txn of ranges.
    Txn,
}

/// A read that took long, as the log describes it.
pub struct SlowRead<'e> {
    /// What it was.
    pub kind: ReadKind,
    /// What it asked for.
    pub request: String,
    /// How large the answer is.
    pub response: String,
    /// Why there is none.
    pub error: Option<&'e EtcdError>,
}

const READS: [(ReadKind, &str); 2] = [(ReadKind::Range, "Range"), (ReadKind::Txn, "ReadonlyTxn")];

/// Everything that the pipeline counts.
pub struct Metrics {
    wal: Arc<WalMetrics>,
    apply: [BySuccess; KINDS.len()],
    request: [BySuccess; KINDS.len()],
    reads: [BySuccess; READS.len()],
    /// Applies slower than the warning time.
    pub slow_apply: AtomicU64,
    /// Requests that ended with an error before they were applied.
    pub proposals_failed: AtomicU64,
    /// Read indexes that did not come in time.
    pub slow_read_indexes: AtomicU64,
    /// Read indexes that failed.
    pub read_indexes_failed: AtomicU64,
    /// Batches closed.
    pub batches: AtomicU64,
    /// Requests in them.
    pub requests: AtomicU64,
}

/// Values that are read when the metrics are, not counted.
pub struct Gauges {
    /// Commit index.
    pub committed: u64,
    /// Applied index.
    pub applied: u64,
    /// Requests waiting.
    pub pending: usize,
}

impl Metrics {
    /// All zero but for the WAL's own.
    pub fn new(wal: Arc<WalMetrics>) -> Self {
        Self {
            wal,
            apply: by_operation(0.0001, 20),
            request: by_operation(0.001, 14),
            reads: READS.map(|_| BySuccess::new(0.001, 14)),
            slow_apply: AtomicU64::new(0),
            proposals_failed: AtomicU64::new(0),
            slow_read_indexes: AtomicU64::new(0),
            read_indexes_failed: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// One operation was applied.
    pub fn applied(&self, kind: OpKind, success: bool, duration: Duration) {
        self.apply[kind as usize - 1].observe(success, duration);
    }

    /// One request was answered after it was applied; `duration` is since its batch was opened.
    pub fn answered(&self, kind: OpKind, success: bool, duration: Duration) {
        self.request[kind as usize - 1].observe(success, duration);
    }

    /// A read was answered; `duration` is since it came.
    pub fn read_answered(&self, kind: ReadKind, success: bool, duration: Duration) {
        self.reads[kind as usize].observe(success, duration);
    }

    /// Prometheus text exposition.
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut out = String::new();
        let o = &mut out;
        for (name, help, of) in [
            (
                "etcd_disk_wal_fsync_duration_seconds",
                "Time of one sync of the write-ahead log.",
                &self.wal.fsync,
            ),
            (
                "etcd_disk_wal_write_duration_seconds",
                "Time of one write to the write-ahead log.",
                &self.wal.write,
            ),
            (
                "etcd_snap_fsync_duration_seconds",
                "The latency distributions of fsync called by snap.",
                &self.wal.mark_fsync,
            ),
            (
                "etcd_debugging_snap_save_total_duration_seconds",
                "The total latency distributions of save called by snapshot.",
                &self.wal.mark,
            ),
        ] {
            head(o, name, "histogram", help);
            of.render(o, name, "");
        }
        for (name, kind, help, value) in self.scalars(gauges) {
            scalar(o, name, kind, help, value);
        }
        let name = "etcd_server_apply_duration_seconds";
        head(o, name, "histogram", "Time to apply one operation.");
        for ((_, kind), by_success) in KINDS.iter().zip(&self.apply) {
            by_success.render(o, name, ("op", kind), ",version=\"v3\"");
        }
        let name = "etcd_server_request_duration_seconds";
        head(o, name, "histogram", "Time from a request to its result.");
        for ((_, kind), by_success) in KINDS.iter().zip(&self.request) {
            by_success.render(o, name, ("type", kind), "");
        }
        for ((_, kind), by_success) in READS.iter().zip(&self.reads) {
            by_success.render(o, name, ("type", kind), "");
        }
        out
    }

    fn scalars(&self, gauges: &Gauges) -> [(&'static str, &'static str, &'static str, u64); 10] {
        [
            (
                "etcd_disk_wal_write_bytes_total",
                "gauge",
                "Bytes written to the write-ahead log.",
                self.wal.written_bytes.load(Relaxed),
            ),
            (
                "etcd_server_proposals_committed_total",
                "gauge",
                "Commit index.",
                gauges.committed,
            ),
            (
                "etcd_server_proposals_applied_total",
                "gauge",
                "Applied index.",
                gauges.applied,
            ),
            (
                "etcd_server_proposals_pending",
                "gauge",
                "Requests that wait for their answer.",
                gauges.pending as u64,
            ),
            (
                "etcd_server_proposals_failed_total",
                "counter",
                "Requests that failed before they were applied.",
                self.proposals_failed.load(Relaxed),
            ),
            (
                "etcd_server_slow_apply_total",
                "counter",
                "Applies over the warning time.",
                self.slow_apply.load(Relaxed),
            ),
            (
                "etcd_server_slow_read_indexes_total",
                "counter",
                "Read indexes that did not come in time.",
                self.slow_read_indexes.load(Relaxed),
            ),
            (
                "etcd_server_read_indexes_failed_total",
                "counter",
                "Read indexes that failed.",
                self.read_indexes_failed.load(Relaxed),
            ),
            (
                "netcd_batches_total",
                "counter",
                "Batches closed.",
                self.batches.load(Relaxed),
            ),
            (
                "netcd_batch_requests_total",
                "counter",
                "Requests in the batches closed.",
                self.requests.load(Relaxed),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_sums_are_seconds() {
        let metrics = Metrics::new(Arc::default());
        for _ in 0..2 {
            metrics.wal.fsync.seconds(Duration::from_micros(1500));
        }
        metrics.wal.fsync.seconds(Duration::from_secs(100));
        metrics.applied(OpKind::Put, true, Duration::from_micros(50));
        let text = metrics.render(&Gauges {
            committed: 5,
            applied: 4,
            pending: 3,
        });
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        has("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.001\"} 0");
        has("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.002\"} 2");
        has("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"} 2");
        has("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} 3");
        has("etcd_disk_wal_fsync_duration_seconds_sum 100.003");
        has(
            "etcd_server_apply_duration_seconds_count{op=\"Put\",success=\"true\",version=\"v3\"} 1",
        );
        has("etcd_server_proposals_applied_total 4");
        assert!(!text.contains("op=\"Txn\""));
        metrics.read_answered(ReadKind::Txn, true, Duration::from_secs(5));
        let text = metrics.render(&Gauges {
            committed: 5,
            applied: 4,
            pending: 3,
        });
        let name = "etcd_server_request_duration_seconds_bucket";
        let labels = "type=\"ReadonlyTxn\",success=\"true\"";
        assert!(text.contains(&format!("{name}{{{labels},le=\"4.096\"}} 0\n")));
        assert!(text.contains(&format!("{name}{{{labels},le=\"8.192\"}} 1\n")));
    }
}
