//! Reading the past: events for watchers that start in it, and a key's value at a revision.

use bytes::Bytes;

use crate::error::{self, EtcdError};
use crate::limits::{READ_RETRIES_MAX, TAIL_LOOK_BYTES};
use crate::tree::TreeError;
use crate::types::Revision;

use super::api::Event;
use super::kv::KvView;
use super::select::Look;
use super::store::Store;
use super::tail::Record;

/// Which keys a reader of the past is interested in.
type Wanted<'a> = &'a dyn Fn(&[u8]) -> bool;

/// The changes of some revisions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PastEvents {
    /// Events in order; those of one revision are together.
    pub(super) events: Vec<Event>,
    /// The revision to go on from.
    pub(super) next: i64,
}

/// Collects whole revisions until a number of bytes is reached, wanted or not.
struct Collector<'a> {
    past: PastEvents,
    wanted: Wanted<'a>,
    /// The revision that was seen last.
    seen: Option<i64>,
    bytes: usize,
    bytes_max: usize,
}

impl Collector<'_> {
    /// Counts a change; false if the chunk is full (the change then belongs to the next one).
    fn admit(&mut self, main: i64, bytes: usize) -> bool {
        let begins = self.seen != Some(main);
        if begins && self.bytes >= self.bytes_max && self.seen.is_some() {
            self.past.next = main;
            return false;
        }
        self.seen = Some(main);
        self.bytes += bytes;
        true
    }

    fn put(&mut self, revision: Revision, key: &[u8], kv: impl FnOnce() -> Bytes) {
        if (self.wanted)(key) {
            self.past.events.push(Event::of_put(revision, kv()));
        }
    }

    fn tombstone(&mut self, revision: Revision, key: &[u8]) {
        if (self.wanted)(key) {
            self.past.events.push(Event::of_tombstone(revision, key));
        }
    }
}

impl Store {
    /// Last compacted revision, -1 = none.
    pub fn compact_revision(&self) -> i64 {
        self.state.read().compact_revision
    }

    /// Events from revision `from` to `to` (both included) whose keys `wanted` accepts, of as many whole revisions as
    /// `max_bytes` holds, wanted or not, and of at least one.
    ///
    /// # Errors
    /// `from` is compacted, or the store is damaged.
    pub(super) fn events(
        &self,
        from: i64,
        to: i64,
        max_bytes: usize,
        wanted: Wanted<'_>,
    ) -> Result<PastEvents, EtcdError> {
        let mut collector = Collector {
            past: PastEvents {
                events: Vec::new(),
                next: from,
            },
            wanted,
            seen: None,
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
                    // The look keeps apply waiting, so it is short.
                    collector.bytes_max = max_bytes.min(TAIL_LOOK_BYTES);
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
        Ok(collector.past)
    }

    /// The encoded KeyValue that `key` had at revision `at`; None if it had none or it is compacted.
    ///
    /// # Errors
    /// The store is damaged.
    pub(super) fn value_at(&self, key: &[u8], at: i64) -> Result<Option<Bytes>, EtcdError> {
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

    fn collect_tree(
        &self,
        collector: &mut Collector<'_>,
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
            if !collector.admit(stored.revision.main, value.len()) {
                return Ok(());
            }
            let kv = KvView::parse(value).ok_or_else(|| tree.damaged("key-value"))?;
            if stored.tombstone {
                collector.tombstone(stored.revision, kv.key);
            } else {
                let copy = || Bytes::copy_from_slice(value);
                collector.put(stored.revision, kv.key, copy);
            }
        }
        collector.past.next = collector.past.next.max(to + 1);
        Ok(())
    }
}

fn collect_tail<'a>(
    collector: &mut Collector<'_>,
    records: impl Iterator<Item = &'a Record>,
    to: i64,
) {
    for record in records {
        if record.revision.main > to {
            break;
        }
        if !collector.admit(record.revision.main, record.kv.len()) {
            return;
        }
        let key = super::kv::key_of(&record.kv);
        if record.tombstone {
            collector.tombstone(record.revision, &key);
        } else {
            collector.put(record.revision, &key, || record.kv.clone());
        }
    }
    collector.past.next = collector.past.next.max(to + 1);
}
