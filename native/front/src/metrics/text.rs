//! The counters of all workers in Prometheus text format.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netcd_engine::metrics::{head, line};

use super::{BUCKETS, CODES, MethodCounters, VersionCounters, WorkerMetrics};
use crate::grpc::methods::{METHODS, Method};
use crate::tls::Reason;

/// All workers' counters as text.
pub(crate) fn render(workers: &[Arc<WorkerMetrics>]) -> String {
    let mut out = String::with_capacity(128 << 10);
    render_bytes(&mut out, workers);
    render_versions(&mut out, workers);
    render_handshakes(&mut out, workers);
    type Pick = fn(&MethodCounters) -> &AtomicU64;
    let per_method: [(&str, &str, Pick); 3] = [
        (
            "grpc_server_started_total",
            "Total number of RPCs started on the server.",
            |m| &m.started,
        ),
        (
            "grpc_server_msg_received_total",
            "Total number of RPC messages received on the server.",
            |m| &m.received,
        ),
        (
            "grpc_server_msg_sent_total",
            "Total number of RPC messages sent by the server.",
            |m| &m.sent,
        ),
    ];
    for (name, help, pick) in per_method {
        head(&mut out, name, "counter", help);
        for (at, method) in METHODS.iter().enumerate() {
            let n = sum(workers, |worker| pick(&worker.methods[at]));
            line(&mut out, format_args!("{name}{{{}}} {n}", labels(method)));
        }
    }
    render_handled(&mut out, workers);
    if workers.iter().any(|worker| worker.extensive) {
        render_durations(&mut out, workers);
    }
    out
}

fn sum<'a>(
    workers: &'a [Arc<WorkerMetrics>],
    pick: impl Fn(&'a WorkerMetrics) -> &'a AtomicU64,
) -> u64 {
    workers
        .iter()
        .map(|worker| pick(worker).load(Ordering::Relaxed))
        .sum()
}

fn labels(method: &Method) -> String {
    format!(
        "grpc_method=\"{}\",grpc_service=\"{}\",grpc_type=\"{}\"",
        method.name,
        method.service,
        method.kind.label()
    )
}

fn render_bytes(out: &mut String, workers: &[Arc<WorkerMetrics>]) {
    let received = sum(workers, |worker| &worker.received_bytes);
    let sent = sum(workers, |worker| &worker.sent_bytes);
    for (name, what, n) in [
        (
            "etcd_network_client_grpc_received_bytes_total",
            "received from",
            received,
        ),
        ("etcd_network_client_grpc_sent_bytes_total", "sent to", sent),
    ] {
        head(
            out,
            name,
            "counter",
            &format!("The total number of bytes {what} grpc clients."),
        );
        line(out, format_args!("{name} {n}"));
    }
}

/// The labels of both sides of TLS, by number.
const SIDES: [&str; 2] = ["client", "peer"];

fn render_handshakes(out: &mut String, workers: &[Arc<WorkerMetrics>]) {
    const DONE: &str = "netcd_tls_handshakes_total";
    head(
        out,
        DONE,
        "counter",
        "Total number of TLS handshakes that let somebody in.",
    );
    for (at, side) in SIDES.iter().enumerate() {
        let full = sum(workers, |worker| &worker.tls[at].full);
        let resumed = sum(workers, |worker| &worker.tls[at].resumed);
        for (value, n) in [("false", full), ("true", resumed)] {
            let labels = format!("resumed=\"{value}\",side=\"{side}\"");
            line(out, format_args!("{DONE}{{{labels}}} {n}"));
        }
    }
    const FAILED: &str = "netcd_tls_handshake_failures_total";
    head(
        out,
        FAILED,
        "counter",
        "Total number of connections that TLS did not let in.",
    );
    for (at, side) in SIDES.iter().enumerate() {
        for (reason, name) in Reason::NAMES.iter().enumerate() {
            let n = sum(workers, |worker| &worker.tls[at].failed[reason]);
            let labels = format!("reason=\"{name}\",side=\"{side}\"");
            line(out, format_args!("{FAILED}{{{labels}}} {n}"));
        }
    }
}

fn render_versions(out: &mut String, workers: &[Arc<WorkerMetrics>]) {
    const NAME: &str = "etcd_server_client_requests_total";
    let mut total: Vec<VersionCounters> = Vec::new();
    for worker in workers {
        for counters in worker.versions.lock().iter() {
            match total
                .iter_mut()
                .find(|known| known.version == counters.version)
            {
                Some(known) => {
                    known.unary += counters.unary;
                    known.stream += counters.stream;
                }
                None => total.push(counters.clone()),
            }
        }
    }
    if total.is_empty() {
        return;
    }
    head(
        out,
        NAME,
        "counter",
        "The total number of client requests per client version.",
    );
    for VersionCounters {
        version,
        unary,
        stream,
    } in total
    {
        let version = version
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        for (kind, n) in [("unary", unary), ("stream", stream)] {
            if n > 0 {
                line(
                    out,
                    format_args!("{NAME}{{client_api_version=\"{version}\",type=\"{kind}\"}} {n}"),
                );
            }
        }
    }
}

fn render_handled(out: &mut String, workers: &[Arc<WorkerMetrics>]) {
    const NAME: &str = "grpc_server_handled_total";
    head(
        out,
        NAME,
        "counter",
        "Total number of RPCs completed on the server, regardless of success or failure.",
    );
    for (at, method) in METHODS.iter().enumerate() {
        let labels = labels(method);
        for (code, name) in CODES.iter().enumerate() {
            let n = sum(workers, |worker| &worker.methods[at].handled[code]);
            line(
                out,
                format_args!("{NAME}{{grpc_code=\"{name}\",{labels}}} {n}"),
            );
        }
    }
}

fn render_durations(out: &mut String, workers: &[Arc<WorkerMetrics>]) {
    const NAME: &str = "grpc_server_handling_seconds";
    head(
        out,
        NAME,
        "histogram",
        "Histogram of response latency (seconds) of gRPC that had been handled by the server.",
    );
    for (at, method) in METHODS.iter().enumerate() {
        let labels = labels(method);
        let mut count = 0;
        for (bucket, (bound, _)) in BUCKETS.iter().enumerate() {
            count += sum(workers, |worker| &worker.methods[at].durations[bucket]);
            line(
                out,
                format_args!("{NAME}_bucket{{{labels},le=\"{bound}\"}} {count}"),
            );
        }
        count += sum(workers, |worker| {
            &worker.methods[at].durations[BUCKETS.len()]
        });
        let total = Duration::from_micros(sum(workers, |worker| &worker.methods[at].duration_us))
            .as_secs_f64();
        line(
            out,
            format_args!("{NAME}_bucket{{{labels},le=\"+Inf\"}} {count}"),
        );
        line(out, format_args!("{NAME}_sum{{{labels}}} {total}"));
        line(out, format_args!("{NAME}_count{{{labels}}} {count}"));
    }
}
