//! The rules of one Watch stream, response by response.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use super::stream::{Stream, TERM, events, from, revision, watch};
use crate::error::{self, EtcdError};
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};

#[test]
fn ids_are_chosen_or_given_and_not_given_twice() {
    let mut stream = Stream::new();
    let given = |watch_id| WatchCreateRequest {
        watch_id,
        ..watch("a", "")
    };
    assert_eq!(stream.create(given(1)).watch_id, 1);
    assert_eq!(stream.create(given(0)).watch_id, 0);
    assert_eq!(stream.create(given(0)).watch_id, 2, "1 is taken");
    assert_eq!(stream.create(given(-7)).watch_id, -7);
    let refused = stream.create(given(2));
    assert!(refused.created && refused.canceled);
    assert_eq!(refused.watch_id, -1);
    assert_eq!(
        refused.cancel_reason,
        "mvcc: duplicate watch ID provided on the WatchStream"
    );
    stream.cancel(2);
    let said = stream.said();
    assert!(said[0].canceled && !said[0].created && said[0].watch_id == 2);
    assert_eq!(said[0].cancel_reason, "");
    assert_eq!(stream.create(given(2)).watch_id, 2);
    assert_eq!(
        stream.create(given(0)).watch_id,
        3,
        "numbers are not reused"
    );
    stream.cancel(99);
    assert!(stream.said().is_empty(), "an unknown id is not answered");
    assert_eq!(stream.session.watchers(), 5);
}

#[test]
fn headers_name_member_term_and_revision() {
    let mut stream = Stream::new();
    stream.put("a", "1");
    let created = stream.create(watch("a", ""));
    let header = created.header.expect("a header");
    assert_eq!((header.cluster_id, header.member_id), (11, 12));
    assert_eq!((header.raft_term, header.revision), (TERM, 2));
    stream.put("a", "2");
    stream.put("a", "3");
    stream.put("b", "4");
    let said = stream.said();
    assert_eq!(events(&said), [("a".into(), 3), ("a".into(), 4)]);
    assert_eq!(revision(said.last().expect("events")), 4);
    stream.cancel(0);
    assert_eq!(revision(&stream.said()[0]), 5);
}

#[test]
fn refusals_have_etcds_texts() {
    let mut stream = Stream::new();
    for (request, reason) in [
        (watch("b", "a"), "mvcc: watcher range is empty"),
        (watch("b", "b"), "mvcc: watcher range is empty"),
        (
            from(-1, watch("b", "a")),
            "etcdserver: mvcc: required revision has been compacted",
        ),
    ] {
        let refused = stream.create(request);
        assert!(refused.created && refused.canceled);
        assert_eq!(
            (refused.watch_id, refused.cancel_reason.as_str()),
            (-1, reason)
        );
        assert_eq!((refused.compact_revision, revision(&refused)), (0, 1));
    }
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(watch("a", "b"))),
    };
    stream.session.request(request, &|key, end| {
        assert_eq!((key, end), (&b"a"[..], &b"b"[..]));
        Err(EtcdError::new(
            error::Code::PermissionDenied,
            "etcdserver: permission denied",
        ))
    });
    let refused = stream.said().remove(0);
    assert!(refused.created && refused.canceled && refused.watch_id == -1);
    assert_eq!(
        refused.cancel_reason,
        "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    );
    assert_eq!(stream.session.watchers(), 0);
}

#[test]
fn keys_ranges_and_all_keys() {
    let mut stream = Stream::new();
    for (request, wanted) in [
        (watch("a", ""), vec!["a"]),
        (watch("a", "b"), vec!["a", "aa"]),
        (watch("aa", "\0"), vec!["aa", "b"]),
        (watch("", ""), vec!["\0"]),
        (watch("", "\0"), vec!["\0", "a", "aa", "b"]),
        (watch("", "a"), vec!["\0"]),
    ] {
        let id = stream.create(request).watch_id;
        let revision = stream.commit(&[
            ("\0", Some("")),
            ("a", Some("")),
            ("aa", Some("")),
            ("b", Some("")),
        ]);
        let said = stream.said();
        assert_eq!(said.len(), 1, "one revision is one response");
        let wanted: Vec<_> = wanted
            .into_iter()
            .map(|key| (key.to_string(), revision))
            .collect();
        assert_eq!(events(&said), wanted);
        stream.cancel(id);
        stream.said();
    }
}

