//! The hub's metrics, under etcd's names and in Prometheus text.

use std::time::Duration;

use crate::metrics::{Histogram, head, scalar};

use super::WatchStats;

/// What one piece of a stream's answers holds.
#[derive(Clone, Copy, Default)]
pub(super) struct Written {
    /// Answers to requests for watchers.
    pub created: u64,
    /// Other answers.
    pub others: u64,
    /// Answers among those that hold events, and their events.
    pub with_events: u64,
    /// See `with_events`.
    pub events: u64,
}

/// How long answers take until they are encoded for their streams: what etcd measures of the loop that sends them. Here
/// many are written in one piece, of which each has an equal part of the time.
pub(super) struct SendLoop {
    watch: Histogram,
    per_event: Histogram,
    control: Histogram,
    progress: Histogram,
}

impl Default for SendLoop {
    fn default() -> Self {
        let histogram = || Histogram::doubling(0.001, 14);
        Self {
            watch: histogram(),
            per_event: histogram(),
            control: histogram(),
            progress: histogram(),
        }
    }
}

impl SendLoop {
    /// A piece was written.
    pub fn wrote(&self, took: Duration, piece: Written) {
        let answers = piece.created + piece.others;
        let each = took.as_secs_f64() / answers.max(1) as f64;
        if piece.created > 0 {
            self.control.observe_times(each, piece.created);
        }
        if piece.others > 0 {
            self.watch.observe_times(each, piece.others);
        }
        if piece.events > 0 {
            let per_event = each * piece.with_events as f64 / piece.events as f64;
            self.per_event.observe_times(per_event, piece.with_events);
        }
    }

    /// All watchers of a stream were looked at for progress.
    pub fn told_progress(&self, took: Duration) {
        self.progress.seconds(took);
    }

    fn render(&self, out: &mut String) {
        let rows = [
            (
                "watch_stream_duration_seconds",
                "The total duration in seconds of running through the send loop watch stream response all events.",
                &self.watch,
            ),
            (
                "watch_stream_duration_per_event_seconds",
                "The average duration in seconds of running through the send loop watch stream response, per event.",
                &self.per_event,
            ),
            (
                "control_stream_duration_seconds",
                "The total duration in seconds of running through the send loop control stream response.",
                &self.control,
            ),
            (
                "progress_duration_seconds",
                "The total duration in seconds of running through the progress loop control stream response.",
                &self.progress,
            ),
        ];
        for (name, help, histogram) in rows {
            let name = format!("etcd_debugging_server_watch_send_loop_{name}");
            head(out, &name, "histogram", help);
            histogram.render(out, &name, "");
        }
    }
}

/// The text of all metrics.
pub(super) fn render(stats: &WatchStats, send_loop: &SendLoop) -> String {
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
    send_loop.render(&mut out);
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
        let send_loop = SendLoop::default();
        let piece = Written {
            created: 1,
            others: 3,
            with_events: 2,
            events: 8,
        };
        send_loop.wrote(Duration::from_millis(400), piece);
        send_loop.told_progress(Duration::from_millis(1));
        let text = render(&stats, &send_loop);
        for line in [
            "etcd_debugging_mvcc_watch_stream_total 1",
            "etcd_debugging_mvcc_watcher_total 2",
            "etcd_debugging_mvcc_slow_watcher_total 3",
            "etcd_debugging_mvcc_pending_events_total 4",
            "etcd_debugging_mvcc_events_total 5",
            "# TYPE etcd_debugging_mvcc_events_total counter",
            "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds_count 3",
            "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds_count 2",
            "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds_sum 0.05",
            "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds_sum 0.1",
            "etcd_debugging_server_watch_send_loop_progress_duration_seconds_count 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}");
        }
    }
}
