//! Watchers whose client loses the right to see their keys.

use std::sync::Arc;

use super::stream::{Messages, Stream, TERM, events, from, revision, watch};
use crate::auth::{AUTH_ENABLED, AUTH_REVISION, Auth};
use crate::error::{EtcdError, PERMISSION_DENIED};
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchResponse};

const DENIED: &str = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";

/// Permits keys that begin with `a`.
fn only_a(key: &[u8], range_end: &[u8]) -> Result<(), EtcdError> {
    let within = key.starts_with(b"a") && (range_end.is_empty() || range_end <= &b"b"[..]);
    if within && range_end != b"\0" {
        Ok(())
    } else {
        Err(PERMISSION_DENIED)
    }
}

fn canceled(said: &[WatchResponse]) -> Vec<(i64, bool, &str)> {
    let canceled = said.iter().filter(|it| it.canceled);
    canceled
        .map(|it| (it.watch_id, it.created, it.cancel_reason.as_str()))
        .collect()
}

#[test]
fn those_refused_are_cancelled_with_the_reason_and_the_others_go_on() {
    let mut stream = Stream::new();
    for request in [
        watch("a", ""),
        watch("b", ""),
        watch("a", "b"),
        watch("a", "c"),
        watch("a", "\0"),
        watch("b", ""),
    ] {
        stream.create(request);
    }
    stream.session.recheck(&only_a);
    let said = stream.said();
    assert!(said.iter().all(|it| revision(it) == 1));
    let mut ended = canceled(&said);
    ended.sort_unstable();
    assert_eq!(ended, [1, 3, 4, 5].map(|id| (id, false, DENIED)));
    assert_eq!(stream.session.watchers(), 2);
    assert_eq!(stream.hub.stats().watchers, 2);
    stream.commit(&[("a", Some("1")), ("b", Some("1"))]);
    let told = events(&stream.said());
    assert_eq!(told, [("a".to_owned(), 2), ("a".to_owned(), 2)]);
    // A cancelled id is free again, and a client's cancellation of it has no answer, as of one that never was.
    stream.cancel(1);
    assert_eq!(stream.said(), []);
}

#[test]
fn what_was_queued_is_not_told_and_no_turn_is_left() {
    let mut stream = Stream::new();
    for _ in 0..3 {
        stream.create(watch("b", ""));
    }
    stream.put("b", "1");
    stream.put("b", "2");
    // One member has been given the turn's events, two have not.
    let mut messages = Messages::default();
    assert!(stream.session.write(&mut messages, 1, TERM));
    assert_eq!(messages.decode().len(), 1);
    stream.session.recheck(&only_a);
    let said = stream.said();
    assert_eq!(canceled(&said).len(), 3);
    assert_eq!(events(&said), []);
    assert_eq!(stream.hub.stats().retained_bytes, 0);
    stream.put("b", "3");
    assert_eq!(stream.said(), []);
}

#[test]
fn progress_goes_on_without_them() {
    let mut stream = Stream::new();
    let notified = |key| WatchCreateRequest {
        progress_notify: true,
        ..watch(key, "")
    };
    stream.create(notified("a"));
    stream.create(notified("b"));
    stream.session.recheck(&only_a);
    stream.said();
    assert!(stream.session.wants_progress());
    stream.session.tick_progress();
    let told: Vec<_> = stream.said().iter().map(|it| it.watch_id).collect();
    assert_eq!(told, [0]);
    stream.session.recheck(&|_, _| Err(PERMISSION_DENIED));
    assert!(!stream.session.wants_progress());
}

#[test]
fn one_that_a_compaction_ended_is_not_cancelled_twice() {
    let mut stream = Stream::new();
    for value in ["1", "2", "3", "4"] {
        stream.put("b", value);
    }
    stream.compact(4);
    stream.send(RequestUnion::CreateRequest(from(2, watch("b", ""))));
    let said = stream.said_until(|said| said.iter().any(|it| it.canceled));
    assert_eq!(canceled(&said), [(0, false, "")]);
    stream.session.recheck(&only_a);
    assert_eq!(stream.said(), []);
}

#[test]
fn the_empty_key_is_asked_as_the_first_key() {
    let mut stream = Stream::new();
    let request = crate::proto::etcdserverpb::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(watch("", "\0"))),
    };
    stream.session.request(request, &|key, range_end| {
        assert_eq!((key, range_end), (&b"\0"[..], &b"\0"[..]));
        Err(PERMISSION_DENIED)
    });
    assert_eq!(canceled(&stream.said()), [(-1, true, DENIED)]);
}

#[test]
fn no_event_is_written_between_a_change_and_the_recheck() {
    let mut stream = Stream::new();
    let auth = Arc::<Auth>::default();
    stream.session.guard(Arc::clone(&auth));
    stream.create(watch("b", ""));
    stream.put("b", "1");
    assert_eq!(events(&stream.said()).len(), 1);

    auth.write(AUTH_REVISION, Some(&7u64.to_be_bytes()))
        .unwrap();
    stream.put("b", "2");
    let mut messages = Messages::default();
    assert!(stream.session.write(&mut messages, 1000, TERM));
    assert_eq!(messages.decode(), []);
    assert!(stream.session.is_outdated());
    // The recheck permits it: the event comes late and is not lost.
    stream.session.recheck(&|_, _| Ok(()));
    assert!(!stream.session.is_outdated());
    assert_eq!(events(&stream.said()), [("b".to_owned(), 3)]);

    auth.write(AUTH_ENABLED, Some(&[1])).unwrap();
    stream.put("b", "3");
    stream.session.recheck(&only_a);
    let said = stream.said();
    assert_eq!((events(&said), canceled(&said).len()), (vec![], 1));

    auth.tokens().clear();
    assert!(!stream.session.is_outdated(), "there was no token");
}
