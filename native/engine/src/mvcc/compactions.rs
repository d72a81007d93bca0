//! The compactions that wait, in their order, and how much of one a commit removes.

use std::collections::VecDeque;

use crate::limits::{COMPACTION_HASHES_MAX, COMPACTION_SLICE_DESCENTS, COMPACTION_SLICE_REVISIONS};

/// Which compactions wait and who waits for them.
pub(super) struct Compactions {
    /// The newest one that is committed as scheduled.
    pub target: i64,
    /// The newest one whose removals are committed.
    pub finished: i64,
    /// Those that were asked for and are not begun, in order, each with the compacted revision before it. Every one is
    /// carried out, since HashKV answers with what each of them found.
    asked: VecDeque<(i64, i64)>,
    waiting: Vec<(i64, Box<dyn FnOnce() + Send>)>,
}

impl Compactions {
    pub fn new(target: i64, finished: i64) -> Self {
        Self {
            target,
            finished,
            asked: VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    /// Notes that a compaction at `revision` was asked for after one at `before`. Where more wait than have their sums
    /// kept, the oldest is left to the next, which then has no sum either: neither would be kept to the end.
    pub fn asked(&mut self, revision: i64, before: i64) {
        if self.asked.len() > COMPACTION_HASHES_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back((revision, before));
    }

    /// The next one whose schedule is committed, and the one before it if the store is as that one left it. One that
    /// nobody asked this process for is what a crash or the store of another member left.
    pub fn next(&mut self) -> Option<(i64, Option<i64>)> {
        if self.target <= self.finished {
            return None;
        }
        let target = self.target;
        let (at, before) = match self.asked.front() {
            Some(&(at, before)) if at <= target => {
                self.asked.pop_front();
                (at, (before == self.finished).then_some(before))
            }
            _ => (target, None),
        };
        Some((at, before))
    }

    /// `done` is to be called when the one at `revision` is finished.
    pub fn wait(&mut self, revision: i64, done: Box<dyn FnOnce() + Send>) {
        self.waiting.push((revision, done));
    }

    /// The store of another member is in place: its compactions count now.
    pub fn replace(&mut self, target: i64, finished: i64) {
        self.target = target;
        self.finished = finished;
        self.asked.clear();
    }

    /// Who waited for one that is finished.
    pub fn take_finished(&mut self) -> Vec<(i64, Box<dyn FnOnce() + Send>)> {
        let finished = self.finished;
        self.waiting
            .extract_if(.., |(revision, _)| *revision <= finished)
            .collect()
    }
}

/// How much one commit removes, at most.
#[derive(Clone, Copy)]
pub(super) struct SliceLimit {
    pub revisions: usize,
    /// Ways down the tree.
    pub descents: usize,
}

impl SliceLimit {
    /// As many revisions as the operator wants, or what leaves room for others.
    pub fn new(revisions: Option<usize>) -> Self {
        match revisions {
            Some(revisions) => Self {
                revisions: revisions.max(1),
                descents: usize::MAX,
            },
            None => Self {
                revisions: COMPACTION_SLICE_REVISIONS,
                descents: COMPACTION_SLICE_DESCENTS,
            },
        }
    }
}
