//! What readers and the apply thread share under the store's lock.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{self, EtcdError};
use crate::index::TreeIndex;
use crate::tree::{Snapshot, Tree, TreeError};
use crate::types::Revision;

use super::tail::Tail;

/// The store's state in memory. A change to it is complete when the lock is released: readers never see a part of an
/// operation.
pub(super) struct State {
    pub index: TreeIndex,
    pub tail: Tail,
    /// Current revision.
    pub revision: i64,
    /// Last compacted revision, -1 = none.
    pub compact_revision: i64,
}

impl State {
    /// The revision that a read asks for with `requested` (≤ 0 = the current one).
    pub fn resolve(&self, requested: i64) -> Result<i64, EtcdError> {
        if requested > self.revision {
            return Err(error::FUTURE_REVISION);
        }
        if requested <= 0 {
            return Ok(self.revision);
        }
        if requested < self.compact_revision {
            return Err(error::COMPACTED);
        }
        Ok(requested)
    }

    /// The stricter check of a range inside a txn, made before the txn runs: there a negative revision is compared
    /// with the compacted one like any other.
    pub fn check_txn_range(&self, requested: i64) -> Result<(), EtcdError> {
        if requested == 0 {
            Ok(())
        } else if requested > self.revision {
            Err(error::FUTURE_REVISION)
        } else if requested < self.compact_revision {
            Err(error::COMPACTED)
        } else {
            Ok(())
        }
    }
}

/// Where the apply thread finds values: the tail of a state that it holds, else the tree, opened at first need.
pub(super) struct Values {
    tree: Arc<Tree>,
}

impl Values {
    pub fn new(tree: Arc<Tree>) -> Self {
        Self { tree }
    }

    /// The encoded KeyValue of a put that the index names. It is an error of the store if it is nowhere.
    pub fn get(&self, tail: &Tail, revision: Revision) -> Result<Bytes, TreeError> {
        if let Some(record) = tail.get(revision) {
            return Ok(record.kv.clone());
        }
        let snapshot: Snapshot<'_> = self.tree.snapshot()?;
        match snapshot.get(revision)? {
            Some(kv) => Ok(Bytes::copy_from_slice(kv)),
            None => Err(self.missing(revision)),
        }
    }

    /// A revision that the index names is not on disk.
    pub fn missing(&self, revision: Revision) -> TreeError {
        self.tree.damaged(format!(
            "history: revision {}.{} is missing",
            revision.main, revision.sub
        ))
    }
}
