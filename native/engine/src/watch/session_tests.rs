//! The rules of one Watch stream, response by response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};
use parking_lot::Mutex;
use prost::Message;

use super::*;
use crate::error::{self, EtcdError};
use crate::limits::{WATCH_QUEUE_BYTES_MAX, WATCH_REPLIES_MAX};
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use crate::proto::mvccpb::{Event, KeyValue, event::EventType};
use crate::types::Identity;

/// Past this a wake was lost: the tests wait for events, never for time.
const STUCK: Duration = Duration::from_secs(60);
const IDENTITY: Identity = Identity {
    cluster_id: 11,
    member_id: 12,
};
const TERM: u64 = 5;

/// A store that keeps all its events.
#[derive(Default)]
struct Past(Mutex<PastState>);

#[derive(Default)]
struct PastState {
    /// Of revision i + 1.
    revisions: Vec<Vec<HubEvent>>,
    live: BTreeMap<Bytes, KeyValue>,
    before: BTreeMap<(Bytes, i64), Bytes>,
    compact_revision: i64,
}

impl History for Past {
    fn compact_revision(&self) -> i64 {
        self.0.lock().compact_revision
    }

    fn events(
        &self,
        from: i64,
        to: i64,
        max_bytes: usize,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<HistoryChunk, HistoryError> {
        let state = self.0.lock();
        let mut chunk = HistoryChunk {
            next: from,
            ..HistoryChunk::default()
        };
        let mut bytes = 0;
        while chunk.next <= to && bytes < max_bytes {
            for event in &state.revisions[chunk.next as usize - 1] {
                bytes += event.encoded.len();
                if wanted(&event.key) {
                    chunk.events.push((chunk.next, event.clone()));
                }
            }
            chunk.next += 1;
        }
        Ok(chunk)
    }

    fn previous(&self, key: &[u8], revision: i64) -> Option<Bytes> {
        let state = self.0.lock();
        let found = state.before.get(&(Bytes::copy_from_slice(key), revision));
        found.filter(|_| revision > state.compact_revision).cloned()
    }
}

#[derive(Default)]
struct Messages {
    flat: Vec<u8>,
    lengths: Vec<usize>,
}

impl WatchOutput for Messages {
    fn begin(&mut self, bytes: usize) {
        self.lengths.push(bytes);
    }
    fn copy(&mut self, part: &[u8]) {
        self.flat.extend_from_slice(part);
    }
    fn share(&mut self, part: &Bytes) {
        self.flat.extend_from_slice(part);
    }
    fn written(&self) -> usize {
        self.flat.len()
    }
}

impl Messages {
    fn decode(&self) -> Vec<WatchResponse> {
        let mut rest = &self.flat[..];
        let decode = |len: &usize| {
            let (message, tail) = rest.split_at(*len);
            rest = tail;
            WatchResponse::decode(message).expect("a response")
        };
        self.lengths.iter().map(decode).collect()
    }
}

/// A stream over a store of its own.
struct Stream {
    past: Arc<Past>,
    hub: Arc<WatchHub>,
    session: WatchSession,
    wakes: Receiver<()>,
    /// Said already, and not looked at.
    kept: Vec<WatchResponse>,
}

fn allow(_: &[u8], _: &[u8]) -> Result<(), EtcdError> {
    Ok(())
}

fn session_on(hub: &Arc<WatchHub>, fragment_bytes: usize) -> (WatchSession, Receiver<()>) {
    let (sender, wakes) = unbounded();
    let config = SessionConfig {
        identity: IDENTITY,
        fragment_bytes,
    };
    let wake = Box::new(move || sender.send(()).expect("the test still listens"));
    (WatchSession::new(hub.clone(), config, wake), wakes)
}

impl Stream {
    fn new() -> Self {
        Self::with_fragments_of(1 << 20)
    }

