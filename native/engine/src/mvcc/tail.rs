//! The tail: changes that were applied and are not yet in the revision tree.
//!
//! Three segments follow each other: `frozen` is being committed by the flusher, `active` collects whole entries, and
//! `entry` holds the changes of the entry that is being applied. So what is committed always ends with an entry.

use std::sync::Arc;

use bytes::Bytes;

use crate::tree::Table;
use crate::types::{LogMark, Revision};

/// Bytes that a change occupies in the tail besides its KeyValue.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub revision: Revision,
    pub tombstone: bool,
    /// Encoded KeyValue.
    pub kv: Bytes,
}

/// A write to one of the small tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RowWrite {
    pub table: Table,
    pub key: Bytes,
    /// None deletes.
    pub value: Option<Bytes>,
}

/// A run of changes.
#[derive(Default, Debug)]
pub(super) struct Segment {
    /// In revision order.
    pub records: Vec<Record>,
    pub rows: Vec<RowWrite>,
    /// The last compaction that was accepted.
    pub compact: Option<i64>,
    /// The last entry that is wholly here.
    pub mark: LogMark,
    /// Store revision after that entry.
    pub revision: i64,
    pub bytes: usize,
}

impl Segment {
    fn get(&self, revision: Revision) -> Option<&Record> {
        let at = self
            .records
            .binary_search_by(|record| record.revision.cmp(&revision))
            .ok()?;
        Some(&self.records[at])
    }

    fn first(&self) -> Option<Revision> {
        self.records.first().map(|record| record.revision)
    }

    fn absorb(&mut self, entry: &mut Segment, mark: LogMark, revision: i64) {
        self.records.append(&mut entry.records);
        self.rows.append(&mut entry.rows);
        self.compact = entry.compact.take().or(self.compact);
        self.bytes += std::mem::take(&mut entry.bytes);
        self.mark = mark;
        self.revision = revision;
    }
}

/// See the file's head.
#[derive(Default, Debug)]
pub(super) struct Tail {
    frozen: Option<Arc<Segment>>,
    active: Segment,
    entry: Segment,
}

impl Tail {
    /// Adds a change to the entry that is being applied.
    pub fn push(&mut self, record: Record) {
        debug_assert!(
            self.entry
                .records
                .last()
                .is_none_or(|last| last.revision < record.revision)
        );
        self.entry.bytes += record.kv.len() + RECORD_OVERHEAD_BYTES;
        self.entry.records.push(record);
    }

    /// Adds a row to the entry that is being applied.
    pub fn push_row(&mut self, row: RowWrite) {
        self.entry.bytes +=
            row.key.len() + row.value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD_BYTES;
        self.entry.rows.push(row);
    }

    /// Notes the compaction that the entry schedules.
    pub fn set_compact(&mut self, revision: i64) {
        self.entry.compact = Some(revision);
    }

    /// Ends the entry.
    pub fn complete(&mut self, mark: LogMark, revision: i64) {
        self.active.absorb(&mut self.entry, mark, revision);
    }

    /// The change at `revision`, if it is here.
    pub fn get(&self, revision: Revision) -> Option<&Record> {
        self.segments()
            .find(|segment| segment.first().is_some_and(|first| first <= revision))?
            .get(revision)
    }

    /// The oldest revision that is here.
    pub fn first(&self) -> Option<Revision> {
        self.segments().filter_map(Segment::first).last()
    }

    /// The changes from `from` on, in revision order.
    pub fn from(&self, from: Revision) -> impl Iterator<Item = &Record> {
        let segments = [
            self.frozen.as_deref(),
            Some(&self.active),
            Some(&self.entry),
        ];
        segments.into_iter().flatten().flat_map(move |segment| {
            let start = segment
                .records
                .partition_point(|record| record.revision < from);
            &segment.records[start..]
        })
    }

    /// From the newest to the oldest.
    fn segments(&self) -> impl Iterator<Item = &Segment> {
        [
            Some(&self.entry),
            Some(&self.active),
            self.frozen.as_deref(),
        ]
        .into_iter()
        .flatten()
    }

