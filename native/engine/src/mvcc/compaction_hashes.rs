//! The sums of the newest compactions, which answer HashKV for their revisions.

use std::collections::VecDeque;

use crate::limits::COMPACTION_HASHES_MAX;

/// The sum of a store at the revision of a compaction, as it was before.
#[derive(Clone, Copy)]
pub(super) struct CompactionHash {
    pub hash: u32,
    pub at: i64,
    pub compact_revision: i64,
}

/// The sums of the newest compactions of this process.
#[derive(Default)]
pub(super) struct CompactionHashes(VecDeque<CompactionHash>);

impl CompactionHashes {
    /// Keeps one more, and only the newest.
    pub fn keep(&mut self, hash: CompactionHash) {
        if self.0.len() == COMPACTION_HASHES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hash);
    }

    /// That of a compaction at `revision`.
    pub fn find(&self, revision: i64) -> Option<CompactionHash> {
        self.0.iter().find(|hash| hash.at == revision).copied()
    }
}