#[test]
fn filters_and_unknown_filters() {
    let mut stream = Stream::new();
    for filters in [vec![0], vec![1], vec![7], vec![0, 1]] {
        stream.create(WatchCreateRequest {
            filters,
            ..watch("a", "")
        });
    }
    stream.put("a", "1");
    stream.commit(&[("a", None)]);
    let mut by_watcher: BTreeMap<i64, Vec<i32>> = BTreeMap::new();
    for response in stream.said() {
        let kinds = response.events.iter().map(|event| event.r#type);
        by_watcher
            .entry(response.watch_id)
            .or_default()
            .extend(kinds);
    }
    assert_eq!(
        by_watcher,
        BTreeMap::from([(0, vec![1]), (1, vec![0]), (2, vec![0, 1])])
    );
}

#[test]
fn past_future_and_compacted_starts() {
    let mut stream = Stream::new();
    for i in 0..20 {
        stream.put("a", &i.to_string());
    }
    assert_eq!(stream.create(from(5, watch("a", ""))).watch_id, 0);
    let said = stream.said_until(|said| events(said).len() == 17);
    assert_eq!(events(&said).first(), Some(&("a".into(), 5)));
    assert!(said.len() > 1, "bounded responses");
    assert!(
        said.iter().all(|response| revision(response) == 21),
        "the store's revision"
    );
    assert!(stream.create(from(24, watch("a", ""))).created);
    for _ in 22..=24 {
        stream.put("a", "x");
    }
    let of = |said: &[WatchResponse], id| -> Vec<_> {
        said.iter()
            .filter(|response| response.watch_id == id)
            .cloned()
            .collect()
    };
    let said = stream.said_until(|said| events(&of(said, 0)).len() == 3 && !of(said, 1).is_empty());
    assert_eq!(events(&of(&said, 1)), [("a".into(), 24)]);
    stream.compact(10);
    stream.send(RequestUnion::CreateRequest(from(9, watch("a", ""))));
    let said = stream.said_until(|said| said.len() == 2);
    assert!(said[0].created && !said[0].canceled && said[0].watch_id == 2);
    assert!(said[1].canceled && !said[1].created && said[1].watch_id == 2);
    assert_eq!((said[1].compact_revision, revision(&said[1])), (10, 0));
    assert_eq!(said[1].cancel_reason, "");
    // The id is taken until the client has cancelled it.
    let again = WatchCreateRequest {
        watch_id: 2,
        ..watch("a", "")
    };
    assert_eq!(stream.create(again.clone()).watch_id, -1);
    stream.cancel(2);
    assert!(stream.said()[0].canceled);
    assert_eq!(stream.create(again).watch_id, 2);
}

#[test]
fn previous_values() {
    let mut stream = Stream::new();
    stream.create(WatchCreateRequest {
        prev_kv: true,
        ..watch("a", "")
    });
    stream.put("a", "1");
    stream.put("a", "2");
    stream.commit(&[("a", None)]);
    let said = stream.said();
    let before: Vec<_> = said
        .iter()
        .flat_map(|response| &response.events)
        .map(|event| {
            event
                .prev_kv
                .as_ref()
                .map(|kv| (kv.mod_revision, kv.value.clone()))
        })
        .collect();
    assert_eq!(
        before,
        [
            None,
            Some((2, Bytes::from("1"))),
            Some((3, Bytes::from("2")))
        ]
    );
}

#[test]
fn fragments_split_between_events_only() {
    let mut stream = Stream::with_fragments_of(300);
    let value = "v".repeat(100);
    let changes: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|key| (key, Some(value.as_str())))
        .to_vec();
    stream.create(WatchCreateRequest {
        fragment: true,
        ..watch("a", "z")
    });
    stream.create(watch("a", "z"));
    stream.commit(&changes);
    let said = stream.said();
    let fragments: Vec<_> = said.iter().filter(|r| r.watch_id == 0).collect();
    let whole: Vec<_> = said.iter().filter(|r| r.watch_id == 1).collect();
    assert_eq!(whole.len(), 1, "not split without being asked");
    assert!(!whole[0].fragment && whole[0].events.len() == 5);
    let flags: Vec<_> = fragments.iter().map(|r| r.fragment).collect();
    assert_eq!(flags, [true, true, false]);
    assert!(
        fragments
            .iter()
            .all(|r| r.encoded_len() < 300 && revision(r) == 2)
    );
    let all: Vec<_> = fragments.iter().flat_map(|r| r.events.clone()).collect();
    assert_eq!(all, whole[0].events);
    // One event is never split, and what fits is no fragment.
    stream.put("a", &"v".repeat(1000));
    let said = stream.said();
    assert!(said.iter().all(|r| !r.fragment && r.events.len() == 1));
}
