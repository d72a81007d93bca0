//! Writing the tree: one batch, one commit.

use heed::{PutFlags, RwTxn};

use crate::index::Revision;

use super::{RevKey, Table, Tree, TreeError};

/// A write transaction; dropped without commit it leaves nothing.
pub struct Batch<'t> {
    tree: &'t Tree,
    txn: RwTxn<'t>,
}

impl<'t> Batch<'t> {
    pub(super) fn new(tree: &'t Tree, txn: RwTxn<'t>) -> Self {
        Self { tree, txn }
    }

    /// Adds a change after all that are there.
    pub fn append(
        &mut self,
        revision: Revision,
        tombstone: bool,
        value: &[u8],
    ) -> Result<(), TreeError> {
        let key = RevKey::new(revision);
        let key = if tombstone {
            key.tombstone_bytes()
        } else {
            key.bytes()
        };
        self.tree
            .rev
            .put_with_flags(&mut self.txn, PutFlags::APPEND, key, value)
            .map_err(|source| self.tree.fail(source))
    }

    /// Removes the change at `revision`, put or tombstone. Returns whether it was there.
    pub fn remove(&mut self, revision: Revision) -> Result<bool, TreeError> {
        let key = RevKey::new(revision);
        let rev = &self.tree.rev;
        rev.delete(&mut self.txn, key.bytes())
            .and_then(|removed| match removed {
                true => Ok(true),
                false => rev.delete(&mut self.txn, key.tombstone_bytes()),
            })
            .map_err(|source| self.tree.fail(source))
    }

    /// Writes a row of a table.
    pub fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), TreeError> {
        self.tree
            .table(table)
            .put(&mut self.txn, key, value)
            .map_err(|source| self.tree.fail(source))
    }

    /// Deletes a row of a table, if it is there.
    pub fn delete_row(&mut self, table: Table, key: &[u8]) -> Result<(), TreeError> {
        self.tree
            .table(table)
            .delete(&mut self.txn, key)
            .map(|_| ())
            .map_err(|source| self.tree.fail(source))
    }

    /// Makes the batch visible and durable (the newest commit only with the next one or `Tree::sync`).
    pub fn commit(self) -> Result<(), TreeError> {
        self.tree.commit(self.txn)
    }
}
