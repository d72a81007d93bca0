//! The store's side of the watch hub: tells it of every revision and of compactions, and reads the past for it.

use std::sync::{Arc, Weak};

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use super::api::Event;
use super::store::Store;
use crate::error::COMPACTED;
use crate::watch::{Change, History, HistoryChunk, HistoryError, HubEvent, Offer, WatchHub};

/// Gives the store its hub, before anything is applied.
pub(super) fn start(store: &Arc<Store>, revision: i64) -> std::io::Result<()> {
    let past = Past(Arc::downgrade(store));
    let hub = Arc::new(WatchHub::new(Arc::new(past), revision)?);
    let unset = store.watch_hub.set(hub);
    assert!(unset.is_ok(), "a store has one hub");
    Ok(())
}

impl Offer for Event {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn event(&self) -> HubEvent {
        hub_event(self)
    }
}

/// The store as the hub reads it. The store owns the hub, so the way back is weak.
struct Past(Weak<Store>);

impl Past {
    fn store(&self) -> Result<Arc<Store>, HistoryError> {
        let closed = || HistoryError::Failed("the store is closed".into());
        self.0.upgrade().ok_or_else(closed)
    }
}

impl History for Past {
    fn compact_revision(&self) -> i64 {
        self.store().map_or(0, |store| store.compact_revision())
    }

    fn events(
        &self,
        from: i64,
        to: i64,
        max_bytes: usize,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<HistoryChunk, HistoryError> {
        let past =
            self.store()?
                .events(from, to, max_bytes, wanted)
                .map_err(|error| match error {
                    error if error == COMPACTED => HistoryError::Compacted,
                    error => HistoryError::Failed(error.message.into_owned()),
                })?;
        let events = past.events.iter();
        Ok(HistoryChunk {
            events: events
                .map(|event| (event.revision.main, hub_event(event)))
                .collect(),
            next: past.next,
        })
    }

    fn previous(&self, key: &[u8], revision: i64) -> Option<Bytes> {
        let store = self.store().ok()?;
        // A damaged store has said so when the read failed; the event goes out as if this were compacted.
        store.value_at(key, revision - 1).ok().flatten()
    }
}

/// The event as watchers get it: mvccpb.Event, fields in order, zeroes left out.
fn hub_event(event: &Event) -> HubEvent {
    const TYPE_DELETE: [u8; 2] = [1 << 3, 1];
    const KV: u8 = 2 << 3 | 2;
    let kv_len = event.kv.len();
    let tags = TYPE_DELETE.len() + 1 + encoded_len_varint(kv_len as u64);
    let mut encoded = BytesMut::with_capacity(tags + kv_len);
    if event.tombstone {
        encoded.put_slice(&TYPE_DELETE);
    }
    encoded.put_u8(KV);
    encode_varint(kv_len as u64, &mut encoded);
    encoded.put_slice(&event.kv);
    HubEvent {
        key: event.key.clone(),
        encoded: encoded.freeze(),
        change: match event {
            event if event.tombstone => Change::Delete,
            event if event.is_create() => Change::Create,
            _ => Change::Update,
        },
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::mvccpb::{self, KeyValue, event::EventType};
    use crate::types::Revision;

    #[test]
    fn same_bytes_as_prost() {
        let revision = Revision { main: 9, sub: 1 };
        for (version, change) in [(1, Change::Create), (2, Change::Update)] {
            let kv = KeyValue {
                key: "k".into(),
                value: vec![1; 300].into(),
                create_revision: 9,
                mod_revision: 9,
                version,
                lease: 0,
            };
            let made = hub_event(&Event::of_put(revision, kv.encode_to_vec().into()));
            let event = mvccpb::Event {
                r#type: EventType::Put as i32,
                kv: Some(kv),
                prev_kv: None,
            };
            assert_eq!(made.encoded, event.encode_to_vec());
            assert_eq!((made.key.as_ref(), made.change), (&b"k"[..], change));
        }
        let made = hub_event(&Event::of_tombstone(revision, b"k"));
        let event = mvccpb::Event {
            r#type: EventType::Delete as i32,
            kv: Some(KeyValue {
                key: "k".into(),
                mod_revision: 9,
                ..KeyValue::default()
            }),
            prev_kv: None,
        };
        assert_eq!(made.encoded, event.encode_to_vec());
        assert_eq!(made.change, Change::Delete);
    }
}
