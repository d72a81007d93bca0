//! The revisions of one key.
//!
//! A generation is a key's life from a put to its tombstone. Nothing needs to mark its borders: a tombstone ends one,
//! and the put after it, which has version 1, begins the next. So a key is a plain list of entries in revision order,
//! each with the state it left behind, and the list of a key that was written once is stored in place.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use crate::types::Revision;

/// The state of a live key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Revision of the newest put.
    pub modified: Revision,
    /// Main revision of the put that created the key.
    pub created: i64,
    /// Number of puts since then, from 1.
    pub version: i64,
}

/// One revision of a key and the key's state after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) modified: Revision,
    /// Main revision of the generation's first put; 0 in a tombstone.
    pub(super) created: i64,
    /// Puts in the generation up to this one; 0 marks a tombstone.
    pub(super) version: i64,
}

impl Entry {
    pub(super) fn tombstone(modified: Revision) -> Self {
        Self {
            modified,
            created: 0,
            version: 0,
        }
    }

    pub(super) fn is_tombstone(&self) -> bool {
        self.version == 0
    }

    /// What a reader sees: nothing behind a tombstone.
    pub(super) fn found(self) -> Option<Found> {
        (!self.is_tombstone()).then_some(Found {
            modified: self.modified,
            created: self.created,
            version: self.version,
        })
    }
}

/// A key that has exactly one revision, and that one is a put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Once {
    main: i64,
    created: i64,
    sub: u32,
    version: NonZeroU32,
}

/// All revisions of one key that are not compacted. In the tree it is never empty.
#[derive(Debug)]
pub(super) enum KeyState {
    Once(Once),
    /// Several revisions, a tombstone, or a version past 32 bits; oldest first.
    #[expect(
        clippy::box_collection,
        reason = "a state must fit in 24 bytes, the deque alone takes 32"
    )]
    History(Box<VecDeque<Entry>>),
}

// The version, which is never zero, tells the two forms apart, so that the common one has no tag of its own.
const _: () = assert!(size_of::<KeyState>() == 24);

impl KeyState {
    pub(super) fn new(entry: Entry) -> Self {
        match u32::try_from(entry.version).ok().and_then(NonZeroU32::new) {
            Some(version) => Self::Once(Once {
                main: entry.modified.main,
                created: entry.created,
                sub: entry.modified.sub,
                version,
            }),
            None => {
                let mut entries = VecDeque::with_capacity(1);
                entries.push_back(entry);
                Self::History(Box::new(entries))
            }
        }
    }

    /// The newest entry.
    pub(super) fn newest(&self) -> Entry {
        match self {
            Self::Once(once) => once.entry(),
            Self::History(entries) => *entries.back().expect("a key has a revision"),
        }
    }

    /// The newest entry at or before `at`.
    pub(super) fn at(&self, at: Revision) -> Option<Entry> {
        let newest = self.newest();
        if newest.modified <= at {
            return Some(newest);
        }
        let Self::History(entries) = self else {
            return None;
        };
        let visible = entries.partition_point(|entry| entry.modified <= at);
        visible.checked_sub(1).map(|i| entries[i])
    }

    /// Adds a newer entry.
    pub(super) fn push(&mut self, entry: Entry) {
        assert!(
            entry.modified > self.newest().modified,
            "revision {:?} of a key is not after {:?}",
            entry.modified,
            self.newest().modified
        );
        match self {
            Self::Once(once) => {
                let mut entries = VecDeque::with_capacity(2);
                entries.push_back(once.entry());
                entries.push_back(entry);
                *self = Self::History(Box::new(entries));
            }
            Self::History(entries) => entries.push_back(entry),
        }
    }

    /// How many of the oldest entries a compaction at main revision `at` removes.
    ///
    /// The newest entry at or before `at` stays, because a read at `at` needs it; a tombstone only if it is `at`
    /// itself, so that a watch that resumes there still sees the deletion.
    pub(super) fn compactable(&self, at: i64) -> usize {
        let Self::History(entries) = self else {
            return 0;
        };
        let covered = entries.partition_point(|entry| entry.modified.main <= at);
        let Some(last) = covered.checked_sub(1).map(|i| entries[i]) else {
            return 0;
        };
        if last.is_tombstone() && last.modified.main < at {
            covered
        } else {
            covered - 1
        }
    }

