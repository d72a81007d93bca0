//! The watchers of a stream among each other: turns, wakes and bounds.

use super::STUCK;
use super::stream::{Messages, Stream, TERM, events, from, session_on, watch};
use crate::limits::{WATCH_REPLIES_MAX, WATCH_RESPONSE_BYTES};
use crate::proto::etcdserverpb::WatchResponse;
use crate::proto::etcdserverpb::watch_request::RequestUnion;

#[test]
fn neighbours_take_turns() {
    let mut stream = Stream::new();
    for _ in 0..30 {
        stream.put("a", &"v".repeat(90));
    }
    stream.send(RequestUnion::CreateRequest(from(2, watch("a", ""))));
    stream.send(RequestUnion::CreateRequest(watch("b", "")));
    // The first has much to say; the second's event does not wait for all of it.
    stream.wakes.recv_timeout(STUCK).expect("a wake");
    stream.put("b", "");
    let mut seen = 0;
    loop {
        let mut messages = Messages::default();
        let more = stream.session.write(&mut messages, 1, TERM);
        let said = messages.decode();
        assert!(said.len() <= 1, "bounded by what was asked for");
        let of_neighbour = |it: &WatchResponse| it.watch_id == 1 && !it.created;
        if said.iter().any(of_neighbour) {
            break;
        }
        seen += events(&said).len();
        if !more {
            stream.wakes.recv_timeout(STUCK).expect("a wake");
        }
    }
    assert!(seen < 30, "{seen} events before the neighbour's one");
}

#[test]
fn who_always_has_more_stands_in_line_once() {
    let mut stream = Stream::new();
    stream.create(watch("a", ""));
    for _ in 0..3 {
        stream.put("a", &"v".repeat(WATCH_RESPONSE_BYTES));
    }
    for _ in 0..50 {
        stream.put("a", &"v".repeat(WATCH_RESPONSE_BYTES));
        let mut messages = Messages::default();
        stream.session.write(&mut messages, 1, TERM);
        assert_eq!(messages.decode().len(), 1);
        assert!(stream.session.line.len() <= 1);
    }
}

#[test]
fn one_wake_for_many_watchers() {
    let mut stream = Stream::new();
    for _ in 0..50 {
        stream.create(watch("a", ""));
    }
    while stream.wakes.try_recv().is_ok() {}
    stream.put("a", "1");
    stream.put("a", "2");
    assert_eq!(stream.wakes.len(), 1);
    assert_eq!(events(&stream.said()).len(), 100);
    stream.put("a", "3");
    assert_eq!(stream.wakes.len(), 2);
}

#[test]
fn answers_are_bounded_and_all_ends_with_the_stream() {
    let mut stream = Stream::new();
    for _ in 0..WATCH_REPLIES_MAX {
        assert!(!stream.session.is_full());
        stream.send(RequestUnion::CreateRequest(watch("a", "")));
    }
    assert!(stream.session.is_full());
    assert_eq!(stream.said().len(), WATCH_REPLIES_MAX);
    assert!(!stream.session.is_full());
    stream.put("a", "queued");
    let (other, _wakes) = session_on(&stream.hub, 100);
    assert_eq!(stream.hub.stats().streams, 2);
    let hub = stream.hub.clone();
    drop((stream, other));
    let stats = hub.stats();
    assert_eq!(
        (stats.streams, stats.watchers, stats.retained_bytes),
        (0, 0, 0)
    );
}
