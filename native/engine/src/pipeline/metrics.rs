//! The pipeline's metrics, under etcd's names and in Prometheus text.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::types::OpKind;
use crate::wal::{BUCKET_SECONDS, HistogramValues, WalMetrics};

/// Upper bounds in seconds of the apply and request histograms: 0.1 ms doubling, as etcd's.
const APPLY_BOUNDS: [f64; 14] = {
    let mut bounds = [0.0001; 14];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2.0;
        at += 1;
    }
    bounds
};

/// Counts durations of operations; any thread may feed it.
#[derive(Default)]
struct Histogram {
    /// One per bound, and one for what is above the last.
    buckets: [AtomicU64; APPLY_BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let at = APPLY_BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[at].fetch_add(1, Relaxed);
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Relaxed);
    }

    fn values(&self) -> HistogramValues {
        let buckets = std::array::from_fn(|at| self.buckets[at].load(Relaxed));
        HistogramValues {
            buckets,
            sum_seconds: self.sum_ns.load(Relaxed) as f64 / 1e9,
            count: buckets.iter().sum(),
        }
    }
}

fn histogram(
    out: &mut String,
    name: &str,
    labels: &str,
    bounds: &[f64; 14],
    values: &HistogramValues,
) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut total = 0;
    for (bound, bucket) in bounds.iter().zip(values.buckets) {
        total += bucket;
        let bucket = format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
        line(out, bucket);
    }
    let count = values.count;
    line(
        out,
        format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"),
    );
    let braces = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    };
    line(
        out,
        format_args!("{name}_sum{braces} {}", values.sum_seconds),
    );
    line(out, format_args!("{name}_count{braces} {count}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
    out.push('\n');
}

fn describe(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

const KINDS: [(OpKind, &str); 7] = [
    (OpKind::Put, "Put"),
    (OpKind::DeleteRange, "DeleteRange"),
    (OpKind::Txn, "Txn"),
    (OpKind::Compact, "Compaction"),
    (OpKind::LeaseGrant, "LeaseGrant"),
    (OpKind::LeaseRevoke, "LeaseRevoke"),
    (OpKind::LeaseCheckpoint, "LeaseCheckpoint"),
];

/// Duration histograms by kind of operation and by success.
#[derive(Default)]
struct ByOperation([[Histogram; 2]; 7]);

impl ByOperation {
    fn of(&self, kind: OpKind, success: bool) -> &Histogram {
        &self.0[kind as usize - 1][usize::from(success)]
    }

    fn render(&self, out: &mut String, name: &str, label: &str, prefix: &str) {
        for (kind, kind_name) in KINDS {
            for success in [false, true] {
                let values = self.of(kind, success).values();
                if values.count > 0 {
                    let labels = format!("{prefix}{label}=\"{kind_name}\",success=\"{success}\"");
                    histogram(out, name, &labels, &APPLY_BOUNDS, &values);
                }
            }
        }
    }
}

/// Everything that the pipeline counts.
pub struct Metrics {
    wal: Arc<WalMetrics>,
    apply: ByOperation,
    request: ByOperation,
    /// Applies slower than the warning time.
    pub slow_apply: AtomicU64,
    /// Requests that ended with an error before they were applied.
    pub proposals_failed: AtomicU64,
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
            apply: ByOperation::default(),
            request: ByOperation::default(),
            slow_apply: AtomicU64::new(0),
            proposals_failed: AtomicU64::new(0),
            read_indexes_failed: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// One operation was applied.
    pub fn applied(&self, kind: OpKind, success: bool, duration: Duration) {
        self.apply.of(kind, success).observe(duration);
    }

    /// One request was answered after it was applied; `duration` is since its batch was opened.
    pub fn answered(&self, kind: OpKind, success: bool, duration: Duration) {
        self.request.of(kind, success).observe(duration);
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
        ] {
            describe(o, name, "histogram", help);
            histogram(o, name, "", &BUCKET_SECONDS, &of.values());
        }
        for (name, kind, help, value) in self.scalars(gauges) {
            describe(o, name, kind, help);
            line(o, format_args!("{name} {value}"));
        }
        let name = "etcd_server_apply_duration_seconds";
        describe(o, name, "histogram", "Time to apply one operation.");
        self.apply.render(o, name, "op", "version=\"v3\",");
        let name = "etcd_server_request_duration_seconds";
        describe(o, name, "histogram", "Time from a request to its result.");
        self.request.render(o, name, "type", "");
        out
    }

    fn scalars(&self, gauges: &Gauges) -> [(&'static str, &'static str, &'static str, u64); 9] {
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
            metrics.wal.fsync.observe(Duration::from_micros(1500));
        }
        metrics.wal.fsync.observe(Duration::from_secs(100));
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
            "etcd_server_apply_duration_seconds_count{version=\"v3\",op=\"Put\",success=\"true\"} 1",
        );
        has("etcd_server_proposals_applied_total 4");
        assert!(!text.contains("op=\"Txn\""));
    }
}
