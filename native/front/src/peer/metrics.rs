//! The links' counters in Prometheus text, under etcd's names. A peer has a line as soon as there is something to count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use netcd_engine::metrics::{Histogram, head, line};

use super::counters::PeerCounters;

/// A metric of every peer: its name behind `etcd_network_`, type and label, help, and where it is counted.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    fn(&PeerCounters) -> &AtomicU64,
);

#[rustfmt::skip]
const ROWS: [Row; 10] = [
    ("peer_sent_bytes_total", "counter", "To", "Bytes sent to another member.", |c| &c.sent_bytes),
    ("peer_received_bytes_total", "counter", "From", "Bytes received from another member.", |c| &c.received_bytes),
    ("peer_sent_failures_total", "counter", "To", "Messages to another member that were dropped.", |c| &c.sent_failures),
    ("peer_received_failures_total", "counter", "From", "Streams from another member that broke.", |c| &c.received_failures),
    ("snapshot_send_success", "counter", "To", "Stores sent to another member.", |c| &c.copies_out.arrived),
    ("snapshot_send_failures", "counter", "To", "Stores that did not arrive there.", |c| &c.copies_out.failed),
    ("snapshot_send_inflights_total", "gauge", "To", "Stores on their way to another member.", |c| &c.copies_out.running),
    ("snapshot_receive_success", "counter", "From", "Stores received from another member.", |c| &c.copies_in.arrived),
    ("snapshot_receive_failures", "counter", "From", "Stores from another member that did not arrive.", |c| &c.copies_in.failed),
    ("snapshot_receive_inflights_total", "gauge", "From", "Stores on their way from another member.", |c| &c.copies_in.running),
];

/// The same for histograms.
type HistogramRow = (
    &'static str,
    &'static str,
    &'static str,
    fn(&PeerCounters) -> &Histogram,
);

#[rustfmt::skip]
const HISTOGRAMS: [HistogramRow; 3] = [
    ("peer_round_trip_time_seconds", "To", "Time of one ping to another member and back.", |c| &c.round_trip),
    ("snapshot_send_total_duration_seconds", "To", "Time of one store to another member.", |c| &c.copies_out.took),
    ("snapshot_receive_total_duration_seconds", "From", "Time of one store from another member.", |c| &c.copies_in.took),
];

/// The text of all peers' counters, as the member `local` has them.
pub(super) fn render(local: u64, peers: &[(u64, Arc<PeerCounters>)]) -> String {
    let mut out = String::new();
    render_links(&mut out, local, peers);
    for (name, kind, label, help, of) in ROWS {
        let name = format!("etcd_network_{name}");
        let values = peers
            .iter()
            .map(|(id, counters)| (id, of(counters).load(Relaxed)));
        let counted: Vec<_> = values.filter(|(_, value)| *value > 0).collect();
        if !counted.is_empty() {
            head(&mut out, &name, kind, help);
        }
        for (id, value) in counted {
            line(
                &mut out,
                format_args!("{name}{{{label}=\"{id:x}\"}} {value}"),
            );
        }
    }
    for (name, label, help, of) in HISTOGRAMS {
        let name = format!("etcd_network_{name}");
        let all = peers.iter().map(|(id, counters)| (id, of(counters)));
        let counted: Vec<_> = all.filter(|(_, of)| of.count() > 0).collect();
        if !counted.is_empty() {
            head(&mut out, &name, "histogram", help);
        }
        for (id, histogram) in counted {
            histogram.render(&mut out, &name, &format!("{label}=\"{id:x}\""));
        }
    }
    out
}

/// Which links are up, and those that were.
fn render_links(out: &mut String, local: u64, peers: &[(u64, Arc<PeerCounters>)]) {
    if peers.is_empty() {
        return;
    }
    let between = |id| format!("{{Local=\"{local:x}\",Remote=\"{id:x}\"}}");
    let name = "etcd_network_active_peers";
    head(
        out,
        name,
        "gauge",
        "1 for every other member whose link is up.",
    );
    for (id, counters) in peers {
        let active = counters.active.load(Relaxed);
        line(out, format_args!("{name}{} {active}", between(*id)));
    }
    let name = "etcd_network_disconnected_peers_total";
    let help = "Links to other members that were up and have ended.";
    let lost = |counters: &PeerCounters| counters.disconnects.load(Relaxed);
    if peers.iter().any(|(_, counters)| lost(counters) > 0) {
        head(out, name, "counter", help);
    }
    for (id, counters) in peers.iter().filter(|(_, counters)| lost(counters) > 0) {
        line(
            out,
            format_args!("{name}{} {}", between(*id), lost(counters)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::counters::add;

    #[test]
    fn a_peer_has_a_line_when_there_is_something_to_count() {
        let counters = Arc::new(PeerCounters::default());
        let peers = [(0xab, Arc::clone(&counters)), (0xcd, Arc::default())];
        assert_eq!(render(1, &[]), "");
        add(&counters.active, 1);
        let active = "etcd_network_active_peers{Local=\"1\",Remote=";
        let text = render(1, &peers);
        assert!(text.ends_with(&format!("{active}\"ab\"}} 1\n{active}\"cd\"}} 0\n")));
        add(&counters.sent_bytes, 7);
        add(&counters.disconnects, 2);
        let (lost, kept) = (counters.copies_out.begin(), counters.copies_out.begin());
        assert!(render(1, &peers).contains("snapshot_send_inflights_total{To=\"ab\"} 2\n"));
        drop(lost);
        kept.arrived();
        let text = render(1, &peers);
        for expected in [
            "etcd_network_disconnected_peers_total{Local=\"1\",Remote=\"ab\"} 2\n",
            "etcd_network_peer_sent_bytes_total{To=\"ab\"} 7\n",
            "etcd_network_snapshot_send_success{To=\"ab\"} 1\n",
            "etcd_network_snapshot_send_failures{To=\"ab\"} 1\n",
            "etcd_network_snapshot_send_total_duration_seconds_count{To=\"ab\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        for missing in ["To=\"cd\"", "inflights", "receive"] {
            assert!(!text.contains(missing), "{missing} in {text}");
        }
    }
}
