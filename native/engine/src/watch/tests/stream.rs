//! A Watch stream over a store of its own, and what it says decoded.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};
use prost::Message;

use super::STUCK;
use super::store::FakeStore;
use crate::error::EtcdError;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use crate::types::Identity;
use crate::watch::{SessionConfig, WatchHub, WatchOutput, WatchSession};

pub(super) const IDENTITY: Identity = Identity {
    cluster_id: 11,
    member_id: 12,
};
pub(super) const TERM: u64 = 5;

/// What a session wrote.
#[derive(Default)]
pub(super) struct Messages {
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
    pub fn decode(&self) -> Vec<WatchResponse> {
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
pub(super) struct Stream {
    pub past: Arc<FakeStore>,
    pub hub: Arc<WatchHub>,
    pub session: WatchSession,
    pub wakes: Receiver<()>,
    /// Said already, and not looked at.
    pub kept: Vec<WatchResponse>,
}

fn allow(_: &[u8], _: &[u8]) -> Result<(), EtcdError> {
    Ok(())
}

pub(super) fn session_on(
    hub: &Arc<WatchHub>,
    fragment_bytes: usize,
) -> (WatchSession, Receiver<()>) {
    let (sender, wakes) = unbounded();
    let config = SessionConfig {
        identity: IDENTITY,
        fragment_bytes,
    };
    let wake = Box::new(move || sender.send(()).expect("the test still listens"));
    (WatchSession::new(hub.clone(), config, wake), wakes)
}

impl Stream {
    pub fn new() -> Self {
        Self::with_fragments_of(1 << 20)
    }

    pub fn with_fragments_of(fragment_bytes: usize) -> Self {
        let past = Arc::new(FakeStore::at_revision_1());
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
    pub fn commit(&self, changes: &[(&str, Option<&str>)]) -> i64 {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let changes: Vec<_> = changes
            .iter()
            .map(|(key, value)| (bytes(key), value.map(bytes)))
            .collect();
        let (revision, events) = self.past.commit(&changes);
        self.hub.notify(revision, &events);
        revision
    }

    pub fn put(&self, key: &str, value: &str) -> i64 {
        self.commit(&[(key, Some(value))])
    }

    pub fn compact(&self, revision: i64) {
        self.past.compact(revision);
        self.hub.compacted(revision);
    }

    pub fn send(&mut self, request: RequestUnion) {
        let request = WatchRequest {
            request_union: Some(request),
        };
        self.session.request(request, &allow);
    }

    pub fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.send(RequestUnion::CreateRequest(request));
        let mut said = self.said();
        assert!(said[0].created, "{said:?}");
        // The hub's thread may have been quick with events of the past.
        self.kept = said.split_off(1);
        said.remove(0)
    }

    pub fn cancel(&mut self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
    }

    pub fn progress(&mut self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    /// All that can be written now.
    pub fn said(&mut self) -> Vec<WatchResponse> {
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
    pub fn said_until(&mut self, done: impl Fn(&[WatchResponse]) -> bool) -> Vec<WatchResponse> {
        let mut all = self.said();
        while !done(&all) {
            self.wakes.recv_timeout(STUCK).expect("a wake");
            all.extend(self.said());
        }
        all
    }
}

pub(super) fn watch(key: &str, end: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        ..WatchCreateRequest::default()
    }
}

pub(super) fn from(start_revision: i64, request: WatchCreateRequest) -> WatchCreateRequest {
    WatchCreateRequest {
        start_revision,
        ..request
    }
}

/// Keys and revisions of the events.
pub(super) fn events(said: &[WatchResponse]) -> Vec<(String, i64)> {
    let events = said.iter().flat_map(|response| &response.events);
    let kvs = events.map(|event| event.kv.as_ref().expect("a key-value"));
    kvs.map(|kv| (String::from_utf8_lossy(&kv.key).into(), kv.mod_revision))
        .collect()
}

pub(super) fn revision(response: &WatchResponse) -> i64 {
    response.header.as_ref().expect("a header").revision
}