    fn with_fragments_of(fragment_bytes: usize) -> Self {
        let past = Arc::new(Past::default());
        // Revision 1 is the empty store's.
        past.0.lock().revisions.push(Vec::new());
        let hub = Arc::new(WatchHub::new(past.clone(), 1).expect("the thread starts"));
        let (session, wakes) = session_on(&hub, fragment_bytes);
        Self {
            past,
            hub,
            session,
            wakes,
            kept: Vec::new(),
        }
    }

    /// Commits puts (`Some`) and deletions as one revision.
    fn commit(&self, changes: &[(&str, Option<&str>)]) -> i64 {
        let mut state = self.past.0.lock();
        let revision = state.revisions.len() as i64 + 1;
        let mut events = Vec::new();
        for (key, value) in changes {
            let key = Bytes::copy_from_slice(key.as_bytes());
            let before = state.live.remove(&key);
            let version = before.as_ref().map_or(1, |kv| kv.version + 1);
            let mut kv = KeyValue {
                key: key.clone(),
                mod_revision: revision,
                ..KeyValue::default()
            };
            if let Some(value) = value {
                kv.create_revision = before.as_ref().map_or(revision, |kv| kv.create_revision);
                kv.version = version;
                kv.value = Bytes::copy_from_slice(value.as_bytes());
                state.live.insert(key.clone(), kv.clone());
            }
            let change = match (value, &before) {
                (None, _) => Change::Delete,
                (Some(_), None) => Change::Create,
                (Some(_), Some(_)) => Change::Update,
            };
            if let Some(before) = before {
                let before = before.encode_to_vec().into();
                state.before.insert((key.clone(), revision), before);
            }
            let event = Event {
                r#type: match value {
                    Some(_) => EventType::Put as i32,
                    None => EventType::Delete as i32,
                },
                kv: Some(kv),
                prev_kv: None,
            };
            events.push(HubEvent {
                key,
                encoded: event.encode_to_vec().into(),
                change,
            });
        }
        state.revisions.push(events.clone());
        drop(state);
        self.hub.notify(revision, &events);
        revision
    }

    fn put(&self, key: &str, value: &str) -> i64 {
        self.commit(&[(key, Some(value))])
    }

    fn compact(&self, revision: i64) {
        self.past.0.lock().compact_revision = revision;
        self.hub.compacted(revision);
    }

    fn send(&mut self, request: RequestUnion) {
        let request = WatchRequest {
            request_union: Some(request),
        };
        self.session.request(request, &allow);
    }

    fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.send(RequestUnion::CreateRequest(request));
        let mut said = self.said();
        assert!(said[0].created, "{said:?}");
        // The hub's thread may have been quick with events of the past.
        self.kept = said.split_off(1);
        said.remove(0)
    }

    fn cancel(&mut self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
    }

    fn progress(&mut self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    /// All that can be written now.
    fn said(&mut self) -> Vec<WatchResponse> {
        let mut all = std::mem::take(&mut self.kept);
        loop {
            let mut messages = Messages::default();
            let more = self.session.write(&mut messages, 1000, TERM);
            all.extend(messages.decode());
            if !more {
                return all;
            }
        }
    }

    /// Responses until `done`, waiting for wakes.
    fn said_until(&mut self, done: impl Fn(&[WatchResponse]) -> bool) -> Vec<WatchResponse> {
        let mut all = self.said();
        while !done(&all) {
            self.wakes.recv_timeout(STUCK).expect("a wake");
            all.extend(self.said());
        }
        all
    }
}

fn watch(key: &str, end: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        ..WatchCreateRequest::default()
    }
}

fn from(start_revision: i64, request: WatchCreateRequest) -> WatchCreateRequest {
    WatchCreateRequest {
        start_revision,
        ..request
    }
}

/// Keys and revisions of the events.
fn events(said: &[WatchResponse]) -> Vec<(String, i64)> {
    let events = said.iter().flat_map(|response| &response.events);
    let kvs = events.map(|event| event.kv.as_ref().expect("a key-value"));
    kvs.map(|kv| (String::from_utf8_lossy(&kv.key).into(), kv.mod_revision))
        .collect()
}

fn revision(response: &WatchResponse) -> i64 {
    response.header.as_ref().expect("a header").revision
}

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
