//! The encoded form of a WatchResponse, written in parts: its fields by hand, its events as they are shared.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use prost::encoding::{encode_varint, encoded_len_varint};

use super::{TakenEvent, WatchEnd};
use crate::types::Identity;

const HEADER: u8 = 1 << 3 | 2;
const WATCH_ID: u8 = 2 << 3;
const CREATED: u8 = 3 << 3;
const CANCELED: u8 = 4 << 3;
const COMPACT_REVISION: u8 = 5 << 3;
const CANCEL_REASON: u8 = 6 << 3 | 2;
const FRAGMENT: u8 = 7 << 3;
const EVENT: u8 = 11 << 3 | 2;

/// Takes the messages that a session writes.
pub trait WatchOutput {
    /// A message of `bytes` begins; its parts follow.
    fn begin(&mut self, bytes: usize);
    /// A part that the session needs back: to be copied.
    fn copy(&mut self, part: &[u8]);
    /// A part that many sessions share: to be copied, or kept.
    fn share(&mut self, part: &Bytes);
    /// Bytes written so far.
    fn written(&self) -> usize;
}

/// The fields of a WatchResponse before its events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Head {
    /// Of the header; 0 is left out.
    pub revision: i64,
    pub watch_id: i64,
    pub created: bool,
    pub canceled: bool,
    pub compact_revision: i64,
    pub cancel_reason: Arc<str>,
    pub fragment: bool,
}

impl Head {
    /// The head of the response that ends a watcher.
    pub fn end(watch_id: i64, end: &WatchEnd) -> Self {
        let head = Self {
            watch_id,
            canceled: true,
            ..Self::default()
        };
        match end {
            WatchEnd::Compacted { compact_revision } => Self {
                compact_revision: *compact_revision,
                ..head
            },
            WatchEnd::Failed(reason) => Self {
                cancel_reason: reason.as_str().into(),
                ..head
            },
        }
    }
}

/// Encodes responses of one member.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Cluster and member id of the header, encoded.
    identity: Vec<u8>,
    /// The last header, and the revision and term in it: those who are told of one change are told it with one header.
    header: Vec<u8>,
    header_of: (i64, u64),
    /// The head that is being written.
    head: Vec<u8>,
}

impl Encoder {
    pub fn new(identity: Identity) -> Self {
        let mut encoded = Vec::with_capacity(22);
        put_int(&mut encoded, 1 << 3, identity.cluster_id);
        put_int(&mut encoded, 2 << 3, identity.member_id);
        Self {
            identity: encoded,
            header: Vec::with_capacity(64),
            header_of: (0, 0),
            head: Vec::with_capacity(64),
        }
    }

    /// Writes one response.
    pub fn write(
        &mut self,
        head: &Head,
        raft_term: u64,
        events: &[TakenEvent],
        output: &mut impl WatchOutput,
    ) {
        self.encode_head(head, raft_term);
        let events_len: usize = events.iter().map(event_len).sum();
        output.begin(self.head.len() + events_len);
        // The first event's tag and length follow the head in the same part.
        let mut events = events.iter();
        if let Some(event) = events.next() {
            put_tag(&mut self.head, event);
            output.copy(&self.head);
            output.share(&event.encoded);
        } else {
            output.copy(&self.head);
        }
        for event in events {
            self.head.clear();
            put_tag(&mut self.head, event);
            output.copy(&self.head);
            output.share(&event.encoded);
        }
    }

    /// Writes events as one response, or as several if they reach `split_at` bytes. One event is never split.
    pub fn write_split(
        &mut self,
        mut head: Head,
        raft_term: u64,
        mut events: &[TakenEvent],
        split_at: Option<usize>,
        output: &mut impl WatchOutput,
    ) {
        let Some(bytes_max) = split_at else {
            return self.write(&head, raft_term, events, output);
        };
        let all: usize = events.iter().map(event_len).sum();
        if self.head_len(&head, raft_term) + all < bytes_max {
            return self.write(&head, raft_term, events, output);
        }
        head.fragment = true;
        let head_len = self.head_len(&head, raft_term);
        while !events.is_empty() {
            let mut bytes = head_len;
            let fitting = events.iter().take_while(|event| {
                bytes += event_len(event);
                bytes < bytes_max
            });
            let count = fitting.count().max(1);
            let (part, rest) = events.split_at(count);
            events = rest;
            head.fragment = !events.is_empty();
            self.write(&head, raft_term, part, output);
        }
    }

