//! The tree index: every key in memory, in order, with the revisions at which it was written.
//!
//! An own B+tree. Each inner node knows of each child how many live keys are below it, the newest revision and the
//! first revision whose compaction has work there; so counting a range, paging and compacting all skip what does not
//! concern them. The index is not thread-safe: the store keeps it behind a lock.

mod build;
mod compact;
mod keys;
mod node;
mod read;
mod state;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

pub use build::{IndexBuilder, IndexRun};
pub use state::Found;

use node::{Inner, Node, Subtree};
use read::Bounds;
use state::Entry;

use crate::types::Revision;

/// Where a range of keys ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeEnd<'a> {
    /// The range is the one key.
    Single,
    /// The range has no end (`"\0"` on the wire).
    Open,
    /// The range ends before this key.
    Before(&'a [u8]),
}

impl<'a> RangeEnd<'a> {
    /// Reads `range_end` as clients send it: empty for one key, `"\0"` for no end.
    pub fn from_wire(range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::Single,
            [0] => Self::Open,
            end => Self::Before(end),
        }
    }
}

/// Where the next [`TreeIndex::compact_step`] goes on. The default is the beginning.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CompactCursor {
    from: Vec<u8>,
}

/// Keys with their revisions, in key order.
#[derive(Debug, Default)]
pub struct TreeIndex {
    root: Subtree,
}

impl TreeIndex {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a put of `key` and returns the key's state before it, `None` if it was not live.
    ///
    /// # Panics
    /// If `rev` is not after every revision of the key.
    pub fn put(&mut self, key: &[u8], rev: Revision) -> Option<Found> {
        self.write(key, |before| {
            let live = before.and_then(Entry::found);
            Some(Entry {
                modified: rev,
                created: live.map_or(rev.main, |found| found.created),
                version: live.map_or(1, |found| found.version + 1),
            })
        })
    }

    /// Records the deletion of `key`. Returns whether it was live; if not, nothing is recorded.
    ///
    /// # Panics
    /// If `rev` is not after every revision of the key.
    pub fn tombstone(&mut self, key: &[u8], rev: Revision) -> bool {
        let before = self.write(key, |before| {
            before.and_then(Entry::found).map(|_| Entry::tombstone(rev))
        });
        before.is_some()
    }

    /// The key's state at main revision `at`, all changes of that revision included; `i64::MAX` is now.
    pub fn get(&self, key: &[u8], at: i64) -> Option<Found> {
        self.root.get(key, whole(at))
    }

    /// Live keys in the range at main revision `at`. O(log n) when nothing in the range was written after `at`;
    /// otherwise in proportion to what was.
    pub fn count(&self, start: &[u8], end: RangeEnd<'_>, at: i64) -> u64 {
        let Some(bounds) = bounds(start, end) else {
            return u64::from(end == RangeEnd::Single && self.get(start, at).is_some());
        };
        self.root.count(bounds, whole(at))
    }

    /// Calls `f` with every key of the range that is live at main revision `at`, in ascending order, until it breaks.
    pub fn visit(
        &self,
        start: &[u8],
        end: RangeEnd<'_>,
        at: i64,
        mut f: impl FnMut(&[u8], Found) -> ControlFlow<()>,
    ) {
        match bounds(start, end) {
            // Whether the callback broke off is known to the caller, who did it.
            Some(bounds) => {
                let _ = self.root.visit(bounds, whole(at), &mut f);
            }
            None if end == RangeEnd::Single => {
                if let Some(found) = self.get(start, at) {
                    let _ = f(start, found);
                }
            }
            None => {}
        }
    }

    /// Does a part of the compaction at main revision `at`: looks at keys and removes revisions, about `keys_max` of
    /// both together, and calls `removed` with every revision that left. Returns where to go on, `None` at the end.
    ///
    /// Removed are, of each key, the revisions before the newest one at or below `at`, and that one too if it is a
    /// tombstone below `at`. Writes may come between two steps. Readers must not ask for revisions below `at` from the
    /// first step on.
    pub fn compact_step(
        &mut self,
        cursor: CompactCursor,
        at: i64,
        keys_max: usize,
        mut removed: impl FnMut(Revision),
    ) -> Option<CompactCursor> {
        let mut step = compact::Step {
            at,
            budget: keys_max.max(1),
            removed: &mut removed,
        };
        let resume = self.root.compact(&cursor.from, &mut step);
        self.root.flatten();
        resume.map(|from| CompactCursor { from })
    }

    /// The whole compaction at once: for start, and where no reader waits.
    pub fn compact(&mut self, at: i64, mut removed: impl FnMut(Revision)) {
        let finished = self.compact_step(CompactCursor::default(), at, usize::MAX, &mut removed);
        assert_eq!(finished, None, "an endless budget ends only at the end");
    }

    /// Whether the revision `rev` ≤ `at` of `key` belongs to the hash of a store compacted at `at`: it does if it is
    /// the newest one and a put. (A tombstone at `at` itself stays in the store but not in the hash.)
    pub fn keeps(&self, key: &[u8], rev: Revision, at: i64) -> bool {
        debug_assert!(rev.main <= at);
        self.get(key, at).is_some_and(|found| found.modified == rev)
    }

    /// Number of live keys.
    pub fn len_live(&self) -> u64 {
        self.root.summary.live
    }

    /// Bytes of heap that the index holds, without the allocator's own. For benches/index.rs, which weighs a key, and for
    /// tests: it walks the whole tree.
    pub fn memory_bytes(&self) -> usize {
        self.root.heap_bytes()
    }

    fn write(
        &mut self,
        key: &[u8],
        next: impl FnOnce(Option<Entry>) -> Option<Entry>,
    ) -> Option<Found> {
        let written = self.root.write(key, next);
        if let Some(split) = written.split {
            let left = std::mem::take(&mut self.root);
            let mut inner = Inner::default();
            inner.separators.push(&split.separator);
            inner.children.extend([left, split.right]);
            self.root = Subtree::new(Node::Inner(Box::new(inner)));
        }
        written.before.and_then(Entry::found)
    }
}

impl Subtree {
    fn heap_bytes(&self) -> usize {
        match &self.node {
            Node::Leaf(leaf) => {
                let histories: usize = leaf.states.iter().map(|state| state.heap_bytes()).sum();
                size_of_val(&**leaf)
                    + leaf.keys.heap_bytes()
                    + leaf.states.capacity() * size_of::<state::KeyState>()
                    + histories
            }
            Node::Inner(inner) => {
                let below: usize = inner.children.iter().map(Self::heap_bytes).sum();
                size_of_val(&**inner)
                    + inner.separators.heap_bytes()
                    + inner.children.capacity() * size_of::<Self>()
                    + below
            }
        }
    }
}

/// The last revision that belongs to the operation `main`.
fn whole(main: i64) -> Revision {
    Revision {
        main,
        sub: u32::MAX,
    }
}

/// `None` for a range that is a single key or empty.
fn bounds<'a>(start: &'a [u8], end: RangeEnd<'a>) -> Option<Bounds<'a>> {
    let before = match end {
        RangeEnd::Single => return None,
        RangeEnd::Open => None,
        RangeEnd::Before(end) if end <= start => return None,
        RangeEnd::Before(end) => Some(end),
    };
    let from = (!start.is_empty()).then_some(start);
    Some(Bounds { from, before })
}
