//! Writing the tree: one batch, one commit.

use heed::types::DecodeIgnore;
use heed::{PutFlags, RwTxn};

use crate::limits::COMPACTION_KEPT_ROWS_MAX;
use crate::types::Revision;

use super::{RevKey, StoredKey, Table, Tree, TreeError};

/// A write transaction; dropped without commit it leaves nothing.
pub struct Batch<'t> {
    tree: &'t Tree,
    txn: RwTxn<'t>,
}

impl Tree {
    /// Begins a write. Only the flusher does.
    pub fn batch(&self) -> Result<Batch<'_>, TreeError> {
        let txn = self.env.write_txn().map_err(|source| self.fail(source))?;
        Ok(Batch { tree: self, txn })
    }
}

impl Batch<'_> {
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

    /// Removes the changes at `revisions`, which ascend, puts and tombstones. One that is not there is passed over.
    /// Returns how often it went down the tree: about as many pages changed, beside those that are free now.
    pub fn remove(&mut self, revisions: &[Revision]) -> Result<usize, TreeError> {
        let mut left = revisions;
        let mut descents = 0;
        while let Some(first) = left.first() {
            let from = RevKey::new(*first);
            left = self.remove_on(&from, left)?;
            descents += 1;
        }
        Ok(descents)
    }

    /// Goes on from row to row while not many of them are to stay: that is quicker than to look for each. Returns what
    /// is left to remove.
    fn remove_on<'r>(
        &mut self,
        from: &RevKey,
        mut left: &'r [Revision],
    ) -> Result<&'r [Revision], TreeError> {
        let tree = self.tree;
        let fail = |source| tree.fail(source);
        let rev = tree.rev.remap_data_type::<DecodeIgnore>();
        let mut rows = rev
            .range_mut(&mut self.txn, &from.and_after())
            .map_err(fail)?;
        let mut kept = 0;
        while let Some(row) = rows.next() {
            let (key, ()) = row.map_err(fail)?;
            let found = StoredKey::parse(key)
                .ok_or_else(|| tree.damaged(format!("revision key {key:02x?}")))?
                .revision;
            let gone = left.iter().take_while(|revision| **revision < found);
            left = &left[gone.count()..];
            match left.first() {
                None => return Ok(left),
                Some(next) if *next == found => {
                    // SAFETY: `key` is not used any more, and nothing else of the tree is borrowed.
                    unsafe { rows.del_current() }.map_err(fail)?;
                    left = &left[1..];
                }
                Some(_) if kept == COMPACTION_KEPT_ROWS_MAX => return Ok(left),
                Some(_) => kept += 1,
            }
        }
        Ok(&[])
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
