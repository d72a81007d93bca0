//! The newest entries of the log, kept in memory for apply and for followers, bounded by bytes. Entries that are not
//! yet on stable storage cannot be read back and are therefore never evicted.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::ports::LogEntry;
use crate::limits::LOG_CACHE_BYTES_MAX;

/// What an entry costs beside its payload.
const ENTRY_BYTES: usize = size_of::<LogEntry>();

/// See the file's head.
pub struct LogCache {
    inner: Mutex<Inner>,
    bytes_max: usize,
}

#[derive(Default)]
struct Inner {
    /// Contiguous, ascending.
    entries: VecDeque<LogEntry>,
    bytes: usize,
    stable: u64,
}

impl Inner {
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.mark.index)
    }

    fn position(&self, index: u64) -> Option<usize> {
        let at = usize::try_from(index.checked_sub(self.first()?)?).ok()?;
        (at < self.entries.len()).then_some(at)
    }

    fn truncate(&mut self, from: u64) {
        while self.entries.back().is_some_and(|e| e.mark.index >= from) {
            let entry = self.entries.pop_back().expect("just seen");
            self.bytes -= entry.payload.len() + ENTRY_BYTES;
        }
        self.stable = self.stable.min(from.saturating_sub(1));
    }

    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && self.first().is_some_and(|first| first <= self.stable) {
            let entry = self.entries.pop_front().expect("just seen");
            self.bytes -= entry.payload.len() + ENTRY_BYTES;
        }
    }
}

impl LogCache {
    /// An empty cache of at most LOG_CACHE_BYTES_MAX of stable entries.
    pub fn new() -> Self {
        Self::with_limit(LOG_CACHE_BYTES_MAX)
    }

    fn with_limit(bytes_max: usize) -> Self {
        Self {
            inner: Mutex::default(),
            bytes_max,
        }
    }

    /// Adds an entry given to the WAL; it replaces those of the same or a higher index.
    pub fn push(&self, entry: LogEntry) {
        let mut inner = self.inner.lock();
        inner.truncate(entry.mark.index);
        if let Some(last) = inner.entries.back() {
            assert_eq!(last.mark.index + 1, entry.mark.index, "hole in the log");
        }
        inner.bytes += entry.payload.len() + ENTRY_BYTES;
        inner.entries.push_back(entry);
    }

    /// The log starts after `index`, with nothing in it yet.
    pub fn restart(&self, index: u64) {
        let empty = Inner {
            stable: index,
            ..Inner::default()
        };
        let old = std::mem::replace(&mut *self.inner.lock(), empty);
        drop(old);
    }

    /// Puts another entry at the same position (a batch that was never written, by an empty entry).
    pub fn replace(&self, entry: &LogEntry) {
        let mut inner = self.inner.lock();
        if let Some(at) = inner.position(entry.mark.index)
            && inner.entries[at].mark == entry.mark
        {
            inner.bytes -= inner.entries[at].payload.len();
            inner.bytes += entry.payload.len();
            inner.entries[at] = entry.clone();
        }
    }

    /// Entries up to `index` can be read back from now on: makes room.
    pub fn set_stable(&self, index: u64) {
        let mut inner = self.inner.lock();
        inner.stable = index;
        inner.evict(self.bytes_max);
    }

    /// Entries from `first` to `last`, as many as `bytes_max` holds, at least one; None if `first` is not here.
    pub fn read(&self, first: u64, last: u64, bytes_max: usize) -> Option<Vec<LogEntry>> {
        let inner = self.inner.lock();
        let start = inner.position(first)?;
        let mut bytes = 0;
        let mut found = Vec::new();
        for entry in inner.entries.range(start..) {
            bytes += entry.payload.len();
            if entry.mark.index > last || (bytes > bytes_max && !found.is_empty()) {
                break;
            }
            found.push(entry.clone());
        }
        Some(found)
    }

    /// The term of the entry at this index, if it is here.
    pub fn term(&self, index: u64) -> Option<u64> {
        let inner = self.inner.lock();
        Some(inner.entries[inner.position(index)?].mark.term)
    }

    /// Bytes held.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::types::{EntryKind, LogMark};

    fn entry(index: u64, term: u64, bytes: usize) -> LogEntry {
        LogEntry {
            mark: LogMark { index, term },
            kind: EntryKind::Batch,
            payload: Bytes::from(vec![0; bytes]),
        }
    }

    #[test]
    fn only_stable_entries_are_evicted() {
        let cache = LogCache::with_limit(3 * (100 + ENTRY_BYTES));
        for index in 1..=10 {
            cache.push(entry(index, 1, 100));
        }
        assert_eq!(cache.read(1, 10, usize::MAX).unwrap().len(), 10);
        cache.set_stable(5);
        assert!(cache.read(5, 10, usize::MAX).is_none());
        assert_eq!(cache.read(6, 10, usize::MAX).unwrap().len(), 5);
        cache.set_stable(10);
        assert!(cache.read(7, 10, usize::MAX).is_none());
        assert_eq!(cache.read(8, 10, 150).unwrap().len(), 1);
        assert_eq!(cache.bytes(), 3 * (100 + ENTRY_BYTES));
    }

    #[test]
    fn a_new_entry_replaces_the_tail() {
        let cache = LogCache::new();
        for index in 4..=9 {
            cache.push(entry(index, 1, 1));
        }
        cache.push(entry(6, 2, 1));
        let read = cache.read(4, 99, usize::MAX).unwrap();
        let terms: Vec<_> = read.iter().map(|e| (e.mark.index, e.mark.term)).collect();
        assert_eq!(terms, [(4, 1), (5, 1), (6, 2)]);
        cache.push(entry(2, 3, 1));
        assert!(cache.read(4, 99, usize::MAX).is_none());
        assert_eq!(cache.read(2, 99, usize::MAX).unwrap().len(), 1);
    }
}
