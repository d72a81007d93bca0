//! The hub's metrics, under etcd's names and in Prometheus text.

use crate::metrics::scalar;

use super::WatchStats;

/// The text of all metrics.
pub(super) fn render(stats: &WatchStats) -> String {
    let mut out = String::new();
    let rows = [
        (
            "events_total",
            "counter",
            "Total number of events queued for watchers by this member.",
            stats.events_total,
        ),
        (
            "pending_events_total",
            "gauge",
            "Events that are queued and not yet sent.",
            stats.pending as u64,
        ),
        (
            "watch_stream_total",
            "gauge",
            "Open watch streams.",
            stats.streams as u64,
        ),
        (
            "watcher_total",
            "gauge",
            "Registered watchers.",
            stats.watchers as u64,
        ),
        (
            "slow_watcher_total",
            "gauge",
            "Watchers that catch up from the store.",
            stats.lagging as u64,
        ),
    ];
    for (name, kind, help, value) in rows {
        let name = format!("etcd_debugging_mvcc_{name}");
        scalar(&mut out, &name, kind, help, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_name() {
        let stats = WatchStats {
            streams: 1,
            watchers: 2,
            lagging: 3,
            pending: 4,
            events_total: 5,
            retained_bytes: 6,
        };
        let text = render(&stats);
        for line in [
            "etcd_debugging_mvcc_watch_stream_total 1",
            "etcd_debugging_mvcc_watcher_total 2",
            "etcd_debugging_mvcc_slow_watcher_total 3",
            "etcd_debugging_mvcc_pending_events_total 4",
            "etcd_debugging_mvcc_events_total 5",
            "# TYPE etcd_debugging_mvcc_events_total counter",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}");
        }
    }
}
