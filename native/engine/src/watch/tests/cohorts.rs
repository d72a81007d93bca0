//! Watchers of the same keys are one to the hub, and nobody can tell.

use std::collections::BTreeMap;

use prost::Message;

use super::stream::{Messages, Stream, TERM, events, revision, watch};
use crate::limits::WATCH_QUEUE_BYTES_MAX;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchResponse};

/// Revisions of the events by watcher.
fn by_watcher(said: &[WatchResponse]) -> BTreeMap<i64, Vec<i64>> {
    let mut all: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for response in said.iter().filter(|response| !response.events.is_empty()) {
        let revisions = events(std::slice::from_ref(response));
        let revisions = revisions.into_iter().map(|(_, revision)| revision);
        all.entry(response.watch_id).or_default().extend(revisions);
    }
    all
}

/// The one response that fits.
fn one(stream: &mut Stream) -> WatchResponse {
    let mut messages = Messages::default();
    stream.session.write(&mut messages, 1, TERM);
    let mut said = messages.decode();
    assert_eq!(said.len(), 1);
    said.remove(0)
}

#[test]
fn who_comes_later_is_not_told_of_what_was_before() {
    let mut stream = Stream::new();
    stream.create(watch("a", "c"));
    stream.put("a", "1");
    stream.send(RequestUnion::CreateRequest(watch("a", "c")));
    stream.put("b", "2");
    stream.send(RequestUnion::CreateRequest(watch("a", "c")));
    stream.send(RequestUnion::CreateRequest(watch("a", "b")));
    stream.put("a", "3");
    assert_eq!(stream.hub.stats().watchers, 4);
    let said = stream.said();
    let created: Vec<_> = said.iter().filter(|it| it.created).collect();
    let began: Vec<_> = created
        .iter()
        .map(|it| (it.watch_id, revision(it)))
        .collect();
    assert_eq!(began, [(1, 2), (2, 3), (3, 3)]);
    let told = BTreeMap::from([
        (0, vec![2, 3, 4]),
        (1, vec![3, 4]),
        (2, vec![4]),
        (3, vec![4]),
    ]);
    assert_eq!(by_watcher(&said), told);
    assert_eq!(stream.hub.stats().retained_bytes, 0);
}

#[test]
fn watchers_come_and_go_in_the_middle_of_a_turn() {
    let mut stream = Stream::new();
    for id in 0..6 {
        assert_eq!(stream.create(watch("a", "")).watch_id, id);
    }
    stream.put("a", "1");
    assert_eq!(
        by_watcher(&[one(&mut stream)]),
        BTreeMap::from([(0, vec![2])])
    );
    assert_eq!(
        by_watcher(&[one(&mut stream)]),
        BTreeMap::from([(1, vec![2])])
    );
    // One that has been told, one that has not, and a new one.
    stream.cancel(0);
    stream.cancel(3);
    stream.send(RequestUnion::CreateRequest(watch("a", "")));
    let said = stream.said();
    assert!(said[0].canceled && said[1].canceled && said[2].created);
    let told = BTreeMap::from([(2, vec![2]), (4, vec![2]), (5, vec![2])]);
    assert_eq!(by_watcher(&said), told);
    stream.put("a", "2");
    let told: BTreeMap<_, _> = [1, 2, 4, 5, 6].map(|id| (id, vec![3])).into();
    assert_eq!(by_watcher(&stream.said()), told);
    // All of them, while it is their turn.
    stream.put("a", "3");
    one(&mut stream);
    for id in [1, 2, 4, 5, 6] {
        stream.cancel(id);
    }
    assert!(stream.said().iter().all(|it| it.canceled));
    let stats = stream.hub.stats();
    assert_eq!((stats.watchers, stats.retained_bytes), (0, 0));
    assert_eq!(stream.session.watchers(), 0);
}

#[test]
fn progress_waits_for_the_last_of_a_turn() {
    let mut stream = Stream::new();
    for _ in 0..3 {
        stream.create(watch("a", ""));
    }
    stream.put("a", "1");
    one(&mut stream);
    stream.progress();
    let said = stream.said();
    let ids: Vec<_> = said.iter().map(|it| it.watch_id).collect();
    assert_eq!(ids, [1, 2, -1]);
}

#[test]
fn progress_is_told_to_those_who_always_have_events() {
    let mut stream = Stream::new();
    for watch_id in 1..=2 {
        stream.create(WatchCreateRequest {
            watch_id,
            ..watch("a", "")
        });
    }
    // Each piece ends in the middle of a turn: with one response of the last put and one of the next.
    stream.put("a", "0");
    let bytes = one(&mut stream).encoded_len();
    stream.progress();
    for _ in 0..3 {
        stream.put("a", "1");
        let mut messages = Messages::default();
        assert!(stream.session.write(&mut messages, bytes + 1, TERM));
        if messages.decode().iter().any(|said| said.watch_id == -1) {
            return;
        }
    }
    panic!("no progress was told");
}

#[test]
fn a_compaction_ends_only_those_who_lost_something() {
    let mut stream = Stream::new();
    stream.create(watch("a", ""));
    stream.put("a", "before");
    stream.send(RequestUnion::CreateRequest(watch("a", "")));
    let value = "v".repeat(WATCH_QUEUE_BYTES_MAX / 4);
    for _ in 0..8 {
        stream.put("a", &value);
    }
    assert_eq!(stream.hub.stats().lagging, 2, "they fell behind together");
    // Revision 2 is gone, which only the first wanted.
    stream.compact(3);
    let said = stream.said_until(|said| {
        let told = by_watcher(said);
        told.get(&1).is_some_and(|told| told.len() == 8) && said.iter().any(|it| it.canceled)
    });
    let ended: Vec<_> = said.iter().filter(|it| it.canceled).collect();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].watch_id, ended[0].compact_revision), (0, 3));
    assert_eq!(by_watcher(&said), BTreeMap::from([(1, (3..=10).collect())]));
    stream.cancel(0);
    stream.put("a", "after");
    let said = stream.said_until(|said| !by_watcher(said).is_empty());
    assert_eq!(by_watcher(&said), BTreeMap::from([(1, vec![11])]));
}