    /// Bytes of a response without events.
    fn head_len(&mut self, head: &Head, raft_term: u64) -> usize {
        self.encode_head(head, raft_term);
        self.head.len()
    }

    fn encode_header(&mut self, revision: i64, raft_term: u64) {
        let out = &mut self.header;
        out.clear();
        let header_len = self.identity.len() + int_len(revision as u64) + int_len(raft_term);
        out.put_u8(HEADER);
        encode_varint(header_len as u64, out);
        out.extend_from_slice(&self.identity);
        put_int(out, 3 << 3, revision as u64);
        put_int(out, 4 << 3, raft_term);
    }

    fn encode_head(&mut self, head: &Head, raft_term: u64) {
        if self.header.is_empty() || self.header_of != (head.revision, raft_term) {
            self.header_of = (head.revision, raft_term);
            self.encode_header(head.revision, raft_term);
        }
        let out = &mut self.head;
        out.clear();
        out.extend_from_slice(&self.header);
        put_int(out, WATCH_ID, head.watch_id as u64);
        put_int(out, CREATED, head.created.into());
        put_int(out, CANCELED, head.canceled.into());
        put_int(out, COMPACT_REVISION, head.compact_revision as u64);
        if !head.cancel_reason.is_empty() {
            out.put_u8(CANCEL_REASON);
            encode_varint(head.cancel_reason.len() as u64, out);
            out.extend_from_slice(head.cancel_reason.as_bytes());
        }
        put_int(out, FRAGMENT, head.fragment.into());
    }
}

/// Bytes that an event takes in a response.
fn event_len(event: &TakenEvent) -> usize {
    let len = event.encoded.len();
    1 + encoded_len_varint(len as u64) + len
}

fn put_tag(out: &mut Vec<u8>, event: &TakenEvent) {
    out.put_u8(EVENT);
    encode_varint(event.encoded.len() as u64, out);
}

fn int_len(value: u64) -> usize {
    match value {
        0 => 0,
        value => 1 + encoded_len_varint(value),
    }
}

fn put_int(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.put_u8(tag);
        encode_varint(value, out);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::etcdserverpb::{ResponseHeader, WatchResponse};
    use crate::proto::mvccpb::{Event, KeyValue};

    #[derive(Default)]
    struct Flat {
        announced: Vec<usize>,
        bytes: Vec<u8>,
    }

    impl WatchOutput for Flat {
        fn begin(&mut self, bytes: usize) {
            self.announced.push(bytes);
        }
        fn copy(&mut self, part: &[u8]) {
            self.bytes.extend_from_slice(part);
        }
        fn share(&mut self, part: &Bytes) {
            self.bytes.extend_from_slice(part);
        }
        fn written(&self) -> usize {
            self.bytes.len()
        }
    }

    #[test]
    fn same_bytes_as_prost() {
        let event = |value: usize| Event {
            kv: Some(KeyValue {
                key: b"k".to_vec().into(),
                value: vec![7; value].into(),
                ..KeyValue::default()
            }),
            ..Event::default()
        };
        for events in [
            vec![],
            vec![event(0)],
            vec![event(3), event(70_000), event(1)],
        ] {
            let response = WatchResponse {
                header: Some(ResponseHeader {
                    cluster_id: u64::MAX,
                    member_id: 7,
                    revision: 300,
                    raft_term: 2,
                }),
                watch_id: -1,
                created: true,
                canceled: true,
                compact_revision: 9,
                cancel_reason: "why".into(),
                fragment: true,
                events: events.clone(),
            };
            let head = Head {
                revision: 300,
                watch_id: -1,
                created: true,
                canceled: true,
                compact_revision: 9,
                cancel_reason: "why".into(),
                fragment: true,
            };
            let taken: Vec<_> = events
                .iter()
                .map(|event| TakenEvent {
                    revision: 1,
                    store_revision: 1,
                    encoded: event.encode_to_vec().into(),
                })
                .collect();
            let mut encoder = Encoder::new(Identity {
                cluster_id: u64::MAX,
                member_id: 7,
            });
            let mut flat = Flat::default();
            encoder.write(&head, 2, &taken, &mut flat);
            assert_eq!(flat.bytes, response.encode_to_vec());
            assert_eq!(flat.announced, [flat.bytes.len()]);
            let events_len: usize = taken.iter().map(event_len).sum();
            assert_eq!(encoder.head_len(&head, 2) + events_len, flat.bytes.len());
        }
    }
}