    /// The smallest revision at which a compaction would remove something.
    pub(super) fn compactable_from(&self) -> i64 {
        match self {
            Self::Once(_) => i64::MAX,
            Self::History(entries) => match (entries.front(), entries.get(1)) {
                (Some(first), _) if first.is_tombstone() => first.modified.main.saturating_add(1),
                (_, Some(second)) => second.modified.main,
                _ => i64::MAX,
            },
        }
    }

    /// Removes the `count` oldest entries; false when none is left and the key must go.
    pub(super) fn remove_oldest(
        &mut self,
        count: usize,
        mut removed: impl FnMut(Revision),
    ) -> bool {
        let Self::History(entries) = self else {
            assert_eq!(count, 0, "a key with one put has nothing to compact");
            return true;
        };
        for entry in entries.drain(..count) {
            removed(entry.modified);
        }
        let Some(&oldest) = entries.front() else {
            return false;
        };
        if entries.len() == 1 {
            *self = Self::new(oldest);
        } else if entries.len() < entries.capacity() / 4 {
            entries.shrink_to(entries.len() * 2);
        }
        true
    }

    /// Bytes of heap that the state holds.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Once(_) => 0,
            Self::History(entries) => {
                size_of::<VecDeque<Entry>>() + entries.capacity() * size_of::<Entry>()
            }
        }
    }
}

impl Once {
    fn entry(&self) -> Entry {
        Entry {
            modified: Revision {
                main: self.main,
                sub: self.sub,
            },
            created: self.created,
            version: i64::from(self.version.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(main: i64, created: i64, version: i64) -> Entry {
        Entry {
            modified: Revision { main, sub: 0 },
            created,
            version,
        }
    }

    fn tombstone(main: i64) -> Entry {
        Entry::tombstone(Revision { main, sub: 0 })
    }

    /// put 1, put 2, delete 3, put 4, delete 5: the example of etcd's own documentation.
    fn two_lives() -> KeyState {
        let mut state = KeyState::new(put(1, 1, 1));
        for entry in [put(2, 1, 2), tombstone(3), put(4, 4, 1), tombstone(5)] {
            state.push(entry);
        }
        state
    }

    #[test]
    fn compaction_removes_what_etcd_removes() {
        let removed: Vec<usize> = (0..=6).map(|at| two_lives().compactable(at)).collect();
        // At 3 and 5 the tombstone stays; past it, it goes.
        assert_eq!(removed, [0, 0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn says_from_where_a_compaction_has_work() {
        let mut state = two_lives();
        assert_eq!(state.compactable_from(), 2);
        assert!(state.remove_oldest(2, |_| {}));
        assert_eq!(state.compactable_from(), 4);
        assert!(!state.remove_oldest(3, |_| {}));
    }

    #[test]
    fn reads_every_generation() {
        let state = two_lives();
        let version = |main| {
            let at = Revision {
                main,
                sub: u32::MAX,
            };
            state
                .at(at)
                .and_then(Entry::found)
                .map(|found| found.version)
        };
        assert_eq!(
            (0..=6).map(version).collect::<Vec<_>>(),
            [None, Some(1), Some(2), None, Some(1), None, None]
        );
    }

    #[test]
    fn goes_back_in_place_when_one_put_is_left() {
        let mut state = KeyState::new(put(1, 1, 1));
        state.push(put(2, 1, 2));
        assert!(state.remove_oldest(1, |revision| assert_eq!(revision.main, 1)));
        assert!(matches!(state, KeyState::Once(_)));
        assert_eq!(state.newest(), put(2, 1, 2));
    }

    #[test]
    fn keeps_versions_past_32_bits() {
        let large = i64::from(u32::MAX) + 1;
        let mut state = KeyState::new(put(1, 1, large));
        assert_eq!(state.newest().version, large);
        state.push(put(2, 1, large + 1));
        assert!(state.remove_oldest(1, |_| {}));
        assert_eq!(state.newest().version, large + 1);
        assert_eq!(state.compactable_from(), i64::MAX);
    }
}
