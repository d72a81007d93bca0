//! An event as all its watchers share it: encoded once, with or without the previous value, and counted while anybody
//! keeps it queued.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, Bytes, BytesMut};

use super::ports::{Change, History, HubEvent};

/// An event in the queues of watchers.
#[derive(Debug)]
pub(super) struct SharedEvent {
    pub(super) revision: i64,
    /// The newest revision of the store when the event was read for its watchers: its own, unless it is of the past.
    pub(super) store_revision: i64,
    event: HubEvent,
    /// The encoding with prev_kv, made when the first watcher that wants it takes the event.
    with_previous: OnceLock<Bytes>,
    /// Bytes that all shared events of the hub hold together.
    retained: Arc<AtomicUsize>,
}

impl SharedEvent {
    pub(super) fn new(
        revision: i64,
        store_revision: i64,
        event: HubEvent,
        retained: &Arc<AtomicUsize>,
    ) -> Arc<Self> {
        let shared = Self {
            revision,
            store_revision,
            event,
            with_previous: OnceLock::new(),
            retained: Arc::clone(retained),
        };
        retained.fetch_add(shared.cost(), Ordering::Relaxed);
        Arc::new(shared)
    }

    /// Bytes that the event counts for in a queue: its own and those of keeping it.
    pub(super) fn cost(&self) -> usize {
        self.event.encoded.len() + size_of::<Self>()
    }

    pub(super) fn change(&self) -> Change {
        self.event.change
    }

    pub(super) fn encoded(&self) -> Bytes {
        self.event.encoded.clone()
    }

    /// The encoding with the key-value that the event replaced, if there was one and it is not compacted.
    pub(super) fn encoded_with_previous(&self, history: &dyn History) -> Bytes {
        if self.event.change == Change::Create {
            return self.encoded();
        }
        let make = || match history.previous(&self.event.key, self.revision) {
            Some(previous) => append_previous(&self.event.encoded, &previous),
            None => self.encoded(),
        };
        self.with_previous.get_or_init(make).clone()
    }
}

impl Drop for SharedEvent {
    fn drop(&mut self) {
        self.retained.fetch_sub(self.cost(), Ordering::Relaxed);
    }
}

/// prev_kv is the last field of mvccpb.Event (3, length-delimited), so it can follow what is encoded already.
fn append_previous(event: &[u8], previous: &[u8]) -> Bytes {
    const PREV_KV: u8 = 3 << 3 | 2;
    let mut bytes = BytesMut::with_capacity(event.len() + previous.len() + 11);
    bytes.put_slice(event);
    bytes.put_u8(PREV_KV);
    prost::encoding::encode_varint(previous.len() as u64, &mut bytes);
    bytes.put_slice(previous);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::append_previous;
    use crate::proto::mvccpb::{Event, KeyValue};

    #[test]
    fn appending_equals_encoding() {
        let kv = |value: usize| KeyValue {
            key: b"k".to_vec().into(),
            value: vec![7; value].into(),
            ..KeyValue::default()
        };
        for len in [0, 1, 200, 70_000] {
            let mut event = Event {
                kv: Some(kv(3)),
                ..Event::default()
            };
            let without = event.encode_to_vec();
            event.prev_kv = Some(kv(len));
            let with = append_previous(&without, &kv(len).encode_to_vec());
            assert_eq!(with, event.encode_to_vec());
        }
    }
}
