//! The hub against a store's history: each watcher receives exactly the events that it asked for.

use super::clients::{put, setup, spec};
use crate::watch::WatchEnd;

#[test]
fn a_synced_watcher_is_woken_once_until_it_takes() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"a", b"c", 0));
    put(&store, &hub, &["a", "b", "c"], 0);
    put(&store, &hub, &["x"], 0);
    put(&store, &hub, &["b"], 0);
    assert_eq!(clients.wakes.len(), 1);
    assert!(
        clients.take(0, 1),
        "the second revision is still to be taken"
    );
    assert!(!clients.take(0, 1));
    put(&store, &hub, &["a"], 0);
    assert_eq!(clients.wakes.len(), 2);
    clients.finish();
    assert_eq!(clients.all[0].as_ref().unwrap().received.len(), 4);
}

#[test]
fn a_start_in_the_future_waits_for_it() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"a", b"", 3));
    for _ in 0..5 {
        put(&store, &hub, &["a"], 0);
    }
    clients.finish();
    let received = &clients.all[0].as_ref().unwrap().received;
    assert_eq!(received.first().unwrap().revision, 3);
    assert_eq!(received.len(), 3);
}

#[test]
fn a_client_that_does_not_read_costs_a_bounded_queue() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"a", b"", 0));
    clients.register(spec(b"a", b"", 0));
    for _ in 0..500 {
        put(&store, &hub, &["a"], 200);
        while clients.take(1, usize::MAX) {}
        let limit = crate::limits::WATCH_QUEUE_BYTES_MAX + 1_000;
        assert!(hub.stats().retained_bytes <= limit);
    }
    assert_eq!(
        hub.stats().lagging,
        1,
        "only the one that did not read lags"
    );
    assert_eq!(clients.all[1].as_ref().unwrap().received.len(), 500);
    clients.finish();
    assert_eq!(hub.stats().lagging, 0);
    assert_eq!(hub.stats().retained_bytes, 0);
}

#[test]
fn a_revision_larger_than_the_queue_is_delivered_whole() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"\0", b"\0", 0));
    let keys: Vec<String> = (0..100).map(|i| format!("k{i:03}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for _ in 0..3 {
        put(&store, &hub, &keys, 50);
    }
    clients.register(spec(b"\0", b"\0", 1));
    clients.finish();
    for client in clients.all.iter().flatten() {
        assert_eq!(client.received.len(), 300);
    }
}

#[test]
fn a_compacted_start_is_told_the_compacted_revision() {
    let (store, hub, mut clients) = setup();
    for _ in 0..10 {
        put(&store, &hub, &["a"], 0);
    }
    store.compact(5);
    hub.compacted(5);
    clients.register(spec(b"a", b"", 4));
    clients.register(spec(b"a", b"", 5));
    clients.finish();
    let ends: Vec<_> = clients
        .all
        .iter()
        .flatten()
        .map(|client| client.end.clone())
        .collect();
    assert_eq!(
        ends,
        [
            Some(WatchEnd::Compacted {
                compact_revision: 5
            }),
            None
        ]
    );
}

#[test]
fn a_lagging_client_is_told_of_a_compaction_without_reading() {
    let (store, hub, mut clients) = setup();
    clients.register(spec(b"a", b"", 0));
    for _ in 0..100 {
        put(&store, &hub, &["a"], 200);
    }
    // The queue overflowed at some revision and what was in it is read again from the store, unless compacted.
    store.compact(100);
    hub.compacted(100);
    clients.finish();
    let client = clients.all[0].as_ref().unwrap();
    assert_eq!(
        client.end,
        Some(WatchEnd::Compacted {
            compact_revision: 100
        })
    );
}
