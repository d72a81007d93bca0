//! When a stream tells of progress.

use super::stream::{Stream, events, from, revision, watch};
use crate::limits::WATCH_QUEUE_BYTES_MAX;
use crate::proto::etcdserverpb::WatchCreateRequest;

#[test]
fn progress_on_request_when_all_are_synced() {
    let mut stream = Stream::new();
    stream.progress();
    assert!(stream.said().is_empty(), "no watcher, no answer");
    stream.create(watch("a", ""));
    stream.create(watch("b", ""));
    stream.put("c", "");
    stream.progress();
    let said = stream.said();
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].watch_id, revision(&said[0])), (-1, 2));
    assert!(said[0].events.is_empty() && !said[0].created && !said[0].canceled);
    // What is queued goes out first.
    stream.put("a", "");
    stream.put("b", "");
    stream.progress();
    let said = stream.said();
    assert_eq!(said.len(), 3);
    assert_eq!((said[2].watch_id, revision(&said[2])), (-1, 4));
    // A watcher of the future is not there yet.
    let id = stream.create(from(6, watch("c", ""))).watch_id;
    stream.progress();
    assert!(stream.said().is_empty());
    stream.cancel(id);
    stream.said();
    stream.progress();
    assert_eq!(stream.said().len(), 1);
}

#[test]
fn no_progress_while_a_watcher_lags() {
    let mut stream = Stream::new();
    stream.create(watch("a", "b"));
    stream.create(watch("z", ""));
    let value = "v".repeat(WATCH_QUEUE_BYTES_MAX / 4);
    for _ in 0..8 {
        stream.put("a", &value);
    }
    stream.progress();
    let said = stream.said_until(|said| events(said).len() == 8);
    assert!(said.iter().all(|response| response.watch_id == 0));
    // It is synced again when it has everything; the request may be repeated then.
    while !stream.said().iter().any(|response| response.watch_id == -1) {
        stream.progress();
    }
}

#[test]
fn progress_notifications_spare_those_with_events() {
    let mut stream = Stream::new();
    assert!(!stream.session.wants_progress());
    let notified = |request| WatchCreateRequest {
        progress_notify: true,
        ..request
    };
    stream.create(notified(watch("a", "")));
    stream.create(watch("b", ""));
    stream.create(notified(from(4, watch("c", ""))));
    assert!(stream.session.wants_progress());
    stream.session.tick_progress();
    let said = stream.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((said[0].watch_id, revision(&said[0])), (0, 1));
    stream.put("a", "");
    assert_eq!(stream.said().len(), 1);
    stream.session.tick_progress();
    assert!(stream.said().is_empty(), "its event said as much");
    stream.put("x", "");
    stream.put("x", "");
    stream.session.tick_progress();
    let said: Vec<_> = stream
        .said()
        .iter()
        .map(|r| (r.watch_id, revision(r)))
        .collect();
    assert_eq!(said, [(0, 4), (2, 4)]);
}
