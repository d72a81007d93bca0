//! A store that remembers everything but answers like one that was compacted.

use std::collections::BTreeMap;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use crate::proto::mvccpb::{Event, KeyValue, event::EventType};
use crate::watch::{Change, History, HistoryChunk, HistoryError, HubEvent, Watched};

/// See the file's head.
#[derive(Default)]
pub(super) struct FakeStore {
    inner: Mutex<FakeInner>,
}

#[derive(Default)]
struct FakeInner {
    /// Events of revision i + 1.
    revisions: Vec<Vec<HubEvent>>,
    compact_revision: i64,
    /// What `previous` says of a key before a revision.
    previous: BTreeMap<(Bytes, i64), Bytes>,
    live: BTreeMap<Bytes, KeyValue>,
}

impl FakeStore {
    /// As real stores begin: with an empty revision 1.
    pub fn at_revision_1() -> Self {
        let store = Self::default();
        store.inner.lock().revisions.push(Vec::new());
        store
    }

    pub fn current(&self) -> i64 {
        self.inner.lock().revisions.len() as i64
    }

    /// Commits puts (`Some`) and deletions as one revision; a deletion of what is not there does nothing.
    pub fn commit(&self, changes: &[(Bytes, Option<Bytes>)]) -> (i64, Vec<HubEvent>) {
        let mut inner = self.inner.lock();
        let revision = inner.revisions.len() as i64 + 1;
        let mut events = Vec::new();
        for (key, value) in changes {
            let before = inner.live.remove(key);
            let change = match (value, &before) {
                (None, None) => continue,
                (None, Some(_)) => Change::Delete,
                (Some(_), None) => Change::Create,
                (Some(_), Some(_)) => Change::Update,
            };
            let mut kv = KeyValue {
                key: key.clone(),
                mod_revision: revision,
                ..KeyValue::default()
            };
            if let Some(value) = value {
                kv.create_revision = before.as_ref().map_or(revision, |kv| kv.create_revision);
                kv.version = before.as_ref().map_or(1, |kv| kv.version + 1);
                kv.value = value.clone();
                inner.live.insert(key.clone(), kv.clone());
            }
            if let Some(before) = before {
                let before = before.encode_to_vec().into();
                inner.previous.insert((key.clone(), revision), before);
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
                key: key.clone(),
                encoded: event.encode_to_vec().into(),
                change,
            });
        }
        inner.revisions.push(events.clone());
        (revision, events)
    }

    pub fn compact(&self, revision: i64) {
        let mut inner = self.inner.lock();
        inner.compact_revision = inner.compact_revision.max(revision);
    }

    /// What a watcher that takes everything from `start` to `end` must receive.
    pub fn expected(&self, watched: &Watched, start: i64, end: i64) -> Vec<(i64, HubEvent)> {
        let inner = self.inner.lock();
        let revisions = (1..).zip(&inner.revisions);
        revisions
            .filter(|(revision, _)| (start..=end).contains(revision))
            .flat_map(|(revision, events)| {
                events.iter().map(move |event| (revision, event.clone()))
            })
            .filter(|(_, event)| watched.range.contains(&event.key))
            .filter(|(_, event)| match event.change {
                Change::Delete => !watched.no_delete,
                _ => !watched.no_put,
            })
            .collect()
    }

    /// Whether `encoded` is the event, with its previous value if that was asked for and is not compacted.
    pub fn is_encoding(
        &self,
        watched: &Watched,
        revision: i64,
        event: &HubEvent,
        encoded: &[u8],
    ) -> bool {
        let inner = self.inner.lock();
        let Some(rest) = encoded.strip_prefix(event.encoded.as_ref()) else {
            return false;
        };
        let previous = inner.previous.get(&(event.key.clone(), revision));
        match previous.filter(|_| watched.prev_kv) {
            None => rest.is_empty(),
            Some(_) if rest.is_empty() => revision - 1 < inner.compact_revision,
            Some(previous) => rest.ends_with(previous) && rest[0] == 0x1a,
        }
    }
}

impl History for FakeStore {
    fn compact_revision(&self) -> i64 {
        self.inner.lock().compact_revision
    }

    fn events(
        &self,
        from: i64,
        to: i64,
        max_bytes: usize,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<HistoryChunk, HistoryError> {
        let inner = self.inner.lock();
        if from < inner.compact_revision {
            return Err(HistoryError::Compacted);
        }
        let mut chunk = HistoryChunk {
            next: from,
            ..HistoryChunk::default()
        };
        let mut bytes = 0;
        while chunk.next <= to && bytes < max_bytes {
            for event in &inner.revisions[chunk.next as usize - 1] {
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
        let inner = self.inner.lock();
        let found = inner.previous.get(&(Bytes::copy_from_slice(key), revision));
        found.filter(|_| revision > inner.compact_revision).cloned()
    }
}
