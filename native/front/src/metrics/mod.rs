//! The transport's counters. Each worker has its own and only its thread writes them; they are added up when somebody
//! asks for them in Prometheus text format (`text`).

mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::grpc::methods::{METHODS, MethodId};
use crate::limits::API_VERSIONS_COUNTED_MAX;
use crate::probes::{ProbeCounts, ProbeKind};
use crate::tls::{Reason, TlsSide};

pub(crate) use text::render;

/// The label values of grpc_code, by code; the audit log has the same.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// Upper bounds of the buckets of grpc_server_handling_seconds, as text and in microseconds.
const BUCKETS: [(&str, u64); 11] = [
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1", 1_000_000),
    ("2.5", 2_500_000),
    ("5", 5_000_000),
    ("10", 10_000_000),
];

#[derive(Debug, Default)]
struct MethodCounters {
    started: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    handled: [AtomicU64; CODES.len()],
    /// Calls by the first bucket that holds them; the last is above all bounds.
    durations: [AtomicU64; BUCKETS.len() + 1],
    duration_us: AtomicU64,
}

/// Calls of clients of one api version.
#[derive(Debug, Default, Clone)]
struct VersionCounters {
    version: String,
    unary: u64,
    stream: u64,
}

/// Handshakes with clients, or with members.
#[derive(Debug, Default)]
struct HandshakeCounters {
    full: AtomicU64,
    resumed: AtomicU64,
    failed: [AtomicU64; Reason::NAMES.len()],
}

/// The counters of one worker.
#[derive(Debug)]
pub(crate) struct WorkerMetrics {
    methods: Vec<MethodCounters>,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    versions: Mutex<Vec<VersionCounters>>,
    /// Good answers to probes.
    probes: [AtomicU64; ProbeKind::COUNT],
    tls: [HandshakeCounters; 2],
    extensive: bool,
}

/// Good answers to probes of all workers.
pub(crate) fn probe_counts(workers: &[Arc<WorkerMetrics>]) -> ProbeCounts {
    let of = |kind: ProbeKind| {
        let counts = workers.iter().map(|worker| &worker.probes[kind as usize]);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    };
    ProbeCounts {
        health: of(ProbeKind::Health),
        livez: of(ProbeKind::Livez),
        readyz: of(ProbeKind::Readyz),
    }
}

/// Adds to a counter that only this thread writes: cheaper than an atomic add.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

impl WorkerMetrics {
    pub(crate) fn new(extensive: bool) -> Self {
        Self {
            methods: METHODS.iter().map(|_| MethodCounters::default()).collect(),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            versions: Mutex::new(Vec::new()),
            probes: Default::default(),
            tls: Default::default(),
            extensive,
        }
    }

    fn of(&self, method: MethodId) -> &MethodCounters {
        &self.methods[usize::from(method.0)]
    }

    pub(crate) fn probe_answered(&self, kind: ProbeKind) {
        add(&self.probes[kind as usize], 1);
    }

    pub(crate) fn handshake_done(&self, side: TlsSide, resumed: bool) {
        let counters = &self.tls[side as usize];
        let counter = if resumed {
            &counters.resumed
        } else {
            &counters.full
        };
        add(counter, 1);
    }

    pub(crate) fn handshake_failed(&self, side: TlsSide, reason: Reason) {
        add(&self.tls[side as usize].failed[reason as usize], 1);
    }

    pub(crate) fn started(&self, method: MethodId) {
        add(&self.of(method).started, 1);
    }

    pub(crate) fn message_received(&self, method: MethodId, bytes: usize) {
        add(&self.of(method).received, 1);
        add(&self.received_bytes, bytes as u64);
    }

    pub(crate) fn message_sent(&self, method: MethodId, bytes: usize) {
        add(&self.of(method).sent, 1);
        add(&self.sent_bytes, bytes as u64);
    }

    pub(crate) fn handled(&self, method: MethodId, code: u8, started: Instant, now: Instant) {
        const UNKNOWN: usize = 2;
        let counters = self.of(method);
        let code = usize::from(code);
        add(
            &counters.handled[if code < CODES.len() { code } else { UNKNOWN }],
            1,
        );
        if self.extensive {
            let us = now.saturating_duration_since(started).as_micros() as u64;
            let bucket = BUCKETS
                .iter()
                .position(|(_, bound)| us <= *bound)
                .unwrap_or(BUCKETS.len());
            add(&counters.durations[bucket], 1);
            add(&counters.duration_us, us);
        }
    }

    pub(crate) fn client_request(&self, version: &str, unary: bool) {
        let mut versions = self.versions.lock();
        let at = versions
            .iter()
            .position(|known| known.version == version)
            .unwrap_or_else(|| {
                let version = if versions.len() < API_VERSIONS_COUNTED_MAX {
                    version
                } else {
                    "other"
                };
                versions
                    .iter()
                    .position(|known| known.version == version)
                    .unwrap_or_else(|| {
                        versions.push(VersionCounters {
                            version: version.to_owned(),
                            ..Default::default()
                        });
                        versions.len() - 1
                    })
            });
        let counters = &mut versions[at];
        if unary {
            counters.unary += 1;
        } else {
            counters.stream += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn workers_are_added_up() {
        let workers = [
            Arc::new(WorkerMetrics::new(true)),
            Arc::new(WorkerMetrics::new(true)),
        ];
        let range = MethodId::find("/etcdserverpb.KV/Range").unwrap();
        let start = Instant::now();
        for worker in &workers {
            worker.started(range);
            worker.message_received(range, 10);
            worker.message_sent(range, 20);
            worker.handled(range, 11, start, start + Duration::from_millis(7));
            worker.client_request("3.7", true);
        }
        workers[0].client_request("unknown", false);
        let text = render(&workers);
        let labels = "grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
        for expected in [
            format!("grpc_server_started_total{{{labels}}} 2\n"),
            format!("grpc_server_handled_total{{grpc_code=\"OutOfRange\",{labels}}} 2\n"),
            format!("grpc_server_handled_total{{grpc_code=\"OK\",{labels}}} 0\n"),
            format!("grpc_server_handling_seconds_bucket{{{labels},le=\"0.005\"}} 0\n"),
            format!("grpc_server_handling_seconds_bucket{{{labels},le=\"0.01\"}} 2\n"),
            format!("grpc_server_handling_seconds_sum{{{labels}}} 0.014\n"),
            "etcd_network_client_grpc_received_bytes_total 20\n".to_owned(),
            "etcd_network_client_grpc_sent_bytes_total 40\n".to_owned(),
            "etcd_server_client_requests_total{client_api_version=\"3.7\",type=\"unary\"} 2\n"
                .to_owned(),
            "etcd_server_client_requests_total{client_api_version=\"unknown\",type=\"stream\"} 1\n"
                .to_owned(),
        ] {
            assert!(text.contains(&expected), "{expected}");
        }
    }

    #[test]
    fn names_of_versions_are_bounded() {
        let worker = WorkerMetrics::new(false);
        for i in 0..API_VERSIONS_COUNTED_MAX * 3 {
            worker.client_request(&format!("v{i}"), true);
        }
        let versions = worker.versions.lock();
        assert_eq!(versions.len(), API_VERSIONS_COUNTED_MAX + 1);
        assert_eq!(
            versions.iter().map(|known| known.unary).sum::<u64>(),
            3 * API_VERSIONS_COUNTED_MAX as u64
        );
    }
}
