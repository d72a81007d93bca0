//! Reading the past: events for watchers that start in it, and a key's value at a revision.

use bytes::Bytes;

use crate::error::{self, EtcdError};
use crate::index::Revision;
use crate::limits::READ_RETRIES_MAX;
use crate::tree::TreeError;

use super::Store;
use super::api::{Event, History, HistoryChunk};
use super::kv::KvView;
use super::select::Look;
use super::tail::Record;

/// Collects whole revisions until a number of bytes is reached.
struct Collector {
    chunk: HistoryChunk,
    bytes: usize,
    bytes_max: usize,
}

impl Collector {
    /// Adds an event; false if the chunk is full (the event then belongs to the next one).
    fn add(&mut self, event: Event) -> bool {
        let main = event.revision.main;
        let same = self
            .chunk
            .events
            .last()
            .is_some_and(|last| last.revision.main == main);
        if !same && self.bytes >= self.bytes_max && !self.chunk.events.is_empty() {
            self.chunk.next = main;
            return false;
        }
        self.bytes += event.kv.len();
        self.chunk.events.push(event);
        true
    }
}

impl History for Store {
    fn revision(&self) -> i64 {
        self.state.read().revision
    }

    fn compact_revision(&self) -> i64 {
        self.state.read().compact_revision
    }

    fn events(&self, from: i64, to: i64, max_bytes: usize) -> Result<HistoryChunk, EtcdError> {
        let mut collector = Collector {
            chunk: HistoryChunk {
                events: Vec::new(),
                next: from,
            },
            bytes: 0,
            bytes_max: max_bytes,
        };
        let start = Revision { main: from, sub: 0 };
        // Either the tail has all of it, or the tree has what is before the tail.
        let before_tail = self.look(|state| {
            if from < state.compact_revision {
                return Err(error::COMPACTED);
            }
            let to = to.min(state.revision);
            match state.tail.first() {
                Some(first) if first.main <= from => {
                    collect_tail(&mut collector, state.tail.from(start), to);
                    Ok(None)
                }
                Some(first) => Ok(Some(to.min(first.main - 1))),
                None => Ok(Some(to)),
            }
        })?;
        if let Some(to) = before_tail {
            self.collect_tree(&mut collector, start, to)
                .map_err(|error| self.fatal(&error))?;
            // A compaction that came meanwhile may have removed some of it.
            if from < self.compact_revision() {
                return Err(error::COMPACTED);
            }
        }
        Ok(collector.chunk)
    }

    fn value_at(&self, key: &[u8], at: i64) -> Result<Option<Bytes>, EtcdError> {
        for _ in 0..READ_RETRIES_MAX {
            let found = self.look(|state| {
                if at < state.compact_revision {
                    return None;
                }
                let found = state.index.get(key, at)?;
                let record = state.tail.get(found.modified);
                Some((found.modified, record.map(|record| record.kv.clone())))
            });
            let revision = match found {
                None => return Ok(None),
                Some((_, Some(kv))) => return Ok(Some(kv)),
                Some((revision, None)) => revision,
            };
            let tree = self.tree();
            let snapshot = tree.snapshot().map_err(|error| self.fatal(&error))?;
            if let Some(kv) = snapshot.get(revision).map_err(|error| self.fatal(&error))? {
                return Ok(Some(Bytes::copy_from_slice(kv)));
            }
        }
        Ok(None)
    }
}

impl Store {
    fn collect_tree(
        &self,
        collector: &mut Collector,
        from: Revision,
        to: i64,
    ) -> Result<(), TreeError> {
        let tree = self.tree();
        let snapshot = tree.snapshot()?;
        for change in snapshot.changes(from)? {
            let (stored, value) = change?;
            if stored.revision.main > to {
                break;
            }
            let event = if stored.tombstone {
                let kv = KvView::parse(value).ok_or_else(|| tree.damaged("tombstone"))?;
                Event::of_tombstone(stored.revision, kv.key)
            } else {
                Event::of_put(stored.revision, Bytes::copy_from_slice(value))
            };
            if !collector.add(event) {
                return Ok(());
            }
        }
        collector.chunk.next = collector.chunk.next.max(to + 1);
        Ok(())
    }
}

fn collect_tail<'a>(collector: &mut Collector, records: impl Iterator<Item = &'a Record>, to: i64) {
    for record in records {
        if record.revision.main > to {
            break;
        }
        let event = if record.tombstone {
            Event::of_tombstone(record.revision, &super::kv::key_of(&record.kv))
        } else {
            Event::of_put(record.revision, record.kv.clone())
        };
        if !collector.add(event) {
            return;
        }
    }
    collector.chunk.next = collector.chunk.next.max(to + 1);
}
