//! Where every live entry is: index → segment, offset and size in 16 bytes, terms as runs. Follows raft's rules for
//! overwriting and compacting a log; pure.

use std::collections::VecDeque;

use crate::types::{EntryKind, LogMark};

/// Place and size of one entry. 16 bytes, since a log may have millions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    segment: u32,
    offset: u32,
    bytes: u32,
    kind: EntryKind,
}

const _: () = assert!(size_of::<Slot>() == 16);

impl Slot {
    /// The place of an entry: segment sequence, offset of its frame, bytes of its payload.
    pub fn new(segment: u64, offset: u64, bytes: usize, kind: EntryKind) -> Self {
        // Offsets and sizes are below a segment's size. 2^32 segments of 64 MiB are more than any disk writes in its
        // life, so the sequence fits too; the writer asserts it.
        Self {
            segment: segment as u32,
            offset: offset as u32,
            bytes: bytes as u32,
            kind,
        }
    }

    /// Sequence of the segment.
    pub fn segment(&self) -> u64 {
        u64::from(self.segment)
    }

    /// Offset of the frame in the segment.
    pub fn offset(&self) -> u64 {
        u64::from(self.offset)
    }

    /// Bytes of the payload.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

/// Metadata of an entry, without its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryMeta {
    /// Index.
    pub index: u64,
    /// Term.
    pub term: u64,
    /// What the payload is.
    pub kind: EntryKind,
    /// Bytes of the payload.
    pub bytes: usize,
}

/// The live log: everything after `mark`.
#[derive(Debug)]
pub struct LogMap {
    mark: LogMark,
    first: u64,
    slots: VecDeque<Slot>,
    /// (first index, term), ascending; the first covers `first`.
    terms: VecDeque<(u64, u64)>,
    /// While a log whose beginning was purged is replayed: entries between mark and `first` may be missing, until a
    /// later mark covers them.
    purged_start: bool,
}

impl LogMap {
    /// An empty log. `purged_start`: the first segments are gone, the log may begin at any index.
    pub fn new(purged_start: bool) -> Self {
        Self {
            mark: LogMark::default(),
            first: 1,
            slots: VecDeque::new(),
            terms: VecDeque::new(),
            purged_start,
        }
    }

    /// The entry before the log.
    pub fn mark(&self) -> LogMark {
        self.mark
    }

    /// Index of the first entry (one after the last if there is none).
    pub fn first_index(&self) -> u64 {
        self.first
    }

    /// Index of the last entry (one before the first if there is none).
    pub fn last_index(&self) -> u64 {
        self.first + self.slots.len() as u64 - 1
    }

    /// The last entry, or the mark if there is none.
    pub fn last(&self) -> LogMark {
        match self.terms.back() {
            Some((_, term)) => LogMark {
                index: self.last_index(),
                term: *term,
            },
            None => self.mark,
        }
    }