    /// Takes the whole entries for the flusher; they stay readable here until `drop_frozen`. None if no entry was
    /// completed since the last time.
    pub fn freeze(&mut self) -> Option<Arc<Segment>> {
        debug_assert!(self.frozen.is_none(), "one segment is committed at a time");
        if self.active.mark == LogMark::default() {
            return None;
        }
        let segment = Arc::new(std::mem::take(&mut self.active));
        self.frozen = Some(Arc::clone(&segment));
        Some(segment)
    }

    /// Forgets the frozen segment: it is in the tree now. Returns it so that it is freed outside the lock.
    #[must_use]
    pub fn drop_frozen(&mut self) -> Option<Arc<Segment>> {
        self.frozen.take()
    }

    /// Bytes of everything that is here.
    pub fn bytes(&self) -> usize {
        self.segments().map(|segment| segment.bytes).sum()
    }

    /// Bytes that wait for the next freeze.
    pub fn active_bytes(&self) -> usize {
        self.active.bytes
    }

    /// Whether what waits for the next freeze has a compaction.
    pub fn compacts(&self) -> bool {
        self.active.compact.is_some()
    }

    /// Changes that wait for the next freeze.
    pub fn active_changes(&self) -> usize {
        self.active.records.len() + self.active.rows.len()
    }

    /// Whether there is something to freeze.
    #[cfg(test)]
    pub fn has_active(&self) -> bool {
        self.active.mark != LogMark::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(main: i64, sub: u32) -> Record {
        Record {
            revision: Revision { main, sub },
            tombstone: false,
            kv: Bytes::from(vec![0; 10]),
        }
    }

    fn mark(index: u64) -> LogMark {
        LogMark { index, term: 1 }
    }

    fn mains(tail: &Tail, from: i64) -> Vec<i64> {
        tail.from(Revision { main: from, sub: 0 })
            .map(|record| record.revision.main)
            .collect()
    }

    #[test]
    fn only_whole_entries_are_frozen() {
        let mut tail = Tail::default();
        tail.push(record(2, 0));
        assert!(tail.freeze().is_none());
        tail.complete(mark(1), 2);
        tail.push(record(3, 0));
        let frozen = tail.freeze().unwrap();
        assert_eq!(
            (frozen.mark, frozen.revision, frozen.records.len()),
            (mark(1), 2, 1)
        );
        assert!(!tail.has_active());
        assert_eq!(mains(&tail, 0), [2, 3]);
    }

    #[test]
    fn lookups_span_all_segments() {
        let mut tail = Tail::default();
        assert_eq!(tail.first(), None);
        for main in 2..8 {
            tail.push(record(main, 0));
            tail.push(record(main, 1));
            tail.complete(mark(main as u64), main);
            if main == 4 {
                tail.freeze().unwrap();
            }
        }
        tail.push(record(8, 0));
        for main in 2..9 {
            assert!(tail.get(Revision { main, sub: 0 }).is_some(), "{main}");
        }
        assert!(tail.get(Revision { main: 8, sub: 1 }).is_none());
        assert!(tail.get(Revision { main: 1, sub: 0 }).is_none());
        assert_eq!(mains(&tail, 4), [4, 4, 5, 5, 6, 6, 7, 7, 8]);
        assert_eq!(tail.first(), Some(Revision { main: 2, sub: 0 }));
        assert_eq!(tail.bytes(), 13 * 74);
        drop(tail.drop_frozen());
        assert_eq!(tail.first(), Some(Revision { main: 5, sub: 0 }));
        assert_eq!(tail.active_bytes(), 6 * 74);
    }

    #[test]
    fn the_last_compaction_of_a_segment_counts() {
        let mut tail = Tail::default();
        tail.set_compact(3);
        tail.complete(mark(1), 5);
        tail.complete(mark(2), 5);
        tail.set_compact(4);
        tail.complete(mark(3), 5);
        assert_eq!(tail.freeze().unwrap().compact, Some(4));
    }
}
