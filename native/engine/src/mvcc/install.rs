//! Another member's store takes the place of this one while it serves: the file in one rename, which is the moment from
//! which a crash finds the new store, and then what is in memory under one lock.
//!
//! Both stores have the same history, so a reader that holds a revision finds it in either, unless it is compacted in
//! the new one: then it gets the compacted error.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::tree::{Tree, TreeError, TreeSize};
use crate::types::LogMark;

use super::recover::{Recovered, recover};
use super::state::State;
use super::store::{Store, StoreMarks};
use super::tail::Tail;

/// What memory will hold of a store that is to be put in place.
pub(crate) struct Coming {
    recovered: Recovered,
    size: TreeSize,
}

impl Coming {
    /// Reads all of it.
    pub(crate) fn read(tree: &Tree) -> Result<Self, TreeError> {
        Ok(Self {
            recovered: recover(tree)?,
            size: tree.size()?,
        })
    }
}

impl Store {
    /// Puts what comes in place; `put_in_place` moves its file into the member directory, durably. Only for the apply
    /// thread, between two entries; what comes must be ahead of this store. After an error the caller must end the
    /// process: which of the two files is in place is not known.
    pub(crate) fn install<E>(
        &self,
        coming: Coming,
        put_in_place: impl FnOnce(&Path) -> Result<Tree, E>,
    ) -> Result<LogMark, E> {
        let Coming { recovered, size } = coming;
        let mark = recovered.marks.applied;
        // No commit runs from here on; the tail that waited for one is part of the old store.
        let _gate = self.flush.gate.lock();
        let tree = put_in_place(&self.dir)?;
        self.flush.installs.fetch_add(1, Ordering::Relaxed);
        self.swap(tree, recovered, size);
        self.set_flushed(mark);
        self.wake_flusher();
        Ok(mark)
    }

    fn swap(&self, tree: Tree, recovered: Recovered, size: TreeSize) {
        let marks = recovered.marks;
        let mut leases = self.leases.lock();
        let mut state = self.state.write();
        assert!(marks.revision >= state.revision, "the store went back");
        // Before anything of the new store can be read. What became of the users since the tokens were registered is not
        // known: their clients ask for new ones.
        self.auth.replace(recovered.auth);
        self.auth.tokens().clear();
        // Under the lock: who pins later does so in the new store.
        self.pins.break_below(marks.compact_scheduled);
        *self.tree.write() = Arc::new(tree);
        let old_state = std::mem::replace(
            &mut *state,
            State {
                index: recovered.index,
                tail: Tail::default(),
                revision: marks.revision,
                compact_revision: marks.compact_scheduled,
            },
        );
        let old_leases = std::mem::replace(&mut *leases, recovered.leases);
        drop(state);
        drop(leases);
        *self.marks.lock() = StoreMarks {
            applied: marks.applied,
            flushed: marks.applied,
        };
        self.db_bytes.store(size.bytes, Ordering::Relaxed);
        self.db_used_bytes.store(size.used_bytes, Ordering::Relaxed);
        self.compactions_installed(marks.compact_scheduled, marks.compact_finished);
        let hub = self.watch_hub();
        hub.jumped(marks.revision);
        hub.compacted(marks.compact_scheduled);
        drop((old_state, old_leases));
    }
}