    /// Term of an entry in the log or of the mark.
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.mark.index {
            return Some(self.mark.term);
        }
        if index < self.first || index > self.last_index() {
            return None;
        }
        let run = self.terms.partition_point(|(first, _)| *first <= index);
        Some(self.terms[run - 1].1)
    }

    /// Place of an entry.
    pub fn slot(&self, index: u64) -> Option<Slot> {
        let at = index.checked_sub(self.first)?;
        self.slots.get(usize::try_from(at).ok()?).copied()
    }

    /// Metadata of an entry.
    pub fn meta(&self, index: u64) -> Option<EntryMeta> {
        let slot = self.slot(index)?;
        Some(EntryMeta {
            index,
            term: self.term(index)?,
            kind: slot.kind,
            bytes: slot.bytes(),
        })
    }

    /// Sequence of the segment with the first live entry.
    pub fn first_segment(&self) -> Option<u64> {
        self.slots.front().map(Slot::segment)
    }

    /// Whether every entry after the mark is there.
    pub fn is_whole(&self) -> bool {
        self.first == self.mark.index + 1
    }

    /// Whether an entry with this index may be put.
    pub fn admits(&self, index: u64) -> bool {
        let free_start = self.purged_start && index > self.mark.index;
        if self.slots.is_empty() && free_start {
            return true;
        }
        let lowest = if free_start { index } else { self.first };
        (lowest..=self.last_index() + 1).contains(&index)
    }

    /// Appends an entry; one at or below the last drops that one and all after it first.
    ///
    /// # Panics
    /// If `admits` is false.
    pub fn put(&mut self, index: u64, term: u64, slot: Slot) {
        assert!(self.admits(index), "entry {index} leaves a gap in the log");
        if index < self.first || self.slots.is_empty() {
            self.slots.clear();
            self.terms.clear();
            self.first = index;
        }
        self.slots.truncate((index - self.first) as usize);
        while self.terms.back().is_some_and(|(first, _)| *first >= index) {
            self.terms.pop_back();
        }
        if self.terms.back().is_none_or(|(_, last)| *last != term) {
            self.terms.push_back((index, term));
        }
        self.slots.push_back(slot);
    }

    /// Forgets entries up to the mark; all of them if the log does not contain it. An older mark changes nothing.
    pub fn compact(&mut self, mark: LogMark) {
        if mark.index <= self.mark.index {
            return;
        }
        if self.purged_start && self.slots.is_empty() {
            // The mark that a segment begins with may be older than the entries that were purged before it.
            self.mark = mark;
            self.first = mark.index + 1;
            return;
        }
        if self.purged_start && mark.index < self.first {
            self.mark = mark;
            self.purged_start = mark.index + 1 < self.first;
            return;
        }
        let continues = self.term(mark.index) == Some(mark.term);
        let dropped = if continues {
            (mark.index + 1 - self.first) as usize
        } else {
            self.slots.len()
        };
        self.slots.drain(..dropped);
        self.mark = mark;
        self.first = mark.index + 1;
        self.purged_start = false;
        if self.slots.is_empty() {
            self.terms.clear();
        }
        while self
            .terms
            .get(1)
            .is_some_and(|(first, _)| *first <= self.first)
        {
            self.terms.pop_front();
        }
        if let Some(run) = self.terms.front_mut() {
            run.0 = run.0.max(self.first);
        }
        if self.slots.capacity() > 4 * self.slots.len() + 1024 {
            self.slots.shrink_to(2 * self.slots.len());
        }
    }

    /// Ends a replay: from here on the log has no gap after its mark.
    pub fn end_replay(&mut self) {
        self.purged_start = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(segment: u64) -> Slot {
        Slot::new(segment, 64, 10, EntryKind::Batch)
    }

    fn filled(entries: &[(u64, u64)]) -> LogMap {
        let mut map = LogMap::new(false);
        for (index, term) in entries {
            map.put(*index, *term, slot(*index));
        }
        map
    }

    fn terms(map: &LogMap) -> Vec<(u64, u64)> {
        (map.first_index()..=map.last_index())
            .map(|i| (i, map.term(i).unwrap()))
            .collect()
    }

    #[test]
    fn overwriting_replaces_the_suffix_and_its_terms() {
        let mut map = filled(&[(1, 1), (2, 1), (3, 2), (4, 2)]);
        map.put(3, 3, slot(9));
        assert_eq!(terms(&map), [(1, 1), (2, 1), (3, 3)]);
        assert_eq!(map.last(), LogMark { index: 3, term: 3 });
        map.put(1, 4, slot(9));
        assert_eq!(terms(&map), [(1, 4)]);
        assert!(map.admits(2) && !map.admits(3) && !map.admits(0));
    }

    #[test]
    fn compacting_keeps_what_follows_a_matching_mark() {
        let mut map = filled(&[(1, 1), (2, 1), (3, 2), (4, 2)]);
        map.compact(LogMark { index: 2, term: 1 });
        assert_eq!(terms(&map), [(3, 2), (4, 2)]);
        assert_eq!(map.term(2), Some(1));
        assert_eq!(map.term(1), None);
        map.compact(LogMark { index: 1, term: 1 });
        assert_eq!(map.first_index(), 3, "an older mark changes nothing");
        map.compact(LogMark { index: 4, term: 2 });
        assert_eq!((map.first_index(), map.last_index()), (5, 4));
        assert_eq!(map.last(), LogMark { index: 4, term: 2 });
    }

    #[test]
    fn a_mark_of_another_term_or_past_the_end_drops_all() {
        for mark in [LogMark { index: 2, term: 7 }, LogMark { index: 9, term: 7 }] {
            let mut map = filled(&[(1, 1), (2, 1), (3, 2)]);
            map.compact(mark);
            assert_eq!(map.last(), mark);
            assert!(map.is_whole() && map.admits(mark.index + 1) && !map.admits(mark.index));
        }
    }

    #[test]
    fn a_purged_start_needs_a_mark_that_covers_it() {
        let mut map = LogMap::new(true);
        map.compact(LogMark { index: 5, term: 1 });
        assert!(map.is_whole());
        map.put(11, 2, slot(0));
        map.put(12, 2, slot(0));
        assert!(!map.is_whole());
        map.compact(LogMark { index: 7, term: 1 });
        assert!(!map.is_whole());
        map.put(9, 3, slot(0));
        assert!(!map.is_whole());
        map.compact(LogMark { index: 8, term: 1 });
        assert!(map.is_whole());
        assert_eq!(terms(&map), [(9, 3)]);
    }
}
